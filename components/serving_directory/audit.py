"""Who changed what is served, when and why: one JSON object a line.

What a person does is recorded before it is carried out, so that none is missing after a
kill; a push afterwards, when its version has a number. A line that cannot be written
stops neither: a disk that is full must not keep a bad model in service.
"""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import json
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from components import storage
from components.serving_directory.layout import AUDIT_FILE
from trainer.atomic_files import sync
from trainer.errors import UserError

Action = Literal[
    "push", "approve", "promote", "pin", "unpin", "rollback", "restore", "remove"
]
# By which a person chooses what is live.
BY_HAND: Final = ("promote", "pin", "rollback", "restore")
_LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Move:
    """A change of what is served.

    Attributes:
      action: What was done.
      versions: The versions that were pushed, labelled, withdrawn, restored or
        removed.
      live_before: Version that was live before; None if there was none.
      live_after: Version that is live afterwards; None if there is none.
      reason: Why, in the words of whoever did it; may be empty.
      run_id: The run whose model it is; empty if that is not known.
      model_id: Identity of the model that is pushed; empty otherwise.
      label: The label that a push gave; empty otherwise.
    """

    action: Action
    versions: Sequence[str]
    live_before: str | None
    live_after: str | None
    reason: str = ""
    run_id: str = ""
    model_id: str = ""
    label: str = ""


def record(serving_dir: str, move: Move) -> None:
    """Appends a line and flushes it to the disk; a failure is logged."""
    content = {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "by": _who(),
        "action": move.action,
        "from": move.live_before,
        "to": move.live_after,
        "versions": list(move.versions),
        "reason": move.reason,
        "run_id": move.run_id,
        "model_id": move.model_id,
        "label": move.label,
    }
    line = json.dumps(content).encode() + b"\n"
    path = os.path.join(serving_dir, AUDIT_FILE)
    try:
        _append(path, line)
    except Exception as error:
        _LOG.warning("%s cannot be written: %s. %s", path, error, line.decode().strip())


def read(serving_dir: str) -> list[dict[str, Any]]:
    """Returns all lines, oldest first, without those that are damaged.

    Raises:
      UserError: The file cannot be read.
    """
    found = []
    content = storage.read(os.path.join(serving_dir, AUDIT_FILE)) or b""
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line or b"null")
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def chosen_version(serving_dir: str) -> str | None:
    """Returns the version that a person made live last.

    Raises:
      UserError: The file cannot be read.
    """
    for entry in reversed(read(serving_dir)):
        if entry.get("action") in BY_HAND:
            version = entry.get("to")
            return version if isinstance(version, str) else None
    return None


def was_live(serving_dir: str, version: str) -> bool:
    """Returns whether a version was ever live, as far as that was recorded.

    Raises:
      UserError: The file cannot be read.
    """
    entries = read(serving_dir)
    return any(version in (e.get("from"), e.get("to")) for e in entries)


def record_once(serving_dir: str, move: Move) -> None:
    """Appends the line of a push, unless it is there; a failure is logged."""
    try:
        entries = read(serving_dir)
    except UserError:
        entries = []
    pushes = (e for e in entries if e.get("action") in ("push", "approve"))
    if not any(entry.get("versions") == list(move.versions) for entry in pushes):
        record(serving_dir, move)


def _append(path: str, line: bytes) -> None:
    if not storage.is_local(path):
        storage.write(path, (storage.read(path) or b"") + line)
        return
    is_new = not os.path.exists(path)
    with open(path, "ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":  # of a process that was killed
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync(Path(path).parent)


def _who() -> str:
    """The user, also behind `sudo`, and the machine."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
