"""Write docs/reference/: API, errors, settings, commands and manual page, from their sources.

`--check` writes nothing and fails when a page is not what it would write.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import sdk_reference
from typer.main import get_command

from dialoguedb import __version__, errors
from dialoguedb.cli.main import app
from dialoguedb.contract import COMMON_ERRORS, OPERATIONS
from dialoguedb.operation import Operation
from dialoguedb.server.openapi import document, example_of
from dialoguedb.settings import (
    FILE_ONLY,
    KEY_VARIABLES,
    PREFIX,
    SECRETS,
    URL_VARIABLES,
    Settings,
    help_of,
)
from dialoguedb.wire import fields_of

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_NOTE = "<!-- Written by scripts/docs. Do not change it by hand. -->\n\n"


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Write a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )


def api() -> str:
    """Write the page of the operations."""
    parts = [
        "# API\n\nEvery path also works under `/api/v1`; a trailing slash is ignored. Send the key "
        "as `Authorization: Bearer <key>`. `GET /openapi.json` is the same for programs.\n"
    ]
    parts += [_operation(operation) for operation in OPERATIONS]
    return "\n".join(parts)


def _operation(operation: Operation) -> str:
    schemas = document()["components"]["schemas"]
    lines = [f"## {operation.name}\n", f"{operation.summary}.\n"]
    routes = [f"`{route.method} {route.path}`" for route in operation.routes]
    lines.append(routes[0] + (f"; also {', '.join(routes[1:])}" if routes[1:] else "") + "\n")
    notes = []
    if operation.public:
        notes.append("needs no key")
    if operation.admin:
        notes.append("needs a key with the admin scope")
    if operation.idempotent:
        notes.append("takes `Idempotency-Key`")
    if operation.versioned:
        notes.append("answers `ETag`")
    if operation.conditional:
        notes.append("takes `If-Match`")
    if not operation.public:
        verb = "answers" if operation.writes else "takes"
        notes.append(f"{verb} `X-DialogueDB-Position`")
    if operation.strict_query:
        notes.append("refuses unknown parameters")
    if notes:
        lines.append(f"It {'; '.join(notes)}.\n")
    if operation.request.__struct_fields__:
        lines.append(_fields(operation, schemas) + "\n")
    failures = [*operation.errors, *(() if operation.public else COMMON_ERRORS)]
    if failures:
        lines.append("Errors: " + ", ".join(f"`{e.code}`" for e in dict.fromkeys(failures)) + "\n")
    return "\n".join(lines)


def _fields(operation: Operation, schemas: dict[str, Any]) -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for wire, field in fields_of(operation.request).items():
            schema = schemas[operation.request.__name__]["properties"][wire]
            places = []
            if any("{" + wire + "}" in route.path for route in operation.routes):
                places.append("path")
            if wire in operation.query:
                places.append("query")
            if operation.body != "none":
                places.append("body")
            needed = field.required or wire in operation.required
            text = schema.get("description", "")
            example = msgspec.json.encode(example_of(schema, schemas)).decode()
            shown = f"`{example}`" if len(example) <= 60 else ""
            yield f"`{wire}`", ", ".join(places), "yes" if needed else "", text, shown

    return table(("Field", "In", "Required", "Meaning", "Example"), rows())


def codes() -> str:
    """Write the page of the errors."""

    def rows() -> Iterator[tuple[str, ...]]:
        seen = set()
        for error in _tree(errors.DialogueDBError):
            answered = not error.__subclasses__() or error is errors.ServiceUnavailable
            if answered and not issubclass(error, errors.AdminError) and error.code not in seen:
                seen.add(error.code)
                yield str(error.status), f"`{error.code}`", f"`{error.type}`", error().message

    return (
        "# Errors\n\nEvery error has this envelope. `details` names the fields; `requestId` is "
        "also in the header `X-Request-Id` and in the server's log.\n\n```json\n"
        + msgspec.json.format(
            msgspec.json.encode(
                {
                    "error": {
                        "code": "DIALOGUE_NOT_FOUND",
                        "message": "Dialogue 'd-1' not found in this namespace",
                        "type": "not_found",
                        "details": [
                            {
                                "code": "NOT_FOUND",
                                "message": "Dialogue 'd-1' not found in this namespace",
                                "field": "id",
                            }
                        ],
                        "requestId": "0c7b1a52-33c1-4a0e-8a51-6f5a2b9d1e10",
                        "timestamp": "2026-02-03T04:06:00.000Z",
                    }
                }
            )
        ).decode()
        + "\n```\n\n"
        + table(("Status", "Code", "Type", "When"), rows())
        + "\n"
    )


def _tree(error: type[errors.DialogueDBError]) -> Iterator[type[errors.DialogueDBError]]:
    for below in error.__subclasses__():
        yield below
        yield from _tree(below)


def settings() -> str:
    """Write the page of the settings."""

    def rows() -> Iterator[tuple[str, ...]]:
        defaults = Settings()
        for name in Settings.__struct_fields__:
            value = getattr(defaults, name)
            shown = "" if value in (None, (), {}) else f"`{msgspec.json.encode(value).decode()}`"
            flag = "" if name in SECRETS | FILE_ONLY else f"`--{name.replace('_', '-')}`"
            variable = "" if name in FILE_ONLY else f"`{PREFIX}{name.upper()}`"
            yield f"`{name}`", flag, variable, shown, help_of(name)

    return (
        "# Settings\n\nA flag wins over a variable, a variable over the file that `--config` names "
        "(TOML, with these names as keys).\n\n"
        + table(("Setting", "Flag", "Variable", "Default", "Meaning"), rows())
        + "\n"
    )


def commands() -> str:
    """Write the page of the commands."""
    root: Any = get_command(app)
    parts = [f"# Commands\n\n{root.epilog}\n"]
    parts.append(
        "## dialoguedb\n\nEvery data command takes these options too, before or after it.\n"
    )
    parts.append(_options(root.params) + "\n")
    for path, command in _commands(root, "dialoguedb"):
        text = inspect.cleandoc(command.help or "")
        parts.append(f"## {path}\n\n{text}\n")
        own = _own(command, root)
        if own:
            parts.append(_options(own) + "\n")
    return "\n".join(parts)


def _options(params: list[Any]) -> str:
    return table(("Option", "Meaning"), ((f"`{_names(one)}`", _help(one)) for one in params))


def _own(command: Any, root: Any) -> list[Any]:
    """List the parameters of a command but those that it shares with the root."""
    shared = {(one.name, _help(one)) for one in root.params}
    return [
        one for one in command.params if one.name != "help" and (one.name, _help(one)) not in shared
    ]


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    names = ", ".join([*param.opts, *param.secondary_opts])
    return f"{names} {param.metavar}" if param.metavar else names


def _help(param: Any) -> str:
    return " ".join((getattr(param, "help", None) or "").split())


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from _commands(one, f"{path} {name}")


def manual() -> str:
    """Write the manual page, in roff, of the same commands."""
    root: Any = get_command(app)
    name, about = root.name, _roff(root.help)
    lines = [
        '.\\" Written by scripts/docs. Do not change it by hand.',
        f'.TH {name.upper()} 1 "" "{name} {__version__}" "User Commands"',
        ".ad l",
        ".nh",
        ".SH NAME",
        f"{name} \\- {about[:1].lower()}{about[1:].rstrip('.')}",
        ".SH SYNOPSIS",
        f".B {name}",
        "[OPTIONS] COMMAND [ARGUMENTS]",
        ".SH DESCRIPTION",
        *_paragraphs(inspect.getdoc(root.callback) or ""),
        ".SH OPTIONS",
        "Every data command takes these options too, before or after it.",
        *_roff_options(root.params),
        ".SH COMMANDS",
    ]
    for path, command in _commands(root, name):
        arguments = [
            _names(one) if one.required else f"[{_names(one)}]"
            for one in command.params
            if one.param_type_name == "argument"
        ]
        lines.append(f".SS {_roff(' '.join([path, *arguments]))}")
        lines += _paragraphs(inspect.cleandoc(command.help or ""))
        lines += _roff_options(
            [one for one in _own(command, root) if one.param_type_name != "argument"]
        )
    lines += [".SH EXIT STATUS", _roff(root.epilog.removeprefix("Exit codes: "))]
    lines.append(".SH ENVIRONMENT")
    for variable, meaning in _VARIABLES.items():
        lines += [".TP", f".B {variable}", _roff(meaning)]
    return "\n".join(lines) + "\n"


#: What data commands find in the environment; settings of a server are on their own page.
_VARIABLES = {
    ", ".join(URL_VARIABLES): "The server that data commands work on.",
    ", ".join(KEY_VARIABLES): "The key for it.",
    f"{PREFIX}DB": "The file that commands work on, where no server is named.",
    "NO_COLOR": "Set to anything, it turns colours off.",
}


def _roff_options(params: list[Any]) -> list[str]:
    return [
        line for one in params for line in (".TP", f".B {_roff(_names(one))}", _roff(_help(one)))
    ]


def _paragraphs(text: str) -> list[str]:
    """Write paragraphs of Markdown as roff; an example stands in lines of its own."""
    lines = []
    for paragraph in text.split("\n\n"):
        joined = " ".join(paragraph.split())
        if joined.startswith("Example: `"):
            example = _roff(joined.removeprefix("Example: `").removesuffix("`"))
            lines += [".PP", "Example:", ".RS", ".nf", example, ".fi", ".RE"]
        else:
            lines += [".PP", _roff(joined)]
    return lines


def _roff(text: str) -> str:
    """Write a line of Markdown as roff: code is bold."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    bold = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", escaped)
    return f"\\&{bold}" if bold.startswith(".") else bold


def pages() -> dict[str, str]:
    """Make all pages, by file name."""
    made = {
        "api.md": api(),
        "errors.md": codes(),
        "settings.md": settings(),
        "cli.md": commands(),
        "sdk.md": sdk_reference.page(),
    }
    return {name: _NOTE + text for name, text in made.items()} | {"dialoguedb.1": manual()}


def main() -> int:
    """Write the pages, or with `--check` compare them."""
    stale = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        file = FOLDER / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                file.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"docs/reference: {', '.join(stale)} not up to date; run scripts/docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
