"""Contract 3.1-3.6: ids, times, namespaces, tags, metadata, texts, and JSON that is no text."""

import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

KINDS = ["dialogue", "message", "memory"]
MIB = 1024 * 1024
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
MARKS = "!$&'()*+,-.:;=@[]^_`{|}~"
FIRST = {"role": "user", "content": "x"}
NUL = "a\x00b"

#: Places for a JSON value in a body, and where to send it.
PLACES = {
    "state": ("POST", "/dialogue", b'{"state":{"k":%s}}'),
    "patch": ("PUT", "/dialogue/home/state", b'{"k":%s}'),
    "content": ("POST", "/message?dialogueId=home", b'{"role":"user","content":{"k":%s}}'),
    "batch": ("POST", "/messages?dialogueId=home", b'[{"role":"user","content":{"k":%s}}]'),
    "value": ("POST", "/memory", b'{"value":%s}'),
    "field": ("POST", "/dialogue", b'{"label":%s}'),
}


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    """Return the error of an answer that must refuse with this status, code and these fields."""
    assert answer.status_code == status, answer.text[:500]
    error = answer.json()["error"]
    assert error["code"] == code, error
    if fields:
        assert [detail.get("field") for detail in error["details"]] == list(fields), error
    return error


def create(api: httpx.Client, kind: str, **fields: Any) -> httpx.Response:
    """Create a dialogue, a memory, or a message of the dialogue `home`."""
    if kind == "message":
        return api.post("/message?dialogueId=home", json=FIRST | fields)
    return api.post(f"/{kind}", json=({"value": 1} if kind == "memory" else {}) | fields)


def fill(api: httpx.Client, place: str, fragment: bytes) -> httpx.Response:
    """Send a body with this fragment of JSON at a place, as these very bytes."""
    method, path, template = PLACES[place]
    return api.request(method, path, content=template % fragment)


def compact(value: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture
def home(api: httpx.Client) -> httpx.Client:
    """A project with the empty dialogue `home`."""
    made(api.post("/dialogue", json={"id": "home"}))
    return api


# 3.1 identifiers


@pytest.mark.parametrize("kind", KINDS)
def test_generated_ids_are_ulids_that_sort_by_time(home: httpx.Client, kind: str) -> None:
    """Contract 3.1: 26 upper-case Crockford base32 characters, later ones greater."""
    ids = [made(create(home, kind))["id"] for _ in range(5)]
    assert all(ULID.fullmatch(generated) for generated in ids)
    assert ids == sorted(set(ids))


def test_generated_ids_of_a_batch_are_monotonic(home: httpx.Client) -> None:
    """Contract 3.2: the ULIDs of one batch ascend in the array's order."""
    answer = made(home.post("/messages?dialogueId=home", json=[FIRST] * 25))
    ids = [message["id"] for message in answer]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("own_id", ["a", "1", "x" * 64, MARKS, "a.", "..."])
def test_a_custom_id_is_kept_and_found(home: httpx.Client, kind: str, own_id: str) -> None:
    """Contract 3.1: 1-64 characters of printable ASCII but for space and / ? # % \\ " < >."""
    assert made(create(home, kind, id=own_id))["id"] == own_id
    assert made(home.get(f"/{kind}/{quote(own_id, safe='')}"))["id"] == own_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "own_id",
    ["", "x" * 65, ".", "..", "é", "a\n", "a\x7f", *(f"a{mark}b" for mark in ' /?#%\\"<>')],
)
def test_an_id_outside_the_charset_is_refused(home: httpx.Client, kind: str, own_id: str) -> None:
    """Contract 3.1: INVALID_PARAMETER, field id; `.` and `..` would vanish from paths."""
    refused(create(home, kind, id=own_id), 400, "INVALID_PARAMETER", "id")


def test_a_bad_id_in_a_batch_names_its_element(home: httpx.Client) -> None:
    """Contract 3.1 and 5.9: the field is messages[i].id."""
    answer = home.post("/messages?dialogueId=home", json=[FIRST, FIRST | {"id": "a b"}])
    refused(answer, 400, "INVALID_PARAMETER", "messages[1].id")


@pytest.mark.parametrize("kind", KINDS)
def test_a_taken_id_is_refused(home: httpx.Client, kind: str) -> None:
    """Contract 3.1: DUPLICATE_ID, and what is stored stays."""
    before = made(create(home, kind, id="taken", tags=["first"]))
    error = refused(create(home, kind, id="taken", tags=["second"]), 400, "DUPLICATE_ID", "id")
    assert error["details"][0]["code"] == "DUPLICATE"
    assert made(home.get(f"/{kind}/taken"))["tags"] == before["tags"]


