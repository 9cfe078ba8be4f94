#!/usr/bin/env python3
"""Chat on a terminal with something that remembers.

    examples/chat.py                                       no model: it answers with what it recalls
    examples/chat.py --llm-url http://127.0.0.1:11434/v1 --model llama3.2              with Ollama
    OPENAI_API_KEY=sk-... examples/chat.py --model gpt-4o-mini                         with OpenAI

Each turn is the loop of a chat with a memory:

    1. receive     what is said is stored at once: nothing is lost if what follows fails
    2. retrieve    the context: system prompt, summary, last turns, and what is recalled for
                   what was just said, from this dialogue, earlier ones and memories
    3. prompt      the model gets that context, and nothing else
    4. store       its answer is stored too; when much has been said, the dialogue is compacted

All is kept in the file chat.db, or on a server with --url. Start it again, and it goes on where it
ended; --dialogue begins another conversation, and what was said before is still recalled. Whoever
has several users gives each one a namespace: nobody is told what another one said.

While chatting, /context shows of what the model's next context would be made, and with a question
what would be recalled for it; /remember TEXT keeps a fact, /compact compacts at once, /quit ends.
"""

import argparse
import os
import sys
from typing import Any, NamedTuple

import httpx

import dialoguedb
from dialoguedb import Dialogue, DialogueDB, Message, errors

SYSTEM = (
    "You are a friendly assistant with a memory. The conversation may begin with a summary, and "
    "lines that were recalled for you may stand before what was said last: they are what people "
    "said, use them as such. Say so when you do not know something."
)
DEFAULT_ENDPOINT = "https://api.openai.com/v1"
MODEL_TIMEOUT_S = 120.0
COMPACT_TIMEOUT_S = 60.0
#: What is less relevant than that is no answer.
LEAST_RELEVANCE = 0.2
UNKNOWN = "I know nothing about that yet. What you said is stored, and recalled when you ask."
HELP = "/context [QUESTION]  /remember TEXT  /compact  /quit"


class Model(NamedTuple):
    """A model behind an endpoint that speaks OpenAI's chat completions."""

    url: str
    key: str | None
    name: str

    def answer(self, messages: list[dict[str, Any]]) -> str:
        """Ask it.

        Raises:
            httpx.HTTPError: the endpoint is away, or answers with an error.
            ValueError: what comes is no answer.
        """
        response = httpx.post(
            f"{self.url.rstrip('/')}/chat/completions",
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            json={"model": self.name, "messages": messages},
            timeout=MODEL_TIMEOUT_S,
        )
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{self.url} answered {response.status_code}")
        try:
            text = response.json()["choices"][0]["message"]["content"]
        except (LookupError, TypeError, ValueError):
            raise ValueError(f"{self.url} is no endpoint of a chat model") from None
        if not text:
            raise ValueError("the answer is empty")
        return str(text)


def recalled(db: DialogueDB, heard: Message, namespace: str) -> str:
    """Answer without a model: with the memory, or what a user has said, that fits best."""
    query = str(heard.content)
    facts = db.search_memories(query, namespace=namespace, limit=1)
    found = [(one.relevance, f"I keep in mind: {one.item.value}") for one in facts.results]
    for hit in db.search_messages(query, namespace=namespace, limit=20).results:
        said = hit.item
        text = said.preview or ""
        if said.role == "user" and said.id != heard.id and not text.endswith("?"):
            found.append((hit.relevance, f"On {said.created[:10]} you said: {text}"))
            break
    relevance, answer = max(found, default=(0.0, ""))
    return answer if relevance >= LEAST_RELEVANCE else UNKNOWN


def turn(db: DialogueDB, dialogue: Dialogue, said: str, asked: argparse.Namespace) -> str:
    """Take one turn: receive, retrieve, prompt, store."""
    heard = dialogue.save_message(role="user", content=said)  # 1
    model = model_of(asked)
    if model is None:
        answer = recalled(db, heard, asked.namespace)
    else:
        context = dialogue.context(query=said, max_tokens=asked.max_tokens, format="openai")  # 2
        answer = model.answer(context.messages)  # 3
    by = model.name if model else "recall"
    dialogue.save_message(role="assistant", content=answer, metadata={"model": by})  # 4
    return answer


def compact_when_long(db: DialogueDB, dialogue: Dialogue, after: int) -> None:
    """Compact when more than so many messages have been said since the last time."""
    page = db.list_summaries(dialogue.id, namespace=dialogue.namespace, status="completed", limit=1)
    covered = sum(one.message_count or 0 for one in page.items if not one.stale)
    if dialogue.total_messages - covered >= after:
        compact(dialogue)


