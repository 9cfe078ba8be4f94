"""Measure what search finds of questions whose answers are known, by words, by meaning, by both.

    scripts/bench retrieval DIR     DIR holds LoCoMo conversation files, which are not part of
                                    this project

Each conversation is a namespace, each session a dialogue, each turn a message of its speaker; an
image's caption is a second text part. All are stored through the public interface, and every
question of categories 1 to 4 that has evidence turns in its file is asked there. Words alone and
meaning alone are the shipped ranking with other shares, run in this process on the same texts; the
shipped one is run there too and must give what the server gave.

Pairs of a query and a text that share no term stand in `benchmarks/retrieval/paraphrases.json`;
each text is a dialogue of its own, and texts that nobody asks for lie between them. That a pair
shares no term is checked before it is asked.
"""

import argparse
import json
import math
import re
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from benchmarks.common import (
    ROOT,
    busy,
    columns,
    machine_lines,
    serving,
    strangers_share,
    surroundings,
)
from rich.console import Console
from rich.progress import Progress

from dialoguedb.embed import open_embedder
from dialoguedb.models import documents
from dialoguedb.search import analyser, blocks, entries
from dialoguedb.search.conditions import Conditions
from dialoguedb.search.finding import Probe, find
from dialoguedb.search.indexer import Indexer, Note
from dialoguedb.search.ranking import SHIPPED, Shares
from dialoguedb.search.shelf import Shelf

PARAPHRASES = ROOT / "benchmarks" / "retrieval" / "paraphrases.json"
DEPTHS = (5, 10, 20)
LIMIT = 20
BATCH = 25
RANKINGS = {
    "words only": Shares(1, 0, 0),
    "meaning only": Shares(0, 1, 0),
    "shipped": SHIPPED,
}
CATEGORIES = {1: "1 several facts", 2: "2 time", 3: "3 outside knowledge", 4: "4 one fact"}
Json = dict[str, Any]


# ---- what is asked of what -----------------------------------------------------------------------


class Question(NamedTuple):
    """A question, what kind it is of, and the ids of the messages that answer it."""

    text: str
    kind: str
    wanted: frozenset[str]


class Conversation(NamedTuple):
    """A namespace: its dialogues with their messages, and what is asked of it."""

    namespace: str
    dialogues: dict[str, list[Json]]
    questions: list[Question]


