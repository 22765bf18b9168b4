"""Ratings files into columns, in blocks of whole lines.

A block is parsed by Arrow. Where Arrow cannot read it (a wrong number of fields, a
value that is not a number, a blank line, bytes that are not UTF-8) it is parsed again
line by line, which gives each bad row its line number: clean files cost nothing, and
others in proportion to their unreadable blocks. What makes a value valid is the same
for both parsers: see `rating_rows`.

In a ratings file a line is a row: no id may hold a line break.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from components.movielens_example_gen.inputs.editions import (
    MOVIE,
    RATING,
    RATING_COLUMNS,
    TIMESTAMP,
    USER,
    Family,
)
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.rating_rows import (
    Fault,
    RowRules,
    Texts,
    parse_line,
)

BLOCK_BYTES: Final = 8 << 20
# Replaces "::" for Arrow's parser, which takes a delimiter of one character.
_UNIT_SEPARATOR: Final = b"\x1f"
_TYPES: Final = {
    USER: pa.dictionary(pa.int32(), pa.string()),
    MOVIE: pa.dictionary(pa.int32(), pa.string()),
    RATING: pa.float32(),
    TIMESTAMP: pa.int64(),
}


@dataclass(frozen=True)
class RatingsBlock:
    """The good rows of one block.

    Attributes:
      path: File that the block is from.
      table: Columns `RATING_COLUMNS`; the ids are dictionary-encoded strings.
      lines: `[num_rows]` line number of each row; a range where they are consecutive.
      num_read: Rows in the block, bad ones included.
    """

    path: Path
    table: pa.Table
    lines: range | NDArray[np.int64]
    num_read: int


@dataclass(frozen=True)
class RatingsFormat:
    """How the rows of one ratings file are laid out.

    Attributes:
      family: Delimiter, encoding and whether there is a header.
      columns: Our name of each column in file order; "" for one that is not read.
      rules: What a row may hold.
    """

    family: Family
    columns: tuple[str, ...]
    rules: RowRules


def iter_blocks(stream: io.BufferedIOBase, size: int) -> Iterator[tuple[int, bytes]]:
    """Yields (number of the first line, whole lines) until the stream ends.

    Where the last line does not end in a line break it is a block of its own.
    """
    line = 1
    rest = b""
    while chunk := stream.read(size):
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            continue
        block = rest + chunk[:end]
        rest = chunk[end:]
        yield line, block
        line += block.count(b"\n")
    if rest:
        yield line, rest


def read_ratings_file(
    path: Path,
    family: Family,
    rules: RowRules,
    header: Mapping[str, str],
    bad: BadRows,
) -> Iterator[RatingsBlock]:
    """Yields the blocks of one file.

    Args:
      path: The file.
      family: Its format.
      rules: What a row may hold.
      header: Our column names to the names in the file's header (CSV only).
      bad: Collects the rows that are refused.

    Raises:
      UserError: The header lacks a column, or the file is not text.
    """
    min_digits = 0
    layout = RatingsFormat(family, RATING_COLUMNS, rules)
    with open(path, "rb") as stream:
        for first_line, data in iter_blocks(stream, BLOCK_BYTES):
            line, block = first_line, data
            if line == 1:
                text_files.check_is_text(path, block)
                block = block.removeprefix(text_files.BYTE_ORDER_MARK)
                if family.has_header:
                    head, _, block = block.partition(b"\n")
                    columns = _header_columns(path, head, header)
                    layout = RatingsFormat(family, columns, rules)
                    line = 2
            if block:
                read = read_block(path, line, block, layout, bad, min_digits=min_digits)
                yield read
                earliest = pc.min(read.table[TIMESTAMP]).as_py()
                min_digits = min_digits if earliest is None else len(str(earliest))


def _header_columns(
    path: Path, head: bytes, header: Mapping[str, str]
) -> tuple[str, ...]:
    """Returns our name of each column of a CSV file, "" for one that is not read."""
    names = next(csv.reader([head.decode("utf-8", "replace").strip()]), [])
    positions = text_files.find_columns(path, names, header, RATING_COLUMNS)
    ours = dict(zip(positions, RATING_COLUMNS, strict=True))
    return tuple(ours.get(position, "") for position in range(len(names)))


def read_block(
    path: Path,
    line: int,
    block: bytes,
    layout: RatingsFormat,
    bad: BadRows,
    *,
    min_digits: int = 0,
) -> RatingsBlock:
    """Reads whole lines.

    Args:
      path: Their file, for messages.
      line: Number of the first line.
      block: The lines.
      layout: How their rows are laid out.
      bad: Collects the rows that are refused.
      min_digits: Fewest digits of the timestamps of the block before. A last line
        without a line break may have been cut off within its number.
    """
    lines: range | NDArray[np.int64]
    faults: dict[int, Fault] = {}
    is_whole = block.endswith(b"\n")
    table = parse_fast(block, layout) if is_whole else None
    if table is not None and table.num_rows == block.count(b"\n"):
        lines = range(line, line + table.num_rows)
    else:
        min_digits = 0 if is_whole else min_digits
        table, lines, faults = parse_lines(line, block, layout, min_digits)
    num_read = table.num_rows + len(faults)
    is_good = np.ones(table.num_rows, bool)
    for rule, rows in layout.rules.broken(table):
        for row in rows[is_good[rows]]:
            detail = rule.message.format(value=table[rule.column][int(row)].as_py())
            faults[int(lines[row])] = Fault(rule.column, detail)
        is_good[rows] = False
    if faults:
        content = block.split(b"\n")
        for number, fault in sorted(faults.items()):
            bad.add(path, number, fault.reason, fault.detail, content[number - line])
        table, lines = table.filter(pa.array(is_good)), np.array(lines)[is_good]
    return RatingsBlock(path, table, lines, num_read)


def parse_fast(block: bytes, layout: RatingsFormat) -> pa.Table | None:
    """Parses whole lines with Arrow; None if it cannot read one of them."""
    if layout.family.encoding != "utf-8" and not block.isascii():
        return None
    if b"0x" in block:  # Arrow would take it for a hexadecimal number
        return None
    delimiter = layout.family.delimiter
    if len(delimiter) > 1:
        block = block.replace(delimiter.encode(), _UNIT_SEPARATOR)
        delimiter = _UNIT_SEPARATOR.decode()
    names = [name or f"unread_{i}" for i, name in enumerate(layout.columns)]
    try:
        return pa_csv.read_csv(
            io.BytesIO(block),
            # One block: a dictionary of ids per block, and rows in file order.
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=names
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if layout.family.has_header else False,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={**dict.fromkeys(names, pa.string()), **_TYPES},
                include_columns=list(RATING_COLUMNS),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None


def parse_lines(
    line: int, block: bytes, layout: RatingsFormat, min_digits: int = 0
) -> tuple[pa.Table, NDArray[np.int64], dict[int, Fault]]:
    """Parses line by line.

    Returns:
      The rows that could be read, their line numbers, and the faults of the others by
      line number. Blank lines are neither.
    """
    rows: list[Texts] = []
    lines: list[int] = []
    faults: dict[int, Fault] = {}
    for number, raw in enumerate(block.removesuffix(b"\n").split(b"\n"), start=line):
        if not raw.strip():
            continue
        row = parse_line(raw, layout.family, layout.columns, min_digits)
        if isinstance(row, Fault):
            faults[number] = row
        else:
            rows.append(row)
            lines.append(number)
    arrays = [
        pa.array([row[0] for row in rows], pa.string()).dictionary_encode(),
        pa.array([row[1] for row in rows], pa.string()).dictionary_encode(),
        pa.array(np.array([row[2] for row in rows], np.float32)),
        pa.array([int(row[3]) for row in rows], pa.int64()),
    ]
    table = pa.table(arrays, names=list(RATING_COLUMNS))
    return table, np.array(lines, np.int64), faults
