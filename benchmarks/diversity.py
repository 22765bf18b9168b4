"""What `diversity` of a request costs: quality, genres and time of a request.

    python -m benchmarks.diversity WORKSPACE/serving/VERSION \
        --examples WORKSPACE/artifacts/MovieLensExampleGen/examples/1 --results FILE

Asks the exported model by `recommend_from_history` for every row of the eval split, as
ServabilityCheck does. Settings are compared on the rows of even number, to choose one,
and on the others, to report it. Times are of one row for each call, settings taking
turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tfx.types import artifact_utils, standard_artifacts

from components.servability_check.queries import Query, read_queries
from trainer.features import EVAL_SPLIT
from trainer.serving_contract import (
    CANDIDATE_EMBEDDING,
    CATALOGUE,
    RECOMMEND_FROM_HISTORY,
)

_SETTINGS: Final = (0.0, 0.1, 0.2, 0.3, 0.5)
_K: Final = 10
_BATCH: Final = 64
_CALLS: Final = 100


def main() -> None:
    """Prints and writes one line of JSON for each setting and half."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    model = tf.saved_model.load(str(options.model))
    examples = standard_artifacts.Examples()
    examples.uri = str(options.examples)
    examples.split_names = artifact_utils.encode_split_names([EVAL_SPLIT])
    queries = read_queries(examples, 1_000_000)
    tables = _genres(model), _embeddings(model)
    times = _milliseconds(model, queries)
    lines = []
    plain = _measured(model, queries, tables, 0.0)
    for diversity in _SETTINGS:
        rows = _measured(model, queries, tables, diversity)
        for name, part in (("even", slice(0, None, 2)), ("odd", slice(1, None, 2))):
            about = {"diversity": diversity, "rows": name, "ms": times[diversity]}
            lines.append(json.dumps(about | _summary(rows[part], plain[part])))
            print(lines[-1], flush=True)
    if options.results:
        options.results.write_text("\n".join(lines) + "\n", encoding="utf-8")


# "similarity" is the mean cosine of the embeddings of two movies of a list.
_METRICS: Final = ("hit_rate@10", "ndcg@10", "genre_diversity@10", "similarity@10")

_Vectors = dict[bytes, NDArray[np.float64]]  # of unit length, by movie id


def _summary(
    rows: NDArray[np.float64], plain: NDArray[np.float64]
) -> dict[str, list[float]]:
    """Mean, difference from `plain`, and the standard error of that over queries."""
    gained = rows - plain
    error = gained.std(axis=0, ddof=1) / np.sqrt(len(rows))
    columns = np.stack([rows.mean(axis=0), gained.mean(axis=0), error], axis=1)
    return dict(zip(_METRICS, columns.round(4).tolist(), strict=True))


def _measured(
    model: Any,
    queries: Sequence[Query],
    tables: tuple[_Vectors, _Vectors],
    diversity: float,
) -> NDArray[np.float64]:
    """Returns the metrics of each query, `[queries, metrics]`."""
    rows = []
    for start in range(0, len(queries), _BATCH):
        some = queries[start : start + _BATCH]
        answer = _ask(model, some, diversity)
        for query, movies in zip(some, answer["movie_ids"].tolist(), strict=True):
            held_out = query.held_out[0].encode()
            place = movies.index(held_out) if held_out in movies else None
            gain = 0.0 if place is None else 1 / np.log2(place + 2)
            genres, embeddings = (_likeness(table, movies) for table in tables)
            rows.append((place is not None, gain, 1 - genres, embeddings))
    return np.array(rows, float)


def _ask(model: Any, queries: Sequence[Query], diversity: float) -> Any:
    return RECOMMEND_FROM_HISTORY.call(
        model,
        user_id=[query.user_id for query in queries],
        **{
            name: _padded([getattr(query, name) for query in queries], absent)
            for name, absent in (("movie_ids", ""), ("ratings", 0.0), ("timestamps", 0))
        },
        exclude_movie_ids=_padded([query.seen_before for query in queries], ""),
        diversity=[diversity] * len(queries),
        k=[_K] * len(queries),
    )


def _padded(rows: Sequence[Sequence[Any]], absent: Any) -> list[list[Any]]:
    longest = max(map(len, rows))
    return [[*row, *[absent] * (longest - len(row))] for row in rows]


def _genres(model: Any) -> _Vectors:
    """Returns the genres of each movie."""
    movies = CATALOGUE.call(model)
    names = [text.split(b"|") if text else [] for text in movies["genres"].tolist()]
    all_names = sorted({name for row in names for name in row})
    table = np.array([[name in row for name in all_names] for row in names], float)
    return _of_unit_length(movies["movie_id"].tolist(), table)


def _embeddings(model: Any) -> _Vectors:
    """Returns the embedding of each movie without its bias."""
    ids, found = CATALOGUE.call(model)["movie_id"].tolist(), []
    for start in range(0, len(ids), _BATCH):
        some = CANDIDATE_EMBEDDING.call(model, movie_id=ids[start : start + _BATCH])
        found.append(some["embedding"][:, :-1])
    return _of_unit_length(ids, np.concatenate(found))


def _of_unit_length(ids: list[bytes], table: NDArray[Any]) -> _Vectors:
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    return dict(zip(ids, table / np.maximum(norms, 1e-9), strict=True))


def _likeness(vectors: _Vectors, movies: list[bytes]) -> float:
    """Returns the mean cosine of two movies of a list."""
    listed = np.stack([vectors[movie] for movie in movies if movie])
    pairs = np.triu_indices(len(listed), 1)
    return float((listed @ listed.T)[pairs].mean())


def _milliseconds(model: Any, queries: Sequence[Query]) -> dict[float, float]:
    """Returns the median time of a request for one user, for each setting."""
    times: dict[float, list[float]] = {setting: [] for setting in _SETTINGS}
    for setting, query in _turns(queries):
        start = time.perf_counter()
        _ask(model, [query], setting)
        times[setting].append(1000 * (time.perf_counter() - start))
    return {setting: round(float(np.median(t)), 2) for setting, t in times.items()}


def _turns(queries: Sequence[Query]) -> Iterator[tuple[float, Query]]:
    for query in queries[:_CALLS]:
        for setting in _SETTINGS:
            yield setting, query


if __name__ == "__main__":
    main()
