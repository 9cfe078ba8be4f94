"""The vectors of queries: an embedder that is slow or gone must not hold searches up."""

import logging
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed import Embedder, EmbedderRefused
from dialoguedb.errors import DialogueDBError
from dialoguedb.runtime import monotonic_s

log = logging.getLogger("dialoguedb.store")

#: How long a search waits for an embedder, seconds; then it goes by words alone.
LONGEST_S = 2.0
#: How long searches do not ask one that has failed, seconds.
SILENT_S = 5.0

Vector = NDArray[np.int8]


class Asker:
    """Asks embedders for the vectors of queries. Safe from several threads."""

    def __init__(self) -> None:
        """Make it; none has failed yet."""
        self._silent_until_s = 0.0

    def vector(self, embedder: Embedder, dimension: int, query: str) -> Vector | None:
        """Embed a query.

        Args:
            embedder: the index's.
            dimension: of the index's vectors.
            query: the text.
        Returns: int8 of the dimension; None where words alone must do.
        """
        if monotonic_s() < self._silent_until_s:
            return None
        try:
            made = embedder.embed([query]) if embedder.inline else _in_time(embedder, query)
            vector: Vector = of_dimension(made, embedder.name, dimension)[0]
        except TooLate:
            self._failed(f"{embedder.name}: no answer in {LONGEST_S:g} s")
        except EmbedderRefused as error:
            if error.because_of_texts:
                return None
            self._failed(error.message)
        except DialogueDBError as error:
            self._failed(error.message)
        else:
            return vector
        return None

    def _failed(self, why: str) -> None:
        log.warning("searches go by words alone for %g s: %s", SILENT_S, why)
        self._silent_until_s = monotonic_s() + SILENT_S


def _in_time(embedder: Embedder, query: str) -> Vector:
    """Ask in a thread of its own: what comes too late is nobody's any more."""
    answer: Future[Vector] = Future()

    def ask() -> None:
        try:
            answer.set_result(embedder.embed([query]))
        except BaseException as error:  # noqa: BLE001 - the thread's edge: it is the answer
            answer.set_exception(error)

    threading.Thread(target=ask, name="dialoguedb-query", daemon=True).start()
    return answer.result(LONGEST_S)


def of_dimension(vectors: Vector, name: str, dimension: int) -> Vector:
    """Give vectors back if they have the dimension of their index.

    Raises:
        EmbedderRefused: they have another one, so they are another model's.
    """
    if vectors.shape[1] != dimension:
        raise EmbedderRefused(
            f"{name}: gives {vectors.shape[1]} dimensions, and its index has {dimension}; "
            "`dialoguedb reindex` moves to another model"
        )
    return vectors
