"""Keeps how the candidate ranked each user's held-out movies, beside the metrics.

Metrics are sums over users. To compare two runs user by user, as the Evaluator compares
two models, each run's ranks are needed: `pipeline.runs.comparison` reads them.

The file is Parquet, one row a query with a held-out movie:

    user_id      string
    row          uint64: fingerprint of the eval row; equal rows ask the same
    corpus_size  int32: see `components.metrics.base.Query`
    rank         list of int32: the same, one for each held-out movie

A query takes about 14 bytes.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_model_analysis as tfma
from tfx.dsl.io import fileio

from components.evaluator.query_ranks import RANKS_FILE
from trainer.features import USER_ID

_SCHEMA: Final = pa.schema(
    {
        "user_id": pa.string(),
        "row": pa.uint64(),
        "corpus_size": pa.int32(),
        "rank": pa.list_(pa.int32()),
    }
)
# TFX hands an extractor no output, see `components.evaluator.extractors`.
_folder: contextvars.ContextVar[str] = contextvars.ContextVar("folder")


class _RankedUser(NamedTuple):
    """A row of the file."""

    user_id: str
    row: int
    corpus_size: int
    rank: list[int]


@contextlib.contextmanager
def written_to(evaluation_uri: str) -> Iterator[None]:
    """Evaluations that are set up meanwhile write the file there."""
    token = _folder.set(evaluation_uri)
    try:
        yield
    finally:
        _folder.reset(token)


def keep_ranks(model_name: str) -> tfma.extractors.Extractor:
    """Looks on behind the predictions.

    Args:
      model_name: The candidate's among several models; empty where it is alone.
    """
    return tfma.extractors.Extractor("KeepQueryRanks", _Keep(_folder.get(), model_name))


class _Keep(beam.PTransform):
    """Writes the file, and hands the extracts on."""

    def __init__(self, folder: str, model_name: str) -> None:
        super().__init__()
        self._path = f"{folder}/{RANKS_FILE}"
        self._model_name = model_name

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        _ = (
            extracts
            | beam.FlatMap(_ranked_users, self._model_name)
            | beam.combiners.ToList()
            | beam.Map(_write, self._path)
        )
        return extracts


def _ranked_users(extracts: dict[str, Any], model_name: str) -> Iterator[_RankedUser]:
    """Takes a batch of queries apart."""
    outputs = extracts[tfma.PREDICTIONS_KEY]
    outputs = outputs[model_name] if model_name else outputs
    users = extracts[tfma.FEATURES_KEY][USER_ID].values  # sparse, but each row has one
    rows = np.ravel(extracts[tfma.INPUT_KEY])
    sizes = np.ravel(outputs["corpus_size"])
    for user, row, size, ranks in zip(users, rows, sizes, outputs["rank"], strict=True):
        if held_out := [int(rank) for rank in np.ravel(ranks) if rank]:
            yield _RankedUser(
                user.decode("utf-8", "replace"), _fingerprint(row), int(size), held_out
            )


def _fingerprint(row: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little")


def _write(queries: Iterable[_RankedUser], path: str) -> None:
    """In the order of the users, so that the file is the same each time."""
    rows = [query._asdict() for query in sorted(queries)]
    table = pa.Table.from_pylist(rows, _SCHEMA)
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd")
    with fileio.open(path, "wb") as file:
        file.write(content.getvalue().to_pybytes())
