"""The built-in summariser: a conversation's own sentences, the ones that say most."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from dialoguedb.embed import Embedder
from dialoguedb.summarize.choosing import Costs, choose
from dialoguedb.summarize.lines import (
    day_line,
    day_of,
    default_tokens,
    fitting,
    joined,
    last_day,
    shortened,
    speaker_of,
    tokens_of,
)
from dialoguedb.summarize.protocol import Result, Source, Turn, Usage
from dialoguedb.summarize.salience import Sentence, terms_of, weigh
from dialoguedb.tokens import Tokenizer

PROVIDER: Final = "builtin"
MODEL: Final = "extractive-1"


class ExtractiveSummarizer:
    """Chooses sentences by their words, their meaning, their place and their form.

    The same source gives the same summary, byte for byte. No network, no model but the embedder.
    """

    provider = PROVIDER
    model = MODEL

    def __init__(self, embedder: Embedder, tokenizer: Tokenizer) -> None:
        self._embedder = embedder
        self._tokenizer = tokenizer

    def close(self) -> None:
        """Do nothing: the embedder is shared."""

    def summarize(self, source: Source, going: Callable[[], bool]) -> Result:
        """Summarise, as `Summarizer.summarize` says; only `Interrupted` is raised."""
        turns = [turn for turn in source.turns if turn.text.strip()]
        total = tokens_of(turns, self._tokenizer, going)
        room = source.max_tokens or default_tokens(total)
        content = joined(source.earlier, self._new(turns, source.earlier, room, going))
        return Result(
            content=content,
            token_count=self._tokenizer.count(content or ""),
            summarized=len(turns),
            skipped=len(source.turns) - len(turns),
            total_tokens=total,
            chunks=1 if turns else 0,
            usage=Usage(),
        )

    def _new(
        self, turns: Sequence[Turn], earlier: str | None, room: int, going: Callable[[], bool]
    ) -> str:
        """Write what is new, in at most `room` tokens; nothing if not a word has room."""
        shown = last_day(earlier)
        material = weigh(turns, self._embedder, self._tokenizer, going)
        if sum(sentence.tokens for sentence in material.sentences) <= room:
            whole = written(turns, material.sentences, shown)
            if self._tokenizer.count(whole) <= room:
                return whole
        covered = terms_of(earlier or "")
        order = choose(material, self._costs(turns, shown), covered, room, going)
        said = material.sentences
        while order:
            text = written(turns, [said[i] for i in sorted(order)], shown)
            if self._tokenizer.count(text) <= room:
                return text
            # The whole may count more than its parts. The last that was taken says least.
            order.pop()
        return self._least(turns, said, room, shown)

    def _least(
        self, turns: Sequence[Turn], said: Sequence[Sentence], room: int, shown: str | None
    ) -> str:
        """Write one sentence, or the beginning of one, where none was worth it or had room."""
        if not said:
            return ""
        best = max(said, key=lambda sentence: sentence.weight)
        head = written(turns, [best._replace(text="")], shown)
        rest = fitting(best.text, room - self._tokenizer.count(head), self._tokenizer)
        while rest:
            text = written(turns, [best._replace(text=rest)], shown)
            if self._tokenizer.count(text) <= room:
                return text
            rest = shortened(rest, self._tokenizer.count(rest) - 1, self._tokenizer)
        return ""

    def _costs(self, turns: Sequence[Turn], shown: str | None) -> Costs:
        days = [day_of(turn) for turn in turns]
        by_day = {day: self._tokenizer.count(day_line(day)) + 1 for day in set(days)}
        speakers = [speaker_of(turn) for turn in turns]
        by_speaker = {name: self._tokenizer.count(f"{name}:") + 1 for name in set(speakers)}
        return Costs(
            speaker=[by_speaker[name] for name in speakers],
            day=[by_day[day] for day in days],
            day_of=days,
            day_shown=next((day for day in by_day if day_line(day) == shown), None),
        )


def written(turns: Sequence[Turn], chosen: Sequence[Sentence], shown: str | None) -> str:
    """Write a summary.

    Args:
        turns: of the conversation.
        chosen: sentences in its order; those of one turn are put on one line.
        shown: the line of a day that stands before it already.
    """
    lines: list[str] = []
    last = shown
    for number, group in groupby(chosen, key=lambda sentence: sentence.turn):
        day = day_line(day_of(turns[number]))
        if day != last:
            lines.append(day)
            last = day
        said = " ".join(sentence.text for sentence in group)
        lines.append(f"{speaker_of(turns[number])}: {said}")
    return "\n".join(lines)
