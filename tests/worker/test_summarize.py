"""The job `summarize`: once, whatever ends it, with a real endpoint that misbehaves."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any

import msgspec
import pytest

from dialoguedb.engine import projects
from dialoguedb.models.summaries import Summary
from dialoguedb.settings import Settings, SummaryTemplate
from dialoguedb.store import jobs
from dialoguedb.store.opening import open_store
from dialoguedb.store.protocol import Store, WriteTx
from dialoguedb.worker.kinds import kinds_of
from dialoguedb.worker.summarize import ATTEMPTS
from dialoguedb.worker.working import Worker
from llm_server import KEY, LLMServer, answered, failing, slow
from worker.working import Process, do, say_texts, states, task_of, until

TEXTS = ["My bicycle has a bent wheel.", "A new rim costs 45 euros.", "Agreed, by Friday."]


@pytest.fixture
def endpoint() -> Iterator[LLMServer]:
    with LLMServer() as server:
        yield server


def settings(endpoint: LLMServer, **more: Any) -> Settings:
    return Settings(llm="openai:m", llm_url=endpoint.url, llm_key=KEY, **more)


def work(store: Store, told: Settings | None = None) -> int:
    """Make what is due; give how many jobs were taken."""
    kinds = {"summarize": kinds_of(store, told)["summarize"]}
    return Worker(store, kinds=kinds).run(once=True)


def ask(store: Store, project: str, **body: Any) -> Summary:
    made: Summary = do(store, project, "summaries.create", {"dialogueId": "d", "id": "s"} | body)
    return made


def get(store: Store, project: str, summary: str = "s") -> Summary:
    task = task_of(project, "summaries.get", {"id": summary})
    found: Summary = store.read(task.scope, task.work)
    return found


def every(store: Store, project: str) -> list[Summary]:
    task = task_of(project, "summaries.list", {})
    found: list[Summary] = store.read(task.scope, task.work).items
    return found


def tried(store: Store, times: int) -> None:
    """Let the job have so many attempts behind it."""
    job = jobs.on_newest(store, None, lambda tx: jobs.claim(tx, ["summarize"], 60_000))
    assert job is not None
    assert jobs.on_newest(store, None, lambda tx: jobs.put_back(tx, job, wait_ms=0, attempts=times))


def test_a_model_is_asked_and_what_it_counts_is_told(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    say_texts(store, project, TEXTS)
    assert ask(store, project).status == "processing"
    endpoint.next(answered("The wheel is bent; 45 euros, by Friday."))
    assert work(store, settings(endpoint)) == 1
    made = get(store, project)
    assert (made.status, made.provider, made.model) == ("completed", "openai", "m")
    assert made.content == "The wheel is bent; 45 euros, by Friday."
    assert (made.llm_call_count, made.message_count) == (1, 3)
    assert made.llm_total_tokens == made.llm_input_tokens + made.llm_output_tokens > 0  # type: ignore[operator]
    assert states(store) == {}
    assert all(text in endpoint.requests[-1].text for text in TEXTS)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_that_passes_is_tried_again(
    store: Store, project: str, endpoint: LLMServer, status: int
) -> None:
    """Later, and not by whoever asked; until then the summary is processing."""
    say_texts(store, project, TEXTS)
    ask(store, project)
    endpoint.next(failing(status))
    assert work(store, settings(endpoint)) == 1
    assert list(states(store).values()) == ["later"]
    assert get(store, project).status == "processing"
    until(lambda: work(store, settings(endpoint)), "it is tried again")
    assert get(store, project).status == "completed"
    assert states(store) == {}


def test_another_try_pays_only_for_what_was_not_answered(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    """The worker that tries again has what it was answered before."""
    say_texts(store, project, [f"{number}: " + "The wheel is bent. " * 400 for number in range(6)])
    ask(store, project)
    endpoint.next(answered("One."), answered("Two."), failing(503))
    kinds = {"summarize": kinds_of(store, settings(endpoint))["summarize"]}
    worker = Worker(store, kinds=kinds)
    assert worker.run(once=True) == 1
    assert endpoint.calls == 3
    until(lambda: worker.run(once=True), "it is tried again")
    made = get(store, project)
    assert made.status == "completed"
    assert made.llm_call_count == endpoint.calls - 1 > 3


def test_it_is_tried_a_bounded_number_of_times(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    """Then it has failed, and says why and how often; the key is in no answer."""
    say_texts(store, project, TEXTS)
    ask(store, project)
    tried(store, ATTEMPTS - 1)
    endpoint.next(failing(503))
    assert work(store, settings(endpoint)) == 1
    made = get(store, project)
    assert made.status == "failed"
    assert f"tried {ATTEMPTS} times" in str(made.error)
    assert KEY not in str(made.error)
    assert (made.content, made.message_count) == (msgspec.UNSET, msgspec.UNSET)
    assert states(store) == {}
    assert ask(store, project, id="t").status == "processing"  # it can be asked for again


def test_one_whose_worker_dies_each_time_is_given_up(store: Store, project: str) -> None:
    say_texts(store, project, TEXTS)
    ask(store, project)
    tried(store, ATTEMPTS)
    assert work(store) == 1
    assert "something went wrong" in str(get(store, project).error)
    assert states(store) == {}


def test_what_does_not_pass_fails_at_once(store: Store, project: str, endpoint: LLMServer) -> None:
    say_texts(store, project, TEXTS)
    ask(store, project)
    endpoint.next(failing(401))
    assert work(store, settings(endpoint)) == 1
    made = get(store, project)
    assert made.status == "failed"
    assert "401" in str(made.error)
    assert KEY not in str(made.error)
    assert states(store) == {}


def test_a_template_says_what_to_write_and_how_long(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    """Another one is not built on; one that the worker does not know fails."""
    templates = {"decisions": SummaryTemplate(prompt="List the decisions.", max_tokens=50)}
    say_texts(store, project, TEXTS)
    ask(store, project)
    work(store, settings(endpoint))
    ask(store, project, id="t", template="decisions")
    work(store, settings(endpoint, summary_templates=templates))
    made = get(store, project, "t")
    assert (made.status, made.template, made.based_on) == (
        "completed", "decisions", msgspec.UNSET,
    )  # fmt: skip
    assert "List the decisions." in endpoint.requests[-1].text
    ask(store, project, id="u", template="gone")
    work(store, settings(endpoint))
    assert "no template gone" in str(get(store, project, "u").error)


def test_a_worker_that_is_killed_leaves_one_summary(
    store: Store, db: str, project: str, endpoint: LLMServer
) -> None:
    """While the model is being asked: another worker makes it, once."""
    say_texts(store, project, TEXTS)
    ask(store, project)
    told = {"DIALOGUEDB_LLM": "openai:m", "DIALOGUEDB_LLM_URL": endpoint.url}
    endpoint.next(slow(30))
    with Process(db, **told) as first:
        until(lambda: endpoint.calls == 1, "the model is asked")
        first.send(signal.SIGKILL)
        first.ended()
    assert get(store, project).status == "processing"
    with Process(db, **told):
        until(lambda: get(store, project).status != "processing", "another one makes it")
    assert get(store, project).status == "completed"
    assert endpoint.calls == 2
    assert [one.id for one in every(store, project)] == ["s"]
    assert states(store) == {}


def meanwhile(store: Store, project: str, endpoint: LLMServer, act: Callable[[], object]) -> None:
    """Do something while the model is being asked."""
    say_texts(store, project, TEXTS)
    ask(store, project)
    endpoint.next(slow(1.0))
    thread = threading.Thread(target=work, args=(store, settings(endpoint)))
    thread.start()
    until(lambda: endpoint.calls == 1, "the model is asked")
    act()
    thread.join()


def test_one_that_is_deleted_while_it_is_made_does_not_come_back(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    delete = {"id": "s"}
    meanwhile(store, project, endpoint, lambda: do(store, project, "summaries.delete", delete))
    assert every(store, project) == []
    assert states(store) == {}


def test_one_whose_message_is_deleted_while_it_is_made_is_stale(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    task = task_of(project, "messages.list", {"dialogueId": "d"})

    def delete() -> None:
        first = store.read(task.scope, task.work).items[0]
        do(store, project, "messages.delete", {"id": first.id})

    meanwhile(store, project, endpoint, delete)
    assert (get(store, project).status, get(store, project).stale) == ("completed", True)


def test_one_whose_dialogue_goes_while_it_is_made_is_gone(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    """With `cascade`; without it, the messages are still there and it is completed."""
    body = {"id": "d", "cascade": True}
    meanwhile(store, project, endpoint, lambda: do(store, project, "dialogues.delete", body))
    assert every(store, project) == []
    assert states(store) == {}


def test_one_whose_project_goes_while_it_is_made_leaves_nothing(
    store: Store, project: str, endpoint: LLMServer
) -> None:
    def erase() -> None:
        for _ in projects.delete(store, "one"):
            pass

    meanwhile(store, project, endpoint, erase)
    assert states(store) == {}


def test_what_was_deleted_before_it_was_made_is_not_in_it(store: Store, project: str) -> None:
    """And so it is not stale."""
    say_texts(store, project, TEXTS)
    ask(store, project)
    task = task_of(project, "messages.list", {"dialogueId": "d"})
    first = store.read(task.scope, task.work).items[0]
    do(store, project, "messages.delete", {"id": first.id})
    assert get(store, project).stale
    work(store)
    made = get(store, project)
    assert (made.status, made.stale, made.message_count) == ("completed", False, 2)
    assert "bent" not in str(made.content)


def test_a_deletion_that_another_server_has_begun_is_waited_for(
    store: Store, project: str, db: str
) -> None:
    """It cannot see the summary, and so not mark it; what it deletes must not be in it."""
    say_texts(store, project, TEXTS)
    listing = task_of(project, "messages.list", {"dialogueId": "d"})
    gone = store.read(listing.scope, listing.work).items[1].id
    deletion = task_of(project, "messages.delete", {"dialogueId": "d", "id": gone})
    begun, asked = threading.Event(), threading.Event()

    def slowly(tx: WriteTx) -> None:
        deletion.work(tx)
        begun.set()
        asked.wait(5)  # a file has one writer: there the request waits instead

    with closing(open_store(db)) as other, ThreadPoolExecutor(3) as crowd:
        deleted = crowd.submit(other.write, deletion.scope, slowly)
        assert begun.wait(15)
        crowd.submit(ask, store, project).result(15)
        made = crowd.submit(work, store)
        wait([made], 1)  # without the lock it would be made by now
        asked.set()
        deleted.result(15)
        made.result(15)
    until(lambda: work(store) == 0 and get(store, project).status != "processing", "it is made")
    summary = get(store, project)
    assert summary.stale or "45 euros" not in str(summary.content)


def test_a_long_dialogue_is_read_in_pages(store: Store, project: str) -> None:
    """More messages than one page holds, and a range in their middle."""
    body = {"id": "d", "messages": [{"role": "user", "content": "0"}]}
    do(store, project, "dialogues.create", body)
    for start in range(1, 1201, 25):
        said = [
            {"role": "user", "content": f"Turn {n}.", "id": f"m{n}", "created": "2026-02-03"}
            for n in range(start, start + 25)
        ]
        do(store, project, "messages.create_batch", {"dialogueId": "d", "messages": said})
    ask(store, project)
    ask(store, project, id="part", startId="m100", endId="m700")
    work(store)
    assert get(store, project).message_count == 1201
    assert get(store, project, "part").message_count == 601
