"""Ways to make a summary: by what, and by which prompt, as the settings say."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from dialoguedb.settings import Settings
from dialoguedb.summarize import Summarizer


class Way(NamedTuple):
    """A way to make a summary.

    Attributes:
        summarizer: makes it.
        prompt: the template's; None for the summariser's own.
        max_tokens: of what is new; None for as many as the summariser chooses.
    """

    summarizer: Summarizer
    prompt: str | None = None
    max_tokens: int | None = None


#: Gives the way of a template, or of None. It raises `SummarizerRefused` where there is none.
Ways = Callable[[str | None], Way]


def ways_of(settings: Settings) -> Ways:
    """Make what gives the ways of some settings; what is heavy is loaded with the first one."""

    @cache
    def way(template: str | None) -> Way:
        # Models take long to load, and most programs never ask for a summary.
        from dialoguedb.embed import open_embedder  # noqa: PLC0415
        from dialoguedb.summarize.extractive import ExtractiveSummarizer  # noqa: PLC0415
        from dialoguedb.tokens import open_tokenizer  # noqa: PLC0415

        return Way(ExtractiveSummarizer(open_embedder("static"), open_tokenizer()))

    return way
