"""A text as sentences that can stand in a summary, each on one line."""

import re
from itertools import pairwise
from typing import Final

#: A sentence with more characters is cut at a clause, else at a space: a list, a log, a table.
MAX_CHARACTERS: Final = 240
#: Of a text, only the sentences that begin in here are looked at.
MAX_TEXT_CHARACTERS: Final = 200_000
#: Of a code block, so much of its first line is shown.
_SHOWN_CODE: Final = 60

_CODE = re.compile(r"```[^\S\n]*([\w+#.-]*)[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
# A sentence ends with its mark and a space after it, a line, or a mark of Chinese or Japanese. It
# is looked for where marks begin only: a run of them must not be tried from each of them.
_MARKS = ".!?\u2026"
_END = re.compile(
    rf"(?<![{_MARKS}])[{_MARKS}]++[\"'\u201d\u2019)\]]*+(?=\s)"
    r"|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]?|\n"
)
# A full stop after these, or after a capital alone, ends no sentence.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|approx|No|Fig|cf)\.$"
)
_CLAUSE = re.compile(r"[;,\u3001\uff0c\uff1b](?=\s|[\u3000-\u9fff])|\s[\u2013\u2014-](?=\s)")
_QUESTION = re.compile(r"[?\uff1f][\"'\u201d\u2019)\]\u300d\u300f]*$")


def split(text: str) -> list[str]:
    """Cut a text into its sentences, in order.

    White space becomes single spaces, so that none holds a line break. A block of code becomes
    one sentence that says how long it is and how it begins.

    Returns: sentences of 1 to about `MAX_CHARACTERS` characters.
    """
    text = _CODE.sub(_code, text[:MAX_TEXT_CHARACTERS])
    found = (" ".join(text[a:b].split()) for a, b in pairwise([0, *ends(text), len(text)]))
    return [part for sentence in found if sentence for part in _short(sentence)]


def ends(text: str) -> list[int]:
    """Give where the sentences of a text end, but for the last."""
    return [found.end() for found in _END.finditer(text) if not _is_abbreviation(text, found)]


def is_question(sentence: str) -> bool:
    """Tell whether a sentence asks."""
    return _QUESTION.search(sentence) is not None


def _is_abbreviation(text: str, end: re.Match[str]) -> bool:
    if end[0] != ".":
        return False
    return _ABBREVIATION.search(text[max(0, end.start() - 8) : end.end()]) is not None


def _code(block: re.Match[str]) -> str:
    """Say what a block of code is instead of showing it."""
    lines = [line.strip() for line in block[2].splitlines() if line.strip()]
    if not lines:
        return "\n"
    count = f"{len(lines)} line{'s' * (len(lines) != 1)}"
    first = lines[0][:_SHOWN_CODE]
    return f"\n[{' '.join(filter(None, (count, 'of', block[1] or 'code')))}: {first} …]\n"


def _short(sentence: str) -> list[str]:
    """Cut a sentence that is too long, at a clause or a space in the second half of what fits."""
    parts = []
    while len(sentence) > MAX_CHARACTERS:
        at = _cut(sentence)
        parts.append(f"{sentence[:at].rstrip()} …")
        sentence = sentence[at:].lstrip()
    return [*parts, sentence]


def _cut(sentence: str) -> int:
    half = MAX_CHARACTERS // 2
    ends = [found.end() for found in _CLAUSE.finditer(sentence, half, MAX_CHARACTERS)]
    if ends:
        return ends[-1]
    space = sentence.rfind(" ", half, MAX_CHARACTERS)
    return space if space > 0 else MAX_CHARACTERS
