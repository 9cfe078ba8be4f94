"""Contract 1.5-1.8: page size, pagination, ordering and date filters of the three lists."""

import base64
import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from harness import Server, new_project

KINDS = ["dialogue", "message", "memory"]
DATED = ["dialogue", "message"]
PATHS = {"dialogue": "/dialogue", "message": "/messages", "memory": "/memory"}
MIB = 1024 * 1024

#: Rows with a `created` of their own, in the order of that time.
ROWS = {
    "a": "2024-12-31T23:59:59.999Z",
    "b": "2025-01-01T00:00:00.000Z",
    "c": "2025-01-15T10:20:30.400Z",
    "d": "2025-01-15T23:59:59.999Z",
    "e": "2025-01-31T23:59:59.999Z",
    "f": "2025-02-01T00:00:00.000Z",
    "g": "2026-06-01T00:00:00.000Z",
}


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, *fields: str) -> None:
    """Check that an answer refuses these parameters with 400 INVALID_PARAMETER."""
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "INVALID_PARAMETER", error
    assert [detail.get("field") for detail in error["details"]] == list(fields), error


def ask(api: httpx.Client, kind: str, **query: Any) -> httpx.Response:
    """Ask for a list; messages are those of the dialogue `home` unless a cursor says it."""
    if kind == "message" and "next" not in query:
        query = {"dialogueId": "home"} | query
    return api.get(PATHS[kind], params=query)


def ids(page: Any) -> list[str]:
    """Return the ids of a page in its order."""
    return [item["id"] for item in page["items"]]


def walk(api: httpx.Client, kind: str, limit: int, **query: Any) -> list[list[str]]:
    """Read all pages; every page after the first names only `limit` and `next`."""
    page = made(ask(api, kind, limit=limit, **query))
    pages = [ids(page)]
    while page["next"] is not None:
        page = made(ask(api, kind, limit=limit, next=page["next"]))
        pages.append(ids(page))
    return pages


def joined(pages: list[list[str]]) -> list[str]:
    """Return the rows of all pages as one list."""
    return list(itertools.chain.from_iterable(pages))


def add(api: httpx.Client, kind: str, *names: str, **fields: Any) -> None:
    """Create one row per name, in this order; messages go to the dialogue `home`."""
    for name in names:
        if kind == "message":
            body = {"id": name, "role": "user", "content": "x"} | fields
            made(api.post("/message?dialogueId=home", json=body))
        else:
            body = {"value": 1} if kind == "memory" else {}
            made(api.post(PATHS[kind], json=body | {"id": name} | fields))


def names(count: int) -> list[str]:
    """Return as many ids, in an order that is not the order of their text."""
    return [f"{(7 * n) % 10}-{n}" for n in range(count)]


def batches(api: httpx.Client, count: int) -> None:
    """Append many messages to the dialogue `home`."""
    for start in range(0, count, 25):
        size = min(25, count - start)
        batch = [{"role": "user", "content": str(start + n)} for n in range(size)]
        made(api.post("/messages?dialogueId=home", json=batch))


@pytest.fixture
def home(api: httpx.Client) -> httpx.Client:
    """A project with the empty dialogue `home`."""
    made(api.post("/dialogue", json={"id": "home"}))
    return api


@pytest.fixture
def lists(api: httpx.Client, kind: str) -> httpx.Client:
    """A project that is empty but for the dialogue `home` when messages need it."""
    if kind == "message":
        made(api.post("/dialogue", json={"id": "home"}))
    return api


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "abc", "1e2", "1_0", "0x10", "null"])
def test_a_limit_that_is_no_positive_integer_is_refused(
    lists: httpx.Client, kind: str, limit: str
) -> None:
    """Contract 1.5: zero, negative, fractional or non-numeric is INVALID_PARAMETER."""
    refused(ask(lists, kind, limit=limit), "limit")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", ["1001", "99999999999999999999"])
def test_a_limit_above_the_maximum_is_not_refused(
    lists: httpx.Client, kind: str, limit: str
) -> None:
    """Contract 1.5: a larger value than the maximum is clamped."""
    add(lists, kind, "one")
    assert ids(made(ask(lists, kind, limit=limit))) == ["one"]


def test_a_limit_above_the_maximum_is_clamped_to_1000(home: httpx.Client) -> None:
    """Contract 1.5: the maximum page of messages is 1000."""
    batches(home, 1001)
    page = made(ask(home, "message", limit=5000))
    assert len(page["items"]) == 1000
    assert len(made(ask(home, "message", next=page["next"]))["items"]) == 1


