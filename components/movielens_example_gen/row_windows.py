"""A timeline cut into windows, so that every event is a target exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def cut(num_events: int, length: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Cuts a timeline of `num_events` events, oldest first.

    The first window has no context. Each later one starts `stride` events on, and its
    first `length - stride` events are context: they were targets in the window before.

    Args:
      num_events: Length of the timeline.
      length: Events of a window at most.
      stride: New targets per window.

    Yields:
      (first event, end, number of context events) of each window.
    """
    start, done = 0, 0
    while done < num_events:
        end = min(start + length, num_events)
        yield start, end, done - start
        start, done = start + stride, end


def count(lengths: NDArray[np.int64], length: int, stride: int) -> int:
    """How many windows `cut` makes of timelines of these lengths.

    Args:
      lengths: `[num_users]` events of each timeline.
      length: Events of a window at most.
      stride: New targets per window.
    """
    beyond_the_first = np.maximum(lengths - length, 0)
    return int((lengths > 0).sum() + (-(-beyond_the_first // stride)).sum())
