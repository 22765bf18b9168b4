"""The Beam pipeline: each element is a shard, which one worker computes and writes."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared
from numpy.typing import NDArray

from pipeline.engines.beam_options import BEAM_ARGS
from pipeline.serving.batch.answering import AnsweringModel, Answers
from pipeline.serving.batch.folder import BatchFolder, ShardFacts
from pipeline.serving.batch.job import Job, Model

_PREFIXES: Final = ("", "candidate_")  # of the columns of each model
# One for each process: all threads of a worker use the same loaded models.
_SHARED: Final = Shared()


class _Models:
    """Loaded models, in an object to which there can be weak references."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.loaded = [AnsweringModel(model) for model in models]


class Counter:
    """Number of users that this process has answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self, count: int) -> None:
        """Counts more users; several threads may call it."""
        with self._lock:
            self.value += count


ANSWERED: Final = Counter()


def loaded(models: Sequence[Model]) -> _Models:
    """Loads models once a process."""
    models = tuple(models)
    found: _Models = _SHARED.acquire(
        lambda: _Models(models), tag=",".join(model.path for model in models)
    )
    return found


class WriteShard(beam.DoFn):
    """Asks the models for the users of a shard and writes their answers.

    Args:
      job: What is computed.
      folder: Where.
      batch_size: Rows of a request.
    """

    def __init__(self, job: Job, folder: str, batch_size: int) -> None:
        self._job = job
        self._folder = folder
        self._batch_size = batch_size

    def setup(self) -> None:
        """Loads the models, unless this process has."""
        self._models = loaded(self._job.models)

    def process(self, element: int) -> Iterator[int]:
        """Writes a shard and yields the number of its users."""
        folder = BatchFolder(self._folder)
        users = folder.users_of(element)
        seconds = [0.0] * len(self._models.loaded)
        batches = []
        for start in range(0, len(users), self._batch_size):
            batch = users[start : start + self._batch_size]
            answers = []
            for number, model in enumerate(self._models.loaded):
                begun = time.perf_counter()
                answers.append(model.answers(batch, self._job))
                seconds[number] += time.perf_counter() - begun
            batches.append(_table(batch, answers, self._job))
            ANSWERED.add(len(batch))
        table = pa.concat_tables(batches).combine_chunks()
        folder.write_shard(element, self._job, table, _facts(table, seconds))
        yield len(users)


def write_shards(
    job: Job,
    folder: str,
    shards: Sequence[int],
    *,
    batch_size: int,
    workers: int,
    beam_args: Sequence[str] = (),
) -> None:
    """Computes and writes shards.

    Args:
      job: What is computed.
      folder: Folder in which the users are written; on other machines, one that they
        can reach.
      shards: Which.
      batch_size: Rows of a request.
      workers: Threads that ask the models at the same time.
      beam_args: Arguments for Beam after those of this machine; the last one wins.
    """
    threads = [
        f"--direct_num_workers={workers}",
        "--direct_running_mode=multi_threading",
    ]
    options = [*BEAM_ARGS, *(threads if workers > 1 else ()), *beam_args]
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(list(shards))
            | "Spread" >> beam.Reshuffle()
            | "Recommend" >> beam.ParDo(WriteShard(job, folder, batch_size))
        )


def _facts(table: pa.Table, seconds: list[float]) -> ShardFacts:
    lengths = table["movie_ids"].combine_chunks().value_lengths().to_numpy()
    return ShardFacts(
        movies=int(lengths.sum()),
        without_movies=int((lengths == 0).sum()),
        unknown=int((~np.array(table["known"])).sum()),
        seconds=seconds,
    )


def _table(users: Sequence[str], answers: Sequence[Answers], job: Job) -> pa.Table:
    """Returns the rows of a batch."""
    now = datetime.datetime.now(datetime.timezone.utc)
    columns: dict[str, pa.Array] = {"user_id": pa.array(users, pa.string())}
    for prefix, model, answer in zip(_PREFIXES, job.models, answers, strict=False):
        found = answer.movie_ids != b""
        ids = pa.array(answer.movie_ids[found].tolist(), pa.binary())
        scores = pa.array(answer.scores[found], pa.float32())
        versions = pa.array([model.version] * len(users), pa.int64())
        columns |= {
            f"{prefix}movie_ids": _lists(found, ids.cast(pa.string())),
            f"{prefix}scores": _lists(found, scores),
            f"{prefix}known": pa.array(answer.known),
            f"{prefix}version": versions,
        }
    timestamp = pa.timestamp("us", tz="UTC")
    columns["written_at"] = pa.array([now] * len(users), timestamp)
    return pa.table(columns)


def _lists(found: NDArray[Any], values: pa.Array) -> pa.Array:
    """Returns a list for each row of `found`, with as many values as are True."""
    offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
