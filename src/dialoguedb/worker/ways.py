"""Ways to make a summary: by what, and by which prompt, as the settings say."""

from collections.abc import Callable
from typing import NamedTuple

from dialoguedb.errors import AdminError
from dialoguedb.settings import Settings
from dialoguedb.summarize import Answers, Summarizer, SummarizerRefused


class Way(NamedTuple):
    """A way to make a summary.

    Attributes:
        summarizer: makes it; to be closed.
        prompt: the template's; None for the summariser's own.
        max_tokens: of what is new; None for as many as the summariser chooses.
    """

    summarizer: Summarizer
    prompt: str | None = None
    max_tokens: int | None = None


#: Gives the way of a template, or of None. It raises `SummarizerRefused` where there is none.
Ways = Callable[[str | None], Way]


def ways_of(settings: Settings) -> Ways:
    """Make what gives the ways of some settings; each is opened when it is asked for.

    What a model has answered is kept between them: a job that is tried again pays once.
    """
    answers = Answers()

    def way(slug: str | None) -> Way:
        # Models take long to load, and most programs never ask for a summary.
        from dialoguedb.summarize.opening import open_summarizer, wanted  # noqa: PLC0415
        from dialoguedb.tokens import open_tokenizer  # noqa: PLC0415

        template = None if slug is None else settings.summary_templates.get(slug)
        if slug is not None and template is None:
            raise SummarizerRefused(
                f"the settings of the worker that was to make it have no template {slug}; give all "
                "servers, and `dialoguedb work`, the same summary_templates, then ask for it again"
            )
        try:
            summarizer = open_summarizer(wanted(settings, template), open_tokenizer(), answers)
        except AdminError as error:
            raise SummarizerRefused(error.message) from None
        if template is None:
            return Way(summarizer)
        return Way(summarizer, template.prompt, template.max_tokens)

    return way
