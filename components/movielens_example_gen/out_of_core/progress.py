"""How far the tasks are, by the files that they have written."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from components import storage
from components.movielens_example_gen.out_of_core.inputs import Inputs
from trainer.progress import Work

_SECONDS_BETWEEN_LOOKS = 2.0


@contextlib.contextmanager
def watched(
    inputs: Inputs, kind: str, total: int, shares: tuple[float, float]
) -> Iterator[None]:
    """Reports the progress of tasks while the block runs.

    Args:
      inputs: Those of the tasks.
      kind: Of what they find.
      total: How many there are.
      shares: Of the whole work before these tasks, and after them.
    """
    ended = threading.Event()
    first, last = shares
    work = Work("parts", first)

    def look() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            names = storage.names(inputs.folder) or []
            done = sum(inputs.is_facts(kind, name) for name in names)
            work.update(first + (last - first) * done / max(total, 1), done)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        work.update(last, total)
