"""Which embedder a setting names, and what is said when it cannot be had."""

import sys
from types import ModuleType

import numpy as np
import pytest

from dialoguedb.embed import EmbedderRefused, open_embedder
from dialoguedb.embed.local import LocalEmbedder
from dialoguedb.errors import AdminError


def test_the_default_is_the_bundled_model() -> None:
    embedder = open_embedder("static")
    assert (embedder.name, embedder.dimension) == ("static:all-MiniLM-L6-v2-256", 256)
    assert embedder.inline
    embedder.close()


def test_an_endpoint_is_not_asked_before_there_is_a_text() -> None:
    """There is nobody at this address."""
    embedder = open_embedder("openai:bge-m3", url="http://127.0.0.1:9/v1")
    assert (embedder.name, embedder.dimension) == ("openai:bge-m3", None)
    assert not embedder.inline
    embedder.close()


@pytest.mark.parametrize("setting", ["", "none", "openai", "openai:", "static:x", "Static", ":x"])
def test_an_unknown_embedder_is_refused_with_those_that_are_known(setting: str) -> None:
    with pytest.raises(AdminError, match="openai:MODEL, sentence-transformers:MODEL"):
        open_embedder(setting)


@pytest.mark.parametrize("provider", ["sentence-transformers", "fastembed"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None makes the import fail as it does where the package is not installed.
    monkeypatch.setitem(sys.modules, provider.replace("-", "_"), None)
    with pytest.raises(AdminError) as caught:
        open_embedder(f"{provider}:m")
    assert f"pip install 'dialoguedb[{provider}]'" in caught.value.message


def test_a_model_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here by a library that has none at all."""
    monkeypatch.setitem(sys.modules, "fastembed", ModuleType("fastembed"))
    with pytest.raises(AdminError, match="the embedder fastembed:m cannot be loaded: "):
        open_embedder("fastembed:m")


def counts(texts: list[str]) -> list[np.ndarray]:
    """A model of our own: how often a text says a, b and c."""
    return [np.array([text.count(letter) for letter in "abc"], np.float64) for text in texts]


def test_a_model_on_this_machine_is_asked_for_what_can_be_seen() -> None:
    embedder = LocalEmbedder("ours:counts", counts, dimension=None)
    assert (embedder.name, embedder.dimension, embedder.inline) == ("ours:counts", 3, False)
    vectors = embedder.embed(["abb", "", "ccc", "xyz"])
    assert vectors.dtype == np.int8
    assert vectors.tolist() == [[57, 114, 0], [0, 0, 0], [0, 0, 127], [0, 0, 0]]
    assert embedder.embed([" "]).tolist() == [[0, 0, 0]]
    assert embedder.embed([]).shape == (0, 3)


def test_a_model_on_this_machine_must_have_the_dimension_that_is_known() -> None:
    assert LocalEmbedder("ours:counts", counts, dimension=3).dimension == 3
    with pytest.raises(EmbedderRefused, match="3 dimensions, not 4"):
        LocalEmbedder("ours:counts", counts, dimension=4)