def read_folder(folder: Path) -> list[Conversation]:
    """Read the LoCoMo files of a folder, by name."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise SystemExit(f"{folder} holds no *.json file; name a folder of LoCoMo conversations")
    return [_read_file(file) for file in files]


def _read_file(file: Path) -> Conversation:
    content = json.loads(file.read_text("utf-8"))
    namespace = f"locomo-{file.stem}"
    numbers = sorted(int(key[8:]) for key in content if re.fullmatch(r"session_\d+", key))
    dialogues = {
        f"{namespace}-session-{number}": _session(content, number, namespace) for number in numbers
    }
    ids = {message["id"] for messages in dialogues.values() for message in messages}
    questions = []
    for asked in content["qa"]:
        # Some lists of evidence hold several turns in one text, or numbers with leading zeros.
        found = re.findall(r"D(\d+):(\d+)", " ".join(asked.get("evidence", ())))
        wanted = {_turn_id(namespace, *turn) for turn in found} & ids
        if asked["category"] in CATEGORIES and wanted:
            kind = CATEGORIES[asked["category"]]
            questions.append(Question(asked["question"], kind, frozenset(wanted)))
    return Conversation(namespace, dialogues, questions)


def _turn_id(namespace: str, session: str, turn: str) -> str:
    return f"{namespace}-D{int(session)}-{int(turn)}"


def _session(content: Json, number: int, namespace: str) -> list[Json]:
    date_time = content[f"session_{number}_date_time"]
    when = datetime.strptime(date_time, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    created = when.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    messages = []
    for turn in content[f"session_{number}"]:
        texts = [turn["text"], *([turn["blip_caption"]] if "blip_caption" in turn else [])]
        messages.append(
            {
                "id": _turn_id(namespace, *turn["dia_id"][1:].split(":")),
                "role": "user" if turn["speaker"] == content["speaker_a"] else "assistant",
                "name": turn["speaker"],
                "content": [{"type": "text", "text": text} for text in texts],
                "created": created,
            }
        )
    return messages


def read_paraphrases() -> Conversation:
    """Read the pairs, and refuse them if a query shares a term with its text."""
    pairs = json.loads(PARAPHRASES.read_text("utf-8"))
    dialogues = {}
    questions = []
    for number, pair in enumerate(pairs):
        key = f"pair-{number}"
        dialogues[key] = [{"id": key, "role": "user", "content": pair["text"]}]
        if pair["query"] is None:
            continue
        shared = set(analyser.query_terms(pair["query"])) & set(analyser.terms(pair["text"]))
        if shared:
            raise SystemExit(f"{PARAPHRASES.name}: {pair['query']!r} shares {sorted(shared)}")
        questions.append(Question(pair["query"], pair["topic"], frozenset([key])))
    return Conversation("paraphrases", dialogues, questions)


# ---- the two ways to ask -------------------------------------------------------------------------


def load(client: httpx.Client, conversation: Conversation) -> None:
    """Store a conversation."""
    for dialogue_id, messages in conversation.dialogues.items():
        where = {"namespace": conversation.namespace}
        made = {"id": dialogue_id, "created": messages[0].get("created")}
        body = {key: value for key, value in made.items() if value is not None}
        client.post("/dialogue", params=where, json=body).raise_for_status()
        where["dialogueId"] = dialogue_id
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            client.post("/messages", params=where, json=batch).raise_for_status()


def ask(client: httpx.Client, namespace: str, query: str) -> list[str]:
    """Ask the server; return the ids of the messages that it found, the best first."""
    body = {"query": query, "object": "message", "namespace": namespace, "limit": LIMIT}
    answer = client.post("/api/v1/search", json=body).raise_for_status().json()
    return [result["item"]["id"] for result in answer["results"]]


class Bare:
    """The messages of a conversation on a shelf of their own, without a server or a file."""

    def __init__(self, conversation: Conversation) -> None:
        self._embedder = open_embedder("static")
        self._ids: dict[tuple[str, int], str] = {}
        notes = []
        for dialogue_id, messages in conversation.dialogues.items():
            for sequence, message in enumerate(messages, 1):
                self._ids[dialogue_id, sequence] = message["id"]
                notes.append(_note(dialogue_id, sequence, message))
        made = Indexer(self._embedder.embed).entries(notes)
        dimension = self._embedder.dimension or 0
        self._shelf = Shelf(dimension)
        block = blocks.pack([(1, entry) for entry in made], dimension)
        self._shelf.add(block, {1: conversation.namespace})

    def ask(self, query: str, shares: Shares) -> list[str]:
        """Ask it; return the ids of what is found, the best first."""
        vector = self._embedder.embed([query])[0]
        terms = analyser.query_terms(query)
        probe = Probe(entries.MESSAGE, terms, vector, Conditions(), 1, LIMIT, shares)
        hits = find(self._shelf, probe)
        return [self._ids[hit.place.owner, hit.place.sequence] for hit in hits]


def _note(dialogue_id: str, sequence: int, message: Json) -> Note:
    return Note(
        entries.PUT,
        entries.MESSAGE,
        message["id"],
        dialogue_id=dialogue_id,
        sequence=sequence,
        created=sequence,
        text=documents.text_of(message["content"]),
        name=message.get("name"),
    )


# ---- figures -------------------------------------------------------------------------------------


def figures(question: Question, found: Sequence[str]) -> dict[str, float]:
    """Return what one answer is worth; each figure is 0..1, and 1 is the best."""
    hits = [message in question.wanted for message in found]
    made: dict[str, float] = {}
    for depth in DEPTHS:
        there = sum(hits[:depth])
        made[f"recall@{depth}"] = there / len(question.wanted)
        made[f"hit@{depth}"] = float(there > 0)
    gains = [1 / math.log2(rank + 2) for rank in range(10)]
    best = sum(gains[: len(question.wanted)])
    made["nDCG@10"] = sum(gain for gain, hit in zip(gains, hits, strict=False) if hit) / best
    made["MRR"] = 1 / (hits.index(True) + 1) if True in hits else 0.0
    made["hit@1"] = float(hits[:1] == [True])
    return made


def means(values: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each figure."""
    rows = list(values)
    return {name: round(statistics.fmean(row[name] for row in rows), 4) for name in rows[0]}


