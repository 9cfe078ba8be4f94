"""What a summariser is given and gives."""

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, NamedTuple, Protocol

from dialoguedb.errors import DialogueDBError

#: Answers that are kept for another try; when there are more, all are forgotten.
_KEPT_ANSWERS: Final = 1_000


class Turn(NamedTuple):
    """One message as a summariser sees it.

    Attributes:
        role: who speaks, if there is no name.
        name: the speaker's, or None.
        text: what is said; empty for an image alone.
        created_ms: milliseconds since 1970 UTC.
    """

    role: str
    name: str | None
    text: str
    created_ms: int


class Source(NamedTuple):
    """What is to be summarised.

    Attributes:
        turns: in order; there may be many thousand.
        earlier: the content of the summary that this one builds on, or None.
        prompt: the template's, for a model; None is the summariser's own.
        max_tokens: at most so many for what is new, over 0; None is the summariser's own choice.
    """

    turns: Sequence[Turn]
    earlier: str | None = None
    prompt: str | None = None
    max_tokens: int | None = None


class Usage(NamedTuple):
    """What a provider counted, over all calls; zeros without one."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    calls: int = 0


class Answers:
    """Answers of a model that have been paid for, until the whole that they are for is done."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[str, Usage]] = {}

    def get(self, key: bytes) -> tuple[str, Usage] | None:
        """Give an answer and what it has cost, by its question; None if there is none."""
        return self._kept.get(key)

    def keep(self, key: bytes, answer: tuple[str, Usage]) -> None:
        """Keep an answer."""
        if len(self._kept) >= _KEPT_ANSWERS:
            self._kept.clear()
        self._kept[key] = answer

    def forget(self, keys: Iterable[bytes]) -> None:
        """Forget answers that have been used."""
        for key in keys:
            self._kept.pop(key, None)


class Result(NamedTuple):
    """A summary.

    Attributes:
        content: begins with the earlier one, byte for byte; None if there was nothing to
            summarise and no earlier one.
        token_count: of the content.
        summarized: turns that were read.
        skipped: turns in which nothing is said.
        total_tokens: of the turns' texts.
        chunks: pieces that the text was cut into; 0 if nothing was said.
        usage: what the provider counted.
    """

    content: str | None
    token_count: int
    summarized: int
    skipped: int
    total_tokens: int
    chunks: int
    usage: Usage


class Summarizer(Protocol):
    """Makes summaries. Can be called from several threads."""

    @property
    def provider(self) -> str:
        """Say who makes them, for people: `builtin` or `openai`."""

    @property
    def model(self) -> str:
        """Say with what."""

    def summarize(self, source: Source, going: Callable[[], bool]) -> Result:
        """Summarise a conversation.

        Args:
            source: what, and how long.
            going: asked between steps, and no more than some seconds apart unless a provider
                takes longer.
        Raises:
            Interrupted: `going` said no.
            SummarizerUnavailable: it can be tried again.
            SummarizerRefused: it cannot.
        """

    def close(self) -> None:
        """Let go of connections."""


class Interrupted(Exception):
    """The work was to end before it was done; nothing came of it."""


class SummarizerUnavailable(DialogueDBError):
    """The summariser does not answer now; what was asked can be asked again."""

    code, status, type = "SERVICE_UNAVAILABLE", 503, "service_unavailable"

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Make the error; `retry_after_s` is how long the provider asked to be left alone."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SummarizerRefused(DialogueDBError):
    """The summariser refuses, and would again until a person acts."""

    code: ClassVar[str] = "INTERNAL_ERROR"


def check(going: Callable[[], bool]) -> None:
    """Ask whether to go on.

    Raises:
        Interrupted: not.
    """
    if not going():
        raise Interrupted
