"""Words and facets as numbers that hold their space, or their project.

So the words of one space are found in an index without passing those of others, and no word itself
stands in the index.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
#: Makes tokens of hashes: those of one space, or of one project.
Where = Callable[[Hashes], NDArray[np.int64]]

#: Words whose hashes are remembered.
_KNOWN = 65_536
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])
#: An array of bigint as PostgreSQL sends it: one dimension, no NULL, the type, size and first.
_HEAD = np.dtype(">i4")
_BIGINT = 20


@lru_cache(maxsize=_KNOWN)
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def of_words(terms: Sequence[str]) -> Hashes:
    """Hash words."""
    return np.array([_hash("w" + term) for term in terms], np.uint64)


def of_facets(texts: Sequence[str]) -> Hashes:
    """Hash facets, as `search/facets.py` writes them."""
    return np.array([_hash("f" + text) for text in texts], np.uint64)


def in_space(hashes: Hashes, space_id: int) -> NDArray[np.int64]:
    """Give the tokens of words or facets in a space."""
    return _mixed(hashes, space_id * _GOLDEN)


def in_project(hashes: Hashes, project_id: str) -> NDArray[np.int64]:
    """Give the tokens of words or facets in a project."""
    return _mixed(hashes, _hash("p" + project_id))


def _mixed(hashes: Hashes, where: int) -> NDArray[np.int64]:
    """Mix hashes with a number so that each bit depends on all (the finish of SplitMix64)."""
    mixed = hashes + np.uint64(where & _MASK)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: NDArray[np.int64] = (mixed ^ (mixed >> np.uint64(31))).view(np.int64)
    return found


def array_of(tokens: NDArray[np.int64]) -> bytes:
    """Write tokens as PostgreSQL takes an array of bigint."""
    if not len(tokens):
        return np.array([0, 0, _BIGINT], _HEAD).tobytes()
    elements = np.empty(len(tokens), _ELEMENT)
    elements["length"] = 8
    elements["value"] = tokens
    return np.array([1, 0, _BIGINT, len(tokens), 1], _HEAD).tobytes() + elements.tobytes()


def halves_of(vector: NDArray[np.int8]) -> bytes:
    """Write a vector as PostgreSQL takes a `halfvec`: dimension, nothing, numbers of two bytes."""
    head = np.array([len(vector), 0], ">u2").tobytes()
    return head + vector.astype(">f2").tobytes()
