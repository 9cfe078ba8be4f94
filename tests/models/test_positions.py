"""Positions: which one holds more."""

import pytest

from dialoguedb.models.positions import is_position, newest


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("0/0", True),
        ("FFFFFFFF/16B3740", True),
        ("", False),
        ("0", False),
        ("0/16b3740", False),
        ("0/0/0", False),
        ("123456789/0", False),
        ("0/0\n", False),
    ],
)
def test_a_position_has_its_form(text: str, good: bool) -> None:
    """What any other server says under this name is none."""
    assert is_position(text) == good


def test_the_newest_holds_the_most() -> None:
    """They are numbers, not words: the longer one may be the greater."""
    assert newest("0/FFFFFFFF", "1/0", None, "0/2") == "1/0"
    assert newest("0/9", "0/10") == "0/10"
    assert newest(None, None) is None
    assert newest() is None
