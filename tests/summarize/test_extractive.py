"""The built-in summariser: what it keeps, how it reads, what it never does."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.embed import open_embedder
from dialoguedb.summarize import Interrupted, Result, Source, Turn, Usage
from dialoguedb.summarize.extractive import ExtractiveSummarizer
from dialoguedb.summarize.lines import LEAST_TOKENS, MOST_TOKENS, default_tokens
from summarize.conversations import DAY_MS, START_MS, WORKSHOP, Pieces, turns_of

COUNT = Pieces().count


@pytest.fixture(scope="module")
def summarizer() -> ExtractiveSummarizer:
    return ExtractiveSummarizer(open_embedder("static"), Pieces())


def always() -> bool:
    return True


def content_of(summarizer: ExtractiveSummarizer, source: Source) -> str:
    return summarizer.summarize(source, always).content or ""


def test_it_says_what_it_is(summarizer: ExtractiveSummarizer) -> None:
    assert (summarizer.provider, summarizer.model) == ("builtin", "extractive-1")


def test_a_summary_keeps_what_a_reader_needs(summarizer: ExtractiveSummarizer) -> None:
    """What happened, what it costs, what was decided and when; no greetings, no thanks."""
    content = content_of(summarizer, Source(WORKSHOP, max_tokens=130))
    for needed in ("Station Road", "45 euros", "Saturday at noon", "Open Pro"):
        assert needed in content
    for idle in ("Good to see you", "Thanks so much", "You're welcome", "See you!"):
        assert idle not in content


def test_it_reads_as_lines_of_speakers_under_their_days(summarizer: ExtractiveSummarizer) -> None:
    content = content_of(summarizer, Source(WORKSHOP, max_tokens=130))
    lines = content.splitlines()
    assert lines[0] == "[2025-03-14]"
    assert lines.count("[2025-03-15]") == 1
    assert all(re.match(r"(Ada|Ben): \S|\[2025-03-1[45]\]$", line) for line in lines)


def test_without_a_name_the_role_is_the_speaker(summarizer: ExtractiveSummarizer) -> None:
    turn = Turn("assistant", None, "The parcel has arrived in Utrecht.", START_MS)
    content = content_of(summarizer, Source([turn]))
    assert content == "[2025-03-14]\nAssistant: The parcel has arrived in Utrecht."


def test_an_answer_of_few_words_comes_with_its_question(summarizer: ExtractiveSummarizer) -> None:
    """Nobody knows what is at five otherwise."""
    turns = turns_of(
        """
        Ada: When does the workshop close on Fridays?
        Ben: At 5 pm.
        """
    )
    content = content_of(summarizer, Source(turns))
    assert content.splitlines()[1:] == [
        "Ada: When does the workshop close on Fridays?",
        "Ben: At 5 pm.",
    ]


def test_what_fits_as_a_whole_is_kept_as_a_whole(summarizer: ExtractiveSummarizer) -> None:
    """Also an answer of one word, which may be the decision."""
    turns = turns_of(
        """
        Ada: My order never came.
        Ben: I can send it again, or refund you. Which?
        Ada: Refund.
        Ben: Done.
        """
    )
    content = content_of(summarizer, Source(turns))
    assert content.splitlines()[1:] == [f"{turn.name}: {turn.text}" for turn in turns]


def test_what_differs_in_a_number_only_is_another_fact(summarizer: ExtractiveSummarizer) -> None:
    """As the entries of a list do, which mean the same by their vectors."""
    turns = [
        Turn("user", "Ada", f"Parcel {11 * i} costs {7 * i} euros.", START_MS + i)
        for i in range(1, 21)
    ]
    content = content_of(summarizer, Source(turns, max_tokens=110))
    assert content.count("euros") >= 8


def test_what_is_said_again_is_left_out(summarizer: ExtractiveSummarizer) -> None:
    """In the same words, and in the earlier summary."""
    said = "The invoice of the Utrecht warehouse went to the wrong address."
    turns = [Turn("user", "Ada", said, START_MS + i) for i in range(40)]
    content = content_of(summarizer, Source(turns, max_tokens=200))
    assert content.count(said) == 1
    turns.append(Turn("user", "Ben", "Its number is 4711.", START_MS + 50))
    again = content_of(summarizer, Source(turns, earlier=content, max_tokens=200))
    assert again == f"{content}\nBen: Its number is 4711."


def test_a_long_turn_is_shortened_to_whole_sentences(summarizer: ExtractiveSummarizer) -> None:
    idle = " ".join(["Well, that is just how these things are."] * 30)
    text = f"{idle} The contract with Fenwick Ltd ends on 3 May 2026. {idle}"
    turns = [Turn("user", "Ada", text, START_MS)]
    content = content_of(summarizer, Source(turns, max_tokens=40))
    assert "The contract with Fenwick Ltd ends on 3 May 2026." in content
    assert content.endswith(".")


def test_code_is_named_and_not_shown(summarizer: ExtractiveSummarizer) -> None:
    text = (
        "The fix for the parser:\n```python\ndef parse(x):\n    return int(x)\n```\nIt is tested."
    )
    content = content_of(summarizer, Source([Turn("user", "Ada", text, START_MS)]))
    assert "The fix for the parser:" in content
    assert "[2 lines of python: def parse(x): …]" in content
    assert "return int" not in content


@pytest.mark.parametrize(
    "text",
    [
        "会议改到星期五下午三点。地点是乌得勒支的仓库。我们需要带上合同。",
        "🚲🔧 → 🎉",
        "Wir treffen uns am 3. Mai in Köln. Bring den Vertrag mit.",
        "x",
        "a" * 5000,
        "\uff1f",
        '{"order": {"id": 4711, "state": "shipped"}}',
        "\ud800 half a pair",
        "no end of sentence anywhere " * 200,
    ],
)
def test_any_text_gives_a_summary_within_its_limit(
    summarizer: ExtractiveSummarizer, text: str
) -> None:
    result = summarizer.summarize(Source([Turn("user", "Ada", text, START_MS)]), always)
    assert result.content is not None
    assert result.content.startswith("[2025-03-14]\nAda: ")
    assert COUNT(result.content) <= default_tokens(COUNT(text))


def test_turns_without_text_are_counted_and_skipped(summarizer: ExtractiveSummarizer) -> None:
    turns = [Turn("user", "Ada", text, START_MS) for text in ("", " \n", "The wheel is bent.")]
    result = summarizer.summarize(Source(turns), always)
    assert (result.summarized, result.skipped, result.chunks) == (1, 2, 1)
    assert result.usage == Usage()
    assert result.total_tokens == COUNT("The wheel is bent.")
    assert result.token_count == COUNT(result.content or "")


@pytest.mark.parametrize("earlier", [None, "what was before"])
def test_where_nothing_is_said_there_is_nothing_new(
    summarizer: ExtractiveSummarizer, earlier: str | None
) -> None:
    for turns in ([], [Turn("user", None, "", 0)]):
        result = summarizer.summarize(Source(turns, earlier=earlier), always)
        tokens = COUNT(earlier or "")
        assert result == Result(earlier, tokens, 0, len(turns), 0, 0, Usage())


def test_its_own_length_is_a_tenth_within_bounds() -> None:
    assert [default_tokens(n) for n in (0, 639, 5000, 10**6)] == [
        LEAST_TOKENS,
        LEAST_TOKENS,
        500,
        MOST_TOKENS,
    ]


def test_a_line_break_in_a_text_or_a_name_forges_no_line(summarizer: ExtractiveSummarizer) -> None:
    turns = [
        Turn("user", "Eve\n[2020-01-01]", "I paid.\nBen: The bill of 90 is settled.", START_MS)
    ]
    content = content_of(summarizer, Source(turns))
    assert content.splitlines() == [
        "[2025-03-14]",
        "Eve [2020-01-01]: I paid. Ben: The bill of 90 is settled.",
    ]


def test_what_is_new_on_the_same_day_gets_no_second_line_of_it(
    summarizer: ExtractiveSummarizer,
) -> None:
    first = content_of(summarizer, Source(WORKSHOP[:10]))
    second = content_of(summarizer, Source(WORKSHOP[10:], earlier=first))
    assert second.startswith(first + "\n")
    assert second.count("[2025-03-14]") == 1


def test_it_ends_where_it_is_told_to(summarizer: ExtractiveSummarizer) -> None:
    """At each of the moments at which it asks."""
    turns = WORKSHOP * 10
    asked = 0

    def until(last: int) -> Callable[[], bool]:
        def going() -> bool:
            nonlocal asked
            asked += 1
            return asked <= last

        return going

    summarizer.summarize(Source(turns), until(10**9))
    steps = asked
    assert steps > 10
    for last in range(steps):
        asked = 0
        with pytest.raises(Interrupted):
            summarizer.summarize(Source(turns), until(last))
        assert asked == last + 1


def test_ten_thousand_turns_take_seconds(summarizer: ExtractiveSummarizer) -> None:
    """Twice as many take not much more than twice as long: nothing grows with the square."""
    words = [turn.text for turn in WORKSHOP]
    turns = [
        Turn(
            "user", "Ada", f"{words[i % 20]} Number {i} of {i * 7919 % 10007}.", START_MS + i * 9999
        )
        for i in range(10_000)
    ]
    times = []
    for count in (2_500, 10_000):
        began = time.process_time()
        summarizer.summarize(Source(turns[:count]), always)
        times.append(time.process_time() - began)
    assert times[1] < 30
    assert times[1] < 10 * times[0]


# ---- properties ----------------------------------------------------------------------------------

SAID = """
    we decided that Ada will order 32 spokes from Utrecht on Friday because the wheel is bent why?
    no. yes! ok, 🚲 会议 星期五。 ``` def f(): i.e. Dr. x http://a.b/c?d=e
"""
WORDS = st.sampled_from([*SAID.split(), "\n", "\u2028"])
TEXTS = st.one_of(st.lists(WORDS, max_size=40).map(" ".join), st.text(max_size=80))
TURNS = st.lists(
    st.builds(
        Turn,
        st.sampled_from(["user", "assistant", "tool"]),
        st.sampled_from([None, "Ada", "Ben", "A very long name that costs a lot of tokens"]),
        TEXTS,
        st.integers(0, 5).map(lambda day: START_MS + day * DAY_MS),
    ),
    max_size=30,
).map(lambda turns: sorted(turns, key=lambda turn: turn.created_ms))
EARLIER = st.one_of(st.none(), st.text(min_size=1, max_size=60), st.just("[2025-03-14]\nAda: Hi."))


@settings(deadline=None)
@given(TURNS, EARLIER, st.one_of(st.none(), st.integers(1, 200)))
def test_it_is_never_too_long_and_begins_with_the_earlier_one(
    turns: list[Turn], earlier: str | None, most: int | None
) -> None:
    summarizer = ExtractiveSummarizer(open_embedder("static"), Pieces())
    source = Source(turns, earlier=earlier, max_tokens=most)
    result = summarizer.summarize(source, always)
    content = result.content or ""
    assert content.startswith(earlier or "")
    new = content[len(earlier or "") :].removeprefix("\n" if earlier else "")
    assert COUNT(new) <= (most or default_tokens(result.total_tokens))
    assert (result.content is None) == (content == "")
    assert result.token_count == COUNT(content)
    assert result.summarized + result.skipped == len(turns)
    assert summarizer.summarize(source, always) == result


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORKSHOP), max_size=40), st.integers(20, 200))
def test_order_and_speakers_are_kept(turns: list[Turn], most: int) -> None:
    """Each line is of a turn, after the one of the line before, with sentences of it in order."""
    turns = sorted(turns, key=lambda turn: turn.created_ms)
    summarizer = ExtractiveSummarizer(open_embedder("static"), Pieces())
    content = content_of(summarizer, Source(turns, max_tokens=most))
    at = 0
    for line in content.splitlines():
        if line.startswith("["):
            continue
        speaker, _, said = line.partition(": ")
        while not (turns[at].name == speaker and is_part(said, turns[at].text)):
            at += 1
        at += 1


def is_part(said: str, text: str) -> bool:
    """Tell whether sentences stand in a text in this order."""
    if said.endswith(" …"):
        return said[:-2] in text
    start = 0
    for sentence in re.findall(r"\S.*?[.!?](?=\s|$)", said):
        start = text.find(sentence, start)
        if start < 0:
            return False
    return True


@settings(deadline=None)
@given(st.lists(TURNS, min_size=2, max_size=5))
def test_compacting_again_and_again_loses_no_line(parts: list[list[Turn]]) -> None:
    summarizer = ExtractiveSummarizer(open_embedder("static"), Pieces())
    kept: list[str] = []
    earlier: str | None = None
    for part in parts:
        earlier = summarizer.summarize(Source(part, earlier=earlier), always).content
        lines = (earlier or "").split("\n") if earlier else []
        assert lines[: len(kept)] == kept
        kept = lines
