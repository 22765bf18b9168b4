"""Compares a candidate with what is live: what would change for the users?

Both models are asked for the same users through the pipeline of a batch, so that a
comparison can be as large and is resumed as any. Nothing is served, and nothing in the
serving directory changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components import storage
from pipeline.serving.batch.agreement import PERSISTENCE, Agreement, agreement
from pipeline.serving.batch.answering import AnsweringModel
from pipeline.serving.batch.folder import BatchFolder
from pipeline.serving.batch.job import Job
from pipeline.serving.batch.session import Request, job_of, run
from trainer import features as f
from trainer.progress import emit
from trainer.serving_contract import MODEL_INFO_FILE

_MOVED: Final = 10  # movies that gain, and that lose, in the report
_REQUESTS: Final = 100  # single requests whose time is taken
_ROLES: Final = ("live", "candidate")
_COLUMNS: Final = ("movie_ids", "candidate_movie_ids")


def compare(request: Request, out: str | None) -> dict[str, Any]:
    """Asks both models for the same users.

    Args:
      request: Its models are the live one and the candidate.
      out: Folder that keeps all answers; None for a temporary one.

    Returns:
      The report, JSON-like: see `docs/serving-operations.md`.

    Raises:
      UserError: It cannot be done, see the message.
    """
    with _folder(out) as path:
        result = run(request, path)
        emit("phase", text="comparing both answers")
        return _report(request, BatchFolder(path), result)


@contextlib.contextmanager
def _folder(out: str | None) -> Iterator[str]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="two-tower-shadow-") as folder:
        yield folder


class _Movies:
    """Numbers for movie ids, in order of appearance."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._numbers: dict[str, int] = {}

    def matrix(self, lists: pa.ChunkedArray, k: int) -> NDArray[Any]:
        """Returns the numbers of lists of movies: `[rows, k]`, -1 behind the last."""
        column = lists.combine_chunks()
        encoded = column.flatten().dictionary_encode()
        numbers = np.array([self._number(i) for i in encoded.dictionary.to_pylist()])
        lengths = column.value_lengths().to_numpy()
        result = np.full((len(column), k), -1, np.int64)
        if len(numbers):
            shown = np.arange(k) < lengths[:, np.newaxis]
            result[shown] = numbers[encoded.indices.to_numpy()]
        return result

    def _number(self, movie_id: str) -> int:
        if movie_id not in self._numbers:
            self._numbers[movie_id] = len(self.ids)
            self.ids.append(movie_id)
        return self._numbers[movie_id]