@pytest.mark.parametrize(("kind", "default"), [("dialogue", 50), ("message", 100), ("memory", 50)])
def test_the_default_page_size(lists: httpx.Client, kind: str, default: int) -> None:
    """Contract 1.5: 50 dialogues, 100 messages or 50 memories when `limit` is left out."""
    if kind == "message":
        batches(lists, default + 1)
    else:
        add(lists, kind, *names(default + 1))
    page = made(ask(lists, kind))
    assert len(page["items"]) == default
    assert page["next"] is not None


def test_get_dialogue_embeds_the_first_ten_messages(home: httpx.Client) -> None:
    """Contract 1.5 and 4.1: up to 10 messages, oldest first."""
    batches(home, 11)
    dialogue = made(home.get("/dialogue/home"))
    assert [message["content"] for message in dialogue["messages"]] == [str(n) for n in range(10)]


def test_a_page_ends_when_its_items_reach_8_mib(home: httpx.Client) -> None:
    """Contract 1.5: `next` is then set although fewer than `limit` items came."""
    add(home, "message", "a", "b", "c", "d", content="x" * (3 * MIB))
    pages = walk(home, "message", 10)
    assert len(pages[0]) in (2, 3)
    assert joined(pages) == ["a", "b", "c", "d"]


def test_a_page_holds_at_least_one_item(home: httpx.Client) -> None:
    """Contract 1.5: an item of 8 MiB is a page of its own."""
    add(home, "message", "big", content="x" * (8 * MIB))
    add(home, "message", "small")
    assert walk(home, "message", 10) == [["big"], ["small"]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_list_has_no_items_and_next_null(lists: httpx.Client, kind: str) -> None:
    """Contract 1.6: `next` is always sent, null on the last page."""
    assert made(ask(lists, kind)) == {"items": [], "next": None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_pages_show_every_row_once_and_in_order(
    lists: httpx.Client, kind: str, order: str, limit: int
) -> None:
    """Contract 1.6 and 1.7: all pages together are the whole list; the last full one ends it."""
    rows = names(6)
    add(lists, kind, *rows)
    pages = walk(lists, kind, limit, order=order)
    assert joined(pages) == (rows if order == "asc" else rows[::-1])
    assert len(pages) == -(-len(rows) // limit)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_is_safe_in_an_address_without_escaping(lists: httpx.Client, kind: str) -> None:
    """Contract 1.6: base64url without padding."""
    add(lists, kind, "a", "b")
    assert re.fullmatch(r"[A-Za-z0-9_-]+", made(ask(lists, kind, limit=1))["next"])


@pytest.mark.parametrize(
    "query",
    [
        {"order": "asc"},
        {"namespace": "shop"},
        {"namespace": "shop", "order": "asc"},
        {"threadOf": "p"},
        {"created": "2025-01"},
        {"startDate": "2025-01-02", "order": "asc"},
        {"endDate": "2025-01-02"},
        {"startDate": "2025-01-01", "endDate": "2025-02", "threadOf": "p"},
    ],
)
def test_a_cursor_of_dialogues_carries_the_whole_question(
    api: httpx.Client, query: dict[str, str]
) -> None:
    """Contract 1.6: a second page asked with `limit` and `next` only continues the first."""
    for space, parent in ({}, "p"), ({"namespace": "shop"}, "q"):
        add(api, "dialogue", parent, **space)
        for day in ("2025-01-01", "2025-01-02", "2025-01-03", "2025-02-01"):
            add(api, "dialogue", f"{parent}{day}", created=day, **space)
            add(api, "dialogue", f"{parent}t{day}", created=day, threadOf=parent, **space)
    whole = ids(made(ask(api, "dialogue", **query)))
    assert len(whole) > 2
    assert joined(walk(api, "dialogue", 1, **query)) == whole


@pytest.mark.parametrize("kind", ["message", "memory"])
def test_a_cursor_carries_namespace_and_order(api: httpx.Client, kind: str) -> None:
    """Contract 1.6: messages and memories continue without dialogueId, namespace and order."""
    made(api.post("/dialogue", json={"id": "home", "namespace": "shop"}))
    add(api, kind, "a", "b", "c", namespace="shop")
    assert walk(api, kind, 2, namespace="shop", order="desc") == [["c", "b"], ["a"]]


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("dialogue", {"order": "asc", "threadOf": "p", "startDate": "2020"}),
        ("message", {"dialogueId": "home", "order": "desc", "startDate": "2020"}),
        ("memory", {"order": "asc", "endDate": "2100"}),
    ],
)
def test_parameters_may_be_repeated_with_a_cursor(
    home: httpx.Client, kind: str, query: dict[str, str]
) -> None:
    """Contract 1.6: a repeated parameter that equals the cursor's value is accepted."""
    add(home, "dialogue", "p")
    if kind == "dialogue":
        add(home, kind, "a", "b", threadOf="p")
    else:
        add(home, kind, "a", "b")
    first = made(ask(home, kind, limit=1, **query))
    second = made(ask(home, kind, limit=1, next=first["next"], **query))
    assert sorted(ids(first) + ids(second)) == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("dialogue", "order", "asc"),
        ("dialogue", "namespace", "shop"),
        ("dialogue", "threadOf", "a"),
        ("dialogue", "created", "2025"),
        ("dialogue", "startDate", "2025-01-01"),
        ("memory", "endDate", "2099-01-01"),
        ("memory", "namespace", "shop"),
        ("message", "order", "desc"),
        ("message", "dialogueId", "elsewhere"),
    ],
)
def test_a_parameter_that_differs_from_the_cursor_is_refused(
    lists: httpx.Client, kind: str, name: str, value: str
) -> None:
    """Contract 1.6: a repeated parameter must equal the cursor's value."""
    add(lists, kind, "a", "b")
    cursor = made(ask(lists, kind, limit=1))["next"]
    answer = ask(lists, kind, limit=1, next=cursor, **{name: value})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "INVALID_PARAMETER"
    assert [detail["field"] for detail in answer.json()["error"]["details"]] in ([name], ["next"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_may_change_between_pages(lists: httpx.Client, kind: str) -> None:
    """Contract 1.6: `limit` is not part of the cursor."""
    add(lists, kind, "a", "b", "c", "d")
    page = made(ask(lists, kind, limit=1, order="asc"))
    assert ids(made(ask(lists, kind, limit=3, next=page["next"]))) == ["b", "c", "d"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cursor", ["abc", "eyJ2IjoxfQ", "!!!", "é", "A" * 300, "bnVsbA", "W10"])
def test_a_malformed_cursor_is_refused(lists: httpx.Client, kind: str, cursor: str) -> None:
    """Contract 1.6: a cursor that is none is INVALID_PARAMETER, field `next`."""
    query = {"dialogueId": "home"} if kind == "message" else {}
    refused(ask(lists, kind, next=cursor, **query), "next")


@pytest.mark.parametrize("kind", KINDS)
def test_a_shortened_cursor_is_refused(lists: httpx.Client, kind: str) -> None:
    """Contract 1.6: half a cursor is malformed."""
    add(lists, kind, "a", "b")
    cursor = made(ask(lists, kind, limit=1))["next"]
    refused(ask(lists, kind, next=cursor[: len(cursor) // 2]), "next")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_of_another_project_is_refused(
    lists: httpx.Client, other_api: httpx.Client, kind: str
) -> None:
    """Contract 1.6: a foreign-project cursor is INVALID_PARAMETER, field `next`."""
    add(lists, kind, "a", "b")
    cursor = made(ask(lists, kind, limit=1))["next"]
    refused(ask(other_api, kind, next=cursor), "next")


@pytest.mark.parametrize("kind", ["dialogue", "message"])
def test_a_cursor_of_another_list_is_refused(lists: httpx.Client, kind: str) -> None:
    """Contract 1.6: a cursor belongs to the list that gave it."""
    add(lists, kind, "a", "b")
    refused(ask(lists, "memory", next=made(ask(lists, kind, limit=1))["next"]), "next")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_changes_between_pages_neither_repeat_nor_skip_rows(
    lists: httpx.Client, kind: str, order: str
) -> None:
    """Contract 1.6: the cursor's own row and others may go, and rows may come."""
    add(lists, kind, "a", "b", "c", "d", "e")
    first = made(ask(lists, kind, limit=2, order=order))
    left = ["c", "d", "e"] if order == "asc" else ["c", "b", "a"]
    home = {"dialogue": "/dialogue", "message": "/message", "memory": "/memory"}[kind]
    for gone in (ids(first)[1], left[1]):
        made(lists.delete(f"{home}/{gone}"))
    add(lists, kind, "new")
    rest = [left[0], left[2], "new"] if order == "asc" else [left[0], left[2]]
    assert ids(made(ask(lists, kind, limit=10, next=first["next"]))) == rest


@pytest.mark.parametrize(("kind", "order"), [("dialogue", -1), ("message", 1), ("memory", -1)])
def test_the_default_order(lists: httpx.Client, kind: str, order: int) -> None:
    """Contract 1.7: dialogues and memories newest first, messages oldest first."""
    rows = names(4)
    add(lists, kind, *rows)
    assert ids(made(ask(lists, kind))) == rows[::order]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["up", "ASC", "ascending", "1"])
def test_any_other_order_is_refused(lists: httpx.Client, kind: str, order: str) -> None:
    """Contract 1.7: `order` is asc or desc."""
    refused(ask(lists, kind, order=order), "order")


@pytest.mark.parametrize("kind", DATED)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_custom_created_decides_the_position(lists: httpx.Client, kind: str, order: str) -> None:
    """Contract 1.7 and 3.2: rows are ordered by `created`, not by insertion."""
    for name in "dagcfbe":
        add(lists, kind, name, created=ROWS[name])
    whole = list(ROWS) if order == "asc" else list(ROWS)[::-1]
    assert ids(made(ask(lists, kind, order=order))) == whole


@pytest.mark.parametrize("kind", DATED)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_ties_are_broken_by_insertion_in_the_same_direction(
    lists: httpx.Client, kind: str, order: str
) -> None:
    """Contract 1.7: rows with the same `created` follow their insertion, also over pages."""
    rows = names(7)
    add(lists, kind, *rows, created="2025-01-01")
    assert joined(walk(lists, kind, 2, order=order)) == rows[:: 1 if order == "asc" else -1]


def test_a_batch_is_read_in_the_order_of_its_array(home: httpx.Client) -> None:
    """Contract 1.7 and 3.2: messages of one batch share a time and keep the array's order."""
    rows = names(25)
    batch = [{"id": name, "role": "user", "content": "x"} for name in rows]
    answer = made(home.post("/messages?dialogueId=home", json=batch))
    assert len({message["created"] for message in answer}) == 1
    assert ids(made(ask(home, "message"))) == rows


def test_the_times_of_a_dialogue_never_step_back(home: httpx.Client) -> None:
    """Contract 1.7: a server-given time is not earlier than one before it in the dialogue."""
    add(home, "message", *names(30))
    items = made(ask(home, "message"))["items"]
    times = [item["created"] for item in items]
    assert [item["id"] for item in items] == names(30)
    assert times == sorted(times)


def test_a_custom_time_in_the_future_does_not_move_the_clock(home: httpx.Client) -> None:
    """Contract 1.7: only server-given times hold back the next server time."""
    add(home, "message", "later", created="2999-01-01")
    add(home, "message", "now")
    assert ids(made(ask(home, "message"))) == ["now", "later"]


@pytest.mark.parametrize("kind", DATED)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"created": "2025"}, "bcdef"),
        ({"created": "2025-01"}, "bcde"),
        ({"created": "2025-01-15"}, "cd"),
        ({"created": "2025-01-15T10"}, "c"),
        ({"created": "2025-01-15T10:20"}, "c"),
        ({"created": "2025-01-15T10:20:30"}, "c"),
        ({"created": "2025-01-15T10:20:30.400Z"}, "c"),
        ({"created": "2025-01-15T10:20:30.401Z"}, ""),
        ({"created": "2023"}, ""),
        ({"startDate": "2025-01-15T10:20:30.400Z"}, "cdefg"),
        ({"startDate": "2025-01-15T10:20:30.401Z"}, "defg"),
        ({"startDate": "2025-01-15T10:20:30.400"}, "cdefg"),
        ({"startDate": "2025-01-15T12:20:30.400+02:00"}, "cdefg"),
        ({"startDate": "2025-01-15T12:20:30.401+02:00"}, "defg"),
        ({"startDate": "2025-01-31"}, "efg"),
        ({"startDate": "2025-02"}, "fg"),
        ({"startDate": "2025"}, "bcdefg"),
        ({"endDate": "2025-01-15T10:20:30.400Z"}, "abc"),
        ({"endDate": "2025-01-15T10:20:30.399Z"}, "ab"),
        ({"endDate": "2025-01-15T05:20:30.400-05:00"}, "abc"),
        ({"endDate": "2025-01-15T10"}, "abc"),
        ({"endDate": "2025-01-15"}, "abcd"),
        ({"endDate": "2025-01-31"}, "abcde"),
        ({"endDate": "2025-01"}, "abcde"),
        ({"endDate": "2025"}, "abcdef"),
        ({"startDate": "2025-01-01", "endDate": "2025-01-31"}, "bcde"),
        ({"startDate": "2025-01-15", "endDate": "2025-01-15"}, "cd"),
        ({"startDate": "2025-02", "endDate": "2025-01"}, ""),
        ({"created": "2025-02", "startDate": "2026", "endDate": "2026"}, "f"),
    ],
)
def test_date_filters(lists: httpx.Client, kind: str, query: dict[str, str], found: str) -> None:
    """Contract 1.8: `created` is a prefix and wins; the range is inclusive and may be partial."""
    for name, created in ROWS.items():
        add(lists, kind, name, created=created)
    assert "".join(ids(made(ask(lists, kind, order="asc", **query)))) == found


