"""Ratings to user timelines: duplicates, filters, order and split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen import ids, splits
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.tables import Codes, Ids, Ratings


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
      user_ids: `[num_users]` bytes, in the order of the rows: by a fixed hash, so that
        neighbours in a file have nothing in common.
      movie_ids: `[num_movies]` bytes, the rated movies.
      train: The training timelines; empty for cold users.
      held_out: What is held out, empty for users without a query.
      counts: Events and users by what became of them: see `build`.
    """

    user_ids: Ids
    movie_ids: Ids
    train: Events
    held_out: Events
    counts: dict[str, int]


def build(ratings: Ratings, config: ExampleGenConfig) -> Timelines:
    """Makes the timelines. The order of the input rows does not matter.

    In this order: of two ratings of one movie by one user the latest is kept; ratings
    under `min_rating` go; users with less than `min_user_ratings` left go; events are
    sorted by (timestamp, hash of (user_id, movie_id)); the split is drawn. Users with
    nothing in training ("cold users") are queries without a history.

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
    starts = _starts(events.users, len(events.user_ids), order)
    held_out = splits.hold_out(events, starts, hashes, config)
    return _divide(events, order, held_out, counts)


def drop_duplicates(ratings: Ratings) -> tuple[Ratings, int]:
    """Keeps the latest rating of each (user, movie).

    Of two in one second the newer span's is kept, else the higher rating: a rule that
    the order of the rows cannot change.

    Returns:
      The ratings that stay, and how many went.
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
    user_hashes = ids.hash_ids(events.user_ids)
    movie_hashes = ids.hash_ids(events.movie_ids)
    order = np.lexsort((np.arange(len(user_hashes)), user_hashes)).astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    hashes = ids.mix(user_hashes[events.users], movie_hashes[events.movies])
    index = np.lexsort((hashes, events.timestamps, rank[events.users]))
    return events.take(index), hashes[index], order


def _starts(users: Codes, num_users: int, order: Codes) -> NDArray[np.int64]:
    lengths = np.bincount(users, minlength=num_users)[order]
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def _divide(
    events: Ratings, order: Codes, held_out: splits.Mask, counts: dict[str, int]
) -> Timelines:
    num_users = len(events.user_ids)
    in_train = np.bincount(events.users[~held_out], minlength=num_users)
    in_all = np.bincount(events.users, minlength=num_users)
    counts["cold_users"] = int(((in_all > 0) & (in_train == 0)).sum())
    rows = order[in_all[order] > 0]
    train = _events(events.take(~held_out), num_users, rows)
    eval_events = _events(events.take(held_out), num_users, rows)
    in_corpus = np.bincount(train.movies, minlength=len(events.movie_ids)) > 0
    counts["cold_movie_holdouts"] = int((~in_corpus[eval_events.movies]).sum())
    counts["train"], counts["eval"] = len(train), len(eval_events)
    counts["filtered"] = sum(
        n for name, n in counts.items() if name.startswith("filtered_")
    )
    return Timelines(
        events.user_ids[rows], events.movie_ids, train, eval_events, counts
    )


def _events(part: Ratings, num_users: int, rows: Codes) -> Events:
    starts = _starts(part.users, num_users, rows)
    return Events(starts, part.movies, part.ratings, part.timestamps)
