"""Ids: sorted arrays of byte strings, and a hash that no machine changes."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen.tables import Codes, Ids

_U64 = np.uint64


def sorted_unique(values: list[bytes]) -> tuple[Ids, Codes]:
    """Sorted distinct ids, and for each value its place among them.

    Returns:
      `[num_distinct]` object array of bytes, and `[len(values)]` int32 codes.
    """
    distinct = sorted(set(values))
    place = {value: code for code, value in enumerate(distinct)}
    codes = np.fromiter((place[v] for v in values), np.int32, len(values))
    return as_ids(distinct), codes


def as_ids(values: list[bytes]) -> Ids:
    """The list as an object array, which NumPy would else turn into padded text."""
    ids = np.empty(len(values), dtype=object)
    ids[:] = values
    return ids


def hash_ids(ids: Ids) -> NDArray[np.uint64]:
    """A fixed 64-bit hash of each id: the same on every machine and Python."""
    digests = b"".join(hashlib.blake2b(i, digest_size=8).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(_U64)


def mix(
    a: NDArray[np.uint64], b: NDArray[np.uint64], seed: int = 0
) -> NDArray[np.uint64]:
    """A fixed hash of pairs of hashes (the finaliser of splitmix64).

    Args:
      a: `[n]` hashes of the first ids, e.g. users.
      b: `[n]` hashes of the second ids, e.g. movies.
      seed: Another seed gives an independent hash.
    """
    with np.errstate(over="ignore"):
        x = a * _U64(0x9E3779B97F4A7C15) ^ b ^ _U64(seed * 0x632BE59BD9B4E019 % 2**64)
        x = (x ^ (x >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> _U64(27))) * _U64(0x94D049BB133111EB)
        return x ^ (x >> _U64(31))
