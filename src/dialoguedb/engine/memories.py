"""Memories: what outlives a dialogue (contract 5.14)."""

from msgspec import UNSET

from dialoguedb.engine import pages
from dialoguedb.engine.caller import Caller, Replayed, Task
from dialoguedb.engine.idempotency import once
from dialoguedb.engine.messages import refuse_changes
from dialoguedb.errors import MemoryNotFound
from dialoguedb.models import documents
from dialoguedb.models.dialogues import Deleted
from dialoguedb.models.documents import EMPTY_ARRAY, EMPTY_OBJECT
from dialoguedb.models.memories import (
    CreateMemory,
    ListMemories,
    Memory,
    MemoryPage,
    NameMemory,
    UpdateMemory,
)
from dialoguedb.store import changes, claims
from dialoguedb.store import memories as stored
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.protocol import ReadTx, Scope, WriteTx


def _stored(tx: ReadTx, memory_id: str) -> StoredMemory:
    row = stored.get(tx, memory_id)
    if row is None:
        raise MemoryNotFound(f"Memory '{memory_id}' not found in this namespace", field="id")
    return row


def _struct(tx: ReadTx, row: StoredMemory) -> Memory:
    return stored.of_row(row, tx.scope.namespace)


def _made(tx: ReadTx, made: list[str]) -> Memory:
    """Find what a request made: not another memory that has taken its id since."""
    memory_id, created = made
    memory = _struct(tx, _stored(tx, memory_id))
    if memory.created != created:
        raise MemoryNotFound(field="id")
    return memory


def create(caller: Caller, request: CreateMemory) -> Task[Memory | Replayed]:
    """Store a memory; an id that is taken is an error, never an update."""
    own_id = request.key if request.id is UNSET else request.id
    value = documents.compact(request.value)
    metadata = EMPTY_OBJECT if request.metadata is UNSET else documents.compact(request.metadata)

    def work(tx: WriteTx) -> Memory:
        memory_id = tx.runtime.ulid() if own_id is UNSET else own_id
        claims.take(tx, "memory", [memory_id])
        row = stored.insert(
            tx,
            memory_id,
            label=request.label or None,
            description=request.description or None,
            value=value,
            metadata=metadata,
            tags=documents.text_of(request.tags) if request.tags else EMPTY_ARRAY,
            now_ms=tx.runtime.now(),
        )
        changes.memory(tx, row)
        return _struct(tx, row)

    whole = once(
        "memories.create",
        caller,
        request,
        work,
        made=lambda memory: [memory.id, memory.created],
        rebuild=_made,
    )
    return Task(Scope(caller.project_id, request.namespace), whole)


def list_(caller: Caller, request: ListMemories) -> Task[MemoryPage]:
    """List memories."""
    asked = pages.question(caller, "memories", request, order="desc")

    def work(tx: ReadTx) -> MemoryPage:
        found = stored.page(tx, asked.cursor.order, **asked.window)
        items = [stored.of_row(row, tx.scope.namespace) for row in found[0]]
        page = pages.take(asked, found, items, position=(8, 2, 1))
        return MemoryPage(items=page.items, next=page.next)

    return Task(Scope(caller.project_id, asked.cursor.namespace), work)


def get(caller: Caller, request: NameMemory) -> Task[Memory]:
    """Get a memory."""
    scope = Scope(caller.project_id, request.namespace)
    return Task(scope, lambda tx: _struct(tx, _stored(tx, str(request.id))))


def update(caller: Caller, request: UpdateMemory) -> Task[Memory]:
    """Replace the tags of a memory."""
    tags = documents.text_of(request.tags)

    def work(tx: WriteTx) -> Memory:
        row = _stored(tx, str(request.id))
        memory = _struct(tx, row)
        refuse_changes(
            {
                "value": (request.value, memory.value),
                "label": (request.label, memory.label),
                "description": (request.description, memory.description),
                "metadata": (request.metadata, memory.metadata),
            }
        )
        if tags == row.tags:
            return memory
        stored.set_tags(tx, row.id, tags, tx.runtime.now())
        row = _stored(tx, row.id)
        changes.memory(tx, row, again=True)
        return _struct(tx, row)

    return Task(Scope(caller.project_id, request.namespace), work)


def delete(caller: Caller, request: NameMemory) -> Task[Deleted]:
    """Delete a memory."""

    def work(tx: WriteTx) -> Deleted:
        row = _stored(tx, str(request.id))
        stored.delete(tx, row.id)
        claims.drop(tx, "memory", row.id)
        changes.memory_gone(tx, row.id)
        return Deleted(success=True, id=row.id)

    return Task(Scope(caller.project_id, request.namespace), work)
