"""Embedders behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, TEI and others."""

import threading
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from dialoguedb.embed.protocol import EmbedderRefused, EmbedderUnavailable, quantised
from dialoguedb.errors import AdminError
from dialoguedb.runtime import monotonic_s, system_clock

DEFAULT_URL = "https://api.openai.com/v1"
#: TEI takes no more in one request unless it is told to.
BATCH_TEXTS = 32
#: Answers of 32 vectors of 8,192 numbers have some 6 MB.
_MAX_ANSWER_BYTES = 64 << 20
_LONGEST_WAIT_S = 3600.0
#: 400, 413, 422: these texts are not taken. 408, 425, 429 and 5xx pass.
_BAD_TEXTS = frozenset({400, 413, 422})
_PASSING = frozenset({408, 409, 425, 429})


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


_ANSWER = msgspec.json.Decoder(_Answer)


class OpenAIEmbedder:
    """A model that is asked over HTTP. The key is in the client's headers and nowhere else."""

    inline = False

    def __init__(
        self,
        model: str,
        *,
        url: str | None,
        key: str | None,
        timeout_s: float,
        dimension: int | None,
    ) -> None:
        """Prepare to ask; nothing is sent yet. As `open_embedder`, for the model's own name.

        Raises:
            AdminError: the URL or the key cannot be used.
        """
        self.name = f"openai:{model}"
        self._model = model
        self._dimension = dimension
        self._lock = threading.Lock()
        self._timeout_s = timeout_s
        # Not from the environment: a proxy or a .netrc would be settings that nobody sees.
        self._client = httpx.Client(headers=_headers(key), timeout=timeout_s, trust_env=False)
        self._url = _endpoint(url or DEFAULT_URL)

    @property
    def dimension(self) -> int | None:
        """Give the components of a vector; None until the endpoint has answered."""
        return self._dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """Embed texts, as `Embedder.embed` says; one without a visible character is zeros."""
        asked = [i for i, text in enumerate(texts) if text.strip()]
        parts = [
            self._ask([texts[i] for i in asked[start : start + BATCH_TEXTS]])
            for start in range(0, len(asked), BATCH_TEXTS)
        ]
        if self._dimension is None:
            self._ask(["dimension"])
        vectors = np.zeros((len(texts), self._dimension or 0), np.int8)
        if parts:
            vectors[asked] = np.concatenate(parts)
        return vectors

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, texts: list[str]) -> NDArray[np.int8]:
        body = msgspec.json.encode({"model": self._model, "input": texts})
        try:
            status, headers, data = self._send(body)
        # Without their cause: it would bring the request with it, and so the texts.
        except httpx.TimeoutException:
            raise EmbedderUnavailable(f"{self.name}: no answer in {self._timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise EmbedderUnavailable(f"{self.name}: {type(error).__name__}") from None
        if status != 200:
            raise self._error(status, headers)
        return self._vectors(data, len(texts))

    def _send(self, body: bytes) -> tuple[int, httpx.Headers, bytes]:
        """Send a request; httpx bounds each read, this bounds all of them."""
        deadline = monotonic_s() + self._timeout_s
        with self._client.stream("POST", self._url, content=body) as answer:
            data = bytearray()
            for piece in answer.iter_bytes() if answer.status_code == 200 else ():
                data += piece
                if monotonic_s() > deadline:
                    raise httpx.ReadTimeout("")
                if len(data) > _MAX_ANSWER_BYTES:
                    raise EmbedderUnavailable(f"{self.name}: the answer is too long")
            return answer.status_code, answer.headers, bytes(data)

    def _error(self, status: int, headers: httpx.Headers) -> Exception:
        """Say what a status means. The body is left out: it can quote the key or the texts."""
        if status in _PASSING or status >= 500:
            wait_s = retry_after_s(headers.get("Retry-After"))
            return EmbedderUnavailable(f"{self.name}: answered {status}", retry_after_s=wait_s)
        if status in (401, 403):
            return EmbedderRefused(f"{self.name}: the key is refused ({status})")
        if status == 404:
            return EmbedderRefused(f"{self.name}: the model or the URL is not known (404)")
        return EmbedderRefused(
            f"{self.name}: answered {status}", because_of_texts=status in _BAD_TEXTS
        )

    def _vectors(self, data: bytes, count: int) -> NDArray[np.int8]:
        """Read an answer: a vector for each text, in whatever order, all of one dimension."""
        try:
            items = sorted(_ANSWER.decode(data).data, key=lambda item: item.index)
        except msgspec.MsgspecError:
            raise EmbedderUnavailable(f"{self.name}: the answer is no list of vectors") from None
        if [item.index for item in items] != list(range(count)):
            raise EmbedderUnavailable(f"{self.name}: the answer is not one vector for each text")
        dimension = len(items[0].embedding)
        with self._lock:
            if self._dimension is None and dimension:
                self._dimension = dimension
        if any(len(item.embedding) != self._dimension for item in items):
            raise EmbedderRefused(
                f"{self.name}: gives {dimension} dimensions, not {self._dimension} as before"
            )
        with np.errstate(over="ignore"):
            vectors = np.array([item.embedding for item in items]).astype(np.float32)
        if not np.isfinite(vectors).all():
            raise EmbedderUnavailable(f"{self.name}: the answer holds numbers that are not finite")
        return quantised(vectors)


def retry_after_s(value: str | None) -> float | None:
    """Read a `Retry-After`: seconds or a date (RFC 9110, 10.2.3).

    Returns: 0..3600 seconds; None if there is none, or it is neither.
    """
    if value is None:
        return None
    try:
        wait_s = float(value) if value.strip().isdigit() else _until(value)
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - system_clock() / 1000


def _headers(key: str | None) -> dict[str, str]:
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise AdminError("the embedder's key holds a character that no key can have")
    kind = {"Content-Type": "application/json"}
    return kind | {"Authorization": f"Bearer {key}"} if key else kind


def _endpoint(url: str) -> str:
    """Give the address to send to.

    Raises:
        AdminError: the URL is none, or would carry a secret into logs.
    """
    try:
        parts = httpx.URL(url.rstrip("/") + "/embeddings")
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise AdminError("the embedder's URL must look like https://host/v1")
    if parts.userinfo or parts.query:
        raise AdminError(
            "the embedder's URL may hold no password and no query; set its key instead"
        )
    return str(parts)
