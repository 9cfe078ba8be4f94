"""Two processes on one file, without a server: all is there, and each sees the other's writes."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import dialoguedb
from harness import cli

COUNT = 120
WRITER = """
    import sys, time, dialoguedb
    path, me, other, count = *sys.argv[1:4], int(sys.argv[4])
    with dialoguedb.open(str(path)) as db:
        mine = db.get_or_create_dialogue("d")
        for turn in range(count):
            saved = mine.save_message(role="user", content=f"{me} {turn} zebra{turn}", tags=[me])
            print(saved.id, flush=True)
            if turn % 10 == 0:
                seen = [one.sequence for one in mine.messages_iter()]
                assert seen == list(range(1, len(seen) + 1)), seen
                assert saved.sequence in seen
        deadline = time.monotonic() + 30
        while len(list(mine.messages_iter())) < 2 * count:
            assert time.monotonic() < deadline, "the other's messages did not come"
            time.sleep(0.01)
        found = db.search_messages(f"zebra{count - 1}", limit=10)
        assert {one.tags[0] for one in found[:2]} == {me, other}, list(found)
"""
ENDLESS = """
    import sys, time, dialoguedb
    with dialoguedb.open(sys.argv[1]) as db:
        mine = db.get_or_create_dialogue("d")
        while True:
            print(mine.save_message(role="user", content=sys.argv[2]).id, flush=True)
            time.sleep(0.002)  # so that it is not thousands when both have begun
"""


def start(source: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(source)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str], count: int) -> str:
    """Wait for lines of a process's output."""
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(count))


def whole(path: Path) -> None:
    """Check the file by the program that checks files."""
    checked = cli("verify", "--db", str(path))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_two_processes_append_read_and_search(local_db: Path) -> None:
    both = [start(WRITER, local_db, me, other, COUNT) for me, other in ("ab", "ba")]
    ids = []
    for process in both:
        printed, problem = process.communicate(timeout=60)
        assert process.returncode == 0, problem
        ids += printed.split()
    with dialoguedb.open(str(local_db)) as db:
        found = db.get_dialogue("d")
        assert found is not None
        stored = list(found.messages_iter())
        assert [one.sequence for one in stored] == list(range(1, 2 * COUNT + 1))
        assert sorted(one.id for one in stored) == sorted(ids)
        assert found.total_messages == 2 * COUNT
        for name in "ab":
            mine = [str(one.content) for one in stored if one.tags == [name]]
            assert mine == [f"{name} {turn} zebra{turn}" for turn in range(COUNT)]
    whole(local_db)


def test_what_was_acknowledged_survives_a_kill(local_db: Path) -> None:
    victim, other = start(ENDLESS, local_db, "victim"), start(ENDLESS, local_db, "other")
    printed: dict[str, str] = {"victim": "", "other": ""}
    try:
        for name, process in (("victim", victim), ("other", other)):
            printed[name] += lines(process, 40)
        victim.kill()
        printed["other"] += lines(other, 40)
        assert other.poll() is None
    finally:
        for process in (victim, other):
            process.kill()
    for name, process in (("victim", victim), ("other", other)):
        assert process.stdout is not None
        printed[name] += process.stdout.read()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()
        process.stdout.close()
    # A line that the kill has cut is no acknowledgement.
    acknowledged = [one for text in printed.values() for one in text.split("\n")[:-1]]
    with dialoguedb.open(str(local_db)) as db:
        found = db.get_dialogue("d")
        assert found is not None
        stored = list(found.messages_iter())
        assert [one.sequence for one in stored] == list(range(1, len(stored) + 1))
        assert set(acknowledged) <= {one.id for one in stored}
        assert len(stored) <= len(acknowledged) + 2, "at most one of each was under way"
        assert {one.content for one in stored} == {"victim", "other"}
        assert len(db.search_messages("victim", limit=5)) == 5
    whole(local_db)


