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
        found.append(Case(node, _START, "kill all", start))
        if seconds >= _LONG_SECONDS:
            found.append(Case(node, _MIDDLE, "kill all", start, 0.5))
        found.append(Case(node, _MIDDLE, "kill pipeline", start, 0.5))
        found += _WITHIN.get(node, [])
    return [*found, *_AFTER]


def full_disks(steps: Mapping[str, float]) -> list[Case]:
    """All cases of full file systems; `steps` as above."""
    found: list[Case] = []
    for node, seconds in steps.items():
        found.append(Case(node, _START, "full workspace", _step(node)))
        if seconds >= _LONG_SECONDS:
            found.append(Case(node, _START, "full TMPDIR", _step(node)))
        if node == "Trainer":
            last = _epoch(EPOCHS)
            found.append(Case(node, "before the export", "full workspace", last))
        if node == "Pusher":
            copy = _audit("os.mkdir", r"/\.pushing-")
            found.append(Case(node, "before the copy", "full workspace", copy))
    return found


def _step(node: str) -> Mapping[str, Any]:
    return {"event": {"kind": "step", "id": node, "state": "running"}}


def _epoch(epoch: int) -> Mapping[str, Any]:
    return {"event": {"kind": "train", "epoch": epoch}}


def _audit(event: str, match: str) -> Mapping[str, Any]:
    return {"audit": event, "match": match}


_WITHIN: Final[Mapping[str, list[Case]]] = {
    "Trainer": [
        Case("Trainer", f"after epoch 2 of {EPOCHS}", "kill all", _epoch(2)),
        Case("Trainer", "after the last epoch", "kill all", _epoch(EPOCHS)),
        Case(
            *("Trainer", "model exported, checkpoint there", "kill all"),
            _audit("open", r"train_report\.json$|/model_run/.*/\.part-"),
        ),
    ],
    "Pusher": [
        Case(
            *("Pusher", "staging folder made", "kill all"),
            _audit("open", r"/\.pushing-[0-9a-f]+$"),
        ),
        Case(
            *("Pusher", "copied, not renamed", "kill all"),
            _audit("os.rename", r"/\.pushing-[0-9a-f]+$"),
        ),
        Case(
            *("Pusher", "renamed, ledger not written", "kill all"),
            _audit("open", r"/\.pushed/"),
        ),
        Case(
            *("Pusher", "ledger written, audit and ML Metadata not", "kill all"),
            _audit("open", r"/\.audit\.jsonl$"),
        ),
    ],
}
_AFTER: Final = [
    Case(
        "Summary",
        "before it is written",
        "kill all",
        _audit("open", r"/runs/2[^/]+/\.part-[0-9a-f]+$"),
    ),
    Case(
        "Retention",
        "first artifact",
        "kill all",
        _audit("shutil.rmtree", r"/artifacts/"),
    ),
    Case(
        "Retention",
        "within an artifact",
        "kill all",
        _audit("os.remove", r"^(?!.*part-)"),
    ),
    Case(
        "Retention",
        "old version renamed, not removed",
        "kill all",
        _audit("shutil.rmtree", r"/serving/\.removing-|^\.removing-"),
    ),
    Case(
        "Outcome",
        "before its line",
        "kill all",
        _audit("open", r"/retrainings\.jsonl$"),
    ),
]
