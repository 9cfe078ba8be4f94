"""The context of a dialogue, without colour."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from dialoguedb.models import context
from dialoguedb.models.context import Form, Reason


class ContextPart(NamedTuple):
    """A part of a context.

    Attributes:
        reason: why it is there: `system`, `summary`, `memory`, `recalled` or `recent`.
        id: of the message, memory or summary.
        tokens: what it costs, with what is written around it.
        relevance: of what was recalled, how well it answers, 0 to 1; else None.
    """

    reason: Reason
    id: str
    tokens: int
    relevance: float | None


class Context(NamedTuple):
    """What a model should see next, ready to send.

    Attributes:
        format: `dialoguedb`, `openai` or `anthropic`.
        system: the system prompt, where the format has it apart; else None.
        messages: the messages in their order, as the format has them.
        included: of what it is made, in the order of the messages.
        tokens: what it costs: the sum over `included`.
        max_tokens: what it was allowed to cost.
        tokenizer: what has counted: `tiktoken:` and an encoding, or `estimate`.
        exact: whether texts were counted by a real tokenizer.
        summary_id: the summary in it; None if there is none.
    """

    format: Form
    system: str | None
    messages: list[dict[str, Any]]
    included: Sequence[ContextPart]
    tokens: int
    max_tokens: int
    tokenizer: str
    exact: bool
    summary_id: str | None

    def to_dict(self) -> Mapping[str, Any]:
        """Give it as the API does."""
        parts = [
            {name: value for name, value in part._asdict().items() if value is not None}
            for part in self.included
        ]
        made = {
            "format": self.format,
            "system": self.system,
            "messages": self.messages,
            "included": parts,
            "tokens": self.tokens,
            "maxTokens": self.max_tokens,
            "tokenizer": {"name": self.tokenizer, "exact": self.exact},
            "summaryId": self.summary_id,
        }
        return {wire: value for wire, value in made.items() if value is not None}


def context_of(answer: context.Context) -> Context:
    """Make it of the wire's Struct."""
    return Context(
        format=answer.format,
        system=None if answer.system is UNSET else answer.system,
        messages=[msgspec.json.decode(message) for message in answer.messages],
        included=[
            ContextPart(
                part.reason,
                part.id,
                part.tokens,
                None if part.relevance is UNSET else part.relevance,
            )
            for part in answer.included
        ],
        tokens=answer.tokens,
        max_tokens=answer.max_tokens,
        tokenizer=answer.tokenizer.name,
        exact=answer.tokenizer.exact,
        summary_id=None if answer.summary_id is UNSET else answer.summary_id,
    )
