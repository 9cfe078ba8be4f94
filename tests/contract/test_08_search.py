"""Contract 8 over HTTP: what a search finds, and what it answers with.

What its fields take and refuse is in `test_08_search_requests.py`, what a write changes in
`test_08_search_writes.py`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from harness import TLS, Server, new_project

OBJECTS = ["message", "dialogue", "memory"]
PNG = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8gd29ybGQ="}
#: Fillers: a word is rare only where there are others.
OTHERS = [
    "The kettle is on the stove",
    "We walked along the river",
    "Nobody reads the manual",
    "It may rain in the afternoon",
    "My sister plays chess",
]


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(api: httpx.Client, dialogue_id: str, *contents: Any, **fields: Any) -> Any:
    """Store a dialogue with messages of these contents; `fields` are the dialogue's."""
    messages = [{"role": "user", "content": content} for content in contents]
    return made(api.post("/dialogue", json={"id": dialogue_id, "messages": messages} | fields))


def keep(api: httpx.Client, memory_id: str, value: Any, **fields: Any) -> Any:
    """Store a memory."""
    return made(api.post("/memory", json={"id": memory_id, "value": value} | fields))


def search(api: httpx.Client, query: str, kind: str = "message", **fields: Any) -> Any:
    return made(api.post("/search", json={"query": query, "object": kind} | fields))


def ids(body: Any) -> list[str]:
    return [item["id"] for item in body["items"]]


def places(body: Any) -> list[str]:
    """The dialogues of found messages, in their order."""
    return [item["dialogueId"] for item in body["items"]]


def shares_words(api: httpx.Client, query: str, kind: str = "message", **fields: Any) -> list[str]:
    """The ids of what shares a word with the query, best first."""
    results = search(api, query, kind, explain=True, limit=100, **fields)["results"]
    return [one["item"]["id"] for one in results if one["explain"]["words"] > 0]


@pytest.fixture
def crowd(api: httpx.Client) -> httpx.Client:
    """A project with messages, dialogues and memories about other things."""
    for number, text in enumerate(OTHERS):
        say(api, f"other-{number}", text, label=f"Talk {number}")
        keep(api, f"other-{number}", text)
    return api


# ── the answer ───────────────────────────────────────────────────────────────────────────────


def test_an_item_is_the_whole_resource(api: httpx.Client) -> None:
    """8.5: what GET gives, never only an id."""
    fields = {"namespace": "n1", "tags": ["a"], "metadata": {"k": ["x", "y"], "n": 1.5}}
    say(api, "root", "first", namespace="n1")
    message = {"role": "user", "name": "Ada", "content": [{"type": "text", "text": "My parcel"}]}
    say(api, "d", label="A parcel", state={"step": 1}, threadOf="root", **fields)
    sent = made(api.post("/message?dialogueId=d", json=message | fields))
    made(api.post("/dialogue/d/end?namespace=n1"))
    keep(api, "m", {"parcel": None}, label="Parcel", description="Of late", **fields)
    dialogue = made(api.get("/dialogue/d?namespace=n1"))
    assert dialogue.pop("messages") == [sent]
    expected = {
        "message": made(api.get(f"/message/{sent['id']}?namespace=n1")),
        "dialogue": dialogue,
        "memory": made(api.get("/memory/m?namespace=n1")),
    }
    for kind, resource in expected.items():
        first = search(api, "parcel", kind)["results"][0]
        assert (first["object"], first["item"]) == (kind, resource)


@pytest.mark.parametrize("kind", OBJECTS)
def test_only_what_was_asked_for_is_found(crowd: httpx.Client, kind: str) -> None:
    body = search(crowd, "the river", kind, limit=100)
    assert {result["object"] for result in body["results"]} == {kind}
    assert len(body["items"]) == len(OTHERS)
    assert all(("matches" in result) == (kind == "dialogue") for result in body["results"])


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("query", ["walked along a river", "chess", "zzz", "?", "\u4e16\u754c"])
def test_relevance_is_a_share_and_falls(crowd: httpx.Client, kind: str, query: str) -> None:
    found = [one["relevance"] for one in search(crowd, query, kind)["results"]]
    assert found == sorted(found, reverse=True)
    assert all(0 <= relevance <= 1 for relevance in found)


