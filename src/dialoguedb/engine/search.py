"""Search: by words and by meaning, over messages, dialogues and memories (contract 8)."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw

from dialoguedb.engine.caller import Caller, Task
from dialoguedb.models import documents
from dialoguedb.models.dialogues import Dialogue
from dialoguedb.models.limits import MAX_PAGE_BYTES
from dialoguedb.models.memories import Memory
from dialoguedb.models.messages import Message
from dialoguedb.models.search import MessageMatch, Result, Search, SearchAnswer, SearchByQuery
from dialoguedb.search import analyser, texts
from dialoguedb.search.conditions import Conditions, Facts
from dialoguedb.search.entries import DIALOGUE, MEMORY, MESSAGE
from dialoguedb.search.filters import Question, question
from dialoguedb.search.results import Hit
from dialoguedb.store import dialogues, memories, messages
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.protocol import Query, ReadTx, Scope, WholeProject

_KINDS = {"message": MESSAGE, "dialogue": DIALOGUE, "memory": MEMORY}
#: Results asked of the index beyond the limit, for those that have changed meanwhile.
_SPARE = 8


class _Item(NamedTuple):
    """A resource that was found, what orders the page, and what it adds to it."""

    result: Result
    created_ms: int
    modified_ms: int
    size_bytes: int


def find(caller: Caller, request: Search | SearchByQuery) -> Task[SearchAnswer]:
    """Find resources (8.1)."""
    project_id = caller.project_id
    namespace = request.namespace
    scope = Scope(project_id, namespace) if namespace else WholeProject(project_id)

    def work(tx: ReadTx) -> SearchAnswer:
        asked = question(request, tx.runtime.now())
        found = _ordered(_found(tx, project_id, asked), asked)
        return SearchAnswer(
            results=found, items=[result.item for result in found], request=asked.resolved
        )

    return Task(scope, work, short=False)


#: The same, as old clients ask (8.6).
find_by_query = find


def _found(tx: ReadTx, project_id: str, asked: Question) -> list[_Item]:
    """Give the items of the page, the most relevant first; it ends before it passes 8 MiB (1.5)."""
    query = Query(
        kind=_KINDS[asked.object],
        text=asked.query[: analyser.MAX_QUERY_CHARACTERS],
        terms=analyser.query_terms(asked.query),
        conditions=asked.conditions,
        limit=asked.limit + _SPARE,
    )
    spaces: dict[int, ReadTx | None] = {}
    while True:
        hits = tx.search(query)
        items: list[_Item] = []
        size = 0
        for hit in hits:
            space_id = hit.place.space_id
            if space_id not in spaces:
                spaces[space_id] = tx.within(space_id)
            space = spaces[space_id]
            item = None if space is None else _item(space, project_id, asked, hit)
            if item is None:
                continue
            size += item.size_bytes
            if items and size > MAX_PAGE_BYTES:
                return items
            items.append(item)
            if len(items) == asked.limit:
                return items
        # Fewer than were asked for are all that pass; some may have gone since they were indexed.
        if len(hits) < query.limit:
            return items
        query = query._replace(limit=query.limit * 4)


def _item(space: ReadTx, project_id: str, asked: Question, hit: Hit) -> _Item | None:
    """Read what a hit names; None when it is gone, or not as the conditions want it."""
    read = {MESSAGE: _message, DIALOGUE: _dialogue, MEMORY: _memory}[hit.place.kind]
    found = read(space, project_id, asked.conditions, hit)
    if found is None or not asked.conditions.hold(found[1]):
        return None
    item, facts = found
    result = Result(
        object=asked.object,
        relevance=_rounded(hit.relevance),
        item=Raw(msgspec.json.encode(item)),
        explain=_parts(hit) if asked.explain else UNSET,
    )
    size = len(result.item)
    if hit.place.kind == DIALOGUE:
        matches = list(_matches(space, asked, hit))
        result.matches = matches or UNSET
        size += sum(match.item.content_length for match in matches)
    return _Item(result, facts.created_ms, facts.modified_ms, size)


def _message(
    tx: ReadTx, project_id: str, conditions: Conditions, hit: Hit
) -> tuple[Message, Facts] | None:
    place = hit.place
    row = messages.at(tx, place.owner, place.created, place.sequence)
    if row is None:
        return None
    facts = _facts(tx, row)._replace(
        has_image=texts.has_image(row.content),
        dialogue_id=row.dialogue_id,
        thread_of=_parent(tx, row.dialogue_id) if conditions.thread_of else None,
    )
    return messages.of_row(row, tx.scope.namespace), facts


def _parent(tx: ReadTx, dialogue_id: str) -> str | None:
    row = dialogues.get(tx, dialogue_id)
    return None if row is None else row.thread_of


def _dialogue(
    tx: ReadTx, project_id: str, conditions: Conditions, hit: Hit
) -> tuple[Dialogue, Facts] | None:
    row = dialogues.get(tx, hit.place.owner)
    if row is None:
        return None
    facts = _facts(tx, row)._replace(
        # False changes nothing on a dialogue; True has been held against its matches (8.4).
        has_image=bool(conditions.has_image),
        dialogue_id=row.id,
        thread_of=row.thread_of,
    )
    return dialogues.struct_of(row, project_id, tx.scope.namespace), facts


def _memory(
    tx: ReadTx, project_id: str, conditions: Conditions, hit: Hit
) -> tuple[Memory, Facts] | None:
    row = memories.get(tx, hit.place.owner)
    return None if row is None else (memories.of_row(row, tx.scope.namespace), _facts(tx, row))


def _facts(tx: ReadTx, row: StoredMessage | Stored | StoredMemory) -> Facts:
    """Give what conditions are held against, as far as every resource has it."""
    return Facts(
        created_ms=row.created,
        modified_ms=row.modified,
        tags=documents.plain(row.tags),
        metadata=documents.plain(row.metadata),
        namespace=tx.scope.namespace,
    )


def _matches(tx: ReadTx, asked: Question, hit: Hit) -> Iterator[MessageMatch]:
    """Give the messages through which a dialogue was found (8.5)."""
    for match in hit.matches:
        place = match.place
        row = messages.at(tx, place.owner, place.created, place.sequence)
        if row is not None:
            yield MessageMatch(
                object="message",
                relevance=_rounded(match.relevance),
                item=messages.of_row(row, tx.scope.namespace),
                explain=_parts(match) if asked.explain else UNSET,
            )


def _parts(hit: Hit) -> dict[str, float]:
    return {
        "words": _rounded(hit.words),
        "meaning": _rounded(hit.meaning),
        "speaker": _rounded(hit.speaker),
    }


def _rounded(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 6)


def _ordered(items: list[_Item], asked: Question) -> list[Result]:
    """Sort the page; what is on it was chosen by relevance (8.1)."""
    if asked.order_by != "relevance":
        by_created = asked.order_by == "created"
        items = sorted(
            items,
            key=lambda item: item.created_ms if by_created else item.modified_ms,
            reverse=asked.order == "desc",
        )
    elif asked.order == "asc":
        items = items[::-1]
    return [item.result for item in items]
