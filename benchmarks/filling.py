"""Fill a PostgreSQL database with the corpus by COPY: rows as the package's own code makes them.

The engine stores a few thousand messages a second; a million are wanted before anything is
measured. What a search needs (entries, vectors, figures) is made by the functions that a write uses
for it; the big indexes are made at the end, of all rows at once.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psycopg
from benchmarks.common import progress_of
from benchmarks.corpus import IN_DIALOGUE, IN_NAMESPACE, Corpus, Message, namespace_name

from dialoguedb.embed import open_embedder
from dialoguedb.engine import projects
from dialoguedb.runtime import Runtime
from dialoguedb.search.entries import Entry
from dialoguedb.search.indexer import Indexer
from dialoguedb.store import changes
from dialoguedb.store.dialogues import Stored
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.opening import open_store
from dialoguedb.store.postgres.index import Generation, active, row_of
from dialoguedb.store.postgres.pool import Address, connect
from dialoguedb.store.postgres.session import Binary, Session
from dialoguedb.store.postgres.tokens import array_of_texts, halves_of
from dialoguedb.store.protocol import Row, Scope

PROCESSES = 2
#: The time of the first message, and between one and the next, milliseconds.
BEGAN_MS, STEP_MS = 1_770_000_000_000, 1_000
#: Rows that figures of one space are spread over are written by servers; here there is one.
SLOT = 0
#: Memory that making an index may take: a graph that no longer fits is made on disk, far slower.
_LEAST_MEMORY_KB, _GRAPH_KB = 256 * 1024, 4
#: The indexes that are made at the end.
LATE = ("entries_by_token", "messages_by_id", "vectors_beside")
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"


class Filled(NamedTuple):
    """What has been filled: the project and its spaces, by number of namespace."""

    project_id: str
    spaces: list[int]


class _Where(NamedTuple):
    """What a process needs to know of the database."""

    conninfo: str
    project_id: str
    generation: Generation


def fill(address: str, messages: int, *, processes: int = PROCESSES) -> Filled:
    """Store the first messages of the corpus in an empty database, and make its indexes anew.

    Args:
        address: of the database, for its owner.
        messages: how many; a multiple of 10,000.
        processes: how many make rows at once.
    """
    store = open_store(address)
    project = projects.ensure_default(store)[0]
    scopes = [
        Scope(project.id, namespace_name(number)) for number in range(messages // IN_NAMESPACE)
    ]
    spaces = [store.write(scope, lambda tx: tx.space_id) for scope in scopes]
    store.close()
    with connect(Address.of(address)) as connection:
        generation = active(Session(connection))
        assert generation is not None
        late = _dropped(connection, [*LATE, f"vectors_graph_{generation.number}"])
        where = _Where(address, project.id, generation)
        _all(where, spaces, processes)
        memory_kb = max(_LEAST_MEMORY_KB, messages * _GRAPH_KB)
        connection.execute(f"SET maintenance_work_mem = {memory_kb}".encode())
        connection.execute("SET max_parallel_maintenance_workers = 2")
        bar, task = progress_of("making indexes", len(late))
        with bar:
            for definition in late:
                connection.execute(definition.encode())
                bar.advance(task)
    return Filled(project.id, spaces)


def settle(address: str) -> None:
    """Have the planner know the tables, and the disk what was written."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _dropped(connection: "psycopg.Connection[Any]", names: Sequence[str]) -> list[str]:
    """Drop indexes; give what makes them again."""
    made = []
    for name in names:
        row = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'dialoguedb' AND indexname = %s",
            (name,),
        ).fetchone()
        assert row is not None, name
        made.append(str(row[0]))
        connection.execute(f"DROP INDEX dialoguedb.{name}".encode())
    return made


def _all(where: _Where, spaces: Sequence[int], processes: int) -> None:
    bar, task = progress_of("copying namespaces", len(spaces))
    with bar, ProcessPoolExecutor(processes) as pool:
        for _ in pool.map(_namespace, *zip(*_work(where, spaces), strict=True)):
            bar.advance(task)


def _work(where: _Where, spaces: Sequence[int]) -> Iterator[tuple[_Where, int, int]]:
    for number, space_id in enumerate(spaces):
        yield where, number, space_id


# ---- one namespace, in a process of its own ------------------------------------------------------


@cache
def _corpus() -> Corpus:
    return Corpus()


@cache
def _indexer() -> Indexer:
    return Indexer(open_embedder("static").embed)


