"""The analyser: text to word tokens, the same for every engine (contract 8.7).

A token of an index is a term. Text is cut at white space into chunks, and what terms a chunk gives
depends on the chunk alone, so the common ones are remembered. The rules:

- Case, accents, the width of letters and the vowel signs of Arabic and Hebrew do not count.
- English endings go (Snowball), irregular forms become regular ones. "Don't" is "do" and "not",
  "Caroline's" is "caroline". Other languages in Latin letters pass through the same rules on both
  sides, so a word finds itself.
- A number, an address, an identifier is one term as a whole, and its parts are terms too:
  `snake_case` is `snakecas`, `snake`, `case`.
- Languages that put no spaces between words give each character and each pair of characters. A
  question gives the pairs, or the character if there is but one. Korean gives its words besides.
- An emoji is a term; so are the ones that it is put together from.
- Everything else separates, control characters and the syntax of query languages among it.
- A term is cut after 64 characters.
"""

import re
import threading
import unicodedata
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import Final

import Stemmer

from dialoguedb.search import english

#: Stored with an index. Any change in the terms that a text gives is a new version.
VERSION: Final = 1
#: Longer terms are cut, on both sides.
MAX_TERM_CHARACTERS: Final = 64
#: Of a question with more distinct terms, the first ones count.
MAX_QUERY_TERMS: Final = 64
#: What is asked beyond these is not looked at.
MAX_QUERY_CHARACTERS: Final = 65_536
#: Chunks that are remembered: some 16 MB. All are forgotten when it is full; they are back soon.
MAX_KNOWN_CHUNKS: Final = 65_536
#: A longer chunk is not remembered, since it hardly comes again.
MAX_KNOWN_CHARACTERS: Final = 48
#: A character with more marks than this is no text. Ordering marks takes quadratic time.
MAX_MARKS: Final = 16

