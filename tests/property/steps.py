"""The steps of a history: each draws a request, sends it, and compares answer and model."""

from collections.abc import Sequence
from typing import Any

import httpx
import hypothesis.strategies as st

from harness import Server, new_project
from property.model import EMBEDDED_MESSAGES, NO_DIALOGUE, Refusals, Window, Wire, same
from property.names import CHANGES, DIALOGUE, IDS, MEMORY, MESSAGE, MESSAGE_BODY, NAMESPACES
from property.wire import ABSENT, Answer, Side, adopt, assert_same, path, succeeded

NO_MESSAGE = (404, "MESSAGE_NOT_FOUND")
NO_MEMORY = (404, "MEMORY_NOT_FOUND")
IMMUTABLE = (409, "IMMUTABLE_FIELD")
STALE = (412, "PRECONDITION_FAILED")
#: A project with fewer open dialogues or memories gets one more at the next step.
ENOUGH = 4
#: What names a dialogue or memory: its namespace and its id.
Name = tuple[str | None, str]


class History:
    """Two projects with their models; the steps act on the project that `begin` chose."""

    def __init__(self, server: Server, client: httpx.Client) -> None:
        self.sides = [Side(client, new_project(server.db)) for _ in range(2)]
        self.side = self.sides[0]
        self.namespaces: list[str | None] = [None]
        self.dialogue_ids: list[str] = []
        self.message_ids: list[str] = []
        self.memory_ids: list[str] = []
        self._keys = 0

    def begin(self, data: st.DataObject) -> None:
        """Begin a step: draw from `data`, choose a project, and see that it is not empty."""
        self.draw = data.draw
        self.side = self.sides[self.draw(st.sampled_from([0, 0, 1]))]
        rows = self.model.dialogues.values()
        if sum(row["status"] == "active" for row in rows) < ENOUGH:
            self.create_dialogue(self.namespace())
        if len(self.model.memories) < ENOUGH:
            self.create_memory(self.namespace())

    @property
    def model(self) -> Any:
        """The model of the chosen project."""
        return self.side.model

    # ---- choosing ------------------------------------------------------------------------------

    def choose_names(self, data: st.DataObject) -> None:
        """Choose the few names of this history, so that they meet often."""
        draw = data.draw
        self.namespaces += draw(
            st.lists(st.sampled_from(NAMESPACES), min_size=2, max_size=2, unique=True)
        )
        ids = st.lists(st.sampled_from(IDS), min_size=4, max_size=4, unique=True)
        self.dialogue_ids, self.message_ids, self.memory_ids = draw(ids), draw(ids), draw(ids)
        for side in self.sides:
            side.prefix = draw(st.sampled_from(["", "/api/v1"]))

    def namespace(self) -> str | None:
        """Choose one of the history's namespaces, or none."""
        return self.draw(st.sampled_from(self.namespaces))

    def a_dialogue(self) -> Name:
        """Choose a dialogue: mostly one that is there, else a dead, foreign or misplaced one."""
        live = [(row.get("namespace"), row["id"]) for row in self.model.dialogues.values()]
        if live and self.draw(st.integers(0, 4)):
            return self.draw(st.sampled_from(live))
        return self.namespace(), self.draw(st.sampled_from(self.known_dialogues()))

    def known_dialogues(self) -> list[str]:
        """Return every dialogue id of this history: chosen, alive in a project, or dead."""
        known = dict.fromkeys(self.dialogue_ids)
        for side in self.sides:
            known |= dict.fromkeys(side.model.dialogues)
            known |= dict.fromkeys(row["dialogueId"] for row in side.model.messages.values())
        return list(known)

    def a_message(self) -> tuple[str | None, str, str]:
        """Choose a message: mostly one that is there, else a foreign or misplaced one."""
        mine = list(self.model.messages.values())
        if mine and self.draw(st.integers(0, 4)):
            row = self.draw(st.sampled_from(mine))
            return row.get("namespace"), row["dialogueId"], row["id"]
        ids = self.message_ids + [mid for side in self.sides for mid in side.model.messages]
        return *self.a_dialogue(), self.draw(st.sampled_from(ids))

    def a_memory(self) -> Name:
        """Choose a memory: mostly one that is there, else a foreign or misplaced one."""
        live = [(row.get("namespace"), row["id"]) for row in self.model.memories.values()]
        if live and self.draw(st.integers(0, 4)):
            return self.draw(st.sampled_from(live))
        ids = self.memory_ids + [mid for side in self.sides for mid in side.model.memories]
        return self.namespace(), self.draw(st.sampled_from(ids))

    def inputs(self, sizes: Sequence[int]) -> list[Wire]:
        """Make message inputs, some with ids of their own; a dozen are copies of one."""
        size = self.draw(st.sampled_from(sizes))
        if size > 3:
            return [self.draw(MESSAGE)] * size
        taken = [mid for side in self.sides for mid in side.model.messages][-3:]
        ids = st.none() | st.sampled_from(self.message_ids + taken)
        made = []
        for _ in range(size):
            mid = self.draw(ids)
            made.append(self.draw(MESSAGE) | ({} if mid is None else {"id": mid}))
        return made

    # ---- sending and reading back --------------------------------------------------------------

    def post(self, where: str, query: Wire, body: object, other: object) -> Answer:
        """POST; sometimes with an idempotency key, then again, then with another body (5.15)."""
        if self.draw(st.integers(0, 3)):
            return self.side.send("POST", where, query=query, body=body)
        self._keys += 1
        headers = {"Idempotency-Key": f"key-{self._keys}-%_'"}
        first = self.side.send("POST", where, query=query, body=body, headers=headers)
        assert "idempotent-replayed" not in first.headers, first
        again = self.side.send("POST", where, query=query, body=body, headers=headers)
        if first.status != 200:
            assert (again.status, again.code) == (first.status, first.code), (first, again)
            return first
        assert again.status == 200, again.body
        assert again.headers.get("idempotent-replayed") == "true", again.headers
        assert_same(again.body, first.body, "replayed answer")
        clash = self.side.send("POST", where, query=query, body=other, headers=headers)
        assert (clash.status, clash.code) == (409, "IDEMPOTENCY_CONFLICT"), clash.body
        return first

    def check_dialogue(self, answer: Answer, row: Wire, messages: list[Wire] | None) -> None:
        """Compare a Dialogue answer with the model: fields, counters, messages and ETag."""
        body = dict(answer.body)
        shown = body.pop("messages", None)
        body.pop("messagesNext", None)
        assert_same(body, self.model.view(row), f"dialogue {row['id']!r}")
        assert_same(shown, messages, f"messages in dialogue {row['id']!r}")
        assert answer.headers.get("etag") == f'"{row["version"]}"', answer.headers

    def read_back(self, name: Name, window: Window | None = None) -> None:
        """Read a dialogue and compare all of it; with a window its `modified` must have moved."""
        namespace, dialogue_id = name
        where, query = path("dialogue", dialogue_id), {"namespace": namespace}
        answer = self.side.send("GET", where, query=query)
        row = self.model.dialogue(*name)
        if succeeded(answer, {NO_DIALOGUE} if row is None else set()):
            if window is not None:
                adopt(row, answer.body, window, touched=True, versioned=False)
            first = self.model.messages_of(*name)[:EMBEDDED_MESSAGES]
            self.check_dialogue(answer, row, first)

    def check_messages(self, name: Name) -> None:
        """Compare the whole message list of a dialogue, dead or alive (5.10)."""
        namespace, dialogue_id = name
        rows = self.model.messages_of(*name)
        query = {"namespace": namespace, "dialogueId": dialogue_id, "limit": "2000"}
        answer = self.side.send("GET", "/messages", query=query)
        gone = not rows and self.model.dialogue(*name) is None
        if succeeded(answer, {NO_DIALOGUE} if gone else set()):
            assert_same(answer.body, {"items": rows, "next": None}, f"messages of {name!r}")

    # ---- dialogues -----------------------------------------------------------------------------

    def create_dialogue(self, namespace: str | None) -> None:
        """Create a dialogue or thread, with an id of its own or not, with and without messages."""
        body = self.draw(DIALOGUE)
        ids = st.none() | st.sampled_from(self.dialogue_ids + self.known_dialogues()[-2:])
        if (dialogue_id := self.draw(ids)) is not None:
            body["id"] = dialogue_id
        if not self.draw(st.integers(0, 3)):
            namespace, body["threadOf"] = self.a_dialogue()
        inputs = self.inputs([0, 0, 1, 2, 3, 12])
        # Whether orphans of a re-created dialogue may be sent again under their ids is left open.
        kept = {m for m, row in self.model.messages.items() if row["dialogueId"] == body.get("id")}
        inputs = [{k: v for k, v in m.items() if k != "id" or v not in kept} for m in inputs]
        named = body | ({} if namespace is None else {"namespace": namespace})
        sent, query = self._spelled(named, inputs)
        refusals = self.model.refuse_dialogue(named, inputs)
        answer = self.post("/dialogue", query, sent, sent | {"tags": ["another"] * 4})
        if succeeded(answer, refusals):
            row = self.model.add_dialogue(named, answer.body, answer.window)
            made = answer.body["messages"]
            rows = self.model.add_messages(namespace, row["id"], inputs, made, answer.window)
            self.check_dialogue(answer, row, rows)
            self.read_back((namespace, row["id"]))
        if "threadOf" in body:
            self.read_back((namespace, body["threadOf"]))

    def _spelled(self, named: Wire, inputs: list[Wire]) -> tuple[Wire, Wire]:
        """Choose where the namespace goes and how one message is given; return body and query."""
        sent = dict(named)
        if len(inputs) == 1 and self.draw(st.booleans()):
            sent["message"] = inputs[0]
        elif inputs:
            sent["messages"] = inputs
        if "namespace" not in named or self.draw(st.booleans()):
            return sent, {}
        if self.draw(st.booleans()):
            del sent["namespace"]
        return sent, {"namespace": named["namespace"]}

    def update_dialogue(self) -> None:
        """Change label, tags, state; append; repeat or try to change immutable fields (5.4)."""
        namespace, dialogue_id = name = self.a_dialogue()
        row, body, inputs = (
            self.model.dialogue(*name),
            self.draw(CHANGES),
            self.inputs([0, 0, 0, 1, 2]),
        )
        sent = body | ({"messages": inputs} if inputs else {})
        refusals = self.model.refuse_append(*name, inputs) if inputs else set()
        refusals |= {NO_DIALOGUE} if row is None else set()
        fixed = self.draw(st.sampled_from(["", "", "metadata", "created", "threadOf"]))
        if fixed and row is not None and self.draw(st.booleans()):
            sent |= {fixed: row[fixed]} if fixed in row else {}
        elif fixed:
            sent[fixed] = {"other": 1} if fixed == "metadata" else "2020-02-02"
            refusals |= set() if row is None else {IMMUTABLE}
        headers, stale = {}, self.draw(st.sampled_from([None, False, True]))
        if stale is not None and row is not None:
            headers = {"If-Match": f'"{row["version"] + stale}"'}
            refusals |= {STALE} if stale else set()
        by_body = self.draw(st.booleans())
        where = "/dialogue" if by_body else path("dialogue", dialogue_id)
        sent |= {"id": dialogue_id} if by_body else {}
        query = {"namespace": namespace}
        answer = self.side.send("PUT", where, query=query, body=sent, headers=headers)
        if succeeded(answer, refusals):
            self._updated(row, body, inputs, answer)
        elif (answer.status, answer.code) == STALE:
            assert answer.body["error"]["details"][0]["value"] == row["version"], answer.body
        self.read_back(name)

    def _updated(self, row: Wire, body: Wire, inputs: list[Wire], answer: Answer) -> None:
        """Apply an accepted update to the model and compare the answer."""
        before = {key: row.get(key) for key in ("label", "tags", "state")}
        row |= {key: value for key, value in body.items() if key != "label" or value}
        if body.get("label", "kept") in ("", None):
            row.pop("label", None)
        changed = not same(before, {key: row.get(key) for key in before})
        touched = True if changed or inputs else (None if body else False)
        versioned = True if changed else (None if body else False)
        adopt(row, answer.body, answer.window, touched=touched, versioned=versioned)
        rows = None
        if inputs:
            name = (row.get("namespace"), row["id"])
            rows = self.model.add_messages(*name, inputs, answer.body["messages"], answer.window)
        self.check_dialogue(answer, row, rows)

    def send_dialogue_back(self) -> None:
        """Send a dialogue back whole as it was read: accepted, and nothing changes (1.3)."""
        namespace, dialogue_id = name = self.a_dialogue()
        where, query = path("dialogue", dialogue_id), {"namespace": namespace}
        row = self.model.dialogue(*name)
        read = self.side.send("GET", where, query=query)
        if not succeeded(read, {NO_DIALOGUE} if row is None else set()):
            return
        answer = self.side.send("PUT", where, query=query, body=read.body)
        assert succeeded(answer, set())
        adopt(row, answer.body, answer.window, touched=None, versioned=None)
        self.read_back(name)

    def merge_state(self, patch: Wire) -> None:
        """Merge a patch into the state; the answer is the whole state, bare (5.7)."""
        namespace, dialogue_id = name = self.a_dialogue()
        where, query = path("dialogue", dialogue_id), {"namespace": namespace}
        row = self.model.dialogue(*name)
        answer = self.side.send("PUT", where + "/state", query=query, body=patch)
        if not succeeded(answer, {NO_DIALOGUE} if row is None else set()):
            return
        merged = row["state"] | patch
        changed = True if not same(merged, row["state"]) else None
        row["state"] = merged
        assert_same(answer.body, merged, "merged state")
        read = self.side.send("GET", where, query=query)
        adopt(row, read.body, answer.window, touched=changed, versioned=changed)
        self.read_back(name)

    def end_dialogue(self) -> None:
        """End a dialogue; ending it again changes nothing (5.6)."""
        namespace, dialogue_id = name = self.a_dialogue()
        method, body = self.draw(st.sampled_from([("POST", {}), ("POST", ABSENT), ("PUT", ABSENT)]))
        row = self.model.dialogue(*name)
        where, query = path("dialogue", dialogue_id, "end"), {"namespace": namespace}
        answer = self.side.send(method, where, query=query, body=body)
        if not succeeded(answer, {NO_DIALOGUE} if row is None else set()):
            return
        ended = row["status"] == "active"
        if ended:
            row |= {"status": "ended", "endedAt": answer.window.check(answer.body["endedAt"])}
        adopt(row, answer.body, answer.window, touched=ended, versioned=ended)
        self.check_dialogue(answer, row, self.model.messages_of(*name)[:EMBEDDED_MESSAGES])
        self.read_back(name)

    def delete_dialogue(self, name: Name) -> None:
        """Delete a dialogue; its messages and threads stay (7.4)."""
        namespace, dialogue_id = name
        row = self.model.dialogue(*name)
        where, body = path("dialogue", dialogue_id), ABSENT
        if self.draw(st.booleans()):
            where, body = "/dialogue", {"id": dialogue_id}
        answer = self.side.send("DELETE", where, query={"namespace": namespace}, body=body)
        if succeeded(answer, {NO_DIALOGUE} if row is None else set()):
            assert_same(answer.body, {"success": True, "id": dialogue_id}, "deleted dialogue")
            del self.model.dialogues[dialogue_id]
            self.read_back(name)
            self.check_messages(name)
            if "threadOf" in row:
                self.read_back((namespace, row["threadOf"]))

    # ---- messages ------------------------------------------------------------------------------

    def append_one(self, name: Name) -> None:
        """Append one message by any of its routes (5.8)."""
        namespace, dialogue_id = name
        [given] = inputs = self.inputs([1])
        query = {} if namespace is None else {"namespace": namespace}
        into = {"dialogueId": dialogue_id}
        routes: list[tuple[str, Wire, Wire]] = [
            ("/message", query | into, given),
            ("/message", {}, given | into | query),
            (path("dialogue", dialogue_id, "message"), query, given),
            (path("dialogue", dialogue_id, "messages"), query, given),
        ]
        where, query, body = self.draw(st.sampled_from(routes))
        refusals = self.model.refuse_append(*name, inputs)
        answer = self.post(where, query, body, body | {"role": "another"})
        self._appended(name, inputs, answer, refusals)

    def append_batch(self, name: Name) -> None:
        """Append a batch by any of its routes: all or nothing (5.9)."""
        namespace, dialogue_id = name
        inputs = self.inputs([1, 2, 2, 3, 12, 25])
        query = {} if namespace is None else {"namespace": namespace}
        into, many = {"dialogueId": dialogue_id}, [MESSAGE_BODY] * 5
        routes: list[tuple[str, Wire, Any, Any]] = [
            ("/messages", query | into, inputs, many),
            (path("dialogue", dialogue_id, "messages"), query, inputs, many),
            ("/messages", query, into | {"messages": inputs}, into | {"messages": many}),
        ]
        where, query, body, other = self.draw(st.sampled_from(routes))
        refusals = self.model.refuse_append(*name, inputs)
        self._appended(name, inputs, self.post(where, query, body, other), refusals)

    def _appended(self, name: Name, inputs: list[Wire], answer: Answer, refusals: Refusals) -> None:
        """Compare the answer of an append, then the dialogue."""
        window = None
        if succeeded(answer, refusals):
            made = answer.body if isinstance(answer.body, list) else [answer.body]
            rows = self.model.add_messages(*name, inputs, made, answer.window)
            assert_same(made, rows, "appended messages")
            window = answer.window
        self.read_back(name, window)

    def message_route(
        self, namespace: str | None, dialogue_id: str, mid: str
    ) -> tuple[str, Wire, Wire | None]:
        """Choose one of a message's routes; return its path, query and the stored message."""
        form = self.draw(st.sampled_from(["bare", "message", "messages", "/message", "/messages"]))
        query = {"namespace": namespace}
        if form == "bare":
            return path("message", mid), query, self.model.message(namespace, mid, None)
        row = self.model.message(namespace, mid, dialogue_id)
        if form.startswith("/"):
            return path(form[1:], mid), query | {"dialogueId": dialogue_id}, row
        return path("dialogue", dialogue_id, form, mid), query, row

    def get_message(self) -> None:
        """Read any message by any of its routes (5.11)."""
        where, query, row = self.message_route(*self.a_message())
        answer = self.side.send("GET", where, query=query)
        if succeeded(answer, {NO_MESSAGE} if row is None else set()):
            assert_same(answer.body, row, "message")

    def tag_message(self, body: Wire) -> None:
        """Replace a message's tags; nothing else of it can change (5.12)."""
        namespace, dialogue_id, mid = self.a_message()
        where, query, row = self.message_route(namespace, dialogue_id, mid)
        refusals: Refusals = {IMMUTABLE} if "role" in body else set()
        answer = self.side.send("PUT", where, query=query, body=body)
        if succeeded(answer, {NO_MESSAGE} if row is None else refusals) and row is not None:
            self._tagged(row, body, answer)
        self.read_back((namespace, dialogue_id))

    @staticmethod
    def _tagged(row: Wire, body: Wire, answer: Answer) -> None:
        """Apply new tags to a message or memory; equal ones may or may not move `modified`."""
        changed = body.get("tags", row["tags"]) != row["tags"]
        if changed or (body and answer.body["modified"] != row["modified"]):
            row["modified"] = answer.window.check(answer.body["modified"], row["created"])
        row |= body
        assert_same(answer.body, row, "tagged")

    def delete_message(self, namespace: str | None, dialogue_id: str, mid: str) -> None:
        """Delete a message; the dialogue's counters follow (5.13)."""
        where, query, row = self.message_route(namespace, dialogue_id, mid)
        answer = self.side.send("DELETE", where, query=query)
        window = None
        if succeeded(answer, {NO_MESSAGE} if row is None else set()) and row is not None:
            dialogue_id, window = row["dialogueId"], answer.window
            gone = {"success": True, "id": mid, "dialogueId": dialogue_id}
            assert_same(answer.body, gone, "deleted message")
            del self.model.messages[mid]
        if window is None or self.model.dialogue(namespace, dialogue_id):
            self.read_back((namespace, dialogue_id), window)

    # ---- memories ------------------------------------------------------------------------------

    def create_memory(self, namespace: str | None) -> None:
        """Create a memory, with an id of its own or not; `key` is another word for it (4.3)."""
        body = self.draw(MEMORY) | ({} if namespace is None else {"namespace": namespace})
        mid = self.draw(st.none() | st.sampled_from(self.memory_ids))
        named = body | ({} if mid is None else {"id": mid})
        sent = dict(named)
        if mid is not None and self.draw(st.booleans()):
            sent["key"] = sent.pop("id")
        refusals: Refusals = {(400, "DUPLICATE_ID")} if mid in self.model.memories else set()
        answer = self.post("/memory", {}, sent, sent | {"tags": ["another"] * 4})
        if succeeded(answer, refusals):
            row = self.model.add_memory(named, answer.body, answer.window)
            assert_same(answer.body, row, "created memory")

    def get_or_tag_memory(self, tags: list[str] | None) -> None:
        """Read a memory, or replace its tags (5.14)."""
        namespace, mid = self.a_memory()
        row = self.model.memory(namespace, mid)
        method, body = ("GET", ABSENT) if tags is None else ("PUT", {"tags": tags})
        query = {"namespace": namespace}
        answer = self.side.send(method, path("memory", mid), query=query, body=body)
        if succeeded(answer, {NO_MEMORY} if row is None else set()):
            self._tagged(row, {} if tags is None else {"tags": tags}, answer)

    def delete_memory(self, namespace: str | None, mid: str) -> None:
        """Delete a memory, and find it gone (5.14)."""
        row = self.model.memory(namespace, mid)
        where, query = path("memory", mid), {"namespace": namespace}
        answer = self.side.send("DELETE", where, query=query)
        if succeeded(answer, {NO_MEMORY} if row is None else set()):
            assert_same(answer.body, {"success": True, "id": mid}, "deleted memory")
            del self.model.memories[mid]
        gone = self.side.send("GET", where, query=query)
        assert (gone.status, gone.code) == NO_MEMORY, gone.body
