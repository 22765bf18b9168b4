"""Prints text, tables, labelled values and JSON: the only module that prints.

What it prints may come from data, so it passes `trainer.text`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from trainer.text import json_text, printable_lines

_LONGEST_LINE: Final = 100_000
_LEAST_OF_COLUMN: Final = 6  # characters, with the space between columns

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def make_console(*, stderr: bool = False) -> Console:
    """A console that shows data as text; in a pipe or a file it never wraps a line."""
    from pipeline.cli.console import PlainConsole

    return PlainConsole(stderr=stderr)


def echo(text: str, *, err: bool = False, nl: bool = True, dim: bool = False) -> None:
    """Prints lines of text.

    Args:
      text: The lines.
      err: Whether to print to standard error.
      nl: Whether to end the last line.
      dim: Whether to print less visibly, on a terminal.
    """
    shown = printable_lines(text)
    click.echo(click.style(shown, dim=True) if dim else shown, err=err, nl=nl)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    header: bool = True,
    console: Console | None = None,
) -> None:
    """Prints a table without a box.

    Args:
      columns: Names; a name that ends in `>` is aligned to the right.
      rows: Cells. Text is printed literally, without rich's markup.
      header: Whether to print the names.
      console: From `make_console`; by default one on standard output.
    """
    from rich.measure import Measurement
    from rich.table import Table

    console = console or make_console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for name in columns:
        # A terminal that is too narrow wraps the cells and does not truncate them.
        justify: Literal["left", "right"] = "right" if name.endswith(">") else "left"
        table.add_column(name.rstrip(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    if console.width < _LEAST_OF_COLUMN * len(columns):
        # Columns would vanish: the terminal breaks lines of whole words instead.
        wide = console.options.update(width=_LONGEST_LINE)
        console.width = Measurement.get(console, wide, table).minimum
    console.print(table, crop=False)


def _cell(cell: str | Text) -> Text:
    from rich.text import Text

    if isinstance(cell, str):
        return Text(printable_lines(cell))
    return Text(printable_lines(cell.plain), cell.style)


def print_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Prints a line for each label and value."""
    from rich.text import Text

    for label, value in facts:
        text = Text.assemble((f"{label:<9}", "bold"), printable_lines(value))
        console.print(text, soft_wrap=True)


def print_json(content: Any) -> None:
    """Prints indented JSON, in which control characters are escapes.

    So is everything beyond ASCII, where the output is not UTF-8.
    """
    text = json_text(content)
    if (getattr(sys.stdout, "encoding", None) or "utf-8").lower() != "utf-8":
        text = re.sub(r"[^\0-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    click.echo(text)


def number(value: float | None, decimals: int = 4) -> str:
    """A number, or a dash for None."""
    return "-" if value is None else f"{value:.{decimals}f}"
