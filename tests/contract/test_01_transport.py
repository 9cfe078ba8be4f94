"""Contract 1.1-1.4: prefixes, TLS, request bodies, parameters, unknown fields and answers."""

import datetime
import ipaddress
import ssl
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import TLS, Server

MESSAGE = {"role": "user", "content": "hello"}
CEILING = 36 * 1024 * 1024
JSON_TYPE = "application/json; charset=utf-8"
PREFIXES = ["", "/api/v1"]

#: Every route of 5.0 in scope, on the dialogue d-1, its message m-1 and the memory y-1.
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/dialogue", {"label": "new"}),
    ("GET", "/dialogue", None),
    ("GET", "/dialogue/d-1", None),
    ("PUT", "/dialogue/d-1", {"tags": ["a"]}),
    ("PUT", "/dialogue", {"id": "d-1", "tags": ["a"]}),
    ("DELETE", "/dialogue/d-1", None),
    ("DELETE", "/dialogue", {"id": "d-1"}),
    ("POST", "/dialogue/d-1/end", {}),
    ("PUT", "/dialogue/d-1/end", None),
    ("PUT", "/dialogue/d-1/state", {"k": 1}),
    ("POST", "/message?dialogueId=d-1", MESSAGE),
    ("POST", "/dialogue/d-1/message", MESSAGE),
    ("POST", "/dialogue/d-1/messages", MESSAGE),
    ("POST", "/dialogue/d-1/messages", [MESSAGE]),
    ("POST", "/messages?dialogueId=d-1", [MESSAGE]),
    ("GET", "/messages?dialogueId=d-1", None),
    ("GET", "/dialogue/d-1/messages", None),
    ("GET", "/dialogue/d-1/message", None),
    *[
        (method, path, {"tags": ["a"]} if method == "PUT" else None)
        for method in ("GET", "PUT", "DELETE")
        for path in (
            "/message/m-1",
            "/messages/m-1?dialogueId=d-1",
            "/dialogue/d-1/message/m-1",
            "/dialogue/d-1/messages/m-1",
        )
    ],
    ("POST", "/memory", {"value": 1}),
    ("GET", "/memory", None),
    ("GET", "/memory/y-1", None),
    ("PUT", "/memory/y-1", {"tags": ["a"]}),
    ("DELETE", "/memory/y-1", None),
]
LISTS = [
    "/dialogue",
    "/messages?dialogueId=d-1",
    "/dialogue/d-1/messages",
    "/dialogue/d-1/message",
    "/memory",
]


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, *fields: str) -> Any:
    """Return the error of an answer that must refuse with this status, code and these fields."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code, error
    if fields:
        assert sorted(d.get("field") for d in error["details"]) == sorted(fields), error
    return error


def told(answer: httpx.Response) -> Any:
    """Return what an answer says, without what differs from request to request."""
    body = answer.json()
    if "error" in body:
        return answer.status_code, {
            k: v for k, v in body["error"].items() if k not in ("requestId", "timestamp")
        }
    return answer.status_code, sorted(body) if isinstance(body, dict) else len(body)


def asking(path: str, query: str) -> str:
    """Return a path with more query parameters."""
    return f"{path}{'&' if '?' in path else '?'}{query}"


def is_uuid4(text: str) -> bool:
    """Tell whether a text is a UUID of version 4 in its usual spelling."""
    return uuid.UUID(text).version == 4 and str(uuid.UUID(text)) == text


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 and its key as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(cert.public_bytes(pem))
    key_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(key_text)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def world(api: httpx.Client) -> httpx.Client:
    """A project that holds the dialogue d-1 with the message m-1, and the memory y-1."""
    made(api.post("/dialogue", json={"id": "d-1", "messages": [MESSAGE | {"id": "m-1"}]}))
    made(api.post("/memory", json={"id": "y-1", "value": "tea"}))
    return api


@pytest.fixture
def shop(api: httpx.Client) -> httpx.Client:
    """A project with dialogue d-1, message m-1 and memory y-1 in the namespace shop."""
    first = [MESSAGE | {"id": "m-1"}]
    made(api.post("/dialogue", json={"id": "d-1", "namespace": "shop", "messages": first}))
    made(api.post("/memory", json={"id": "y-1", "value": "tea", "namespace": "shop"}))
    return api


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_every_route_answers_alike_under_both_prefixes_and_with_a_trailing_slash(
    api: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 1.1: all spellings of a route behave identically; one trailing slash is ignored."""
    bare, mark, query = path.partition("?")
    spellings = [prefix + bare + slash + mark + query for prefix in PREFIXES for slash in ("", "/")]
    answers = [told(api.request(method, spelling, json=body)) for spelling in spellings]
    assert "ROUTE_NOT_FOUND" not in str(answers)
    assert answers == [answers[0]] * 4


