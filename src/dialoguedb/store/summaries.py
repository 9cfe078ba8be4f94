"""Summaries in the store: rows to Structs and back.

A summary has a range of positions. Whatever leaves or enters that range marks it stale, in the
same transaction; so one that is not stale says what is there.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dialoguedb.models import documents
from dialoguedb.models.summaries import PROCESSING, Summary, SummaryStatus
from dialoguedb.models.times import EARLIEST_MS, text_of
from dialoguedb.store import claims, jobs
from dialoguedb.store.protocol import Param, ReadTx, Row, WriteTx

#: The kind of the job that makes one.
JOB = "summarize"


class Position(NamedTuple):
    """Where a message stands in its dialogue; `created` in milliseconds."""

    created: int
    sequence: int


#: Before every message: sequences begin with 1.
BEGINNING = Position(EARLIEST_MS, 0)


class Counts(Struct, rename="camel", kw_only=True):
    """What a summary took; see `models.summaries.Summary`."""

    content_token_count: int = 0
    message_count: int = 0
    summarized_count: int = 0
    skipped_count: int = 0
    total_tokens: int = 0
    chunks: int = 0
    llm_input_tokens: int = 0
    llm_output_tokens: int = 0
    llm_total_tokens: int = 0
    llm_call_count: int = 0


class StoredSummary(NamedTuple):
    """A summary's row, in the order of the statements; times in milliseconds, flags 0 or 1.

    Attributes:
        start_created, start_sequence: the position from which on it covers the dialogue; the
            sequence 0 is before every message.
        end_created, end_sequence: the position of the last message that it covers.
        job: of the key of its job, the part behind the space; None when it is done.
        counts: a `Counts` as JSON; None as long as it is not done.
    """

    space_id: int
    id: str
    inserted: int
    dialogue_id: str
    status: SummaryStatus
    stale: int
    template: str | None
    based_on: str | None
    incremental: int
    job: str | None
    start_created: int
    start_sequence: int
    end_created: int
    end_sequence: int
    from_created: int | None
    to_created: int | None
    provider: str | None
    model: str | None
    error: str | None
    counts: str | None
    metadata: str | None
    tags: str | None
    created: int
    modified: int
    content: str | None

    @property
    def start(self) -> Position:
        """From where on it covers the dialogue."""
        return Position(self.start_created, self.start_sequence)

    @property
    def end(self) -> Position:
        """The last message that it covers; what follows in the dialogue is behind it."""
        return Position(self.end_created, self.end_sequence)

    @property
    def told(self) -> Counts:
        """What it took."""
        return Counts() if self.counts is None else _counts(self.counts)


class Outcome(NamedTuple):
    """How the making of a summary has ended.

    Attributes:
        status: `completed` or `failed`.
        based_on: the summary that it builds on.
        covered: when the first and the last message in its range were created, milliseconds; None
            if there was none.
        provider, model: what made it.
        error: why it has failed.
        counts: what it took; None of one that has failed.
        content: the text; None if there was nothing to summarise.
    """

    status: SummaryStatus
    based_on: str | None = None
    covered: tuple[int, int] | None = None
    provider: str | None = None
    model: str | None = None
    error: str | None = None
    counts: Counts | None = None
    content: str | None = None


_counts = msgspec.json.Decoder(Counts).decode
#: The columns of a row that can be long.
TEXTS = (StoredSummary._fields.index("content"), StoredSummary._fields.index("metadata"))


def struct_of(row: StoredSummary, project_id: str, namespace: str) -> Summary:
    """Make the wire's summary of a row."""
    summary = Summary(
        id=row.id,
        dialogue_id=row.dialogue_id,
        project_id=project_id,
        namespace=namespace or UNSET,
        status=row.status,
        template=_given(row.template),
        job_id=_given(row.job),
        error=_given(row.error),
        provider=_given(row.provider),
        model=_given(row.model),
        based_on=_given(row.based_on),
        from_created=_stamp(row.from_created),
        to_created=_stamp(row.to_created),
        stale=bool(row.stale),
        metadata=UNSET if row.metadata is None else documents.raw(row.metadata),
        tags=UNSET if row.tags is None else documents.raw(row.tags),
        created=text_of(row.created),
        modified=text_of(row.modified),
    )
    if row.counts is not None:
        summary.content = row.content
        for name, count in msgspec.structs.asdict(row.told).items():
            setattr(summary, name, count)
    return summary


