"""The console of all commands: it shows text from data as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from trainer.text import printable_lines

_PIPE_WIDTH: Final = 100_000


class PlainConsole(Console):
    """Shows no markup and no control character, whatever it is given to print.

    In a pipe or a file it never wraps a line.

    Args:
      file: Where it prints; by default standard output.
      stderr: Whether it prints to standard error.
    """

    def __init__(self, *, file: IO[str] | None = None, stderr: bool = False) -> None:
        super().__init__(
            file=file, stderr=stderr, markup=False, emoji=False, highlight=False
        )
        if not self.is_terminal:
            self.width = _PIPE_WIDTH

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields what is printed; only rich's own control codes are left in it."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)