@pytest.mark.parametrize("kind", ["dialogue", "memory"])
def test_an_id_is_taken_in_all_namespaces(api: httpx.Client, kind: str) -> None:
    """Contract 3.1: the scope of an id is the project."""
    made(create(api, kind, id="taken", namespace="one"))
    refused(create(api, kind, id="taken", namespace="two"), 400, "DUPLICATE_ID", "id")
    refused(create(api, kind, id="taken"), 400, "DUPLICATE_ID", "id")


def test_a_message_id_is_taken_in_all_dialogues(home: httpx.Client) -> None:
    """Contract 3.1: also across dialogues and namespaces, and inside of POST /dialogue."""
    made(create(home, "message", id="taken"))
    taken = FIRST | {"id": "taken"}
    answer = home.post("/dialogue", json={"id": "d", "namespace": "n", "messages": [FIRST, taken]})
    refused(answer, 400, "DUPLICATE_ID", "messages[1].id")
    assert home.get("/dialogue/d?namespace=n").status_code == 404


def test_ids_of_different_types_never_clash(home: httpx.Client) -> None:
    """Contract 3.1: a dialogue, a message and a memory may share an id."""
    assert [made(create(home, kind, id="same"))["id"] for kind in KINDS] == ["same"] * 3


def test_ids_of_different_projects_never_clash(api: httpx.Client, other_api: httpx.Client) -> None:
    """Contract 3.1: ids are unique within a project only."""
    assert [made(create(a, "memory", id="same"))["id"] for a in (api, other_api)] == ["same"] * 2


@pytest.mark.parametrize("batch", [["a", "b", "a"], ["a", "taken"]])
def test_a_batch_with_a_taken_id_stores_nothing(home: httpx.Client, batch: list[str]) -> None:
    """Contract 3.1: two equal ids or one taken id fail the whole batch."""
    made(create(home, "message", id="taken"))
    body = [FIRST | {"id": own_id} for own_id in batch]
    last = f"messages[{len(batch) - 1}].id"
    refused(home.post("/messages?dialogueId=home", json=body), 400, "DUPLICATE_ID", last)
    assert made(home.get("/dialogue/home"))["totalMessages"] == 1


# 3.2 timestamps


@pytest.mark.parametrize("kind", ["dialogue", "message"])
@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2025-01-15", "2025-01-15T00:00:00.000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z"),
        ("2025-01-15T10:30", "2025-01-15T10:30:00.000Z"),
        ("2025-01-15T10:30:05", "2025-01-15T10:30:05.000Z"),
        ("2025-01-15T10:30:05Z", "2025-01-15T10:30:05.000Z"),
        ("2025-01-15T10:30:05.1Z", "2025-01-15T10:30:05.100Z"),
        ("2025-01-15T10:30:05.123999Z", "2025-01-15T10:30:05.123Z"),
        ("2025-01-15T10:30:05.999999999Z", "2025-01-15T10:30:05.999Z"),
        ("2025-01-15T01:30:00+02:00", "2025-01-14T23:30:00.000Z"),
        ("2025-12-31T20:00:00-05:30", "2026-01-01T01:30:00.000Z"),
    ],
)
def test_a_custom_created_is_normalised(
    home: httpx.Client, kind: str, given: str, stored: str
) -> None:
    """Contract 3.2: any offset, dates alone are midnight UTC, more digits are cut off."""
    assert made(create(home, kind, created=given))["created"] == stored


@pytest.mark.parametrize("kind", ["dialogue", "message"])
@pytest.mark.parametrize(
    "given",
    ["yesterday", "", "2025", "2025-01", "2025-13-01", "2025-02-30", "2025-01-15T25:00:00Z", 1.5],
)
def test_a_bad_created_is_refused(home: httpx.Client, kind: str, given: Any) -> None:
    """Contract 3.2: INVALID_PARAMETER, field created."""
    refused(create(home, kind, created=given), 400, "INVALID_PARAMETER", "created")


def test_a_bad_created_in_a_batch_names_its_element(home: httpx.Client) -> None:
    """Contract 3.2: the field is messages[i].created."""
    answer = home.post("/messages?dialogueId=home", json=[FIRST, FIRST | {"created": "soon"}])
    refused(answer, 400, "INVALID_PARAMETER", "messages[1].created")


@pytest.mark.parametrize("kind", KINDS)
def test_times_are_given_in_utc_with_milliseconds(home: httpx.Client, kind: str) -> None:
    """Contract 3.2 and 7.3: YYYY-MM-DDTHH:mm:ss.sssZ; equal on creation."""
    rows = [made(create(home, kind)) for _ in range(100)]
    assert all(TIME.fullmatch(row["created"]) for row in rows)
    assert [row["modified"] for row in rows] == [row["created"] for row in rows]


