"""Hashes of ids, by which rows of users are ordered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def hash_ids(ids: Iterable[bytes]) -> NDArray[np.uint64]:
    """Hashes each id to 64 bits, the same on every machine and Python."""
    digests = b"".join(hashlib.blake2b(i, digest_size=8).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
