"""Contexts as a whole: the budget, the order, the pairs, and that nothing moves without need."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from context.talks import (
    TALKS,
    Json,
    anthropic_call,
    anthropic_result,
    check_anthropic,
    check_openai,
    message,
    openai_call,
    openai_result,
    turns_of,
)
from dialoguedb.context.assembly import (
    Asked,
    Context,
    Summary,
    TooSmall,
    assembled,
    framed,
    recalled,
    sized,
)
from dialoguedb.context.formats import Format
from dialoguedb.context.notes import Found
from dialoguedb.context.turns import Turn
from dialoguedb.tokens import Estimate

TOKENS = Estimate()
SYSTEM = turns_of([message("system", "You help in a shop.")], first=0)
FORMATS: tuple[Format, ...] = ("dialoguedb", "openai", "anthropic")
FOUND = [
    Found("memory", "k1", "language: et", "", (0, "", 0), 0.4),
    *(Found("recalled", f"x{n}", f"fact {n}", "Ada", (n, "x", n), 0.5) for n in range(50)),
]


def built(
    turns: Sequence[Turn],
    form: Format = "openai",
    *,
    budget: int = 1000,
    keep: int = 4,
    found: Sequence[Found] = (),
    summary: Summary | None = None,
    system: Sequence[Turn] = SYSTEM,
) -> Context:
    asked = Asked(budget, keep, bool(found), stored=form == "dialoguedb")
    frame = framed(asked, system, sized(asked, turns, TOKENS), summary, TOKENS)
    return assembled(frame, recalled(frame, found, TOKENS), form)


def reasons(context: Context) -> list[str]:
    """The reasons of the parts, each once where it stands in a row."""
    made: list[str] = []
    for part in context.included:
        if made[-1:] != [part.reason]:
            made.append(part.reason)
    return made


def counted(messages: Sequence[Json]) -> int:
    """What all texts of messages come to."""

    def texts(value: Any) -> int:
        if isinstance(value, str):
            return TOKENS.count(value)
        if isinstance(value, list):
            return sum(map(texts, value))
        if isinstance(value, dict):
            kept = (v for k, v in value.items() if k in ("text", "content", "name", "arguments"))
            return sum(map(texts, kept))
        return 0

    return sum(texts(one) for one in messages)


TALK = turns_of([message(("user", "assistant")[n % 2], f"say {n} " * 5) for n in range(200)])


def test_the_order_is_system_summary_recalled_and_the_last_turn() -> None:
    """The window's older turns stand in front of what is recalled: they stay, it changes."""
    summary = Summary("s1", "Ada: I want a bicycle.", (150_000, 150))
    context = built(TALK, found=FOUND, summary=summary)
    assert reasons(context) == ["system", "summary", "recent", "memory", "recalled", "recent"]
    assert [part.id for part in context.included][-2:] == ["m199", "m200"]
    assert context.written.messages[0]["content"] == "You help in a shop."
    assert "I want a bicycle" in context.written.messages[1]["content"]
    assert "language: et" in context.written.messages[-3]["content"]


def test_without_anything_there_is_nothing() -> None:
    context = built([], system=[])
    assert (context.written.messages, context.included, context.tokens) == ([], [], 0)


def test_a_budget_that_holds_no_turn_is_refused() -> None:
    """And what it takes is said: with so much it is enough, with one token less it is not."""
    with pytest.raises(TooSmall) as refused:
        built(TALK, budget=1)
    needed = refused.value.needed
    assert built(TALK, budget=needed).tokens <= needed
    with pytest.raises(TooSmall):
        built(TALK, budget=needed - 1)


def test_a_budget_that_holds_no_system_prompt_is_refused() -> None:
    """Also where nothing follows it."""
    with pytest.raises(TooSmall) as refused:
        built([], budget=1)
    assert built([], budget=refused.value.needed).tokens <= refused.value.needed