# Chinese, Japanese, Thai, Lao, Burmese, Khmer: no spaces between words.
_UNSPACED = (
    "\u3005\u3007\u3021-\u3029\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u2e80-\u2fd5\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u1000-\u103f"
    "\u1050-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f\u1780-\u17d3\u17d7\u17dc\u17dd"
)
_HANGUL = "\uac00-\ud7a3"
# Marks that belong to the letter before them, where `\w` would end the word, with the joiners.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0711-\u074a\u07a6-\u07b0"
    "\u07eb-\u07f3\u07fd\u0816-\u082d\u0859-\u085b\u0898-\u089f\u08ca-\u08e1\u08e3-\u0903"
    "\u093a-\u0963\u0981-\u0983\u09bc-\u09e3\u09fe-\u0a03\u0a3c-\u0a51\u0a70-\u0a75\u0a81-\u0a83"
    "\u0abc-\u0ae3\u0afa-\u0b03\u0b3c-\u0b63\u0b82\u0bbe-\u0bd7\u0c00-\u0c04\u0c3c-\u0c63"
    "\u0c81-\u0c83\u0cbc-\u0ce3\u0d00-\u0d03\u0d3b-\u0d4d\u0d57\u0d62-\u0d63\u0d81-\u0d83"
    "\u0dca-\u0ddf\u0df2-\u0df3\u0f18-\u0f19\u0f35\u0f37\u0f39\u0f3e-\u0f3f\u0f71-\u0f84"
    "\u0f86-\u0fbc\u0fc6\u135d-\u135f\u1712-\u1734\u1752-\u1773\u180b-\u180d\u180f\u1885-\u18a9"
    "\u1920-\u193b\u1a17-\u1a1b\u1a55-\u1a7f\u1ab0-\u1ace\u1b00-\u1b04\u1b34-\u1b44\u1b6b-\u1b73"
    "\u1b80-\u1bad\u1be6-\u1bf3\u1c24-\u1c37\u1cd0-\u1cd2\u1cd4-\u1cf9\u1dc0-\u1dff\u200c\u200d"
    "\u20d0-\u20f0\u2cef-\u2cf1\u2d7f\u2de0-\u2dff\u302a-\u302f\ua66f\ua674-\ua67d\ua69e-\ua69f"
    "\ua6f0-\ua6f1\ua802-\ua827\ua82c\ua880-\ua881\ua8b4-\ua8c5\ua8e0-\ua8f1\ua8ff\ua926-\ua92d"
    "\ua947-\ua953\ua980-\ua983\ua9b3-\ua9c0\uaa29-\uaa4d\uaab0-\uaac1\uaaeb-\uaaef\uaaf5-\uaaf6"
    "\uabe3-\uabea\uabec-\uabed\ufb1e\ufe20-\ufe2f\U000101fd\U000102e0\U00010376-\U0001037a"
    "\U00010a01-\U00010a0f\U00010a38-\U00010a3f\U00010ae5-\U00010ae6\U00010d24-\U00010d27"
    "\U00010eab-\U00010eac\U00010f46-\U00010f50\U00010f82-\U00010f85\U00011000-\U00011002"
    "\U00011038-\U00011046\U00011070-\U00011082\U000110b0-\U000110ba\U000110c2"
    "\U00011100-\U00011134\U00011145-\U00011146\U00011173\U00011180-\U00011182"
    "\U000111b3-\U000111c0\U000111c9-\U000111cc\U000111ce-\U000111cf\U0001122c-\U00011237"
    "\U0001123e\U000112df-\U000112ea\U00011300-\U00011303\U0001133b-\U00011374"
    "\U00011435-\U00011446\U0001145e\U000114b0-\U000114c3\U000115af-\U000115c0"
    "\U000115dc-\U000115dd\U00011630-\U00011640\U000116ab-\U000116b7\U0001171d-\U0001172b"
    "\U0001182c-\U0001183a\U00011930-\U00011943\U000119d1-\U000119e0\U000119e4-\U00011a0a"
    "\U00011a33-\U00011a3e\U00011a47-\U00011a5b\U00011a8a-\U00011a99\U00011c2f-\U00011c3f"
    "\U00011c92-\U00011cb6\U00011d31-\U00011d47\U00011d8a-\U00011d97\U00011ef3-\U00011ef6"
    "\U00016af0-\U00016af4\U00016b30-\U00016b36\U00016f4f-\U00016f92\U00016fe4-\U00016ff1"
    "\U0001bc9d-\U0001bc9e\U0001cf00-\U0001cf46\U0001d165-\U0001d169\U0001d16d-\U0001d172"
    "\U0001d17b-\U0001d182\U0001d185-\U0001d18b\U0001d1aa-\U0001d1ad\U0001d242-\U0001d244"
    "\U0001da00-\U0001da36\U0001da3b-\U0001da6c\U0001da75\U0001da84\U0001da9b-\U0001daaf"
    "\U0001e000-\U0001e02a\U0001e130-\U0001e136\U0001e2ae\U0001e2ec-\U0001e2ef"
    "\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a"
)
# Marks that do not count: accents, and the vowel signs of Hebrew and Arabic with the tatweel.
_SILENT = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u20d0-\u20f0\ufe00-\ufe0f\ufe20-\ufe2f]+"
)
_SPELLINGS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u2032\u00b4\u0060\uff07", "'"),
        **dict.fromkeys("\u2010\u2011", "-"),
        **dict.fromkeys("\u00ad\u2060", None),
        **dict.fromkeys("™®©℠", " "),
    }
)
# Letters that are variants of others and do not decompose.
_LETTERS = str.maketrans(
    dict(zip("øłđðħ\u0131", "olddhi", strict=True))
    | {"æ": "ae", "œ": "oe", "þ": "th", "\u200c": None, "\u200d": None}
    # Arabic: alef maksura, the Persian yeh and kaf, the final teh.
    | {"\u0649": "\u064a", "\u06cc": "\u064a", "\u06a9": "\u0643", "\u0629": "\u0647"}
)
_DIGIT = re.compile(r"[^\W\D]")
_CROWD = re.compile(rf"(?:[^\w\s\x00-\x7f]|[\uff9e\uff9f]){{{MAX_MARKS + 1},}}")
# They have the class of a letter, or no class, and decompose into marks.
_HIDDEN_MARKS = "\uff9e\uff9f\u0f73\u0f75\u0f81"

