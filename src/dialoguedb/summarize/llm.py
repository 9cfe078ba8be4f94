"""The summariser behind an OpenAI-compatible endpoint: OpenAI, Anthropic, vLLM, Ollama, others.

A conversation that does not fit into one request is summarised in pieces, and the summaries of
the pieces again, until there is one. What has been answered is kept until the whole is done
(`Answers`), so that another try goes on where one failed.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import openai

from dialoguedb.embed.remote import retry_after_s
from dialoguedb.runtime import monotonic_s
from dialoguedb.summarize import chunks, prompts
from dialoguedb.summarize.lines import default_tokens, fitting, joined, tokens_of
from dialoguedb.summarize.protocol import (
    Answers,
    Result,
    Source,
    SummarizerRefused,
    SummarizerUnavailable,
    Usage,
    check,
)
from dialoguedb.tokens import Tokenizer

if TYPE_CHECKING:
    from httpx2 import Request, Response

Hooks = Mapping[str, list[Callable[..., None]]]

PROVIDER: Final = "openai"
DEFAULT_URL: Final = "https://api.openai.com/v1"
#: A summary of a piece has at most so much of it: four of them, with their line breaks, are a piece
#: again.
_PIECE_TOKENS: Final = chunks.CHUNK_TOKENS // 4 - 1
#: Of an earlier summary, the model is shown so much: its end.
_EARLIER_TOKENS: Final = chunks.CHUNK_TOKENS // 4
_MAX_ANSWER_BYTES: Final = 4 << 20
_PASSING: Final = frozenset({408, 409, 425, 429})
_TOO_MUCH: Final = frozenset({400, 413, 422})
#: What an endpoint says of more tokens than this is a mistake.
_MOST_COUNTED: Final = 1 << 40
#: The client's mark of an answer that it hands over unread; it looks for it on the request again.
_MARK: Final = "x-stainless-raw-response"
#: All that a request needs; the client would also tell about this machine.
_HEADERS: Final = frozenset(
    {"host", "accept", "content-type", "content-length", "connection", _MARK}
)
#: Stands where the client wants a key, so that the real one is in none of its messages.
_NO_KEY: Final = "none"
# What some models think aloud before they answer.
_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


_ANSWER = msgspec.json.Decoder(_Answer)


class _Account:
    """What one summary has cost so far, and which answers it has used."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.used: list[bytes] = []

    def add(self, key: bytes, usage: Usage) -> None:
        self.used.append(key)
        self.usage = Usage(*(a + b for a, b in zip(self.usage, usage, strict=True)))


