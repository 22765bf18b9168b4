"""The events of a span as queries: each is predicted from what came before it.

Rows are those of the eval split, made by `components.movielens_example_gen`: history,
seen movies and the order of ties are defined there alone. For each event of the span,
one row is made, whose history grows with the user's own events in the span.

What belongs to the span is decided by its folder, not by time: a late rating, older
than some that were trained on, is predicted from what came before it. A movie that the
user had rated in an older span already is no query, since the model knows the answer:
such a rating is left out, and the older one stays in the history.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen import timelines
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs import spans
from components.movielens_example_gen.inputs.editions import TIMESTAMP
from components.movielens_example_gen.inputs.spans import SpanFiles
from components.movielens_example_gen.readers import raw_data
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.raw_data import RawData
from components.movielens_example_gen.rows import staging
from components.movielens_example_gen.rows.examples import Corpus, eval_rows
from components.movielens_example_gen.tables import Ids, Ratings, User
from components.movielens_example_gen.timelines import HELD_OUT, KNOWN, Timelines
from trainer.errors import UserError

# Both bound the time that a large edition takes. What is left out is a random sample:
# users are in the order of a hash, and a user's events are taken evenly in time.
MAX_USERS: Final = 5_000
MAX_EVENTS_OF_USER: Final = 20
_EVENTS_PER_BATCH: Final = 200_000
_QUERIES_PER_BATCH: Final = 512


@dataclass(frozen=True)
class QueryBatch:
    """Some of the queries.

    Attributes:
      rows: `[queries]` serialized eval rows, with one held-out movie each.
      held_out: int32 `[queries]`, corpus row of that movie.
      seen: int32, corpus rows of the movies before it, of all queries one after the
        other.
      seen_lengths: int64 `[queries]`, how many each has.
    """

    rows: list[bytes]
    held_out: NDArray[np.int32]
    seen: NDArray[np.int32]
    seen_lengths: NDArray[np.int64]


@dataclass(frozen=True)
class SpanQueries:
    """The queries of one span.

    Attributes:
      user_ids: `[users]` bytes, of the users with a query.
      user_of_query: `[queries]` index into `user_ids`, ascending.
      num_ratings: `[num_movies]` int64: ratings of each movie of the corpus in older
        spans. The corpus are all movies that were listed when the spans were read.
      num_events: Events of the span, of all its users, that could be queries.
      num_users: Users of the span, those beyond `MAX_USERS` included.
    """

    user_ids: Ids
    user_of_query: NDArray[np.int64]
    num_ratings: NDArray[np.int64]
    num_events: int
    num_users: int
    _events: NDArray[np.int64]  # `[queries]` position of the event in the timelines
    _timelines: Timelines
    _users: dict[bytes, User]
    _corpus: Corpus
    _config: ExampleGenConfig
    _rows: NDArray[np.int32]  # corpus row of each movie of the timelines

    def __len__(self) -> int:
        """Number of queries."""
        return len(self._events)

    def batches(self) -> Iterator[QueryBatch]:
        """Yields all queries in their order, some at a time."""
        events = self._timelines.events
        user = np.searchsorted(events.starts, self._events, side="right") - 1
        first = events.starts[user]
        lengths = self._events + 1 - first
        in_batch = 0
        start = 0
        for index, length in enumerate(lengths.tolist()):
            is_full = in_batch + length > _EVENTS_PER_BATCH
            if index > start and (is_full or index - start == _QUERIES_PER_BATCH):
                yield self._batch(user, first, lengths, slice(start, index))
                start, in_batch = index, 0
            in_batch += length
        if len(lengths):
            yield self._batch(user, first, lengths, slice(start, len(lengths)))

    def _batch(
        self,
        user: NDArray[np.int64],
        first: NDArray[np.int64],
        lengths: NDArray[np.int64],
        some: slice,
    ) -> QueryBatch:
        """Makes a timeline for each query: the user's, up to the event."""
        events = self._timelines.events
        lengths = lengths[some]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        index = np.arange(starts[-1]) + np.repeat(first[some] - starts[:-1], lengths)
        kinds = events.kinds[index]
        kinds[kinds == HELD_OUT] = KNOWN
        last = starts[1:] - 1
        kinds[last] = HELD_OUT
        prefixes = timelines.Events(
            starts,
            events.movies[index],
            events.ratings[index],
            events.timestamps[index],
            kinds,
        )
        lines = Timelines(
            self._timelines.user_ids[user[some]],
            self._timelines.movie_ids,
            prefixes,
            counts={},
        )
        shard = staging.timeline_batch(lines, self._users, self._rows)
        movies = self._rows[prefixes.movies]
        return QueryBatch(
            list(eval_rows(shard, self._corpus, self._config)),
            movies[last],
            np.delete(movies, last),
            lengths - 1,
        )


