"""Measure what a summary of a tenth of the length keeps of what is asked later.

    .venv/bin/python -m benchmarks.summaries DIR     DIR holds LoCoMo conversation files, which are
                                                     not part of this project

Each conversation is summarised as one dialogue of some hundred turns, by the built-in summariser.
Asked are the questions of categories 1 to 4 that have evidence turns. Two shares are taken of each
question's evidence turns, and their means are given:

- **words kept**: of their content words (distinct terms of the analyser that are no stop words),
  those that stand in the summary, wherever;
- **told**: of their content words, those in sentences of theirs that stand in the summary.

The same for the first, the last and random turns that have room in as many tokens; random ones are
the mean of several draws. The summary has to beat all three in both.
"""

import argparse
import random
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from benchmarks.common import Figure, Json, busy, report, seconds
from benchmarks.retrieval import Conversation, read_folder

from dialoguedb.embed import open_embedder
from dialoguedb.search import analyser, texts
from dialoguedb.summarize import Source, Turn, sentences
from dialoguedb.summarize.extractive import ExtractiveSummarizer
from dialoguedb.summarize.lines import speaker_of

SHARE = 10
SEEDS = range(8)
LONG = 10_000
#: No more than some seconds for the longest conversations.
GOAL_S = 5.0


class Pieces:
    """Counts pieces of words, and signs: the same on each machine, whatever data is on it."""

    name = "pieces"
    exact = False
    _piece = re.compile(r"\w{1,6}|[^\w\s]")

    def count(self, text: str) -> int:
        """Count the pieces of a text."""
        return len(self._piece.findall(text))


TOKENS = Pieces()


class Said(NamedTuple):
    """A turn, with the id that questions name it by."""

    key: str
    turn: Turn

    @property
    def line(self) -> str:
        """As it stands in a summary that takes it whole."""
        return f"{speaker_of(self.turn)}: {' '.join(self.turn.text.split())}"


def turns_of(conversation: Conversation) -> list[Said]:
    """Give all turns of a conversation, in order."""
    messages = [message for part in conversation.dialogues.values() for message in part]
    return [Said(message["id"], _turn(message)) for message in messages]


def _turn(message: Json) -> Turn:
    content = msgspec.json.encode(message["content"]).decode()
    when = datetime.fromisoformat(message["created"])
    text = texts.of_message(content, None).embedded
    return Turn(message["role"], message["name"], text, int(when.timestamp() * 1000))


# ---- summaries, and what they are compared with --------------------------------------------------


def built_in(said: Sequence[Said], room: int) -> str:
    """Summarise."""
    summarizer = ExtractiveSummarizer(open_embedder("static"), TOKENS)
    source = Source([one.turn for one in said], max_tokens=room)
    return summarizer.summarize(source, lambda: True).content or ""


def filled(said: Sequence[Said], order: Iterable[int], room: int) -> str:
    """Take whole turns in an order, until the next one has no room."""
    chosen = []
    for number in order:
        room -= TOKENS.count(said[number].line)
        if room < 0:
            break
        chosen.append(number)
    return "\n".join(said[number].line for number in sorted(chosen))


def first(said: Sequence[Said], room: int) -> list[str]:
    """Take the first turns."""
    return [filled(said, range(len(said)), room)]


def last(said: Sequence[Said], room: int) -> list[str]:
    """Take the last turns."""
    return [filled(said, reversed(range(len(said))), room)]


def chance(said: Sequence[Said], room: int) -> list[str]:
    """Take random turns, several times."""
    numbers = range(len(said))
    return [filled(said, random.Random(seed).sample(numbers, len(numbers)), room) for seed in SEEDS]


WAYS: dict[str, Callable[[Sequence[Said], int], list[str]]] = {
    "built-in": lambda said, room: [built_in(said, room)],
    "first turns": first,
    "last turns": last,
    "random turns": chance,
}


# ---- figures -------------------------------------------------------------------------------------


class Worth(NamedTuple):
    """What summaries keep, each 0..1."""

    words_kept: float
    told: float


def worth(conversation: Conversation, said: Sequence[Said], summary: str) -> list[Worth]:
    """Measure a summary, question by question."""
    there = content_words(summary)
    flat = " ".join(summary.split())
    words: dict[str, frozenset[str]] = {}
    told: dict[str, frozenset[str]] = {}
    for one in said:
        kept = [part for part in sentences.split(one.turn.text) if part in flat]
        words[one.key] = content_words(one.turn.text)
        told[one.key] = words[one.key] & content_words(" ".join(kept))
    made = []
    for question in conversation.questions:
        wanted = union(words[key] for key in question.wanted)
        if wanted:
            got = union(told[key] for key in question.wanted)
            made.append(Worth(len(wanted & there) / len(wanted), len(got) / len(wanted)))
    return made


def content_words(text: str) -> frozenset[str]:
    """Give the distinct terms of a text that are no stop words."""
    return frozenset(analyser.terms(text)) - analyser.STOP_TERMS


def union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    """Put sets into one."""
    return frozenset[str]().union(*sets)


def measure(conversations: Sequence[Conversation]) -> dict[str, Worth]:
    """Measure each way, over all questions of all conversations."""
    found: dict[str, list[Worth]] = {name: [] for name in WAYS}
    for one in conversations:
        said = turns_of(one)
        room = sum(TOKENS.count(each.turn.text) for each in said) // SHARE
        for name, way in WAYS.items():
            for summary in way(said, room):
                found[name] += worth(one, said, summary)
    return {
        name: Worth(*map(statistics.fmean, zip(*rows, strict=True))) for name, rows in found.items()
    }


def figures(folder: Path) -> list[Figure]:
    """Measure the conversations of a folder, and the time that a long one takes."""
    conversations = read_folder(folder)
    all_said = [one for conversation in conversations for one in turns_of(conversation)]
    found = measure(conversations)
    made = []
    for field in Worth._fields:
        others = [getattr(value, field) for name, value in found.items() if name != "built-in"]
        for name, value in found.items():
            goal = round(max(others), 3) if name == "built-in" else None
            label = f"summary, {field.replace('_', ' ')}: {name}"
            share = round(getattr(value, field), 3)
            made.append(Figure(label, len(all_said), share, "share", goal, least=True))
    copies = -(-LONG // len(all_said))
    long = sorted(all_said * copies, key=lambda one: one.turn.created_ms)[:LONG]
    took = seconds(built_in, long, 1000)
    made.append(Figure("summary of a long dialogue", LONG, round(took, 2), "s", GOAL_S))
    return made


def main() -> None:
    """Measure, print the table, and write it as JSON if asked; or print summaries."""
    head, _, rest = (__doc__ or "").partition("\n\n")
    options = argparse.ArgumentParser(
        description=head, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("dir", type=Path, metavar="DIR", help="a folder of LoCoMo files")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    options.add_argument(
        "--show", type=int, metavar="TOKENS", help="print a summary of this length of each instead"
    )
    chosen = options.parse_args()
    if chosen.show:
        for conversation in read_folder(chosen.dir):
            print(f"{conversation.namespace}\n{built_in(turns_of(conversation), chosen.show)}\n")
        return
    began = busy()
    report(figures(chosen.dir), began, chosen.json)


if __name__ == "__main__":
    main()
