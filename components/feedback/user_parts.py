"""Groups impressions by user in bounded memory, through files where there are many."""

from __future__ import annotations

import contextlib
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from components import storage
from components.feedback import impressions
from components.feedback.impressions import ReadCounts
from trainer.arrow_files import refuse_code

# What the join needs of an impression.
COLUMNS: Final = ("at", "request_id", "version", "label", "user_id", "k", "movie_ids")
# A part of so many bytes of Parquet takes five to ten times as much in memory.
_BYTES_PER_PART: Final = 32 << 20
_MOST_PARTS: Final = 256  # open files


def read_parts(
    paths: Sequence[str], counts: ReadCounts, bytes_per_part: int = _BYTES_PER_PART
) -> Iterator[pa.Table]:
    """Yields all impressions, those of one user in one table.

    Args:
      paths: From `impressions.find_files`.
      counts: Is filled while reading; complete with the first table.
      bytes_per_part: Of Parquet files, to be held in memory at once.

    Raises:
      UserError: See `impressions.read`.
    """
    size = sum(map(storage.size, paths))
    num_parts = min(-(-size // bytes_per_part), _MOST_PARTS)
    tables = (
        pa.Table.from_batches([batch]).select(COLUMNS)
        for batch in impressions.read(paths, counts)
    )
    if num_parts <= 1:
        if found := list(tables):
            yield pa.concat_tables(found)
        return
    with tempfile.TemporaryDirectory(prefix="two-tower-feedback-") as folder:
        files = [Path(folder, f"{part}.arrow") for part in range(num_parts)]
        _distribute(tables, files)
        for file in files:
            if file.exists():
                refuse_code()
                with pa.ipc.open_stream(file) as reader:
                    yield reader.read_all()


def _distribute(tables: Iterator[pa.Table], files: Sequence[Path]) -> None:
    """Writes each user's rows to one of the files."""
    with contextlib.ExitStack() as stack:
        writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        for table in tables:
            users = table["user_id"].combine_chunks().dictionary_encode()
            hashes = [
                zlib.crc32(user.encode()) for user in users.dictionary.to_pylist()
            ]
            part_of_user = np.array(hashes, np.int64) % len(files)
            parts = part_of_user[users.indices.to_numpy()]
            for part in np.unique(parts):
                if part not in writers:
                    writer = pa.ipc.new_stream(files[part], table.schema)
                    writers[part] = stack.enter_context(writer)
                writers[part].write_table(table.filter(pa.array(parts == part)))
