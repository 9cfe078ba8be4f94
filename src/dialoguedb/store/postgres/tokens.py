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
#: A sample of a level holds one of 2 ** level texts, chosen by their keys: a token of theirs.
_LEVELS = range(5, 30, 2)
#: A sample is of so many texts at least, if there are enough, and of four times as many at most.
_SAMPLED = 512
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
#: Of SplitMix64.
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])
#: An array of bigint as PostgreSQL sends it: one dimension, no NULL, the type, size and first.
_HEAD = np.dtype(">i4")
_BIGINT, _TEXT = 20, 25


@lru_cache(maxsize=_KNOWN)
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def of_words(terms: Sequence[str]) -> Hashes:
    """Hash words."""
    return np.array([_hash("w" + term) for term in terms], np.uint64)


def of_facets(texts: Sequence[str]) -> Hashes:
    """Hash facets, as `search/facets.py` writes them."""
    return np.array([_hash("f" + text) for text in texts], np.uint64)


def sample_level(texts: int) -> int:
    """Choose the sample that has enough of so many texts, and not many more."""
    return max(_LEVELS[0], *(level for level in _LEVELS if texts >> level >= _SAMPLED), 0)


def of_sample(level: int) -> Hashes:
    """Hash what is a sign of the texts of a sample."""
    return np.array([_hash(f"s{level}")], np.uint64)


def of_samples(owner: str, sequence: int) -> Hashes:
    """Hash the signs of all samples that a text is in: most are in none."""
    key = hashlib.blake2b(f"{sequence} {owner}".encode(), digest_size=8).digest()
    drawn = int.from_bytes(key, "little")
    found = [_hash(f"s{level}") for level in _LEVELS if not drawn & ((1 << level) - 1)]
    return np.array(found, np.uint64)


def in_space(hashes: Hashes, space_id: int) -> NDArray[np.int64]:
    """Give the tokens of words or facets in a space."""
    return _mixed(hashes + _of_space(space_id))


def in_project(hashes: Hashes, project_id: str) -> NDArray[np.int64]:
    """Give the tokens of words or facets in a project."""
    return _mixed(hashes + _of_project(project_id))


def in_both(kinds: Sequence[Hashes], space_id: int, project_id: str) -> NDArray[np.int64]:
    """Give the tokens of each kind of hashes in a space, then in a project; all mixed at once."""
    places = np.array([_of_space(space_id), _of_project(project_id)] * len(kinds), np.uint64)
    counts = [len(hashes) for hashes in kinds for _ in range(2)]
    return _mixed(
        np.concatenate([hashes for hashes in kinds for _ in range(2)]) + places.repeat(counts)
    )


def _of_space(space_id: int) -> np.uint64:
    return np.uint64(space_id * _GOLDEN & _MASK)


def _of_project(project_id: str) -> np.uint64:
    return np.uint64(_hash("p" + project_id))


def _mixed(hashes: Hashes) -> NDArray[np.int64]:
    """Mix numbers so that each bit depends on all (the finish of SplitMix64)."""
    mixed = (hashes ^ (hashes >> _30)) * _FIRST
    mixed = (mixed ^ (mixed >> _27)) * _SECOND
    found: NDArray[np.int64] = (mixed ^ (mixed >> _31)).view(np.int64)
    return found


def array_of(tokens: NDArray[np.int64]) -> bytes:
    """Write tokens as PostgreSQL takes an array of bigint."""
    if not len(tokens):
        return np.array([0, 0, _BIGINT], _HEAD).tobytes()
    elements = np.empty(len(tokens), _ELEMENT)
    elements["length"] = 8
    elements["value"] = tokens
    return np.array([1, 0, _BIGINT, len(tokens), 1], _HEAD).tobytes() + elements.tobytes()


def array_of_texts(texts: Sequence[str]) -> bytes:
    """Write texts as PostgreSQL takes an array of text."""
    if not texts:
        return np.array([0, 0, _TEXT], _HEAD).tobytes()
    parts = [np.array([1, 0, _TEXT, len(texts), 1], _HEAD).tobytes()]
    for text in texts:
        data = text.encode()
        parts += (len(data).to_bytes(4), data)
    return b"".join(parts)


def halves_of(vector: NDArray[np.int8]) -> bytes:
    """Write a vector as PostgreSQL takes a `halfvec`: dimension, nothing, numbers of two bytes."""
    head = np.array([len(vector), 0], ">u2").tobytes()
    return head + vector.astype(">f2").tobytes()
