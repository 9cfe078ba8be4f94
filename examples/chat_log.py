#!/usr/bin/env python3
"""Store a conversation and read it back.

Start a server with `scripts/serve`, put the key that it prints into `DIALOGUEDB_API_KEY`, and run
this program. `DIALOGUEDB_BASE_URL` names another address than http://127.0.0.1:8642.
"""

import os
import sys
from typing import Any

import requests

URL = os.environ.get("DIALOGUEDB_BASE_URL", "http://127.0.0.1:8642")
KEY = os.environ.get("DIALOGUEDB_API_KEY", "")


def store(session: requests.Session) -> str:
    """Store a dialogue of three messages and return its id."""
    dialogue = sent(
        session.post(
            f"{URL}/dialogue",
            json={
                "label": "A bent wheel",
                "tags": ["workshop"],
                "metadata": {"channel": "web"},
                "state": {"step": "diagnosis"},
                "message": {"role": "user", "name": "Ada", "content": "My wheel is bent."},
            },
        )
    )
    sent(
        session.post(
            f"{URL}/messages",
            params={"dialogueId": dialogue["id"]},
            json=[
                {"role": "assistant", "content": "Front or rear?"},
                {"role": "user", "name": "Ada", "content": [{"type": "text", "text": "Rear."}]},
            ],
        )
    )
    return str(dialogue["id"])


def show(session: requests.Session, dialogue_id: str) -> None:
    """Read the dialogue and all pages of its messages, and print them."""
    dialogue = sent(session.get(f"{URL}/dialogue/{dialogue_id}"))
    print(f"{dialogue['label']}: {dialogue['totalMessages']} messages, state {dialogue['state']}")
    params = {"dialogueId": dialogue_id, "limit": "2"}
    while True:
        page = sent(session.get(f"{URL}/messages", params=params))
        for message in page["items"]:
            speaker = message.get("name", message["role"])
            print(f"  {message['sequence']}. {speaker}: {message['content']}")
        if page["next"] is None:
            return
        params["next"] = page["next"]


def sent(answer: requests.Response) -> Any:
    """Return the JSON of an answer, or end the program with the error that it carries."""
    if not answer.ok:
        error = answer.json()["error"]
        sys.exit(f"chat_log: {answer.status_code} {error['code']}: {error['message']}")
    return answer.json()


def main() -> None:
    """Store a conversation, then read it back from the server."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {KEY}"
        try:
            show(session, store(session))
        except requests.ConnectionError:
            sys.exit(f"chat_log: no server answers at {URL}; start one with scripts/serve")


if __name__ == "__main__":
    main()
