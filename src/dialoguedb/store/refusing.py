"""Texts that an embedder refuses: the others of the same request are to be had all the same."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from dialoguedb.embed import EmbedderRefused

A = TypeVar("A")
B = TypeVar("B")


def without_refused(
    some: Sequence[A], make: Callable[[Sequence[A]], list[B]], refused: Callable[[A], B]
) -> list[B]:
    """Make something of each; where a text is refused, find it by halves.

    Args:
        some: what it is made of.
        make: makes it of several at once, with the embedder.
        refused: makes it of one whose text is refused.
    Raises:
        EmbedderUnavailable, EmbedderRefused: it is not because of a text.
    """
    try:
        return make(some)
    except EmbedderRefused as error:
        if not error.because_of_texts:
            raise
    if len(some) == 1:
        return [refused(some[0])]
    half = len(some) // 2
    return [
        *without_refused(some[:half], make, refused),
        *without_refused(some[half:], make, refused),
    ]
