"""The parts of the server, each by itself: routes, limits, figures, headers, logs, certificates."""

import asyncio
import datetime
import io
import ipaddress
import json
import logging
import math
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dialoguedb import errors
from dialoguedb.contract import OPERATIONS
from dialoguedb.models.limits import MAX_BODY_BYTES
from dialoguedb.operation import Operation, Route
from dialoguedb.server import logs, requests, tls
from dialoguedb.server.limits import RateLimiter
from dialoguedb.server.metrics import Metrics
from dialoguedb.server.routes import Routes, decoded
from dialoguedb.store.protocol import SearchStanding

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=100)
NOW_MS = 1_770_091_506_007
ROUTES = Routes()
ALL_ROUTES = [(row, route) for row in OPERATIONS for route in row.routes]


def filled(path: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path


def names_in(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("row", "route"), ALL_ROUTES, ids=[f"{route.method} {route.path}" for _, route in ALL_ROUTES]
)
def test_every_route_leads_to_its_operation(
    row: Operation, route: Route, prefix: str, slash: str
) -> None:
    """With and without the prefix, with and without a slash at the end; fields by wire name."""
    values = {name: f"the-{name}" for name in names_in(route.path)}
    match = ROUTES.match(route.method, prefix + filled(route.path, values) + slash)
    assert row in match.operations
    assert match.path == values


def test_a_route_leads_to_two_operations_only_where_the_body_decides() -> None:
    """They are the creation of one message and of several (5.8, 5.9)."""
    for _, route in ALL_ROUTES:
        names = [one.name for one in ROUTES.match(route.method, filled_any(route)).operations]
        assert names == names[:1] or names == ["messages.create", "messages.create_batch"]


def filled_any(route: Route) -> str:
    return filled(route.path, dict.fromkeys(names_in(route.path), "x"))


@FIXED
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
def test_a_segment_is_percent_decoded_once(text: str) -> None:
    """Whatever it holds: a slash, a percent sign, what looks encoded itself."""
    encoded = quote(text, safe="")
    assert decoded(ROUTES.match("GET", f"/memory/{encoded}").path) == {"id": text}
    twice = quote(encoded, safe="")
    assert decoded(ROUTES.match("GET", f"/memory/{twice}").path) == {"id": encoded}


@pytest.mark.parametrize("raw", ["%ff", "a%c3", "%ed%a0%80"])
def test_a_segment_that_is_not_utf8_is_refused_by_its_name(raw: str) -> None:
    """As a bad id and not as a path that is not there."""
    with pytest.raises(errors.InvalidParameter) as caught:
        decoded(ROUTES.match("GET", f"/dialogue/d/message/{raw}").path)
    assert caught.value.details[0].field == "id"


@pytest.mark.parametrize("raw", ["a+b", "a%", "a%2", "a%zz", "a:b@c!$&'()*,;=~"])
def test_what_is_no_percent_code_stays(raw: str) -> None:
    """A plus sign is a plus sign; the SDK does not encode ids at all."""
    assert decoded(ROUTES.match("GET", f"/dialogue/{raw}").path) == {"id": raw}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/dialogue/x/state", "dialogues.get_state"),
        ("GET", "/dialogue/x/threads", "dialogues.threads"),
        ("GET", "/dialogue/x/message", "messages.list"),
        ("PUT", "/dialogue/x/state", "dialogues.merge_state"),
        ("PUT", "/dialogue/x/end", "dialogues.act"),
        ("POST", "/dialogue/x/messages", "messages.create"),
        ("POST", "/dialogue/x/compact", "summaries.create"),
        ("POST", "/dialogue/x/compacted", "dialogues.act"),
        ("PUT", "/dialogue/x/compact", "summaries.create"),
        ("GET", "/dialogue/state/state", "dialogues.get_state"),
        ("GET", "/dialogue/messages", "dialogues.get"),
        ("GET", "/message/health", "messages.get"), ("GET", "/memory/api", "memories.get"),
    ],
)  # fmt: skip
def test_a_literal_wins_over_a_field(method: str, path: str, name: str) -> None:
    """And a field takes any word that is no literal in its place."""
    assert ROUTES.match(method, path).operations[0].name == name


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/dialogue/x/state", "GET, PUT"), ("/dialogue/x/threads", "GET"),
        ("/dialogue", "DELETE, GET, POST, PUT"), ("/dialogue/x/y", "POST, PUT"),
        ("/memory/x", "DELETE, GET, PUT"), ("/api/v1/health/", "GET"),
    ],
)  # fmt: skip
def test_another_method_is_refused_with_those_that_do(path: str, allow: str) -> None:
    """In the `Allow` header; also where a field of another route would match."""
    with pytest.raises(errors.MethodNotAllowed) as caught:
        ROUTES.match("PATCH", path)
    assert caught.value.headers == {"Allow": allow}


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", "/x", "/api", "/api/v1", "/api/v1/", "/api/v2/health", "/health//", "//health",
     "/Health", "/dialogue//state", "/dialogue/x/message/y/z", "/dialogue/x/y/z", "/memory//",
     "/api/v1/api/v1/health", "/%64ialogue", "/api/v1health", "/health/x", "dialogue%2Fx"],
)  # fmt: skip
def test_any_other_path_is_not_there(path: str) -> None:
    """Paths are exact but for one slash at the end."""
    with pytest.raises(errors.RouteNotFound):
        ROUTES.match("GET", path)