@pytest.mark.parametrize("kind", ["dialogue", "message"])
def test_modified_is_server_time(home: httpx.Client, kind: str) -> None:
    """Contract 3.2: a custom `created` does not set `modified`."""
    now = made(home.post("/memory", json={"value": 1}))["created"]
    assert made(create(home, kind, created="2001-01-01"))["modified"] >= now


# 3.3 namespaces


@pytest.mark.parametrize("kind", ["dialogue", "memory"])
@pytest.mark.parametrize("namespace", ["a", "7", "A-b_c", "a--b", "x" * 64])
def test_a_namespace_is_kept(api: httpx.Client, kind: str, namespace: str) -> None:
    """Contract 3.3: letters, digits, _ and -, 1-64 characters."""
    row = made(create(api, kind, namespace=namespace))
    assert row["namespace"] == namespace
    found = made(api.get(f"/{kind}/{row['id']}", params={"namespace": namespace}))
    assert found["namespace"] == namespace


@pytest.mark.parametrize("where", ["body", "query", "list"])
@pytest.mark.parametrize(
    "namespace",
    ["-a", "a-", "_a", "a_", "a.b", "a:b", "a/b", "a b", "é", "٣", "a\n", NUL, "x" * 65],
)
def test_a_bad_namespace_is_refused(api: httpx.Client, where: str, namespace: str) -> None:
    """Contract 3.3: INVALID_PARAMETER, field namespace, wherever it is given."""
    if where == "body":
        answer = create(api, "dialogue", namespace=namespace)
    else:
        path = "/memory" if where == "list" else "/dialogue/d"
        answer = api.get(path, params={"namespace": namespace})
    refused(answer, 400, "INVALID_PARAMETER", "namespace")


@pytest.mark.parametrize(
    ("home_space", "asked"), [("", "one"), ("one", ""), ("one", "One"), ("one", "one1")]
)
@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/dialogue/d", None, "DIALOGUE_NOT_FOUND"),
        ("PUT", "/dialogue/d", {"tags": []}, "DIALOGUE_NOT_FOUND"),
        ("DELETE", "/dialogue/d", None, "DIALOGUE_NOT_FOUND"),
        ("POST", "/dialogue/d/end", {}, "DIALOGUE_NOT_FOUND"),
        ("PUT", "/dialogue/d/state", {"k": 1}, "DIALOGUE_NOT_FOUND"),
        ("POST", "/dialogue/d/messages", FIRST, "DIALOGUE_NOT_FOUND"),
        ("POST", "/dialogue/d/messages", [FIRST], "DIALOGUE_NOT_FOUND"),
        ("GET", "/dialogue/d/messages", None, "DIALOGUE_NOT_FOUND"),
        ("GET", "/message/m", None, "MESSAGE_NOT_FOUND"),
        ("PUT", "/message/m", {"tags": []}, "MESSAGE_NOT_FOUND"),
        ("DELETE", "/dialogue/d/message/m", None, "MESSAGE_NOT_FOUND"),
        ("GET", "/memory/y", None, "MEMORY_NOT_FOUND"),
        ("PUT", "/memory/y", {"tags": []}, "MEMORY_NOT_FOUND"),
        ("DELETE", "/memory/y", None, "MEMORY_NOT_FOUND"),
    ],
)
def test_a_resource_is_not_found_in_another_namespace(
    api: httpx.Client, home_space: str, asked: str, method: str, path: str, body: Any, code: str
) -> None:
    """Contract 3.3: the namespace is part of the identity, and its absence too."""
    own = {"namespace": home_space}
    made(create(api, "dialogue", id="d", messages=[FIRST | {"id": "m"}], **own))
    made(create(api, "memory", id="y", **own))
    answer = api.request(method, path, params={"namespace": asked}, json=body)
    assert refused(answer, 404, code)["type"] == "not_found"
    assert made(api.get("/message/m", params=own))["tags"] == []


@pytest.mark.parametrize("kind", ["dialogue", "memory"])
def test_a_list_shows_exactly_one_namespace(api: httpx.Client, kind: str) -> None:
    """Contract 3.3: without `namespace` only the rows of the default one."""
    for namespace in ("", "user", "user1", "User"):
        made(create(api, kind, id=f"in-{namespace}", namespace=namespace))
    for namespace in ("", "user", "nobody"):
        items = made(api.get(f"/{kind}", params={"namespace": namespace}))["items"]
        found = [] if namespace == "nobody" else [f"in-{namespace}"]
        assert [item["id"] for item in items] == found


