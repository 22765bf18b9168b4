"""Ratings files into columns, in blocks of whole lines.

A block is split into fields (`row_splits`), and these are read as ids, ratings and
timestamps (`row_values`), by the rules of `rating_rows`. A line is a row: no id may
hold a line break.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from components.movielens_example_gen.inputs.editions import RATING_COLUMNS, Family
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.rating_rows import Fault, RowRules
from components.movielens_example_gen.readers.row_splits import (
    RatingsFormat,
    Rows,
    split_block,
    split_fields,
)
from components.movielens_example_gen.readers.row_values import read_values
from components.movielens_example_gen.readers.text_files import WHOLE, Part
from trainer.errors import UserError

BLOCK_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class RatingsBlock:
    """The good rows of one block.

    Attributes:
      path: File that the block is from.
      table: Columns `RATING_COLUMNS`; the ids are dictionary-encoded strings.
      lines: `[num_rows]` line number of each row; a range where they are consecutive.
      num_read: Rows in the block, bad ones included.
      next_line: Number of the line after the block.
    """

    path: Path
    table: pa.Table
    lines: range | Rows
    num_read: int
    next_line: int


def read_ratings_file(
    path: Path,
    family: Family,
    rules: RowRules,
    header: Mapping[str, str | None],
    bad: BadRows,
    *,
    report: Callable[[int], None] = lambda position: None,
    part: Part = WHOLE,
) -> Iterator[RatingsBlock]:
    """Yields the blocks of one file, or of a part of it.

    Args:
      path: The file.
      family: Its format.
      rules: What a row may hold.
      header: Our column names to the names in the file's header (CSV only), or to None
        for columns that are not read.
      bad: Collects the rows that are refused.
      report: Called with the position in the file, for each block.
      part: What is read; the lines of a part are counted from 1.

    Raises:
      UserError: The header lacks a column, or the file is not text.
    """
    columns = tuple(name if header[name] else "" for name in RATING_COLUMNS)
    layout = RatingsFormat(family, columns)
    is_start = part.start == 0
    if not is_start and family.has_header:
        head = text_files.first_line(path)
        layout = RatingsFormat(family, _header_columns(path, head, header))
    chunks = text_files.read_chunks(path, BLOCK_BYTES, report, part)
    for first_line, data in text_files.iter_blocks(path, chunks, is_start=is_start):
        line, block = first_line, data
        if line == 1 and family.has_header and is_start:
            head, _, block = block.partition(b"\n")
            layout = RatingsFormat(family, _header_columns(path, head, header))
            line = 2
        if block:
            yield read_block(path, line, block, layout=layout, rules=rules, bad=bad)


def _header_columns(
    path: Path, head: bytes, header: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Returns our name of each column of a CSV file, "" for one that is not read."""
    fields = split_fields(head.strip(), b",", has_quotes=True)
    if fields is None:
        raise UserError(
            f"{path} line 1: a double quote in the header is not closed", "Close it."
        )
    names = [field.decode("utf-8", "replace") for field in fields]
    wanted = [name for name in RATING_COLUMNS if header[name] is not None]
    positions = text_files.find_columns(path, names, header, wanted)
    ours = dict(zip(positions, wanted, strict=True))
    return tuple(ours.get(position, "") for position in range(len(names)))


def _at_the_end(fault: Fault) -> Fault:
    """Adds what may have happened to a last line that has no end."""
    if fault.reason != "fields":
        return fault
    return Fault("fields", f"{fault.detail}, or cut off at the file's end")


def read_block(
    path: Path,
    line: int,
    block: bytes,
    *,
    layout: RatingsFormat,
    rules: RowRules,
    bad: BadRows,
) -> RatingsBlock:
    r"""Reads whole lines.

    Args:
      path: Their file, for messages.
      line: Number of the first line.
      block: The lines. Only the last of a file may have no end.
      layout: How their rows are laid out.
      rules: What a row may hold.
      bad: Collects the rows that are refused.
    """
    is_whole = block.endswith(b"\n")
    split = split_block(block if is_whole else block + b"\n", layout)
    table, faulty = read_values(split.texts, rules)
    faults = {int(split.lines[row]): fault for row, fault in faulty.items()}
    faults.update(split.faults)
    if not is_whole:
        faults = {index: _at_the_end(fault) for index, fault in faults.items()}
    lines: range | Rows
    if isinstance(split.lines, range):
        lines = range(line, line + len(split.lines))
    else:
        lines = split.lines + line
    num_read = len(lines) + len(split.faults)
    if faults:
        content = block.split(b"\n")
        for index, fault in sorted(faults.items()):
            bad.add(path, line + index, fault.reason, fault.detail, content[index])
        is_good = np.ones(table.num_rows, bool)
        is_good[list(faulty)] = False
        table, lines = table.filter(pa.array(is_good)), np.array(lines)[is_good]
    next_line = line + text_files.count_lines(block) + (not is_whole)
    return RatingsBlock(path, table, lines, num_read, next_line)