def test_relevance_grows_with_what_is_shared(crowd: httpx.Client) -> None:
    queries = ["zeppelins", "river zeppelins", "walked river", "We walked along the river"]
    found = [search(crowd, query)["results"][0]["relevance"] for query in queries]
    assert found == sorted(found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_best_is_found_by_meaning(crowd: httpx.Client, kind: str) -> None:
    """8.5: ranked by meaning; nothing here shares a word with the query."""
    say(crowd, "d", "The mechanic repaired my car")
    keep(crowd, "d", "The mechanic repaired my car")
    query = "automobile maintenance"
    assert "d" not in shares_words(crowd, query, kind)
    body = search(crowd, query, kind)
    assert (places(body) if kind == "message" else ids(body))[0] == "d"


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_parts_of_a_score_add_up(crowd: httpx.Client, kind: str) -> None:
    body = search(crowd, "walked along the river", kind, explain=True)
    plain = search(crowd, "walked along the river", kind)
    for result in [*body["results"], *(m for r in body["results"] for m in r.get("matches", ()))]:
        assert sum(result.pop("explain").values()) == pytest.approx(result["relevance"], abs=1e-5)
    assert body == plain


def test_ten_are_found_unless_told_and_no_more_than_a_hundred(api: httpx.Client) -> None:
    for batch in range(5):
        say(api, f"d{batch}", *(f"stone {batch} {number}" for number in range(25)))
    assert len(ids(search(api, "stone"))) == 10
    found = ids(search(api, "stone", limit=100))
    assert len(set(found)) == 100
    assert ids(search(api, "stone", limit=1000)) == found
    assert ids(search(api, "stone", limit=3)) == found[:3]
    assert search(api, "stone", limit=100)["next"] is None


@pytest.mark.parametrize("kind", ["message", "dialogue"])
def test_an_answer_ends_before_it_passes_8_mib(api: httpx.Client, kind: str) -> None:
    """1.5: of resources and matches together; one is always there."""
    long = "x" * 3_000_000
    for number in range(4):
        say(api, f"d{number}", f"stone {long}")
    assert len(ids(search(api, "stone", kind))) == 2
    assert len(ids(search(api, "stone", kind, limit=1))) == 1
    say(api, "largest", "granite " + "x" * (8 * 1024**2 - 10))
    assert len(ids(search(api, "granite", kind))) == 1


@pytest.mark.parametrize("kind", ["message", "dialogue"])
@pytest.mark.parametrize("by", ["created", "modified"])
def test_the_most_relevant_are_chosen_then_sorted(api: httpx.Client, kind: str, by: str) -> None:
    """8.1: `orderBy` sorts the chosen page; it does not choose it.

    `modified` is the time of the last write, which here runs against `created`.
    """
    for name, text in {"late": "a red kite", "none": "lunch", "early": "a red kite above"}.items():
        created = {"early": "2020-01-01", "late": "2024-01-01", "none": "2022-01-01"}[name]
        message = {"id": name, "role": "user", "content": text, "created": created}
        say(api, name, label=text, created=created)
        made(api.post(f"/message?dialogueId={name}", json=message))
        made(api.put(f"/message/{name}", json={"tags": ["seen"]}))
    rising = ["early", "late"] if by == "created" else ["late", "early"]
    body = search(api, "red kite", kind, orderBy=by, order="asc", limit=2)
    assert ids(body) == rising
    assert [one["item"]["id"] for one in body["results"]] == rising
    assert ids(search(api, "red kite", kind, orderBy=by, limit=2)) == rising[::-1]


def test_rising_relevance_is_the_same_page_backwards(crowd: httpx.Client) -> None:
    best = search(crowd, "walked along the river", limit=3)
    worst = search(crowd, "walked along the river", limit=3, order="asc")
    assert worst["results"] == best["results"][::-1]
    assert worst["items"] == best["items"][::-1]
    assert worst["request"]["order"] == "asc"


# ── dialogues and their matches ──────────────────────────────────────────────────────────────


def test_a_dialogue_is_found_through_its_messages(crowd: httpx.Client) -> None:
    """8.5: at most three, the best first, as messages are answered elsewhere."""
    say(crowd, "d", *(f"zebra crossing {number} ahead" for number in range(5)), label="Notes")
    result = search(crowd, "zebra crossing", "dialogue")["results"][0]
    assert result["item"]["id"] == "d"
    alone = search(crowd, "zebra crossing", dialogueId="d")["results"]
    assert result["matches"] == alone[:3]
    assert result["relevance"] == result["matches"][0]["relevance"]


def test_a_dialogue_is_found_by_its_label(crowd: httpx.Client) -> None:
    say(crowd, "d", label="Zebra crossing")
    result = search(crowd, "zebra crossing", "dialogue")["results"][0]
    assert result["item"]["id"] == "d"
    assert "matches" not in result
    say(crowd, "e", "Something else altogether", label="Zebra crossing")
    assert shares_words(crowd, "zebra crossing", "dialogue") == ["e", "d"]


def test_a_dialogue_comes_once(api: httpx.Client) -> None:
    say(api, "d", *["zebra"] * 25, label="zebra")
    say(api, "e", "zebra")
    assert sorted(ids(search(api, "zebra", "dialogue"))) == ["d", "e"]


# ── images (3.8, 8.4) ────────────────────────────────────────────────────────────────────────

IMAGES: dict[str, Any] = {
    "inline": [{"type": "text", "text": "zebra"}, {"type": "image", "source": PNG}],
    "address": [
        {"type": "text", "text": "zebra"},
        {"type": "image", "source": {"type": "url", "url": "https://i.example/a"}},
    ],
    "url": [
        {"type": "text", "text": "zebra"},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGOA=="}},
    ],
}
NO_IMAGES: dict[str, Any] = {
    "text": "zebra",
    "drawing": [
        {"type": "text", "text": "zebra"},
        {"type": "image", "source": PNG | {"media_type": "image/svg+xml"}},
    ],
    "inner": [
        {"type": "tool_result", "content": [{"type": "image", "source": PNG}, {"n": "zebra"}]}
    ],
    "speech": 'zebra {"type": "image", "source": {"data": "aGk="}}',
}


@pytest.fixture(scope="module")
def gallery(server: Server) -> Iterator[httpx.Client]:
    """Messages with and without images, each in a dialogue of its name; and a memory."""
    with server.client(new_project(server.db).key) as client:
        for name, content in (IMAGES | NO_IMAGES).items():
            say(client, name, content, label="zebra")
        say(client, "object", {"type": "image", "source": PNG}, label="zebra")
        say(client, "both", "zebra", IMAGES["inline"])
        say(client, "label", label="zebra")
        keep(client, "memory", {"type": "image", "source": PNG}, label="zebra")
        yield client


def test_messages_with_images(gallery: httpx.Client) -> None:
    shown = {*IMAGES, "object", "both"}
    assert set(places(search(gallery, "zebra", filter={"hasImage": True}))) == shown
    unshown = {*NO_IMAGES, "both"}
    assert set(places(search(gallery, "zebra", filter={"hasImage": False}))) == unshown


def test_dialogues_with_images(gallery: httpx.Client) -> None:
    """True keeps those that were found through a message with an image, False changes nothing."""
    body = search(gallery, "zebra", "dialogue", filter={"hasImage": True}, limit=100)
    assert set(ids(body)) == {*IMAGES, "object", "both"}
    assert all(len(result.get("matches", ())) <= 1 for result in body["results"])
    for result in body["results"]:
        for match in result.get("matches", ()):
            assert match["item"]["content"] in [*IMAGES.values(), {"type": "image", "source": PNG}]
    everything = search(gallery, "zebra", "dialogue", limit=100)
    body = search(gallery, "zebra", "dialogue", filter={"hasImage": False}, limit=100)
    assert body == everything
    assert len(ids(body)) == len(IMAGES) + len(NO_IMAGES) + 3


def test_memories_have_no_images(gallery: httpx.Client) -> None:
    body = search(gallery, "zebra", "memory", filter={"hasImage": True})
    assert (body["results"], body["items"]) == ([], [])
    assert ids(search(gallery, "zebra", "memory", filter={"hasImage": False})) == ["memory"]


# ── spaces (2, 3.3) ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_namespace_or_the_whole_project(
    api: httpx.Client, other_api: httpx.Client, kind: str
) -> None:
    """A name is compared exactly; without one, everything of the project is searched."""
    names = ["n_1", "nx1", "N_1", "n_10", None]
    for number, name in enumerate(names):
        where = {"namespace": name} if name else {}
        say(api, f"d{number}", "zebra", label="zebra", **where)
        keep(api, f"d{number}", "zebra", **where)
    say(other_api, "theirs", "zebra", label="zebra", namespace="n_1")
    keep(other_api, "theirs", "zebra", namespace="n_1")
    everywhere = search(api, "zebra", kind)["items"]
    key = "dialogueId" if kind == "message" else "id"
    assert {item[key]: item.get("namespace") for item in everywhere} == {
        f"d{number}": name for number, name in enumerate(names)
    }
    for number, name in enumerate(names[:-1]):
        here = search(api, "zebra", kind, namespace=name)["items"]
        assert [item[key] for item in here] == [f"d{number}"]
    assert search(api, "zebra", kind, namespace="n")["items"] == []
    assert len(search(other_api, "zebra", kind)["items"]) == 1