# 3.4 tags and 3.5 metadata


@pytest.mark.parametrize("kind", KINDS)
def test_tags_keep_order_duplicates_and_characters(home: httpx.Client, kind: str) -> None:
    """Contract 3.4: at most 10 tags of 1-64 characters, any Unicode."""
    tags = ["b", "a", "b", "channel:123", " ", "ü" * 64, "🙂" * 64, "%", "a,b", '"']
    row = made(create(home, kind, id="x", tags=tags))
    assert row["tags"] == tags
    assert made(home.get(f"/{kind}/x"))["tags"] == tags


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["create", "update"])
@pytest.mark.parametrize(
    ("tags", "place"),
    [
        (["t"] * 11, None),
        (["a", "x" * 65], 1),
        (["a", "b", ""], 2),
        (["a", 1], 1),
        ([None], 0),
        ([["a"]], 0),
        ("a", None),
        ({"a": 1}, None),
    ],
)
def test_bad_tags_are_refused(
    home: httpx.Client, kind: str, way: str, tags: Any, place: int | None
) -> None:
    """Contract 3.4: INVALID_INPUT, field tags or tags[i], in creates and updates."""
    if way == "update":
        made(create(home, kind, id="x"))
        answer = home.put(f"/{kind}/x", json={"tags": tags})
    else:
        answer = create(home, kind, tags=tags)
    fields = [detail["field"] for detail in refused(answer, 400, "INVALID_INPUT")["details"]]
    assert fields in (["tags"], [f"tags[{place}]"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_replaces_the_tags_and_an_empty_list_clears_them(
    home: httpx.Client, kind: str
) -> None:
    """Contract 3.4: tags are never merged."""
    made(create(home, kind, id="x", tags=["a", "b"]))
    assert made(home.put(f"/{kind}/x", json={"tags": ["c"]}))["tags"] == ["c"]
    assert made(home.put(f"/{kind}/x", json={"tags": []}))["tags"] == []
    assert made(home.get(f"/{kind}/x"))["tags"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_holds_scalars_and_arrays_of_strings(home: httpx.Client, kind: str) -> None:
    """Contract 3.5: string, number, boolean or array of strings; keys of 1-128 characters."""
    metadata = {"s": "", "n": -1.5, "b": False, "a": ["x", "x"], "ü" * 128: 0, "a.b": "c"}
    metadata |= {str(number): number for number in range(100 - len(metadata))}
    assert made(create(home, kind, id="x", metadata=metadata))["metadata"] == metadata
    assert made(home.get(f"/{kind}/x"))["metadata"] == metadata


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"ok": 1, "k": {}}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        ({"k": [1]}, "metadata.k"),
        ({"k": ["a", True]}, "metadata.k"),
        ({"k": [["a"]]}, "metadata.k"),
        ([], "metadata"),
        ("x", "metadata"),
    ],
)
def test_bad_metadata_is_refused(home: httpx.Client, kind: str, metadata: Any, field: str) -> None:
    """Contract 3.5: INVALID_INPUT, field metadata.<key>."""
    refused(create(home, kind, metadata=metadata), 400, "INVALID_INPUT", field)


@pytest.mark.parametrize(
    "metadata", [{str(n): n for n in range(101)}, {"": 1}, {"k" * 129: 1}, {"k": "x" * 65529}]
)
def test_metadata_over_a_limit_is_refused(api: httpx.Client, metadata: Any) -> None:
    """Contract 3.5: 100 keys of 1-128 characters, 64 KiB of compact JSON."""
    error = refused(create(api, "dialogue", metadata=metadata), 400, "INVALID_INPUT")
    assert error["details"][0]["field"].startswith("metadata")


def test_metadata_of_exactly_64_kib_is_accepted(api: httpx.Client) -> None:
    """Contract 3.5: the limit itself is allowed."""
    metadata = {"k": "x" * 65528}
    assert len(compact(metadata)) == 65536
    assert made(create(api, "dialogue", metadata=metadata))["metadataLength"] == 65536


def test_length_and_hash_of_metadata(api: httpx.Client) -> None:
    """Contract 3.5: of the compact JSON in UTF-8 with its keys sorted."""
    row = made(create(api, "dialogue", metadata={"z": ["é", '"'], "a": True, "Z": 12}))
    text = compact({"Z": 12, "a": True, "z": ["é", '"']})
    assert row["metadataLength"] == len(text)
    assert row["metadataSHA256"] == hashlib.sha256(text).hexdigest()


# 3.6 text fields