@pytest.mark.parametrize("path", ["/Dialogue", "/dialogue/d-1/END", "/API/v1/dialogue", "/Memory"])
def test_paths_are_case_sensitive(world: httpx.Client, path: str) -> None:
    """Contract 1.1: a path in another case is no route, or no action, of this server."""
    error = world.post(path, json={}).json()["error"]
    assert error["code"] == ("INVALID_PARAMETER" if "END" in path else "ROUTE_NOT_FOUND")


def test_only_a_single_trailing_slash_is_ignored(world: httpx.Client) -> None:
    """Contract 1.1: with two trailing slashes the path is no route."""
    refused(world.get("/dialogue/d-1//"), 404, "ROUTE_NOT_FOUND")


def test_what_is_written_under_one_prefix_is_read_under_the_other(world: httpx.Client) -> None:
    """Contract 1.1: both prefixes show the same data."""
    assert made(world.get("/api/v1/dialogue/d-1")) == made(world.get("/dialogue/d-1"))


def test_the_server_speaks_tls_with_a_given_certificate(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    """Contract 1.2: certificate and key options make the server serve TLS itself."""
    cert, key = certificate(tmp_path)
    running = serve("--tls-cert", str(cert), "--tls-key", str(key))
    assert running.url.startswith("https://")
    trust = ssl.create_default_context(cafile=str(cert))
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with running.client(verify=trust) as client:
        assert made(client.post("/dialogue"))["status"] == "active"


def test_the_server_can_make_a_certificate_of_its_own(serve: Callable[..., Server]) -> None:
    """Contract 1.2: there is a shipped way to make a local certificate."""
    running = serve("--tls-self-signed")
    with running.client(verify=False) as client:
        assert made(client.post("/dialogue"))["status"] == "active"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "text/plain;charset=UTF-8",
        "text/plain; charset=iso-8859-1",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        None,
    ],
)
def test_a_body_is_json_in_utf8_whatever_its_content_type_says(
    api: httpx.Client, content_type: str | None
) -> None:
    """Contract 1.3: the body is parsed as UTF-8 JSON for any Content-Type."""
    headers = {"Content-Type": content_type} if content_type else {}
    body = '{"label":"Grüße 🙂"}'.encode()
    assert made(api.post("/dialogue", content=body, headers=headers))["label"] == "Grüße 🙂"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/dialogue"),
        ("PUT", "/dialogue/d-1"),
        ("POST", "/dialogue/d-1/end"),
        ("PUT", "/dialogue/d-1/end"),
        ("PUT", "/dialogue/d-1/state"),
        ("PUT", "/message/m-1"),
        ("DELETE", "/dialogue/d-1"),
        ("DELETE", "/message/m-1"),
        ("DELETE", "/memory/y-1"),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_an_empty_body_is_accepted_where_no_field_is_required(
    world: httpx.Client, method: str, path: str, content: bytes | None
) -> None:
    """Contract 1.3: no body, an empty body and {} are the same."""
    made(world.request(method, path, content=content))


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "/message", ["dialogueId", "role", "content"]),
        ("POST", "/message?dialogueId=d-1", ["role", "content"]),
        ("POST", "/memory", ["value"]),
        ("PUT", "/memory/y-1", ["tags"]),
        ("PUT", "/dialogue", ["id"]),
        ("DELETE", "/dialogue", ["id"]),
    ],
)
def test_an_empty_body_misses_the_fields_that_are_required(
    world: httpx.Client, method: str, path: str, fields: list[str]
) -> None:
    """Contract 1.3 and 10.3: required fields are named, one detail each, with REQUIRED."""
    error = refused(world.request(method, path), 400, "MISSING_PARAMETER", *fields)
    assert {detail["code"] for detail in error["details"]} == {"REQUIRED"}