def test_what_can_never_fit_is_not_counted_to_its_end() -> None:
    """A log of megabytes that somebody has pasted would cost seconds with each context."""

    class Watched(Estimate):
        seen = 0

        def count(self, text: str) -> int:
            self.seen += len(text)
            return super().count(text)

    log = "lorem ipsum " * 100_000
    call = openai_call("a")
    call["content"]["tool_calls"][0]["function"]["arguments"] = log
    huge = [message("user", log), call, openai_result("a")]
    turns = turns_of([*huge, message("assistant", "Read."), message("user", "And?")])
    watched = Watched()
    asked = Asked(1000, 4, recalls=False)
    frame = framed(asked, SYSTEM, sized(asked, turns, watched), None, watched)
    assert [one.group.turns[0].id for one in frame.window.groups] == ["m4", "m5"]
    assert watched.seen < 1000
    with pytest.raises(TooSmall) as refused:
        framed(asked, SYSTEM, sized(asked, turns[:1], watched), None, watched)
    assert refused.value.needed > TOKENS.count(log)  # which is said exactly


@pytest.mark.parametrize("form", FORMATS)
def test_calls_and_results_are_none_of_the_system_prompt(form: Format) -> None:
    """It answers nothing, and nothing answers it; what else it says stays."""
    ruled = anthropic_call("a", text="Be kind.")["content"]
    answered = anthropic_result("a", "b", text="Be brief.")["content"]
    call = openai_call("c")["content"]
    said = [message("system", ruled), message("developer", answered), message("system", call)]
    context = built(turns_of([message("user", "hi")], first=9), form, system=turns_of(said))
    shown = json.dumps(context.written)
    assert not any(word in shown for word in ("tool", "look", "image", "of a"))
    assert [part.id for part in context.included] == ["m1", "m2", "m9"]
    if form == "anthropic":
        assert context.written.system == "Be kind.\n\nBe brief."
    else:
        roles = [one["role"] for one in context.written.messages]
        assert roles == ["system", "developer", "user"]


def test_images_are_counted() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA" * 100_000}
    turns = turns_of([message("user", [{"type": "image", "source": source}])])
    assert 1600 <= built(turns, budget=2000).tokens < 1700
    url = {"url": "https://a.example/b.png", "detail": "low"}
    turns = turns_of([message("user", [{"type": "image_url", "image_url": url}])])
    assert 85 <= built(turns, budget=2000).tokens < 150


NOTE = "word " * 1000
PIXELS = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" * 10_000}
PICTURE = {"type": "image", "source": PIXELS}
PICTURE_URL = {"url": "data:image/png;base64," + PIXELS["data"], "detail": "low"}


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "hi", "note": NOTE}],
        [{"type": "tool_use", "id": "a", "name": "look", "input": {}, "note": [NOTE]}],
        [{"type": "image", "source": PIXELS | {"note": NOTE}}],
        {"content": "hi", "role": "user", "annotations": [NOTE]},
        {"content": "hi", "tool_call_id": "a", "note": {NOTE: 1}},
        {"type": "text", "text": "hi", "note": NOTE},
    ],
)
def test_what_is_shown_as_it_is_stored_is_counted_with_all_that_is_in_it(content: Any) -> None:
    """In the system prompt, too; a provider's format leaves out what no provider takes."""
    said = turns_of([message("system", content)])
    answered = turns_of([message("user", content), anthropic_result("a")])
    for shown in ({"turns": answered}, {"turns": [], "system": said}):
        if not built(form="dialoguedb", budget=9000, **shown).written.messages[1:]:
            continue  # a call of the system prompt
        with pytest.raises(TooSmall) as refused:
            built(form="dialoguedb", **shown)
        assert refused.value.needed >= 1000
    assert built(answered, "openai", budget=2000).tokens < 1700


def test_the_pixels_of_an_image_are_not_counted_as_text() -> None:
    """Wherever it stands in what is stored."""
    low = {"type": "image_url", "image_url": PICTURE_URL}
    nested = {"type": "tool_result", "tool_use_id": "a", "content": [PICTURE]}
    call = anthropic_call("a")
    for content, least in ([PICTURE], 1600), ([low], 85), ({"content": [low], "role": "u"}, 85):
        turns = turns_of([message("user", content)])
        assert least <= built(turns, "dialoguedb", budget=2000).tokens < least + 80
    turns = turns_of([call, message("user", [nested])])
    assert 1600 <= built(turns, "dialoguedb", budget=2000).tokens < 1750


