"""Splits the lines of a ratings file into fields.

`split_line` is the rule. `split_block` does the same for many lines at once: it gives
Arrow only what Arrow splits in the same way. If that is not the whole block (a wrong
number of fields, a blank line, bytes that are not UTF-8) the lines that are not plain
are taken out and split one by one: a file costs in proportion to its odd lines.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from components.movielens_example_gen.inputs.editions import TIMESTAMP, Family
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.rating_rows import Fault

# Replaces "::" for Arrow's parser, which takes a delimiter of one character.
_UNIT_SEPARATOR: Final = b"\x1f"
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
_FIRST_NON_ASCII: Final = 0x80
# Up to the first quote that is not doubled.
_QUOTED: Final = re.compile(rb'"([^"]*(?:""[^"]*)*)"(?!")')

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RatingsFormat:
    """How the rows of one ratings file are laid out.

    Attributes:
      family: Delimiter, encoding and whether there is a header.
      columns: Our name of each column in file order; "" for one that is not read. A
        rating or timestamp that is not read is the same for all rows.
    """

    family: Family
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """The lines of a block, split into fields.

    Attributes:
      texts: A string column for each column that is read, dictionary-encoded but for
        the timestamps, which may be int64.
      lines: `[num_rows]` index of each row's line in the block.
      faults: Why the other lines were refused, by index. Blank lines are neither.
    """

    texts: pa.Table
    lines: range | Rows
    faults: dict[int, Fault] = dataclasses.field(default_factory=dict)


def split_block(block: bytes, layout: RatingsFormat) -> Split:
    """Splits whole lines into fields, as `split_lines` does, but faster."""
    texts = _split_plain(block, layout, pa.int64())
    if texts is not None:
        return Split(texts, range(texts.num_rows))
    is_plain = _plain_lines(block, layout)
    lines = block.removesuffix(b"\n").split(b"\n")
    odd = np.flatnonzero(~is_plain)
    rest = split_lines([lines[index] for index in odd], layout)
    faults = {int(odd[index]): fault for index, fault in rest.faults.items()}
    odd = odd[np.array(rest.lines, np.int64)]
    plain = np.flatnonzero(is_plain)
    if not len(plain):
        return Split(rest.texts, odd, faults)
    if len(plain) < len(lines):
        block = b"".join(lines[index] + b"\n" for index in plain)
    texts = _split_plain(block, layout, pa.int64())
    if texts is None:
        texts = _split_plain(block, layout, pa.string())
    assert texts is not None, "a plain line that Arrow cannot split"
    if not len(odd):
        return Split(texts, plain, faults)
    joined, order = _merge(texts, plain, rest.texts, odd)
    return Split(joined, order, faults)


def _merge(
    some: pa.Table, lines: Rows, others: pa.Table, other_lines: Rows
) -> tuple[pa.Table, Rows]:
    """Joins the rows of two tables in the order of their lines."""
    if some.schema != others.schema:  # timestamps as numbers and as texts
        place = some.schema.get_field_index(TIMESTAMP)
        some = some.set_column(place, TIMESTAMP, some[TIMESTAMP].cast(pa.string()))
    both = pa.concat_tables([some, others.select(some.column_names)])
    both = both.unify_dictionaries().combine_chunks()
    lines = np.concatenate([lines, other_lines])
    order = np.argsort(lines)
    return both.take(pa.array(order)), lines[order]


def _split_plain(
    block: bytes, layout: RatingsFormat, timestamps: pa.DataType
) -> pa.Table | None:
    """Splits lines with Arrow; None if that may differ from `split_line`.

    Args:
      block: The lines.
      layout: How they are laid out.
      timestamps: Type of the timestamps, int64 or string.
    """
    if not _is_split_alike(block, layout, timestamps):
        return None
    delimiter = layout.family.delimiter.encode()
    if len(delimiter) > 1:
        block = block.replace(delimiter, _UNIT_SEPARATOR)
        delimiter = _UNIT_SEPARATOR
    names = [name or f"unread_{i}" for i, name in enumerate(layout.columns)]
    read = [name for name in layout.columns if name]
    types = {**dict.fromkeys(names, pa.string()), **dict.fromkeys(read, _TEXT)}
    try:
        table = pa_csv.read_csv(
            io.BytesIO(block),
            # One block: a dictionary of ids per block, and rows in file order.
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=names
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter.decode(),
                quote_char='"' if layout.family.has_header else False,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={**types, TIMESTAMP: timestamps},
                include_columns=read,
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    # It skips blank lines, and a quoted line break joins two lines.
    return table if table.num_rows == text_files.count_lines(block) else None


def _is_split_alike(
    block: bytes, layout: RatingsFormat, timestamps: pa.DataType
) -> bool:
    """Returns whether Arrow reads what it can read of a block as `split_line` does."""
    family = layout.family
    if family.encoding != "utf-8" and not block.isascii():
        return False
    if block.startswith(text_files.BYTE_ORDER_MARK):
        return False  # Arrow skips it, also where no file starts.
    if pa.types.is_integer(timestamps) and (b"x" in block or b"X" in block):
        if b"0x" in block or b"0X" in block:
            return False  # Arrow takes it for a hexadecimal number.
    if len(family.delimiter) > 1 and _UNIT_SEPARATOR in block:
        return False
    # An open quote takes in the lines after it; there is none after the last.
    last = block[block.rfind(b"\n", 0, -1) + 1 : -1]
    is_open = family.has_header and b'"' in last
    return not (is_open and isinstance(split_line(last, family, layout.columns), Fault))


def _plain_lines(block: bytes, layout: RatingsFormat) -> NDArray[np.bool_]:
    """Marks the lines that Arrow splits as `split_line` does.

    They have the right number of delimiters, no quote and only ASCII.

    Returns:
      `[num_lines]`.
    """
    delimiter = layout.family.delimiter.encode()
    odd = [*range(_FIRST_NON_ASCII, 256)]
    if layout.family.has_header:
        odd += b'"'
    if len(delimiter) > 1:
        odd += _UNIT_SEPARATOR
    is_plain = _count_per_line(block, odd) == 0
    if len(delimiter) > 1:
        block = block.replace(delimiter, _UNIT_SEPARATOR)
        delimiter = _UNIT_SEPARATOR
    num_delimiters = _count_per_line(block, list(delimiter))
    plain: NDArray[np.bool_] = is_plain & (num_delimiters == len(layout.columns) - 1)
    return plain


def _count_per_line(block: bytes, wanted: list[int]) -> Rows:
    """Counts the bytes that are among the wanted ones, `[num_lines]`."""
    is_wanted = np.zeros(256, bool)
    is_wanted[wanted] = True
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    lines = np.searchsorted(ends, np.flatnonzero(is_wanted[data]))
    return np.bincount(lines, minlength=len(ends))


def split_lines(lines: list[bytes], layout: RatingsFormat) -> Split:
    """Splits line by line."""
    rows: list[dict[str, str]] = []
    faults: dict[int, Fault] = {}
    indices = []
    for index, raw in enumerate(lines):
        if text_files.is_blank(raw, layout.family):
            continue
        row = split_line(raw, layout.family, layout.columns)
        if isinstance(row, Fault):
            faults[index] = row
        else:
            rows.append(row)
            indices.append(index)
    columns = {
        name: pa.array([row[name] for row in rows], pa.string())
        for name in layout.columns
        if name
    }
    for name in columns.keys() - {TIMESTAMP}:
        columns[name] = columns[name].dictionary_encode()
    return Split(pa.table(columns), np.array(indices, np.int64), faults)


def split_line(
    raw: bytes, family: Family, columns: Sequence[str]
) -> dict[str, str] | Fault:
    r"""Splits one line.

    Args:
      raw: The line, without `\n`.
      family: Its format.
      columns: Our names of the fields in order, "" for those that are not read.

    Returns:
      Our names with the texts of the fields, or why the row is refused.
    """
    line = raw.removesuffix(b"\r")
    fields = split_fields(line, family.delimiter.encode(), family.has_header)
    if fields is None:
        return Fault("quotes", "a double quote is not closed on its line")
    if len(fields) != len(columns):
        cause = f"a delimiter ({family.delimiter!r}) too many or too few"
        return Fault(
            "fields", f"{len(fields)} fields instead of {len(columns)}: {cause}"
        )
    values = {}
    for name, field in zip(columns, fields, strict=True):
        try:
            values[name] = field.decode(family.encoding) if name else ""
        except UnicodeDecodeError as e:
            byte = e.object[e.start : e.end]
            return Fault("encoding", f"byte {byte!r} is not {e.encoding}")
    return values


def split_fields(line: bytes, delimiter: bytes, has_quotes: bool) -> list[bytes] | None:
    """Splits a line.

    Args:
      line: Without a line break.
      delimiter: Between two fields.
      has_quotes: Whether a field may be quoted. A quote counts at a field's start only.

    Returns:
      The fields, or None if a quote is not closed.
    """
    if not has_quotes or b'"' not in line:
        return line.split(delimiter)
    fields = []
    position = 0
    while True:
        text = b""
        if line.startswith(b'"', position):
            quoted = _QUOTED.match(line, position)
            if quoted is None:
                return None
            text, position = quoted[1].replace(b'""', b'"'), quoted.end()
        end = line.find(delimiter, position)
        fields.append(text + line[position : end if end >= 0 else None])
        if end < 0:
            return fields
        position = end + len(delimiter)
