#!/usr/bin/env python3
"""Ask a question in plain words and print what answers it best.

    examples/search.py "Which wheel is bent?"
    examples/search.py "Which wheel is bent?" --object dialogue --since "last week"

What was stored is found at once; there is nothing to wait for between storing and asking. Address
and key come from `DIALOGUEDB_BASE_URL` and `DIALOGUEDB_API_KEY`, as in `chat_log.py`.
"""

import argparse
import json
import os
import sys
from typing import Any

import requests

URL = os.environ.get("DIALOGUEDB_BASE_URL", "http://127.0.0.1:8642")
KEY = os.environ.get("DIALOGUEDB_API_KEY", "")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("question")
    parser.add_argument("--object", choices=["message", "dialogue", "memory"], default="message")
    parser.add_argument("--namespace", help="only of this namespace (default: the whole project)")
    parser.add_argument("--since", help="only what was created since; a date or a phrase")
    parser.add_argument("--limit", type=int, default=5, help="results at most (default: 5)")
    return parser.parse_args()


def ask(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Search for the question; return the results, best first."""
    body = {"query": asked.question, "object": asked.object, "limit": asked.limit}
    if asked.namespace:
        body["namespace"] = asked.namespace
    if asked.since:
        body["filter"] = {"created": {"gte": asked.since}}
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        answer = requests.post(f"{URL}/search", json=body, headers=headers, timeout=30)
    except requests.ConnectionError:
        sys.exit(f"search: no server answers at {URL}; start one with scripts/serve")
    if not answer.ok:
        error = answer.json()["error"]
        sys.exit(f"search: {answer.status_code} {error['code']}: {error['message']}")
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def line(result: dict[str, Any]) -> str:
    """Write a result as its relevance, when it was created, and what it says."""
    item = result["item"]
    if result["object"] == "message":
        text = f"{item.get('name', item['role'])}: {item.get('preview', item['content'])}"
    elif result["object"] == "dialogue":
        text = item.get("label") or item["id"]
    else:
        text = f"{item.get('label', item['id'])}: {json.dumps(item['value'], ensure_ascii=False)}"
    return f"{result['relevance']:.2f}  {item['created'][:10]}  {' '.join(text.split())}"


def main() -> None:
    """Print the results; under a dialogue the messages through which it was found."""
    for result in ask(arguments()):
        print(line(result))
        for match in result.get("matches", []):
            print(f"      {line(match)}")


if __name__ == "__main__":
    main()
