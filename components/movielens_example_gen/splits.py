"""Which events are held out for evaluation, and which reach neither split."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen import ids
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.tables import Ratings

Mask = NDArray[np.bool_]
_HASH_BITS: Final = 64


def hold_out(
    events: Ratings,
    starts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    config: ExampleGenConfig,
) -> Mask:
    """Marks the events that the eval split asks for.

    Args:
      events: Sorted by user and within a user by time.
      starts: `[num_users + 1]` where each user's events begin.
      hashes: `[num_events]` fixed hash of (user_id, movie_id).
      config: The split and its parameters.

    Returns:
      `[num_events]` True where held out.
    """
    if config.split == "leave_last_n":
        lengths = np.diff(starts)
        from_the_end = np.repeat(starts[1:], lengths) - np.arange(len(events))
        last: Mask = from_the_end <= config.holdout
        return last
    if config.split == "temporal_global":
        after: Mask = events.timestamps >= temporal_cut(events.timestamps, config)
        return after
    seeded = ids.mix(hashes, np.zeros_like(hashes), config.seed)
    drawn: Mask = seeded < np.uint64(int(config.holdout_fraction * 2**_HASH_BITS))
    return drawn


def temporal_cut(timestamps: NDArray[np.int64], config: ExampleGenConfig) -> int:
    """First second of the eval period: `eval_start`, or the quantile of the events.

    Events that share the cut's second all fall into the eval period, so that none of
    them can be known in training.
    """
    if config.eval_start is not None:
        return config.eval_start
    if not len(timestamps):
        return 0
    place = int(len(timestamps) * (1 - config.holdout_fraction))
    return int(np.partition(timestamps, place)[place])
