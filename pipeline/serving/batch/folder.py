"""The folder of a batch: what it holds, what is missing, and what may be written."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components import storage
from pipeline.runs.workspace_lock import LOCK_FILE, LockedError, locked
from pipeline.serving.batch.job import Job
from trainer.arrow_files import refuse_code
from trainer.atomic_files import PART_PREFIX
from trainer.errors import UsageError, UserError
from trainer.text import json_text

JOB_FILE: Final = "_job.json"
USERS_FILE: Final = "_users.parquet"
SUCCESS_FILE: Final = "_SUCCESS"
JOB_KEY: Final = b"two_tower_job"
FACTS_KEY: Final = b"two_tower_facts"
_LONGEST_VALUE: Final = 60  # characters of a value in a message


class ShardFacts(NamedTuple):
    """What a shard says of itself.

    Attributes:
      movies: Recommended movies, all users together.
      without_movies: Users for whom no movie is left.
      unknown: Users without a stored timeline.
      seconds: How long each model took to answer.
    """

    movies: int
    without_movies: int
    unknown: int
    seconds: list[float]


class BatchFolder:
    """A folder with the results of one job.

    Args:
      path: On this machine or in an object store.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for one command; an object store has no locks.

        Raises:
          LockedError: Another command writes it.
          UserError: It cannot be made or written, or holds other files.
        """
        self.check()
        if not storage.is_local(self.path):
            yield
            return
        try:
            Path(self.path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(Path(self.path)))
            except LockedError as error:
                raise LockedError(
                    f"Another command writes {self.path}",
                    "Wait until it ends, or give another --out.",
                ) from error
            except OSError as error:
                raise _unwritable(self.path, error) from error
            self._remove_parts()
            yield

    def begin(self, job: Job) -> None:
        """Notes what is computed, or checks that it is what was begun here.

        Raises:
          UsageError: Other arguments or another model were used here before.
        """
        arguments = job.arguments()
        begun = self._read_json(JOB_FILE)
        if begun is None:
            storage.write(self._file(JOB_FILE), _json(arguments))
        elif begun != arguments:
            raise UsageError(
                f"{self.path} was begun with {_difference(begun, arguments)}",
                "Repeat the command with the same arguments and --version, or give "
                "another --out.",
            )

    def write_users(self, user_ids: Sequence[str], shard_size: int) -> None:
        """Writes the ids, unless they are here."""
        if storage.size(self._file(USERS_FILE)):
            return
        buffer = io.BytesIO()
        table = pa.table({"user_id": pa.array(user_ids, pa.string())})
        pq.write_table(table, buffer, row_group_size=shard_size)
        storage.write(self._file(USERS_FILE), buffer.getvalue())

    def users_of(self, shard: int) -> list[str]:
        """Returns the ids of a shard."""
        with self._opened(USERS_FILE) as file:
            ids: list[str] = file.read_row_group(shard)["user_id"].to_pylist()
        return ids

    def missing(self, job: Job) -> list[int]:
        """Returns the shards that are not here, or not whole."""
        here = set(storage.names(self.path) or ())
        return [
            shard
            for shard in range(job.num_shards)
            if shard_name(shard, job) not in here or not self._is_whole(shard, job)
        ]

    def num_written(self, job: Job) -> int:
        """Returns how many shards have their name."""
        here = set(storage.names(self.path) or ())
        return sum(shard_name(shard, job) in here for shard in range(job.num_shards))

    def _is_whole(self, shard: int, job: Job) -> bool:
        try:
            with self._opened(shard_name(shard, job)) as file:
                metadata = file.metadata
        except (pa.ArrowException, OSError):
            return False
        digest = (metadata.metadata or {}).get(JOB_KEY, b"").decode()
        return digest == job.digest and metadata.num_rows == job.rows_of(shard)

    def write_shard(
        self, shard: int, job: Job, table: pa.Table, facts: ShardFacts
    ) -> None:
        """Writes a whole shard under its name."""
        metadata = {
            JOB_KEY: job.digest.encode(),
            FACTS_KEY: json.dumps(facts._asdict()).encode(),
        }
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), buffer)
        storage.write(self._file(shard_name(shard, job)), buffer.getvalue())

    def shards(self, job: Job) -> Iterator[pa.Table]:
        """Yields the shards one after the other."""
        for shard in range(job.num_shards):
            with self._opened(shard_name(shard, job)) as file:
                yield file.read()

    def facts(self, job: Job) -> Iterator[ShardFacts]:
        """Yields what the shards say, without reading their rows."""
        for shard in range(job.num_shards):
            with self._opened(shard_name(shard, job)) as file:
                yield ShardFacts(**json.loads(file.metadata.metadata[FACTS_KEY]))

    def success(self) -> Any:
        """Returns what `_SUCCESS` says; None if the batch is not complete."""
        return self._read_json(SUCCESS_FILE)

    def finish(self, content: dict[str, Any]) -> None:
        """Writes `_SUCCESS`."""
        storage.write(self._file(SUCCESS_FILE), _json(content))

    def reopen(self) -> None:
        """Removes `_SUCCESS`, because a shard is missing after all."""
        path = self._file(SUCCESS_FILE)
        if storage.is_local(path):
            Path(path).unlink(missing_ok=True)
        elif storage.size(path):
            from pipeline.serving.tensorflow_alone import import_tensorflow

            import_tensorflow().io.gfile.remove(path)

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[pq.ParquetFile]:
        from apache_beam.io.filesystems import FileSystems

        refuse_code()
        with FileSystems.open(self._file(name), "application/octet-stream") as file:
            yield pq.ParquetFile(file)

    def _read_json(self, name: str) -> Any:
        content = storage.read(self._file(name))
        if content is None:
            return None
        try:
            return json.loads(content)
        except ValueError as error:
            raise UserError(
                f"{self._file(name)} is damaged", "Remove the folder, and begin again."
            ) from error

    def check(self) -> None:
        """Checks that the folder is new, empty or of a batch.

        Raises:
          UserError: It is not, or cannot be read.
        """
        if storage.is_local(self.path) and os.path.isfile(self.path):
            raise UsageError(f"--out {self.path} is a file", "Give a folder.")
        names = storage.names(self.path) or []
        if JOB_FILE in names:
            return
        ours = (LOCK_FILE, "lost+found")
        foreign = [n for n in names if n not in ours and not n.startswith(PART_PREFIX)]
        if foreign:
            raise UsageError(
                f"--out {self.path} holds other files, such as {foreign[0]}, and no "
                f"{JOB_FILE}",
                "Give an empty or a new folder.",
            )

    def _remove_parts(self) -> None:
        """Removes what a killed command left half written."""
        for part in Path(self.path).glob(f"{PART_PREFIX}*"):
            with contextlib.suppress(OSError):
                part.unlink()


def shard_name(shard: int, job: Job) -> str:
    """Returns the name of a shard, as in `part-00003-of-00012.parquet`."""
    return f"part-{shard:05}-of-{job.num_shards:05}.parquet"


def _difference(begun: Any, now: dict[str, Any]) -> str:
    """Names the first argument that differs, with both values."""
    before = begun if isinstance(begun, dict) else {}
    for name in (*now, *before):
        if before.get(name) != now.get(name):
            return f"{_shown(name, before)}, and not {_shown(name, now)}"
    raise AssertionError("nothing differs")


def _shown(name: str, values: dict[str, Any]) -> str:
    text = json_text(values.get(name), indent=None)
    if len(text) > _LONGEST_VALUE:
        text = text[:_LONGEST_VALUE] + "..."
    return f"{name} {text}"


def _json(content: Any) -> bytes:
    return (json_text(content) + "\n").encode()


def _unwritable(path: str, error: OSError) -> UserError:
    return UserError(
        f"--out {path} cannot be written: {error.strerror}",
        "Give a folder that can be written.",
    )
