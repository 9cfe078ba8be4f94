"""Measure contexts: do they hold what answers a question, do they stay, and how long they take.

DIR holds LoCoMo files. Each conversation is a namespace, each session a dialogue. Every question of
the categories 1 to 4 that names evidence is asked in the last session, with a budget of 2,000
tokens: with the question as `query`, and without. The figures of summaries (`summaries.py`) follow.
The data is not part of this project.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import summaries
from benchmarks.common import Figure, busy, progress_of, report, spread
from benchmarks.corpus import Corpus
from benchmarks.retrieval import BATCH, Conversation, Question, read_folder

import dialoguedb
from dialoguedb import DialogueDB
from dialoguedb.tokens import open_tokenizer

BUDGET = 2_000
MESSAGES = 10_000
CALLS = 200
REPLAYED = 500


class Held(NamedTuple):
    """Whether a context holds any of a question's evidence, and all of it."""

    any: bool
    all: bool
    tokens: int


def store(db: DialogueDB, conversation: Conversation) -> None:
    """Store a conversation."""
    for dialogue_id, messages in conversation.dialogues.items():
        dialogue = db.create_dialogue(id=dialogue_id, namespace=conversation.namespace)
        for start in range(0, len(messages), BATCH):
            dialogue.save_messages(messages[start : start + BATCH])


def held(db: DialogueDB, conversation: Conversation, question: Question, *, asks: bool) -> Held:
    """Ask for the context of the last session, and look for the evidence in it."""
    last = next(reversed(conversation.dialogues))
    dialogue = db.get_dialogue(last, conversation.namespace)
    if dialogue is None:
        raise SystemExit(f"{last} is not there")
    made = dialogue.context(max_tokens=BUDGET, query=question.text if asks else None)
    if made.tokens > BUDGET:
        raise SystemExit(f"a context of {made.tokens} tokens for {question.text!r}")
    there = question.wanted & {part.id for part in made.included}
    return Held(bool(there), there == question.wanted, made.tokens)


def evidence(room: Path, conversations: Sequence[Conversation]) -> list[Figure]:
    """Ask all questions, with `query` and without."""
    answers: dict[bool, list[Held]] = {True: [], False: []}
    total = sum(len(one.questions) for one in conversations)
    bar, task = progress_of("asking", total)
    with bar, dialoguedb.open(room / "locomo.db") as db:
        for one in conversations:
            store(db, one)
            for question in one.questions:
                for asks, found in answers.items():
                    found.append(held(db, one, question, asks=asks))
                bar.advance(task)
    figures = []
    for asks, found in answers.items():
        how = "with query" if asks else "without query"
        for name, least in (("any", 0.88), ("all", 0.75)):
            share = sum(getattr(one, name) for one in found) / len(found)
            goal = least if asks else None
            named = f"{name} of the evidence in {BUDGET:,} tokens, {how}"
            figures.append(Figure(named, 0, round(share, 4), "of questions", goal, least=True))
        mean = sum(one.tokens for one in found) / len(found)
        figures.append(Figure(f"tokens used, {how}", 0, round(mean), "tokens"))
    return figures


def replay(db: DialogueDB) -> list[Figure]:
    """Say one turn after the other, and count the contexts that go on from the one before."""
    corpus = Corpus()
    said = corpus.namespace(1)[: 2 * REPLAYED]
    dialogues = {asks: db.create_dialogue(namespace="replay") for asks in (False, True)}
    before: dict[bool, list[str]] = {}
    kept = dict.fromkeys(dialogues, 0)
    bar, task = progress_of("replaying", len(said))
    with bar:
        for number, message in enumerate(said):
            for asks, dialogue in dialogues.items():
                role = "assistant" if number % 2 else "user"
                dialogue.save_message(role=role, content=message.text)
                if role == "user":
                    made = dialogue.context(query=message.text if asks else None)
                    stable = [one.id for one in made.included if one.reason == "recent"]
                    kept[asks] += stable[: len(before.get(asks, ()))] == before.get(asks, [])
                    before[asks] = stable
            bar.advance(task)
    return [
        Figure(
            f"contexts that go on from the one before, {'with' if asks else 'without'} query",
            len(said),
            round((kept[asks] - 1) / (REPLAYED - 1), 4),
            "of turns",
            0.95,
            least=True,
        )
        for asks in dialogues
    ]


def speed(db: DialogueDB) -> list[Figure]:
    """Ask for contexts of a long dialogue, in-process, in turn with `query` and without."""
    corpus = Corpus()
    said = corpus.namespace(0)[:MESSAGES]
    dialogue = db.create_dialogue(namespace="long")
    roles = ("user", "assistant")
    bodies = [
        {"role": roles[number % 2], "content": message.text} for number, message in enumerate(said)
    ]
    for start in range(0, len(bodies), 1_000):
        dialogue.save_messages(bodies[start : start + 1_000])
    queries = corpus.queries(said, CALLS)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for query in queries:
        for asks, times in taken.items():
            began = time.perf_counter()
            dialogue.context(query=query if asks else None)
            times.append(time.perf_counter() - began)
    figures = []
    for asks, times in taken.items():
        for name, value in spread(times).items():
            goal = (20 if asks else 10) if name == "p50_ms" else None
            how = f"a context of 4,000 tokens, {'with' if asks else 'without'} query"
            figures.append(Figure(f"{how}, {name[:3]}", len(said), value, "ms", goal))
    return figures


def main() -> None:
    """Measure, print the table, and write it as JSON if asked."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    options = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("dir", type=Path, metavar="DIR", help="a folder of LoCoMo files")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    chosen = options.parse_args()
    conversations = read_folder(chosen.dir)
    began = busy()
    with tempfile.TemporaryDirectory() as room:
        figures = evidence(Path(room), conversations)
        with dialoguedb.open(Path(room) / "made.db") as db:
            figures += replay(db)
            figures += speed(db)
    figures += summaries.figures(chosen.dir)
    print(f"tokens are counted by: {open_tokenizer().name}\n")
    report(figures, began, chosen.json)


if __name__ == "__main__":
    main()