FORK = """
    import os, sys
    from dialoguedb import DialogueDB
    with DialogueDB(*sys.argv[1:]) as db:
        made = db.create_dialogue(id="d")
        made.save_message(role="user", content="before")
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                for turn in range(20):
                    made.save_message(role="user", content=f"child {number}")
                assert len(list(made.messages_iter())) >= 21
                db.close()
                os._exit(0)
            children.append(child)
            for turn in range(20):
                made.save_message(role="user", content="parent")
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        stored = list(made.messages_iter())
        assert [one.sequence for one in stored] == list(range(1, 122)), len(stored)
        assert made.refresh().total_messages == 121
        assert len(db.search_messages("parent", limit=100)) >= 60
    print("well")
"""
#: Its children use the client of their parent, and the file; and end in two ways.
FORKED_FILE = """
    import asyncio, os, sys, threading, dialoguedb
    from dialoguedb.errors import StoreError

    def refused(act):
        try:
            act()
        except StoreError as error:
            assert "fork" in error.message, error
        else:
            raise AssertionError("the fork was not noticed")

    def child(number):
        refused(lambda: made.save_message(role="user", content="child"))
        refused(lambda: db.get_dialogue("d"))
        refused(lambda: dialoguedb.open(sys.argv[1]))
        refused(lambda: asyncio.run(dialoguedb.open_async(sys.argv[1])))
        db.close()

    def write():
        while not enough.is_set():
            made.save_message(role="user", content="parent")

    enough = threading.Event()
    db = dialoguedb.open(sys.argv[1])
    made = db.create_dialogue(id="d")
    writers = [threading.Thread(target=write) for _ in range(2)]
    for one in writers:
        one.start()
    for number in range(6):
        process = os.fork()
        if process == 0:
            try:
                child(number)
            except BaseException as error:
                print("child:", repr(error), flush=True)
                os._exit(1)
            if number % 2:
                os._exit(0)
            del db, made, writers
            sys.exit(0)
        assert os.waitpid(process, 0)[1] == 0
    enough.set()
    for one in writers:
        one.join()
    count = made.total_messages
    db.close()
    with dialoguedb.open(sys.argv[1]) as db:
        assert db.get_dialogue("d").total_messages == count
        assert len(list(db.list_messages("d"))) == count
    # After the close: a child of a process whose threads are inside SQLite may wait for them.
    process = os.fork()
    if process == 0:
        with dialoguedb.open(sys.argv[1]) as db:
            db.create_memory(2, id="of-a-child")
        with dialoguedb.open(f"{sys.argv[1]}.other") as other:
            other.create_memory(1)
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
    with dialoguedb.open(sys.argv[1]) as db:
        assert db.get_memory("of-a-child").value == 2
    print("well")
"""
SPAWN = """
    import multiprocessing, sys, dialoguedb

    def begin(client):
        global db
        db = client

    def work(number):
        return db.create_memory(number, id=f"m-{number}").id

    if __name__ == "__main__":
        with dialoguedb.open(sys.argv[1]) as db:
            spawn = multiprocessing.get_context("spawn")
            with spawn.Pool(2, begin, (db,)) as pool:
                made = pool.map(work, range(20), chunksize=5)
            assert made == [f"m-{number}" for number in range(20)]
            assert {one.value for one in db.list_memories()} == set(range(20))
        print("well")
"""


def test_a_file_is_not_used_on_both_sides_of_a_fork(local_db: Path) -> None:
    """SQLite's locks are the process's: a child would take its parent's for its own."""
    printed, problem = start(FORKED_FILE, local_db).communicate(timeout=60)
    assert printed.splitlines()[-1:] == ["well"], printed + problem
    whole(local_db)


def test_processes_that_start_anew_share_a_file(local_db: Path) -> None:
    program = local_db.with_name("program.py")
    program.write_text(textwrap.dedent(SPAWN), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program), str(local_db)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "well\n", done.stderr
    whole(local_db)


def test_a_fork_of_a_client_of_a_server_works(http_where: tuple[str, str]) -> None:
    printed, problem = start(FORK, *http_where).communicate(timeout=60)
    assert printed == "well\n", problem


BUSY = """
    import sys, threading, dialoguedb
    db = dialoguedb.open(sys.argv[1])
    made = db.create_dialogue()
    def write():
        while True:
            made.save_messages([{"role": "user", "content": "x" * 3000}] * 25)
    for _ in range(8):
        threading.Thread(target=write, daemon=True).start()
    print("busy", flush=True)
    sys.stdin.read()
"""


def test_a_busy_process_lets_others_in(local_db: Path) -> None:
    """Its writer has a gap between two commits only; who looks now and then never meets it."""
    command = [sys.executable, "-c", textwrap.dedent(BUSY), str(local_db)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == "busy\n"
        with dialoguedb.open(local_db) as db:
            for number in range(5):
                assert db.create_memory(number, id=f"m-{number}").value == number
        busy.kill()
    whole(local_db)


SLOW = """
    import os, sys, threading, dialoguedb
    db = dialoguedb.open(sys.argv[1])
    made = db.create_dialogue(id="d")
    def work():
        while True:
            made.save_message(role="user", content="x")
            os.write(1, b"%d\\n" % made.total_messages)  # the end takes away who holds print's lock
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    sys.stdin.readline()
"""


def test_a_program_that_never_closes_still_ends(local_db: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SLOW), str(local_db)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        printed = lines(process, 50)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        began = time.monotonic()
        process.stdin.close()
        printed += process.stdout.read()
        assert process.wait(30) == 0, process.stderr.read()
        assert time.monotonic() - began < 10
    with dialoguedb.open(str(local_db)) as db:
        found = db.get_dialogue("d")
        assert found is not None
        assert found.total_messages >= len(printed.split("\n")[:-1])
    whole(local_db)
