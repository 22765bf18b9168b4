"""The moments of a retraining at which something goes wrong, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Fault = Literal["kill all", "kill pipeline", "full workspace", "full TMPDIR"]
EPOCHS: Final = 4
_START: Final = "start"
_MIDDLE: Final = "middle"
_LONG_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Case:
    """A fault at a moment.

    Attributes:
      step: The node, or a part of the command.
      moment: In words.
      fault: What happens: the command is killed with all that it started, or only the
        process of the pipeline is, or a file system becomes full.
      hold: Where the command is held, see `hook/sitecustomize.py`.
      share: Of the step's time, how much passes before the fault.
    """

    step: str
    moment: str
    fault: Fault
    hold: Mapping[str, Any]
    share: float = 0.0

    @property
    def name(self) -> str:
        """Unique."""
        return f"{self.step}, {self.moment}, {self.fault}"


def kills(steps: Mapping[str, float]) -> list[Case]:
    """All cases of killed processes.

    Args:
      steps: Node -> its seconds in a retraining that nothing disturbed.
    """
    found: list[Case] = []
    for node, seconds in steps.items():
        start = _step(node)
        pipeline = Case(node, _MIDDLE, "kill pipeline", start, 0.5)
        found.append(Case(node, _START, "kill all", start))
        if seconds >= _LONG_SECONDS:
            middle = Case(node, _MIDDLE, "kill all", start, 0.5)
            found += [middle, pipeline, *_WITHIN.get(node, [])]
        else:  # whose middle may come too late for what is within it
            found += [*_WITHIN.get(node, []), pipeline]
    return [*found, *_AFTER]


def full_disks(steps: Mapping[str, float]) -> list[Case]:
    """All cases of full file systems; `steps` as above."""
    found: list[Case] = []
    for node in steps:
        found.append(Case(node, _START, "full workspace", _step(node)))
        found += _FULL_WITHIN.get(node, [])
    # Last, since what needs no temporary files comes to its end.
    return [*found, *_FULL_AFTER, Case("Command", _START, "full TMPDIR", _LOCK)]


def _step(node: str) -> Mapping[str, Any]:
    return {"event": {"kind": "step", "id": node, "state": "running"}}


def _epoch(epoch: int) -> Mapping[str, Any]:
    return {"event": {"kind": "train", "epoch": epoch}}


def _ended(node: str) -> Mapping[str, Any]:
    return {"event": {"kind": "step", "id": node, "state": "done"}}


def _audit(event: str, match: str, program: str = "") -> Mapping[str, Any]:
    return {"audit": event, "match": match, "program": program}


_COMMAND: Final = " retrain "
_LOCK: Final = _audit("open", r"/workspace/\.lock ")
_LINE: Final = _audit("open", r"/retrainings\.jsonl a", _COMMAND)
_ARTIFACT: Final = _audit("shutil.rmtree", "/artifacts/", _COMMAND)
_FULL: Final = "full workspace"
_FULL_WITHIN: Final[Mapping[str, list[Case]]] = {
    "Trainer": [Case("Trainer", "before the export", _FULL, _epoch(EPOCHS))],
    "Pusher": [
        Case("Pusher", "before the copy", _FULL, _audit("os.mkdir", r"/\.pushing-"))
    ],
    "ReportGen": [Case("Summary", "before it is written", _FULL, _ended("ReportGen"))],
}
_FULL_AFTER: Final = [
    Case("Outcome", "before its line", _FULL, _LINE),
    Case("Retention", "first artifact", _FULL, _ARTIFACT),
    Case("Command", "before it starts", _FULL, _LOCK),
]


def _kill(step: str, moment: str, hold: Mapping[str, Any]) -> Case:
    return Case(step, moment, "kill all", hold)


_STAGING: Final = r"/\.pushing-[0-9a-f]+ "
_WITHIN: Final[Mapping[str, list[Case]]] = {
    "Trainer": [
        _kill("Trainer", f"after epoch 2 of {EPOCHS}", _epoch(2)),
        _kill("Trainer", "after the last epoch", _epoch(EPOCHS)),
        _kill(
            *("Trainer", "exported, checkpoint not removed"),
            _audit("open", r"/train_report\.json "),
        ),
    ],
    "Pusher": [
        _kill("Pusher", "staging folder made", _audit("open", _STAGING)),
        _kill("Pusher", "copied, not renamed", _audit("os.rename", _STAGING)),
        _kill(
            *("Pusher", "renamed, ledger not written"),
            _audit("open", r"/\.pushed/\.part-"),
        ),
        _kill(
            *("Pusher", "ledger written, audit and ML Metadata not"),
            _audit("open", r"/\.audit\.jsonl "),
        ),
    ],
    "ReportGen": [_kill("Summary", "before it is written", _ended("ReportGen"))],
}
_AFTER: Final = [
    _kill("Outcome", "before its line", _LINE),
    # In the order in which cleaning removes.
    _kill(
        *("Retention", "version renamed, not removed"),
        _audit("shutil.rmtree", r"/serving/\.removing-", _COMMAND),
    ),
    _kill("Retention", "first artifact", _ARTIFACT),
    _kill(
        *("Retention", "within an artifact"),
        _audit("os.remove", r"^(saved_model\.pb|report\.html) ", _COMMAND),
    ),
]
