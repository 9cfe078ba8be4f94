"""Tokens of words on PostgreSQL: those of one space or project, made one by one or at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dialoguedb.store.postgres.tokens import in_both, in_project, in_space, of_facets, of_words

#: As every release has made them.
KEPT = [8665339477945682979, 8815367725731367165]
TEXTS = st.lists(st.text(max_size=8), max_size=6)


@given(TEXTS, TEXTS, st.integers(1, 2**62), st.text(min_size=1, max_size=26))
def test_made_at_once_they_are_those_made_one_by_one(
    words: list[str], marks: list[str], space_id: int, project_id: str
) -> None:
    kinds = [of_words(words), of_facets(marks)]
    apart = [
        tokens
        for hashes in kinds
        for tokens in (in_space(hashes, space_id), in_project(hashes, project_id))
    ]
    assert in_both(kinds, space_id, project_id).tolist() == np.concatenate(apart).tolist()


def test_a_word_has_another_token_in_another_space() -> None:
    words = of_words(["wheel", "bent"])
    tokens = {int(token) for space in range(1, 100) for token in in_space(words, space)}
    assert len(tokens) == 2 * 99


def test_they_are_those_that_databases_hold() -> None:
    tokens = in_both([of_words(["wheel"])], 7, "01KACE6RAZKQ93354SF18CJHHC")
    assert tokens.tolist() == KEPT