@pytest.mark.parametrize("body", [b"{", b"{'a': 1}", b"{} {}", b"nonsense", b'{"a":1,}'])
def test_a_body_that_is_not_json_is_refused(api: httpx.Client, body: bytes) -> None:
    """Contract 1.3 and 10.3: a body that is not JSON answers INVALID_JSON."""
    refused(api.post("/dialogue", content=body), 400, "INVALID_JSON")


@pytest.mark.parametrize("path", ["/dialogue", "/memory"])
@pytest.mark.parametrize("body", [[], "text", 1, True])
def test_a_body_that_is_no_object_is_refused_where_an_object_is_due(
    api: httpx.Client, path: str, body: Any
) -> None:
    """Contract 1.3 and 10.3: a body of another JSON type is bad input."""
    refused(api.post(path, json=body), 400, "INVALID_INPUT")


@pytest.mark.parametrize("own_id", ["a+b", "a&b=c;d", "m@x:1!$'()*,~", "[x]{y}|^`", "..."])
def test_path_segments_are_percent_decoded(api: httpx.Client, own_id: str) -> None:
    """Contract 1.3: an id is found by its percent-encoded spelling."""
    made(api.post("/dialogue", json={"id": own_id}))
    assert made(api.get("/dialogue/" + quote(own_id, safe="")))["id"] == own_id


def test_a_plus_sign_in_a_path_is_a_plus_sign(api: httpx.Client) -> None:
    """Contract 1.3: the SDK sends ids raw, so + in a path never means a space."""
    made(api.post("/dialogue", json={"id": "a+b"}))
    assert made(api.get("/dialogue/a+b"))["id"] == "a+b"


def test_path_segments_are_percent_decoded_only_once(api: httpx.Client) -> None:
    """Contract 1.3: %252B decodes to %2B, which names no dialogue."""
    made(api.post("/dialogue", json={"id": "a+b"}))
    assert api.get("/dialogue/a%252Bb").status_code in (400, 404)


