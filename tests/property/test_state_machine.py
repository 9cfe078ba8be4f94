"""A Hypothesis state machine over HTTP: the real server must answer as the dictionary model does.

Two projects and a few namespaces live side by side under hostile names. Every answer is compared
field by field, every change is read back, and a sweep of all spaces ends each history.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from harness import Server, new_project
from property.model import NO_DIALOGUE
from property.names import (
    BAD_IDS,
    BOUNDS,
    DATES,
    MESSAGE_BODY,
    PREFIXES,
    STATE,
    TAGS,
    Refused,
    refused_requests,
)
from property.steps import NO_MEMORY, NO_MESSAGE, History
from property.wire import ABSENT, Side, assert_same, path, succeeded

ROUTES = {"dialogues": "/dialogue", "messages": "/messages", "memories": "/memory"}
ACTIVE = "active"


class DatabaseMachine(RuleBasedStateMachine):
    """Histories of requests to two projects; every rule draws what it sends."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.client = server.client()
        self.history = History(server, self.client)
        self.unsettled = True

    @initialize(data=st.data())
    def choose_names(self, data: st.DataObject) -> None:
        """Choose the few names of this history, so that they meet often."""
        self.history.choose_names(data)

    @invariant()
    def settle(self) -> None:
        """Note that the last rule ended well, so that the last sweep may run."""
        self.unsettled = False

    def teardown(self) -> None:
        """End the history with a sweep, unless a rule has already failed."""
        try:
            if not self.unsettled:
                self.sweep()
        finally:
            self.client.close()

    def begin(self, data: st.DataObject) -> History:
        """Begin a rule: choose the project that it acts on."""
        self.unsettled = True
        self.history.begin(data)
        return self.history

    # ---- one request each ----------------------------------------------------------------------

    @rule(data=st.data())
    def create_dialogue(self, data: st.DataObject) -> None:
        """Create a dialogue or a thread."""
        history = self.begin(data)
        history.create_dialogue(history.namespace())

    @rule(data=st.data())
    def read_one_of_each(self, data: st.DataObject) -> None:
        """Read any dialogue, message and memory, also where it is not."""
        history = self.begin(data)
        history.read_back(history.a_dialogue())
        history.get_message()
        history.get_or_tag_memory(None)

    @rule(data=st.data())
    def update_dialogue(self, data: st.DataObject) -> None:
        """Update a dialogue."""
        self.begin(data).update_dialogue()

    @rule(data=st.data())
    def send_dialogue_back(self, data: st.DataObject) -> None:
        """Send a dialogue back as it was read."""
        self.begin(data).send_dialogue_back()

    @rule(data=st.data(), patch=STATE)
    def merge_state(self, data: st.DataObject, patch: dict[str, object]) -> None:
        """Merge a patch into a dialogue's state."""
        self.begin(data).merge_state(patch)

    @rule(data=st.data())
    def end_dialogue(self, data: st.DataObject) -> None:
        """End a dialogue."""
        self.begin(data).end_dialogue()

    @rule(data=st.data())
    def delete_dialogue(self, data: st.DataObject) -> None:
        """Delete a dialogue."""
        history = self.begin(data)
        history.delete_dialogue(history.a_dialogue())

    @rule(data=st.data())
    def append_one(self, data: st.DataObject) -> None:
        """Append one message."""
        history = self.begin(data)
        history.append_one(history.a_dialogue())

    @rule(data=st.data())
    def append_batch(self, data: st.DataObject) -> None:
        """Append a batch of messages."""
        history = self.begin(data)
        history.append_batch(history.a_dialogue())

    @rule(data=st.data(), tags=TAGS, kind=st.sampled_from(["tags", "tags", "none", "role"]))
    def tag_message(self, data: st.DataObject, tags: list[str], kind: str) -> None:
        """Replace a message's tags, send nothing, or try to change its role."""
        bodies: dict[str, dict[str, object]] = {"tags": {"tags": tags}, "none": {}}
        self.begin(data).tag_message(bodies.get(kind, {"role": "another role"}))

    @rule(data=st.data())
    def delete_message(self, data: st.DataObject) -> None:
        """Delete a message."""
        history = self.begin(data)
        history.delete_message(*history.a_message())

    @rule(data=st.data())
    def create_memory(self, data: st.DataObject) -> None:
        """Create a memory."""
        history = self.begin(data)
        history.create_memory(history.namespace())

    @rule(data=st.data(), tags=TAGS)
    def tag_memory(self, data: st.DataObject, tags: list[str]) -> None:
        """Replace a memory's tags."""
        self.begin(data).get_or_tag_memory(tags)

    @rule(data=st.data())
    def delete_memory(self, data: st.DataObject) -> None:
        """Delete a memory."""
        history = self.begin(data)
        history.delete_memory(*history.a_memory())

    @rule(data=st.data(), number=st.integers(0, 2**16))
    def send_something_refused(self, data: st.DataObject, number: int) -> None:
        """Send one of the bad requests into a dialogue that is there."""
        history = self.begin(data)
        rows = history.model.dialogues.values()
        open_ids = [r["id"] for r in rows if r["status"] == ACTIVE and "namespace" not in r]
        safe = [each for each in open_ids if path(each) == f"/{each}"]
        requests = refused_requests(safe[0]) if safe else []
        if requests:
            send_refused(history.side, requests[number % len(requests)])
            history.read_back((None, safe[0]))

    # ---- lists ---------------------------------------------------------------------------------

    @rule(data=st.data(), kind=st.sampled_from(list(ROUTES)), limit=st.sampled_from([1, 2, 3]))
    def read_pages_while_rows_come_and_go(self, data: st.DataObject, kind: str, limit: int) -> None:
        """Read a filtered list page by page; rows come and go between pages (1.6, 1.7, 1.8)."""
        history = self.begin(data)
        name, query = self._filters(kind)
        for _ in range(3):
            if len(history.model.listing(kind, name[0], query)) <= limit:
                self._insert(kind, name)
        cursor, position, started = None, None, []
        seen: list[tuple[str, int]] = []
        for turn in range(30):
            rows = history.model.listing(kind, name[0], query)
            places = [history.model.place(kind, row) for row in rows]
            started = places if turn == 0 else [place for place in started if place in places]
            descending = query.get("order", "asc" if kind == "messages" else "desc") == "desc"
            if position is not None:
                rest = [p < position if descending else p > position for p in places]
                rows = [row for row, ahead in zip(rows, rest, strict=True) if ahead]
            gone = kind == "messages" and not places and history.model.dialogue(*name) is None
            cursor = self._page(kind, name, query, limit, cursor, rows, gone=gone)
            shown = rows[:limit]
            seen += [history.model.place(kind, row) for row in shown]
            position = seen[-1] if seen else None
            if cursor is None:
                break
            self._disturb(kind, name)
        if cursor is None:
            assert len(set(seen)) == len(seen), "a row was shown twice"
            assert [place for place in seen if place in started] == started, "a row was skipped"

    def _filters(self, kind: str) -> tuple[tuple[str | None, str], dict[str, str]]:
        """Choose a list: the name of its dialogue (or only a namespace), filters and order."""
        history, query = self.history, {}
        name = history.a_dialogue()
        if kind == "messages":
            query["dialogueId"] = name[1]
        elif kind == "dialogues" and history.draw(st.booleans()):
            query["threadOf"] = name[1]
        kinds = ["", "", "", "created", "startDate", "endDate", "both"]
        chosen = history.draw(st.sampled_from(kinds))
        if chosen == "created":
            query["created"] = history.draw(st.sampled_from(PREFIXES))
        for field in ("startDate", "endDate"):
            if chosen in (field, "both"):
                query[field] = history.draw(st.sampled_from(BOUNDS))
        order = history.draw(st.sampled_from(["", "asc", "desc"]))
        return name, query | ({"order": order} if order else {})

    def _page(
        self,
        kind: str,
        name: tuple[str | None, str],
        query: dict[str, str],
        limit: int,
        cursor: str | None,
        rows: list[dict[str, object]],
        *,
        gone: bool,
    ) -> str | None:
        """Read one page and compare it with the rows that are ahead; return the next cursor."""
        history = self.history
        sent: dict[str, object] = query | {"namespace": name[0], "limit": str(limit)}
        if cursor is not None:
            repeated = history.draw(st.booleans())
            sent = (sent if repeated else {"limit": str(limit)}) | {"next": cursor}
        where = ROUTES[kind]
        if "dialogueId" in sent and history.draw(st.booleans()):
            where = path("dialogue", str(sent.pop("dialogueId")), "messages")
        answer = history.side.send("GET", where, query=sent)
        if gone and cursor is not None and answer.status == 200:
            assert_same(answer.body, {"items": [], "next": None}, "page of an emptied list")
            return None
        if not succeeded(answer, {NO_DIALOGUE} if gone else set()):
            return None
        assert set(answer.body) == {"items", "next"}, answer.body
        shown = rows[:limit]
        views = [history.model.view(row) for row in shown] if kind == "dialogues" else shown
        assert_same(answer.body["items"], views, f"page of {kind} {name!r} {sent}")
        following: str | None = answer.body["next"]
        assert following is None or len(shown) == limit, "a short page has a next one"
        assert following is not None or len(rows) <= limit, "the list ended early"
        if following is not None:
            assert path(following) == f"/{following}", following
            self._misuse(where, sent, following)
        return following

    def _misuse(self, where: str, sent: Mapping[str, object], cursor: str) -> None:
        """Use a cursor wrongly: in the other project, cut, or with another parameter (1.6)."""
        history = self.history
        stranger = next(side for side in history.sides if side is not history.side)
        kept = {"next": cursor, "dialogueId": sent.get("dialogueId")}
        wrong = history.draw(st.sampled_from(["", "project", "cut", "namespace", "order"]))
        if wrong == "project":
            answer = stranger.send("GET", where, query=kept)
        elif wrong == "cut":
            answer = history.side.send("GET", where, query=kept | {"next": cursor[:-3]})
        elif wrong == "namespace":
            answer = history.side.send("GET", where, query=kept | {"namespace": "other"})
        elif wrong == "order" and "order" in sent:
            other = "asc" if sent["order"] == "desc" else "desc"
            answer = history.side.send("GET", where, query=kept | {"order": other})
        else:
            return
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER"), (wrong, answer.body)

    def _insert(self, kind: str, name: tuple[str | None, str]) -> None:
        """Insert something into a list, if the dialogue takes it."""
        if kind == "messages":
            self.history.append_batch(name)
        elif kind == "dialogues":
            self.history.create_dialogue(name[0])
        else:
            self.history.create_memory(name[0])

    def _delete(self, kind: str, name: tuple[str | None, str]) -> None:
        """Delete something from a list, if there is anything."""
        history, namespace = self.history, name[0]
        rows = history.model.listing(kind, namespace, {"dialogueId": name[1]})
        if not rows:
            return
        found = history.draw(st.sampled_from([row["id"] for row in rows]))
        if kind == "messages":
            history.delete_message(*name, found)
        elif kind == "dialogues":
            history.delete_dialogue((namespace, found))
        else:
            history.delete_memory(namespace, found)

    def _disturb(self, kind: str, name: tuple[str | None, str]) -> None:
        """Insert into or delete from the list that is being read, or leave it alone."""
        change = self.history.draw(st.sampled_from([None, self._insert, self._delete]))
        if change is not None:
            change(kind, name)

    # ---- everything ----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Look for everything everywhere: each thing is in its own space and in no other."""
        history = self.history
        dialogues = history.known_dialogues()
        for side in history.sides:
            history.side = side
            for namespace in history.namespaces:
                self._sweep_lists(namespace)
                for dialogue_id in dialogues:
                    history.read_back((namespace, dialogue_id))
                    history.check_messages((namespace, dialogue_id))
        spaces = [(side, namespace) for side in history.sides for namespace in history.namespaces]
        for number, (kind, each) in enumerate(self._known_ids()):
            strange = spaces[number % len(spaces)]
            for side, namespace in spaces:
                if kind == "message":
                    row, missing = side.model.message(namespace, each, None), NO_MESSAGE
                else:
                    row, missing = side.model.memory(namespace, each), NO_MEMORY
                if row is not None or (side, namespace) == strange:
                    answer = side.send("GET", path(kind, each), query={"namespace": namespace})
                    if succeeded(answer, {missing} if row is None else set()):
                        assert_same(answer.body, row, f"{kind} {each!r}")

    def _known_ids(self) -> list[tuple[str, str]]:
        """Return the ids of all messages and memories of both projects, each once."""
        known: dict[tuple[str, str], None] = {}
        for side in self.history.sides:
            known |= dict.fromkeys(("message", mid) for mid in side.model.messages)
            known |= dict.fromkeys(("memory", mid) for mid in side.model.memories)
        return list(known)

    def _sweep_lists(self, namespace: str | None) -> None:
        """Compare the two lists of a space as wholes."""
        model = self.history.model
        query = {"namespace": namespace, "limit": "1000"}
        for kind in ("dialogues", "memories"):
            rows = model.listing(kind, namespace, {})
            rows = [model.view(row) for row in rows] if kind == "dialogues" else rows
            answer = self.history.side.send("GET", ROUTES[kind], query=query)
            assert_same(answer.body, {"items": rows, "next": None}, f"{kind} of {namespace!r}")


