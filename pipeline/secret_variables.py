"""Names of environment variables that hold secrets, as the configuration has them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

# Sections whose keys name such variables. What people write there in place of a name
# may be the secret itself, and is shown in no message.
SECTIONS: Final = frozenset({"notify", "monitoring"})
# What people write in place of the key `<name>_env`.
SECRET_KEYS: Final = frozenset({"url", "user", "password", "token"})
# In capitals: a password in place of the name would be shown as the name of a variable
# that is not set.
_NAME: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


class SecretInConfigError(ValueError):
    """A value that is, or may be, a secret. The message does not hold it.

    Attributes:
      remedy: What to do about it.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def _is_variable(value: Any) -> Any:
    """Rejects what is no variable's name, without showing it: it may be the secret."""
    if value is not None and not (isinstance(value, str) and _NAME.fullmatch(value)):
        raise SecretInConfigError(
            "A key that ends in _env holds something else than the name of an "
            "environment variable, in capitals",
            "Put the secret into an environment variable, for example "
            "TWO_TOWER_WEBHOOK_URL, and give the name of that variable.",
        )
    return value


Variable = Annotated[str, BeforeValidator(_is_variable)]