class LLMSummarizer:
    """A model that is asked over HTTP. Only requests that leave hold the key: see `_stripped`."""

    provider = PROVIDER

    def __init__(
        self,
        model: str,
        *,
        url: str | None,
        key: str | None,
        timeout_s: float,
        tokenizer: Tokenizer,
        answers: Answers | None = None,
    ) -> None:
        """Prepare to ask; nothing is sent yet, and no variable of the environment is read.

        Args:
            model: as the endpoint calls it.
            url: the base of the endpoint; OpenAI's own if None.
            key: sent as a bearer token; none is if None.
            timeout_s: how long one request may take in all.
            tokenizer: counts what is sent, and what is kept.
            answers: those of earlier tries; this summariser's own if None.
        """
        self.model = model
        self._name = f"{PROVIDER}:{model}"
        self._timeout_s = timeout_s
        self._tokenizer = tokenizer
        self._url = url or DEFAULT_URL
        self._answers = Answers() if answers is None else answers
        hooks: Hooks = {"request": [_stripped(key)], "response": [_close_errors]}
        # Trusting the environment would be a proxy or a .netrc that nobody sees.
        http = openai.DefaultHttpxClient(
            timeout=timeout_s, trust_env=False, follow_redirects=False, event_hooks=hooks
        )
        self._client = openai.OpenAI(
            api_key=_NO_KEY, base_url=self._url, max_retries=0, http_client=http
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def summarize(self, source: Source, going: Callable[[], bool]) -> Result:
        """Summarise, as `Summarizer.summarize` says."""
        turns = [turn for turn in source.turns if turn.text.strip()]
        total = tokens_of(turns, self._tokenizer, going)
        pieces = chunks.of_turns(turns, self._tokenizer, going)
        room = source.max_tokens or default_tokens(total)
        account = _Account()
        new = self._combined(source, pieces, room, account, going) if pieces else ""
        content = joined(source.earlier, new)
        self._answers.forget(account.used)
        return Result(
            content=content,
            token_count=self._tokenizer.count(content or ""),
            summarized=len(turns),
            skipped=len(source.turns) - len(turns),
            total_tokens=total,
            chunks=len(pieces),
            usage=account.usage,
        )

    def _combined(
        self,
        source: Source,
        pieces: list[str],
        room: int,
        account: _Account,
        going: Callable[[], bool],
    ) -> str:
        """Summarise pieces, and their summaries, until all fit into one request."""
        material = prompts.CONVERSATION
        while len(pieces) > 1:
            notes = []
            for piece in pieces:
                check(going)
                asked = prompts.written(material, source.prompt, piece, _PIECE_TOKENS)
                note = self._asked(asked, account)
                notes.append(fitting(note, _PIECE_TOKENS, self._tokenizer))
            pieces = chunks.packed(notes, self._tokenizer)
            material = prompts.SUMMARIES
        check(going)
        earlier = chunks.tail(source.earlier or "", _EARLIER_TOKENS, self._tokenizer)
        asked = prompts.written(material, source.prompt, pieces[0], room, earlier)
        text = self._asked(asked, account)
        if self._tokenizer.count(text) > room:
            check(going)
            shorter = fitting(text, chunks.CHUNK_TOKENS, self._tokenizer)
            text = self._asked(prompts.written(prompts.TOO_LONG, None, shorter, room), account)
        return fitting(text, room, self._tokenizer)

    def _asked(self, messages: prompts.Messages, account: _Account) -> str:
        """Give the answer to a question, the one of an earlier try if there is one."""
        question = (self._url, self.model, messages)
        key = hashlib.sha256(msgspec.json.encode(question)).digest()
        kept = self._answers.get(key)
        if kept is None:
            kept = self._read(self._send(messages))
            self._answers.keep(key, kept)
        account.add(key, kept[1])
        return kept[0]

    def _send(self, messages: prompts.Messages) -> bytes:
        """Ask once.

        Raises, without the cause, which would bring the request with it, and so the texts:
            SummarizerUnavailable, SummarizerRefused: there is no answer.
        """
        create = self._client.chat.completions.with_streaming_response.create
        deadline = monotonic_s() + self._timeout_s
        try:
            with create(model=self.model, messages=messages) as answer:
                return self._body(answer.iter_bytes(), deadline)
        except openai.APITimeoutError:
            raise self._too_slow() from None
        except openai.APIStatusError as error:
            raise self._refusal(error.status_code, error.response.headers) from None
        except openai.APIConnectionError as error:
            reason = type(error.__cause__ or error).__name__
            raise SummarizerUnavailable(
                f"{self._name}: the endpoint cannot be reached, or broke off ({reason})"
            ) from None

    def _body(self, pieces: Iterator[bytes], deadline: float) -> bytes:
        """Read an answer; the client bounds each read, this bounds all of them."""
        data = bytearray()
        try:
            for piece in pieces:
                data += piece
                if monotonic_s() > deadline:
                    raise TimeoutError
                if len(data) > _MAX_ANSWER_BYTES:
                    raise SummarizerUnavailable(f"{self._name}: the answer is too long")
        except SummarizerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - of the HTTP library below the client
            if "Timeout" in type(error).__name__:
                raise self._too_slow() from None
            raise SummarizerUnavailable(
                f"{self._name}: the endpoint broke off its answer ({type(error).__name__})"
            ) from None
        return bytes(data)

    def _too_slow(self) -> SummarizerUnavailable:
        return SummarizerUnavailable(
            f"{self._name}: no answer in {self._timeout_s:g} s; llm_timeout_seconds allows more"
        )

    def _refusal(self, status: int, headers: Mapping[str, str]) -> Exception:
        """Say what a status means. The body is left out: it can quote the key or the texts."""
        if status in _PASSING or status >= 500:
            reason = "; are there too many requests, or is no credit left?" if status == 429 else ""
            wait_s = retry_after_s(headers.get("Retry-After"))
            return SummarizerUnavailable(f"{self._name}: answered {status}{reason}", wait_s)
        if status in (401, 403):
            return SummarizerRefused(f"{self._name}: the key is refused ({status}); set llm_key")
        if status == 404:
            return SummarizerRefused(
                f"{self._name}: the model or the URL is not known (404); set llm and llm_url"
            )
        if status in _TOO_MUCH:
            return SummarizerRefused(
                f"{self._name}: the request is not taken ({status}); can the model read "
                f"{2 * chunks.CHUNK_TOKENS:,} tokens, and does it chat?"
            )
        return SummarizerRefused(f"{self._name}: answered {status}; is llm_url right?")

    def _read(self, data: bytes) -> tuple[str, Usage]:
        """Read an answer, and what it cost.

        Raises:
            SummarizerUnavailable: it is none.
            SummarizerRefused: the model will not answer, or cannot to the end.
        """
        try:
            answer = _ANSWER.decode(data)
        except msgspec.ValidationError:
            answer = _Answer([])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SummarizerUnavailable(f"{self._name}: the answer is no JSON") from None
        if not answer.choices:
            raise SummarizerUnavailable(
                f"{self._name}: the answer is none of a chat completion; is llm_url right?"
            )
        choice = answer.choices[0]
        if choice.finish_reason == "length":
            raise SummarizerRefused(
                f"{self._name}: the answer was cut short; let the endpoint give longer ones, or "
                "set a smaller max_tokens in the template"
            )
        if choice.finish_reason == "content_filter" or choice.message.refusal:
            raise SummarizerRefused(f"{self._name}: the model refuses to summarise this")
        text = _THOUGHT.sub("", choice.message.content or "").strip()
        if not text:
            raise SummarizerUnavailable(f"{self._name}: the answer is empty")
        return text, _counted(answer.usage)


def _counted(said: Any) -> Usage:
    """Read what an endpoint says an answer has cost; said oddly, nothing."""
    told = said if isinstance(said, dict) else {}
    asked, answered, both = (
        count if type(count := told.get(name)) is int and 0 <= count <= _MOST_COUNTED else 0
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    return Usage(asked, answered, both or asked + answered, 1)


def _stripped(key: str | None) -> "Callable[[Request], None]":
    """Make what strips a request of what no setting asked for, and gives it the key."""

    def strip(request: "Request") -> None:
        for name in [name for name in request.headers if name.lower() not in _HEADERS]:
            del request.headers[name]
        if key:
            request.headers["Authorization"] = f"Bearer {key}"

    return strip


def _close_errors(response: "Response") -> None:
    """Close an answer that is none, unread: the client would put its text into its error."""
    if response.status_code != 200:
        response.close()
