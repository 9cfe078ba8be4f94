"""The page docs/reference/sdk.md: the Python client, from its signatures and docstrings."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import dialoguedb
from dialoguedb import errors

_HEAD = """# Python client

How to use it is in [Use the Python client](../howto/python-client.md).

The client has two colours. This page shows the synchronous one. The asynchronous one has the same
methods with the same arguments, results and errors; they are called with `await`. What differs:

| synchronous | asynchronous |
| --- | --- |
{names}
| `with dialoguedb.open("chat.db") as db:` | `async with await dialoguedb.open_async("chat.db") \
as db:` |
| `with DialogueDB() as db:` | `async with AsyncDialogueDB() as db:` |
| `page = db.list_dialogues()` | `page = await db.list_dialogues()`, an `AsyncPage` |
| `for one in db.list_dialogues():` | `async for one in db.list_dialogues():`; the method gives \
`AsyncPages` |
| `for one in dialogue.messages_iter():` | `async for one in dialogue.messages_iter():` |
| `with db.raw_responses() as seen:` | the same |

Each of the two works over HTTP and in-process. An argument that is None is not sent, so the
server's default counts. A field that is None is not there. Times are texts, ISO 8601, UTC.

`Json` is `dict[str, Any]`; `NewMessage` a `MessageInput` or another mapping with its keys; `Order`
is `"asc"` or `"desc"`; `OrderBy` is `"relevance"`, `"created"` or `"modified"`; `Status` is
`"active"`, `"ended"` or `"archived"`; `Form` is `"dialoguedb"`, `"openai"` or `"anthropic"`;
`Reason` is `"system"`, `"summary"`, `"memory"`, `"recalled"` or `"recent"`; `Raw` is `msgspec.Raw`.
"""
_CLASSES = (
    "DialogueDB",
    "Dialogue",
    "Message",
    "Memory",
    "Summary",
    "Page",
    "SearchResults",
    "SearchResult",
    "Match",
    "Context",
    "ContextPart",
    "Response",
    "MessageInput",
    "ClientSettings",
    "LocalSettings",
)
_PART = re.compile(r"(Args|Returns|Raises|Attributes):\s*(.*)")
_NAMED = re.compile(r"([\w, ]+?): (.*)")
#: What an error says of itself; what it means is told once, by the base class.
_CARRIED = {
    "code": "the code of the wire",
    "status": "the HTTP status; 0 where no answer came",
    "type": "the kind of error, as the wire names it",
    "message": "what is wrong, for a person",
    "details": "the fields that are meant, each a `Detail`",
    "request_id": "the UUID of the request, also in the server's log; None where none was sent",
    "headers": "the headers of the answer",
    "retryable": "whether the same call may succeed later",
}


class Described(NamedTuple):
    """A docstring, taken apart: its paragraphs, what is returned, and its lists by heading."""

    text: str
    returns: str
    named: dict[str, dict[str, str]]


def described(doc: str | None) -> Described:
    """Take a docstring apart."""
    text, rest = inspect.cleandoc(doc or ""), ""
    found = re.search(r"^(Args|Returns|Raises|Attributes):", text, re.MULTILINE)
    if found:
        text, rest = text[: found.start()], text[found.start() :]
    returns = part = last = ""
    named: dict[str, dict[str, str]] = {}
    for line in filter(None, rest.splitlines()):
        start = _PART.fullmatch(line)
        item = _NAMED.fullmatch(line.strip()) if line[4:5] != " " else None
        if start:
            part, returns = start[1], returns + start[2]
        elif part == "Returns":
            returns = f"{returns} {line.strip()}".strip()
        else:
            last = item[1] if item else last
            told = named.setdefault(part, {})
            told[last] = f"{told.get(last, '')} {item[2] if item else line.strip()}".strip()
    return Described(text.strip(), returns, named)


class Member(NamedTuple):
    """A public member of a class or module: its name, its syntax tree, and the text around it."""

    name: str
    node: ast.FunctionDef | ast.AnnAssign
    source: str
    is_field: bool = False  # it is read, not called

    @property
    def type(self) -> str:
        """What a field is, or what a method gives."""
        told = self.node.annotation if isinstance(self.node, ast.AnnAssign) else self.node.returns
        return "" if told is None else ast.unparse(told).strip("'")

    def call(self, name: str) -> str:
        """Write how it is called, as its source has it."""
        assert isinstance(self.node, ast.FunctionDef)
        lines = self.source.splitlines()[self.node.lineno - 1 : self.node.body[0].lineno - 1]
        text = textwrap.dedent("\n".join(lines)).rstrip().removesuffix(":")
        text = re.sub(r'-> "([^"]+)"', r"-> \1", text)
        text = re.sub(r"\((\s*)self(?:,\s*|(?=\)))", r"(\1", text, count=1)
        return text.replace(f"def {self.node.name}", name, 1)


def _parsed(thing: Any) -> tuple[ast.stmt, str]:
    source = textwrap.dedent(inspect.getsource(thing))
    (node,) = ast.parse(source).body
    return node, source


def members(kind: type[Any]) -> dict[str, Member]:
    """Find the public members of a class and of what it is made from, by name."""
    found: dict[str, Member] = {}
    for one in kind.__mro__:
        if one.__module__.startswith("dialoguedb."):
            tree, source = _parsed(one)
            assert isinstance(tree, ast.ClassDef)
            for node in tree.body:
                if isinstance(node, ast.FunctionDef):
                    is_field = isinstance(vars(one)[node.name], property)
                    found.setdefault(node.name, Member(node.name, node, source, is_field))
                elif isinstance(node, ast.AnnAssign):
                    name = ast.unparse(node.target)
                    found.setdefault(name, Member(name, node, source, is_field=True))
    return {name: one for name, one in found.items() if not name.startswith("_")}


def page() -> str:
    """Write the page."""
    pairs = [(one.removeprefix("Async"), one) for one in dialoguedb.__all__]
    pairs = [(plain, name) for plain, name in pairs if plain != name and plain != "Pages"]
    names = [f"| `{plain}` | `{name}` |" for plain, name in [*pairs, ("open", "open_async")]]
    node, source = _parsed(dialoguedb.open)
    assert isinstance(node, ast.FunctionDef)
    parts = [_HEAD.format(names="\n".join(names))]
    parts.append(_function("## dialoguedb.open", Member("open", node, source), "dialoguedb.open"))
    parts += [_class(name) for name in _CLASSES]
    return "\n".join([*parts, _errors()])


def _class(name: str) -> str:
    kind = getattr(dialoguedb, name)
    told = described(kind.__doc__)
    found = members(kind)
    rows = dict(_fields(kind, found, told.named.get("Attributes", {})))
    lines = [f"## {name}\n", told.text + "\n"]
    if name == "DialogueDB":
        node, source = _parsed(kind.__init__)
        assert isinstance(node, ast.FunctionDef)
        made = _function(f"### {name}()", Member(name, node, source), name)
        lines.append(made.replace(" -> None", "", 1))
    if rows:
        typed = any(one[0] for one in rows.values())
        cells = [(f"`{one}`", *row[not typed :]) for one, row in rows.items()]
        lines.append(_table(("Field", "Type", "Meaning") if typed else ("Field", "Meaning"), cells))
    for one in found.values():
        if not one.is_field:
            lines.append(_function(f"### {name}.{one.name}", one, one.name))
    return "\n".join(lines)


def _fields(
    kind: type[Any], found: Mapping[str, Member], told: dict[str, str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Give the type and the meaning of each field."""
    for name, meaning in told.items():
        if name not in found:
            yield name, ("", meaning)
    meanings = _meanings(kind.__name__) | told
    for name, one in found.items():
        if one.is_field:
            doc = ast.get_docstring(one.node) if isinstance(one.node, ast.FunctionDef) else None
            optional = re.fullmatch(r"NotRequired\[(.*)\]", one.type)
            meaning = meanings.get(name) or described(doc).text
            type_ = f"`{optional[1]}`, optional" if optional else f"`{one.type}`"
            yield name, (type_, " ".join(meaning.split()))


