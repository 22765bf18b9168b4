"""Step 3: ratings to user timelines. Duplicates, filters, order and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.tables import Codes, Ids, Ratings, hash_ids, mix

Mask = NDArray[np.bool_]
_HASH_BITS: Final = 64


@dataclass(frozen=True)
class Events:
    """Events of all users, one after the other, oldest first within a user.

    Attributes:
      starts: `[num_users + 1]` int64, where each user's events begin.
      movies: `[num_events]` int32, index into `Timelines.movie_ids`.
      ratings: `[num_events]` float32, stars.
      timestamps: `[num_events]` int64, seconds since the epoch, UTC.
    """

    starts: NDArray[np.int64]
    movies: Codes
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.movies)


@dataclass(frozen=True)
class Timelines:
    """What reaches the train and the eval split.

    Attributes:
      user_ids: `[num_users]` bytes, in the order of the rows: sorted by a fixed hash,
        so that users next to each other in a file have nothing in common.
      movie_ids: `[num_movies]` bytes, the rated movies.
      train: The training timelines; empty for cold users.
      held_out: The events held out for evaluation; empty for users without a query.
      counts: Number of events and users by what became of them: see `build`.
    """

    user_ids: Ids
    movie_ids: Ids
    train: Events
    held_out: Events
    counts: dict[str, int]


def build(ratings: Ratings, config: ExampleGenConfig) -> Timelines:
    """Makes the timelines. The order of the input rows does not matter.

    1. Of several ratings of a movie by a user the latest is kept.
    2. Ratings below `min_rating` are dropped.
    3. Users with fewer than `min_user_ratings` ratings left are dropped.
    4. Events are sorted by (timestamp, hash of (user_id, movie_id)).
    5. Events are held out for evaluation. Users without an event in training ("cold
       users") become queries without a history.

    Returns:
      The timelines. Their `counts` account for every rating: `duplicate` + `filtered` +
      `train` + `eval` is the number of ratings given, and `filtered` is the sum of
      `filtered_by_rating` and `filtered_short_timelines`.
    """
    counts: dict[str, int] = {}
    kept, counts["duplicate"] = drop_duplicates(ratings)
    liked = kept.keep(kept.ratings >= config.min_rating)
    counts["filtered_by_rating"] = len(kept) - len(liked)
    lengths = np.bincount(liked.users, minlength=len(liked.user_ids))
    long_enough = lengths >= config.min_user_ratings
    events = liked.keep(long_enough[liked.users])
    counts["filtered_short_timelines"] = len(liked) - len(events)
    events, hashes, order = _in_order(events)
    starts = _starts(events, order)
    held_out = hold_out(events, starts, hashes, config)
    return _divide(events, order, held_out, counts)


def drop_duplicates(ratings: Ratings) -> tuple[Ratings, int]:
    """Keeps the latest rating of each (user, movie).

    Of two ratings in one second that of the newer span is kept, or else the higher one,
    so that the order of the rows does not matter.

    Returns:
      The ratings kept, and how many were dropped.
    """
    keys = ratings.users.astype(np.int64) * len(ratings.movie_ids) + ratings.movies
    in_order = np.sort(keys)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not len(repeated):
        return ratings, 0
    rows = np.flatnonzero(np.isin(keys, repeated))
    some = ratings.take(rows)
    order = np.lexsort((some.ratings, some.spans, some.timestamps, keys[rows]))
    sorted_keys = keys[rows][order]
    superseded = np.append(sorted_keys[1:] == sorted_keys[:-1], False)
    keep = np.ones(len(ratings), bool)
    keep[rows[order[superseded]]] = False
    return ratings.take(keep), int(superseded.sum())


def _in_order(events: Ratings) -> tuple[Ratings, NDArray[np.uint64], Codes]:
    """Sorts by user (in row order), time and hash.

    Returns:
      The events, their hashes, and `[num_ids]` the user codes in row order.
    """
    user_hashes = hash_ids(events.user_ids)
    movie_hashes = hash_ids(events.movie_ids)
    order = np.lexsort((np.arange(len(user_hashes)), user_hashes)).astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    hashes = mix(user_hashes[events.users], movie_hashes[events.movies])
    index = np.lexsort((hashes, events.timestamps, rank[events.users]))
    return events.take(index), hashes[index], order


def _starts(events: Ratings, order: Codes) -> NDArray[np.int64]:
    lengths = np.bincount(events.users, minlength=len(events.user_ids))[order]
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def hold_out(
    events: Ratings,
    starts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    config: ExampleGenConfig,
) -> Mask:
    """Marks the events that are held out for evaluation.

    Args:
      events: Sorted by user and within a user by time.
      starts: `[num_users + 1]` start of each user's events.
      hashes: `[num_events]` fixed hash of (user_id, movie_id).
      config: The split and its parameters.

    Returns:
      `[num_events]` True where held out.
    """
    if config.split == "leave_last_n":
        lengths = np.diff(starts)
        from_the_end = np.repeat(starts[1:], lengths) - np.arange(len(events))
        held_out: Mask = from_the_end <= config.holdout
    elif config.split == "temporal_global":
        held_out = events.timestamps >= temporal_cut(events.timestamps, config)
    else:
        seeded = mix(hashes, np.zeros_like(hashes), config.seed)
        held_out = seeded < np.uint64(int(config.holdout_fraction * 2**_HASH_BITS))
    return held_out


def temporal_cut(timestamps: NDArray[np.int64], config: ExampleGenConfig) -> int:
    """Returns the first second of the eval period: `eval_start`, or a quantile.

    All events in that second are in the eval period, so that training knows none.
    """
    if config.eval_start is not None:
        return config.eval_start
    if not len(timestamps):
        return 0
    index = int(len(timestamps) * (1 - config.holdout_fraction))
    return int(np.partition(timestamps, index)[index])


def _divide(
    events: Ratings, order: Codes, held_out: Mask, counts: dict[str, int]
) -> Timelines:
    """Divides the sorted events into training and eval, and completes `counts`."""
    num_users = len(events.user_ids)
    in_train = np.bincount(events.users[~held_out], minlength=num_users)
    in_all = np.bincount(events.users, minlength=num_users)
    counts["cold_users"] = int(((in_all > 0) & (in_train == 0)).sum())
    rows = order[in_all[order] > 0]
    train, eval_events = (
        Events(_starts(part, rows), part.movies, part.ratings, part.timestamps)
        for part in (events.take(~held_out), events.take(held_out))
    )
    in_corpus = np.bincount(train.movies, minlength=len(events.movie_ids)) > 0
    counts["cold_movie_holdouts"] = int((~in_corpus[eval_events.movies]).sum())
    counts["train"], counts["eval"] = len(train), len(eval_events)
    counts["filtered"] = sum(
        n for name, n in counts.items() if name.startswith("filtered_")
    )
    return Timelines(
        events.user_ids[rows], events.movie_ids, train, eval_events, counts
    )
