"""Embedders that run a neural network on this machine; each comes with an extra."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed.protocol import Embedder, EmbedderRefused, quantised
from dialoguedb.errors import AdminError

#: Gives float vectors of (n, dimension) for n texts.
Encode = Callable[[list[str]], Any]


class LocalEmbedder:
    """A model of a library that is installed."""

    inline = False

    def __init__(self, name: str, encode: Encode, *, dimension: int | None) -> None:
        """Try the model once.

        Args:
            name: the provider and the model.
            encode: the library's function.
            dimension: what vectors of this name are known to have.
        Raises:
            EmbedderRefused: the model gives another dimension.
        """
        self.name = name
        self._encode = encode
        self.dimension = int(self._vectors(["dimension"]).shape[1])
        if dimension not in (None, self.dimension):
            raise EmbedderRefused(
                f"{name}: gives {self.dimension} dimensions, not {dimension} as before"
            )

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Embed texts, as `Embedder.embed` says; one without a visible character is zeros."""
        vectors = np.zeros((len(texts), self.dimension), np.int8)
        asked = [i for i, text in enumerate(texts) if text.strip()]
        if asked:
            vectors[asked] = quantised(self._vectors([texts[i] for i in asked]))
        return vectors

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def _vectors(self, texts: list[str]) -> NDArray[np.float32]:
        return np.array(self._encode(texts), np.float32)


def open_local(provider: str, model: str, *, dimension: int | None) -> Embedder:
    """Open a model of a library; the library may download it, for it was named.

    Args: as `open_embedder`; `provider` is `sentence-transformers` or `fastembed`.
    Raises:
        AdminError: the library is not installed, or cannot load the model.
        EmbedderRefused: the model gives another dimension than is known.
    """
    name = f"{provider}:{model}"
    module = provider.replace("-", "_")
    try:
        library = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise AdminError(
            f"the embedder {name} needs a package more: pip install 'dialoguedb[{provider}]'"
        ) from None
    open_model = _fastembed if provider == "fastembed" else _sentence_transformers
    try:
        encode = open_model(library, model)
    except Exception as error:  # the library's own, of whatever kind
        raise AdminError(f"the embedder {name} cannot be loaded: {error}") from error
    return LocalEmbedder(name, encode, dimension=dimension)


def _sentence_transformers(library: Any, model: str) -> Encode:
    loaded = library.SentenceTransformer(model)
    return lambda texts: loaded.encode(texts, show_progress_bar=False)


def _fastembed(library: Any, model: str) -> Encode:
    loaded = library.TextEmbedding(model)
    return lambda texts: list(loaded.embed(texts))