def test_an_encoded_slash_does_not_reach_another_route(world: httpx.Client) -> None:
    """Contract 1.3 and 5.0: a path is split into segments before they are decoded."""
    assert world.post("/dialogue/d-1%2Fend").status_code in (400, 404, 405)
    assert made(world.get("/dialogue/d-1"))["status"] == "active"


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_the_namespace_is_accepted_as_a_query_parameter_on_every_route(
    shop: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 1.3: the query parameter namespace finds the resource."""
    made(shop.request(method, asking(path, "namespace=shop"), json=body))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [(m, p, b or {}) for m, p, b in ROUTES if m != "GET" and type(b) is not list],
)
class TestNamespaceInTheBody:
    """Contract 1.3: the namespace as a body field, on every route with an object body."""

    def test_the_namespace_is_accepted_as_a_body_field(
        self, shop: httpx.Client, method: str, path: str, body: Any
    ) -> None:
        """Contract 1.3: the body field namespace does what the query parameter does."""
        answer = shop.request(method, path, json=body | {"namespace": "shop"})
        if path.endswith("/state"):
            refused(answer, 404, "DIALOGUE_NOT_FOUND")
        else:
            made(answer)

    def test_the_same_namespace_twice_is_accepted(
        self, shop: httpx.Client, method: str, path: str, body: Any
    ) -> None:
        """Contract 1.3: query and body may both name the namespace."""
        there = asking(path, "namespace=shop")
        made(shop.request(method, there, json=body | {"namespace": "shop"}))

    def test_two_different_namespaces_are_refused(
        self, shop: httpx.Client, method: str, path: str, body: Any
    ) -> None:
        """Contract 1.3: a conflict is INVALID_PARAMETER, on a memory update IMMUTABLE_FIELD."""
        there = asking(path, "namespace=shop")
        answer = shop.request(method, there, json=body | {"namespace": "other"})
        if path.endswith("/state"):
            assert made(answer)["namespace"] == "other"
        elif path.startswith("/memory/") and method == "PUT":
            refused(answer, 409, "IMMUTABLE_FIELD", "namespace")
        else:
            refused(answer, 400, "INVALID_PARAMETER", "namespace")


def test_an_empty_namespace_counts_as_absent(api: httpx.Client) -> None:
    """Contract 1.3: an empty string is no namespace, in the query and in the body."""
    made(api.post("/dialogue?namespace=", json={"id": "plain", "namespace": ""}))
    assert "namespace" not in made(api.get("/dialogue/plain?namespace="))
    assert made(api.post("/dialogue?namespace=shop", json={"namespace": ""}))["namespace"] == "shop"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/message?dialogueId=d-1", MESSAGE),
        ("/message", MESSAGE | {"dialogueId": "d-1"}),
        ("/message?dialogueId=d-1", MESSAGE | {"dialogueId": "d-1"}),
        ("/dialogue/d-1/messages", MESSAGE | {"dialogueId": "d-1"}),
        ("/dialogue/d-1/messages?dialogueId=d-1", MESSAGE),
        ("/dialogue/d-1/message?dialogueId=d-1", MESSAGE | {"dialogueId": "d-1"}),
        ("/messages", MESSAGE | {"dialogueId": "d-1"}),
    ],
)
def test_the_dialogue_id_comes_from_path_query_or_body(
    world: httpx.Client, path: str, body: Any
) -> None:
    """Contract 1.3: dialogueId may be given in any place, and repeated when equal."""
    assert made(world.post(path, json=body))["dialogueId"] == "d-1"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/message?dialogueId=d-1", MESSAGE | {"dialogueId": "d-2"}),
        ("POST", "/dialogue/d-1/messages", MESSAGE | {"dialogueId": "d-2"}),
        ("POST", "/dialogue/d-1/messages?dialogueId=d-2", MESSAGE),
        ("POST", "/dialogue/d-1/messages?dialogueId=d-2", [MESSAGE]),
        ("POST", "/messages?dialogueId=d-1", {"dialogueId": "d-2", "messages": [MESSAGE]}),
        ("GET", "/dialogue/d-1/messages?dialogueId=d-2", None),
        ("GET", "/dialogue/d-1/message/m-1?dialogueId=d-2", None),
        ("PUT", "/message/m-1?dialogueId=d-1", {"tags": [], "dialogueId": "d-2"}),
        ("DELETE", "/dialogue/d-1/messages/m-1?dialogueId=d-2", None),
    ],
)
def test_two_different_dialogue_ids_are_refused(
    world: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 1.3: a conflict of dialogueId is INVALID_PARAMETER and changes nothing."""
    made(world.post("/dialogue", json={"id": "d-2"}))
    refused(world.request(method, path, json=body), 400, "INVALID_PARAMETER", "dialogueId")
    assert made(world.get("/dialogue/d-1"))["totalMessages"] == 1
    assert made(world.get("/dialogue/d-2"))["totalMessages"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "hint"),
    [
        ("POST", "/dialogue", {"metdata": {}}, "metdata", "metadata"),
        ("POST", "/dialogue", {"lable": "x"}, "lable", "label"),
        ("PUT", "/dialogue/d-1", {"stat": {}}, "stat", "state"),
        ("POST", "/message?dialogueId=d-1", MESSAGE | {"nam": "x"}, "nam", "name"),
        ("POST", "/messages?dialogueId=d-1", [MESSAGE | {"tag": []}], "messages[0].tag", "tags"),
        ("POST", "/dialogue", {"messages": [MESSAGE | {"tag": []}]}, "messages[0].tag", "tags"),
        ("PUT", "/message/m-1", {"tagz": []}, "tagz", "tags"),
        ("POST", "/memory", {"value": 1, "descripton": "x"}, "descripton", "description"),
        ("PUT", "/memory/y-1", {"tags": [], "labell": "x"}, "labell", "label"),
        ("POST", "/dialogue/d-1/end", {"namespce": "x"}, "namespce", "namespace"),
        ("DELETE", "/dialogue", {"id": "d-1", "namespac": "x"}, "namespac", "namespace"),
    ],
)
def test_an_unknown_body_field_is_refused_with_a_hint(
    world: httpx.Client, method: str, path: str, body: Any, field: str, hint: str
) -> None:
    """Contract 1.3: UNKNOWN_PARAMETER with the nearest known name, since dropping loses data."""
    error = refused(world.request(method, path, json=body), 400, "INVALID_PARAMETER", field)
    assert error["details"][0]["code"] == "UNKNOWN_PARAMETER"
    assert f"did you mean {hint}?" in error["details"][0]["message"]


def test_each_unknown_body_field_has_a_detail_of_its_own(api: httpx.Client) -> None:
    """Contract 1.3: one detail per unknown field."""
    answer = api.post("/dialogue", json={"colour": 1, "shade": 2, "label": "x"})
    refused(answer, 400, "INVALID_PARAMETER", "colour", "shade")


