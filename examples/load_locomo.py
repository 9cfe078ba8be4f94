#!/usr/bin/env python3
"""Store the LoCoMo conversations over HTTP, then read them back and compare them with the files.

    examples/load_locomo.py load DIR     store every conversation file of DIR
    examples/load_locomo.py check DIR    read everything back and compare it with the files of DIR

DIR holds one JSON file per conversation, with the keys `speaker_a`, `speaker_b` and, for each
session, `session_N` (the turns) and `session_N_date_time`. The data is not part of this project.

What becomes what:

- a file is a namespace (`26.json` is `locomo-26`), a session is a dialogue, a turn is a message;
- the session's date is the `created` of the dialogue and of its messages, read as UTC;
- `speaker_a` has the role `user`, `speaker_b` the role `assistant`; the speaker is the `name`;
- everything else that a turn holds (`dia_id`, image addresses and captions, …) is its metadata.

Every request carries ids of its own and an `Idempotency-Key`, so `load` may be stopped at any
moment and started again: nothing is stored twice, and what is missing is added.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Json = dict[str, Any]

BATCH = 25  # messages a request; the server takes no more at once (S-SDK)
PAGE = 100  # items a page
TRIES = 8  # for a request whose answer is lost, or that the server asks to repeat
TIMEOUT_S = 30
SHOWN = 10  # differences printed in full

out = Console(soft_wrap=True, highlight=False, markup=False)
err = Console(soft_wrap=True, highlight=False, markup=False, stderr=True)


class Failure(Exception):
    """A reason to stop, written for the person at the terminal."""


class Refused(Exception):
    """An answer of the server that says no, with the code of its error envelope."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


# --- the files ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """One session of a file: its turns as they stand there, and what is to be stored of it."""

    turns: list[Json]
    dialogue: Json
    messages: list[Json]


@dataclass(frozen=True)
class Conversation:
    """One file of the folder."""

    file: str
    namespace: str
    sessions: list[Session]


def read_folder(folder: Path) -> list[Conversation]:
    """Read every conversation file of the folder, in the order of their names.

    Raises: Failure: if the folder is missing or holds anything but conversations.
    """
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise Failure(f"{folder} holds no *.json file; is it a LoCoMo folder?")
    return [read_file(path) for path in files]


