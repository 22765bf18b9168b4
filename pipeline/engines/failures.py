"""Explains why a step failed on an engine, from what Beam and the engine report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.engines.config import EngineConfig
from pipeline.local.failures import chain, user_error_in, user_error_of
from pipeline.local.system_errors import is_full, names_full_disk
from trainer.errors import UserError

_AGAIN: Final = "The same command then goes on with this step."
_VERSIONS: Final = (
    "Compare the versions with `two-tower doctor --engine`, and install the same ones."
)
_DISCONNECTED: Final = "Worker disconnected"  # see `pipeline.engines.embedded`
_LOST: Final = (
    "A worker of {engine} was lost in the middle of the step",
    "Look at its log: memory is the usual reason. " + _AGAIN,
)
_GONE: Final = (
    "{engine} does not answer",
    "Start the cluster, the job server and the worker pools; `two-tower doctor "
    "--engine` says which one is missing. " + _AGAIN,
)
# Pattern -> message, with `{engine}` and the groups of the pattern, and remedy. The
# first that is found counts: causes stand before what they lead to.
_KNOWN: Final[tuple[tuple[str, str, str], ...]] = (
    (
        r"ModuleNotFoundError: No module named '(?P<name>[\w.]+)'",
        "A worker of {engine} has no module {name}",
        "Install two-tower there, and start the pool with `two-tower worker-pool`.",
    ),
    (
        r"unknown opcode|bad marshal data|code\(\) (?:takes|argument)"
        r"|code expected at (?:least|most)|unsupported pickle protocol"
        r"|Can't get attribute '(?P<name>[\w.]+)'",
        "A worker of {engine} cannot load our code: it has another version of Python, "
        "of Beam or of our package",
        _VERSIONS,
    ),
    (
        r"No such file or directory: '(?P<name>[^'\n]*java)'",
        "{name} was not found, which Beam's job server for {engine} needs",
        "Install Java 11 or 17, or set engine.options.job_server_java_launcher.",
    ),
    (
        r"Unable to fetch remote job server jar at (?P<name>\S+):|"
        r"Unable to parse jar URL \"(?P<path>[^\"]+)\"",
        "Beam's job server for {engine} is not at {name}",
        "Get the jar, and set engine.job_server_jar to its path.",
    ),
    (
        r"Service failed to start up with error",
        "Beam's job server for {engine} ended when it was started",
        "Look at its output in the log; it needs Java 11 or 17, and the jar of "
        "this version of Beam.",
    ),
    (
        r"NoResourceAvailableException|Could not acquire the minimum required"
        r"|has not accepted any resources",
        "{engine} had no free slot for the step",
        "Wait for other jobs or add workers, or lower engine.parallelism. " + _AGAIN,
    ),
    (
        r"(?:TaskManager|TaskExecutor)\S* .{0,80}(?:timed out|lost|no longer reachable)"
        r"|ExecutorLostFailure|Connection unexpectedly closed by remote task manager"
        r"|LocalTransportException|SDK harness .{0,40}disconnected"
        rf"|{_DISCONNECTED}",
        *_LOST,
    ),
    # What this process was connected to, whatever closed the connection.
    (r"StatusCode\.UNAVAILABLE", *_GONE),
    (r"Socket closed|Connection reset by peer", *_LOST),
    (
        r"masters are unresponsive|retries has been exhausted|ConnectException"
        r"|failed to connect to all addresses"
        r"|Connection refused|ClosedChannelException|FutureTimeoutError",
        *_GONE,
    ),
)
_MISSING: Final = re.compile(
    r"(?:No such file or directory|No files found based on the file pattern|"
    r"does not exist)[^'\n/]*'?(?P<path>/[^'\n;\]]+)|(?P<first>/\S+?); No such file"
)
_FULL_PATH: Final = re.compile(r"No space left on device: '(?P<path>/[^'\n]+)'")


def explain(
    error: BaseException, engine: EngineConfig, folders: Sequence[Path] = ()
) -> UserError | None:
    """Explains a failure that the engine caused.

    Args:
      error: What a step raised.
      engine: The engine.
      folders: What this machine writes to.

    Returns:
      None if it has another cause, such as an error that a component explains itself.
    """
    if user_error_of(error) is not None:
        return None
    # A module or file that a worker lacks is named by the text of another exception;
    # one of these kinds is of this process.
    links = [link for link in chain(error) if not isinstance(link, ImportError)]
    text = _text(links)
    if user_error_in(text):
        return None
    if not engine.is_distributed:  # all else would fail here just as well
        is_lost = _DISCONNECTED in text
        return (
            UserError(_LOST[0].format(engine=engine.runner), _LOST[1])
            if is_lost
            else None
        )
    remote = _text(link for link in links if not isinstance(link, OSError))
    if names_full_disk(remote):
        return _full_disk(remote, engine, folders)
    for pattern, message, remedy in _KNOWN:
        found = re.search(pattern, text)
        if found:
            values = {k: v for k, v in found.groupdict().items() if v is not None}
            name = values.get("name", values.get("path", ""))
            return UserError(message.format(engine=engine.runner, name=name), remedy)
    return next(_unseen(remote, engine), None)


def _text(links: Iterable[BaseException]) -> str:
    return "\n".join(f"{type(link).__name__}: {link}" for link in links)


def _full_disk(
    text: str, engine: EngineConfig, folders: Sequence[Path]
) -> UserError | None:
    """A full disk of a worker; None if it is one of this machine."""
    if any(map(is_full, folders)):
        return None
    found = _FULL_PATH.search(text)
    where = f", for {found['path']}" if found else ""
    return UserError(
        f"A worker of {engine.runner} has no space left on its disk{where}",
        f"Free some space there. {_AGAIN}",
    )


def _unseen(text: str, engine: EngineConfig) -> Iterator[UserError]:
    """A path that is here and that a worker did not find."""
    for found in _MISSING.finditer(text):
        path = Path((found["path"] or found["first"]).rstrip("'\" "))
        folder = path if path.exists() else path.parent
        if folder.is_dir() or path.exists():
            yield UserError(
                f"A worker of {engine.runner} does not see {path}, which is on this "
                "machine",
                "Mount the workspace and engine.shared_dir at the same paths on all "
                f"workers. {_AGAIN}",
            )
