"""Options that several commands share, and how their values are read."""

import json
from typing import Annotated, Any, Literal

import typer


def tags_of(text: str) -> list[str]:
    """Read tags: `a,b`; an empty text is no tags."""
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def json_of(text: str) -> Any:
    """Read a JSON value.

    Raises:
        typer.BadParameter: it is none; the message says where.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise typer.BadParameter("it is nested too deep") from None
    except ValueError as error:
        raise typer.BadParameter(f"it is not valid JSON: {error}") from None


def object_of(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        typer.BadParameter: it is none.
    """
    value = json_of(text)
    if not isinstance(value, dict):
        raise typer.BadParameter('it is no JSON object; write one such as {"step": 2}')
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


DialogueId = Annotated[str, typer.Argument(metavar="DIALOGUE", help="The dialogue's id.")]
MessageId = Annotated[str, typer.Argument(metavar="MESSAGE", help="The message's id.")]
MemoryId = Annotated[str, typer.Argument(metavar="MEMORY", help="The memory's id.")]
SummaryId = Annotated[str, typer.Argument(metavar="SUMMARY", help="The summary's id.")]
NewId = Annotated[str | None, typer.Option("--id", help="An id of your choice.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", help="The namespace; without it the one without a name."),
]
Label = Annotated[str | None, typer.Option("--label", help="A text for people.")]
ThreadOf = Annotated[str | None, typer.Option("--thread-of", help="The parent dialogue's id.")]
State = Annotated[
    Any, typer.Option("--state", parser=object_of, metavar="JSON", help="The state, an object.")
]
Metadata = Annotated[
    Any, typer.Option("--metadata", parser=object_of, metavar="JSON", help="A flat object.")
]
Tags = Annotated[
    Any, typer.Option("--tags", parser=tags_of, metavar="A,B", help="Tags, with commas between.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="So many at most.")]
Ordered = Annotated[
    Literal["asc", "desc"] | None,
    typer.Option("--order", metavar="asc|desc", help="By time: the oldest or the newest first."),
]
Next = Annotated[str | None, typer.Option("--next", help="Go on where a page ended: its `next`.")]
Created = Annotated[
    str | None,
    typer.Option("--created", help="Only of this time: the beginning of a date, 2026-02."),
]
StartDate = Annotated[str | None, typer.Option("--start-date", help="From this date on.")]
EndDate = Annotated[str | None, typer.Option("--end-date", help="Up to and with this date.")]
