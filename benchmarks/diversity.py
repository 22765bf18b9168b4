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
from trainer.serving_contract import CATALOGUE, RECOMMEND_FROM_HISTORY

_SETTINGS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
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
    genres = _genres(model)
    times = _milliseconds(model, queries)
    lines = []
    for diversity in _SETTINGS:
        rows = _measured(model, queries, genres, diversity)
        for name, some in (("even", rows[::2]), ("odd", rows[1::2])):
            found = dict(zip(_METRICS, some.mean(axis=0).round(4), strict=True))
            line = {"diversity": diversity, "rows": name, "queries": len(some), **found}
            line["median_ms"] = times[diversity]
            lines.append(json.dumps(line))
            print(lines[-1], flush=True)
    if options.results:
        options.results.write_text("\n".join(lines) + "\n", encoding="utf-8")


_METRICS: Final = ("hit_rate@10", "ndcg@10", "genre_diversity@10")


def _measured(
    model: Any,
    queries: Sequence[Query],
    genres: dict[bytes, NDArray[np.float32]],
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
            rows.append((place is not None, gain, _diversity(genres, movies)))
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


def _genres(model: Any) -> dict[bytes, NDArray[np.float32]]:
    """Returns a unit vector of genres for each movie."""
    movies = CATALOGUE.call(model)
    names = [text.split(b"|") if text else [] for text in movies["genres"].tolist()]
    all_names = sorted({name for row in names for name in row})
    table = np.array([[name in row for name in all_names] for row in names], float)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    return dict(zip(movies["movie_id"].tolist(), table, strict=True))


def _diversity(genres: dict[bytes, NDArray[np.float32]], movies: list[bytes]) -> float:
    """Mean over pairs of 1 - the cosine of genres: `trainer.genre_balance`."""
    vectors = np.stack([genres[movie] for movie in movies if movie])
    pairs = np.triu_indices(len(vectors), 1)
    return float(1 - (vectors @ vectors.T)[pairs].mean())


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
