"""Tables of the commands that look back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

# Rows of a table that goes to a file or a pipe are not wrapped.
_FILE_WIDTH: Final = 200


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table.

    Args:
      columns: Names; one that ends in `>` is for numbers, which stand to the right.
      rows: Cells, which are taken as they are.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        is_number = name.endswith(">")
        table.add_column(name.rstrip(">"), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def number(value: float | None, decimals: int = 4) -> str:
    """A number, or a dash for none."""
    return "-" if value is None else f"{value:.{decimals}f}"
