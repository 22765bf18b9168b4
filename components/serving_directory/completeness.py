"""Whether a version is whole: no file of it is absent, empty or cut off.

A copy that goes on, one that broke off, and a model that lost its end all look alike: a
file is shorter than what others say about it. All of this is read without TensorFlow.

`variables.index` is a table of TensorFlow (`tensorflow/core/lib/io/format.h`): blocks
of keys and values, a block that says where they are, and a footer. Its values
(`BundleEntryProto`) say where in which shard a tensor ends.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import Final

from components import storage

_MODEL_FILE: Final = "saved_model.pb"
_INDEX: Final = "variables.index"
_SHARD: Final = re.compile(r"variables\.data-(\d+)-of-(\d+)")
# A graph that restores variables names the tensor with the path of their files.
_RESTORES: Final = (b"saver_filename", b"save/restore_all")
_MAGIC: Final = 0xDB4775248B80FB57
_FOOTER_SIZE: Final = 48
_TRAILER_SIZE: Final = 5  # of a block: kind of compression, and a checksum
_LONGEST_VARINT: Final = 10
_HEAD: Final = 32  # bytes that hold the tag and the length of a field
# Fields of `BundleEntryProto`, and their wire types.
_SHARD_ID, _OFFSET, _SIZE = 3, 4, 5
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def missing_file(version_dir: str) -> str | None:
    """Returns a file without which a version cannot be loaded; None if it is complete.

    That is a file which is absent, empty, or shorter than the others say. So a copy
    that goes on is not taken for a model, in whatever order it copies.

    Raises:
      UserError: The version cannot be read.
    """
    model = os.path.join(version_dir, _MODEL_FILE)
    if not _is_whole_message(model):
        return _MODEL_FILE
    variables = os.path.join(version_dir, "variables")
    found = storage.names(variables) or []
    if not found and not _restores(model):
        return None
    ends = _ends_of_shards(storage.read(os.path.join(variables, _INDEX)) or b"")
    if ends is None:
        return f"variables/{_INDEX}"
    shards = [match for name in found if (match := _SHARD.fullmatch(name))]
    total = int(shards[0][2]) if shards else 1
    for number in range(total):
        name = f"variables.data-{number:05}-of-{total:05}"
        size = storage.size(os.path.join(variables, name)) if name in found else 0
        if size < max(ends.get(number, 0), 1):
            return f"variables/{name}"
    return None


def _restores(model_file: str) -> bool:
    """Returns whether a graph restores variables from files."""
    content = storage.read(model_file) or b""
    return any(mark in content for mark in _RESTORES)


def _is_whole_message(path: str) -> bool:
    """Returns whether a file is a message of Protocol Buffers that is not cut off.

    Only its outer fields are looked at, so that a large model is not read.
    """
    size, at = storage.size(path), 0
    while at < size:
        head = storage.read(path, at, _HEAD) or b""
        try:
            at += _skip_field(head, 0)
        except (IndexError, ValueError):
            return False
    return size > 0 and at == size


def _ends_of_shards(index: bytes) -> dict[int, int] | None:
    """Returns shard -> size in bytes that it has at least; None if cut off.

    Args:
      index: Content of `variables.index`.
    """
    try:
        footer = index[-_FOOTER_SIZE:]
        if len(footer) < _FOOTER_SIZE or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
            return None
        _, at = _handle(footer, 0)
        (start, size), _ = _handle(footer, at)
        ends: dict[int, int] = {}
        for handle in _values(index, start, size):
            (block, length), _ = _handle(handle, 0)
            for entry in list(_values(index, block, length)):
                fields = _numbers(entry)
                shard = fields.get(_SHARD_ID, 0)
                end = fields.get(_OFFSET, 0) + fields.get(_SIZE, 0)
                ends[shard] = max(end, ends.get(shard, 0))
    except (IndexError, ValueError, struct.error):
        return None
    return ends


def _values(table: bytes, start: int, size: int) -> Iterator[bytes]:
    """Yields the values of a block.

    Raises:
      IndexError: It is cut off.
      ValueError: It is compressed, which TensorFlow never does with variables.
    """
    if start + size + _TRAILER_SIZE > len(table):
        raise IndexError(start)
    if table[start + size]:
        raise ValueError("compressed")
    block = table[start : start + size]
    [restarts] = struct.unpack("<I", block[-4:])
    end, at = size - 4 * (restarts + 1), 0
    while at < end:
        _, at = _varint(block, at)  # characters that the key shares with the last one
        rest, at = _varint(block, at)
        length, at = _varint(block, at)
        at += rest
        if at + length > end:
            raise IndexError(at)
        yield block[at : at + length]
        at += length


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Returns where a block begins, its size, and where its handle ends."""
    start, at = _varint(content, at)
    size, at = _varint(content, at)
    return (start, size), at


def _numbers(message: bytes) -> dict[int, int]:
    """Returns field -> value of the integers in a message."""
    found, at = {}, 0
    while at < len(message):
        tag, value_at = _varint(message, at)
        if tag & 7 == _VARINT:
            found[tag >> 3], _ = _varint(message, value_at)
        at += _skip_field(message, at)
    return found


def _skip_field(message: bytes, at: int) -> int:
    """Returns the size of the field at a place, which may reach beyond the end.

    Raises:
      IndexError: Its tag or length is cut off.
      ValueError: It is no field.
    """
    tag, value_at = _varint(message, at)
    kind = tag & 7
    if not tag >> 3:
        raise ValueError("field 0")
    if kind == _VARINT:
        _, value_at = _varint(message, value_at)
    elif kind == _BYTES:
        length, value_at = _varint(message, value_at)
        value_at += length
    elif kind in (_FIXED64, _FIXED32):
        value_at += 8 if kind == _FIXED64 else 4
    else:
        raise ValueError(f"kind {kind}")
    return value_at - at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns the number at a place, and where it ends.

    Raises:
      IndexError: It is cut off.
      ValueError: It is too long.
    """
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = content[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("no number")
