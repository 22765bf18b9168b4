"""One line on the terminal that says how far a long command is."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator

import click
from rich.live import Live
from rich.spinner import Spinner

from pipeline.cli.console import PlainConsole
from trainer.progress import LOGGER, work_text
from trainer.text import printable_handler

_LOG = logging.getLogger("trainer.work")  # a line now and then, for logs


class _ToSpinner(logging.Handler):
    """Shows events of the kinds `phase` and `work` beside a spinner."""

    def __init__(self, spinner: Spinner) -> None:
        super().__init__()
        self._spinner = spinner

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", {})
        if event.get("kind") == "phase":
            self._spinner.update(text=f"{event['text']} ...")
        elif event.get("kind") == "work" and (text := work_text(event)):
            self._spinner.update(text=text)


@contextlib.contextmanager
def work_line(text: str) -> Iterator[None]:
    """Shows the progress of a block on standard error, if that is a terminal.

    Else a line is printed now and then. What libraries print to standard error goes to
    the log of the command.

    Args:
      text: What is shown first.
    """
    console = PlainConsole(file=sys.stderr)
    spinner = Spinner("dots", text)
    handler = _ToSpinner(spinner)
    lines = printable_handler(sys.stderr, "%(message)s")
    log = click.get_current_context().obj or io.StringIO()
    LOGGER.addHandler(handler)
    propagate = _LOG.propagate
    if not console.is_terminal:
        _LOG.addHandler(lines)
        _LOG.setLevel(logging.INFO)
        _LOG.propagate = False
    try:
        with (
            Live(
                spinner,
                console=console,
                transient=True,
                # Else it would show what is written to `sys.stderr`.
                redirect_stdout=False,
                redirect_stderr=False,
            ),
            contextlib.redirect_stderr(log),
        ):
            yield
    finally:
        LOGGER.removeHandler(handler)
        _LOG.removeHandler(lines)
        _LOG.propagate = propagate
