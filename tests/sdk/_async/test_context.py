"""The context of a dialogue, through the client."""

import pytest

from dialoguedb import AsyncDialogueDB, Context, ContextPart, errors


async def test_a_context_is_made_of_what_is_stored(db: AsyncDialogueDB) -> None:
    """With plain lists and dicts, ready for the provider's own client."""
    dialogue = await db.create_dialogue(namespace="u1")
    system = await dialogue.save_message(role="system", content="Be kind.")
    said = await dialogue.save_message(role="user", content="Which bicycle is mine?")
    await db.create_memory("Ada rides a red bicycle", id="ada", namespace="u1")
    made = await dialogue.context(
        max_tokens=900, format="anthropic", query="which bicycle", keep_last=3
    )
    assert isinstance(made, Context)
    assert (made.format, made.system, made.max_tokens) == ("anthropic", "Be kind.", 900)
    (message,) = made.messages
    assert message["content"][-1] == {"type": "text", "text": "Which bicycle is mine?"}
    assert [(one.reason, one.id) for one in made.included] == [
        ("system", system.id),
        ("memory", "ada"),
        ("recent", said.id),
    ]
    assert isinstance(made.included[0], ContextPart)
    assert (made.included[1].relevance or 0) > 0
    assert made.included[2].relevance is None
    assert made.tokens == sum(one.tokens for one in made.included) <= 900
    assert made.exact == made.tokenizer.startswith("tiktoken:")
    assert made.summary_id is None


async def test_a_context_is_written_as_the_api_does(db: AsyncDialogueDB) -> None:
    """Without what is not there."""
    dialogue = await db.create_dialogue()
    said = await dialogue.save_message(role="user", content="hello")
    made = await dialogue.context()
    assert made.to_dict() == {
        "format": "dialoguedb",
        "messages": [{"role": "user", "content": "hello"}],
        "included": [{"reason": "recent", "id": said.id, "tokens": made.tokens}],
        "tokens": made.tokens,
        "maxTokens": 4000,
        "tokenizer": {"name": made.tokenizer, "exact": made.exact},
    }


async def test_memories_can_be_left_out(db: AsyncDialogueDB) -> None:
    dialogue = await db.create_dialogue()
    await db.create_memory("Ada rides a red bicycle")
    made = await dialogue.context(query="red bicycle", memories=False)
    assert made.included == []


async def test_a_mistake_names_the_field(db: AsyncDialogueDB) -> None:
    dialogue = await db.create_dialogue()
    await dialogue.save_message(role="user", content="hello " * 50)
    for wrong in ({"max_tokens": 20}, {"max_tokens": 0}):
        with pytest.raises(errors.InvalidParameter) as refused:
            await dialogue.context(**wrong)
        assert refused.value.details[0].field == "maxTokens"
    await db.delete_dialogue(dialogue.id)
    with pytest.raises(errors.DialogueNotFound):
        await dialogue.context()


async def test_the_summary_stands_for_what_it_covers(db: AsyncDialogueDB) -> None:
    """With as many of the last turns as are kept; one that is stale stands for nothing."""
    dialogue = await db.create_dialogue(namespace="u1")
    said = await dialogue.save_messages(
        [
            {"role": ("user", "assistant")[number % 2], "content": f"The parcel {number} is late."}
            for number in range(30)
        ]
    )
    summary = await dialogue.summarize()
    last = await dialogue.save_message(role="user", content="And now?")
    made = await dialogue.context(keep_last=4)
    assert made.summary_id == summary.id
    assert made.messages[0]["content"].endswith(str(summary.content))
    assert [one.id for one in made.included] == [
        summary.id,
        *(one.id for one in (*said[-4:], last)),
    ]
    await dialogue.delete_message(said[3].id)
    made = await dialogue.context(keep_last=4)
    assert made.summary_id is None
    assert [one.reason for one in made.included] == ["recent"] * 30