def test_unknown_and_missing_fields_together_are_a_validation_error(world: httpx.Client) -> None:
    """Contract 1.3 and 10.3: several field errors of mixed codes answer VALIDATION_ERROR."""
    answer = world.post("/message?dialogueId=d-1", json={"role": "user", "contents": "x"})
    refused(answer, 400, "VALIDATION_ERROR", "content", "contents")


def test_unknown_body_fields_can_be_ignored_by_a_setting(serve: Callable[..., Server]) -> None:
    """Contract 1.3: unknown_fields = "ignore" accepts a body with unknown fields."""
    with serve(env={"DIALOGUEDB_UNKNOWN_FIELDS": "ignore"}).client() as client:
        dialogue = made(client.post("/dialogue", json={"label": "x", "colour": "red"}))
    assert dialogue["label"] == "x"
    assert "colour" not in dialogue


def test_the_fields_of_old_clients_are_tolerated(api: httpx.Client) -> None:
    """Contract 1.3 and 5.1: expiresTimestamp and previousId are accepted."""
    body = {"id": "old", "previousId": "older", "expiresTimestamp": 32503680000000}
    assert made(api.post("/dialogue", json=body))["id"] == "old"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("projectId", "01KB00000000000000000000PR"),
        ("requestId", "0c7b1a52-33c1-4a0e-8a51-6f5a2b9d1e10"),
        ("status", "ended"),
        ("totalMessages", 999),
        ("threadCount", 5),
        ("endedAt", "2020-01-01T00:00:00.000Z"),
        ("metadataLength", 2),
        ("modified", "2020-01-01T00:00:00.000Z"),
    ],
)
def test_read_only_fields_of_a_dialogue_are_tolerated_without_effect(
    world: httpx.Client, field: str, value: Any
) -> None:
    """Contract 1.3: a read-only field that an answer carries may be sent and changes nothing."""
    before = made(world.get("/dialogue/d-1"))
    made(world.put("/dialogue/d-1", json={field: value}))
    assert made(world.get("/dialogue/d-1")) == before


def test_a_dialogue_read_and_sent_back_whole_is_accepted(shop: httpx.Client) -> None:
    """Contract 1.3: a PUT of the answer of GET is accepted, also when it has ended."""
    made(shop.post("/dialogue", json={"id": "up", "namespace": "shop"}))
    fields = {"label": "L", "tags": ["a"], "metadata": {"k": [""]}, "state": {"s": 1}}
    body = {"id": "d-9", "namespace": "shop", "threadOf": "up", "messages": [MESSAGE]} | fields
    made(shop.post("/dialogue", json=body))
    made(shop.post("/dialogue/d-9/end?namespace=shop"))
    before = made(shop.get("/dialogue/d-9?namespace=shop"))
    made(shop.put("/dialogue/d-9?namespace=shop", json=before))
    after = made(shop.get("/dialogue/d-9?namespace=shop"))
    assert after | {"modified": 0, "version": 0} == before | {"modified": 0, "version": 0}


def test_a_row_of_a_list_sent_back_whole_is_accepted(world: httpx.Client) -> None:
    """Contract 1.3: a dialogue as lists show it may be sent back."""
    row = made(world.get("/dialogue"))["items"][0]
    assert made(world.put("/dialogue", json=row))["id"] == "d-1"


@pytest.mark.parametrize("path", ["/message/m-1?namespace=shop", "/memory/y-1?namespace=shop"])
def test_a_message_or_memory_read_and_sent_back_whole_is_accepted(
    shop: httpx.Client, path: str
) -> None:
    """Contract 1.3: a PUT of the answer of GET is accepted and changes nothing else."""
    before = made(shop.get(path))
    after = made(shop.put(path, json=before))
    assert after | {"modified": 0} == before | {"modified": 0}


@pytest.mark.parametrize(
    ("path", "home"), [("/message/m-1", "/message"), ("/memory/y-1", "/memory")]
)
def test_a_resource_that_was_read_can_be_created_again_from_it(
    shop: httpx.Client, path: str, home: str
) -> None:
    """Contract 1.3: read-only fields are tolerated in a create, so a copy can be posted."""
    before = made(shop.get(path, params={"namespace": "shop"}))
    made(shop.delete(path, params={"namespace": "shop"}))
    assert made(shop.post(home, json=before))["id"] == before["id"]