def test_what_others_store_changes_no_score(crowd: httpx.Client, other_api: httpx.Client) -> None:
    """Statistics of words are those of the asker: of the namespace, or else of the project."""
    say(crowd, "mine", "the river and a zebra", "and more", namespace="n1")
    asked = [{"namespace": "n1"}, {}]
    before = [search(crowd, "river zebra", **where, explain=True) for where in asked]
    say(other_api, "theirs", *["zebra river"] * 25, namespace="n1")
    assert [search(crowd, "river zebra", **where, explain=True) for where in asked] == before
    say(crowd, "beside", *["zebra river"] * 25, namespace="n2")
    assert search(crowd, "river zebra", namespace="n1", explain=True) == before[0]
    assert search(crowd, "river zebra", explain=True) != before[1]


def test_a_dialogue_and_its_threads(api: httpx.Client) -> None:
    """8.1: `dialogueId` and `threadOf` hold for dialogues and for their messages."""
    for name, parent in {"root": None, "t1": "root", "t2": "root", "t3": "t1"}.items():
        say(api, name, f"zebra {name}", label="zebra", **({"threadOf": parent} if parent else {}))
    keep(api, "root", "zebra")
    assert places(search(api, "zebra", dialogueId="t1")) == ["t1"]
    assert set(places(search(api, "zebra", threadOf="root"))) == {"t1", "t2"}
    assert ids(search(api, "zebra", "dialogue", threadOf="t1")) == ["t3"]
    assert ids(search(api, "zebra", "dialogue", threadOf="root", dialogueId="t3")) == []
    for where in ({"dialogueId": "root"}, {"threadOf": "root"}, {"dialogueId": "nobody"}):
        assert ids(search(api, "zebra", "memory", **where)) == []
    assert ids(search(api, "zebra", dialogueId="nobody")) == []


