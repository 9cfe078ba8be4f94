"""A dictionary model of the database: what the contract says each operation changes and answers.

Rows are kept as the wire shows them. What the server chooses (ids, times, the first version) is
taken over from its answer after a check that it could have been chosen; all else is predicted.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Wire = dict[str, Any]
#: The (status, code) pairs that a refused request may answer; empty when it must succeed.
Refusals = set[tuple[int, str]]
#: A row's position in its list: its creation time, then its insertion number.
Place = tuple[str, int]

EMBEDDED_MESSAGES = 10
PREVIEW_CHARACTERS = 200

NO_DIALOGUE = (404, "DIALOGUE_NOT_FOUND")
DUPLICATE = (400, "DUPLICATE_ID")
ENDED = (409, "DIALOGUE_ENDED")


def compact(value: object) -> bytes:
    """Encode a value as compact UTF-8 JSON, the form in which lengths are counted."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def same(left: object, right: object) -> bool:
    """Say whether two JSON values are equal, with `true` and `1`, `1` and `1.0` told apart."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def stamp(moment: datetime) -> str:
    """Write an instant in the contract's only output form (3.2)."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def normalise(text: str) -> str:
    """Read an ISO date or date-time as the contract does (3.2); a missing zone is UTC."""
    moment = datetime.fromisoformat(text)
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def bound(text: str, *, end: bool) -> str:
    """Return the first or, for an end, the last instant that a partial date names (1.8)."""
    if len(text) > len("2025-01-15"):
        return normalise(text)
    year, month, day = ([int(part) for part in text.split("-")] + [0, 0])[:3]
    first = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if not end:
        return stamp(first)
    if day:
        after = first + timedelta(days=1)
    elif month:
        after = (first + timedelta(days=31)).replace(day=1)
    else:
        after = first.replace(year=year + 1)
    return stamp(after - timedelta(milliseconds=1))


def preview(content: object) -> str | None:
    """Return the preview (3.7), "" if there is none, or None if the contract leaves it open."""
    if isinstance(content, str):
        return content[:PREVIEW_CHARACTERS]
    if isinstance(content, list):
        texts = [part["text"] for part in content if part.get("type") == "text"]
        return None if len(texts) > 1 else "".join(texts)[:PREVIEW_CHARACTERS]
    return None


class Window:
    """The time between sending a request and reading its answer, by the machine's one clock."""

    def __init__(self, began: datetime, ended: datetime) -> None:
        self.first = stamp(began)
        self.last = stamp(ended)

    def check(self, wire: str, *also: str) -> str:
        """Return a time that the server chose, if it chose it now or took one of `also`."""
        assert self.first <= wire <= self.last or wire in also, (wire, self.first, self.last)
        return wire