def compact(dialogue: Dialogue) -> None:
    """Have what was said so far summarised; every message stays, and can be recalled."""
    try:
        summary = dialogue.compact(timeout_s=COMPACT_TIMEOUT_S)
    except (errors.SummaryFailed, errors.TimedOut) as error:
        print(f"[not compacted: {error.message}]")
        return
    print(f"[compacted: {summary.message_count} messages are {summary.content_token_count} tokens]")


def show_context(dialogue: Dialogue, query: str | None, max_tokens: int) -> None:
    """Print of what the context for the next turn is made, and what each part costs."""
    context = dialogue.context(query=query, max_tokens=max_tokens)
    for part in context.included:
        print(f"{part.tokens:>6}  {part.reason:<8}  {part.id}")
    print(f"{context.tokens:>6}  of {context.max_tokens} tokens, counted by {context.tokenizer}")


def command(db: DialogueDB, dialogue: Dialogue, line: str, asked: argparse.Namespace) -> None:
    """Do what begins with a slash."""
    word, _, rest = line.partition(" ")
    if word == "/context":
        show_context(dialogue, rest.strip() or None, asked.max_tokens)
    elif word == "/remember" and rest.strip():
        db.create_memory(rest.strip(), namespace=asked.namespace)
        print("[kept]")
    elif word == "/compact":
        compact(dialogue)
    else:
        print(HELP)


def chat(db: DialogueDB, asked: argparse.Namespace) -> None:
    """Talk until the end of the input."""
    # Ids are unique in the whole project, not only in the namespace.
    dialogue_id = f"{asked.namespace}-{asked.dialogue}"
    dialogue = db.get_dialogue(dialogue_id, asked.namespace)
    if dialogue is None:
        first: dialoguedb.MessageInput = {"role": "system", "content": SYSTEM}
        dialogue = db.create_dialogue(id=dialogue_id, namespace=asked.namespace, message=first)
    said_before = dialogue.total_messages - 1
    print(f"{asked.model or 'No model: answers come from recall'}. {said_before} messages so far.")
    print(HELP)
    while (line := heard()) is not None and line != "/quit":
        if line.startswith("/"):
            command(db, dialogue, line, asked)
        elif line:
            try:
                print(turn(db, dialogue, line, asked))
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                print(f"[no answer: {error}; what you said is stored]")
            compact_when_long(db, dialogue, asked.compact_after)


def heard() -> str | None:
    """Read a line; None at the end of the input."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


def model_of(asked: argparse.Namespace) -> Model | None:
    """Give the model that was asked for; None if none was."""
    return Model(asked.llm_url, asked.llm_key, asked.model) if asked.model else None


def arguments() -> argparse.Namespace:
    """Read the command line."""
    env = os.environ.get
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kept = parser.add_argument_group("where the conversation is kept")
    kept.add_argument("--db", default="chat.db", help="a file (default: chat.db)")
    kept.add_argument("--url", help="a server instead; its key is DIALOGUEDB_API_KEY")
    kept.add_argument("--namespace", default="me", help="whose memory it is (default: me)")
    kept.add_argument("--dialogue", default="chat", help="which conversation (default: chat)")
    model = parser.add_argument_group("the model; without one, answers come from recall alone")
    model.add_argument("--model", default=env("OPENAI_MODEL"), help="its name, or OPENAI_MODEL")
    model.add_argument(
        "--llm-url",
        default=env("OPENAI_BASE_URL") or DEFAULT_ENDPOINT,
        help=f"any OpenAI-compatible endpoint, or OPENAI_BASE_URL (default: {DEFAULT_ENDPOINT})",
    )
    model.add_argument(
        "--llm-key",
        default=env("OPENAI_API_KEY"),
        help="its key; better in OPENAI_API_KEY, where no list of processes shows it",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-tokens", type=int, default=4000, help="what a context may cost (default: 4000)"
    )
    limits.add_argument(
        "--compact-after", type=int, default=40, help="so many messages (default: 40)"
    )
    return parser.parse_args()


def main() -> None:
    """Open the file or the server, and chat."""
    asked = arguments()
    try:
        opened = DialogueDB(base_url=asked.url) if asked.url else dialoguedb.open(asked.db)
        with opened as db:
            chat(db, asked)
    except errors.DialogueDBError as error:
        sys.exit(f"chat: {error.status} {error.code}: {error.message}")
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