# ── tags, metadata and dates of messages and memories (8.2 to 8.4) ────────────────────────────

FACETS: dict[str, dict[str, Any]] = {
    "a": {"tags": ["x", "y"], "metadata": {"tier": "gold", "langs": ["et", "en"]}},
    "b": {"tags": ["x"], "metadata": {"tier": "tin", "n": 1, "namespace": "n1"}},
    "c": {"tags": ["Y"], "metadata": {"n": "1", "ok": True}},
    "d": {"namespace": "n1", "metadata": {"n": 10, "langs": []}},
}


@pytest.fixture(scope="module")
def faceted(server: Server) -> Iterator[httpx.Client]:
    """Memories and messages of the same tags and metadata; messages have times of their own."""
    with server.client(new_project(server.db).key) as client:
        for year, (name, fields) in enumerate(FACETS.items(), 2021):
            where = {key: fields[key] for key in fields if key == "namespace"}
            say(client, name, **where)
            message = {"id": name, "role": "user", "content": "zebra", "created": f"{year}-06-01"}
            made(client.post(f"/message?dialogueId={name}", json=message | fields))
            keep(client, name, "zebra", **fields)
        yield client


@pytest.mark.parametrize("kind", ["message", "memory"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tags": ["x"]}, "ab"),
        ({"tags": {"$all": ["x", "y"]}}, "a"),
        ({"tags": {"$in": ["x", "Y"], "$nin": ["y"]}}, "bc"),
        ({"tags": {"$nin": ["x"]}}, "cd"),
        ({"metadata": {"tier": ["gold", "silver"]}}, "a"),
        ({"metadata": {"tier": {"$ne": "gold"}}}, "bcd"),
        ({"metadata": {"tier": {"$gt": "gold"}}}, "b"),
        ({"metadata": {"langs": "et"}}, "a"),
        ({"metadata": {"langs": ["ru", "en"]}}, "a"),
        ({"metadata": {"langs": {"$ne": "et"}}}, "bcd"),
        ({"metadata": {"langs": {"$nin": ["ru"]}}}, "abcd"),
        ({"metadata": {"langs": {"$gte": "et"}}}, "a"),
        ({"metadata": {"n": 1}}, "b"),
        ({"metadata": {"n": 1.0}}, "b"),
        ({"metadata": {"n": "1"}}, "c"),
        ({"metadata": {"n": {"$gt": 1}}}, "d"),
        ({"metadata": {"n": {"$lte": 10}}}, "bd"),
        ({"metadata": {"n": {"$lte": "2"}}}, "c"),
        ({"metadata": {"ok": True}}, "c"),
        ({"metadata": {"ok": {"$nin": [False]}}}, "abcd"),
        ({"metadata": {"nothing": "x"}}, ""),
        ({"metadata": {"nothing": {"$ne": "x"}}}, "abcd"),
        ({"metadata": {"n": {"$gt": 0}, "tier": "tin"}}, "b"),
        ({"metadata": {"namespace": "n1"}}, "bd"),
        ({"metadata": {"namespace": {"$ne": "n1"}}}, "ac"),
        ({"metadata": {"namespace": "n1"}, "namespace": "n1"}, "d"),
        (
            {"tags": ["x"], "metadata": {"tier": "gold"}, "filter": {"modified": "last 2 hours"}},
            "a",
        ),
        ({"filter": {"modified": {"lt": "2020"}}}, ""),
    ],
    ids=str,
)
def test_filters_are_exact(
    faceted: httpx.Client, kind: str, fields: dict[str, Any], expected: str
) -> None:
    assert sorted(ids(search(faceted, "zebra", kind, **fields))) == list(expected)
    # Also where the query has nothing to do with what passes.
    assert sorted(ids(search(faceted, "submarine", kind, **fields))) == list(expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"filter": {"created": "2022"}}, "b"),
        ({"filter": {"created": "June 2022"}}, "b"),
        ({"filter": {"created": {"gte": "2022-06-01", "lt": "June 2024"}}}, "bc"),
        ({"filter": {"created": "before 2022"}}, "a"),
        ({"filter": {"created": "since 2023"}}, "cd"),
        ({"filter": {"created": "2022-05-31"}, "timezone": "America/Chicago"}, "b"),
        ({"created": "2022-06"}, "b"),
        ({"startDate": "2022", "endDate": "2023"}, "bc"),
        ({"filter": {"createdYear": 2021, "createdMonth": 6, "createdDay": 1}}, "a"),
    ],
    ids=str,
)
def test_messages_by_their_time(
    faceted: httpx.Client, fields: dict[str, Any], expected: str
) -> None:
    assert sorted(ids(search(faceted, "zebra", **fields))) == list(expected)


