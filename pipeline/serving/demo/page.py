"""The page: one HTML document with its style and script, and its headers."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

from markupsafe import Markup

from components.report_gen.template import environment

_FOLDER: Final = Path(__file__).parent
# Parts of one script, in this order: each uses what stands before it.
SCRIPTS: Final = (
    "elements",
    "server",
    "state",
    "combobox",
    "history",
    "answers",
    "main",
)


def render() -> tuple[str, dict[str, str]]:
    """Returns the page and its headers.

    The Content-Security-Policy permits this style, this script and requests to the own
    server, and nothing else. Whatever a title or an id holds is never run.
    """
    style = (_FOLDER / "style.css").read_text()
    parts = [(_FOLDER / "script" / f"{name}.js").read_text() for name in SCRIPTS]
    script = "\n".join(['"use strict";', *parts])
    page = (
        environment(_FOLDER)
        .get_template("page.html.jinja")
        .render(style=Markup(style), script=Markup(script))
    )
    policy = {
        "default-src": "'none'",
        "style-src": _hash_source(style),
        "script-src": _hash_source(script),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return page, {
        "Content-Security-Policy": "; ".join(map(" ".join, policy.items())),
    }


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