def read_file(path: Path) -> Conversation:
    """Read one conversation file.

    Raises: Failure: if the file is not a LoCoMo conversation.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise Failure(f"{path} cannot be read as JSON: {reason}") from None
    if not isinstance(content, dict):
        raise Failure(f"{path} is not a LoCoMo conversation: it holds no JSON object")
    numbers = sorted(int(key[8:]) for key in content if re.fullmatch(r"session_\d+", key))
    for key in ("speaker_a", "speaker_b", *(f"session_{n}_date_time" for n in numbers)):
        if not isinstance(content.get(key), str):
            raise Failure(f"{path} is not a LoCoMo conversation: it has no text `{key}`")
    if not numbers:
        raise Failure(f"{path} is not a LoCoMo conversation: it has no session")
    namespace = f"locomo-{path.stem}"
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,62}[A-Za-z0-9]", namespace):
        raise Failure(f"{path}: `{namespace}` cannot be a namespace; rename the file")
    try:
        sessions = [read_session(content, number, namespace) for number in numbers]
    except (AttributeError, KeyError, TypeError, ValueError) as reason:
        raise Failure(f"{path} is not a LoCoMo conversation: {reason!r}") from None
    return Conversation(path.name, namespace, sessions)


def read_session(content: Json, number: int, namespace: str) -> Session:
    """Turn one session of a file into a dialogue and its messages."""
    date_time: str = content[f"session_{number}_date_time"]
    when = datetime.strptime(date_time, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    created = when.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    speakers = {content["speaker_b"]: "assistant", content["speaker_a"]: "user"}
    dialogue = {
        "id": f"{namespace}-session-{number}",
        "namespace": namespace,
        "label": f"{content['speaker_a']} and {content['speaker_b']}, session {number}",
        "created": created,
        "tags": ["locomo"],
        "metadata": {"session": number, "date_time": date_time},
    }
    turns: list[Json] = content[f"session_{number}"]
    messages = [
        {
            "id": f"{namespace}-{turn['dia_id']}",
            "role": speakers[turn["speaker"]],
            "name": turn["speaker"],
            "content": turn["text"],
            "created": created,
            "metadata": {k: v for k, v in turn.items() if k not in ("speaker", "text")},
        }
        for turn in turns
    ]
    return Session(turns, dialogue, messages)


def turn_of(message: Json) -> Json:
    """Turn a stored message back into the turn that it was made from."""
    return {"speaker": message.get("name"), "text": message["content"], **message["metadata"]}


# --- the server -----------------------------------------------------------------------------


class Api:
    """The few requests that this program makes."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def greet(self) -> None:
        """Ask for one dialogue, once, to learn whether the server answers and knows the key."""
        self.call("GET", "/dialogue", {"limit": 1}, tries=1)

    def create(self, path: str, params: Json, body: Any, idempotency_key: str) -> bool:
        """Send a write that may be sent again; say whether it stored something new.

        The server remembers an idempotency key for 24 hours. After that a repeated write is
        refused because its ids are taken, which means the same: a batch is stored whole or not
        at all, so one taken id says that all of it is there.
        """
        headers = {"Idempotency-Key": idempotency_key}
        try:
            answer = self.call("POST", path, params, body=body, headers=headers)
        except Refused as refused:
            if refused.code == "DUPLICATE_ID":
                return False
            if refused.code == "IDEMPOTENCY_CONFLICT":
                hint = "the file has changed since it was loaded"
            elif refused.status == 404:
                hint = "what was loaded has been deleted since; load it into another project"
            else:
                raise
            raise Failure(f"{idempotency_key}: {hint} ({refused})") from None
        return "Idempotent-Replayed" not in answer.headers

    def pages(self, path: str, params: Json) -> Iterator[Json]:
        """Read a list to its end, page by page."""
        following: Json = {}
        while True:
            page = self.call("GET", path, {**params, "limit": PAGE, **following}).json()
            yield from page["items"]
            if not page["next"]:
                return
            following = {"next": page["next"]}

    def call(
        self,
        method: str,
        path: str,
        params: Json,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
        tries: int = TRIES,
    ) -> requests.Response:
        """Send one request, and again while its answer is lost or says "later".

        Raises: Refused: if the server says no. Failure: if there is no answer to use.
        """
        for attempt in range(1, tries + 1):
            answer = self._once(method, path, params=params, json=body, headers=headers)
            if answer is not None and answer.status_code < 400:
                return self._checked(answer)
            later = answer is None or answer.status_code == 429 or answer.status_code >= 500
            if answer is not None and (attempt == tries or not later):
                raise self._refusal(answer)
            after = "" if answer is None else answer.headers.get("Retry-After", "")
            if attempt < tries:
                time.sleep(float(after) if after.isdecimal() else min(0.1 * 2**attempt, 5))
        hint = "Start one with scripts/serve, or name its address with --url."
        raise Failure(f"No server answers at {self.url}. {hint}")

    def _once(self, method: str, path: str, **request: Any) -> requests.Response | None:
        """Send one request once; None if the connection broke before the answer was here."""
        try:
            return self.session.request(method, self.url + path, timeout=TIMEOUT_S, **request)
        except requests.exceptions.SSLError as reason:
            hint = "Set REQUESTS_CA_BUNDLE to the certificate that signed the server's."
            raise Failure(f"{self.url}: {reason}\n{hint}") from None
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ):
            return None
        except (requests.RequestException, UnicodeError) as reason:
            raise Failure(f"{self.url}: {reason}") from None

    def _checked(self, answer: requests.Response) -> requests.Response:
        """Let an answer pass only if it is JSON."""
        if not answer.headers.get("Content-Type", "").startswith("application/json"):
            raise Failure(f"What answers at {self.url} is not DialogueDB: it sends no JSON.")
        return answer

    def _refusal(self, answer: requests.Response) -> Exception:
        """The exception that stands for an answer of 400 and above."""
        try:
            error = answer.json()["error"]
            refused = Refused(answer.status_code, error["code"], error["message"])
        except (ValueError, KeyError, TypeError):
            return Failure(f"What answers at {self.url} is not DialogueDB: {answer.status_code}.")
        if refused.status in (401, 403):
            hint = "Give a valid API key with --key or DIALOGUEDB_API_KEY."
            return Failure(f"The server refuses the API key ({refused}). {hint}")
        return refused