class Project:
    """One project: its dialogues, messages and memories by id, which is unique in the project."""

    def __init__(self, project_id: str) -> None:
        self.id = project_id
        self.dialogues: dict[str, Wire] = {}
        self.messages: dict[str, Wire] = {}
        self.memories: dict[str, Wire] = {}
        self._inserted: dict[tuple[str, str], int] = {}
        self._sequences: dict[tuple[str | None, str], int] = {}
        self._clocks: dict[tuple[str | None, str], str] = {}
        self._insertions = 0

    # ---- reading -------------------------------------------------------------------------------

    def dialogue(self, namespace: str | None, dialogue_id: str) -> Wire | None:
        """Return the stored dialogue of that namespace, or None."""
        row = self.dialogues.get(dialogue_id)
        return row if row is not None and row.get("namespace") == namespace else None

    def message(self, namespace: str | None, mid: str, dialogue_id: str | None) -> Wire | None:
        """Return the message of that namespace and, if one is named, of that dialogue."""
        row = self.messages.get(mid)
        if row is None or row.get("namespace") != namespace:
            return None
        return row if dialogue_id in (None, row["dialogueId"]) else None

    def memory(self, namespace: str | None, memory_id: str) -> Wire | None:
        """Return the stored memory of that namespace, or None."""
        row = self.memories.get(memory_id)
        return row if row is not None and row.get("namespace") == namespace else None

    def messages_of(self, namespace: str | None, dialogue_id: str) -> list[Wire]:
        """Return the messages of a dialogue, alive or deleted, oldest first (7.4)."""
        rows = [row for row in self.messages.values() if row["dialogueId"] == dialogue_id]
        rows = [row for row in rows if row.get("namespace") == namespace]
        return sorted(rows, key=lambda row: (row["created"], row["sequence"]))

    def view(self, row: Wire) -> Wire:
        """Return a dialogue as lists show it: the row with its counters (4.1)."""
        messages = self.messages_of(row.get("namespace"), row["id"])
        answer = row | {
            "totalMessages": len(messages),
            "threadCount": sum(
                child.get("threadOf") == row["id"]
                and child.get("namespace") == row.get("namespace")
                for child in self.dialogues.values()
            ),
        }
        if messages:
            answer["lastMessageCreated"] = messages[-1]["created"]
        if row["metadata"]:
            ordered = compact(dict(sorted(row["metadata"].items())))
            answer["metadataLength"] = len(ordered)
            answer["metadataSHA256"] = hashlib.sha256(ordered).hexdigest()
        return answer

    def place(self, kind: str, row: Wire) -> Place:
        """Return a row's position in its list."""
        number = row["sequence"] if kind == "messages" else self._inserted[kind, row["id"]]
        return row["created"], number

    def listing(self, kind: str, namespace: str | None, query: Mapping[str, str]) -> list[Wire]:
        """Return all rows of a list in its order; `query` is its filters and order (1.7, 1.8)."""
        if kind == "messages":
            rows = self.messages_of(namespace, query["dialogueId"])
        else:
            table = self.dialogues if kind == "dialogues" else self.memories
            rows = [row for row in table.values() if row.get("namespace") == namespace]
        if "threadOf" in query:
            rows = [row for row in rows if row.get("threadOf") == query["threadOf"]]
        if "created" in query:
            rows = [row for row in rows if row["created"].startswith(query["created"])]
        else:
            first = bound(query["startDate"], end=False) if "startDate" in query else ""
            last = bound(query["endDate"], end=True) if "endDate" in query else "~"
            rows = [row for row in rows if first <= row["created"] <= last]
        order = query.get("order", "asc" if kind == "messages" else "desc")
        rows.sort(key=lambda row: self.place(kind, row), reverse=order == "desc")
        return rows

    # ---- what must be refused ------------------------------------------------------------------

    def refuse_messages(self, inputs: Sequence[Wire]) -> Refusals:
        """Refuse message ids that are taken, or named twice in one request (3.1)."""
        ids = [given["id"] for given in inputs if "id" in given]
        taken = len(set(ids)) < len(ids) or any(mid in self.messages for mid in ids)
        return {DUPLICATE} if taken else set()

    def refuse_append(
        self, namespace: str | None, dialogue_id: str, inputs: Sequence[Wire]
    ) -> Refusals:
        """Refuse messages to a dialogue that is not there or has ended (5.8)."""
        row = self.dialogue(namespace, dialogue_id)
        if row is None:
            return {NO_DIALOGUE} | self._named_twice(inputs)
        over: Refusals = {ENDED} if row["status"] == "ended" else set()
        return over | self.refuse_messages(inputs)

    def refuse_dialogue(self, body: Wire, inputs: Sequence[Wire]) -> Refusals:
        """Refuse a dialogue whose id is taken or whose parent is not in its namespace (5.1)."""
        if "threadOf" in body and not self.dialogue(body.get("namespace"), body["threadOf"]):
            return {NO_DIALOGUE} | self._named_twice(inputs)
        taken: Refusals = {DUPLICATE} if body.get("id") in self.dialogues else set()
        return taken | self.refuse_messages(inputs)

    @staticmethod
    def _named_twice(inputs: Sequence[Wire]) -> Refusals:
        """Allow the refusal of equal ids before the look-up of anything (10.3, check order)."""
        ids = [given["id"] for given in inputs if "id" in given]
        return {DUPLICATE} if len(set(ids)) < len(ids) else set()

    # ---- what a success changes ----------------------------------------------------------------

    def add_dialogue(self, body: Wire, answer: Wire, window: Window) -> Wire:
        """Store a created dialogue from its request and what the answer chose."""
        created = normalise(body["created"]) if "created" in body else answer["created"]
        if "created" not in body:
            window.check(created)
            assert answer["modified"] == created, answer
        row = {
            "id": body.get("id", answer["id"]),
            "projectId": self.id,
            "requestId": answer["requestId"],
            "status": "active",
            "tags": body.get("tags", []),
            "metadata": body.get("metadata", {}),
            "state": body.get("state", {}),
            "created": created,
            "modified": window.check(answer["modified"], created),
            "version": answer["version"],
        }
        row |= {key: body[key] for key in ("namespace", "threadOf", "label") if key in body}
        assert row["id"] not in self.dialogues, row["id"]
        self.dialogues[row["id"]] = row
        self._insert("dialogues", row["id"])
        return row

    def add_messages(
        self,
        namespace: str | None,
        dialogue_id: str,
        inputs: Sequence[Wire],
        answers: Sequence[Wire],
        window: Window,
    ) -> list[Wire]:
        """Store appended messages; sequence, shared time and generated ids are checked (5.9)."""
        assert len(answers) == len(inputs), (len(answers), len(inputs))
        key = (namespace, dialogue_id)
        number = self._next_sequence(key, answers)
        rows = []
        for offset, (given, answer) in enumerate(zip(inputs, answers, strict=True)):
            row = self._message(namespace, dialogue_id, given, answer, window)
            row["sequence"] = number + offset
            assert row["id"] not in self.messages, row["id"]
            self.messages[row["id"]] = row
            rows.append(row)
        self._sequences[key] = number + len(rows) - 1
        timed = [row["created"] for row, g in zip(rows, inputs, strict=True) if "created" not in g]
        if timed:
            assert len(set(timed)) == 1, f"one batch, several server times: {timed}"
            assert timed[0] >= self._clocks.get(key, ""), "the server's time went back"
            self._clocks[key] = timed[0]
        made = [row["id"] for row, g in zip(rows, inputs, strict=True) if "id" not in g]
        assert made == sorted(made), f"generated ids out of order: {made}"
        return rows

    def add_memory(self, body: Wire, answer: Wire, window: Window) -> Wire:
        """Store a created memory from its request and what the answer chose."""
        row = {
            "id": body.get("id", answer["id"]),
            "value": body["value"],
            "tags": body.get("tags", []),
            "metadata": body.get("metadata", {}),
            "created": window.check(answer["created"]),
            "modified": window.check(answer["modified"]),
        }
        row |= {key: body[key] for key in ("namespace", "label", "description") if key in body}
        assert row["id"] not in self.memories, row["id"]
        self.memories[row["id"]] = row
        self._insert("memories", row["id"])
        return row

    def _insert(self, kind: str, row_id: str) -> None:
        self._insertions += 1
        self._inserted[kind, row_id] = self._insertions

    def _next_sequence(self, key: tuple[str | None, str], answers: Sequence[Wire]) -> int:
        """Return the first new sequence number; an id that moved between namespaces may go on."""
        of_id = [number for (_, did), number in self._sequences.items() if did == key[1]]
        allowed = {self._sequences.get(key, 0) + 1, max(of_id, default=0) + 1}
        first = answers[0]["sequence"] if answers else min(allowed)
        assert first in allowed, f"sequence {first}, expected one of {sorted(allowed)}"
        return int(first)

    @staticmethod
    def _message(
        namespace: str | None, dialogue_id: str, given: Wire, answer: Wire, window: Window
    ) -> Wire:
        """Return the row of one message, all but its sequence."""
        content = given["content"]
        custom = normalise(given["created"]) if "created" in given else ""
        row = {
            "id": given.get("id", answer["id"]),
            "dialogueId": dialogue_id,
            "role": given["role"],
            "content": content,
            "contentLength": len(
                content.encode() if isinstance(content, str) else compact(content)
            ),
            "metadata": given.get("metadata", {}),
            "tags": given.get("tags", []),
            "created": custom or answer["created"],
            "modified": window.check(answer["modified"], answer["created"]),
        }
        if not custom:
            window.check(row["created"])
        text = preview(content)
        text = answer.get("preview", "") if text is None else text
        row |= {"preview": text} if text else {}
        row |= {} if namespace is None else {"namespace": namespace}
        row |= {"name": given["name"]} if "name" in given else {}
        return row