class Answer(NamedTuple):
    """What one ranking gave for one question."""

    namespace: str
    ranking: str
    question: Question
    worth: dict[str, float]


def measure(
    client: httpx.Client, conversations: Sequence[Conversation]
) -> tuple[list[Answer], list[str]]:
    """Store and ask everything; return the answers, and the queries that the server ranks else."""
    answers: list[Answer] = []
    different: list[str] = []
    total = sum(1 + len(one.questions) for one in conversations)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking", total=total)
        for one in conversations:
            load(client, one)
            bare = Bare(one)
            progress.advance(task)
            for question in one.questions:
                given = ask(client, one.namespace, question.text)
                for name, shares in RANKINGS.items():
                    found = bare.ask(question.text, shares)
                    if name == "shipped" and found != given:
                        different.append(question.text)
                    worth = figures(question, given if name == "shipped" else found)
                    answers.append(Answer(one.namespace, name, question, worth))
                progress.advance(task)
    return answers, different


def grouped(answers: Sequence[Answer], *, by: str) -> dict[str, list[Answer]]:
    """Put answers together by their `kind` or `namespace`, with all of them behind."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        key = answer.question.kind if by == "kind" else answer.namespace
        groups.setdefault(key, []).append(answer)
    return dict(sorted(groups.items())) | {"all": list(answers)}


def rows(answers: Sequence[Answer]) -> list[Json]:
    """Return the figures by category, by conversation and overall, for each ranking."""
    made = []
    groups = grouped(answers, by="kind") | grouped(answers, by="namespace")
    everything = groups.pop("all")
    for group, members in {**groups, "all": everything}.items():
        for name in RANKINGS:
            mine = [answer for answer in members if answer.ranking == name]
            worth = means(answer.worth for answer in mine)
            made.append({"of": group, "ranking": name, "questions": len(mine), **worth})
    return made


def table(lines: Sequence[Json], names: Sequence[str]) -> list[str]:
    """Write figures as text."""
    head = ["of", "questions", "ranking", *names]
    cells = [
        [line["of"], f"{line['questions']:,}", line["ranking"], *(f"{line[n]:.3f}" for n in names)]
        for line in lines
    ]
    return columns([head, *cells])


def report(result: Json) -> str:
    """Write the result as text."""
    locomo = ["recall@5", "recall@10", "recall@20", "hit@5", "hit@10", "hit@20", "nDCG@10", "MRR"]
    text = [
        f"{result['messages']:,} messages in {result['conversations']} conversations",
        *table(result["locomo"], locomo),
        "",
        "paraphrases: a query and its text share no term",
        *table(result["paraphrases"], ["hit@1", "hit@5", "MRR"]),
        "",
        f"the server and a bare index rank {result['different']} of {result['asked']} questions "
        "differently; other processes took "
        f"{result['strangers_share']:.1%} of the processors meanwhile",
        *machine_lines(result["machine"]),
    ]
    return "\n".join(text)


def main() -> None:
    """Measure, print the tables, and write them as JSON if asked."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    options = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("dir", type=Path, metavar="DIR", help="a folder of LoCoMo files")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    chosen = options.parse_args()
    conversations = read_folder(chosen.dir)
    pairs = read_paraphrases()
    began = busy()
    with (
        tempfile.TemporaryDirectory(prefix="dialoguedb-bench-") as room,
        serving(Path(room) / "bench.db") as (server, client),
    ):
        answers, different = measure(client, conversations)
        pair_answers, pairs_different = measure(client, [pairs])
        strangers = strangers_share(began, busy([server.pid]))
    groups = [one for one in conversations for _ in one.questions]
    result = {
        "locomo": rows(answers),
        "paraphrases": [row for row in rows(pair_answers) if row["of"] != pairs.namespace],
        "conversations": len(conversations),
        "messages": sum(len(m) for one in conversations for m in one.dialogues.values()),
        "asked": len(groups) + len(pairs.questions),
        "different": len(different) + len(pairs_different),
        "strangers_share": strangers,
        "machine": surroundings(),
    }
    print(report(result))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