# --- load -----------------------------------------------------------------------------------


def load(api: Api, conversations: list[Conversation]) -> int:
    """Store all conversations and show the progress; the exit code is 0."""
    total = sum(len(s.messages) for c in conversations for s in c.sessions)
    new = [0, 0]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err) as progress:
        task = progress.add_task("messages", total=total)
        for conversation in conversations:
            progress.update(task, description=conversation.file)
            for session in conversation.sessions:
                stored = load_session(api, session, lambda n: progress.update(task, advance=n))
                new = [new[0] + stored[0], new[1] + stored[1]]
        progress.update(task, description="messages")
    sessions = sum(len(c.sessions) for c in conversations)
    known = f"{sessions - new[0]} dialogues and {total - new[1]} messages were there before."
    out.print(f"Stored {new[0]} dialogues and {new[1]} messages; {known}")
    return 0


def load_session(api: Api, session: Session, advance: Callable[[int], None]) -> tuple[int, int]:
    """Store one dialogue with its messages; return how many of both are new."""
    dialogue_id = session.dialogue["id"]
    where = {"namespace": session.dialogue["namespace"]}
    dialogues = int(api.create("/dialogue", where, session.dialogue, dialogue_id))
    messages = 0
    for start in range(0, len(session.messages), BATCH):
        batch = session.messages[start : start + BATCH]
        key = f"{dialogue_id}/messages/{start}"
        if api.create("/messages", {**where, "dialogueId": dialogue_id}, batch, key):
            messages += len(batch)
        advance(len(batch))
    return dialogues, messages


# --- check ----------------------------------------------------------------------------------


def check(api: Api, conversations: list[Conversation]) -> int:
    """Compare what is stored with the files; the exit code is 1 if anything differs."""
    found: list[str] = []
    for conversation in conversations:
        differences = list(check_conversation(api, conversation))
        turns = [turn for session in conversation.sessions for turn in session.turns]
        captions = sum("blip_caption" in turn for turn in turns)
        counts = f"{len(conversation.sessions)} dialogues, {len(turns)} messages"
        verdict = f"{len(differences)} DIFFERENCES" if differences else "equal"
        out.print(f"{conversation.file}: {counts}, {captions} captions: {verdict}")
        found += differences
    if found:
        for line in found[:SHOWN]:
            err.print(f"  {line}")
        if len(found) > SHOWN:
            err.print(f"  … and {len(found) - SHOWN} more")
        err.print(f"What is stored is not equal to the input: {len(found)} differences.")
        return 1
    dialogues = sum(len(c.sessions) for c in conversations)
    messages = sum(len(s.turns) for c in conversations for s in c.sessions)
    counts = f"{dialogues} dialogues, {messages} messages"
    out.print(f"{len(conversations)} conversations, {counts}: equal to the input.")
    return 0


def check_conversation(api: Api, conversation: Conversation) -> Iterator[str]:
    """Yield one line for each difference between a file and its namespace."""
    where = {"namespace": conversation.namespace}
    stored = list(api.pages("/dialogue", {**where, "order": "asc"}))
    expected = [session.dialogue["id"] for session in conversation.sessions]
    yield from compare_ids(conversation.file, "dialogue", [d["id"] for d in stored], expected)
    by_id = {dialogue["id"]: dialogue for dialogue in stored}
    for session in conversation.sessions:
        if session.dialogue["id"] in by_id:
            yield from check_session(api, session, by_id[session.dialogue["id"]])