@pytest.mark.parametrize("kind", ["message", "memory"])
@pytest.mark.parametrize(
    ("query", "older", "newer"),
    [
        ("tags=x,y", {"filter": {"tags": ["x", "y"]}}, {"tags": {"$in": ["x", "y"]}}),
        ("tags=y&tags=Y", {"filter": {"tags": ["y", "Y"]}}, {"tags": ["Y", "y"]}),
        ("namespace=n1", {"namespace": "n1"}, {"metadata": {"n": 10}}),
        ("limit=2", {"limit": 2}, {"limit": 2, "filter": {}}),
        ("created=2022", {"filter": {"createdYear": 2022}}, {"filter": {"created": "2022"}}),
        (
            "startDate=2022&endDate=2023-06-01T00:00:00.000Z",
            {"startDate": "2022", "endDate": "2023-06"},
            {"filter": {"created": {"gte": "2022", "lte": "2023-06-01T00:00:00Z"}}},
        ),
        ("dialogueId=c", {"dialogueId": "c"}, {"dialogueId": "c", "order": "desc"}),
    ],
)
def test_old_and_new_ways_to_ask_find_the_same(
    faceted: httpx.Client, kind: str, query: str, older: Any, newer: Any
) -> None:
    """8.6. Only the echo may differ: parts of a date are no instants."""
    path = f"/search?query=a+zebra&object={kind}&{query}"
    by_url = [made(faceted.get(f"{prefix}{path}")) for prefix in ("", "/api/v1")]
    assert by_url[0] == by_url[1]
    for fields in (older, newer):
        body = search(faceted, "a zebra", kind, **fields)
        assert (body["results"], body["items"]) == (by_url[0]["results"], by_url[0]["items"])


