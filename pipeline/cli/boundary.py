"""The edge of the command line: whatever happens, a person reads one line.

Nothing that leaves a command may show a traceback or a library's log: an error that
somebody can fix is one line with its remedy, an unexpected one is a line that names a
file with everything else. `TWO_TOWER_TRACEBACK=1` shows developers the traceback.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

import click
import rich

from trainer.errors import UsageError, UserError
from trainer.text import escaped, printable_lines, start_logging

TRACEBACK_ENV: Final = "TWO_TOWER_TRACEBACK"
_SOURCES: Final = str(Path(__file__).resolve().parents[2])
_PACKAGES: Final = tuple(
    os.path.join(_SOURCES, name, "") for name in ("pipeline", "components", "trainer")
)
# What writes the output of a command.
_WRITERS: Final = (*click.__path__, *rich.__path__)
_MAX_CAUSE: Final = 300
_STREAMS: Final = (0, 1, 2)  # file descriptors


@contextlib.contextmanager
def one_line_errors(library_log: TextIO | None = None) -> Iterator[None]:
    """Turns every exception into a `click.ClickException`, whose message is one line.

    A closed pipe passes: click ends the command without a word, as a reader such as
    `head` expects.

    Args:
      library_log: What libraries have logged, for the file with the traceback.
    """
    try:
        yield
    except click.ClickException as error:  # it names what was typed
        vars(error)["message"] = escaped(error.message)
        raise
    except (click.exceptions.Exit, click.Abort):
        raise
    except (SystemExit, KeyboardInterrupt, BrokenPipeError):
        raise
    except UserError as error:
        raise _shown(error) from error
    except BaseException as error:  # PyO3's panics are no `Exception`
        raise _shown(_explain(error, library_log)) from error


def _shown(error: UserError) -> click.ClickException:
    from pipeline.secret_text import redacted  # only a command that fails needs it

    is_usage = isinstance(error, UsageError)
    kind = click.UsageError if is_usage else click.ClickException
    shown = kind(escaped(redacted(str(error))))
    vars(shown)["exit_code"] = error.exit_code
    return shown


def _explain(error: BaseException, library_log: TextIO | None) -> UserError:
    """Explains an exception that no code of ours raised on purpose."""
    from pipeline.local.failures import user_error_of
    from pipeline.local.system_errors import explain_system_error

    if os.environ.get(TRACEBACK_ENV):
        traceback.print_exception(error)
    expected = (
        user_error_of(error)
        or _output_error(error)
        or explain_system_error(error, _named_folders())
    )
    if expected is not None:
        return expected
    cause = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_CAUSE]
    return UserError(
        f"Unexpected {cause.rstrip('.: ')} ({_place(error)})",
        f"{_keep_traceback(error, library_log)} Please report it with the command.",
    )


def _output_error(error: BaseException) -> UserError | None:
    """Explains an error of writing the output; None if it is another error."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    writes = last.filename.startswith(_WRITERS) or last.name == "flush_output"
    if not (isinstance(error, OSError) and writes):
        return None
    return UserError(
        f"The output cannot be written: {error.strerror}", "Send it elsewhere."
    )


def flush_output() -> None:
    """Writes what standard output still holds, so that a failure is the command's."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _named_folders() -> Iterator[Path]:
    """The paths on the command line, among which a full disk is looked for."""
    from pipeline.runs.workspace import DEFAULT_ROOT, ENV_VAR

    parts = (part for text in sys.argv[1:] for part in (text, text.partition("=")[2]))
    yield from (Path(part) for part in parts if part)
    yield Path(os.environ.get(ENV_VAR) or DEFAULT_ROOT)
    yield Path(tempfile.gettempdir())


def _place(error: BaseException) -> str:
    """File and line of the innermost call in our own code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGES)]
    if not ours:
        return "in a library"
    return f"{os.path.relpath(ours[-1].filename, _SOURCES)}:{ours[-1].lineno}"


def _keep_traceback(error: BaseException, library_log: TextIO | None) -> str:
    """Writes traceback and logs to a new file; returns a sentence that names it."""
    from pipeline.secret_text import redacted

    try:
        handle, name = tempfile.mkstemp(prefix="two-tower-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as log:
            texts = [f"{sys.argv}\n", *traceback.format_exception(error)]
            if library_log is not None:
                library_log.seek(0)
                texts.append(library_log.read())
            log.write(printable_lines(redacted("".join(texts))))
    except OSError:
        return f"Set {TRACEBACK_ENV}=1 to see the traceback."
    return f"The traceback is in {name}."


@contextlib.contextmanager
def hidden_library_logs() -> Iterator[TextIO | None]:
    """Keeps what libraries log, to any descriptor, away from standard error.

    TensorFlow's C++ code writes to the file descriptor until the process has ended, and
    which of its lines an environment variable turns off differs between releases. The
    descriptor therefore stays redirected, and `sys.stderr` writes to where it led.

    Yields:
      A temporary file with all of it; None if somebody else has replaced `sys.stderr`,
      as tests do.
    """
    stream = sys.__stderr__
    if stream is None or stream is not sys.stderr:
        yield None
        return
    stream.flush()
    log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
    sys.stderr = open(
        *(os.dup(_STREAMS[-1]), "w"),
        encoding=stream.encoding,
        errors="backslashreplace",
        buffering=1,
    )
    os.dup2(log.fileno(), _STREAMS[-1])
    start_logging(log, logging.WARNING)
    logging.captureWarnings(True)
    yield log


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Makes the standard streams safe for what a command does.

    * A stream that the caller closed is opened on the null device: else the next file
      that is opened takes its place, and a library's log would be written into it.
    * A character that the encoding of the output does not have is printed as an escape.
    * The interpreter does not complain at its exit about output that cannot be written:
      the command has failed by then.
    """
    for descriptor in _STREAMS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        try:
            flush_output()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