def test_head_is_get() -> None:
    """Load balancers ask like that; where there is no GET there is no HEAD."""
    for _, route in ALL_ROUTES:
        path = filled_any(route)
        if route.method == "GET":
            assert ROUTES.match("HEAD", path) == ROUTES.match("GET", path)
    with pytest.raises(errors.MethodNotAllowed):
        ROUTES.match("HEAD", "/dialogue/x/end")


class Clock:
    """A clock that is set by hand."""

    ms = NOW_MS

    def __call__(self) -> int:
        return self.ms

    def elapsed(self) -> float:
        return self.ms / 1000


def numbers(headers: list[tuple[bytes, bytes]]) -> tuple[int, int, int]:
    """Limit, remaining and reset."""
    held = dict(headers)
    return tuple(int(held[b"x-ratelimit-" + name]) for name in (b"limit", b"remaining", b"reset"))  # type: ignore[return-value]


@FIXED
@given(
    st.sampled_from([1, 2, 4, 8, 32]),
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), max_size=40),
)
def test_a_limiter_is_a_bucket_of_tokens_for_each_key(
    eighths: int, burst: int, steps: list[tuple[str, int]]
) -> None:
    """Counted in whole numbers: a token is 64 parts, an eighth of a second regains `eighths`."""
    clock = Clock()
    clock.ms = NOW_MS - NOW_MS % 1000
    limiter = RateLimiter(eighths / 8, burst, clock, clock.elapsed)
    full = 64 * burst
    parts = dict.fromkeys("ab", full)
    for key, eighths_later in steps:
        clock.ms += 125 * eighths_later
        for each in parts:
            parts[each] = min(full, parts[each] + eighths_later * eighths)
        headers, refusal = limiter.take(key)
        assert (refusal is None) == (parts[key] >= 64)
        if refusal is None:
            parts[key] -= 64
        else:
            needed_s = (64 - parts[key]) / (8 * eighths)
            assert refusal.headers == {"Retry-After": str(math.ceil(needed_s))}
        limit, remaining, reset = numbers(headers)
        assert (limit, remaining) == (burst, parts[key] // 64)
        assert reset == math.ceil(clock.ms / 1000 + (full - parts[key]) / (8 * eighths))


@FIXED
@given(st.sampled_from([0.1, 0.3, 1.0, 3.0, 7.0, 50.0]), st.integers(1, 3), st.integers(0, 10**7))
def test_who_waits_as_told_is_let_through(rate: float, burst: int, after_ms: int) -> None:
    """`Retry-After` is never too short, whatever the clock says."""
    clock = Clock()
    limiter = RateLimiter(rate, burst, clock, clock.elapsed)
    clock.ms += after_ms
    refusal = None
    while refusal is None:
        _, refusal = limiter.take("key")
        clock.ms += 1
    clock.ms += 1000 * int(refusal.headers["Retry-After"]) - 1
    assert limiter.take("key")[1] is None


@pytest.mark.parametrize("step_ms", [-60_000, 60_000])
def test_a_clock_that_steps_gives_and_takes_no_tokens(step_ms: int) -> None:
    """Tokens come with time that has passed, not with what the clock on the wall says."""
    wall, passed = Clock(), Clock()
    limiter = RateLimiter(1, 2, wall, passed.elapsed)
    assert [limiter.take("key")[1] is None for _ in range(3)] == [True, True, False]
    wall.ms += step_ms
    assert limiter.take("key")[1] is not None
    passed.ms += 1000
    assert limiter.take("key")[1] is None


def test_without_a_rate_there_is_no_limit() -> None:
    """The headers say a million and the next second (contract 11)."""
    clock = Clock()
    limiter = RateLimiter(0, 1, clock, clock.elapsed)
    for _ in range(1000):
        headers, refusal = limiter.take("key")
        assert refusal is None
        assert numbers(headers) == (1_000_000, 1_000_000, NOW_MS // 1000 + 1)
    clock.ms += 1000
    assert numbers(limiter.idle()) == (1_000_000, 1_000_000, NOW_MS // 1000 + 2)


def test_an_answer_that_counts_for_no_key_shows_a_full_bucket() -> None:
    """It takes nothing from anybody."""
    limiter = RateLimiter(1, 7, Clock())
    assert numbers(limiter.idle())[:2] == (7, 7)
    assert numbers(limiter.take("key")[0])[:2] == (7, 6)


STANDING = SearchStanding("static:model", 3)


SEEN = st.tuples(
    st.sampled_from(["dialogues.get", "messages.create", "unknown"]),
    st.sampled_from([200, 404, 500]),
    st.sampled_from([0.0, 0.0005, 0.00051, 0.1, 10.0, 11.0]),
)


@FIXED
@given(st.lists(SEEN, max_size=20))
def test_figures_are_read_by_prometheus_own_parser(seen: list[tuple[str, int, float]]) -> None:
    """Counts by operation and status; times in buckets that add up."""
    metrics = Metrics(1)
    for operation, status, seconds in seen:
        metrics.observe(operation, status, seconds)
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text(None).decode())
        for sample in family.samples
    }
    counted = {
        labels: value
        for (name, labels), value in samples.items()
        if name.endswith("requests_total")
    }
    assert sum(counted.values()) == len(seen)
    for operation, status, _ in seen:
        labels = (("operation", operation), ("status", str(status)))
        assert counted[labels] == sum(one[:2] == (operation, status) for one in seen)
    name = "dialoguedb_request_seconds"
    for operation in {one[0] for one in seen}:
        times = [one[2] for one in seen if one[0] == operation]
        labels = ("operation", operation)
        assert samples[f"{name}_count", (labels,)] == len(times)
        assert samples[f"{name}_sum", (labels,)] == pytest.approx(sum(times))
        for (sample, found), value in samples.items():
            if sample == f"{name}_bucket" and labels in found:
                bound = float(dict(found)["le"])
                assert value == sum(one <= bound for one in times)


def test_figures_tell_the_release_and_the_process() -> None:
    """Two servers in one process count apart."""
    one, other = Metrics(1), Metrics(1)
    one.observe("dialogues.get", 200, 0.1)
    names = {family.name for family in text_string_to_metric_families(one.text(STANDING).decode())}
    assert {"dialoguedb_info", "dialoguedb_requests", "process_open_fds"} <= names
    assert "dialogues.get" not in other.text(None).decode()
    assert 'dialoguedb_search_lag{embedder="static:model"} 3.0' in one.text(STANDING).decode()


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None), (b"*", None), (b" * ", None), (b'"3"', {3}), (b' "3" , "4"', {3, 4}),
        (b'W/"3"', set()), (b'W/"3", "4"', {4}), (b'"abc"', set()), (b'""', set()),
        (b'"-1"', set()), (b'"\xb2"', set()), (b'"' + b"9" * 500 + b'"', set()),
    ],
)  # fmt: skip
def test_if_match_names_versions(header: bytes | None, versions: set[int] | None) -> None:
    """Weak tags never match (RFC 9110), nor do tags that are not ours."""
    headers = {} if header is None else {b"if-match": header}
    assert requests.if_match_of(headers) == versions


