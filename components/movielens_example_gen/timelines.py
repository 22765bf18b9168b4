"""Step 3: ratings to user timelines. Duplicates, order, filters and split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.tables import Codes, Ids, Ratings, mix
from trainer.id_hashes import hash_ids

Mask = NDArray[np.bool_]
_HASH_BITS: Final = 64
FILTERS: Final = ("outside_window", "by_rating", "short_timelines")


# What becomes of an event.
TRAIN: Final = 0  # it is trained on
HELD_OUT: Final = 1  # it is held out for evaluation
KNOWN: Final = 2  # neither, but part of the user's history when the model is served
SEEN: Final = 3  # not even that: it only keeps the movie from being recommended


@dataclass(frozen=True)
class Events:
    """Events of all users, one after the other, oldest first within a user.

    Attributes:
      starts: `[num_users + 1]` int64, where each user's events begin.
      movies: `[num_events]` int32, index into `Timelines.movie_ids`.
      ratings: `[num_events]` float32, on the scale of the ratings.
      timestamps: `[num_events]` int64, seconds since the epoch, UTC.
      kinds: `[num_events]` int8: `TRAIN`, `HELD_OUT`, `KNOWN` or `SEEN`.
    """

    starts: NDArray[np.int64]
    movies: Codes
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    kinds: NDArray[np.int8]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.movies)

    def lengths(self, *kinds: int) -> NDArray[np.int64]:
        """Returns the number of events of some kinds, `[num_users]`."""
        before = np.concatenate(([0], np.cumsum(np.isin(self.kinds, kinds))))
        return np.diff(before[self.starts])


@dataclass(frozen=True)
class Timelines:
    """All that is known of each user.

    Attributes:
      user_ids: `[num_users]` bytes, in the order of the rows: sorted by a fixed hash,
        so that users next to each other in a file have nothing in common.
      movie_ids: `[num_movies]` bytes, the rated movies.
      events: The newest rating of each movie by each user, whatever becomes of it.
      counts: Number of events and users by what became of them: see `build`.
    """

    user_ids: Ids
    movie_ids: Ids
    events: Events
    counts: dict[str, int]


def build(ratings: Ratings, config: ExampleGenConfig, first_span: int = 0) -> Timelines:
    """Makes the timelines. The order of the input rows does not matter.

    What users have *seen* is everything that they rated; what a model is *trained* on
    is what the configuration says. Therefore no event is dropped but superseded ones:

    1. Of several ratings of a movie by a user the latest is kept.
    2. Events are sorted by (timestamp, hash of (user_id, movie_id)).
    3. Events before `first_span` are `KNOWN`. So are those of users with fewer than
       `min_user_ratings` others. Events rated below `min_rating` are `SEEN`.
    4. The rest is divided into `TRAIN` and `HELD_OUT`. Users without an event in
       training ("cold users") become queries without a history, unless older events
       are known.

    Args:
      ratings: All rows of all spans.
      config: What is trained on, and what is held out.
      first_span: Index of the oldest span that is trained on.

    Returns:
      The timelines. Their `counts` account for every rating: `duplicate` + `filtered` +
      `train` + `eval` is the number of ratings given, and `filtered` is the sum of
      `filtered_outside_window`, `filtered_by_rating` and `filtered_short_timelines`.
    """
    kept, num_duplicates = drop_duplicates(ratings)
    events, hashes, order = _in_order(kept)
    kinds, counts = _classify(events, hashes, order, config, first_span)
    counts["duplicate"] = num_duplicates
    num_users = len(events.user_ids)
    in_train = np.bincount(events.users[kinds == TRAIN], minlength=num_users)
    in_eval = np.bincount(events.users[kinds == HELD_OUT], minlength=num_users)
    counts["cold_users"] = int(((in_eval > 0) & (in_train == 0)).sum())
    num_trained = np.bincount(
        events.movies[kinds == TRAIN], minlength=len(events.movie_ids)
    )
    unknown = num_trained[events.movies[kinds == HELD_OUT]] == 0
    counts["cold_movie_holdouts"] = int(unknown.sum())
    rows = order[np.bincount(events.users, minlength=num_users)[order] > 0]
    return Timelines(
        events.user_ids[rows],
        events.movie_ids,
        Events(
            _starts(events, rows),
            events.movies,
            events.ratings,
            events.timestamps,
            kinds,
        ),
        counts,
    )


def _classify(
    events: Ratings,
    hashes: NDArray[np.uint64],
    order: Codes,
    config: ExampleGenConfig,
    first_span: int,
) -> tuple[NDArray[np.int8], dict[str, int]]:
    """Decides what becomes of each of the sorted events, and counts it."""
    counts: dict[str, int] = {}
    liked = events.ratings >= config.min_rating
    in_window = events.spans >= first_span
    trainable = _trainable(events, config, first_span)
    counts["filtered_outside_window"] = int((~in_window).sum())
    counts["filtered_by_rating"] = int((in_window & ~liked).sum())
    counts["filtered_short_timelines"] = int((liked & in_window & ~trainable).sum())
    counts["filtered"] = sum(counts[f"filtered_{why}"] for why in FILTERS)
    some = events.keep(trainable)
    held_out = hold_out(some, _starts(some, order), hashes[trainable], config)
    kinds = np.where(liked, np.int8(KNOWN), np.int8(SEEN))
    kinds[trainable] = np.where(held_out, np.int8(HELD_OUT), np.int8(TRAIN))
    counts["eval"] = int(held_out.sum())
    counts["train"] = len(held_out) - counts["eval"]
    return kinds, counts


def _trainable(events: Ratings, config: ExampleGenConfig, first_span: int) -> Mask:
    """Marks what is divided into `TRAIN` and `HELD_OUT`, in any order of the events."""
    wanted: Mask = (events.ratings >= config.min_rating) & (events.spans >= first_span)
    lengths = np.bincount(events.users[wanted], minlength=len(events.user_ids))
    wanted &= (lengths >= config.min_user_ratings)[events.users]
    return wanted


def trainable_timestamps(
    ratings: Ratings, config: ExampleGenConfig, first_span: int
) -> NDArray[np.int64]:
    """Returns the times of the events that `temporal_cut` divides, of whole users."""
    events, _ = drop_duplicates(ratings)
    return events.timestamps[_trainable(events, config, first_span)]


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
    index = cut_index(len(timestamps), config)
    return int(np.partition(timestamps, index)[index])


def cut_index(num_events: int, config: ExampleGenConfig) -> int:
    """Returns which of the events in the order of time begins the eval period."""
    return int(num_events * (1 - config.holdout_fraction))
