"""From path, query and body to a checked request (contract 1.3): both paths, and what is said."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.contract import OPERATIONS, RESOURCES
from dialoguedb.errors import (
    DialogueDBError,
    ImmutableField,
    InvalidInput,
    InvalidJson,
    InvalidParameter,
    MissingParameter,
    ValidationFailed,
)
from dialoguedb.models.limits import Limits
from dialoguedb.wire import MAX_DETAILS, READ_ONLY, RequestReader

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=80)
ROWS = {row.name: row for row in OPERATIONS if not row.public}
READERS = {name: RequestReader(row, Limits(), refuse_unknown=True) for name, row in ROWS.items()}
LENIENT = {name: RequestReader(row, Limits(), refuse_unknown=False) for name, row in ROWS.items()}


def read(
    name: str,
    body: Any = None,
    path: dict[str, str] | None = None,
    readers: Any = READERS,
    **query: str,
) -> Any:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return readers[name].read(path or {}, list(query.items()), data)


def refused(*arguments: Any, **options: Any) -> DialogueDBError:
    with pytest.raises(DialogueDBError) as caught:
        read(*arguments, **options)
    return caught.value


def places(error: DialogueDBError) -> set[tuple[str | None, str]]:
    return {(detail.field, detail.code) for detail in error.details}


# ── everything that is wrong, at once ────────────────────────────────────────────────────────


class Fault(NamedTuple):
    """A bad value of a field, and the code of its detail; LEFT_OUT takes the field away."""

    field: str
    value: Any
    code: str
    #: Where the detail points when not at the field itself.
    place: str | None = None


LEFT_OUT = object()
GOOD_MESSAGE = {"role": "user", "content": "hi"}
MESSAGE_FAULTS = [
    Fault("role", LEFT_OUT, "REQUIRED"),
    Fault("role", "", "REQUIRED"),
    Fault("role", 1, "INVALID"),
    Fault("role", "x" * 65, "TOO_LONG"),
    Fault("role", "a\0", "INVALID"),
    Fault("content", LEFT_OUT, "REQUIRED"),
    Fault("content", None, "REQUIRED"),
    Fault("content", 7, "INVALID"),
    Fault("content", {"type": "image", "source": {"data": "data:x"}}, "INVALID"),
    Fault("id", "a/b", "INVALID"),
    Fault("id", "..", "INVALID"),
    Fault("id", "x" * 65, "TOO_LONG"),
    Fault("id", None, "INVALID"),
    Fault("name", "x" * 257, "TOO_LONG"),
    Fault("name", [], "INVALID"),
    Fault("created", "soon", "INVALID"),
    Fault("created", 5, "INVALID"),
    Fault("metadata", [], "INVALID"),
    Fault("metadata", {"a": {}}, "INVALID", "metadata.a"),
    Fault("tags", ["a"] * 11, "TOO_MANY"),
    Fault("tags", ["a", ""], "INVALID", "tags[1]"),
    Fault("tags", ["a", 1], "INVALID", "tags[1]"),
    Fault("tags", "a", "INVALID"),
    Fault("metdata", {}, "UNKNOWN_PARAMETER"),
]


def spoiled(good: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    body = good | {fault.field: fault.value for fault in faults}
    return {key: value for key, value in body.items() if value is not LEFT_OUT}


SOME_FAULTS = st.lists(
    st.sampled_from(MESSAGE_FAULTS), min_size=1, max_size=6, unique_by=lambda fault: fault.field
)


@FIXED
@given(SOME_FAULTS)
def test_a_message_is_refused_with_all_that_is_wrong(faults: list[Fault]) -> None:
    """One detail for each fault, and none for what is good."""
    error = refused("messages.create", spoiled(GOOD_MESSAGE, faults), dialogueId="d")
    assert places(error) == {(fault.place or fault.field, fault.code) for fault in faults}
    assert len(error.details) == len(faults)


@FIXED
@given(st.dictionaries(st.integers(0, 4), SOME_FAULTS, min_size=1, max_size=3), st.booleans())
def test_a_batch_is_refused_with_all_that_is_wrong(
    wrong: dict[int, list[Fault]], bare: bool
) -> None:
    """Each detail begins with the element, and so does the text; both forms say the same."""
    messages = [spoiled(GOOD_MESSAGE, wrong.get(index, [])) for index in range(5)]
    body = messages if bare else {"messages": messages}
    error = refused("messages.create_batch", body, dialogueId="d")
    assert places(error) == {
        (f"messages[{index}].{fault.place or fault.field}", fault.code)
        for index, faults in wrong.items()
        for fault in faults
    }
    assert error.message.startswith("messages[")


def test_a_dialogue_is_refused_with_what_is_wrong_in_it_and_in_its_messages() -> None:
    """Top and below together, as one VALIDATION_ERROR."""
    body = {
        "id": "a b",
        "namespace": "-x",
        "label": "x" * 1025,
        "state": [],
        "nonsense": 1,
        "messages": [{"role": "user"}, 5, {"role": "user", "content": "x", "tags": [""]}],
    }
    error = refused("dialogues.create", body)
    assert isinstance(error, ValidationFailed)
    assert places(error) == {
        ("id", "INVALID"),
        ("namespace", "INVALID"),
        ("label", "TOO_LONG"),
        ("state", "INVALID"),
        ("nonsense", "UNKNOWN_PARAMETER"),
        ("messages[0].content", "REQUIRED"),
        ("messages[1]", "INVALID"),
        ("messages[2].tags[0]", "INVALID"),
    }


def test_the_single_message_of_a_dialogue_has_its_place() -> None:
    """`message.role`, not `role`."""
    error = refused("dialogues.create", {"message": {"content": "x", "tags": ["x" * 65]}})
    assert places(error) == {("message.role", "REQUIRED"), ("message.tags[0]", "TOO_LONG")}


def test_errors_of_one_class_keep_it_and_several_classes_are_a_validation_error() -> None:
    """The code of an error with details is as exact as it can be."""
    create = "messages.create"
    assert type(refused(create, {}, dialogueId="d")) is MissingParameter
    assert type(refused(create, GOOD_MESSAGE | {"tags": [""]}, dialogueId="d")) is InvalidInput
    assert type(refused(create, GOOD_MESSAGE | {"id": "/"}, dialogueId="d")) is InvalidParameter
    assert type(refused(create, {"role": 1}, dialogueId="d")) is ValidationFailed


def test_a_required_address_is_missed_together_with_fields_of_the_body() -> None:
    """`dialogueId` can come from path, query or body, and here came from none."""
    assert places(refused("messages.create", {"role": "user"})) == {
        ("content", "REQUIRED"),
        ("dialogueId", "REQUIRED"),
    }
    assert places(refused("messages.create", GOOD_MESSAGE)) == {("dialogueId", "REQUIRED")}


def test_a_role_that_is_null_is_missing() -> None:
    """As one that is empty or left out is, and as content that is null."""
    error = refused("messages.create", GOOD_MESSAGE | {"role": None}, dialogueId="d")
    assert places(error) == {("role", "REQUIRED")}


def test_no_message_says_field_in_braces() -> None:
    """The rules' own placeholder never reaches a caller, nor does the library's wording."""
    for fault in MESSAGE_FAULTS:
        error = refused("messages.create", spoiled(GOOD_MESSAGE, [fault]), dialogueId="d")
        for text in (error.message, *(detail.message for detail in error.details)):
            assert "{" not in text
            assert "`" not in text
            assert "$" not in text
            assert fault.field in text or "image" in text


@pytest.mark.parametrize("name", ["dialogues.create", "dialogues.update", "memories.create"])
@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(name: str, body: bytes) -> None:
    """Where an object is due."""
    error = refused(name, body, {"id": "d"} if name == "dialogues.update" else None)
    assert isinstance(error, InvalidInput)


@pytest.mark.parametrize("body", [b"{", b"{}}", b'{"a"}', b"\xff", b'{"id":"\\ud800"}', b"{'a':1}"])
@pytest.mark.parametrize("name", ["dialogues.create", "dialogues.merge_state", "messages.create"])
def test_a_body_that_is_no_json_is_refused_as_such(name: str, body: bytes) -> None:
    """Nothing closes the object that a patch is put into."""
    path = {"dialogues.merge_state": {"id": "d"}, "messages.create": {"dialogueId": "d"}}
    assert isinstance(refused(name, body, path.get(name)), InvalidJson)


@pytest.mark.parametrize("body", [b'1,"namespace":"x"', b'{}},{"a":{}', b'{},"id":"x"', b"[]]"])
def test_a_patch_cannot_leave_its_place(body: bytes) -> None:
    """What is put inside another body must be JSON by itself."""
    assert isinstance(refused("dialogues.merge_state", body, {"id": "d"}), InvalidJson)


@FIXED
@given(st.binary(max_size=40) | st.from_regex(rb'[\[\]{}":,a\\u0-9 ]{0,40}', fullmatch=True))
def test_no_body_breaks_a_reader(body: bytes) -> None:
    """The answer is a request or one of our errors."""
    for name in ("dialogues.create", "messages.create_batch", "dialogues.merge_state"):
        try:
            read(name, body, {"id": "d"} if "merge" in name else {})
        except DialogueDBError as error:
            assert error.status in (400, 413)


def test_a_hundred_details_are_enough() -> None:
    """More help nobody."""
    body = {f"x{index}": 1 for index in range(500)}
    assert len(refused("dialogues.create", body).details) == MAX_DETAILS


def test_a_hundred_details_are_enough_for_a_batch_of_no_objects() -> None:
    """The answer to a small body is not many times its size."""
    error = refused("messages.create_batch", [0] * 500, dialogueId="d")
    assert len(error.details) <= MAX_DETAILS + 1


# ── the fast path and the slow one ───────────────────────────────────────────────────────────


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
IDS = st.from_regex(r"[a-z0-9_.-]{3,8}", fullmatch=True)
TAGS = st.lists(st.text("abcé", min_size=1, max_size=4), max_size=3)
FLAT = st.dictionaries(
    st.text("ab", min_size=1, max_size=3),
    st.one_of(TEXTS, st.integers(), st.booleans()),
    max_size=3,
)
CREATED = st.sampled_from(["2025-01-31", "2025-01-31T09:30:00+02:00", "1969-12-31T23:59:59.999Z"])
NAMESPACES = st.sampled_from(["", "n", "user_789"])
CONTENTS = st.one_of(
    st.text("abcé", min_size=1),
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}),
    st.lists(st.fixed_dictionaries({"type": st.just("x"), "x": st.floats(0, 1)}), min_size=1),
)
MESSAGE_FIELDS = {
    "id": IDS, "name": TEXTS, "created": CREATED, "metadata": FLAT, "tags": TAGS,
}  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {"role": st.text("abc", min_size=1, max_size=5), "content": CONTENTS}, optional=MESSAGE_FIELDS
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


BODIES: dict[str, st.SearchStrategy[Any]] = {
    "dialogues.create": some(
        id=IDS, namespace=NAMESPACES, threadOf=IDS, label=TEXTS, message=MESSAGES,
        messages=st.lists(MESSAGES, max_size=3), state=FLAT, metadata=FLAT, tags=TAGS,
        created=CREATED,
    ),
    "dialogues.update": some(
        label=st.one_of(st.none(), TEXTS), tags=TAGS, state=FLAT, metadata=FLAT, threadOf=IDS,
        messages=st.lists(MESSAGES, max_size=3), created=CREATED, namespace=NAMESPACES,
    ),
    "messages.create": MESSAGES,
    "messages.create_batch": st.fixed_dictionaries(
        {"messages": st.lists(MESSAGES, min_size=1, max_size=3)}
    ),
    "messages.update": some(tags=TAGS, role=TEXTS, content=CONTENTS, metadata=FLAT),
    "memories.create": st.fixed_dictionaries(
        {"value": st.one_of(TEXTS, st.integers(), st.booleans(), FLAT)},
        optional={"id": IDS, "key": IDS, "namespace": NAMESPACES, "label": TEXTS,
                  "description": TEXTS, "tags": TAGS, "metadata": FLAT},
    ),
    "memories.update": st.fixed_dictionaries({"tags": TAGS}, optional={"value": FLAT}),
    "dialogues.act": some(namespace=NAMESPACES),
}  # fmt: skip
PATHS = {
    "dialogues.update": {"id": "d-1"},
    "messages.create": {"dialogueId": "d-1"},
    "messages.create_batch": {"dialogueId": "d-1"},
    "messages.update": {"id": "m-1"},
    "memories.update": {"id": "m-1"},
    "dialogues.act": {"id": "d-1", "action": "end"},
}
TOLERATED = sorted({*READ_ONLY, "expiresTimestamp", "previousId"})


@pytest.mark.parametrize("name", BODIES)
def test_the_slow_path_makes_the_request_of_the_fast_one(name: str) -> None:
    """The same body with a tolerated field, on top or in a message, is the same request."""

    @settings(FIXED, max_examples=25)
    @given(BODIES[name], st.sampled_from(TOLERATED), st.sampled_from([None, 1, "x", {}]))
    def holds(body: dict[str, Any], field: str, value: Any) -> None:
        fast = read(name, body, PATHS.get(name))
        marked = body | {field: value}
        if body.get("messages"):
            marked["messages"] = [body["messages"][0] | {field: value}, *body["messages"][1:]]
        slow = read(name, marked, PATHS.get(name))
        lenient = read(name, body | {"zzz": value}, PATHS.get(name), LENIENT)
        assert type(slow) is type(fast) is type(lenient)
        assert msgspec.json.encode(slow) == msgspec.json.encode(fast)
        assert msgspec.json.encode(lenient) == msgspec.json.encode(fast)

    holds()


def test_a_doubled_key_counts_last_on_both_paths() -> None:
    """As everywhere."""
    fast = read("messages.create", b'{"role":"a","content":"x","role":"b"}', {"dialogueId": "d"})
    slow = read(
        "messages.create",
        b'{"role":"a","content":"x","role":"b","sequence":1}',
        {"dialogueId": "d"},
    )
    assert fast == slow
    assert slow.role == "b"


def test_numbers_keep_their_spelling_on_both_paths() -> None:
    """The slow path decodes nothing that it keeps as text."""
    for extra in (b"", b',"version":1'):
        made = read("dialogues.create", b'{"state":{"a":1.50,"a":1E2}%s}' % extra)
        assert bytes(made.state) == b'{"a":1.50,"a":1E2}'


# ── tolerated and unknown fields ─────────────────────────────────────────────────────────────


def test_read_only_fields_are_those_that_only_answers_carry() -> None:
    """The list of contract 4, without what a request can set."""
    assert {
        "projectId", "requestId", "status", "metadataLength", "metadataSHA256", "totalMessages",
        "threadCount", "lastMessageCreated", "version", "modified", "endedAt", "archivedAt",
        "messagesNext", "contentLength", "preview", "sequence",
    } == READ_ONLY  # fmt: skip
    carried = {wire for resource in RESOURCES for wire in resource.__struct_encode_fields__}
    assert carried > READ_ONLY


@pytest.mark.parametrize("field", TOLERATED)
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.resource])
def test_every_body_may_carry_read_only_fields(name: str, field: str) -> None:
    """A resource that was read can be sent back, and old clients sent two more fields."""
    path = {"id": "x", "action": "end", "dialogueId": "x"}
    row = ROWS[name]
    path = {wire: value for wire, value in path.items() if wire in row.required}
    needed: dict[str, Any] = {
        "messages.create": GOOD_MESSAGE, "memories.create": {"value": 1},
        "memories.update": {"tags": []},
    }.get(name, {})  # fmt: skip
    read(name, needed | {field: {"any": ["value"]}}, path)


@pytest.mark.parametrize(
    ("name", "field", "hint"),
    [
        ("dialogues.create", "metdata", "did you mean metadata?"),
        ("dialogues.create", "Label", "did you mean label?"),
        ("dialogues.create", "thread_of", "did you mean threadOf?"),
        ("dialogues.create", "mesages", "did you mean messages?"),
        ("memories.create", "vlaue", "did you mean value?"),
        ("memories.create", "zzz", "known: "),
        ("memories.create", "", "known: "),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_known_name(
    name: str, field: str, hint: str
) -> None:
    """Or with all of them where none is near."""
    body: dict[str, Any] = {"value": 1} if name.startswith("mem") else {}
    error = refused(name, body | {field: 1})
    assert isinstance(error, InvalidParameter)
    assert hint in error.message
    assert [detail.code for detail in error.details] == ["UNKNOWN_PARAMETER"]


@pytest.mark.parametrize("at", ["", "message.", "messages[1]."])
def test_an_unknown_field_has_its_place(at: str) -> None:
    """Also in a message."""
    bad = GOOD_MESSAGE | {"nmae": "x"}
    body: Any = {"": {"labl": "x"}, "message.": {"message": bad}}.get(
        at, {"messages": [GOOD_MESSAGE, bad]}
    )
    error = refused("dialogues.create", body)
    assert places(error) == {(at + ("nmae" if at else "labl"), "UNKNOWN_PARAMETER")}


def test_a_long_unknown_field_is_shown_cut() -> None:
    """A megabyte of a name helps nobody."""
    error = refused("dialogues.create", {"x" * 1000: 1})
    assert len(error.details[0].field or "") <= 65


def test_unknown_fields_can_be_ignored_by_a_setting() -> None:
    """Then only what is known must be good."""
    assert read("dialogues.create", {"zzz": 1, "label": "x"}, readers=LENIENT).label == "x"
    error = refused("dialogues.create", {"zzz": 1, "label": 5}, readers=LENIENT)
    assert places(error) == {("label", "INVALID")}


def test_messages_that_were_read_are_no_input_of_an_update() -> None:
    """They carry both `dialogueId` and `sequence`; anything else is a new message."""
    seen = GOOD_MESSAGE | {"dialogueId": "d", "sequence": 1, "id": "not checked / at all"}
    made = read("dialogues.update", {"messages": [seen, GOOD_MESSAGE]}, {"id": "d"})
    assert len(made.messages) == 1
    created = read("dialogues.create", {"id": "d", "messages": [GOOD_MESSAGE | {"sequence": 9}]})
    assert len(created.messages) == 1


@pytest.mark.parametrize("field", ["dialogueId", "namespace"])
def test_a_message_that_names_another_dialogue_is_refused(field: str) -> None:
    """It may only repeat what is addressed."""
    address = {"dialogueId": "d", "namespace": "n"}
    query = {"namespace": "n"}
    body = [GOOD_MESSAGE, GOOD_MESSAGE | address]
    read("messages.create_batch", body, {"dialogueId": "d"}, **query)
    body = [GOOD_MESSAGE, GOOD_MESSAGE | address | {field: "other"}]
    error = refused("messages.create_batch", body, {"dialogueId": "d"}, **query)
    assert isinstance(error, InvalidParameter)
    assert places(error) == {(f"messages[1].{field}", "INVALID")}


# ── path, query and body together ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "query", "body", "wrong"),
    [
        ({"dialogueId": "a"}, {"dialogueId": "b"}, {}, "dialogueId"),
        ({"dialogueId": "a"}, {}, {"dialogueId": "b"}, "dialogueId"),
        ({}, {"dialogueId": "a"}, {"dialogueId": "b"}, "dialogueId"),
        ({"dialogueId": "a"}, {"namespace": "m"}, {"namespace": "n"}, "namespace"),
        ({"dialogueId": "a"}, {"dialogueId": "a"}, {"dialogueId": "a"}, ""),
        ({"dialogueId": "a"}, {"dialogueId": ""}, {}, ""),
        ({"dialogueId": "a"}, {"namespace": "n"}, {"namespace": ""}, ""),
        ({"dialogueId": "a"}, {"namespace": ""}, {"namespace": "n"}, ""),
    ],
)
def test_what_is_said_twice_must_agree(
    path: dict[str, str], query: dict[str, str], body: dict[str, Any], wrong: str
) -> None:
    """An empty parameter counts as absent."""
    act: Callable[[], Any] = lambda: read(  # noqa: E731
        "messages.create", GOOD_MESSAGE | body, path, **query
    )
    if wrong:
        with pytest.raises(InvalidParameter) as caught:
            act()
        assert caught.value.details[0].field == wrong
    else:
        assert act().dialogue_id == "a"


def test_a_fixed_field_that_differs_cannot_be_changed() -> None:
    """Where the contract says 409 and not 400."""
    assert isinstance(refused("messages.update", {"id": "b"}, {"id": "a"}), ImmutableField)
    assert isinstance(
        refused("memories.update", {"tags": [], "namespace": "n"}, {"id": "a"}, namespace="m"),
        ImmutableField,
    )


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "+1", "1e3", " 1", "٣", "1_0"])
def test_a_limit_is_a_positive_whole_number(text: str) -> None:
    """Anything else is refused by its name."""
    error = refused("memories.list", limit=text)
    assert isinstance(error, InvalidParameter)
    assert places(error) == {("limit", "INVALID")}


@pytest.mark.parametrize("text", ["1", "1000", "1001", "9" * 18, "9" * 500, "007"])
def test_a_large_limit_is_no_error(text: str) -> None:
    """It is clamped later (1.5)."""
    assert read("memories.list", limit=text).limit >= 1


def test_every_bad_parameter_of_a_list_is_named() -> None:
    """And every unknown one."""
    error = refused("dialogues.list", limit="x", order="up", created="x", namespace="-")
    assert {place for place, _ in places(error)} == {"limit", "order", "created", "namespace"}
    error = refused("dialogues.list", lmit="1", zzz="1")
    assert places(error) == {("lmit", "UNKNOWN_PARAMETER"), ("zzz", "UNKNOWN_PARAMETER")}
    assert "did you mean limit?" in error.message


def test_unknown_parameters_elsewhere_are_ignored() -> None:
    """Only lists are strict (1.3)."""
    assert read("dialogues.get", path={"id": "a"}, zzz="1").id == "a"
