"""Embedders: text to vectors, by the bundled static model or by one that is configured."""

from dialoguedb.embed.opening import open_embedder
from dialoguedb.embed.protocol import Embedder, EmbedderRefused, EmbedderUnavailable

__all__ = ["Embedder", "EmbedderRefused", "EmbedderUnavailable", "open_embedder"]
