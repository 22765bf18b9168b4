"""Holds a process at a chosen moment; Python imports this file when it starts.

`HOLD_AT` in the environment is JSON: `folder`, and either `event`, fields of a progress
event, or `audit`, the name of an audit event of Python, with `match`, a regular
expression for its first two arguments, and `program`, what the command line of the
process contains. The first process that comes there writes its id to `held` in the
folder, and goes on when there is a file `go`.
"""

import json
import logging
import os
import re
import sys
import time

_PROGRESS = "trainer.progress"


def _hold(folder: str) -> None:
    try:
        file = os.open(f"{folder}/held.part", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError:  # held before
        return
    os.write(file, str(os.getpid()).encode())
    os.close(file)
    os.rename(f"{folder}/held.part", f"{folder}/held")
    # For the next that comes there.
    os.close(os.open(f"{folder}/held.part", os.O_WRONLY | os.O_CREAT))
    while not os.path.exists(f"{folder}/go"):
        time.sleep(0.01)


class _AtEvent(logging.Handler):
    """Holds after a progress event, once the other handlers have written it."""

    def __init__(self, folder: str, fields: dict) -> None:
        super().__init__()
        self._folder = folder
        self._fields = fields

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", {})
        if any(event.get(name) != value for name, value in self._fields.items()):
            return
        for handler in logging.getLogger(_PROGRESS).handlers:
            if handler is not self:
                handler.handle(record)
        _hold(self._folder)


def _at_audit(folder: str, name: str, pattern: str, program: str) -> None:
    match = re.compile(pattern).search
    busy = False

    def hook(event: str, arguments: tuple) -> None:
        nonlocal busy
        if event != name or busy:
            return
        if match(" ".join(map(str, arguments[:2]))) and program in " ".join(sys.argv):
            busy = True
            _hold(folder)
            busy = False

    sys.addaudithook(hook)


def _install() -> None:
    spec = json.loads(os.environ.get("HOLD_AT", "null"))
    if not spec:
        return
    if "event" in spec:
        handler = _AtEvent(spec["folder"], spec["event"])
        logging.getLogger(_PROGRESS).addHandler(handler)
    else:
        _at_audit(spec["folder"], spec["audit"], spec["match"], spec["program"])


_install()