def send_refused(side: Side, request: Refused) -> None:
    """Send a request that must be refused; check its code and the field that is named."""
    body = ABSENT if request.body is None else request.body
    answer = side.send(request.method, request.path, query=request.query, body=body)
    assert answer.status == 400, (request, answer.body)
    assert answer.code in request.codes, (request, answer.body)
    fields = [str(detail.get("field", "")) for detail in answer.body["error"]["details"]]
    assert any(field.startswith(request.field) for field in fields), (request, answer.body)
    if request.field.startswith("messages[1]"):
        assert answer.body["error"]["message"].startswith("messages[1]: "), (request, answer.body)


@pytest.fixture
def side(server: Server) -> Iterator[Side]:
    """A fresh project on the shared server."""
    with server.client() as client:
        yield Side(client, new_project(server.db))


def test_the_server_answers_as_the_model_does(
    server: Server, engine: str, long_round: bool
) -> None:
    # An answer over a network of two hops takes longer; what is drawn first is the same.
    few = 60 if engine == "sqlite" else 20
    rounds = settings(
        max_examples=600 if long_round else few,
        stateful_step_count=50,
        derandomize=not long_round,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: DatabaseMachine(server), settings=rounds)


def test_every_bad_value_is_refused_everywhere_and_nothing_is_stored(side: Side) -> None:
    made = side.send("POST", "/dialogue", body={"id": "d-1"})
    problems = []
    for request in refused_requests("d-1"):
        try:
            send_refused(side, request)
        except AssertionError as error:
            problems.append(str(error)[:400])
    assert not problems, f"{len(problems)} of them:\n" + "\n".join(problems)
    rows = [{k: v for k, v in made.body.items() if k != "messages"}]
    dialogues = side.send("GET", "/dialogue")
    assert_same(dialogues.body, {"items": rows, "next": None}, "dialogues")
    memories = side.send("GET", "/memory")
    assert_same(memories.body, {"items": [], "next": None}, "memories")


