"""`summarize`: a dialogue's messages become a summary. Key: space and what was asked.

Written with the row of the summary (`store/summaries.py`). The messages are read page by page, and
the summariser is asked, outside any transaction; then the summary and the job end in one.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from dialoguedb.models import documents
from dialoguedb.models.content import images_in
from dialoguedb.models.summaries import COMPLETED, FAILED
from dialoguedb.runtime import chance
from dialoguedb.search import texts
from dialoguedb.store import messages
from dialoguedb.store import summaries as stored
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.protocol import ReadTx, Row, Scope
from dialoguedb.store.summaries import BEGINNING, Counts, Outcome, Position, StoredSummary
from dialoguedb.summarize import (
    Interrupted,
    Result,
    Source,
    SummarizerRefused,
    SummarizerUnavailable,
    Turn,
)
from dialoguedb.worker.task import Again, Task
from dialoguedb.worker.ways import Way, Ways

#: How often it is tried while the summariser does not answer: some two minutes of pauses.
ATTEMPTS = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 600.0
#: Messages that are read at once.
_STEP = 500


class _Read(NamedTuple):
    """The messages that are new in a summary.

    Attributes:
        turns: those in which something is said.
        number: how many messages there are.
        covered: `created` of the first and the last of them, milliseconds; None without any.
    """

    turns: list[Turn]
    number: int
    covered: tuple[int, int] | None


def run(task: Task, ways: Ways) -> Again | None:
    """Make the summary, once. What passes is tried again; else it has failed, and says why."""
    scope = task.scope()
    if scope is None:
        return None
    summary_id = task.payload["summary"]
    begun = task.write(scope, lambda tx: stored.begin(tx, summary_id))
    if begun is None:  # it has been deleted
        return None
    try:
        outcome = _outcome(task, scope, *begun, ways)
    except Interrupted:
        return Again()
    except SummarizerUnavailable as error:
        if task.job.attempts < ATTEMPTS:
            return Again(_pause_s(task.job.attempts, error.retry_after_s), counted=True)
        outcome = _failed(f"{error.message} (tried {task.job.attempts} times); try again later")
    except SummarizerRefused as error:
        outcome = _failed(error.message)
    task.finish(scope, lambda tx: stored.finish(tx, summary_id, outcome))
    return None


def _pause_s(attempts: int, asked_s: float | None) -> float:
    """Choose how long to wait after so many attempts: not all at the same time."""
    doubled = _FIRST_PAUSE_S * 2.0 ** (attempts - 1) * (0.5 + chance() / 2)
    return min(max(doubled, asked_s or 0.0), _LONGEST_PAUSE_S)


def _failed(reason: str) -> Outcome:
    return Outcome(FAILED, error=_storable(reason))


def _outcome(
    task: Task, scope: Scope, row: StoredSummary, base: StoredSummary | None, ways: Ways
) -> Outcome:
    """Read the messages, and have them summarised.

    Raises:
        Interrupted: the worker is to stop.
        SummarizerUnavailable, SummarizerRefused: the summariser's.
    """
    if task.job.attempts > ATTEMPTS:
        raise SummarizerRefused(
            f"it was tried {ATTEMPTS} times, and each time something went wrong or its worker was "
            "ended; the log of the server, or of `dialoguedb work`, says more. Ask for it again "
            "when that is mended"
        )
    found = _read(task, scope, row, row.start if base is None else base.end)
    way = ways(row.template)
    source = Source(
        turns=found.turns,
        earlier=None if base is None else base.content,
        prompt=way.prompt,
        max_tokens=way.max_tokens,
    )
    with closing(way.summarizer):
        result = way.summarizer.summarize(source, lambda: task.held)
    return _completed(way, result, found, base)


def _completed(way: Way, result: Result, found: _Read, base: StoredSummary | None) -> Outcome:
    """Say what has come of it; a summary that builds on another one counts what that did, too."""
    earlier = Counts() if base is None else base.told
    counts = Counts(
        content_token_count=result.token_count,
        message_count=earlier.message_count + found.number,
        summarized_count=earlier.summarized_count + result.summarized,
        skipped_count=earlier.skipped_count + found.number - result.summarized,
        total_tokens=earlier.total_tokens + result.total_tokens,
        chunks=result.chunks,
        llm_input_tokens=result.usage.input_tokens,
        llm_output_tokens=result.usage.output_tokens,
        llm_total_tokens=result.usage.total_tokens,
        llm_call_count=result.usage.calls,
    )
    return Outcome(
        COMPLETED,
        based_on=None if base is None else base.id,
        covered=_covered(found, base),
        provider=way.summarizer.provider,
        model=way.summarizer.model,
        counts=counts,
        content=None if result.content is None else _storable(result.content),
    )


def _covered(found: _Read, base: StoredSummary | None) -> tuple[int, int] | None:
    if base is None or base.from_created is None or base.to_created is None:
        return found.covered
    return base.from_created, base.to_created if found.covered is None else found.covered[1]


def _read(task: Task, scope: Scope, row: StoredSummary, start: Position) -> _Read:
    """Read the messages of the range, from the message at `start` on.

    Raises:
        Interrupted: the worker is to stop.
    """
    turns: list[Turn] = []
    number, first, last = 0, None, 0
    for one in _messages(task, scope, row, start):
        number += 1
        first, last = one.created if first is None else first, one.created
        said = _said(one.content)
        if said:
            turns.append(Turn(one.role, one.name, said, one.created))
    return _Read(turns, number, None if first is None else (first, last))


def _said(content_json: str) -> str:
    """Give what a message says, without its images."""
    if content_json.startswith("["):
        blocks = documents.plain(content_json)
        left = [block for block in blocks if not any(images_in([block]))]
        content_json = documents.text_of(left)
    return texts.of_message(content_json, None).embedded


def _messages(
    task: Task, scope: Scope, row: StoredSummary, start: Position
) -> Iterator[StoredMessage]:
    """Give the messages behind a position, or from it on if that is where the range begins."""
    at = start if start != row.start or start == BEGINNING else _before(start)
    more = True
    while more:
        if not task.held:
            raise Interrupted
        rows, more = _page(task, scope, row, at)
        for one in map(StoredMessage._make, rows):
            at = Position(one.created, one.sequence)
            if at > row.end:
                return
            yield one


def _before(position: Position) -> Position:
    return position._replace(sequence=position.sequence - 1)


def _page(task: Task, scope: Scope, row: StoredSummary, at: Position) -> tuple[list[Row], bool]:
    def work(tx: ReadTx) -> tuple[list[Row], bool]:
        return messages.page(
            tx,
            row.dialogue_id,
            "asc",
            start=at.created,
            stop=row.end.created + 1,
            at=at.created,
            after=at.sequence,
            limit=_STEP,
        )

    return task.read(scope, work)


def _storable(text: str) -> str:
    """Take out what no database takes as text: U+0000 and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