def _given(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text


def _stamp(ms: int | None) -> str | UnsetType:
    return UNSET if ms is None else text_of(ms)


def get(tx: ReadTx, summary_id: str) -> StoredSummary | None:
    """Get a summary's row."""
    return _one(tx.one("summaries_get", id=summary_id))


def newest(tx: ReadTx, dialogue_id: str) -> StoredSummary | None:
    """Get the summary that stands for most of a dialogue, from its first message on.

    Returns: of those that are completed, not stale and not empty, the one that reaches farthest,
        without a template if there is such a one; None if there is none.
    """
    return _one(tx.one("summaries_newest", dialogue_id=dialogue_id))


def base(tx: ReadTx, row: StoredSummary) -> StoredSummary | None:
    """Get the summary that another one may build on; None if there is none.

    It is of the same dialogue and template, begins at the first message as the other does, and
    reaches as far as there is any, but not farther than the other is to.
    """
    if not row.incremental or row.start != BEGINNING:
        return None
    return _one(
        tx.one(
            "summaries_base",
            dialogue_id=row.dialogue_id,
            template=row.template or "",
            created=row.end_created,
            sequence=row.end_sequence,
        )
    )


def under_way(tx: ReadTx, dialogue_id: str, job: str) -> StoredSummary | None:
    """Get the summary that a job is about."""
    return _one(tx.one("summaries_under_way", dialogue_id=dialogue_id, job=job))


def last_message(tx: ReadTx, dialogue_id: str) -> Position:
    """Give where the last message of a dialogue is; `BEGINNING` if it has none."""
    row = tx.one("messages_last", dialogue_id=dialogue_id)
    return BEGINNING if row is None else Position(row[1], row[2])


def page(
    tx: ReadTx, dialogue_id: str | None, status: str, order: str, **window: Any
) -> tuple[list[Row], bool]:
    """Give the rows of a page by (created, inserted), and whether there are more.

    Args:
        tx: bound to the space.
        dialogue_id: only those of this dialogue.
        status: only those of this status; empty for all.
        order: `asc` or `desc`.
        window: of `Question.window`.
    """
    if dialogue_id is None:
        return tx.page(f"summaries_list_{order}", texts=TEXTS, status=status, **window)
    return tx.page(
        f"summaries_of_{order}", texts=TEXTS, dialogue_id=dialogue_id, status=status, **window
    )


def insert(tx: WriteTx, row: StoredSummary) -> StoredSummary:
    """Store a summary whose id is claimed; one that is processing gets its job.

    Returns: the row as it is stored.
    """
    row = row._replace(space_id=tx.space_id, inserted=tx.runtime.ordinal())
    tx.insert("summaries_insert", [row])
    put_to_work(tx, row)
    return row


def put_to_work(tx: WriteTx, row: StoredSummary) -> None:
    """See that somebody makes a summary that is processing."""
    if row.status == PROCESSING and row.job is not None:
        payload = documents.text_of({"summary": row.id})
        jobs.add(tx, JOB, _key(tx, row.job), payload)


def begin(tx: WriteTx, summary_id: str) -> tuple[StoredSummary, StoredSummary | None] | None:
    """Begin to make a summary: it covers what is there from now on.

    Returns: its row and the one that it builds on; None when it is gone, or done.
    """
    row = get(tx, summary_id)
    if row is None or row.status != PROCESSING:
        return None
    tx.run("summaries_hold", dialogue_id=row.dialogue_id)
    found = base(tx, row)
    based_on = None if found is None else found.id
    if row.stale or row.based_on != based_on:
        tx.run("summaries_begin", id=summary_id, based_on=based_on)
    return row, found


def finish(tx: WriteTx, summary_id: str, outcome: Outcome) -> bool:
    """Store how the making of a summary has ended; False when it is gone, or done."""
    first, last = outcome.covered or (None, None)
    counts = None if outcome.counts is None else documents.text_of(outcome.counts)
    changed = tx.run(
        "summaries_finish",
        id=summary_id,
        status=outcome.status,
        based_on=outcome.based_on,
        from_created=first,
        to_created=last,
        provider=outcome.provider,
        model=outcome.model,
        error=outcome.error,
        counts=counts,
        content=outcome.content,
        now=tx.runtime.now(),
    )
    return changed > 0


def touch(tx: WriteTx, dialogue_id: str, places: Iterable[tuple[int, int]], now_ms: int) -> None:
    """Mark the summaries stale whose range a message has left or entered.

    Args:
        tx: the transaction that stores or deletes the messages.
        dialogue_id: their dialogue.
        places: `created` in milliseconds, and `sequence`, of each.
        now_ms: the clock.
    """
    sets: list[dict[str, Param]] = [
        {"dialogue_id": dialogue_id, "created": created, "sequence": sequence, "now": now_ms}
        for created, sequence in places
    ]
    several = len(sets) > 1  # then it pays to look first whether there is any summary
    if several and tx.one("summaries_any", dialogue_id=dialogue_id) is None:
        return
    if sets:
        tx.many("summaries_touch", sets)


def delete(tx: WriteTx, row: StoredSummary) -> None:
    """Delete a summary; whoever makes it at this moment stores nothing."""
    tx.run("summaries_delete", id=row.id)
    _forget(tx, row.id, row.job)


def delete_of_dialogue(tx: WriteTx, dialogue_id: str) -> None:
    """Delete all summaries of a dialogue."""
    for _, summary_id, job in tx.all("summaries_delete_of_dialogue", dialogue_id=dialogue_id):
        _forget(tx, summary_id, job)


def _forget(tx: WriteTx, summary_id: str, job: str | None) -> None:
    claims.drop(tx, "summary", summary_id)
    if job is not None:
        jobs.drop(tx, JOB, _key(tx, job))


def _key(tx: WriteTx, job: str) -> str:
    """Give the key of a job: those of two spaces are never the same."""
    return f"{tx.space_id}.{job}"


def _one(row: Row | None) -> StoredSummary | None:
    return None if row is None else StoredSummary._make(row)
