"""Files of Arrow record batches, each of which can be read alone.

A file is a sequence of chunks, and a chunk a record batch as an Arrow stream of its
own: who knows where it begins and ends needs no other byte of the file, on a local disk
or on any file system that Beam supports. A file is whole or absent, so that workers may
write it again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.storage import is_local
from trainer.arrow_files import refuse_code
from trainer.atomic_files import part_name


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of one chunk.

    Attributes:
      path: The file.
      start, end: Where the chunk begins and ends, in bytes.
      first_row, end_row: The rows, counted within the chunk.
    """

    path: str
    start: int
    end: int
    first_row: int
    end_row: int


def write(path: str, batches: Iterable[pa.RecordBatch]) -> list[Piece]:
    """Writes a chunk for each batch, and returns them as pieces."""
    pieces = []
    position = 0
    with _created(path) as out:
        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            content = sink.getvalue()
            out.write(content)
            end = position + content.size
            pieces.append(Piece(path, position, end, 0, batch.num_rows))
            position = end
    return pieces


@contextlib.contextmanager
def _created(path: str) -> Iterator[Any]:
    if not is_local(path):
        # Imported here: it takes seconds. An object appears when it is complete.
        from apache_beam.io.filesystems import FileSystems

        with FileSystems.create(path) as sink:
            yield sink
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = part_name(Path(path).parent)
    try:
        with open(part, "xb") as sink:
            yield sink
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_range(path: str, start: int, end: int) -> Iterator[pa.RecordBatch]:
    """Yields the batches of the chunks between two positions."""
    refuse_code()
    if is_local(path):
        with pa.memory_map(path) as mapped:
            mapped.seek(start)
            content = mapped.read_buffer(end - start)
    else:
        from apache_beam.io.filesystems import FileSystems

        with FileSystems.open(path) as stream:
            stream.seek(start)
            content = pa.py_buffer(stream.read(end - start))
    source = pa.BufferReader(content)
    while source.tell() < content.size:
        with pa.ipc.open_stream(source) as batches:
            yield from batches


def read(pieces: Sequence[Piece]) -> pa.RecordBatch:
    """Joins pieces of one or several files."""
    batches = []
    for piece in pieces:
        [batch] = read_range(piece.path, piece.start, piece.end)
        batches.append(batch.slice(piece.first_row, piece.end_row - piece.first_row))
    if len(batches) == 1:
        return batches[0]
    [joined] = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined
