"""Contract 8.7 over HTTP: what text is searched, and that the next search knows each write."""

import base64
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from harness import Server, new_project

PAYLOAD = base64.b64encode(random.Random(8).randbytes(60)).decode()


def made(answer: httpx.Response) -> Any:
    """Return the body of an answer that must be a success."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def say(api: httpx.Client, dialogue_id: str, *contents: Any, **fields: Any) -> Any:
    """Store a dialogue with messages of these contents; `fields` are the dialogue's."""
    messages = [{"role": "user", "content": content} for content in contents]
    return made(api.post("/dialogue", json={"id": dialogue_id, "messages": messages} | fields))


def append(api: httpx.Client, dialogue_id: str, content: Any, **fields: Any) -> Any:
    body = {"role": "user", "content": content} | fields
    return made(api.post(f"/message?dialogueId={dialogue_id}", json=body))


def keep(api: httpx.Client, memory_id: str, value: Any, **fields: Any) -> Any:
    return made(api.post("/memory", json={"id": memory_id, "value": value} | fields))


def results(api: httpx.Client, query: str, kind: str = "message", **fields: Any) -> Any:
    body = {"query": query, "object": kind, "explain": True, "limit": 100} | fields
    return made(api.post("/search", json=body))["results"]


def found(api: httpx.Client, query: str, kind: str = "message", **fields: Any) -> list[str]:
    """The ids of what shares a word with the query, best first."""
    shared = [one for one in results(api, query, kind, **fields) if one["explain"]["words"] > 0]
    return [one["item"]["id"] for one in shared]


# ── what is searched: messages ───────────────────────────────────────────────────────────────

PLAIN = ["the", "boat", "went", "over", "a", "wide", "lake", "and", "came", "home", "late"]
LONG = " ".join(random.Random(1).choices(PLAIN, k=75_000))
#: Contents of messages by a name, and what each is found by.
SPOKEN: dict[str, tuple[Any, list[str]]] = {
    "plain": ("The spare kettle hangs behind the clock.", ["kettles", "hanging kettle", "CLOCK"]),
    "parts": (
        [{"type": "text", "text": "A lantern"}, {"type": "text", "text": "for the cellar"}],
        ["lantern", "cellar"],
    ),
    "object": ({"text": "Bring the ladder", "kind": "chore"}, ["ladder", "chores"]),
    "call": (
        [{"type": "tool_use", "id": "t1", "name": "book_ferry", "input": {"port": "Helsinki"}}],
        ["helsinki", "ferry"],
    ),
    "result": (
        [
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [{"type": "text", "text": "Sails at dawn"}, {"fare": {"sum": 4217}}],
            }
        ],
        ["dawn", "4217"],
    ),
    "nested": ({"a": [{"b": {"c": [{"d": "quinoa"}]}}]}, ["quinoa"]),
    "long": (f"{LONG} marzipan", ["marzipan"]),
    "chinese": ("你好,世界!今天天气很好。", ["世界", "天气"]),
    "japanese": ("来週は東京へ行きます。", ["東京"]),
    "kana": ("ラーメンを食べました", ["ラーメン"]),
    "korean": ("내일 서울에 갑니다", ["서울"]),
    "thai": ("เมื่อวานฉันกินข้าวผัดกุ้ง", ["ข้าวผัด"]),
    "arabic": ("أحب القراءة في المساء", ["القراءة", "المساء"]),
    "hebrew": ("אני אוהב לשתות קפה", ["קפה"]),
    "russian": ("Завтра поедем на дачу", ["завтра", "ДАЧУ"]),
    "hindi": ("मुझे चाय पसंद है", ["चाय"]),
    "greek": ("Θάλασσα ήρεμη", ["θάλασσα", "ΘΆΛΑΣΣΑ"]),
    "accents": ("Jäätis ja õunakook, à la crème brûlée", ["jäätis", "brulee", "ÕUNAKOOK"]),
    "emoji": ("Tonight 🍕 again", ["🍕"]),
    "number": ("It is about 3.14, said the teacher", ["3.14"]),
    "mail": ("Write to ada.lovelace@example.com", ["ada.lovelace@example.com"]),
    "link": (
        "See https://wiki.example.org/Bent_wheel?x=1",
        ["https://wiki.example.org/Bent_wheel?x=1"],
    ),
    "contraction": ("I can't swim and wouldn't dive", ["can't", "wouldn\u2019t"]),
    "code": ("raise KeyError in load_config()", ["load_config", "KeyError"]),
    "version": ("Broken since v2.10.3", ["v2.10.3"]),
}
QUERIES = [(name, query) for name, (_, queries) in SPOKEN.items() for query in queries]


@pytest.fixture(scope="module")
def spoken(server: Server) -> Iterator[httpx.Client]:
    """Each content in a dialogue of its own, so that none is another's neighbour."""
    with server.client(new_project(server.db).key) as client:
        for name, (content, _) in SPOKEN.items():
            say(client, name)
            append(client, name, content, id=name)
        yield client


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[f"{n}-{q}" for n, q in QUERIES])
def test_a_message_is_found_by_its_words(spoken: httpx.Client, name: str, query: str) -> None:
    assert found(spoken, query)[:1] == [name]
    # So is its dialogue, and as old clients ask it is the same.
    assert results(spoken, query, "dialogue")[0]["item"]["id"] == name
    asked = {"query": query, "object": "message", "limit": "1"}
    assert made(spoken.get("/search", params=asked))["items"][0]["id"] == name


@pytest.mark.parametrize("query", ["3.15", "東大", "🍔", "Oslo"])
def test_other_words_are_not_found(spoken: httpx.Client, query: str) -> None:
    assert found(spoken, query) == []


@pytest.mark.parametrize(
    "query",
    [
        '"kettle"',
        '"kettle clock',
        "kettle*",
        "content:kettle",
        "{content name}: kettle",
        "-kettle",
        "^kettle",
        "NOT kettle",
        "kettle AND",
        "NEAR(kettle, clock)",
        "kettle\x00",
        "kettle%' OR ''='",
        "(((kettle",
        "kettle\u202e",
    ],
)
def test_syntax_is_only_text(spoken: httpx.Client, query: str) -> None:
    assert found(spoken, query) == ["plain"]


def test_a_long_text_and_what_stands_beside_it_is_found_by_its_words(api: httpx.Client) -> None:
    """8.7: of 300 KB all words count, as they would in a shorter text."""
    for number in range(8):
        say(api, f"d{number}", *[" ".join(PLAIN[number:]), "Sugar and cocoa in the cake"] * 12)
    say(api, "long")
    append(api, "long", f"{LONG} marzipan", id="document")
    append(api, "long", "Is there nougat?", id="beside")
    for query, message in (("marzipan", "document"), ("nougat", "beside")):
        assert results(api, query)[0]["item"]["id"] == message
        assert results(api, query, "dialogue")[0]["item"]["id"] == "long"


def test_a_speaker_is_found_by_name(api: httpx.Client) -> None:
    say(api, "d")
    say(api, "e")
    append(api, "d", "I sold the boat", id="ada", name="Zoë")
    append(api, "e", "I sold the boat", id="ben", name="Ben")
    first, second = results(api, "did Zoë sell the boat?")
    assert (first["item"]["id"], second["item"]["id"]) == ("ada", "ben")
    assert first["explain"]["speaker"] > second["explain"]["speaker"] == 0


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"media_type": "image/png", "data": PAYLOAD}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PAYLOAD}"}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"data": PAYLOAD}}]},
    ],
)
def test_the_payload_of_an_image_is_not_text(api: httpx.Client, part: dict[str, Any]) -> None:
    say(api, "d", [{"type": "text", "text": "look"}, part])
    assert len(found(api, "look")) == 1
    for query in (PAYLOAD, PAYLOAD[:20], "image/png", "base64"):
        assert found(api, query) == []
    alone = made(api.post("/dialogue", json={"message": {"role": "user", "content": part}}))
    plain = made(api.post("/search", json={"query": "look", "object": "dialogue"}))
    assert {item["id"] for item in plain["items"]} >= {"d"}
    assert all(one["relevance"] == 0 for one in results(api, "look", dialogueId=alone["id"]))


def test_state_tags_and_metadata_are_no_text(api: httpx.Client) -> None:
    """S-CORE: state is not searchable; tags and metadata are for filters."""
    fields = {"tags": ["zebra"], "metadata": {"zebra": "zebra"}}
    say(api, "d", "A quiet day", label="Notes", state={"zebra": "zebra"}, **fields)
    append(api, "d", "A quiet night", **fields)
    keep(api, "m", "A quiet week", **fields)
    for kind in ("message", "dialogue", "memory"):
        assert found(api, "zebra", kind) == []
    before = results(api, "striped zebra", "dialogue")
    made(api.put("/dialogue/d/state", json={"animal": "a striped zebra"}))
    after = results(api, "striped zebra", "dialogue")
    assert [one["relevance"] for one in after] == [one["relevance"] for one in before]
    assert after[0]["item"]["state"]["animal"] == "a striped zebra"


# ── what is searched: memories ───────────────────────────────────────────────────────────────

KEPT: dict[str, tuple[dict[str, Any], list[str]]] = {
    "text": ({"value": "Prefers window seats"}, ["window seat"]),
    "label": ({"value": "x", "label": "Allergies"}, ["allergy", "allergies"]),
    "description": ({"value": "x", "description": "Told at the harbour"}, ["harbour"]),
    "number": ({"value": 4217, "label": "Locker"}, ["4217", "locker"]),
    "fraction": ({"value": -2.75}, ["2.75"]),
    "boolean": ({"value": True, "label": "Newsletter"}, ["newsletter", "true"]),
    "object": ({"value": {"theme": "dark", "fontSize": 14}}, ["dark theme", "font size", "14"]),
    "deep": ({"value": {"diet": [{"avoid": ["peanuts"]}]}}, ["peanut", "avoid"]),
    "list": ({"value": ["cello", "oboe"]}, ["cello", "oboes"]),
    "thai": ({"value": {"food": "ข้าวผัด"}}, ["ข้าวผัด"]),
}
ASKED = [(name, query) for name, (_, queries) in KEPT.items() for query in queries]


@pytest.fixture(scope="module")
def kept(server: Server) -> Iterator[httpx.Client]:
    with server.client(new_project(server.db).key) as client:
        for name, (fields, _) in KEPT.items():
            keep(client, name, **fields)
        keep(client, "empty", "")
        keep(client, "nothing", {})
        keep(client, "zero", 0)
        yield client


@pytest.mark.parametrize(("name", "query"), ASKED, ids=[f"{n}-{q}" for n, q in ASKED])
def test_a_memory_is_found_by_its_words(kept: httpx.Client, name: str, query: str) -> None:
    assert found(kept, query, "memory")[:1] == [name]


def test_values_of_no_words_are_still_listed(kept: httpx.Client) -> None:
    """All that passes the filters is a result, with the relevance that it has."""
    items = results(kept, "window", "memory")
    assert {one["item"]["id"] for one in items} == {*KEPT, "empty", "nothing", "zero"}
    assert {one["item"]["id"]: one["relevance"] for one in items}["nothing"] == 0


# ── each write is known at once ──────────────────────────────────────────────────────────────


def test_each_way_to_store_a_message(api: httpx.Client) -> None:
    say(api, "d", "The heron came")
    assert len(found(api, "heron")) == 1
    append(api, "d", "The stork came", id="s")
    assert found(api, "stork")[0] == "s"
    batch = [{"role": "user", "content": f"A crane {n}", "id": f"c{n}"} for n in range(25)]
    made(api.post("/messages?dialogueId=d", json=batch))
    assert {f"c{n}" for n in range(25)} <= set(found(api, "crane"))
    body = {"messages": [{"role": "user", "content": "The ibis came", "id": "i"}]}
    made(api.put("/dialogue/d", json=body))
    assert found(api, "ibis")[0] == "i"
    assert found(api, "ibis", "dialogue") == ["d"]


def test_what_was_refused_is_not_found(api: httpx.Client) -> None:
    say(api, "d")
    append(api, "d", "The heron came", id="taken")
    batch = [{"role": "user", "content": "The stork came"}, {"role": "user", "content": "x"}]
    batch[1]["id"] = "taken"
    answer = api.post("/messages?dialogueId=d", json=batch)
    assert code(answer) == "DUPLICATE_ID"
    body = {"id": "e", "messages": [{"role": "user", "content": "The stork came", "id": "taken"}]}
    assert code(api.post("/dialogue", json=body | {"label": "Stork"})) == "DUPLICATE_ID"
    keep(api, "m", "heron")
    assert code(api.post("/memory", json={"id": "m", "value": "stork"})) == "DUPLICATE_ID"
    for kind in ("message", "dialogue", "memory"):
        assert found(api, "stork", kind) == []
        assert len(results(api, "stork", kind)) == 1


def test_a_repeated_write_is_indexed_once(api: httpx.Client) -> None:
    say(api, "d")
    batch = [{"role": "user", "content": "The stork came"}]
    writes: list[tuple[str, Any]] = [
        ("/message?dialogueId=d", {"role": "user", "content": "The heron came"}),
        ("/messages?dialogueId=d", batch),
        ("/memory", {"value": "heron"}),
        ("/dialogue", {"label": "heron", "messages": [{"role": "user", "content": "An ibis"}]}),
    ]
    for number, (path, body) in enumerate(writes):
        first = api.post(path, json=body, headers={"Idempotency-Key": f"k{number}"})
        before = [
            results(api, "heron stork ibis", one) for one in ("message", "memory", "dialogue")
        ]
        again = api.post(path, json=body, headers={"Idempotency-Key": f"k{number}"})
        assert again.headers["idempotent-replayed"] == "true"
        assert made(again) == made(first)
        after = [results(api, "heron stork ibis", one) for one in ("message", "memory", "dialogue")]
        assert after == before
    assert [len(results(api, "heron", one)) for one in ("message", "memory", "dialogue")] == [
        3,
        1,
        2,
    ]


def test_tags_change(api: httpx.Client) -> None:
    say(api, "d", tags=["old"])
    append(api, "d", "heron", id="m", tags=["old"])
    keep(api, "k", "heron", tags=["old"])
    for kind, path in (
        ("message", "/message/m"),
        ("dialogue", "/dialogue/d"),
        ("memory", "/memory/k"),
    ):
        mine = path.rsplit("/", 1)[1]
        started = made(api.get(path))["modified"]
        assert found(api, "heron", kind, tags=["old"]) == [mine]
        made(api.put(path, json={"tags": ["new", "more"]}))
        assert found(api, "heron", kind, tags=["old"]) == []
        assert found(api, "heron", kind, tags={"$all": ["new", "more"], "$nin": ["old"]}) == [mine]
        one = results(api, "heron", kind)[0]["item"]
        assert one["tags"] == ["new", "more"]
        assert one == {k: v for k, v in made(api.get(path)).items() if k != "messages"}
        assert found(api, "heron", kind, filter={"modified": {"gte": started}}) == [mine]
        assert found(api, "heron", kind, filter={"modified": {"gt": one["modified"]}}) == []
        made(api.put(path, json={"tags": []}))
        assert found(api, "heron", kind, tags=["new"]) == []


def test_a_label_changes(api: httpx.Client) -> None:
    say(api, "d", "hello", label="The heron")
    assert found(api, "heron", "dialogue") == ["d"]
    made(api.put("/dialogue/d", json={"label": "The stork"}))
    assert (found(api, "heron", "dialogue"), found(api, "stork", "dialogue")) == ([], ["d"])
    made(api.put("/dialogue/d", json={"label": ""}))
    assert found(api, "stork", "dialogue") == []
    assert found(api, "hello", "dialogue") == ["d"]


def test_messages_and_memories_are_deleted(api: httpx.Client) -> None:
    say(api, "d", label="Notes")
    append(api, "d", "heron", id="m")
    keep(api, "k", "heron")
    made(api.delete("/message/m"))
    made(api.delete("/memory/k"))
    for kind in ("message", "memory"):
        assert results(api, "heron", kind) == []
    assert found(api, "heron", "dialogue") == []
    append(api, "d", "stork", id="m")
    keep(api, "k", "stork")
    assert found(api, "stork") == ["m"]
    assert found(api, "stork", "memory") == ["k"]
    assert found(api, "heron") == []


def test_a_deleted_dialogue_leaves_its_messages(api: httpx.Client) -> None:
    """7.4: they are found as messages, it is not found; until it is made again."""
    say(api, "d", "A heron at the lake", label="Stork", tags=["old"], state={"a": 1})
    say(api, "t", "A heron in the reeds", threadOf="d")
    made(api.delete("/dialogue/d"))
    assert {one["item"]["dialogueId"] for one in results(api, "heron")} == {"d", "t"}
    assert len(found(api, "heron", dialogueId="d")) == 1
    assert found(api, "heron", "dialogue") == ["t"]
    assert found(api, "stork", "dialogue") == []
    assert results(api, "heron", "dialogue", dialogueId="d") == []
    # A thread keeps the dead id of its parent.
    assert [one["item"]["id"] for one in results(api, "heron", "dialogue", threadOf="d")] == ["t"]
    assert [one["item"]["dialogueId"] for one in results(api, "heron", threadOf="d")] == ["t"]
    say(api, "d", label="Ibis")
    assert found(api, "stork", "dialogue") == []
    assert found(api, "ibis", "dialogue") == ["d"]
    (again,) = [one for one in results(api, "heron", "dialogue") if one["item"]["id"] == "d"]
    assert again["matches"][0]["item"]["content"] == "A heron at the lake"
    assert again["item"]["tags"] == []