@pytest.mark.parametrize("kind", ["dialogues", "messages"])
def test_every_date_filter_selects_what_the_model_does(side: Side, kind: str) -> None:
    into = "d-1"
    for number, created in enumerate(DATES * 2):
        body: dict[str, object] = {"id": f"d-{number}", "created": created}
        answer = side.send("POST", "/dialogue", body=body)
        side.model.add_dialogue(body, answer.body, answer.window)
        given = MESSAGE_BODY | {"created": created}
        answer = side.send("POST", "/message", query={"dialogueId": into}, body=given)
        if succeeded(answer, side.model.refuse_append(None, into, [given])):
            side.model.add_messages(None, into, [given], [answer.body], answer.window)
    ranges = [{"startDate": first, "endDate": last} for first in BOUNDS for last in BOUNDS]
    ranges += [{field: each} for field in ("startDate", "endDate") for each in BOUNDS]
    ranges += [{"created": prefix} for prefix in PREFIXES]
    ranges += [{"created": PREFIXES[0], "startDate": "2030", "endDate": "2020"}]
    fixed = {"dialogueId": into} if kind == "messages" else {}
    for query in ranges:
        for order in ("asc", "desc"):
            sent = fixed | query | {"order": order}
            rows = side.model.listing(kind, None, sent)
            answer = side.send("GET", ROUTES[kind], query=sent)
            assert answer.status == 200, (sent, answer.body)
            shown = [row["id"] for row in answer.body["items"]]
            assert shown == [row["id"] for row in rows], sent


