"""Summaries: asked for, waited for, read, listed and removed."""

import pytest

from dialoguedb import AsyncDialogue, AsyncDialogueDB, AsyncSummary, errors

COUNTS = [
    "content_token_count",
    "message_count",
    "summarized_count",
    "skipped_count",
    "total_tokens",
    "chunks",
    "llm_input_tokens",
    "llm_output_tokens",
    "llm_total_tokens",
    "llm_call_count",
]


async def talk(db: AsyncDialogueDB, namespace: str | None = None) -> AsyncDialogue:
    dialogue = await db.create_dialogue(id="d", namespace=namespace)
    for number, text in enumerate(["My wheel is bent.", "A rim costs 45 euros.", "Agreed."]):
        await dialogue.save_message(role="user", content=text, id=f"m{number}")
    return dialogue


async def test_a_dialogue_is_summarised(db: AsyncDialogueDB) -> None:
    dialogue = await talk(db, "u1")
    made = await dialogue.summarize(id="s", tags=["a"], metadata={"by": "hand"})
    found = await db.get_summary("s", "u1")
    assert found is not None
    for one in (made, found):
        assert isinstance(one, AsyncSummary)
        assert (one.id, one.dialogue_id, one.namespace) == ("s", "d", "u1")
        assert (one.status, one.stale, one.error, one.template) == ("completed", False, None, None)
        assert "45 euros" in str(one.content)
        assert (one.provider, one.model, one.based_on) == ("builtin", "extractive-1", None)
        assert (one.tags, one.metadata) == (["a"], {"by": "hand"})
        assert (one.message_count, one.summarized_count, one.skipped_count) == (3, 3, 0)
        assert one.from_created == dialogue.messages[0].created
        assert one.to_created == dialogue.messages[2].created
        assert one.project_id == dialogue.project_id
        assert one.created <= one.modified
        assert one.to_dict()["contentTokenCount"] == one.content_token_count
        assert all(isinstance(getattr(one, name), int) for name in COUNTS)
    assert repr(made).endswith("Summary(id='s', status='completed')")
    with pytest.raises(AttributeError, match=r"content cannot be changed$"):
        made.content = "x"  # type: ignore[misc]


async def test_a_new_one_begins_with_the_last(db: AsyncDialogueDB) -> None:
    dialogue = await talk(db)
    first = await dialogue.compact()
    await dialogue.save_message(role="user", content="Ben ordered tyres from Berlin.")
    second = await dialogue.compact()
    assert second.based_on == first.id
    assert str(second.content).startswith(str(first.content))
    again = await dialogue.summarize(incremental=False)
    assert again.based_on is None
    part = await dialogue.summarize(start_id="m1", end_id="m1")
    assert part.message_count == 1


async def test_nobody_has_to_wait(db: AsyncDialogueDB) -> None:
    dialogue = await talk(db)
    begun = await dialogue.summarize(wait=False)
    if begun.status == "processing":
        assert [getattr(begun, name) for name in COUNTS] == [None] * len(COUNTS)
        assert begun.content is None
    assert (await begun.wait()).status == "completed"
    assert (await begun.refresh()).content == begun.content


async def test_a_time_that_is_too_short_is_told(db: AsyncDialogueDB) -> None:
    dialogue = await talk(db)
    await dialogue.summarize(wait=False, id="s")
    with pytest.raises(errors.TimedOut, match="wait"):
        while True:  # the server may be quick
            await (await dialogue.summarize(wait=False, incremental=False)).wait(0.0)
            await dialogue.save_message(role="user", content="And a bell.")


async def test_mistakes_are_the_errors_of_a_server(db: AsyncDialogueDB) -> None:
    dialogue = await talk(db)
    with pytest.raises(errors.InvalidParameter, match="template"):
        await dialogue.summarize(template="none")
    with pytest.raises(errors.MessageNotFound):
        await dialogue.summarize(start_id="none")
    await dialogue.summarize(id="s")
    with pytest.raises(errors.DuplicateId):
        await dialogue.summarize(id="s")


async def test_summaries_are_listed_and_removed(db: AsyncDialogueDB) -> None:
    dialogue = await talk(db)
    for name in ("a", "b", "c"):
        await dialogue.summarize(id=name, incremental=False)
    assert [one.id async for one in db.list_summaries("d", limit=1)] == ["c", "b", "a"]
    assert [one.id async for one in db.list_summaries(status="completed", order="asc")] == [
        "a", "b", "c",
    ]  # fmt: skip
    assert (await db.list_summaries(status="failed")).items == []
    made = await db.get_summary("a")
    assert made is not None
    await made.remove()
    await db.delete_summary("b")
    assert await db.get_summary("a") is None
    with pytest.raises(errors.SummaryNotFound):
        await db.delete_summary("b")
    with pytest.raises(errors.SummaryNotFound):
        await made.refresh()
