"""Prints tables, labelled values and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PIPE_WIDTH: Final = 100_000


def make_console() -> Console:
    """A console on standard output; in a pipe or a file it never wraps a line."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


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
    from rich.table import Table
    from rich.text import Text

    console = console or make_console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for name in columns:
        # A terminal that is too narrow wraps the cells and does not truncate them.
        justify: Literal["left", "right"] = "right" if name.endswith(">") else "left"
        table.add_column(name.rstrip(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def print_facts(console: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Prints a line for each label and value."""
    from rich.text import Text

    for label, value in facts:
        text = Text.assemble((f"{label:<9}", "bold"), value)
        console.print(text, soft_wrap=True, highlight=False)


def print_json(content: Any) -> None:
    """Prints indented JSON."""
    click.echo(json.dumps(content, indent=2))


def number(value: float | None, decimals: int = 4) -> str:
    """A number, or a dash for None."""
    return "-" if value is None else f"{value:.{decimals}f}"
