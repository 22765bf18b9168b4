"""One line on the terminal that says how far a long command is."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import sys
from collections.abc import Iterator

import click
from rich.live import Live
from rich.spinner import Spinner

from pipeline.cli.console import PlainConsole
from trainer.progress import Event, received_by, work_text
from trainer.text import printable_handler

_LOG = logging.getLogger("trainer.work")  # a line now and then, for logs


def _show(spinner: Spinner, event: Event) -> None:
    """Shows events of the kinds `phase` and `work` beside a spinner."""
    if event["kind"] == "phase":
        spinner.update(text=f"{event['text']} ...")
    elif event["kind"] == "work" and (text := work_text(event)):
        spinner.update(text=text)


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
    lines = printable_handler(sys.stderr, "%(message)s")
    log = click.get_current_context().obj or io.StringIO()
    propagate = _LOG.propagate
    if not console.is_terminal:
        _LOG.addHandler(lines)
        _LOG.setLevel(logging.INFO)
        _LOG.propagate = False
    try:
        with (
            received_by(functools.partial(_show, spinner)),
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
        _LOG.removeHandler(lines)
        _LOG.propagate = propagate