def test_texts_in_blocks_cost_what_they_say() -> None:
    """Whichever the format: what frames them no model reads."""
    turns = turns_of([message("user", [{"type": "text", "text": f"say\n{n}"} for n in range(9)])])
    assert len({built(turns, form).tokens for form in FORMATS}) == 1


def test_behind_a_summary_the_window_stays() -> None:
    """It begins as far before the summary's end as turns are kept, as long as all fits."""
    summary = Summary("s1", "Ada: I want a bicycle.", (100_000, 100))
    for end in range(100, 140):
        context = built(TALK[:end], summary=summary, budget=2000)
        recent = [part.id for part in context.included if part.reason == "recent"]
        assert recent == [turn.id for turn in TALK[96:end]]


@given(
    TALKS,
    st.integers(1, 600),
    st.integers(0, 12),
    st.booleans(),
    st.none() | st.builds(Summary, st.just("s"), st.just("Ada: said it\n" * 9), st.just((9000, 9))),
)
def test_contexts(
    messages: list[Json], budget: int, keep: int, finds: bool, summary: Summary | None
) -> None:
    """The budget holds, the order is kept, pairs are whole, and the same comes of the same."""
    turns = turns_of(messages)
    for form in FORMATS:
        asked = {
            "budget": budget,
            "keep": keep,
            "found": FOUND if finds else (),
            "summary": summary,
        }
        try:
            context = built(turns, form, **asked)
        except TooSmall as error:
            assert error.needed > budget
            continue
        assert context.tokens == sum(part.tokens for part in context.included) <= budget
        shown = [*context.written.messages, {"content": context.written.system}]
        assert counted(shown) <= budget
        recent = [part.id for part in context.included if part.reason == "recent"]
        places = [int(one[1:]) for one in recent]
        assert places == sorted(set(places))
        if form == "openai":
            check_openai(context.written.messages)
        if form == "anthropic":
            check_anthropic(context.written.messages)
        assert built(turns, form, **asked) == context


# ── from turn to turn ────────────────────────────────────────────────────────────────────────


def said(number: int) -> list[Json]:
    """The messages of one turn; every tenth uses a tool."""
    words = " ".join(f"word{number * 7 % 13}" for _ in range(5 + number * 37 % 23))
    if number % 10 == 9:
        return [
            message("user", words),
            anthropic_call(f"c{number}"),
            anthropic_result(f"c{number}"),
            message("assistant", words),
        ]
    return [message("user", words), message("assistant", words)]


def lines(context: Context, *, stable_only: bool) -> list[bytes]:
    """The bytes of the messages; without what was recalled if asked."""
    notes = ("Recalled from",)
    return [
        json.dumps(one).encode()
        for one in context.written.messages
        if not (
            stable_only and isinstance(one["content"], str) and one["content"].startswith(notes)
        )
    ]


@pytest.mark.parametrize("recalls", [False, True])
@pytest.mark.parametrize("form", ["dialoguedb", "openai"])
def test_of_500_turns_95_in_100_go_on_from_the_one_before(form: Format, recalls: bool) -> None:
    """A context is asked for with each thing that is said, with 4,000 tokens as by default."""
    turns: list[Turn] = []
    before: list[bytes] = []
    kept = asked = 0
    for number in range(500):
        for one in said(number):
            turns += turns_of([one], first=len(turns) + 1)
            found = [FOUND[number % 50 + 1]] if recalls else []
            newest = turns[-400:]
            context = built(newest, form, budget=4000, keep=10, found=found)
            now = lines(context, stable_only=True)
            asked += 1
            kept += now[: len(before)] == before
            before = now
    assert kept >= 0.95 * asked


def test_blocks_for_anthropic_go_on_too() -> None:
    """Its messages are joined, so it is their blocks that follow each other."""
    turns: list[Turn] = []
    before: list[str] = []
    kept = asked = 0
    for number in range(500):
        for one in said(number):
            turns += turns_of([one], first=len(turns) + 1)
            context = built(turns[-400:], "anthropic", budget=4000, keep=10)
            now = [
                json.dumps([one["role"], block])
                for one in context.written.messages
                for block in one["content"]
            ]
            asked += 1
            kept += now[: len(before)] == before
            before = now
    assert kept >= 0.95 * asked