_PICTURE = (
    "[\u203c\u2049\u2139\u231a-\u23ff\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u27bf"
    "\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa"
    "\U0001f400-\U0001faff]"
)
_SKIN = "[\U0001f3fb-\U0001f3ff]"
_TAGS = "[\U000e0020-\U000e007f]"
_LETTER = rf"[^\W_{_UNSPACED}{_HANGUL}]"
# Only classes of characters are repeated possessively: of a group that has choices in it, Python
# before 3.11.5 loses its place. Nothing has to follow these, so nothing is ever tried again; but
# each turn is remembered until the end, so they are bounded.
_WORD = rf"{_LETTER}(?:{_LETTER}++|[{_MARKS}]++){{0,255}}"
_JOINED = rf"{_WORD}(?:(?:[.'_/\\:@&+#-]|(?<=\d),(?=\d)){_WORD}){{0,255}}"
_COMPOUND = re.compile(_JOINED)
_TOKEN = re.compile(
    # What follows the scheme is looked at here, and read as any other text after that.
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,15}+)://(?=(?P<rest>[^\s<>\"|^{}\\]{1,256}+))"
    rf"|(?P<emoji>[\U0001f1e6-\U0001f1ff]{{2}}"
    rf"|{_PICTURE}{_SKIN}?(?:{_TAGS}++|(?:\u200d{_PICTURE}{_SKIN}?){{0,15}})|{_SKIN})"
    rf"|(?P<unspaced>[{_UNSPACED}]++)"
    rf"|(?P<hangul>[{_HANGUL}]++)"
    r"|(?P<mark>(?<![\w#@.])(?:[#@]|\.(?=[A-Za-z])))?"
    rf"(?P<compound>{_JOINED})"
    r"(?P<ending>\+\+(?!\+)|[+#](?![\w+#]))?"
)
_AFTER_ADDRESS = ".,;:!?)]}'*_/"
# What nearly every chunk of English is: one word between punctuation.
_PLAIN = re.compile(r"[\"'(*]*([A-Za-z][a-z]*|[A-Z]+)(?:'s)?[.,!?;:)\"'*]*")
_CLITIC = re.compile(r"'(?:s|m|re|ve|ll|d)$")
_NEGATION = re.compile(r"([a-z]+)n't$")
_OUTER_JOINT = re.compile(r"[/\\:@&+#,]|(?<=\d)T(?=\d)")  # the T of 2025-03-15T10:30
_INNER_JOINT = re.compile(r"[.'_-]")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d++)?")
_NUMBER = re.compile(r"\d++(?:\.\d++)?")
_NUMBER_AND_LETTERS = re.compile(r"(\d[\d.,:]*+)([^\W\d_]++)|([^\W\d_]++)(\d[\d.:]*+)")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.){1,15}[^\W\d_]")
_SOFT_JOINT = re.compile(r"(?<=[^\W\d_])['_-]|['_-](?=[^\W\d_])")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]++|[A-Z]|\d++")
_MIXED_CASE = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")

_stemmer = Stemmer.Stemmer("english", 0)
_lock = threading.Lock()  # the stemmer is not made for several threads


def terms(text: str) -> list[str]:
    """Give the terms of a stored text, in its order, as often as they come."""
    return list(chain.from_iterable(map(_known.__getitem__, text.split())))


def query_terms(text: str) -> list[str]:
    """Give the distinct terms of a question, in its order, at most `MAX_QUERY_TERMS`.

    Only the first `MAX_QUERY_CHARACTERS` are looked at.

    Stop words and question words are left out, unless there are no others. All that is given is
    among the `terms` of the same text.
    """
    chosen: dict[str, None] = {}
    small: dict[str, None] = {}
    for term in _asked(text[:MAX_QUERY_CHARACTERS]):
        (small if term in STOP_TERMS else chosen)[term] = None
        if len(chosen) == MAX_QUERY_TERMS:
            break
    return list(chosen or small)[:MAX_QUERY_TERMS]


def _asked(text: str) -> Iterator[str]:
    for chunk in text.split():
        yield from _known[chunk] if chunk.isascii() else _analyse(chunk, _pairs)


class _Known(dict[str, tuple[str, ...]]):
    """Chunk -> its terms; what is missing is found out. Each operation is one step for threads."""

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        if len(chunk) > MAX_KNOWN_CHARACTERS:
            return tuple(_analyse(chunk, _singles_and_pairs))
        plain = _PLAIN.fullmatch(chunk)
        found = tuple(_word(plain[1].lower()) if plain else _analyse(chunk, _singles_and_pairs))
        if len(self) >= MAX_KNOWN_CHUNKS:
            self.clear()
        self[chunk] = found
        return found


_known = _Known()


def _analyse(chunk: str, grams: Callable[[str], list[str]]) -> Iterator[str]:
    """Give the terms of a chunk by all the rules; `grams` cuts what has no spaces."""
    for token in _TOKEN.finditer(_normal(chunk)):
        kind = token.lastgroup
        if kind == "unspaced":
            yield from grams(token[0])
        elif kind == "hangul":
            yield from dict.fromkeys([_cut(token[0]), *grams(token[0])])
        elif kind == "emoji":
            yield from _emoji(token[0])
        elif kind == "rest":
            yield from _word(token["scheme"].lower())
            yield from _address(token["rest"])
        else:
            if token["mark"] or token["ending"]:
                yield _cut(_fold(token[0]))
            yield from _compound(token["compound"])