def _namespace(where: _Where, number: int, space_id: int) -> None:
    """Store one namespace in one transaction."""
    made = _corpus().namespace(number)
    ids = Runtime()
    messages = [
        _message(space_id, ids.ulid(), number * IN_NAMESPACE + place, place, one)
        for place, one in enumerate(made)
    ]
    dialogues = [_dialogue(messages[start : start + IN_DIALOGUE], start) for start in _starts()]
    notes = [changes.dialogue_note(one) for one in dialogues]
    notes += [changes.message_note(one) for one in messages]
    entries = _indexer().entries(notes)
    with connect(Address.of(where.conninfo)) as connection, connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = off")
        _copy(connection, "messages", StoredMessage._fields, messages)
        _copy_dialogues(connection, dialogues)
        claims = [("message", one.id) for one in messages] + [
            ("dialogue", one.id) for one in dialogues
        ]
        _copy(
            connection,
            "claims",
            ("project_id", "kind", "id"),
            [(where.project_id, kind, one) for kind, one in claims],
        )
        _copy_entries(connection, where, space_id, entries)


def _starts() -> range:
    return range(0, IN_NAMESPACE, IN_DIALOGUE)


def _message(space_id: int, message_id: str, age: int, place: int, one: Message) -> StoredMessage:
    at_ms = BEGAN_MS + age * STEP_MS
    return StoredMessage(
        space_id,
        one.dialogue_id,
        at_ms,
        place % IN_DIALOGUE + 1,
        message_id,
        "user",
        one.speaker,
        msgspec.json.encode(one.text).decode(),
        len(one.text.encode()),
        None,
        msgspec.json.encode({"customer": one.customer}).decode(),
        msgspec.json.encode([one.tag]).decode(),
        at_ms,
    )


def _dialogue(messages: Sequence[StoredMessage], inserted: int) -> Stored:
    first, last = messages[0], messages[-1]
    return Stored(
        space_id=first.space_id,
        id=first.dialogue_id,
        request_id="filled",
        thread_of=None,
        label=None,
        tags="[]",
        total_messages=len(messages),
        thread_count=0,
        last_message_created=last.created,
        version=1,
        created=first.created,
        modified=last.created,
        ended=None,
        archived=None,
        inserted=inserted,
        stored_metadata=None,
        stored_state=None,
    )


def _copy_dialogues(connection: "psycopg.Connection[Any]", dialogues: Sequence[Stored]) -> None:
    columns = tuple(name for name in Stored._fields if not name.startswith("stored_"))
    rows = [
        (*one[: len(columns)], one.total_messages, one.last_message_created) for one in dialogues
    ]
    _copy(connection, "dialogues", (*columns, "last_sequence", "last_server_time"), rows)


def _copy_entries(
    connection: "psycopg.Connection[Any]", where: _Where, space_id: int, entries: Sequence[Entry]
) -> None:
    texts: Counter[int] = Counter()
    words: Counter[int] = Counter()
    rows, vectors = [], []
    for entry in entries:
        key = entry.key(space_id)
        row = row_of(entry, where.project_id, space_id) | key._asdict()
        row |= {"image": bool(row["image"]), "facets": Binary(array_of_texts(row["facets"]))}
        rows.append(row)
        texts[entry.kind] += 1
        words[entry.kind] += row["length"]
        pieces = np.frombuffer(entry.vectors, np.int8).reshape(-1, where.generation.dimension)
        for number, piece in enumerate(pieces):
            halves = Binary(halves_of(piece))
            vectors.append((space_id, where.generation.number, *key[1:], number, True, halves))
    columns = tuple(rows[0])
    _copy(connection, "entries", columns, [tuple(row.values()) for row in rows])
    columns = ("space_id", "generation", "kind", "owner", "sequence", "piece", "grown", "vector")
    _copy(connection, "vectors", columns, vectors)
    figures = [(space_id, kind, SLOT, texts[kind], words[kind]) for kind in sorted(texts)]
    _copy(connection, "figures", ("space_id", "kind", "slot", "texts", "words"), figures)


# ---- COPY in its binary form ---------------------------------------------------------------------


def _copy(
    connection: "psycopg.Connection[Any]",
    table: str,
    columns: Sequence[str],
    rows: Iterable[Row],
) -> None:
    """Store rows; integers are bigint, texts text, bytes as they are."""
    sql = f"COPY dialoguedb.{table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with connection.cursor().copy(sql.encode()) as copy:
        copy.write(_HEAD)
        head = struct.pack(">h", len(columns))
        for row in rows:
            copy.write(head + b"".join(map(_field, row)))
        copy.write(_END)


def _field(value: object) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    if isinstance(value, bool):
        data = b"\x01" if value else b"\0"
    elif isinstance(value, int):
        data = struct.pack(">q", value)
    elif isinstance(value, str):
        data = value.encode()
    elif isinstance(value, Binary):
        data = value.data
    else:
        assert isinstance(value, bytes)
        data = value
    return struct.pack(">i", len(data)) + data
