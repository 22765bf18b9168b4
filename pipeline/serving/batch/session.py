"""One command: checks what is asked, computes what is missing, and says how far it is.

Nothing is written before everything was checked.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from components import storage
from pipeline.engines.beam_options import beam_args
from pipeline.engines.config import EngineConfig
from pipeline.engines.guard import Guard
from pipeline.local.failures import explain
from pipeline.serving.batch.folder import BatchFolder
from pipeline.serving.batch.job import (
    BATCH_SIZE,
    SHARD_SIZE,
    Filters,
    Job,
    Model,
    digest_of,
)
from pipeline.serving.batch.users import read_ids
from trainer.errors import UsageError, UserError
from trainer.progress import Work, emit, watched

Unknown = Literal["refuse", "answer", "skip"]
_POLL_SECONDS: Final = 0.5
_RESUME: Final = "What was written is kept: the same command continues there."


@dataclass(frozen=True)
class Request:
    """What a command asks for.

    Attributes:
      models: The model; for a comparison, the live model and the candidate.
      k: Movies for each user.
      filters: Which movies.
      exclude_file: Movies that nobody gets, one id a line.
      users_file: Users, one id a line; None for all whom the first model knows.
      unknown: What happens to users of the file that the first model does not know:
        they are refused, answered like a new user, or left out.
      shard_size: Users of a file.
      batch_size: Rows of a request to the model.
      workers: Threads that ask the model at the same time.
      beam_args: Further arguments for Beam.
      engine: Where Beam runs.
    """

    models: tuple[Model, ...]
    k: int = 10
    filters: Filters = Filters()
    exclude_file: Path | None = None
    users_file: Path | None = None
    unknown: Unknown = "refuse"
    shard_size: int = SHARD_SIZE
    batch_size: int = BATCH_SIZE
    workers: int = 1
    beam_args: tuple[str, ...] = ()
    engine: EngineConfig = EngineConfig()

    def check(self) -> None:
        """Checks what can be checked without loading a model.

        Raises:
          UsageError: A value is out of range.
        """
        self.filters.check()
        for model in self.models:
            model.info.check_k(self.k)
            if self.batch_size > model.info.max_batch:
                raise UsageError(
                    f"--batch-size is {self.batch_size}, but the model {model.name} "
                    f"answers at most {model.info.max_batch:,} rows of a request",
                    "Give a smaller one; serving.max_batch sets it for new models.",
                )


def run(request: Request, out: str) -> dict[str, Any]:
    """Writes the recommendations, or what is missing of them.

    Args:
      request: What is asked for.
      out: The folder.

    Returns:
      What `_SUCCESS` holds: `users`, `shards`, `movies` (recommended in all), `written`
      (shards by this command), `seconds` (of this command, without loading), and
      `arguments`.

    Raises:
      UserError: It cannot be done, see the message.
    """
    request.check()
    folder = BatchFolder(out)
    folder.check()
    job, users = _prepare(request)
    with folder.locked():
        folder.begin(job)
        folder.write_users(users, job.shard_size)
        del users
        missing = folder.missing(job)
        done = folder.success()
        if not missing and done is not None:
            return {**done, "written": 0, "seconds": 0.0}
        folder.reopen()
        seconds = _write(request, job, folder, missing)
        if still := folder.missing(job):
            raise UserError(
                f"{len(still)} shards are missing after all, the first is {still[0]}",
                _RESUME,
            )
        content = {**_counts(folder, job), "arguments": job.arguments()}
        folder.finish(content)
    return {**content, "written": len(missing), "seconds": seconds}


def job_of(request: Request) -> Job:
    """Returns the job that a request stands for."""
    return _prepare(request)[0]


def _prepare(request: Request) -> tuple[Job, list[str]]:
    """Loads the models and finds the users.

    Returns:
      The job, and the ids of its users in order.
    """
    from pipeline.serving.batch.shards import loaded

    emit("phase", text="loading the model")
    models = loaded(request.models).loaded
    first = models[0]
    filters = request.filters
    if request.exclude_file is not None:
        excluded = read_ids(request.exclude_file)
        excluded.refuse_unknown(
            first.known_movies(excluded.ids),
            "movies",
            "Remove these lines; nothing would be excluded by them.",
        )
        filters = replace(filters, exclude_movie_ids=tuple(sorted(excluded.ids)))
    if request.users_file is None:
        users = first.stored_users()
    else:
        listed = read_ids(request.users_file)
        users, known = listed.ids, first.known_users(listed.ids)
        if request.unknown == "refuse":
            listed.refuse_unknown(
                known,
                "users",
                "Remove these lines, or give --unknown answer (they get what a new "
                "user gets) or --unknown skip.",
            )
        elif request.unknown == "skip":
            users = [
                name for name, is_known in zip(users, known, strict=True) if is_known
            ]
    if not users:
        raise UserError("There is no user to recommend to", "Give other --users.")
    job = Job(
        models=request.models,
        k=request.k,
        filters=filters,
        num_users=len(users),
        users_digest=digest_of(users),
        shard_size=request.shard_size,
    )
    return job, users


def _write(
    request: Request, job: Job, folder: BatchFolder, missing: Sequence[int]
) -> float:
    """Computes the missing shards; returns the seconds that it took."""
    from pipeline.serving.batch.shards import write_shards

    begun = time.monotonic()
    path = folder.path  # absolute, since workers have other working folders
    path = os.path.abspath(path) if storage.is_local(path) else path
    engine = request.engine
    of_engine = () if engine == EngineConfig() else beam_args(engine)
    try:
        with _progress(job, folder, missing), Guard(engine, [path]).step():
            write_shards(
                job,
                path,
                missing,
                batch_size=request.batch_size,
                workers=request.workers,
                beam_args=(*of_engine, *request.beam_args),
            )
    except Exception as error:
        found = explain(error, [Path(folder.path)])
        raise UserError(found.message, found.remedy or _RESUME) from error
    return time.monotonic() - begun


@contextlib.contextmanager
def _progress(job: Job, folder: BatchFolder, missing: Sequence[int]) -> Iterator[None]:
    """Says how many users are answered, while the block runs.

    Users that this process answers count at once, those of other workers when their
    shard is there.
    """
    from pipeline.serving.batch.shards import ANSWERED

    to_do = sum(job.rows_of(shard) for shard in missing)
    before, answered_before = job.num_users - to_do, ANSWERED.value
    work = Work("users", before / job.num_users)

    def look() -> None:
        done = ANSWERED.value - answered_before
        if not done:
            done = folder.num_written(job) * job.shard_size - before
        done = min(max(done, 0), to_do)
        work.update((before + done) / job.num_users, done)

    with watched(look, _POLL_SECONDS):
        yield


def _counts(folder: BatchFolder, job: Job) -> dict[str, Any]:
    """Adds up what the shards say."""
    facts = list(folder.facts(job))
    return {
        "users": job.num_users,
        "unknown_users": sum(shard.unknown for shard in facts),
        "users_without_movies": sum(shard.without_movies for shard in facts),
        "movies": sum(shard.movies for shard in facts),
        "shards": job.num_shards,
    }
