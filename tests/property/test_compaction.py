"""Compacting again and again: whatever happens between, nothing that was kept is lost."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dialoguedb
from dialoguedb import DialogueDB, Summary

WORDS = [
    "wheel", "Friday", "45 euros", "Ada agreed", "why?", "we decided", "no", "Berlin", "🚲", "会议",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), TEXTS),
        st.tuples(st.just("early"), TEXTS),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("compact"), st.booleans()),
        st.tuples(st.just("until"), st.integers(0, 30)),
    ),
    min_size=3,
    max_size=25,
)


class Followed:
    """A dialogue, its messages in order, and its summaries with the messages of each."""

    def __init__(self, db: DialogueDB) -> None:
        self.db = db
        self.dialogue = db.create_dialogue()
        self.made: dict[str, tuple[Summary, frozenset[str]]] = {}
        self.touched: set[str] = set()

    def ids(self) -> list[str]:
        return [one.id for one in self.dialogue.messages_iter()]

    def do(self, name: str, what: Any) -> None:
        before = self.ids()
        if name == "say":
            self.dialogue.save_message(role="user", content=what)
        elif name == "early":
            new = self.dialogue.save_message(role="user", content=what, created="2020-01-01")
            order = self.ids()
            behind = set(order[order.index(new.id) :])
            self.touched |= {one for one, (_, of) in self.made.items() if of & behind}
        elif name == "delete" and before:
            gone = before[what % len(before)]
            self.dialogue.delete_message(gone)
            self.touched |= {one for one, (_, of) in self.made.items() if gone in of}
        elif name == "compact":
            self.compact(before, incremental=what)
        elif name == "until" and before:
            end = what % len(before)
            self.compact(before[: end + 1], incremental=True, end_id=before[end])

    def compact(self, covered: list[str], **options: Any) -> None:
        summary = self.dialogue.compact(**options)
        assert summary.message_count == len(covered)
        assert not summary.stale
        base = summary.based_on
        assert base is None or (options["incremental"] and base not in self.touched)
        reach = self.reaching(frozenset(covered)) if options["incremental"] else 0
        if base is not None:
            earlier, of = self.made[base]
            assert len(of) == reach
            assert of <= frozenset(covered)
            assert str(summary.content).startswith(str(earlier.content))
            assert summary.content_token_count >= earlier.content_token_count  # type: ignore[operator]
        else:
            assert not reach
        self.made[summary.id] = summary, frozenset(covered)

    def reaching(self, covered: frozenset[str]) -> int:
        """How many messages the summary has that may be built on."""
        valid = [
            len(of)
            for one, (summary, of) in self.made.items()
            if one not in self.touched and of <= covered and summary.content is not None
        ]
        return max(valid, default=0)

    def check(self) -> None:
        """What is stale is what was touched; the texts are as they were."""
        listed = {one.id: one for one in self.db.list_summaries(self.dialogue.id)}
        assert listed.keys() == self.made.keys()
        for one, (summary, _) in self.made.items():
            assert listed[one].stale == (one in self.touched)
            assert listed[one].content == summary.content


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("compaction") / "chat.db"
    with dialoguedb.open(path) as opened:
        yield opened


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_compacting_again_and_again_loses_nothing(db: DialogueDB, steps: list[Any]) -> None:
    """Each builds on the valid one that reaches farthest, and begins with its text."""
    followed = Followed(db)
    for name, what in steps:
        followed.do(name, what)
    followed.compact(followed.ids(), incremental=True)
    followed.check()
