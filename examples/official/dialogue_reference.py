#!/usr/bin/env python3
"""Every method of a client and of a dialogue, as the reference of the official SDK shows them.

examples/official/dialogue_reference.py            on the server of DIALOGUEDB_BASE_URL
examples/official/dialogue_reference.py chat.db    in this process, on a file
"""

import os
import sys

import dialoguedb
from dialoguedb import Dialogue, DialogueDB, MessageInput, errors

NAMESPACE = "official-dialogues"


def opened(file: str | None) -> DialogueDB:
    """Make the client: one, for the whole program."""
    if file is not None:
        return dialoguedb.open(file)
    return DialogueDB(api_key=os.environ.get("DIALOGUEDB_API_KEY"))


def client(db: DialogueDB) -> Dialogue:
    """Show what a client does with dialogues."""
    dialogue = db.create_dialogue(
        namespace=NAMESPACE,
        label="First steps",
        messages=[
            {"role": "system", "content": "You answer for a bicycle workshop."},
            {"role": "user", "content": "Hello!"},
        ],
        state={"topic": "welcome"},
        metadata={"channel": "web"},
        tags=["workshop"],
    )
    assert db.get_dialogue(dialogue.id) is None, "its namespace is a part of its name"
    found = db.get_dialogue(dialogue.id, NAMESPACE)
    assert found is not None
    print(f"{found.label}: {found.status}, metadata {found.metadata}, state {found.state}")

    session = db.get_or_create_dialogue("session-abc", namespace=NAMESPACE)
    again = db.get_or_create_dialogue("session-abc", namespace=NAMESPACE)
    print(f"the same session: {session.created == again.created}")

    page = db.list_dialogues(limit=1, order="desc", namespace=NAMESPACE)
    print(f"first page: {[one.id for one in page.items]}")
    if page.next:
        second = db.list_dialogues(limit=1, next=page.next)
        print(
            f"second page: {[one.label for one in second.items]}, more: {second.next is not None}"
        )
    month = db.list_dialogues(namespace=NAMESPACE, created=dialogue.created[:7])
    days = db.list_dialogues(
        namespace=NAMESPACE, start_date=dialogue.created[:10], end_date=session.created[:10]
    )
    print(f"of this month: {len(month.items)}, of these days: {len(days.items)}")

    db.delete_dialogue("session-abc", NAMESPACE)
    print(f"deleted: {db.get_dialogue('session-abc', NAMESPACE) is None}")
    return dialogue


def searches(db: DialogueDB) -> None:
    """Find dialogues, messages and memories."""
    db.create_memory("Likes tea", namespace=NAMESPACE)
    for dialogue in db.search_dialogues(
        "greeting", namespace=NAMESPACE, limit=10, tags=["workshop"]
    ):
        print(f"dialogue {dialogue.label}")
    for message in db.search_messages("hello", namespace=NAMESPACE, limit=1):
        print(f"message {message.content}")
    for memory in db.search_memories("what does she drink?", namespace=NAMESPACE):
        print(f"memory {memory.value}")


def changes(dialogue: Dialogue) -> None:
    """Change state, tags and label, at once and together."""
    dialogue.set_state({"step": 2}).set_state({"topic": "invoice"})
    print(f"to be saved: {dialogue.is_dirty}")
    dialogue.save()
    dialogue.save_state({"step": 3})
    dialogue.save_tags(["vip", "first"])
    print(f"saved: {not dialogue.is_dirty}, state {dialogue.state}, tags {dialogue.tags}")
    dialogue.state = {"step": 1}
    dialogue.tags = ["important"]
    dialogue.label = "Case 42"
    dialogue.save()  # one request for the three
    print(f"{dialogue.label}: state {dialogue.state}, tags {dialogue.tags}")


def messages(db: DialogueDB, dialogue: Dialogue) -> None:
    """Append messages, page through them, delete one."""
    message = dialogue.save_message(
        role="assistant",
        content="How can I help?",
        metadata={"model": "m1"},
        tags=["generated"],
    )
    message.save_tags(["generated", "seen"])
    questions: list[MessageInput] = []
    for number in range(1, 31):
        questions.append({"role": "user", "content": f"Question {number}"})
        questions.append({"role": "assistant", "content": f"Answer {number}"})
    saved = dialogue.save_messages(questions)
    print(f"saved {len(saved)} more; the last one is number {saved[-1].sequence}")

    found = db.get_dialogue(dialogue.id, NAMESPACE)
    assert found is not None
    print(f"read with it: {len(found.messages)}, more: {found.has_more_messages}")
    while found.has_more_messages:
        found.load_messages(limit=50, next=True)
    print(f"loaded: {len(found.messages)} of {found.total_messages}")
    latest = found.load_messages(limit=2, order="desc")
    print(f"latest: {[one.content for one in latest]}")

    one = found.get_message(message.id)
    assert one is not None
    print(f"{one.content} {one.tags}")
    found.delete_message(message.id)
    print(f"left: {found.total_messages}")


def life(dialogue: Dialogue) -> None:
    """Open threads, and end the dialogue."""
    thread = dialogue.create_thread(metadata={"purpose": "reasoning"}, tags=["internal"])
    thread.save_message(role="system", content="Look at what was asked.")
    for one in dialogue.get_threads():
        print(f"thread: {one.total_messages} message, {one.metadata}")
    dialogue.end()
    print(f"status {dialogue.status}")
    try:
        dialogue.save_message(role="user", content="One more thing")
    except errors.DialogueEnded as error:
        print(error.code)
    summary = dialogue.compact()
    print(f"summary of {summary.message_count} messages: {summary.status}")


def main(file: str | None) -> None:
    """Show one after the other, in a namespace that is empty."""
    with opened(file) as db:
        for old in db.list_dialogues(namespace=NAMESPACE):
            db.delete_dialogue(old.id, NAMESPACE, cascade=True)
        for memory in db.list_memories(namespace=NAMESPACE):
            memory.remove()
        dialogue = client(db)
        searches(db)
        changes(dialogue)
        messages(db, dialogue)
        life(dialogue)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
