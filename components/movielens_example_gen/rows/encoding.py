"""Serialised `tf.train.Example`s, encoded from columns.

Building the protos value by value costs more than all steps before it. Their wire
format is simple (https://protobuf.dev/programming-guides/encoding/): encoded directly,
a row consists of a few slices of columns that were encoded once. Features are sorted by
name, so that equal rows are equal bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen.tables import Codes, Ids

_PAYLOAD_BITS = 7
# Tags: (field number << 3) | wire type 2, "length-delimited".
_FIELD_1, _FIELD_2, _FIELD_3 = b"\x0a", b"\x12", b"\x1a"


@functools.lru_cache(maxsize=1 << 16)
def varint(value: int) -> bytes:
    """Encodes a non-negative integer, seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - the seven payload bits
        out.append(value & 0x7F | 0x80)
        value >>= _PAYLOAD_BITS
    out.append(value)
    return bytes(out)


def _delimited(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def bytes_value(value: bytes) -> bytes:
    """Encodes one value of a BytesList."""
    return _delimited(_FIELD_1, value)


def bytes_feature(values: Iterable[bytes]) -> bytes:
    """Encodes a Feature of byte strings."""
    return _delimited(_FIELD_1, b"".join(map(bytes_value, values)))


def int_feature(values: Iterable[int]) -> bytes:
    """Encodes a Feature of non-negative integers."""
    packed = b"".join(map(varint, values))
    return _delimited(_FIELD_3, bytes_value(packed) if packed else b"")


@functools.cache
def _name(name: str) -> bytes:
    """Encodes the name of a feature, the key of a map entry."""
    return bytes_value(name.encode())


def example(features: Mapping[str, bytes]) -> bytes:
    """Encodes a tf.train.Example from features that are encoded already."""
    entries = []
    for name in sorted(features):
        entry = _name(name) + _delimited(_FIELD_2, features[name])
        entries.append(_delimited(_FIELD_1, entry))
    return _delimited(_FIELD_1, b"".join(entries))


@dataclass(frozen=True)
class BytesColumn:
    """A column of ids, any slice of which can be encoded as a Feature.

    Attributes:
      encoded: `[num_ids]` each id, encoded as one value of a BytesList.
      codes: `[num_rows]` index into `encoded`.
    """

    encoded: Ids
    codes: Codes

    def feature(self, start: int, end: int) -> bytes:
        """Encodes the rows from `start` to `end`, exclusive, as one Feature."""
        content = b"".join(self.encoded[self.codes[start:end]].tolist())
        return _delimited(_FIELD_1, content)


@dataclass(frozen=True)
class FloatColumn:
    """A column of floats, any slice of which can be encoded as a Feature."""

    values: NDArray[np.float32]

    def feature(self, start: int, end: int) -> bytes:
        """Encodes the rows from `start` to `end`, exclusive, as one Feature."""
        packed = self.values[start:end].astype("<f4").tobytes()
        return _delimited(_FIELD_2, bytes_value(packed) if packed else b"")


class IntColumn:
    """A column of integers >= 0, any slice of which can be encoded as a Feature."""

    def __init__(self, values: NDArray[np.int64]) -> None:
        """Encodes all values at once.

        Args:
          values: `[num_rows]`, none negative.
        """
        largest = int(values.max(initial=1))
        num_groups = -(-largest.bit_length() // _PAYLOAD_BITS)
        shifts = np.arange(num_groups, dtype=np.uint64) * np.uint64(_PAYLOAD_BITS)
        rest = values.astype(np.uint64)[:, np.newaxis] >> shifts
        # A value takes as many bytes as it has groups of seven bits, and at least one.
        used = rest > 0
        used[:, 0] = True
        more = np.concatenate([used[:, 1:], np.zeros((len(values), 1), bool)], axis=1)
        groups = (rest & np.uint64(0x7F)).astype(np.uint8) | (more * np.uint8(0x80))
        self._bytes = groups[used].tobytes()
        self._ends = np.concatenate(([0], np.cumsum(used.sum(axis=1)))).tolist()

    def feature(self, start: int, end: int) -> bytes:
        """Encodes the rows from `start` to `end`, exclusive, as one Feature."""
        packed = self._bytes[self._ends[start] : self._ends[end]]
        return _delimited(_FIELD_3, bytes_value(packed) if packed else b"")
