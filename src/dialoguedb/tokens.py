"""Counting tokens: exactly with tiktoken, where it and its data are there, else by an estimate.

Nothing is ever downloaded. tiktoken would fetch data that is missing, so the file that it has
kept is read and checked here, and the encoding is made of it.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dialoguedb.settings import tiktoken_folder

if TYPE_CHECKING:
    import tiktoken

#: Texts whose counts are remembered at most: the turns of a dialogue are counted again with every
#: turn.
_REMEMBERED = 50_000


class Tokenizer(Protocol):
    """What counts the tokens of texts.

    Attributes:
        name: `tiktoken:` and the encoding, or `estimate`.
        exact: whether counts are those of a real tokenizer.
    """

    name: str
    exact: bool

    def count(self, text: str) -> int:
        """Give the number of tokens of a text, 0 for an empty one."""


class _Encoding(NamedTuple):
    """An encoding that tiktoken has: where its data comes from, and how it cuts texts."""

    name: str
    url: str
    sha256: str
    pattern: str


_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#: The best first.
_ENCODINGS = (
    _Encoding(
        "o200k_base",
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*"
        rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_ENDINGS}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+"
        rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_ENDINGS}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    _Encoding(
        "cl100k_base",
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
)

#: Each match is about one token of o200k_base and of cl100k_base.
_PIECES = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)\b"
    r"| ?[A-Z]{2,4}(?![a-z])|[A-Z]{3}(?=[A-Z])"  # capitals
    r"|[ ._(]?[A-Za-z]?[a-z]{1,6}(?![a-z])"  # a word, or the rest of a long one
    r"| ?[A-Za-z][a-z]{0,3}"  # a part of a long one
    r"|[0-9]{1,3}"
    r"| ?[!-/:-@\[-`{-~]{1,2}"
    r"|[ \t]{0,32}[\r\n]{1,8}| {1,32}|\t{1,8}"  # encodings have tokens for so many in a row
    r"|[\u0370-\u0fff\u10a0-\u10ff]{1,2}"  # letters of Greek, Cyrillic, Arabic, of India
    r"|[^\x20-\x7e]"
)
#: Of three of these, one is two tokens.
_DENSE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff]")
#: Arrows, signs and lines: every second one is two tokens.
_SIGNS = re.compile(r"[\u2190-\u2bff]")
#: Emoji above all: three tokens each.
_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")


class _Counts:
    """Counts, remembered under hashes of the texts: what people have written is not kept here.

    A hash has 64 bits and a key of the process: that two of these texts share one is less likely
    than 1 in 10,000,000,000. Counts that were not asked for lately go, half of them at a time.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._newer: dict[int, int] = {}
        self._older: dict[int, int] = {}

    def __call__(self, text: str) -> int:
        key = hash(text)
        found = self._newer.get(key)
        if found is None:
            found = self._older.get(key)
            if found is None:
                found = self._count(text)
            if len(self._newer) >= _REMEMBERED // 2:
                self._older, self._newer = self._newer, {}
            self._newer[key] = found
        return found


class Estimate:
    """An estimate by the pieces of a text, without any data.

    It is meant to be a little high: on English, code, Chinese and emoji it is not lower than the
    counts of o200k_base and cl100k_base by more than 5%.
    """

    name = "estimate"
    exact = False

    def __init__(self) -> None:
        self._remembered = _Counts(_estimated)

    def count(self, text: str) -> int:
        """See `Tokenizer`."""
        return self._remembered(text)


def _estimated(text: str) -> int:
    count = len(_PIECES.findall(text))
    if text.isascii():
        return count
    count += -(-len(_DENSE.findall(text)) // 3) + -(-len(_SIGNS.findall(text)) // 2)
    return count + 2 * len(_ASTRAL.findall(text))


class Tiktoken:
    """The counts of an encoding of tiktoken."""

    exact = True

    def __init__(self, encoding: "tiktoken.Encoding") -> None:
        self.name = f"tiktoken:{encoding.name}"
        self._encoding = encoding
        self._remembered = _Counts(self._counted)

    def count(self, text: str) -> int:
        """See `Tokenizer`. What looks like a special token is counted as the text that it is."""
        return self._remembered(text)

    def _counted(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))


@cache
def open_tokenizer() -> Tokenizer:
    """Open the best tokenizer that is there: tiktoken's, if its data is on the disk.

    It is one for the process. Nothing is downloaded.
    """
    return tokenizer_of(tiktoken_folder())


def tokenizer_of(folder: Path | None) -> Tokenizer:
    """Open the best tokenizer with the data of a folder.

    Args:
        folder: where tiktoken keeps its data; None if it keeps none.
    """
    if folder is not None and find_spec("tiktoken") is not None:
        for encoding in _ENCODINGS:
            data = _kept(folder, encoding)
            if data is not None:
                return Tiktoken(_made(encoding, data))
    return Estimate()


def _kept(folder: Path, encoding: _Encoding) -> bytes | None:
    """Read the data of an encoding as tiktoken has kept it; None if it is not there, or broken."""
    name = hashlib.sha1(encoding.url.encode(), usedforsecurity=False).hexdigest()
    try:
        data = (folder / name).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == encoding.sha256 else None


def _made(encoding: _Encoding, data: bytes) -> "tiktoken.Encoding":
    import tiktoken  # noqa: PLC0415 - an extra, and imported only where its data is

    ranks = {}
    for line in data.splitlines():
        token, _, rank = line.partition(b" ")
        ranks[base64.b64decode(token)] = int(rank)
    return tiktoken.Encoding(
        encoding.name, pat_str=encoding.pattern, mergeable_ranks=ranks, special_tokens={}
    )
