"""Starts what a later step needs while Trainer writes the model, which takes one core.

Training keeps all processors busy and the export only one, so that the end of training
is when a process may start without slowing another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from trainer import progress


class _AfterTraining:
    """Calls a function whenever Trainer, not Tuner, has trained its last epoch."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._is_training = False

    def receive(self, event: progress.Event) -> None:
        if event["kind"] == "step":
            started = (event["id"], event["state"]) == ("Trainer", "running")
            self._is_training = started
        elif self._is_training and event["kind"] == "work" and event["share"] == 1:
            self._is_training = False
            self._call()


def called_after_training(call: Callable[[], None]) -> AbstractContextManager[None]:
    """Within it, a function is called when Trainer has trained its last epoch.

    Args:
      call: Must return at once, since Trainer waits for it.
    """
    return progress.received_by(_AfterTraining(call).receive)
