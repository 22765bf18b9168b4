"""Ratings files into columns, in blocks of whole lines.

In a ratings file a line is a row: no id may hold a line break.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.movielens_example_gen import rating_blocks, row_checks, text_files
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.editions import RATING_COLUMNS, Family
from components.movielens_example_gen.rating_blocks import RatingsBlock, RatingsFormat

BLOCK_BYTES: Final = 8 << 20


def iter_blocks(stream: io.BufferedIOBase, size: int) -> Iterator[tuple[int, bytes]]:
    """Yields (number of the first line, whole lines) until the stream ends."""
    line = 1
    rest = b""
    while chunk := stream.read(size):
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            rest += chunk
            continue
        block = rest + chunk[:cut]
        rest = chunk[cut:]
        yield line, block
        line += block.count(b"\n")
    if rest:
        yield line, rest


def read_ratings_file(
    path: Path,
    family: Family,
    limits: row_checks.Limits,
    header: dict[str, str],
    bad: BadRows,
) -> tuple[list[RatingsBlock], int]:
    """Reads one file.

    Args:
      path: The file.
      family: Its format.
      limits: What a rating and a timestamp may be.
      header: Our column names to the names in the file's header (CSV only).
      bad: Collects the rows that cannot be read.

    Returns:
      The good rows, and the number of rows read including bad ones.

    Raises:
      UserError: The header lacks a column or the file is no text.
    """
    blocks: list[RatingsBlock] = []
    num_read = 0
    min_digits = 0
    layout = RatingsFormat(family, RATING_COLUMNS, limits)
    with open(path, "rb") as stream:
        for first_line, data in iter_blocks(stream, BLOCK_BYTES):
            line, block = first_line, data
            if line == 1:
                text_files.check_is_text(path, block)
                block = block.removeprefix(text_files.BYTE_ORDER_MARK)
                if family.has_header:
                    head, _, block = block.partition(b"\n")
                    columns = row_checks.header_columns(path, head, family, header)
                    layout = RatingsFormat(family, columns, limits)
                    line = 2
            if block:
                parsed, rows = rating_blocks.read_block(
                    path, line, block, layout, bad, min_digits=min_digits
                )
                blocks.append(parsed)
                num_read += rows
                min_digits = parsed.min_digits() or min_digits
    return blocks, num_read