@pytest.mark.parametrize(
    ("kind", "field", "most"),
    [
        ("dialogue", "label", 1024),
        ("memory", "label", 1024),
        ("memory", "description", 8192),
        ("message", "name", 256),
        ("message", "role", 64),
    ],
)
class TestTextFields:
    """Contract 3.6: strings with a maximum of characters."""

    def test_a_text_of_the_maximum_length_is_kept(
        self, home: httpx.Client, kind: str, field: str, most: int
    ) -> None:
        """Contract 3.6: the limit counts characters, not bytes."""
        assert made(create(home, kind, **{field: "🙂" * most}))[field] == "🙂" * most

    @pytest.mark.parametrize("given", ["too long", 5, ["x"], {}, True])
    def test_a_longer_text_or_another_type_is_refused(
        self, home: httpx.Client, kind: str, field: str, most: int, given: Any
    ) -> None:
        """Contract 3.6: INVALID_INPUT and the field."""
        value = "x" * (most + 1) if given == "too long" else given
        refused(create(home, kind, **{field: value}), 400, "INVALID_INPUT", field)


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "Critic 2", "критик"])
def test_any_role_is_accepted(home: httpx.Client, role: str) -> None:
    """Contract 3.6: custom roles are allowed."""
    assert made(create(home, "message", role=role))["role"] == role


def test_an_empty_role_is_refused(home: httpx.Client) -> None:
    """Contract 3.6: `role` is a non-empty string."""
    error = create(home, "message", role="").json()["error"]
    assert error["code"] in ("INVALID_INPUT", "MISSING_PARAMETER")
    assert [detail["field"] for detail in error["details"]] == ["role"]


# Text that is none


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("dialogue", {"id": NUL}),
        ("dialogue", {"label": NUL}),
        ("dialogue", {"tags": [NUL]}),
        ("dialogue", {"metadata": {"k": NUL}}),
        ("dialogue", {"metadata": {NUL: 1}}),
        ("message", {"id": NUL}),
        ("message", {"name": NUL}),
        ("message", {"role": NUL}),
        ("message", {"tags": ["a", NUL]}),
        ("message", {"metadata": {"k": [NUL]}}),
        ("memory", {"id": NUL}),
        ("memory", {"label": NUL}),
        ("memory", {"tags": [NUL]}),
        ("memory", {"metadata": {"k": NUL}}),
    ],
)
def test_u0000_is_refused_in_ids_labels_names_roles_tags_and_metadata(
    home: httpx.Client, kind: str, fields: dict[str, Any]
) -> None:
    """Contract 3.1, 3.4-3.6: INVALID_INPUT; in an id it is also outside of the charset."""
    answer = create(home, kind, **fields)
    (field,) = fields
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] in ["INVALID_INPUT"] + ["INVALID_PARAMETER"] * (field == "id")
    assert error["details"][0]["field"].startswith(field)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "fragment",
    [
        rb'"\ud800"',
        rb'"\udc00x"',
        rb'"\ude00\ud83d"',
        rb'["\ud83dx"]',
        rb'{"\udfff":1}',
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b"1e400",
        b"-1e400",
        b"1" + b"0" * 400,
        b"NaN",
        b"-Infinity",
        b'"a\nb"',
        b"01",
        b"[" * 110 + b"]" * 110,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"k":' * 110 + b"1" + b"}" * 110,
    ],
    ids=lambda fragment: fragment[:12].hex(),
)
def test_what_is_no_portable_json_is_refused(
    home: httpx.Client, place: str, fragment: bytes
) -> None:
    """Contract 1.3 and 10.3: lone surrogates, bad UTF-8, huge numbers, over 100 levels."""
    refused(fill(home, place, fragment), 400, "INVALID_JSON")


@pytest.mark.parametrize("place", ["state", "patch", "content", "batch", "value"])
@pytest.mark.parametrize(
    "fragment",
    [rb'"\ud83d\ude00"', rb'"\u0000"', b"1.7976931348623157e308", b"1e-400", b"[" * 90 + b"]" * 90],
    ids=lambda fragment: fragment[:12].hex(),
)
def test_unusual_but_portable_json_is_accepted(
    home: httpx.Client, place: str, fragment: bytes
) -> None:
    """Contract 3.7, 3.9 and 3.10: pairs of surrogates, U+0000, the largest double, 90 levels."""
    made(fill(home, place, fragment))


def test_a_pair_of_surrogates_is_one_character(home: httpx.Client) -> None:
    """Contract 3.7: an escaped pair is the character it stands for."""
    assert made(fill(home, "content", rb'"\ud83d\ude00"'))["content"] == {"k": "\U0001f600"}