@pytest.mark.parametrize("bad", BAD_IDS)
def test_an_id_that_cannot_be_is_not_found_in_a_path(side: Side, bad: str) -> None:
    side.send("POST", "/dialogue", body={"id": "a", "message": MESSAGE_BODY | {"id": "a"}})
    side.send("POST", "/memory", body={"id": "a", "value": 1})
    for kind in ("dialogue", "message", "memory"):
        for method in ("GET", "DELETE"):
            if bad and "/" not in bad and bad not in (".", ".."):
                answer = side.send(method, path(kind, bad))
                assert answer.status in (400, 404), (method, kind, bad, answer.body)


@pytest.mark.parametrize("field", ["role", "content", "name", "tags", "metadata", "id"])
def test_a_lone_surrogate_is_no_json(side: Side, field: str) -> None:
    side.send("POST", "/dialogue", body={"id": "d-1"})
    lone = "\\ud800"
    body = {"role": "user", "content": "x"} | {field: "LONE"}
    if field in ("tags", "metadata"):
        body[field] = ["LONE"] if field == "tags" else {"k": "LONE"}  # type: ignore[assignment]
    raw = str(body).replace("'", '"').replace("LONE", lone).encode()
    answer = side.send("POST", "/message", query={"dialogueId": "d-1"}, raw=raw)
    assert (answer.status, answer.code) == (400, "INVALID_JSON"), answer.body