def _meanings(name: str) -> dict[str, str]:
    """Find what fields mean that are described elsewhere, under the same names."""
    if name == "MessageInput":
        return described(dialoguedb.Dialogue.save_message.__doc__).named["Args"]
    if name == "Match":
        return described(dialoguedb.SearchResult.__doc__).named["Attributes"]
    return {}


def _function(heading: str, one: Member, name: str) -> str:
    assert isinstance(one.node, ast.FunctionDef)
    told = described(ast.get_docstring(one.node))
    blocks = [heading, f"```python\n{one.call(name)}\n```", told.text]
    blocks += [_list(told.named["Args"].items())] if "Args" in told.named else []
    blocks += [f"Returns {told.returns}"] if told.returns else []
    blocks += (
        ["Raises:\n\n" + _list(told.named["Raises"].items())] if "Raises" in told.named else []
    )
    return "\n\n".join(blocks) + "\n"


def _list(items: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- `{name.replace(', ', '`, `')}`: {text}" for name, text in items)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = (" | ".join(cell.replace("|", "&#124;") for cell in line) for line in lines)
    return "\n".join(f"| {line} |" for line in cells) + "\n"


def _errors() -> str:
    """Write the part of the errors: the tree, what each class means, what an error carries."""
    doc = inspect.cleandoc(errors.__doc__ or "")
    tree = doc[doc.index("DialogueDBError\n") :]
    rows = [
        (
            f"`{one.__name__}`",
            f"`{one.code}`",
            str(one.status),
            "yes" if one().retryable else "",
            described(one.__doc__).text,
        )
        for one in _below(errors.DialogueDBError)
    ]
    interrupted = described(errors.BatchInterrupted.__doc__).named["Attributes"]
    detail = described(errors.Detail.__doc__).named["Attributes"]
    return (
        "\n".join(
            [
                "## Errors\n",
                "They are in `dialoguedb.errors`. To catch a branch is to catch all that is below "
                "it; `dialoguedb.DialogueDBError` is all of them.\n",
                f"```text\n{tree}\n```\n",
                _table(("Class", "Code", "Status", "Retryable", "Meaning"), rows),
                "Every error has these:\n",
                _list(_CARRIED.items()) + "\n",
                "A `Detail` has these:\n",
                _list(detail.items()) + "\n",
                "`BatchInterrupted` has these besides:\n",
                _list(interrupted.items()) + "\n",
            ]
        ).rstrip("\n")
        + "\n"
    )


def _below(error: type[errors.DialogueDBError]) -> Iterator[type[errors.DialogueDBError]]:
    yield error
    for one in error.__subclasses__():
        if one.__module__ == errors.__name__:  # others never leave the package
            yield from _below(one)
