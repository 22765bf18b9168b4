"""How far the tasks are, by the files that they have written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from components import storage
from components.movielens_example_gen.out_of_core.inputs import Inputs
from trainer import progress
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
    first, last = shares
    work = Work("parts", first)

    def look() -> None:
        names = storage.names(inputs.folder) or []
        done = sum(inputs.is_facts(kind, name) for name in names)
        work.update(first + (last - first) * done / max(total, 1), done)

    try:
        with progress.watched(look, _SECONDS_BETWEEN_LOOKS):
            yield
    finally:
        work.update(last, total)
