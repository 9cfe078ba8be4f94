"""The columns in which resources are shown on a terminal. Times are UTC."""

from collections.abc import Mapping
from typing import Any

from dialoguedb.cli.output import Column, text_of

Row = Mapping[str, Any]


def time_of(row: Row) -> str:
    """Give the time of a resource, to the second: `2026-02-03 04:05:06`."""
    return str(row.get("created", ""))[:19].replace("T", " ")


def said(row: Row) -> str:
    """Give what a message says: its text, the texts of its blocks, or else its JSON."""
    content = row.get("content")
    blocks = content if isinstance(content, list) else [content]
    parts = [_block(block) if isinstance(block, dict) else text_of(block) for block in blocks]
    return "\n".join(part for part in parts if part)


def _block(block: Row) -> str:
    text = block.get("text")
    if isinstance(text, str):
        return text
    kind = block.get("type")
    return f"[{kind}]" if kind in ("image", "image_url") else text_of(dict(block))


def _field(name: str) -> Column:
    return Column(name, lambda row: text_of(row.get(name)))


_ID = _field("id")
_NAMESPACE = _field("namespace")
_TAGS = _field("tags")
_TIME = Column("time", time_of)
_STATUS = Column("status", lambda row: text_of(row.get("status")))
_MESSAGES = Column("messages", lambda row: text_of(row.get("totalMessages")))
_LABEL = Column("label", lambda row: text_of(row.get("label")), cut=True)
_TEXT = Column("text", said, cut=True)
_VALUE = Column("value", lambda row: text_of(row.get("value")), cut=True)

DIALOGUES = (_ID, _NAMESPACE, _TIME, _STATUS, _MESSAGES, _TAGS, _LABEL)
MESSAGES = (_ID, _TIME, _field("role"), _field("name"), _TEXT)
CONTEXT = (_field("reason"), _ID, _field("tokens"), _field("relevance"))
MEMORIES = (_ID, _NAMESPACE, _TIME, _TAGS, _LABEL, _VALUE)
SUMMARIES = (
    _ID,
    _NAMESPACE,
    _TIME,
    _field("dialogueId"),
    _STATUS,
    Column("text", lambda row: text_of(row.get("content") or row.get("error")), cut=True),
)


def found(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Make the columns of what a search found: of each result its relevance and its resource."""
    inside = [
        Column(column.title, lambda row, of=column.of: of(row["item"]), column.cut)  # type: ignore[misc]
        for column in columns
    ]
    return (Column("relevance", lambda row: f"{row['relevance']:.2f}"), *inside)
