"""The reference as a page for people: plain HTML, made here, nothing fetched from elsewhere."""

import json
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --get: #0a7d4f; --post: #1f5fbf;
  --put: #9a6700; --delete: #b42318; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; }
h1 { margin: 0 } h2 { margin-top: 3rem } p { max-width: 45rem }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .75rem; display: flex; gap: .75rem; flex-wrap: wrap; }
details > div { border-top: 1px solid var(--line); padding: .5rem .75rem 1rem; }
.method { font-weight: 700; min-width: 4rem; }
.get { color: var(--get) } .post { color: var(--post) }
.put { color: var(--put) } .delete { color: var(--delete) }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); border-radius: 6px; overflow: auto; padding: .75rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-top: 1px solid var(--line); padding: .25rem .5rem; text-align: left;
  vertical-align: top; }
.what { opacity: .8 }
"""


def page_of(document: dict[str, Any]) -> bytes:
    """Write the page of an OpenAPI document."""
    info = document["info"]
    rooms = "".join(_room(document, tag["name"]) for tag in document["tags"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>DialogueDB reference</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><h1>DialogueDB</h1><p>Release {escape(info["version"])}. {escape(info["summary"])}
Every path also works under <code>/api/v1</code>. Send the key as
<code>Authorization: Bearer &lt;key&gt;</code>. For programs:
<a href="openapi.json">openapi.json</a>.</p>{rooms}</body></html>""".encode()


def _room(document: dict[str, Any], title: str) -> str:
    rows = [
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if title in operation["tags"] and not operation["operationId"].rpartition(".")[2].isdigit()
    ]
    return f"<h2>{escape(title)}</h2>{''.join(rows)}"


def _operation(document: dict[str, Any], method: str, path: str, row: dict[str, Any]) -> str:
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span>'
        f'<code>{escape(path)}</code><span class="what">{escape(row["summary"])}</span></summary>'
        f"<div>{_aliases(document, row)}{_parameters(row)}{_body(row)}{_responses(row)}"
        "</div></details>"
    )


def _aliases(document: dict[str, Any], row: dict[str, Any]) -> str:
    others = [
        f"<code>{method.upper()} {escape(path)}</code>"
        for path, methods in document["paths"].items()
        for method, other in methods.items()
        if other["operationId"].startswith(row["operationId"] + ".")
    ]
    return f"<p>Also: {', '.join(others)}</p>" if others else ""


def _parameters(row: dict[str, Any]) -> str:
    if not row.get("parameters"):
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}"
        f"{', required' if one['required'] else ''}</td><td>{escape(one['description'])}</td></tr>"
        for one in row["parameters"]
    )
    return f"<h4>Parameters</h4><table>{lines}</table>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _body(row: dict[str, Any]) -> str:
    body = row.get("requestBody")
    if body is None:
        return ""
    shown = _examples(body["content"]["application/json"])
    return f"<h4>Body</h4>{shown}" if shown else ""


def _examples(media: dict[str, Any]) -> str:
    """Show the examples of a body: the one there is, or one for each of its forms."""
    values = [one["value"] for one in media.get("examples", {}).values()]
    return "".join(map(_json, [*values, *([media["example"]] if media.get("example") else [])]))


def _responses(row: dict[str, Any]) -> str:
    good = next(status for status in row["responses"] if status.startswith("2"))
    content = next(iter(row["responses"][good]["content"].values()))
    errors = "".join(
        f"<tr><td>{status}</td><td><code>{escape(code)}</code></td>"
        f"<td>{escape(one['value']['error']['message'])}</td></tr>"
        for status, answer in row["responses"].items()
        if status != good
        for code, one in answer.get("content", {})
        .get("application/json", {})
        .get("examples", {})
        .items()
    )
    table = f"<h4>Errors</h4><table>{errors}</table>" if errors else ""
    return f"<h4>Answer</h4>{_examples(content)}{table}"