# ── limits and keys (2, 11) ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bearer", [{}, {"Authorization": "Bearer skv1_wrong"}])
def test_without_a_key_nothing_is_searched(server: Server, bearer: dict[str, str]) -> None:
    body = {"query": "x", "object": "message"}
    for answer in (
        httpx.post(f"{server.url}/search", json=body, headers=bearer, verify=TLS),
        httpx.get(f"{server.url}/search", params=body, headers=bearer, verify=TLS),
        httpx.post(f"{server.url}/search", content=b"{", headers=bearer, verify=TLS),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_searches_count_towards_the_rate_limit(serve: Callable[..., Server]) -> None:
    with serve("--rate-limit", "0.01", "--rate-burst", "3").client() as client:
        question = {"query": "x", "object": "message"}
        answers = [client.post("/search", json=question), client.post("/search", json={})]
        answers.append(client.get("/search", params=question))
        refused = client.get("/search", params=question)
    assert [answer.status_code for answer in answers] == [200, 400, 200]
    remaining = [answer.headers["x-ratelimit-remaining"] for answer in [*answers, refused]]
    assert remaining == ["2", "1", "0", "0"]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert int(refused.headers["retry-after"]) > 0


def test_an_idempotency_key_means_nothing_to_a_search(crowd: httpx.Client) -> None:
    """5.15: the key is of writes; a search is made anew each time."""
    headers = {"Idempotency-Key": "one"}
    for query in ("river", "chess", "river"):
        question = {"query": query, "object": "message"}
        answer = crowd.post("/search", json=question, headers=headers)
        assert made(answer) == search(crowd, query)
        assert "idempotent-replayed" not in answer.headers
