"""Recognises secrets: names that announce one, and values that are one.

Everything that writes a text which others can read asks here: the configuration, the
compiled file with its environment and Beam arguments, and the log of a step. A secret
of an unknown form under an innocent name cannot be recognised.
"""

from __future__ import annotations

import re
from typing import Final

# Words of a name: `SIGNING_KEY`, `signing-key` and `signingKey` have two.
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORD: Final = re.compile(
    r".*passw(or)?d.*|passphrase|pass|pwd|pw|secrets?|.*tokens?|credentials?|creds?|private"
    r"|keys?|.*(api|access|secret|signing)keys?|dsn|auth|authorization|jwt|pat|sas|pem"
    r"|cookie|salt|otp|connstr|connectionstring|webhook"
)
# Counts of tokens, and keys that are made to be known, are no secrets.
_PUBLIC_WORDS: Final = frozenset({"public", "max", "min", "num", "column", "primary"})
# Services whose addresses hold a password by custom: `DATABASE_URL`.
_SERVICE: Final = re.compile(
    r"database|db|sql.*|.*sql|postgres.*|pg|mariadb|mongo.*|redis|amqp|rabbitmq|cloudamqp"
    r"|broker|celery|jdbc|elastic.*|clickhouse|snowflake|cassandra|smtp|ldap|connection"
    r"|conn|sentry"
)
_ADDRESS_WORDS: Final = frozenset({"url", "uri", "string", "str"})

_VALUES: Final = (
    # https://user:password@host, and a token alone before the @.
    r"://[^/?#\s@\"'<>]+@",
    # Signed addresses, and fields of connection strings.
    r"[?&](x-amz-signature|x-goog-signature|sig|signature|(\w+[_-])?token|(api_?)?key"
    r"|pass(word)?|secret|code)=[^&\s\"']+",
    r"\b(password|passwd|pwd|accountkey|sharedaccesskey|secret_?key|secret_?access_?key"
    r"|client_?secret)\"?\s*[=:]\s*\"?[^\s;,\"'}]+",
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
    r"AGE-SECRET-KEY-1\w+",
    # A JSON Web Token: two or three parts of base64, the first an object.
    r"\beyJ[\w-]{8,}\.[\w-]{4,}(\.[\w-]*)?",
    r"\b(bearer|basic)\s+[\w+/.=-]{16,}",
    # Formats that providers chose so that a leak can be recognised.
    r"\b(AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    r"\bAIza[\w-]{35}",
    r"\bya29\.[\w-]{20,}",
    r"\bGOCSPX-[\w-]{20,}",
    r"\bgh[opsur]_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_\w{20,}",
    r"\bglpat-[\w-]{16,}",
    r"\bxox[abeoprs]-[\w-]{10,}",
    r"hooks\.slack\.com/services/\w+",
    r"\b[rs]k_(live|test)_\w{10,}",
    r"\bsk-[\w-]{20,}",
    r"\bhf_[A-Za-z0-9]{20,}",
    r"\bnpm_[A-Za-z0-9]{30,}",
    r"\bpypi-[\w-]{30,}",
    r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
    r"\bdop_v1_\w{30,}",
    r"\bhv[bs]\.[\w-]{20,}",
)
_CASE_MATTERS: Final = re.compile("AKIA|AIza")
_VALUE: Final = re.compile(
    "|".join(
        f"(?:{form})" if _CASE_MATTERS.search(form) else f"(?i:{form})"
        for form in _VALUES
    )
)
_PEM_BLOCK: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S
)


def is_secret_name(name: str) -> bool:
    """Returns whether a variable or an option of this name announces a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if words and words[-1] in _ADDRESS_WORDS and any(map(_SERVICE.fullmatch, words)):
        return True
    return not _PUBLIC_WORDS & set(words) and any(map(_SECRET_WORD.fullmatch, words))


def holds_secret(text: str) -> bool:
    """Returns whether a text holds something of the form of a secret."""
    return _VALUE.search(text) is not None


def redacted(text: str) -> str:
    """Returns a text for a log, with `***` in place of what may be a secret."""
    return _VALUE.sub("***", _PEM_BLOCK.sub("***", text))
