"""Joins impressions with the ratings that came after them.

* An *outcome* is a movie that a user rates for the first time.
* It is credited to the last impression of the user that came before it, whatever that
  showed, if it is no more than the window away: so each outcome is evidence about one
  list, and a page that was loaded three times counts once. Earlier impressions that
  could have had it are *superseded*.
* A *hit* is an outcome whose movie is on the list to which it is credited.

An impression that was credited with an outcome is a query in the sense of
`components.metrics`, and its outcomes are the relevant movies. One without an outcome
says nothing: the user may have gone to the cinema. Ratings have whole seconds, so an
impression counts as before a rating of the same second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.feedback.outcomes import Outcomes
from components.metrics import Ranks

_MICROSECONDS: Final = 1_000_000
_PER_BLOCK: Final = 4096  # queries of which the ranks are padded to one width
_NOT_SHOWN: Final = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Joined:
    """Impressions of whole users, sorted by user and time, without duplicates.

    Attributes:
      table: Columns `user_parts.COLUMNS`, `[impressions]`.
      user: int64 `[impressions]`: index of the user within these.
      is_known: bool `[impressions]`: whether the user has rated anything.
      is_superseded: bool `[impressions]`.
      at: int64 `[impressions]`, seconds since the epoch, UTC.
      credited: int64 `[credits]`: impression that an outcome is credited to, ascending.
      rank: int32 `[credits]`: position of its movie on the list, from 1; the largest
        int32 where the list does not show it.
      duplicates: Number of impressions that were there before.
    """

    table: pa.Table
    user: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    is_superseded: NDArray[np.bool_]
    at: NDArray[np.int64]
    credited: NDArray[np.int64]
    rank: NDArray[np.int32]
    duplicates: int

    def queries(
        self, chosen: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.int64], Ranks]]:
        """Yields the chosen impressions with an outcome, and the ranks of their movies.

        Args:
          chosen: bool `[impressions]`.

        Yields:
          The impressions `[queries]` of a block, and their outcomes' ranks.
        """
        impressions, first, lengths = np.unique(
            self.credited, return_index=True, return_counts=True
        )
        kept = np.flatnonzero(chosen[impressions])
        kept = kept[np.argsort(lengths[kept], kind="stable")]  # little padding
        for start in range(0, len(kept), _PER_BLOCK):
            block = kept[start : start + _PER_BLOCK]
            columns = np.arange(lengths[block].max())
            is_there = columns < lengths[block, np.newaxis]
            rank = np.zeros(is_there.shape, np.int32)
            positions = first[block, np.newaxis] + columns
            rank[is_there] = self.rank[positions[is_there]]
            # Whatever is on the list has a rank; nothing else limits it.
            limit = np.full(len(block), _NOT_SHOWN - 1, np.int32)
            yield impressions[block], Ranks(rank, limit)


def join(table: pa.Table, outcomes: Outcomes, window: int) -> Joined:
    """Joins the impressions of some users.

    Args:
      table: Columns `user_parts.COLUMNS`: all impressions of these users, but none of
        users without an id.
      outcomes: Of all users.
      window: Seconds.
    """
    count = len(table)
    ids = table["user_id"].combine_chunks().dictionary_encode()
    table, user = _ordered(table, ids.indices.to_numpy().astype(np.int64))
    at = table["at"].combine_chunks().cast(pa.int64()).to_numpy() // _MICROSECONDS
    rated_by = outcomes.find_users(ids.dictionary)
    known = np.flatnonzero(rated_by >= 0)
    known = known[np.argsort(rated_by[known])]
    events = outcomes.of_users(rated_by[known])
    of_user = np.empty(len(outcomes.user_ids), np.int64)
    of_user[rated_by[known]] = known
    event_user, event_time = of_user[outcomes.users[events]], outcomes.times[events]
    before, after = _neighbours(user, at, event_user, event_time)
    is_near = before >= 0
    is_near &= event_time - at[np.maximum(before, 0)] <= window
    credits = np.flatnonzero(is_near)
    credits = credits[np.argsort(before[credits], kind="stable")]
    credited = before[credits]
    has_outcome = after - at <= window
    has_outcome[credited] = False
    return Joined(
        table,
        user,
        rated_by[user] >= 0,
        has_outcome,
        at,
        credited,
        _ranks(table, credited, outcomes, outcomes.movies[events[credits]]),
        count - len(table),
    )


def _ordered(
    table: pa.Table, user: NDArray[np.int64]
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Sorts by user and time, and drops impressions that are there twice.

    Two are the same if request, user, version and time are: a file was copied.
    """
    requests = table["request_id"].combine_chunks().dictionary_encode()
    keys = (
        requests.indices.to_numpy().astype(np.int64),
        table["version"].to_numpy(),
        table["at"].combine_chunks().cast(pa.int64()).to_numpy(),
        user,
    )
    order = np.lexsort(keys)
    is_new = np.zeros(len(order), bool)
    is_new[:1] = True
    for key in keys:
        is_new[1:] |= key[order][1:] != key[order][:-1]
    kept = order[is_new]
    return table.take(pa.array(kept)), user[kept]


def _neighbours(
    user: NDArray[np.int64],
    at: NDArray[np.int64],
    event_user: NDArray[np.int64],
    event_time: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds what comes next to what in each user's time.

    Returns:
      `[events]` the last impression of the user at or before the event, -1 if there is
      none; and `[impressions]` the time of the next event at or after it, or a time
      that is further away than any window.
    """
    count = len(user)
    is_event = np.repeat([False, True], [count, len(event_user)])
    users, times = np.append(user, event_user), np.append(at, event_time)
    order = np.lexsort((np.arange(len(users)), is_event, times, users))
    places = np.arange(len(order))
    is_event, sorted_users = is_event[order], users[order]
    last = np.maximum.accumulate(np.where(is_event, -1, places))
    following = np.where(is_event, places, len(order))
    following = np.minimum.accumulate(following[::-1])[::-1]
    before = np.full(len(event_user), -1, np.int64)
    found = is_event & (last >= 0)
    found[found] = sorted_users[last[found]] == sorted_users[found]
    before[order[found] - count] = order[last[found]]
    after = np.full(count, np.iinfo(np.int64).max // 2, np.int64)
    found = ~is_event & (following < len(order))
    found[found] = sorted_users[following[found]] == sorted_users[found]
    after[order[found]] = times[order[following[found]]]
    return before, after


def _ranks(
    table: pa.Table,
    credited: NDArray[np.int64],
    outcomes: Outcomes,
    movies: NDArray[Any],
) -> NDArray[np.int32]:
    """int32 `[credits]`: position of each outcome's movie on the list, from 1."""
    impressions, index = np.unique(credited, return_inverse=True)
    lists = table["movie_ids"].take(pa.array(impressions)).combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # pyarrow 10, where no row is left
        lists = lists.chunk(0) if lists.num_chunks else pa.array([], lists.type)
    encoded = lists.flatten().dictionary_encode()
    codes = outcomes.find_movies(encoded.dictionary)[encoded.indices.to_numpy()]
    lengths = pc.list_value_length(lists).to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    width = lengths[index]
    pair = np.repeat(np.arange(len(index)), width)
    position = np.arange(len(pair)) - np.repeat(np.cumsum(width) - width, width)
    is_it = codes[starts[index][pair] + position] == movies[pair]
    rank = np.full(len(index), _NOT_SHOWN, np.int32)
    rank[pair[is_it]] = position[is_it] + 1
    return rank