@dataclass(frozen=True)
class SpanData:
    """A span and all before it, as read.

    Attributes:
      spans: Oldest first; those without ratings list movies or users only.
      raw: Their rows. `raw.ratings.spans` is the index into `spans`.
      config: How they were read.
    """

    spans: tuple[SpanFiles, ...]
    raw: RawData
    config: ExampleGenConfig

    @classmethod
    def read(
        cls, base: Path, config: ExampleGenConfig, span: str | None = None
    ) -> SpanData:
        """Reads a span and all before it, whatever window is trained on.

        Args:
          base: Folder of the spans.
          config: How ratings are read; of its filters only `min_rating` is applied.
          span: The span, as in `ExampleGenConfig.last_span`; None for the newest.

        Raises:
          UserError: A file or the span is missing, a row is bad, or there are no times.
        """
        if raw_data.csv_header(config)[TIMESTAMP] is None:
            raise UserError(
                "data.columns.timestamp is null, so no event comes before another",
                "Name the column with the times.",
            )
        config = _until(span, config)
        found = spans.resolve(base, config)
        bad = BadRows(config.on_bad_row, config.max_quarantined_fraction)
        return cls(found, raw_data.read(found, config, bad), config)

    def queries(self, span: int | None = None) -> SpanQueries:
        """Finds the queries of a span.

        Args:
          span: Its number; None for the newest.
        """
        index = len(self.spans) - 1
        if span is not None:
            index = [files.span for files in self.spans].index(span)
        ratings = self.raw.ratings.keep(self.raw.ratings.spans <= index)
        ratings = _without_rated_before(ratings, index)
        # All events of the span are held out, and all older ones known.
        lines = timelines.build(ratings, self.config, first_span=index)
        corpus_ids = sorted(self.raw.movies)
        row_of = {movie_id: row for row, movie_id in enumerate(corpus_ids)}
        rows = np.array([row_of[movie] for movie in lines.movie_ids], np.int32)
        events = lines.events
        known = rows[events.movies[events.kinds == KNOWN]]
        num_ratings = np.bincount(known, minlength=len(corpus_ids)).astype(np.int64)
        movies = (corpus_ids, self.raw.movies, num_ratings.tolist())
        chosen, num_users = _choose(lines)
        users = np.searchsorted(events.starts, chosen, side="right") - 1
        distinct, user_of_query = np.unique(users, return_inverse=True)
        return SpanQueries(
            user_ids=lines.user_ids[distinct],
            user_of_query=user_of_query,
            num_ratings=num_ratings,
            num_events=int((events.kinds == HELD_OUT).sum()),
            num_users=num_users,
            _events=chosen,
            _timelines=lines,
            _users=self.raw.users,
            _corpus=Corpus.of([staging.corpus_batch(*movies)]),
            _config=self.config,
            _rows=rows,
        )


def newest_span(base: Path, config: ExampleGenConfig, span: str | None = None) -> int:
    """Returns the number of the span that `SpanData.read` would end with.

    No ratings are read. For arguments and errors see there.
    """
    return spans.resolve(base, _until(span, config))[-1].span


def _until(span: str | None, config: ExampleGenConfig) -> ExampleGenConfig:
    """The settings by which a span and all before it are read."""
    return dataclasses.replace(
        config,
        split="temporal_global",
        eval_start=0,
        min_user_ratings=1,
        first_span=None,
        span_window=None,
        last_span=span,
        missing_spans="skip",
    )


def _without_rated_before(ratings: Ratings, newest: int) -> Ratings:
    """Drops ratings of the newest span of movies that the user rated in older ones."""
    keys = ratings.users.astype(np.int64) * len(ratings.movie_ids) + ratings.movies
    is_new = ratings.spans == newest
    return ratings.keep(~(is_new & np.isin(keys, keys[~is_new])))


def _choose(lines: Timelines) -> tuple[NDArray[np.int64], int]:
    """Chooses the events that become queries, and counts the users who have any."""
    starts = lines.events.starts
    positions = np.flatnonzero(lines.events.kinds == HELD_OUT)
    users = np.searchsorted(starts, positions, side="right") - 1
    distinct, first = np.unique(users, return_index=True)
    chosen = [
        of_user[_evenly(len(of_user), MAX_EVENTS_OF_USER)]
        for of_user in np.split(positions, first[1:])[:MAX_USERS]
    ]
    return np.concatenate(chosen), len(distinct)


def _evenly(count: int, at_most: int) -> NDArray[np.int64]:
    """Returns indices below `count`, all or some at even distances."""
    if count <= at_most:
        return np.arange(count)
    return np.linspace(0, count - 1, at_most).round().astype(np.int64)
