"""The chat program runs as a person would run it: typed lines in, on a file and on a server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dialoguedb
from dialoguedb import Dialogue
from harness import Server, new_project
from llm_server import KEY, LLMServer, Respond, answered, failing, raw, resetting

CHAT = Path(__file__).parents[2] / "examples" / "chat.py"


class Terminal:
    """A folder in which somebody chats."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        set_here = ("DIALOGUEDB_", "OPENAI_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(set_here)}

    def run(self, *lines: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Start the program, type lines, and end the input."""
        return subprocess.run(
            [sys.executable, str(CHAT), *options],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
            env=self.environment,
            check=False,
        )

    def say(self, *lines: str, options: tuple[str, ...] = ()) -> list[str]:
        """Chat; give what is printed below the two lines of greeting."""
        done = self.run(*lines, options=options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()[2:]

    def kept(self, dialogue: str = "chat") -> list[tuple[str, str]]:
        """Give what is stored in the file, but the system prompt."""
        with dialoguedb.open(self.folder / "chat.db", make=False) as db:
            found = db.get_dialogue(f"me-{dialogue}", "me")
            assert found is not None
            messages = [(one.role, one.content) for one in found.messages_iter()]
        assert messages[0][0] == "system"
        return messages[1:]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def model(terminal: Terminal) -> Iterator[LLMServer]:
    """An endpoint that the environment of the terminal names."""
    with LLMServer() as server:
        terminal.environment |= {
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "small",
        }
        yield server


# ---- without a model -----------------------------------------------------------------------------


def test_without_a_model_it_answers_with_what_was_said(terminal: Terminal) -> None:
    told = terminal.say("The rear wheel of my bicycle is bent.")
    assert told == [
        "I know nothing about that yet. What you said is stored, and recalled when you ask."
    ]
    [answer] = terminal.say("Which wheel is bent?", options=("--dialogue", "another"))
    assert answer.endswith("you said: The rear wheel of my bicycle is bent.")
    assert terminal.kept("another") == [("user", "Which wheel is bent?"), ("assistant", answer)]


def test_without_a_model_it_answers_with_what_it_was_to_remember(terminal: Terminal) -> None:
    answers = terminal.say("/remember Ada is allergic to walnuts", "What is Ada allergic to?")
    assert answers == ["[kept]", "I keep in mind: Ada is allergic to walnuts"]


def test_another_namespace_knows_nothing_of_it(terminal: Terminal) -> None:
    terminal.say("The rear wheel of my bicycle is bent.", "/remember Ada's wheel is bent")
    [answer] = terminal.say("Which wheel is bent?", options=("--namespace", "ben"))
    assert answer.startswith("I know nothing about that yet")


def test_a_key_without_a_model_sends_nothing(terminal: Terminal, model: LLMServer) -> None:
    del terminal.environment["OPENAI_MODEL"]
    terminal.say("The rear wheel of my bicycle is bent.")
    assert model.calls == 0


# ---- with a model --------------------------------------------------------------------------------


def test_the_model_gets_the_context_and_its_answer_is_stored(
    terminal: Terminal, model: LLMServer
) -> None:
    model.next(answered("Front or rear?"), answered("Then a new rim is needed."))
    assert terminal.say("My wheel is bent.", "The rear one.") == [
        "Front or rear?",
        "Then a new rim is needed.",
    ]
    first, second = model.requests
    assert first.path == "/v1/chat/completions"
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert first.body["model"] == "small"
    assert [one["role"] for one in first.body["messages"]] == ["system", "user"]
    said = second.body["messages"]
    assert [one["content"] for one in said[1:]] == [
        "My wheel is bent.",
        "Front or rear?",
        "The rear one.",
    ]
    assert terminal.kept() == [(one["role"], one["content"]) for one in said[1:]] + [
        ("assistant", "Then a new rim is needed.")
    ]


def test_the_model_is_told_what_an_earlier_dialogue_said(
    terminal: Terminal, model: LLMServer
) -> None:
    terminal.say("The rear wheel of my bicycle is bent.")
    terminal.say("Which wheel is bent?", options=("--dialogue", "another"))
    asked = model.requests[-1].body["messages"]
    assert asked[-1]["content"] == "Which wheel is bent?"
    assert "The rear wheel of my bicycle is bent." in asked[-2]["content"]


def test_a_long_dialogue_is_compacted_and_the_model_gets_the_summary(
    terminal: Terminal, model: LLMServer
) -> None:
    lines = [f"Part {number} of the wheel costs {number} euros." for number in range(1, 9)]
    printed = terminal.say(*lines, options=("--compact-after", "8"))
    assert [line for line in printed if line.startswith("[compacted: 9 messages are")]
    assert [line for line in printed if line.startswith("[compacted: 17 messages are")]
    terminal.say("And in all?")
    assert "Summary of the conversation so far:\n" in model.requests[-1].text
    assert "Summary of the conversation so far:\n" not in model.requests[0].text
    assert len(terminal.kept()) == 18


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (failing(401), "answered 401"),
        (failing(500), "answered 500"),
        (raw(b"<html>"), "is no endpoint of a chat model"),
        (raw(b'{"choices": []}'), "is no endpoint of a chat model"),
        (answered(""), "the answer is empty"),
        (resetting, ""),
    ],
)
def test_what_was_said_is_stored_when_the_model_does_not_answer(
    reply: Respond, reason: str, terminal: Terminal, model: LLMServer
) -> None:
    model.next(reply)
    [failed, answer] = terminal.say("My wheel is bent.", "Are you there?")
    assert failed.startswith("[no answer: ")
    assert failed.endswith("; what you said is stored]")
    assert reason in failed
    assert KEY not in failed
    assert answer == "Ada's wheel is bent; a new one is ordered."
    assert [text for _, text in terminal.kept()] == ["My wheel is bent.", "Are you there?", answer]


# ---- what is typed besides, and where ------------------------------------------------------------


def test_context_shows_of_what_it_is_made(terminal: Terminal) -> None:
    shown = terminal.say("My wheel is bent.", "/context", "/quit", "never heard")[1:]
    assert [line.split()[1] for line in shown] == ["system", "recent", "recent", "of"]
    assert len(terminal.kept()) == 2
    terminal.say("And the saddle is worn.", options=("--dialogue", "another"))
    recalled = terminal.say("/context Which wheel?", options=("--dialogue", "another"))
    assert "recalled" in [line.split()[1] for line in recalled]


def test_compact_and_unknown_commands(terminal: Terminal) -> None:
    compacted, unknown = terminal.say("My wheel is bent.", "/compact", "/what", "")[1:]
    assert compacted.startswith("[compacted: 3 messages are ")
    assert unknown == "/context [QUESTION]  /remember TEXT  /compact  /quit"


def test_it_chats_on_a_server(terminal: Terminal, server: Server) -> None:
    key = new_project(server.db).key
    terminal.environment |= {"DIALOGUEDB_API_KEY": key}
    terminal.say("The rear wheel of my bicycle is bent.", options=("--url", server.url))
    assert not (terminal.folder / "chat.db").exists()
    with dialoguedb.DialogueDB(key, server.url) as db:
        found = db.get_dialogue("me-chat", "me")
        assert isinstance(found, Dialogue)
        assert found.total_messages == 3


def test_it_names_what_is_wrong(terminal: Terminal) -> None:
    def said(*options: str) -> str:
        done = terminal.run(options=options)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "No API key" in said("--url", "http://127.0.0.1:1")
    assert "Invalid namespace" in said("--namespace", "a b")
    assert "does not exist" in said("--db", "none/chat.db")


def test_help_teaches(terminal: Terminal) -> None:
    helped = terminal.run(options=("--help",)).stdout
    for word in ("receive", "retrieve", "prompt", "store", "--llm-url", "OPENAI_API_KEY", "/quit"):
        assert word in helped


def test_the_conversation_to_try_things_out_has_sixty_turns() -> None:
    talk = json.loads((CHAT.parent / "trip.json").read_text(encoding="utf-8"))
    assert [one["role"] for one in talk[1:]] == ["user", "assistant"] * 30