@pytest.mark.parametrize("header", [b"", b"3", b'"3', b'"3" "4"', b'"3";', b"**", b"w/'3'"])
def test_a_bad_if_match_is_refused_by_its_name(header: bytes) -> None:
    """A condition that is not understood is not left out."""
    with pytest.raises(errors.InvalidParameter) as caught:
        requests.if_match_of({b"if-match": header})
    assert caught.value.details[0].field == "If-Match"


def test_if_match_compares_tags_letter_by_letter() -> None:
    """No answer ever had this tag, so no version is meant (RFC 9110, 8.8.3.2)."""
    assert requests.if_match_of({b"if-match": b'"03"'}) == set()


@pytest.mark.parametrize("key", [b"a", b" ", b"a" * 255, b"A-z_0~!", bytes(range(0x20, 0x7F))])
def test_an_idempotency_key_is_printable_ascii(key: bytes) -> None:
    """Of 1 to 255 characters."""
    assert requests.idempotency_key_of({b"idempotency-key": key}) == key.decode()


@pytest.mark.parametrize("key", [b"", b"a" * 256, b"a\n", b"\t", b"\x7f", "é".encode(), b"a\0"])
def test_a_bad_idempotency_key_is_refused_by_its_name(key: bytes) -> None:
    """Else a retry would not be one."""
    with pytest.raises(errors.InvalidParameter) as caught:
        requests.idempotency_key_of({b"idempotency-key": key})
    assert caught.value.details[0].field == "Idempotency-Key"
    assert requests.idempotency_key_of({}) is None


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None), (b"", None), (b"Bearer", None), (b"Bearer ", None), (b"Basic abc", None),
        (b"Bearerabc", None), (b"Bearer abc", b"abc"), (b"bEARER abc", b"abc"),
        (b"  Bearer   abc  ", b"abc"), (b"Bearer a b", b"a b"),
    ],
)  # fmt: skip
def test_a_key_comes_as_a_bearer(header: bytes | None, key: bytes | None) -> None:
    """In any case, with any space around it."""
    headers = {} if header is None else {b"authorization": header}
    assert requests.bearer_of(headers) == key


