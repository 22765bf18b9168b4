"""Impressions: what a model server recommended to whom, as Parquet files.

    <folder>/date=YYYY-MM-DD/<start>-<pid>-<n>.parquet

The date is that of the file's first impression, UTC, so that tools which read
partitioned folders can skip days. A file is written under a hidden name and renamed
when it is complete; it is never changed after that. See `SCHEMA` for its columns.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import storage
from trainer.arrow_files import refuse_code
from trainer.atomic_files import write_bytes
from trainer.errors import UserError

# A row is one answered user.
SCHEMA: Final = pa.schema(
    {
        "at": pa.timestamp("us", tz="UTC"),  # when the answer was complete
        "request_id": pa.string(),  # the same for all users of a request
        "version": pa.int64(),
        "label": pa.string(),  # by which the version was asked for or live; may be ""
        "signature": pa.string(),
        "user_id": pa.string(),  # "" for somebody unknown
        "k": pa.int32(),  # what was asked for
        "movie_ids": pa.list_(pa.string()),  # best first, at most k, none twice
        "scores": pa.list_(pa.float32()),  # of the same length, finite
    }
)
_SUFFIX: Final = ".parquet"
_DATE_PREFIX: Final = "date="
_ROWS_PER_BATCH: Final = 4096


class Impression(NamedTuple):
    """A row: see `SCHEMA`. `at` has a time zone; lists have no filler."""

    at: datetime.datetime
    request_id: str
    version: int
    label: str
    signature: str
    user_id: str
    k: int
    movie_ids: Sequence[str]
    scores: Sequence[float]


def file_path(folder: Path, start: datetime.datetime, pid: int, number: int) -> Path:
    """Returns the path of a new file.

    Args:
      folder: Of all impressions.
      start: Time of its first impression, with a time zone.
      pid: Process that writes it.
      number: Of the file among those of the process.
    """
    utc = start.astimezone(datetime.timezone.utc)
    name = f"{utc:%Y%m%dT%H%M%S.%fZ}-{pid}-{number}{_SUFFIX}"
    return folder / f"{_DATE_PREFIX}{utc:%Y-%m-%d}" / name


def write(path: Path, impressions: Sequence[Impression]) -> None:
    """Writes a file atomically, and its folder if there is none.

    Args:
      path: From `file_path`.
      impressions: In the order of time; at least one.

    Raises:
      OSError: It cannot be written.
    """
    table = pa.Table.from_pylist([row._asdict() for row in impressions], SCHEMA)
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content.getvalue().to_pybytes())


@dataclass
class ReadCounts:
    """What was read of a folder.

    Attributes:
      files: Number of files that were read.
      damaged: Path -> why, of the files that were left out.
      rows: Rows of the files that were read, malformed ones included.
      malformed: Rows that were left out: a value is missing, the list is longer than k,
        names a movie twice or differs in length from its scores, or a score is not
        finite.
    """

    files: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    malformed: int = 0


def find_files(folder: str) -> list[str]:
    """Returns the paths of all files of impressions, sorted.

    Files are found in the folder and one level below it. Names that begin with a dot or
    do not end in `.parquet` are files in the making, or no impressions.

    Raises:
      UserError: There is no such folder, it cannot be read, or it has no such file.
    """
    found = storage.names(folder)
    if found is None:
        raise UserError(
            f"there is no folder of impressions {folder}",
            "Name the folder that `two-tower serve --log-impressions` writes.",
        )
    paths = []
    for name in found:
        path = f"{folder.rstrip('/')}/{name}"
        if name.startswith("."):
            continue
        if name.endswith(_SUFFIX):
            paths.append(path)
        elif storage.is_folder(path):
            below = storage.names(path) or []
            paths += [
                f"{path}/{file}"
                for file in below
                if file.endswith(_SUFFIX) and not file.startswith(".")
            ]
    if not paths:
        raise UserError(
            f"{folder} has no impressions",
            f"Its files end in {_SUFFIX}, in folders such as {_DATE_PREFIX}2026-03-01; "
            "a server writes them with --log-impressions.",
        )
    return paths


def fingerprint(folder: str) -> str:
    """Returns a digest of the names and sizes of all files, which never change.

    It is empty if there is no such folder or no file yet, or that cannot be found out.
    """
    try:
        paths = find_files(folder)
        lines = [f"{path}\n{storage.size(path)}\n" for path in paths]
    except UserError:
        return ""
    return hashlib.blake2b("".join(lines).encode(), digest_size=16).hexdigest()


def read(paths: Sequence[str], counts: ReadCounts) -> Iterator[pa.RecordBatch]:
    """Yields the rows of files, in batches of at most 4,096.

    A damaged file is left out as a whole: it is read twice, first to find damage. One
    batch is held in memory, or one file of an object store.

    Args:
      paths: From `find_files`.
      counts: Is filled while reading.

    Yields:
      Batches of `SCHEMA` in the order of the files, without malformed rows.

    Raises:
      UserError: A file cannot be read, or every file is damaged.
    """
    refuse_code()
    for path in paths:
        try:
            source = _source(path)
            for _ in _batches(source):
                pass
        except (
            pa.ArrowException,
            OSError,
            LookupError,
            RuntimeError,
            ValueError,
        ) as error:
            counts.damaged[path] = str(error).partition("\n")[0]
            continue
        counts.files += 1
        for batch in _batches(source):
            good = _well_formed(batch)
            counts.rows += len(batch)
            counts.malformed += len(batch) - int(good.sum())
            yield batch if good.all() else batch.filter(pa.array(good))
    if counts.damaged and not counts.files:
        path, cause = next(iter(counts.damaged.items()))
        raise UserError(
            f"all {len(counts.damaged)} files of impressions are damaged, such as "
            f"{path}: {cause}",
            "Copy them again from where the model server wrote them.",
        )


def _source(path: str) -> Any:
    if storage.is_local(path):
        if not storage.read(path, count=1):  # also fails here if it is not readable
            raise ValueError("the file is empty or gone")
        return path
    return pa.BufferReader(storage.read(path) or b"")


def _batches(source: Any) -> Iterator[pa.RecordBatch]:
    """Yields a file's rows as `SCHEMA`.

    Raises:
      OSError, pa.ArrowException, ValueError: It is damaged or has other columns.
    """
    file = pq.ParquetFile(source)
    missing = [name for name in SCHEMA.names if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"it has no column {missing[0]}")
    for batch in file.iter_batches(_ROWS_PER_BATCH, columns=SCHEMA.names):
        columns = [
            batch.column(batch.schema.get_field_index(column.name)).cast(column.type)
            for column in SCHEMA
        ]
        whole = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
        whole.validate(full=True)
        yield whole


def _well_formed(batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Marks the rows that a writer of `SCHEMA` can have written, bool `[rows]`."""
    good = np.ones(len(batch), bool)
    for column in batch.columns:
        good &= column.is_valid().to_numpy(zero_copy_only=False)
    lists = {name: batch.column(SCHEMA.get_field_index(name)) for name in _LISTS}
    lengths = {
        name: pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        for name, column in lists.items()
    }
    k = pc.fill_null(batch.column(SCHEMA.get_field_index("k")), 0).to_numpy()
    good &= (k > 0) & (lengths["movie_ids"] <= k)
    good &= lengths["movie_ids"] == lengths["scores"]
    values = {name: column.flatten() for name, column in lists.items()}
    rows = {name: pc.list_parent_indices(lists[name]).to_numpy() for name in _LISTS}
    scores = pc.fill_null(values["scores"], np.nan).to_numpy()
    good[rows["scores"][~np.isfinite(scores)]] = False
    movies = values["movie_ids"].dictionary_encode()
    good[rows["movie_ids"][~movies.is_valid().to_numpy(zero_copy_only=False)]] = False
    codes = pc.fill_null(movies.indices, -1).to_numpy().astype(np.int64)
    pairs = rows["movie_ids"].astype(np.int64) * (len(movies.dictionary) + 1) + codes
    _, first, times = np.unique(pairs, return_index=True, return_counts=True)
    good[rows["movie_ids"][first[times > 1]]] = False
    return good


_LISTS: Final = ("movie_ids", "scores")
