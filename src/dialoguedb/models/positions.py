"""Positions in the log of a database: answers to writes name them, and reads can ask for them."""

import re

HEADER = "X-DialogueDB-Position"
#: What one looks like, such as `0/16B3740`.
FORM = "^[0-9A-F]{1,8}/[0-9A-F]{1,8}$"
_FORM = re.compile(FORM)


def is_position(text: str) -> bool:
    """Tell whether an answer can have named a text as a position."""
    return _FORM.fullmatch(text) is not None


def place_of(position: str) -> tuple[int, int]:
    """Order positions: what is written up to one is also there at those with a higher place."""
    high, low = position.split("/")
    return int(high, 16), int(low, 16)


def newest(*positions: str | None) -> str | None:
    """Give the position that holds the most; None if there is none."""
    return max((one for one in positions if one is not None), key=place_of, default=None)