@FIXED
@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=10))
def test_a_query_is_read_in_order(pairs: list[tuple[str, str]]) -> None:
    """Doubled names and empty values included."""
    pairs = [pair for pair in pairs if not any("\ud800" <= c <= "\udfff" for c in "".join(pair))]
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    assert requests.query_of({"query_string": text.encode()}) == pairs


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (b"", []), (b"a", [("a", "")]), (b"a=&a=1", [("a", ""), ("a", "1")]),
        (b"a=b=c", [("a", "b=c")]), (b"a=1+2", [("a", "1 2")]), (b"a=%2B", [("a", "+")]),
        (b"a=%2525", [("a", "%25")]), (b"a;b=1", [("a;b", "1")]), (b"&&a=1&", [("a", "1")]),
    ],
)  # fmt: skip
def test_a_query_is_read_as_forms_write_it(query: bytes, pairs: list[tuple[str, str]]) -> None:
    """A plus sign is a space there."""
    assert requests.query_of({"query_string": query}) == pairs


@pytest.mark.parametrize("query", [b"a=%ff", b"%c3=1", b"a=\xff", b"&".join([b"a=1"] * 101)])
def test_a_bad_query_is_refused(query: bytes) -> None:
    """One that is not UTF-8, or holds over a hundred parts."""
    with pytest.raises(errors.InvalidParameter):
        requests.query_of({"query_string": query})


