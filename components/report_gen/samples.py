"""A few users of the eval split, and what the model recommends to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final

import tensorflow as tf
from tfx import types

from components.example_rows import serialized_rows
from components.loaded_models import load_model
from components.report_gen.facts import Recommended, UserSample
from trainer import features as f
from trainer.serving_contract import RECOMMEND_FROM_HISTORY

# Rows are in the order of a hash of the user, so the first ones are a random sample.
_NUM_ROWS: Final = 400
# Quantiles of the users' activity.
_QUANTILES: Final = (0.1, 0.5, 0.9)
_RECENT: Final = 8
_TOP: Final = 10

_Row = dict[str, list[Any]]


def sample_users(
    examples: types.Artifact, model_path: str, max_k: int
) -> list[UserSample]:
    """Recommends movies to users of little, usual and much activity.

    Args:
      examples: The `Examples`.
      model_path: Folder of the exported model.
      max_k: Most movies that the model recommends.
    """
    rows = list(islice(_rows(examples, f.EVAL_SPLIT), _NUM_ROWS))
    rows.sort(key=lambda row: (len(row[f.SEEN_MOVIE_IDS]), row[f.USER_ID]))
    chosen = [rows[int(q * len(rows))] for q in _QUANTILES] if rows else []
    titles = {
        movie[f.MOVIE_ID][0]: movie[f.TITLE][0].decode(errors="replace")
        for movie in _rows(examples, f.CORPUS_SPLIT)
    }
    model = load_model(model_path)
    k = min(_TOP, max_k)
    return [_sample(row, titles, model, k) for row in chosen]


def _sample(row: _Row, titles: dict[bytes, str], model: Any, k: int) -> UserSample:
    """Recommends from the row's history: the served one has the held-out events."""
    answer = RECOMMEND_FROM_HISTORY.call(
        model,
        user_id=row[f.USER_ID],
        movie_ids=[row[f.MOVIE_IDS]],
        ratings=[row[f.RATINGS]],
        timestamps=[row[f.TIMESTAMPS]],
        k=[k],
    )
    columns = [answer[name][0] for name in ("movie_ids", "titles", "genres")]
    events = list(zip(row[f.MOVIE_IDS], row[f.RATINGS], strict=True))
    held_out = row[f.HELD_OUT_MOVIE_IDS]
    return UserSample(
        user_id=row[f.USER_ID][0].decode(errors="replace"),
        num_events=len(row[f.SEEN_MOVIE_IDS]),
        recent=[(titles.get(m, "?"), r) for m, r in reversed(events[-_RECENT:])],
        held_out=[titles.get(m, "?") for m in held_out],
        recommended=[
            Recommended(
                title.decode(errors="replace"),
                genres.decode(errors="replace").replace("|", ", "),
                movie_id in held_out,
            )
            for movie_id, title, genres in zip(*columns, strict=True)
            if movie_id
        ],
    )


def _rows(examples: types.Artifact, split: str) -> Iterator[_Row]:
    """Yields the rows of the split as feature -> values."""
    # In batches: a step of the iterator takes longer than to read a row.
    batches = serialized_rows(examples, split).batch(_NUM_ROWS).as_numpy_iterator()
    for serialized in chain.from_iterable(batches):
        features = tf.train.Example.FromString(serialized).features.feature
        yield {
            name: list(
                getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
            )
            for name, feature in features.items()
        }