@pytest.mark.parametrize("length", [4, 7, 10, 13, 16, 24])
def test_memories_are_filtered_by_a_prefix_of_their_creation(
    api: httpx.Client, length: int
) -> None:
    """Contract 1.8: `created` of memories is a prefix, up to the full time."""
    created = made(api.post("/memory", json={"id": "a", "value": 1}))["created"]
    assert ids(made(ask(api, "memory", created=created[:length]))) == ["a"]


@pytest.mark.parametrize("ends", [["startDate"], ["endDate"], ["startDate", "endDate"]])
def test_memories_are_filtered_by_an_inclusive_range(api: httpx.Client, ends: list[str]) -> None:
    """Contract 1.8: both ends of the range include the instant itself."""
    created = made(api.post("/memory", json={"id": "a", "value": 1}))["created"]
    assert ids(made(ask(api, "memory", **dict.fromkeys(ends, created)))) == ["a"]


def test_memories_outside_of_a_range_are_not_listed(api: httpx.Client) -> None:
    """Contract 1.8: neither before the start nor after the end."""
    add(api, "memory", "a")
    assert made(ask(api, "memory", startDate="2999"))["items"] == []
    assert made(ask(api, "memory", endDate="1999"))["items"] == []
    assert made(ask(api, "memory", created="1999"))["items"] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["created", "startDate", "endDate"])
