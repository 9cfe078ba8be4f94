"""The context of a dialogue on the wire: what a model should see next (Beyond the contract)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dialoguedb.errors import DialogueDBError, InvalidParameter
from dialoguedb.models.fields import Count, Id, Namespace
from dialoguedb.models.limits import Limits

MAX_TOKENS = 2_000_000
MAX_KEPT = 1000


def _question(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    if value.strip():
        return ()
    return [InvalidParameter("Invalid {field}: say what to recall, or leave it out", field="")]


_PARAMETER = {"error": InvalidParameter}

Form = Annotated[
    Literal["dialoguedb", "openai", "anthropic"],
    Meta(
        description=(
            "What `messages` are: messages as they are stored; those of OpenAI's chat completions; "
            "or those of Anthropic's messages API, with `system` apart."
        ),
        examples=["openai"],
        extra=_PARAMETER,
    ),
]
Reason = Annotated[
    Literal["system", "summary", "memory", "recalled", "recent"],
    Meta(
        description=(
            "Why it is there: it is of the system prompt; it is the summary; a memory or a "
            "message was found for `query`; or it is one of the last messages."
        ),
        examples=["recent"],
    ),
]


class BuildContext(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """For which dialogue to put a context together, and how."""

    id: Id | UnsetType = UNSET
    namespace: Namespace = ""
    max_tokens: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_TOKENS,
            description="What the context may cost at most.",
            extra={"hint": f"use a whole number from 1 to {MAX_TOKENS}", **_PARAMETER},
        ),
    ] = 4000
    format: Form = "dialoguedb"
    query: (
        Annotated[
            str,
            Meta(
                description=(
                    "What the next turn is about, such as what the user has just said: older "
                    "messages and memories of the namespace are recalled for it. Absent, nothing "
                    "is."
                ),
                examples=["Where is my parcel?"],
                extra={"rule": _question, **_PARAMETER},
                extra_json_schema={"pattern": r"\S"},
            ),
        ]
        | UnsetType
    ) = UNSET
    memories: Annotated[
        bool, Meta(description="Recall memories too, with `query`.", extra=_PARAMETER)
    ] = True
    keep_last: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_KEPT,
            description="So many of the last messages are there at least, while they fit.",
            extra={"hint": f"use a whole number from 0 to {MAX_KEPT}", **_PARAMETER},
        ),
    ] = 10


class TokenCounter(Struct, rename="camel", kw_only=True):
    """What has counted the tokens."""

    name: Annotated[
        str,
        Meta(
            description="`tiktoken:` and an encoding, or `estimate`.",
            examples=["tiktoken:o200k_base"],
        ),
    ]
    exact: Annotated[
        bool, Meta(description="Whether texts are counted by a real tokenizer, not estimated.")
    ]


class ContextPart(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A part of a context."""

    reason: Reason
    id: Annotated[Id, Meta(description="The message, memory or summary.")]
    tokens: Annotated[Count, Meta(description="What it costs, with what is written around it.")]
    relevance: (
        Annotated[float, Meta(ge=0, le=1, description="Of what was recalled: how well it answers.")]
        | UnsetType
    ) = UNSET


class Context(Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What a model should see next, ready to send."""

    format: Form
    system: (
        Annotated[str, Meta(description="The system prompt, where the format has it apart.")]
        | UnsetType
    ) = UNSET
    messages: Annotated[
        list[Annotated[Raw, Meta(extra_json_schema={"type": "object"})]],
        Meta(
            description="The messages in their order, as the format has them.",
            examples=[[{"role": "user", "content": "Where is my parcel?"}]],
        ),
    ]
    included: Annotated[
        list[ContextPart], Meta(description="Of what it is made, in the order of `messages`.")
    ]
    tokens: Annotated[Count, Meta(description="What it costs: the sum over `included`.")]
    max_tokens: Annotated[Count, Meta(description="What it was allowed to cost.")]
    tokenizer: TokenCounter
    summary_id: Annotated[Id, Meta(description="The summary in it.")] | UnsetType = UNSET
