"""Pages end at their bytes on either engine, and what reads on in the same transaction can."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from random import Random

import msgspec
import pytest

from databases import Cluster
from dialoguedb.engine import Caller, dialogues, projects
from dialoguedb.engine import messages as engine
from dialoguedb.models.dialogues import CreateDialogue
from dialoguedb.models.limits import MAX_PAGE_BYTES
from dialoguedb.models.messages import CreateMessage
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS
from dialoguedb.store import messages
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import ReadTooLong, ReadTx, Scope, Store

KIB = 1024
#: Bytes of contents: of some thousands to a page, of a few, and of one.
SIZES = (10, 40 * KIB, 700 * KIB, 3_000 * KIB, MAX_PAGE_BYTES - 2, 8_100 * KIB)
COUNT = 18
CONTENT = 7


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    if request.param == "sqlite":
        address = str(tmp_path_factory.mktemp("pages") / "chat.db")
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        address = cluster.new_database("empty")
    with closing(open_store(address)) as made:
        yield made


@pytest.fixture(scope="module")
def told(store: Store) -> tuple[Scope, list[int]]:
    """A dialogue, and how many bytes its contents have, in order."""
    project = projects.create(store, "pages").id
    caller = Caller(project_id=project, request_id="")
    begin = dialogues.create(caller, CreateDialogue(id="d"))
    store.write(begin.scope, begin.work)
    chance = Random(11)
    sizes = []
    for _ in range(COUNT):
        # Bytes are counted, not characters; few of many bytes are enough, and sooner indexed.
        signs = chance.choice(("x", "é", "🍕")) * min(size := chance.choice(SIZES), KIB)
        text = signs[: size // 4] + "x" * (size - len(signs[: size // 4].encode()))
        content = msgspec.Raw(msgspec.json.encode(text))
        task = engine.create(caller, CreateMessage(dialogue_id="d", role="user", content=content))
        store.write(task.scope, task.work)
        sizes.append(len(text.encode()) + 2)
    return Scope(project, ""), sizes


def paged(sizes: list[int], limit: int) -> list[list[int]]:
    """Say which pages there are to be (contract 1.5)."""
    pages: list[list[int]] = []
    for size in sizes:
        full = not pages or len(pages[-1]) == limit or sum(pages[-1]) + size > MAX_PAGE_BYTES
        if full:
            pages.append([])
        pages[-1].append(size)
    return pages


def test_pages_end_where_they_are_to(store: Store, told: tuple[Scope, list[int]]) -> None:
    """All in one transaction: a page that has ended early leaves it as it was."""
    scope, sizes = told

    def pages(tx: ReadTx, limit: int) -> list[list[int]]:
        found, at, after, more = [], EARLIEST_MS, -1, True
        while more:
            rows, more = messages.page(
                tx,
                "d",
                "asc",
                limit=limit,
                start=EARLIEST_MS,
                stop=LATEST_MS + 1,
                at=at,
                after=after,
            )
            row = messages.StoredMessage._make(rows[-1])
            at, after = row.created, row.sequence
            found.append([len(row[CONTENT].encode()) for row in rows])
        return found

    for limit in (3, 15, 16, 17, 1000):
        assert store.read(scope, partial(pages, limit=limit)) == paged(sizes, limit), limit
    for limit in (3, 1000):  # one that is short gives up: what needs more is read elsewhere
        with closing(store.snapshot(most_bytes=KIB)) as snapshot, pytest.raises(ReadTooLong):
            snapshot.read(scope, partial(pages, limit=limit))