def check_session(api: Api, session: Session, dialogue: Json) -> Iterator[str]:
    """Yield the differences of one dialogue and of its messages, in their order."""
    name = session.dialogue["id"]
    counts = {"status": "active", "totalMessages": len(session.turns), "threadCount": 0}
    yield from compare(name, dialogue, {**session.dialogue, **counts})
    where = {"namespace": session.dialogue["namespace"], "dialogueId": name}
    stored = list(api.pages("/messages", where))
    expected = [message["id"] for message in session.messages]
    yield from compare_ids(name, "message", [message["id"] for message in stored], expected)
    by_id = {message["id"]: message for message in stored}
    for turn, message in zip(session.turns, session.messages, strict=True):
        if message["id"] in by_id:
            kept = by_id[message["id"]]
            made = {"role": message["role"], "created": message["created"], "tags": []}
            yield from compare(message["id"], kept, {**where, **made})
            yield from compare(message["id"], turn_of(kept), turn, whole=True)


def compare_ids(where: str, kind: str, stored: list[str], expected: list[str]) -> Iterator[str]:
    """Yield what is missing, what is too much, and whether the order differs."""
    for missing in sorted(set(expected) - set(stored)):
        yield f"{where}: {kind} {missing} is missing"
    for extra in sorted(set(stored) - set(expected)):
        yield f"{where}: {kind} {extra} is not in the input"
    if len(stored) != len(set(stored)):
        yield f"{where}: a {kind} comes more than once"
    elif set(stored) == set(expected) and stored != expected:
        yield f"{where}: the {kind}s come in another order"


def compare(where: str, stored: Json, expected: Json, *, whole: bool = False) -> Iterator[str]:
    """Yield the fields of `expected` that differ; with `whole`, also those that it has not."""
    for field, value in expected.items():
        if as_json(stored.get(field)) != as_json(value):
            yield f"{where}: {field} is {as_json(stored.get(field))}, not {as_json(value)}"
    for field in stored if whole else ():
        if field not in expected:
            yield f"{where}: {field} is {as_json(stored[field])}, but is not in the input"


def as_json(value: Any) -> str:
    """Write a value so that two texts are equal exactly if the values are (`1` is not `true`)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


# --- the command line -----------------------------------------------------------------------


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line; without a command, `load` is meant."""
    if argv and argv[0] not in ("load", "check", "-h", "--help"):
        argv = ["load", *argv]
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("dir", metavar="DIR", type=Path, help="the folder of conversation files")
    options.add_argument(
        "--url",
        default=os.environ.get("DIALOGUEDB_BASE_URL", "http://127.0.0.1:8642"),
        help="the server's address (default: DIALOGUEDB_BASE_URL, else %(default)s)",
    )
    options.add_argument(
        "--key",
        default=os.environ.get("DIALOGUEDB_API_KEY"),
        help="the API key (default: DIALOGUEDB_API_KEY)",
    )
    text = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=text[0], epilog=text[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("load", parents=[options], help="store the conversations of DIR")
    commands.add_parser("check", parents=[options], help="compare what is stored with DIR")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run one command; exit with 0, with 1 for differences, with 2 if it could not be done."""
    chosen = arguments(argv)
    try:
        if not chosen.key:
            raise Failure("No API key: give it with --key or DIALOGUEDB_API_KEY.")
        conversations = read_folder(chosen.dir)
        api = Api(chosen.url, chosen.key)
        api.greet()
        return {"load": load, "check": check}[chosen.command](api, conversations)
    except (Failure, Refused) as reason:
        err.print(f"load_locomo: {reason}")
        return 2
    except KeyboardInterrupt:
        err.print("load_locomo: stopped; run the same command again to go on where it was.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
