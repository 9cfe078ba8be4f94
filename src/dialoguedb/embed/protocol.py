"""What search knows of an embedder, and the form of its vectors."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dialoguedb.errors import DialogueDBError

#: A component of 1.0 as a stored number; -128 is never used, so that signs are alike.
SCALE = 127


class EmbedderUnavailable(DialogueDBError):
    """The embedder does not answer now; what was asked can be asked again."""

    code, status, type = "SERVICE_UNAVAILABLE", 503, "service_unavailable"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """Make the error; `retry_after_s` is how long the embedder asked to be left alone."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EmbedderRefused(DialogueDBError):
    """The embedder refuses, and would again."""

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, message: str, *, because_of_texts: bool = False) -> None:
        """Make the error; `because_of_texts` where other texts may well be taken."""
        super().__init__(message)
        self.because_of_texts = because_of_texts


class Embedder(Protocol):
    """Turns texts into vectors. Can be called from several threads."""

    @property
    def name(self) -> str:
        """Say which model this is, with its provider. Stored with every vector."""

    @property
    def dimension(self) -> int | None:
        """Give the components of a vector; None until a remote one has answered."""

    @property
    def inline(self) -> bool:
        """Say whether it is quick enough, and certain enough, to run inside a write."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Embed texts.

        Args:
            texts: n of them; what is beyond the length that the model reads is ignored.
        Returns: int8 of (n, dimension): vectors of length 1, times 127, rounded. A text in which
            the model knows nothing is all zeros.
        Raises:
            EmbedderUnavailable: it can be tried again.
            EmbedderRefused: it cannot.
        """

    def close(self) -> None:
        """Let go of connections."""


def quantised(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Bring vectors to length 1 and round them.

    Args:
        vectors: (n, dimension), finite; changed.
    Returns: int8 of the same shape, -127..127: each component is within 0.5 / 127 of the unit
        vector's. Zeros stay zeros.
    """
    # In double precision: the square of a large or a small number is none in single.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    vectors *= (SCALE / lengths)[:, np.newaxis]
    return np.rint(vectors, out=vectors).astype(np.int8)
