"""An embedder that is asked again until it answers: for commands, which have time."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed.protocol import Embedder, EmbedderUnavailable

#: Texts of one request: what has been answered is not asked again.
_TEXTS = 32
#: How long to wait when there is no answer, seconds; it doubles.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

#: Told why there was no answer, and how many seconds it waits.
Told = Callable[[str, float], None]


class Patience:
    """Waits longer with each failure; for one thread."""

    def __init__(self, told: Told) -> None:
        """Make it; nothing has failed yet."""
        self._told = told
        self._pause_s = FIRST_PAUSE_S

    def after(self, error: EmbedderUnavailable) -> None:
        """Wait, for as long as the embedder asked or else a while."""
        wait_s = error.retry_after_s or self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._told(error.message, wait_s)
        threading.Event().wait(wait_s)

    def rewarded(self) -> None:
        """Begin with short waits again."""
        self._pause_s = FIRST_PAUSE_S


class Patient:
    """An embedder that never says that it is unavailable. See `Embedder`; for one thread."""

    def __init__(self, embedder: Embedder, told: Told) -> None:
        """Make one of another; `told` hears of each wait."""
        self._embedder = embedder
        self._patience = Patience(told)
        self.name = embedder.name
        self.inline = embedder.inline

    @property
    def dimension(self) -> int | None:
        """Give the components of a vector; None until it has answered."""
        return self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Embed texts, as `Embedder.embed` says; it raises EmbedderRefused only."""
        at_once = max(len(texts), 1) if self.inline else _TEXTS
        parts = [
            self._insist(texts[start : start + at_once])
            for start in range(0, max(len(texts), 1), at_once)
        ]
        return np.concatenate(parts)

    def _insist(self, texts: Sequence[str]) -> NDArray[np.int8]:
        while True:
            try:
                made = self._embedder.embed(texts)
            except EmbedderUnavailable as error:
                self._patience.after(error)
            else:
                self._patience.rewarded()
                return made

    def close(self) -> None:
        """Let go of connections."""
        self._embedder.close()