@pytest.mark.parametrize(
    "value",
    ["yesterday", "2025-13", "2025-02-30", "15/01/2025", "2025-01-15T25", "2025-01-15T10:00+99:00"],
)
def test_an_unparseable_date_is_refused(
    lists: httpx.Client, kind: str, name: str, value: str
) -> None:
    """Contract 1.8: a date that cannot be read is INVALID_PARAMETER."""
    refused(ask(lists, kind, **{name: value}), name)


@pytest.mark.parametrize("path", ["/dialogue", "/memory", "/summary", "/export"])
def test_a_cursor_that_no_page_gave_is_refused_whatever_is_in_it(server: Server, path: str) -> None:
    """Contract 1.6: it is unpacked by others too; U+0000 is what no database takes as text."""
    api = server.client(new_project(server.db, admin=True).key)
    for name in "abc":
        made(api.post("/dialogue", json={"id": name, "message": {"role": "user", "content": "x"}}))
        made(api.post("/memory", json={"id": name, "value": 1}))
        assert api.post("/summary", json={"dialogueId": name, "id": name}).status_code == 202
    token = made(api.get(path, params={"limit": 1}))["next"]
    parts = msgspec.msgpack.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    def broken(part: Any) -> Iterator[Any]:
        """Each with another of its texts broken."""
        for place, one in enumerate(part):
            others: Any = ()
            if isinstance(one, str):
                others = (one + "\0",)
            elif isinstance(one, list):
                others = broken(one)
            yield from ([*part[:place], other, *part[place + 1 :]] for other in others)

    tried = list(broken(parts))
    assert len(tried) > 2
    for one in tried:
        text = base64.urlsafe_b64encode(msgspec.msgpack.encode(one)).decode().rstrip("=")
        refused(api.get(path, params={"next": text}), "next")
    api.close()
