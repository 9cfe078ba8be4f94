"""The context of a dialogue: what a model should see next, within a budget of tokens."""

from collections.abc import Iterator, Sequence, Set
from itertools import dropwhile
from typing import Final

import msgspec
from msgspec import UNSET, Raw

from dialoguedb.context import assembly
from dialoguedb.context.assembly import Asked, Summary, TooSmall
from dialoguedb.context.costs import cost_of
from dialoguedb.context.notes import Found, Note
from dialoguedb.context.turns import SYSTEM_ROLES, Turn, split, turn_of
from dialoguedb.context.window import Sized
from dialoguedb.engine.caller import Caller, Task
from dialoguedb.engine.messages import no_dialogue
from dialoguedb.errors import InvalidParameter
from dialoguedb.models.context import BuildContext, Context, ContextPart, TokenCounter
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS
from dialoguedb.search import analyser, texts
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.entries import MEMORY, MESSAGE
from dialoguedb.search.results import Hit
from dialoguedb.store import dialogues, memories, messages, summaries
from dialoguedb.store.memories import StoredMemory
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.protocol import Query, ReadTx, Scope
from dialoguedb.tokens import Tokenizer, open_tokenizer

#: Messages that are read at once: of the newest, and where a dialogue begins.
_PAGE: Final = 64
_FIRST: Final = 4
#: Beyond every sequence.
_LAST_NUMBER: Final = 2**63 - 1
#: So many of each kind are looked for at most.
_MESSAGES: Final = 100
_MEMORIES: Final = 10
#: What is so many times less relevant than the best of them is not recalled.
_FAR: Final = 3


def build(caller: Caller, request: BuildContext) -> Task[Context]:
    """Put together what a model should see of a dialogue next."""
    dialogue_id = str(request.id)

    def work(tx: ReadTx) -> Context:
        if dialogues.get(tx, dialogue_id) is None:
            raise no_dialogue(dialogue_id)
        return _built(tx, dialogue_id, request, open_tokenizer())

    return Task(Scope(caller.project_id, request.namespace), work, short=False)


#: The same, of the parameters of a URL.
build_by_query = build


def _built(tx: ReadTx, dialogue_id: str, request: BuildContext, tokenizer: Tokenizer) -> Context:
    asked = Asked(
        request.max_tokens,
        request.keep_last,
        recalls=request.query is not UNSET,
        stored=request.format == "dialoguedb",
    )
    summary = _summary(tx, dialogue_id)
    system = list(_system(tx, dialogue_id))
    prompt = {turn.id for turn in system}
    newest = _newest(tx, dialogue_id, asked, prompt, summary, tokenizer)
    try:
        frame = assembly.framed(asked, system, newest, summary, tokenizer)
    except TooSmall as error:
        raise InvalidParameter(
            f"Invalid maxTokens: the system prompt and the last turn alone need {error.needed}",
            field="maxTokens",
        ) from None
    note = Note()
    if request.query is not UNSET:
        found = _found(tx, dialogue_id, frame, request)
        note = assembly.recalled(frame, found, tokenizer)
    made = assembly.assembled(frame, note, request.format)
    return Context(
        format=request.format,
        system=made.written.system or UNSET,
        messages=[Raw(msgspec.json.encode(message)) for message in made.written.messages],
        included=[_part(part) for part in made.included],
        tokens=made.tokens,
        max_tokens=request.max_tokens,
        tokenizer=TokenCounter(name=tokenizer.name, exact=tokenizer.exact),
        summary_id=UNSET if frame.summary is None else frame.summary[0],
    )


def _part(part: assembly.Included) -> ContextPart:
    relevance = UNSET if part.relevance is None else round(part.relevance, 6)
    return ContextPart(reason=part.reason, id=part.id, tokens=part.tokens, relevance=relevance)


def _summary(tx: ReadTx, dialogue_id: str) -> Summary | None:
    """Find the valid summary that stands for most of the dialogue."""
    row = summaries.newest(tx, dialogue_id)
    if row is None or not row.content:
        return None
    return Summary(row.id, row.content, (row.end.created, row.end.sequence))


def _system(tx: ReadTx, dialogue_id: str) -> Iterator[Turn]:
    """Read the turns with which a dialogue begins that instruct the model."""
    at, after = EARLIEST_MS, -1
    while True:
        rows, more = _page(tx, dialogue_id, "asc", at, after, _FIRST)
        for row in rows:
            if row.role not in SYSTEM_ROLES:
                return
            yield _turn(row)
        if not more:
            return
        at, after = rows[-1].created, rows[-1].sequence


def _newest(
    tx: ReadTx,
    dialogue_id: str,
    asked: Asked,
    prompt: Set[str],
    summary: Summary | None,
    tokenizer: Tokenizer,
) -> list[Sized]:
    """Read from the end of a dialogue backwards: all of it, or more than the budget holds.

    What a summary covers is read only as far as it may be shown nevertheless; `prompt` is the ids
    of messages that are shown as the system prompt.
    """
    turns: list[Turn] = []
    cost = covered = 0
    at, after, limit = LATEST_MS, _LAST_NUMBER, _PAGE
    while True:
        rows, more = _page(tx, dialogue_id, "desc", at, after, limit)
        for row in rows:
            if row.id in prompt:
                continue
            turn = _turn(row)
            turns += reversed(split(turn))
            cost += cost_of(turn, tokenizer, stored=asked.stored, most=asked.budget)
            covered += summary is not None and turn.place <= summary.place
        if not more:
            return assembly.sized(asked, turns[::-1], tokenizer)
        if cost > asked.budget or covered > asked.keep + _PAGE:
            # The calls of the first results may not have been read.
            known = list(dropwhile(lambda turn: turn.results(), turns[::-1]))
            newest = assembly.sized(asked, known, tokenizer)
            if _is_enough(newest, asked, summary):
                return newest
            limit *= 2  # else what is not shown would be gone through again with each page
        at, after = rows[-1].created, rows[-1].sequence


def _is_enough(newest: Sequence[Sized], asked: Asked, summary: Summary | None) -> bool:
    """Tell whether what can be shown of what was read is all that may be.

    It can be far less: results whose calls are not there and calls that wait are not shown.
    """
    known = newest[1:]  # more calls may belong to the first
    if sum(one.tokens for one in known) > asked.budget:
        return True
    if summary is None:
        return False
    covered = sum(one.group.turns[-1].place <= summary.place for one in known)
    return covered >= max(asked.keep, 1)


def _page(
    tx: ReadTx, dialogue_id: str, order: str, at: int, after: int, limit: int
) -> tuple[list[StoredMessage], bool]:
    rows, more = messages.page(
        tx,
        dialogue_id,
        order,
        start=at if order == "asc" else EARLIEST_MS,
        stop=LATEST_MS + 1 if order == "asc" else at + 1,
        at=at,
        after=after,
        limit=limit,
    )
    return [StoredMessage._make(row) for row in rows], more


def _turn(row: StoredMessage) -> Turn:
    return turn_of(
        row.id,
        row.role,
        row.name,
        row.content,
        row.metadata,
        created_ms=row.created,
        sequence=row.sequence,
    )


def _found(
    tx: ReadTx, dialogue_id: str, frame: assembly.Frame, request: BuildContext
) -> Iterator[Found]:
    """Find what is relevant in the namespace: memories, then messages, each the best first.

    They are read one by one, as long as there is room for them; but those that are shown anyway.
    How relevant the best is, is not measured by what a user has said last: as a rule that is the
    query itself, and next to it all else is far.
    """
    query = str(request.query)
    shown = {(dialogue_id, *place) for place in frame.places}
    asking = {(dialogue_id, *place) for place in frame.asking}
    hits = _hits(tx, query, MESSAGE, _MESSAGES)
    found = _hits(tx, query, MEMORY, _MEMORIES) if request.memories else []
    measures = [*found[:1], *[hit for hit in hits if _place(hit) not in asking][:1]]
    least = max((hit.relevance for hit in measures), default=0.0) / _FAR
    for hit in found:
        memory = memories.get(tx, hit.place.owner)
        if memory is not None and hit.relevance >= least:
            yield _memory(memory, hit.relevance)
    for hit in hits:
        if _place(hit) in shown or hit.relevance < least:
            continue
        row = messages.at(tx, *_place(hit))
        if row is not None and row.role not in SYSTEM_ROLES:
            yield _message(row, hit.relevance)


def _place(hit: Hit) -> tuple[str, int, int]:
    return hit.place.owner, hit.place.created, hit.place.sequence


def _memory(row: StoredMemory, relevance: float) -> Found:
    text = texts.of_memory(row.value, row.label, row.description).words
    return Found("memory", row.id, text, "", (row.created, "", 0), relevance)


def _message(row: StoredMessage, relevance: float) -> Found:
    text = texts.of_message(row.content, None).words
    place = (row.created, row.dialogue_id, row.sequence)
    return Found("recalled", row.id, text, row.name or row.role, place, relevance)


def _hits(tx: ReadTx, query: str, kind: int, limit: int) -> Sequence[Hit]:
    hits = tx.search(
        Query(
            kind=kind,
            text=query[: analyser.MAX_QUERY_CHARACTERS],
            terms=analyser.query_terms(query),
            conditions=Conditions(),
            limit=limit,
        )
    )
    return [hit for hit in hits if hit.relevance > 0]