def handles_and_kib(pid: int) -> tuple[int, int]:
    """Return how many files a process has open, and its memory without file pages, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    anonymous = status.partition("RssAnon:")[2].split()[0]
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(anonymous)


@pytest.mark.parametrize("kind", ["read", "replayed", "refused"])
def test_requests_leave_no_handle_and_no_memory_behind(
    serve: Callable[..., Server], engine: str, kind: str, long_round: bool
) -> None:
    if engine != "sqlite" and kind != "read" and not long_round:
        pytest.skip("in the long round: above the store it is the same on all engines")
    server, measured = serve(), []
    # Where threads pass requests on, it takes longer until the allocator has what it needs.
    count, least_bytes = (2000, 100) if engine == "sqlite" else (1000, 250)
    with server.client() as client:
        messages = [MESSAGE_BODY] * 10
        client.post("/dialogue", json={"id": "d", "messages": messages}).raise_for_status()
        requests = {
            "read": client.build_request("GET", "/dialogue/d"),
            "replayed": client.build_request(
                "POST", "/message?dialogueId=d", json=MESSAGE_BODY, headers={"Idempotency-Key": "k"}
            ),
            "refused": client.build_request("POST", "/dialogue", json={"id": "d"}),
        }
        for _ in range(4):
            for _ in range(count):
                client.send(requests[kind])
            measured.append(handles_and_kib(server.process.pid))
    handles, kib = zip(*measured, strict=True)
    # Threads of the store open their own when they first have something to do.
    assert handles[-1] <= handles[0] + 10
    # What each request leaves behind grows in every round. Nothing new is stored here, so no cache
    # of pages grows; garbage in cycles comes and goes.
    growth = [(later - earlier) * 1024 // count for earlier, later in pairwise(kib)]
    assert min(growth) < least_bytes, f"{growth} bytes more after each request"
