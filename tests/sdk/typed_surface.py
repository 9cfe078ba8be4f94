"""What the public surface's types are. Never run: type checkers read it (`test_types.py`)."""

from typing import Any, assert_type

import dialoguedb
from dialoguedb import (
    AsyncDialogue,
    AsyncDialogueDB,
    AsyncMemory,
    AsyncMessage,
    AsyncSummary,
    Context,
    Dialogue,
    DialogueDB,
    Memory,
    Message,
    MessageInput,
    errors,
)


def clients() -> None:
    assert_type(dialoguedb.open("chat.db"), DialogueDB)
    with DialogueDB("key", "http://127.0.0.1:8642", timeout_s=5, max_retries=0) as db:
        assert_type(db, DialogueDB)
    assert_type(DialogueDB(settings=None), DialogueDB)
    with db.raw_responses() as seen:
        assert_type(seen[-1].status, int)
        assert_type(seen[-1].request_id, str)
        assert_type(seen[-1].operation, str)


def dialogues(db: DialogueDB) -> None:
    first: MessageInput = {"role": "user", "content": "hello"}
    made = db.create_dialogue(namespace="u1", message=first, state={"a": 1}, tags=["t"])
    assert_type(made, Dialogue)
    assert_type(db.get_dialogue("d", "u1"), Dialogue | None)
    assert_type(db.get_or_create_dialogue("d", namespace="u1"), Dialogue)
    assert_type(db.list_dialogues(limit=5).items, list[Dialogue])
    assert_type(db.list_dialogues().next, str | None)
    for one in db.list_dialogues():
        assert_type(one, Dialogue)
    assert_type(made.id, str)
    assert_type(made.label, str | None)
    assert_type(made.state, dict[str, Any])
    assert_type(made.tags, list[str])
    assert_type(made.metadata, dict[str, Any])
    assert_type(made.total_messages, int)
    assert_type(made.ended_at, str | None)
    assert_type(made.messages, tuple[Message, ...])
    assert_type(made.is_dirty, bool)
    assert_type(made.has_more_messages, bool)
    made.label, made.tags, made.state = None, ["x"], {"b": 2}
    assert_type(made.set_state({"c": 3}), Dialogue)
    assert_type(made.save(), Dialogue)
    assert_type(made.save_tags(["x"]), Dialogue)
    assert_type(made.save_state({"a": 1}, if_version=2, on_conflict="raise"), Dialogue)
    assert_type(made.save_state(lambda state: {"n": state["n"] + 1}), Dialogue)
    assert_type(made.end(), Dialogue)
    assert_type(made.refresh(), Dialogue)
    assert_type(made.create_thread(label="x"), Dialogue)
    assert_type(made.context(max_tokens=500, format="openai", query="x"), Context)
    assert_type(made.context().messages, list[dict[str, Any]])
    assert_type(made.get_threads(), list[Dialogue])
    assert_type(made.to_dict(), dict[str, Any])


def messages(made: Dialogue) -> None:
    message = made.save_message(role="user", content=[{"type": "text", "text": "x"}])
    assert_type(message, Message)
    assert_type(made.save_messages([{"role": "user", "content": "x"}]), list[Message])
    assert_type(made.load_messages(limit=5, order="desc", next=True), list[Message])
    assert_type(made.get_message("m"), Message | None)
    for one in made.messages_iter():
        assert_type(one, Message)
    assert_type(message.sequence, int)
    assert_type(message.name, str | None)
    assert_type(message.tags, list[str])
    assert_type(message.save(), Message)
    assert_type(message.save_tags(["x"]), Message)


def memories(db: DialogueDB) -> None:
    memory = db.create_memory({"a": 1}, id="m", tags=["x"])
    assert_type(memory, Memory)
    assert_type(db.get_memory("m"), Memory | None)
    assert_type(db.list_memories().items, list[Memory])
    assert_type(memory.description, str | None)
    assert_type(memory.save_tags(["x"]), Memory)


def searches(db: DialogueDB) -> None:
    assert_type(db.search_dialogues("x")[0], Dialogue)
    assert_type(db.search_messages("x", tags=["a"])[0], Message)
    assert_type(db.search_messages("x")[:2], list[Message])
    found = db.search_memories("x", filter={"created": "last week"})
    assert_type(found[0], Memory)
    assert_type(found.results[0].item, Memory)
    assert_type(found.results[0].relevance, float)
    assert_type(db.search_dialogues("x").results[0].matches[0].item, Message)


def failures(db: DialogueDB) -> None:
    try:
        db.delete_dialogue("d")
    except errors.DialogueNotFound as error:
        assert_type(error.code, str)
        assert_type(error.status, int)
        assert_type(error.request_id, str | None)
        assert_type(error.details, tuple[errors.Detail, ...])
        assert_type(error.retryable, bool)


async def in_async() -> None:
    db = await dialoguedb.open_async("chat.db")
    assert_type(db, AsyncDialogueDB)
    async with AsyncDialogueDB("key") as same:
        assert_type(same, AsyncDialogueDB)
    made = await db.create_dialogue()
    assert_type(made, AsyncDialogue)
    assert_type(await db.get_dialogue("d"), AsyncDialogue | None)
    async for one in db.list_dialogues():
        assert_type(one, AsyncDialogue)
    assert_type((await db.list_memories()).items, list[AsyncMemory])
    assert_type(await made.save_message(role="user", content="x"), AsyncMessage)
    async for message in made.messages_iter():
        assert_type(message, AsyncMessage)
    assert_type((await db.search_messages("x"))[0], AsyncMessage)
    assert_type(made.messages, tuple[AsyncMessage, ...])
    assert_type(await made.end(), AsyncDialogue)
    assert_type(await made.compact(wait=False), AsyncSummary)
    assert_type((await db.list_summaries("d")).items, list[AsyncSummary])
