"""Blocks of rating rows: fast where they are clean, exact where they are not.

A clean block is parsed by Arrow. A block in which anything is unexpected (a wrong
number of fields, a value that is no number or out of range, a blank line, bytes that
are no UTF-8) is parsed again line by line, which gives each bad row its line number. So
clean files cost nothing, and dirty ones cost in proportion to their dirty blocks.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from components.movielens_example_gen import row_checks
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.editions import (
    MOVIE,
    RATING,
    RATING_COLUMNS,
    TIMESTAMP,
    USER,
    Family,
)

# Stands in for "::" in front of Arrow's parser, which takes one character.
_UNIT_SEPARATOR = b"\x1f"
_TYPES = {
    USER: pa.dictionary(pa.int32(), pa.string()),
    MOVIE: pa.dictionary(pa.int32(), pa.string()),
    RATING: pa.float32(),
    TIMESTAMP: pa.int64(),
}


@dataclass(frozen=True)
class RatingsBlock:
    """The good rows of one block.

    Attributes:
      table: Columns `RATING_COLUMNS`; the ids are dictionary-encoded strings.
      lines: `[num_rows]` line numbers, or the number of the first where they run on.
    """

    table: pa.Table
    lines: NDArray[np.int64] | int

    def line(self, row: int) -> int:
        """Line number of a row of `table`."""
        if isinstance(self.lines, int):
            return self.lines + row
        return int(self.lines[row])

    def min_digits(self) -> int:
        """Digits of the earliest timestamp; 0 where there are no rows."""
        earliest = pc.min(self.table[TIMESTAMP]).as_py()
        return 0 if earliest is None else len(str(earliest))


@dataclass(frozen=True)
class RatingsFormat:
    """How the rows of one ratings file are laid out.

    Attributes:
      family: Delimiter, encoding and whether there is a header.
      columns: Our name of each column in file order; "" for one that is not read.
      limits: What a rating and a timestamp may be.
    """

    family: Family
    columns: tuple[str, ...]
    limits: row_checks.Limits


def read_block(
    path: Path,
    line: int,
    block: bytes,
    layout: RatingsFormat,
    bad: BadRows,
    *,
    min_digits: int = 0,
) -> tuple[RatingsBlock, int]:
    """Reads whole lines.

    Args:
      path: Their file, for messages.
      line: Number of the first line.
      block: The lines.
      layout: How their rows are laid out.
      bad: Collects the rows that cannot be read.
      min_digits: Fewest digits of the timestamps before. A last line without a line
        break may have been cut off within its number, which this tells.

    Returns:
      The good rows, and the number of rows read including bad ones.
    """
    table = _parse_fast(block, layout)
    if (
        block.endswith(b"\n")
        and table is not None
        and table.num_rows == block.count(b"\n")
        and _all_good(table, layout.limits)
    ):
        return RatingsBlock(table, line), table.num_rows
    return _parse_slow(path, line, block, layout, bad, min_digits=min_digits)


def _parse_fast(block: bytes, layout: RatingsFormat) -> pa.Table | None:
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


def _all_good(table: pa.Table, limits: row_checks.Limits) -> bool:
    ratings = table[RATING].to_numpy()
    timestamps = table[TIMESTAMP].to_numpy()
    return (
        bool(limits.good_ratings(ratings).all())
        and bool(limits.good_timestamps(timestamps).all())
        and not any(_has_blank_id(table[name]) for name in (USER, MOVIE))
    )


def _has_blank_id(column: pa.ChunkedArray) -> bool:
    return any(
        bool(pc.any(pc.equal(pc.utf8_trim_whitespace(chunk.dictionary), "")).as_py())
        for chunk in column.chunks
    )


def _parse_slow(
    path: Path,
    line: int,
    block: bytes,
    layout: RatingsFormat,
    bad: BadRows,
    *,
    min_digits: int,
) -> tuple[RatingsBlock, int]:
    rows: list[row_checks.Row] = []
    lines: list[int] = []
    num_read = 0
    min_digits = 0 if block.endswith(b"\n") else min_digits
    for number, raw in enumerate(block.removesuffix(b"\n").split(b"\n"), start=line):
        if not raw.strip():
            continue
        num_read += 1
        row = row_checks.parse_row(
            raw, layout.family, layout.columns, layout.limits, min_digits
        )
        if isinstance(row, row_checks.Fault):
            bad.add(path, number, row.reason, row.detail, raw)
            continue
        rows.append(row)
        lines.append(number)
    return RatingsBlock(_as_table(rows), np.array(lines, np.int64)), num_read


def _as_table(rows: list[row_checks.Row]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(RATING_COLUMNS)
    arrays = [
        pa.array(list(values), _TYPES[name].value_type).dictionary_encode()
        if name in (USER, MOVIE)
        else pa.array(list(values), _TYPES[name])
        for name, values in zip(RATING_COLUMNS, columns, strict=True)
    ]
    return pa.table(arrays, names=list(RATING_COLUMNS))