def test_messages_of_a_dead_thread_are_of_no_parent(api: httpx.Client) -> None:
    say(api, "d")
    say(api, "t", "A heron", threadOf="d")
    assert len(results(api, "heron", threadOf="d")) == 1
    made(api.delete("/dialogue/t"))
    assert results(api, "heron", threadOf="d") == []
    assert len(results(api, "heron")) == 1


def test_a_cascade_takes_all(api: httpx.Client) -> None:
    say(api, "d", *["A heron"] * 25, label="Heron")
    say(api, "e", "A heron too")
    made(api.delete("/dialogue/d?cascade=true"))
    assert {one["item"]["dialogueId"] for one in results(api, "heron")} == {"e"}
    assert found(api, "heron", "dialogue") == ["e"]
    say(api, "d")
    assert results(api, "heron", dialogueId="d") == []


@pytest.mark.parametrize("actions", [["end"], ["archive"], ["end", "archive"], ["end", "reopen"]])
def test_no_status_hides(api: httpx.Client, actions: list[str]) -> None:
    say(api, "d", "A heron", label="Stork")
    for action in actions:
        status = made(api.post(f"/dialogue/d/{action}"))["status"]
    assert len(found(api, "heron")) == 1
    for query in ("heron", "stork"):
        (only,) = results(api, query, "dialogue")
        assert only["item"]["status"] == status


def test_an_immutable_project_is_searched_like_any(server: Server) -> None:
    """2.1: what may still change is found changed; what was refused is found as it was."""
    with server.client(new_project(server.db, immutable=True).key) as api:
        say(api, "d", label="Stork", tags=["old"])
        append(api, "d", "A heron", id="m", tags=["old"])
        for refused in (
            api.delete("/dialogue/d"),
            api.delete("/dialogue/d?cascade=true"),
            api.delete("/message/m"),
            api.put("/message/m", json={"tags": ["new"]}),
        ):
            assert code(refused) == "DIALOGUE_IMMUTABLE"
        assert found(api, "heron", tags=["old"]) == ["m"]
        made(api.put("/dialogue/d", json={"label": "Ibis", "tags": ["new"]}))
        assert found(api, "stork", "dialogue") == []
        assert found(api, "ibis", "dialogue", tags=["new"]) == ["d"]
        keep(api, "k", "heron")
        made(api.delete("/memory/k"))
        assert results(api, "heron", "memory") == []


def test_neighbours_are_counted_anew(api: httpx.Client) -> None:
    """The score of a message falls again when the one before it is deleted."""
    say(api, "d", "unrelated")
    append(api, "d", "Where did the heron nest?", id="question")
    append(api, "d", "In the old oak", id="answer")
    say(api, "e")
    append(api, "e", "In the old elm", id="alone")
    beside = [one["item"]["id"] for one in results(api, "heron oak elm")]
    assert beside.index("answer") < beside.index("alone")
    assert "answer" in found(api, "heron")
    made(api.delete("/message/question"))
    assert found(api, "heron") == []
    append(api, "d", "Where did the heron nest?", id="late", created="2020-01-01")
    assert found(api, "heron")[0] == "late"


# ── other processes, and other starts ────────────────────────────────────────────────────────


def test_another_server_and_a_new_start_find_the_same(serve: Callable[..., Server]) -> None:
    """What one server has answered is found by another at once, and after a SIGKILL."""
    one, two = serve(), serve()
    with one.client() as here, two.client() as there:
        for number in range(5):
            writer, reader = (here, there) if number % 2 else (there, here)
            say(writer, f"d{number}", f"A heron {number}", label="Stork")
            keep(writer, f"d{number}", f"heron {number}")
            assert len(found(reader, "heron")) == number + 1
            assert len(found(reader, "heron", "memory")) == number + 1
            made(reader.put(f"/dialogue/d{number}", json={"label": "Ibis"}))
            assert f"d{number}" not in found(writer, "stork", "dialogue")
        made(here.delete("/dialogue/d1?cascade=true"))
        made(there.delete("/memory/d2"))
        asked = [("heron 3", kind) for kind in ("message", "dialogue", "memory")]
        before = [results(here, *question) for question in asked]
        assert [len(one) for one in before] == [4, 4, 4]
        assert [results(there, *question) for question in asked] == before
    one.kill()
    two.kill()
    with serve().client() as again:
        assert [results(again, *question) for question in asked] == before
