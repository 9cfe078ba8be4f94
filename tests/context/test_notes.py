"""The notes of a context: the summary, and what has been recalled."""

from hypothesis import given
from hypothesis import strategies as st

from context.talks import TEXTS
from dialoguedb.context.costs import MESSAGE
from dialoguedb.context.notes import RECALL_HEAD, SUMMARY_HEAD, Found, recall_note, summary_note
from dialoguedb.tokens import Estimate

TOKENS = Estimate()
DAY = 86_400_000


def found(number: int, text: str, *, day: int = 0, speaker: str = "Ada") -> Found:
    return Found("recalled", f"m{number}", text, speaker, (day * DAY, "d", number), 0.5)


def memory(number: int, text: str) -> Found:
    return Found("memory", f"k{number}", text, "", (0, "", 0), 0.5)


def test_a_summary_that_fits_is_whole() -> None:
    text, tokens = summary_note("Ada: hello\nBo: hi", 100, TOKENS)
    assert text == f"{SUMMARY_HEAD}\nAda: hello\nBo: hi"
    assert tokens == MESSAGE + TOKENS.count(SUMMARY_HEAD + "\n") + TOKENS.count(
        "Ada: hello\nBo: hi"
    )


def test_a_summary_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    lines = [f"Ada: line {number} of it" for number in range(100)]
    text, tokens = summary_note("\n".join(lines), 120, TOKENS)
    head, *shown = text.split("\n")
    assert (head, shown[0], shown[-1]) == (SUMMARY_HEAD, lines[0], lines[-1])
    gap = shown.index("[…]")
    assert shown[:gap] == lines[:gap]
    assert shown[gap + 1 :] == lines[-(len(shown) - gap - 1) :]
    assert tokens <= 120


def test_of_a_summary_without_room_nothing_is_shown() -> None:
    assert summary_note("word " * 100, 30, TOKENS) == ("", 0)
    assert summary_note("word", 0, TOKENS) == ("", 0)


@given(st.lists(TEXTS, min_size=1, max_size=20).map("\n".join), st.integers(0, 300))
def test_a_summary_keeps_to_its_room(content: str, room: int) -> None:
    text, tokens = summary_note(content, room, TOKENS)
    assert tokens <= room
    assert bool(text) == bool(tokens)
    if text:
        assert MESSAGE + TOKENS.count(text) <= tokens


def test_what_is_recalled_stands_by_date_with_its_speaker() -> None:
    """Whatever its order of relevance; memories come first."""
    items = [
        memory(1, "language: et"),
        found(3, "on two\nlines", day=2),
        found(2, "first", speaker="Bo"),
        found(4, "last", day=2),
    ]
    note = recall_note(items, 1000, TOKENS)
    assert note.text.split("\n") == [
        RECALL_HEAD,
        "language: et",
        "1970-01-01:",
        "Bo: first",
        "1970-01-03:",
        "Ada: on two lines",
        "Ada: last",
    ]
    assert [item.found.id for item in note.items] == ["k1", "m2", "m3", "m4"]


def test_the_most_relevant_is_recalled_first() -> None:
    items = [found(number, "word " * 20) for number in range(20)]
    note = recall_note(items, 130, TOKENS)
    shown = [item.found.id for item in note.items]
    assert 0 < len(shown) < 20
    assert shown == [one.id for one in items[: len(shown)]]


def test_memories_leave_room_for_messages() -> None:
    items = [memory(number, "word " * 20) for number in range(20)]
    note = recall_note([*items, found(1, "word " * 20)], 300, TOKENS)
    assert sum(item.found.reason == "memory" for item in note.items) in (2, 3)
    assert note.items[-1].found.id == "m1"


def test_of_a_long_text_its_beginning_is_recalled() -> None:
    """By words, and where there are none by letters."""
    note = recall_note([found(1, "begin " + "word " * 5000), found(2, "会" * 5000)], 1000, TOKENS)
    (_, _, first, second) = note.text.split("\n")
    assert first.startswith("Ada: begin word")
    assert first.endswith("word …")
    assert second == "Ada: " + "会" * 100 + " …"


def test_what_says_nothing_is_not_recalled() -> None:
    assert recall_note([found(1, " \n ")], 100, TOKENS).items == ()
    assert recall_note([found(1, "word")], 10, TOKENS).items == ()


@given(
    st.lists(st.tuples(st.booleans(), TEXTS, st.integers(0, 3)), max_size=30), st.integers(0, 500)
)
def test_a_note_keeps_to_its_room(items: list[tuple[bool, str, int]], room: int) -> None:
    """By its own sum, and as a whole."""
    said = sorted(items, key=lambda one: not one[0])
    asked = [
        memory(number, text) if is_memory else found(number, text, day=day)
        for number, (is_memory, text, day) in enumerate(said)
    ]
    note = recall_note(asked, room, TOKENS)
    assert note.tokens <= room
    if note.items:
        assert MESSAGE + TOKENS.count(note.text) <= note.tokens