def receiving(*events: dict[str, Any]) -> tuple[Callable[[], Awaitable[Any]], list[Any]]:
    """What the HTTP library gives, event by event, and those that are left."""
    left = list(events)

    async def receive() -> Any:
        return left.pop(0)

    return receive, left


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_put_together() -> None:
    """Whatever the pieces."""
    receive, _ = receiving(part(b"ab", more=True), part(b"", more=True), part(b"c", more=False))
    assert asyncio.run(requests.body_of(receive, {})) == b"abc"


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    """Nor one that turns out to be."""
    receive, left = receiving(part(b"x", more=False))
    stated = {b"content-length": str(MAX_BODY_BYTES + 1).encode()}
    with pytest.raises(errors.PayloadTooLarge):
        asyncio.run(requests.body_of(receive, stated))
    assert len(left) == 1
    half = part(b"x" * (MAX_BODY_BYTES // 2 + 1), more=True)
    receive, left = receiving(half, half, half)
    with pytest.raises(errors.PayloadTooLarge):
        asyncio.run(requests.body_of(receive, {}))
    assert len(left) == 1


def test_a_client_that_is_gone_has_no_body() -> None:
    """Half of a body is no request."""
    receive, _ = receiving(part(b"{", more=True), {"type": "http.disconnect"})
    with pytest.raises(requests.ClientGone):
        asyncio.run(requests.body_of(receive, {}))


def access(**changes: Any) -> logs.Access:
    plain: dict[str, Any] = {
        "time": "2026-02-03T04:05:06.007Z", "level": "info", "message": "request",
        "request_id": "r", "method": "GET", "operation": "dialogues.get", "status": 200,
        "milliseconds": 0.5,
    }  # fmt: skip
    return logs.Access(**plain | changes)


def test_access_lines_are_json_objects_without_ids_and_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line each, in order; the operation's name stands for path and query."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(out))

    async def write() -> None:
        log = logs.AccessLog(asyncio.get_running_loop())
        for status in (200, 404, 500):
            log.add(access(status=status, method="GE\nT", code="" if status == 200 else "X"))
        log.flush()
        log.flush()

    asyncio.run(write())
    lines = [json.loads(line) for line in out.getvalue().decode().splitlines()]
    assert [line["status"] for line in lines] == [200, 404, 500]
    assert set(lines[0]) == {
        "time", "level", "message", "requestId", "method", "operation", "status", "milliseconds",
    }  # fmt: skip
    assert lines[1]["code"] == "X"
    assert not set(logs.Access.__struct_encode_fields__) & {
        "path",
        "query",
        "id",
        "body",
        "headers",
        "key",
        "namespace",
        "client",
    }


def test_log_records_are_json_objects_of_one_line() -> None:
    """Also with an exception, and with members of their own."""
    formatter = logs.JsonFormatter()
    try:
        raise ValueError('two\nlines "quoted"')
    except ValueError:
        record = logging.LogRecord(
            "dialoguedb.x", logging.ERROR, "f", 1, "it %s\nfailed", ("é",), sys.exc_info()
        )
    record.fields = {"requestId": "r"}
    text = formatter.format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == (
        "error", "dialoguedb.x", "it é\nfailed",
    )  # fmt: skip
    assert line["requestId"] == "r"
    assert "ValueError" in line["exception"]


def certificate_of(pair: tls.Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.cert.read_bytes())


def test_a_self_signed_certificate_is_kept(tmp_path: Path) -> None:
    """Clients that trust it go on trusting it."""
    first = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    assert first == (tmp_path / "chat.db.cert.pem", tmp_path / "chat.db.key.pem")
    before = [path.read_bytes() for path in first]
    again = tls.self_signed(tmp_path / "chat.db", "localhost", NOW_MS + 86_400_000)
    assert again == first
    assert [path.read_bytes() for path in again] == before


def test_a_self_signed_certificate_can_be_served_and_trusted(tmp_path: Path) -> None:
    """Key and certificate belong together; it is its own authority."""
    pair = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.cert, pair.key)
    ssl.create_default_context(cafile=str(pair.cert))
    made = certificate_of(pair)
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    now = datetime.datetime.fromtimestamp(NOW_MS / 1000, datetime.UTC)
    assert made.not_valid_before_utc < now < made.not_valid_after_utc
    assert tls.given(str(pair.cert), str(pair.key)) == pair


def test_a_certificate_is_made_anew_when_the_host_is_not_named(tmp_path: Path) -> None:
    """Then it names the old usual names and the new one, by name or by address."""
    old = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    before = old.cert.read_bytes()
    for host, kind in (("db.example", x509.DNSName), ("192.0.2.7", x509.IPAddress)):
        pair = tls.self_signed(tmp_path / "chat.db", host, NOW_MS)
        assert pair.cert.read_bytes() != before
        before = pair.cert.read_bytes()
        names = certificate_of(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert host in map(str, names.value.get_values_for_type(kind))
        assert "localhost" in names.value.get_values_for_type(x509.DNSName)
        assert ipaddress.ip_address("127.0.0.1") in names.value.get_values_for_type(x509.IPAddress)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.cert, pair.key)


@pytest.mark.parametrize("lost", ["cert", "key"])
def test_half_a_pair_is_made_anew(lost: str, tmp_path: Path) -> None:
    """So is one whose certificate cannot be read."""
    pair = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    getattr(pair, lost).unlink()
    tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    tls.given(str(pair.cert), str(pair.key))
    pair.cert.write_bytes(b"nonsense")
    tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    tls.given(str(pair.cert), str(pair.key))


def test_a_key_is_for_this_user_only(tmp_path: Path) -> None:
    """From the first byte on, and after a renewal."""
    for host in ("127.0.0.1", "db.example"):
        pair = tls.self_signed(tmp_path / "chat.db", host, NOW_MS)
        assert pair.key.stat().st_mode & 0o777 == 0o600
        serialization.load_pem_private_key(pair.key.read_bytes(), None)


def test_a_new_key_is_for_this_user_only_also_in_a_file_that_was_there(tmp_path: Path) -> None:
    """A secret is not written where others read."""
    key = tmp_path / "chat.db.key.pem"
    key.touch(mode=0o644)
    key.chmod(0o644)
    tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_certificate_is_made_anew_when_it_has_run_out(tmp_path: Path) -> None:
    """Eleven years later."""
    pair = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    later_ms = NOW_MS + 11 * 366 * 86_400_000
    tls.self_signed(tmp_path / "chat.db", "127.0.0.1", later_ms)
    now = datetime.datetime.fromtimestamp(later_ms / 1000, datetime.UTC)
    assert certificate_of(pair).not_valid_after_utc > now


def test_a_pair_that_does_not_belong_together_is_made_anew(tmp_path: Path) -> None:
    """Interrupted between its two files, a renewal leaves one."""
    pair = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    other = tls.self_signed(tmp_path / "other.db", "127.0.0.1", NOW_MS)
    pair.key.write_bytes(other.key.read_bytes())
    tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    tls.given(str(pair.cert), str(pair.key))


def test_a_pair_that_cannot_be_used_is_refused_with_both_names(tmp_path: Path) -> None:
    """It is missing, no certificate, or the key is another one's."""
    pair = tls.self_signed(tmp_path / "chat.db", "127.0.0.1", NOW_MS)
    other = tls.self_signed(tmp_path / "other.db", "127.0.0.1", NOW_MS)
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    missing = tmp_path / "none"
    for cert, key in ((pair.cert, other.key), (bad, pair.key), (pair.cert, bad), (missing, bad)):
        with pytest.raises(errors.AdminError) as caught:
            tls.given(str(cert), str(key))
        assert str(cert) in caught.value.message
        assert str(key) in caught.value.message
        assert not caught.value.message.endswith((": ", ": None"))
