"""Measure how much of what is asked later a summary of a tenth of the length keeps.

    .venv/bin/python -m benchmarks.summaries DIR     DIR holds LoCoMo conversation files, which
                                                     are not part of this project

Each conversation is summarised as one dialogue of several hundred turns. Of every question of
categories 1 to 4 that has evidence turns, the share of their content words (distinct terms of the
analyser that are no stop words) that stand in the summary; the mean over questions. Beside it, the
share of evidence turns of which a sentence with most of their words was kept whole: words that
happen to stand elsewhere do not count there. The same for the first, the last and random turns
that have room in the same number of tokens.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import Figure, busy, columns, report
from benchmarks.retrieval import Conversation, read_folder

from dialoguedb.embed import open_embedder
import msgspec
from dialoguedb.search import analyser, texts as T
from dialoguedb.summarize import sentences
from dialoguedb.summarize.extractive import ExtractiveSummarizer, speaker_of
from dialoguedb.summarize.protocol import Source, Tokenizer, Turn

SHARE = 10
SEEDS = range(8)


class Letters:
    name, exact = "estimate", False

    def count(self, text: str) -> int:
        import re
        return len(re.findall(r"\w{1,6}|[^\w\s]", text))


def turns_of(conversation: Conversation) -> list[tuple[str, Turn]]:
    found = []
    for messages in conversation.dialogues.values():
        for message in messages:
            when = datetime.fromisoformat(message["created"])
            found.append((message["id"], Turn(message["role"], message["name"],
                T.of_message(msgspec.json.encode(message["content"]).decode(), None).embedded, int(when.timestamp() * 1000))))
    return found


def content_words(text: str) -> frozenset[str]:
    return frozenset(analyser.terms(text)) - analyser.STOP_TERMS


def simple(turns, order, room, tok):
    chosen = []
    for i in order:
        cost = tok.count(f"{speaker_of(turns[i])}: {turns[i].text}") + 1
        if cost > room: break
        room -= cost
        chosen.append(i)
    return "\n".join(f"{speaker_of(turns[i])}: {turns[i].text}" for i in sorted(chosen))


def kept(conversation, turns, summary):
    words = content_words(summary)
    raw = {k: sentences.split(t.text) for k, t in turns}
    flat = ' '.join(summary.split())
    lines = [content_words(l) for l in summary.splitlines()]
    texts = {k: content_words(t.text) for k, t in turns}
    a, b = [], []
    for q in conversation.questions:
        ev = frozenset().union(*(texts[k] for k in q.wanted))
        if not ev: continue
        a.append(len(ev & words) / len(ev))
        b.append(statistics.fmean(own(raw[k], texts[k], summary) for k in q.wanted))
    return statistics.fmean(a), statistics.fmean(b)


def own(parts, words, summary):
    flat=' '.join(summary.split())
    got = frozenset().union(*(content_words(p) for p in parts if p in flat))
    return len(got & words)/max(len(words),1)


def main():
    o = argparse.ArgumentParser(); o.add_argument("dir", type=Path); o.add_argument("--show")
    c = o.parse_args()
    tok = Letters()
    s = ExtractiveSummarizer(open_embedder("static"), tok)
    rows = {}
    for conv in read_folder(c.dir):
        turns = turns_of(conv)
        plain = [t for _, t in turns]
        total = sum(tok.count(t.text) for t in plain)
        room = total // SHARE
        n = len(plain)
        t0 = time.perf_counter()
        made = s.summarize(Source(plain, max_tokens=room), lambda: True)
        took = time.perf_counter() - t0
        out = {"builtin": kept(conv, turns, made.content),
           "first": kept(conv, turns, simple(plain, range(n), room, tok)),
           "last": kept(conv, turns, simple(plain, range(n - 1, -1, -1), room, tok))}
        rnd = [kept(conv, turns, simple(plain, random.Random(x).sample(range(n), n), room, tok)) for x in SEEDS]
        out["random"] = tuple(statistics.fmean(v) for v in zip(*rnd))
        print(conv.namespace, n, total, room, made.token_count, f"{took:.2f}s", {k: tuple(round(x, 3) for x in v) for k, v in out.items()})
        for k, v in out.items(): rows.setdefault(k, []).append(v)
        if c.show and c.show in conv.namespace: print(made.content)
    print({k: tuple(round(statistics.fmean(x), 3) for x in zip(*v)) for k, v in rows.items()})

main() if __name__ == "__main__" else None
