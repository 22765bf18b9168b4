"""Makes pages from templates: the only door to Jinja.

Text from data is escaped, and has no control characters.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from trainer.text import printable_lines


def environment(folder: Path) -> jinja2.Environment:
    """Returns an environment with the filters `number` and `date`.

    Args:
      folder: Of the templates, which may include those of this package.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,  # titles, ids and names of spans are untrusted
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"number": _number, "date": _date}
    return made


def _finalized(value: Any) -> Any:
    """Returns a value of the template as it is shown; our own HTML stays as it is."""
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return printable_lines(value) if is_text else value


def _number(value: float | None, digits: int = 4, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign},.{digits}f}"


def _date(seconds: int | None) -> str:
    if seconds is None:
        return "–"
    date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{date:%Y-%m-%d %H:%M UTC}"
