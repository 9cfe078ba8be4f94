"""What the form of a sentence says of its worth: numbers, names, decisions, who it is about.

Numbers and names are told in any language, the rest in English; where nothing is told, words and
meaning decide alone.
"""

import re
from typing import Final

#: A number, a name or a date is in it.
FACT: Final = 1.25
#: Something is decided, planned, promised or preferred in it.
DECISION: Final = 1.5
#: A speaker tells of himself: that is news.
OWN: Final = 1.4
#: A speaker tells the other of the other: that is mostly a reply.
YOURS: Final = 0.7
#: A question is worth something with its answer.
QUESTION: Final = 0.5
#: What a program or the application says, and what is hardly letters.
MACHINE: Final = 0.4
#: What is said in fewer terms is mostly a greeting, thanks or praise: the factor falls with them.
FULL_TERMS: Final = 5

_MACHINE_ROLES: Final = frozenset({"tool", "system", "developer", "function"})
_LEAST_LETTERS = 0.6

_NUMBER = re.compile(r"\d")
_NAME = re.compile(r"(?<=[\w,;:] )[A-Z][^\W\d_]+")
_DATE = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|(?:last|next|this) (?:week|weekend|month|year|summer"
    r"|winter|spring|fall|night)|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|january|february|march|april|june|july|august|september|october|november|december"
    r"|(?:days?|weeks?|months?|years?) ago)\b"
)
_DECIDED = re.compile(
    r"\b(?:decid\w+|agreed?|let's|going to|gonna|plan(?:s|ned|ning)?|will|we'll|i'll|must|chose|"
    r"choose|settled|booked|signed up|promis\w+|want to|need to|prefer\w*|should)\b"
)
_OWN = re.compile(r"\b(?:i|my|mine|we|our|ours|us|me)\b")
_YOURS = re.compile(r"\byou(?:rs?)?\b")
_LEANS = re.compile(
    r"(?:and|but|so|also|plus|then|it|it's|its|they|they're|they've|their|them|this|that|that's|these|"
    r"those|he|he's|his|she|she's|her)\b",
    re.IGNORECASE,
)


def worth(text: str, role: str, terms: int, *, asks: bool) -> float:
    """Give the factor of a sentence.

    Args:
        text: the sentence.
        role: of its speaker.
        terms: how many distinct terms it has that say what it is about.
        asks: whether it is a question.
    """
    factor = _form(text)
    if asks:
        factor *= QUESTION
    if terms < FULL_TERMS and not has_number(text):
        factor *= terms / FULL_TERMS
    letters = sum(map(str.isalpha, text)) + text.count(" ")
    if role in _MACHINE_ROLES or letters < _LEAST_LETTERS * len(text):
        factor *= MACHINE
    return factor


def _form(text: str) -> float:
    factor = 1.0
    lower = text.lower()
    if has_number(text) or _NAME.search(text) or _DATE.search(lower):
        factor *= FACT
    if _DECIDED.search(lower):
        factor *= DECISION
    if _OWN.search(lower):
        factor *= OWN
    elif _YOURS.search(lower):
        factor *= YOURS
    return factor


def has_number(text: str) -> bool:
    """Tell whether a text has a number in it."""
    return _NUMBER.search(text) is not None


def leans(text: str) -> bool:
    """Tell whether a sentence begins as one that is understood with the one before it."""
    return _LEANS.match(text) is not None