class _Totals:
    """Sums over the shards, so that one shard is in memory at a time."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.movies = _Movies()
        self.exposure = [np.zeros(0, np.int64) for _ in _ROLES]
        self.lengths = np.zeros(len(_ROLES), np.int64)
        self.unknown = 0
        self._parts: list[Agreement] = []

    def add(self, table: pa.Table) -> None:
        """Adds a shard."""
        shown = [self.movies.matrix(table[name], self._k) for name in _COLUMNS]
        for role, lists in enumerate(shown):
            seen = np.bincount(lists[lists >= 0], minlength=len(self.movies.ids))
            before = self.exposure[role]
            seen[: len(before)] += before
            self.exposure[role] = seen
            self.lengths[role] += (lists >= 0).sum()
        self.unknown += table.num_rows - pc.sum(table["candidate_known"]).as_py()
        part = agreement(*shown)
        # Half of the memory is enough for what is only averaged.
        self._parts.append(
            part._replace(
                overlap=part.overlap.astype(np.float32),
                rank_biased=part.rank_biased.astype(np.float32),
            )
        )

    def exposures(self) -> list[NDArray[Any]]:
        """Returns how often each model shows each movie."""
        size = len(self.movies.ids)
        return [np.pad(each, (0, size - len(each))) for each in self.exposure]

    def agreement(self) -> Agreement:
        """Returns the agreement of all users."""
        return Agreement(*map(np.concatenate, zip(*self._parts, strict=True)))


def _report(
    request: Request, folder: BatchFolder, result: dict[str, Any]
) -> dict[str, Any]:
    from pipeline.serving.batch.shards import loaded

    totals = _Totals(request.k)
    seconds = np.zeros(len(_ROLES))
    job = job_of(request)
    for table, facts in zip(folder.shards(job), folder.facts(job), strict=True):
        totals.add(table)
        seconds += facts.seconds
    models = loaded(request.models).loaded
    catalogues = [_catalogue(model) for model in models]
    latency = _latency(models, folder.users_of(0)[:_REQUESTS], request)
    users = result["users"]
    sides = {
        role: {
            "version": model.model.version,
            "path": model.model.path,
            "model_id": model.model.model_id,
            **_spread(exposure, totals.movies.ids, catalogues, model),
            "movies_per_user": int(totals.lengths[number]) / users,
            "latency_ms": latency[number],
            "users_per_second": users / seconds[number] if seconds[number] else None,
        }
        for number, (role, model, exposure) in enumerate(
            zip(_ROLES, models, totals.exposures(), strict=True)
        )
    }
    return {
        "users": users,
        "users_unknown_to_the_candidate": totals.unknown,
        "k": request.k,
        "arguments": result["arguments"],
        **_summary(totals.agreement(), request.k),
        "gain": _moved(totals, catalogues, users, sign=1),
        "lose": _moved(totals, catalogues, users, sign=-1),
        **sides,
    }


def _summary(found: Agreement, k: int) -> dict[str, Any]:
    """Means and distribution over the users."""
    bins = np.clip(np.floor(found.overlap * 10 + 1e-6), 0, 10).astype(int)
    histogram = np.bincount(bins, minlength=11) / len(bins)
    return {
        f"overlap@{k}": {
            "mean": float(found.overlap.mean(dtype=float)),
            **_quantiles(found.overlap),
            # Share of users with an overlap of at least 0, .1, ... and below the next.
            "distribution": {
                f"{number / 10:.1f}": float(share)
                for number, share in enumerate(histogram)
            },
        },
        "rank_biased_overlap": {
            "persistence": PERSISTENCE,
            "mean": float(found.rank_biased.mean(dtype=float)),
            **_quantiles(found.rank_biased),
        },
        "first_movie_changes": float(1 - found.same_first.mean()),
        "same_list": float(found.same_list.mean()),
    }


def _quantiles(values: NDArray[Any]) -> dict[str, float]:
    levels = (5, 25, 50, 75, 95)
    found = np.percentile(values, levels)
    return {f"p{n}": float(value) for n, value in zip(levels, found, strict=True)}


Catalogue = dict[str, tuple[str, int]]  # movie id -> title and ratings trained on


def _catalogue(model: AnsweringModel) -> Catalogue:
    """Returns what a model says of its movies; empty for an older model."""
    columns = model.catalogue()
    if columns is None:
        return {}
    titles = [title.decode(errors="replace") for title in columns[f.TITLE].tolist()]
    ids = [movie.decode(errors="replace") for movie in columns[f.MOVIE_ID].tolist()]
    values = zip(titles, columns[f.NUM_RATINGS].tolist(), strict=True)
    return dict(zip(ids, values, strict=True))


def _spread(
    exposure: NDArray[Any],
    ids: Sequence[str],
    catalogues: Sequence[Catalogue],
    model: AnsweringModel,
) -> dict[str, float | None]:
    """How widely a model spreads its recommendations over the movies.

    Popularity and novelty (see `components.metrics.novelty`) count the ratings that the
    candidate was trained on, for both models: else the same lists would differ.
    """
    shown = max(int(exposure.sum()), 1)
    share = exposure / shown
    counts = catalogues[-1] or catalogues[0]
    popularity = novelty = None
    if counts:
        ratings = np.array([counts.get(movie, ("", 0))[1] for movie in ids])
        all_ratings = sum(number + 1 for _, number in counts.values())
        popularity = float(share @ ratings)
        novelty = float(share @ -np.log2((ratings + 1) / all_ratings))
    return {
        "coverage": int((exposure > 0).sum()) / _corpus_size(model.model.path),
        "mean_ratings_of_a_movie": popularity,
        "novelty_bits": novelty,
    }


def _corpus_size(path: str) -> int:
    content = storage.read(os.path.join(path, MODEL_INFO_FILE)) or b"{}"
    return int(json.loads(content)["corpus_size"])


def _moved(
    totals: _Totals, catalogues: Sequence[Catalogue], users: int, *, sign: int
) -> list[dict[str, Any]]:
    """Returns the movies that gain (1) or lose (-1) most, by users who get them."""
    live, candidate = totals.exposures()
    change = (candidate - live) * sign
    order = np.argsort(-change, kind="stable")[:_MOVED]
    titles = {**catalogues[0], **catalogues[1]}
    return [
        {
            "movie_id": (movie := totals.movies.ids[row]),
            "title": titles.get(movie, ("", 0))[0],
            "live_share_of_users": float(live[row] / users),
            "candidate_share_of_users": float(candidate[row] / users),
        }
        for row in order.tolist()
        if change[row] > 0
    ]


def _latency(
    models: Sequence[AnsweringModel], users: Sequence[str], request: Request
) -> list[dict[str, float]]:
    """Times requests for one user, of the models in turn, so that both have the same.

    Returns:
      Of each model `p50` and `p99`, milliseconds.
    """
    job = Job(request.models, request.k, request.filters, len(users), "")
    seconds: list[list[float]] = [[] for _ in models]
    for user in (users[0], *users):  # the first is not counted
        for model, taken in zip(models, seconds, strict=True):
            begun = time.perf_counter()
            model.recommend([user], job)
            taken.append(time.perf_counter() - begun)
    return [
        {f"p{n}": float(np.percentile(taken[1:], n) * 1e3) for n in (50, 99)}
        for taken in seconds
    ]
