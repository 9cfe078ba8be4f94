"""A hidden tenant in every database of the tests; a word of it in an answer to others is a leak."""

import base64
import re
from typing import Any

import httpx
import msgspec

from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import Caller, handlers, projects
from dialoguedb.store.protocol import Store
from dialoguedb.worker.kinds import kinds_of
from dialoguedb.worker.working import Worker

#: In every text, id, tag, label and metadata value of the tenant, and nowhere else.
WORD = "CANARYq7zk4"
#: Words that the tests search for, too: a search that looks beyond its project finds them here.
_SAID = "hello river piano velvet copper tulip bicycle wheel bent front spoke brake paint rust"
_CURSOR = re.compile(rb'[nN]ext":\s*"([A-Za-z0-9_=-]+)"')
_REQUESTS: dict[str, Any] = {one.name: one.request for one in OPERATIONS}


class Leaked(AssertionError):
    """An answer shows something of the canary tenant."""


def plant(store: Store) -> None:
    """Store the tenant: a project with two spaces, each with dialogues, messages, memories
    and a summary.
    """
    project = projects.create(store, "canary")
    for namespace in ("", f"{WORD}-namespace"):
        for name, fields in _requests(f"{WORD}-{'there' if namespace else 'here'}"):
            there = {"namespace": namespace} if namespace else {}
            body = msgspec.json.encode(fields | there)
            request = msgspec.json.decode(body, type=_REQUESTS[name])
            caller = Caller(
                project_id=project.id,
                request_id=f"{WORD}-request",
                idempotency_key=f"{WORD}-{fields['id']}" if "id" in fields else None,
            )
            task = handlers()[name](caller, request)
            store.write(task.scope, task.work)
    kinds = {"summarize": kinds_of(store)["summarize"]}
    assert Worker(store, kinds=kinds).run(once=True) == 2


def _requests(mark: str) -> list[tuple[str, dict[str, Any]]]:
    """What is done in one space; every id has the mark in it."""
    text = f"{WORD} {_SAID}"
    marks: dict[str, Any] = {"tags": [f"{WORD}-tag"], "metadata": {f"{WORD}-key": text}}
    said = [
        {"id": f"{mark}-m{n}", "role": WORD, "name": WORD, "content": text} | marks
        for n in range(3)
    ]
    image: dict[str, Any] = {
        "type": "image",
        "source": {"type": "url", "url": f"https://{WORD}.example/a.png"},
    }
    said.append({"role": WORD, "content": [{"type": "text", "text": text}, image]})
    dialogue = {"label": text, "state": {WORD: text}, "messages": said} | marks
    memory = {"value": text, "label": text, "description": text} | marks
    gone = {"id": f"{mark}-gone", "label": text, "messages": [said[-1]]}
    return [
        ("dialogues.create", {"id": f"{mark}-d"} | dialogue),
        ("dialogues.create", {"id": f"{mark}-t", "threadOf": f"{mark}-d", "label": text}),
        ("dialogues.create", gone),
        ("dialogues.delete", {"id": f"{mark}-gone"}),
        ("memories.create", {"id": f"{mark}-k"} | memory),
        ("memories.create", {"id": f"{mark}-object"} | memory | {"value": {WORD: [text]}}),
        ("summaries.create", {"id": f"{mark}-s", "dialogueId": f"{mark}-d"} | marks),
    ]


def watch(response: httpx.Response) -> None:
    """Look at an answer's headers, body and cursors: a hook of a client.

    Raises:
        Leaked: the tenant's word is in it.
    """
    response.read()
    shown = [name + b": " + value for name, value in response.headers.raw]
    look(response.content, *shown, *map(_decoded, _CURSOR.findall(response.content)))


def look(*shown: bytes | str) -> None:
    """Look at what somebody else than the tenant is shown.

    Raises:
        Leaked: the tenant's word is in it.
    """
    for part in shown:
        data = part.encode(errors="replace") if isinstance(part, str) else part
        if WORD.lower().encode() in data.lower():
            raise Leaked(f"the canary is in {data[:2000]!r}")


def _decoded(cursor: bytes) -> bytes:
    """Give what a cursor is made of."""
    try:
        return base64.urlsafe_b64decode(cursor + b"=" * (-len(cursor) % 4))
    except ValueError:
        return b""