def test_messages_that_were_read_are_not_appended_again(world: httpx.Client) -> None:
    """Contract 1.3: elements with dialogueId and sequence are ignored, the others are new."""
    read = made(world.get("/dialogue/d-1"))["messages"]
    body = {"messages": [*read, {"role": "user", "content": "new"}]}
    answer = made(world.put("/dialogue/d-1", json=body))
    assert [message["content"] for message in answer["messages"]] == ["new"]
    assert made(world.get("/dialogue/d-1"))["totalMessages"] == 2


@pytest.mark.parametrize("path", LISTS)
def test_an_unknown_query_parameter_of_a_list_is_refused(world: httpx.Client, path: str) -> None:
    """Contract 1.3: lists refuse unknown parameters, one detail per name."""
    answer = world.get(asking(path, "colour=red&shade=dark&limit=5"))
    error = refused(answer, 400, "INVALID_PARAMETER", "colour", "shade")
    assert {detail["code"] for detail in error["details"]} == {"UNKNOWN_PARAMETER"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [(m, p, b) for m, p, b in ROUTES if not (m == "GET" and p in LISTS)],
)
def test_an_unknown_query_parameter_elsewhere_is_ignored(
    world: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 1.3: only lists refuse unknown query parameters."""
    made(world.request(method, asking(path, "colour=red"), json=body))


def test_a_body_of_exactly_36_mib_is_accepted(api: httpx.Client) -> None:
    """Contract 1.3: the ceiling is 36 x 1024 x 1024 bytes."""
    made(api.post("/dialogue", content=b"{}".ljust(CEILING)))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_36_mib_is_refused_with_the_envelope(api: httpx.Client, chunked: bool) -> None:
    """Contract 1.3: 413 with the normal error envelope, with and without Content-Length."""

    def blocks() -> Iterator[bytes]:
        yield b"{}".ljust(CEILING)
        yield b" "

    answer = api.post("/dialogue", content=blocks() if chunked else b"{}".ljust(CEILING + 1))
    error = refused(answer, 413, "PAYLOAD_TOO_LARGE")
    assert error["type"] == "validation_error"
    assert error["requestId"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_every_success_is_200_with_json_and_a_request_id(
    world: httpx.Client, method: str, path: str, body: Any
) -> None:
    """Contract 1.4: 200, a JSON body, its content type and a UUID of version 4."""
    answer = world.request(method, path, json=body)
    assert made(answer) is not None
    assert answer.headers["content-type"] == JSON_TYPE
    assert is_uuid4(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/dialogue/nobody", None),
        ("GET", "/no/such/route", None),
        ("PATCH", "/dialogue", None),
        ("GET", "/memory?limit=0", None),
        ("POST", "/dialogue", b"{"),
    ],
)
def test_every_error_is_json_with_the_request_id_of_its_header(
    api: httpx.Client, method: str, path: str, content: bytes | None
) -> None:
    """Contract 1.4: X-Request-Id is the same value as error.requestId."""
    answer = api.request(method, path, content=content)
    assert answer.headers["content-type"] == JSON_TYPE
    assert is_uuid4(answer.headers["x-request-id"])
    assert answer.json()["error"]["requestId"] == answer.headers["x-request-id"]


def test_an_answer_without_a_key_carries_the_request_id_too(server: Server) -> None:
    """Contract 1.4: also a 401 carries X-Request-Id and its value in the envelope."""
    answer = httpx.get(server.url + "/dialogue", verify=TLS)
    assert refused(answer, 401, "UNAUTHORIZED")["requestId"] == answer.headers["x-request-id"]


def test_a_dialogue_keeps_the_request_id_of_its_creation(api: httpx.Client) -> None:
    """Contract 1.4 and 3.1: requestId is the id of the creating request and never changes."""
    created = api.post("/dialogue", json={"id": "d"})
    assert made(created)["requestId"] == created.headers["x-request-id"]
    changed = api.put("/dialogue/d", json={"label": "x"})
    assert changed.headers["x-request-id"] != created.headers["x-request-id"]
    assert made(changed)["requestId"] == made(created)["requestId"]


def test_cors_is_off_by_default(api: httpx.Client) -> None:
    """Contract 1.4: no CORS header is sent unless configured."""
    answer = api.get("/dialogue", headers={"Origin": "https://example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
