"""Pages of lists: windows of time, self-contained cursors, bounds of items and bytes (1.5-1.8)."""

import base64
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dialoguedb.engine.caller import Caller
from dialoguedb.errors import InvalidParameter
from dialoguedb.models.limits import MAX_PAGE_ITEMS
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS, Period, parse_period, parse_prefix
from dialoguedb.store.protocol import Row, T

#: Beyond every insertion number and sequence.
_LAST_NUMBER = 2**63 - 1
C = TypeVar("C", bound=msgspec.Struct)
_CURSOR_VERSION = 1


#: Text as every database takes it: without U+0000.
Text = Annotated[str, Meta(pattern=r"^[^\x00]*$")]


class Cursor(Struct, array_like=True, frozen=True, kw_only=True):
    """What a `next` carries: the whole question, and how far it has been answered.

    `parent` is the dialogue whose messages or threads are listed; `at`, `after` and `last` are the
    time (milliseconds), the number and the id of the last item given. `status` is asked of
    summaries only.
    """

    version: int = _CURSOR_VERSION
    project_id: Text
    room: Text
    namespace: Text
    parent: Text
    order: Text
    created: Text
    start_date: Text
    end_date: Text
    at: int
    after: int
    last: Text
    status: Text = ""


class Question(NamedTuple):
    """A list request with its cursor taken in; empty strings where nothing was asked."""

    cursor: Cursor
    limit: int

    @property
    def window(self) -> dict[str, Any]:
        """The bounds for a statement: `start` <= created < `stop`, beyond the last item given."""
        period = Period(EARLIEST_MS, LATEST_MS + 1)
        if self.cursor.created:
            period = parse_prefix(self.cursor.created)
        else:
            if self.cursor.start_date:
                period = period._replace(start_ms=parse_period(self.cursor.start_date).start_ms)
            if self.cursor.end_date:
                period = period._replace(end_ms=parse_period(self.cursor.end_date).end_ms)
        start, stop, at = period.start_ms, period.end_ms, self.cursor.at
        # The time alone bounds the range too, so that a deep page begins where it should.
        if self.cursor.order == "asc":
            start = max(start, at)
        else:
            stop = min(stop, at + 1)
        return {
            "start": start,
            "stop": stop,
            "at": at,
            "after": self.cursor.after,
            "last": self.cursor.last,
            "limit": self.limit,
        }


class Page(NamedTuple, Generic[T]):
    """Items, and the cursor for what follows; None at the end."""

    items: list[T]
    next: str | None


def question(caller: Caller, room: str, request: Any, *, parent: str = "", order: str) -> Question:
    """Read a list request: what it says, or what its cursor says.

    Args:
        caller: whose project a cursor must be of.
        room: `dialogues`, `messages`, `memories` or `summaries`.
        request: one of the `List…` Structs.
        parent: the name of its field that names the dialogue listed; empty if it has none.
        order: the default order.
    Raises:
        InvalidParameter: the cursor is not valid here, or a parameter differs from it.
    """
    limit = min(request.limit, MAX_PAGE_ITEMS)
    asked = {
        "namespace": request.namespace,
        "parent": getattr(request, parent) if parent else UNSET,
        "order": request.order,
        "created": request.created,
        "start_date": request.start_date,
        "end_date": request.end_date,
        "status": getattr(request, "status", UNSET),
    }
    if request.next is not UNSET:
        cursor = _decode(request.next)
        if (cursor.project_id, cursor.room) != (caller.project_id, room):
            raise _bad_cursor()
        for name, value in asked.items():
            if value is not UNSET and value != getattr(cursor, name):
                wire = _wire(name, parent)
                raise InvalidParameter(
                    f"Invalid {wire}: it differs from that of the page before; leave it out",
                    field=wire,
                )
        return Question(cursor, limit)
    texts = {name: _text(value) for name, value in asked.items()}
    texts["order"] = texts["order"] or order
    return Question(first(caller, room, **texts), limit)


def first(
    caller: Caller,
    room: str,
    *,
    order: str,
    namespace: str = "",
    parent: str = "",
    created: str = "",
    start_date: str = "",
    end_date: str = "",
    status: str = "",
) -> Cursor:
    """Make the cursor before the first item."""
    ascending = order == "asc"
    return Cursor(
        project_id=caller.project_id,
        room=room,
        namespace=namespace,
        parent=parent,
        order=order,
        created=created,
        start_date=start_date,
        end_date=end_date,
        at=EARLIEST_MS if ascending else LATEST_MS,
        after=-1 if ascending else _LAST_NUMBER,
        last="",
        status=status,
    )


def take(
    asked: Question,
    found: tuple[list[Row], bool],
    items: list[T],
    position: tuple[int, int, int],
) -> Page[T]:
    """Make a page of what a statement gave.

    Args:
        asked: the question.
        found: the rows, and whether there are more.
        items: made of the rows.
        position: the columns of a row's time, number and id.
    """
    rows, more = found
    if not more:
        return Page(items, None)
    at, after, last = (rows[-1][column] for column in position)
    return Page(items, encode(msgspec.structs.replace(asked.cursor, at=at, after=after, last=last)))


def encode(cursor: msgspec.Struct) -> str:
    """Write a cursor as base64url without padding: it goes raw into URLs (1.6)."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def decode(text: str, kind: type[C]) -> C:
    """Read a cursor.

    Raises:
        ValueError: it is none of this kind.
    """
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    return msgspec.msgpack.decode(data, type=kind)


def _decode(text: str) -> Cursor:
    try:
        cursor = decode(text, Cursor)
        Question(cursor, 1).window  # noqa: B018 - its dates must be readable
    except ValueError:
        raise _bad_cursor() from None
    good = cursor.version == _CURSOR_VERSION and cursor.order in ("asc", "desc")
    if (
        not good
        or not EARLIEST_MS <= cursor.at <= LATEST_MS
        or not -1 <= cursor.after <= _LAST_NUMBER
    ):
        raise _bad_cursor()
    return cursor


def _bad_cursor() -> InvalidParameter:
    return InvalidParameter(
        "Invalid next: it is not the next of a page of this list; begin again without it",
        field="next",
    )


def _text(value: str | UnsetType) -> str:
    return "" if value is UNSET else value


def _wire(name: str, parent: str) -> str:
    """Give the wire name of one of a cursor's fields."""
    head, *rest = (parent if name == "parent" else name).split("_")
    return head + "".join(part.title() for part in rest)
