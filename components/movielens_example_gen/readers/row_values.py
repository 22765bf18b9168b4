"""Texts to ids, ratings and timestamps, each different text of a block once.

What is valid is decided by `rating_rows` alone: here it is applied to columns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.movielens_example_gen.inputs.editions import (
    MOVIE,
    RATING,
    RATING_COLUMNS,
    TIMESTAMP,
    USER,
)
from components.movielens_example_gen.readers.rating_rows import (
    Fault,
    RowRules,
    id_fault,
)

# Most ids; the others are looked at one by one.
_PLAIN_ID: Final = r"^[!-~]{1,100}$"
_PLAIN_SECONDS: Final = r"^[0-9]{1,18}(\.[0-9]{0,9})?$"
_PLAIN_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}$"


def read_values(texts: pa.Table, rules: RowRules) -> tuple[pa.Table, dict[int, Fault]]:
    """Turns texts into ids, ratings and timestamps.

    Args:
      texts: See `Split`.
      rules: What is valid. Where there is no rating column all events have the scale's
        `liked` rating, and where there is no timestamp column all times are 0.

    Returns:
      The columns `RATING_COLUMNS` with all rows, and the faults by row. What a faulty
      row holds has no meaning.
    """
    num_rows = texts.num_rows
    columns: dict[str, pa.Array] = {
        RATING: pa.array(np.full(num_rows, rules.scale.liked, np.float32)),
        TIMESTAMP: pa.array(np.zeros(num_rows, np.int64)),
    }
    faults: dict[int, Fault] = {}
    for name in (name for name in RATING_COLUMNS if name in texts.column_names):
        column = texts[name].combine_chunks()
        if name in (USER, MOVIE):
            columns[name] = column
            found = _id_faults(name, column)
        elif name == RATING:
            columns[name], found = _read_each(column, rules.rating, np.float32)
        elif pa.types.is_integer(column.type):
            columns[name], found = column, _time_faults(column, rules)
        else:
            columns[name], found = _read_times(column, rules)
        faults = {**found, **faults}
    return pa.table({name: columns[name] for name in RATING_COLUMNS}), faults


def _id_faults(name: str, column: pa.DictionaryArray) -> dict[int, Fault]:
    is_plain = pc.match_substring_regex(column.dictionary, _PLAIN_ID)
    faults = {}
    for code in np.flatnonzero(~is_plain.to_numpy(zero_copy_only=False)).tolist():
        fault = id_fault(name, column.dictionary[code].as_py())
        if fault is not None:
            faults[code] = fault
    return _of_rows(column, faults)


def _of_rows(column: pa.DictionaryArray, faults: dict[int, Fault]) -> dict[int, Fault]:
    """Returns the faults of texts, given by code, by row."""
    if not faults:
        return {}
    codes = column.indices.to_numpy()
    rows = np.flatnonzero(np.isin(codes, list(faults)))
    return {int(row): faults[int(codes[row])] for row in rows}


def _read_each(
    column: pa.DictionaryArray, read: Callable[[str], float | Fault], dtype: type
) -> tuple[pa.Array, dict[int, Fault]]:
    """Reads each different text once; faulty rows hold 0."""
    values = [read(text) for text in column.dictionary.to_pylist()]
    faults = {code: v for code, v in enumerate(values) if isinstance(v, Fault)}
    numbers: NDArray[Any] = np.array(
        [0 if isinstance(v, Fault) else v for v in values], dtype
    )
    return pa.array(numbers[column.indices.to_numpy()]), _of_rows(column, faults)


def _read_times(
    column: pa.StringArray, rules: RowRules
) -> tuple[pa.Array, dict[int, Fault]]:
    """Reads good plain numbers and dates all at once, and other texts one by one."""
    seconds = np.full(len(column), -1, np.int64)
    for pattern, read in ((_PLAIN_SECONDS, _whole_seconds), (_PLAIN_DATE, _date_times)):
        is_plain = pc.match_substring_regex(column, pattern)
        with contextlib.suppress(pa.ArrowInvalid):  # 30 February
            values = read(column.filter(is_plain)).to_numpy()
            seconds[is_plain.to_numpy(zero_copy_only=False)] = values
    others = np.flatnonzero((seconds < 0) | (seconds > rules.latest))
    faults = {}
    texts = column.take(pa.array(others)).to_pylist()
    for row, text in zip(others.tolist(), texts, strict=True):
        value = rules.timestamp(text)
        if isinstance(value, Fault):
            faults[row] = value
        else:
            seconds[row] = value
    return pa.array(seconds), faults


def _whole_seconds(column: pa.StringArray) -> pa.Int64Array:
    return pc.replace_substring_regex(column, r"\..*", "").cast(pa.int64())


def _date_times(column: pa.StringArray) -> pa.Int64Array:
    return column.cast(pa.timestamp("s")).cast(pa.int64())


def _time_faults(column: pa.Int64Array, rules: RowRules) -> dict[int, Fault]:
    seconds = column.to_numpy()
    rows = np.flatnonzero((seconds < 0) | (seconds > rules.latest))
    return {int(row): rules.wrong_time(int(seconds[row])) for row in rows}