def _normal(chunk: str) -> str:
    """Normalise everything but case: compatibility forms, accents, spellings of punctuation."""
    if chunk.isascii():
        return chunk.replace("`", "'")
    text = _CROWD.sub(lambda crowd: _few_marks(crowd[0]), chunk.translate(_SPELLINGS))
    text = _SILENT.sub("", unicodedata.normalize("NFKD", text))
    text = unicodedata.normalize("NFC", text)
    return _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def _few_marks(crowd: str) -> str:
    kept = []
    marks = 0
    for character in crowd:
        is_mark = unicodedata.combining(character) or character in _HIDDEN_MARKS
        marks = marks + 1 if is_mark else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _fold(text: str) -> str:
    """Take case out of normalised text, and what it leaves behind."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _SILENT.sub("", folded)).translate(_LETTERS)


def _cut(text: str) -> str:
    return text[:MAX_TERM_CHARACTERS]


def _singles_and_pairs(run: str) -> list[str]:
    singles = [character for character in run if character.isalnum()]
    return singles + list(map("".join, pairwise(run)))


def _pairs(run: str) -> list[str]:
    return list(map("".join, pairwise(run))) or _singles_and_pairs(run)


def _emoji(sequence: str) -> list[str]:
    if len(sequence) == 1:
        return [sequence]
    bases = [part for part in re.split(f"\u200d|{_SKIN}|{_TAGS}+", sequence) if part]
    return list(dict.fromkeys([_cut(sequence), *bases]))


def _address(rest: str) -> list[str]:
    """Give what follows the scheme of a URL as a whole, unless it will come as a compound."""
    rest = rest.rstrip(_AFTER_ADDRESS)
    return [] if not rest or _COMPOUND.fullmatch(rest) else [_cut(_fold(rest))]


def _compound(text: str) -> dict[str, None]:
    """Give the distinct terms of letters and digits that single joints hold together."""
    if text.isalpha() and not _MIXED_CASE.search(text):
        return dict.fromkeys(_word(_fold(text)))
    folded = _fold(text)
    negation = _NEGATION.match(folded)
    if negation:
        return dict.fromkeys(_word(negation[1] + "nt"))
    if _CLITIC.search(folded):
        text = text[: text.rindex("'")]
    found = dict.fromkeys(_whole(text))
    if not _is_one_number(text):
        halves = _halves(text)
        for segment in halves or _OUTER_JOINT.split(text):
            if len(segment) > 1 or segment.isdigit() or not halves:
                found.update(dict.fromkeys(_whole(segment)))
                found.update(dict.fromkeys(_parts(segment)))
    return found


def _parts(segment: str) -> Iterator[str]:
    """Give the terms inside one segment: its words, their humps, numbers apart from letters."""
    if _is_one_number(segment):
        return
    for piece in _halves(segment) or _INNER_JOINT.split(segment):
        humps = _HUMP.findall(piece) if _MIXED_CASE.search(piece) else _halves(piece)
        for part in (piece, *humps):
            if len(part) > 1 or part.isdigit():
                yield from _whole(part)


def _halves(text: str) -> list[str]:
    """Take the number and the letters apart in "5km" or "v1.2.3"; nothing in other texts."""
    found = _NUMBER_AND_LETTERS.fullmatch(text)
    return [half for half in found.groups() if half] if found else []


def _is_one_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text) or _GROUPED.fullmatch(text))


def _whole(text: str) -> list[str]:
    """Give one term for all of it: "1,000" is 1000, "U.S.A" is usa, "e-mail" is email."""
    if _GROUPED.fullmatch(text):
        return [_cut(text.replace(",", ""))]
    folded = _fold(text)
    if _ACRONYM.fullmatch(folded):
        return [folded.replace(".", "")]
    folded = _SOFT_JOINT.sub("", folded)
    return _word(folded) if folded.isalpha() else [_cut(folded)] if folded else []


def _word(word: str) -> list[str]:
    """Give the term of a folded word, or the two of a negation."""
    negated = english.UNMARKED_NEGATIONS.get(word)
    if negated:
        return [_stem(english.NEGATED.get(negated, negated)), "not"]
    return [_stem(english.IRREGULAR.get(word, word))] if word else []


def _stem(word: str) -> str:
    word = _cut(word)
    if not word.isascii():
        return word
    with _lock:
        return str(_stemmer.stemWord(word))


#: The terms that a question is asked without.
STOP_TERMS: Final = frozenset(
    term for word in english.STOP_WORDS | english.QUESTION_WORDS for term in _word(word)
)
