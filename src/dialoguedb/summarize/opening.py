"""Choose the summariser that settings and a template name."""

from typing import Final, NamedTuple

from dialoguedb.embed import open_embedder
from dialoguedb.errors import AdminError
from dialoguedb.settings import Settings, SummaryTemplate
from dialoguedb.summarize.extractive import PROVIDER as BUILTIN
from dialoguedb.summarize.extractive import ExtractiveSummarizer
from dialoguedb.summarize.protocol import Answers, Summarizer
from dialoguedb.tokens import Tokenizer

OPENAI: Final = "openai"


class Wanted(NamedTuple):
    """Which summariser.

    Attributes:
        provider: `builtin` or `openai`.
        model: of the provider; the built-in one has but one.
        url: the base of the endpoint; OpenAI's own if None.
        key: the endpoint's key; never shown.
        timeout_s: how long one request may take in all.
    """

    provider: str = BUILTIN
    model: str | None = None
    url: str | None = None
    key: str | None = None
    timeout_s: float = 60.0

    def __repr__(self) -> str:
        return f"Wanted(provider={self.provider!r}, model={self.model!r}, url={self.url!r})"


def wanted(settings: Settings, template: SummaryTemplate | None = None) -> Wanted:
    """Say which summariser a template wants, else the settings; without `llm` the built-in one."""
    provider, _, model = (settings.llm or BUILTIN).partition(":")
    if template is not None:
        provider = template.provider or provider
        model = template.model or model
    if provider == BUILTIN:
        return Wanted()
    return Wanted(
        provider,
        model,
        settings.llm_url,
        settings.llm_key,
        settings.llm_timeout_seconds,
    )


def open_summarizer(
    wanted: Wanted, tokenizer: Tokenizer, answers: Answers | None = None
) -> Summarizer:
    """Open a summariser; nothing is sent yet.

    Args:
        wanted: which one.
        tokenizer: counts what summaries may have.
        answers: those that a model has given before, for it to go on with.
    Raises:
        AdminError: there is no such provider, or its package is not installed; the message says
            what to do.
    """
    if wanted.provider == BUILTIN:
        return ExtractiveSummarizer(open_embedder("static"), tokenizer)
    if wanted.provider != OPENAI or not wanted.model:
        raise AdminError(
            f"there is no summariser {wanted.provider}:{wanted.model or ''}; known: builtin, "
            "openai:MODEL"
        )
    try:
        # Imported when it is chosen: it takes a while to load, and is installed where it is wanted.
        from dialoguedb.summarize.llm import LLMSummarizer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != OPENAI:
            raise
        raise AdminError(
            f"the setting llm = {OPENAI}:{wanted.model} needs a package more: "
            "pip install 'dialoguedb[llm]'"
        ) from None
    return LLMSummarizer(
        wanted.model,
        url=wanted.url,
        key=wanted.key,
        timeout_s=wanted.timeout_s,
        tokenizer=tokenizer,
        answers=answers,
    )
