"""Room behind the log: it is there, it is nobody's data, and nothing depends on it."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dialoguedb
from dialoguedb.store.sqlite.room import FRAME_BYTES, HEADER_BYTES, PIECE_BYTES, RESERVE_BYTES, Room
from harness import cli


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def store(file: Path, count: int, *, then: Callable[[], None]) -> None:
    """Store messages, and do something while the file is still open."""
    with dialoguedb.open(file) as db:
        dialogue = db.get_or_create_dialogue("d")
        for number in range(count):
            dialogue.save_message(role="user", content=f"{number} " + "wheel " * 200)
        then()


def test_the_log_has_room_and_a_copy_of_the_moment_is_whole(tmp_path: Path) -> None:
    """As after a loss of power: what has been answered is in file and log, zeros behind it."""
    file, copy = tmp_path / "chat.db", tmp_path / "copy.db"

    def look() -> None:
        log = log_of(file).read_bytes()
        assert not any(log[-RESERVE_BYTES // 2 :])
        shutil.copy(file, copy)
        shutil.copy(log_of(file), log_of(copy))

    store(file, 200, then=look)
    with dialoguedb.open(copy) as db:
        dialogue = db.get_dialogue("d")
        assert dialogue is not None
        found = [message.sequence for message in dialogue.messages_iter()]
        assert found == list(range(1, 201))
    checked = cli("verify", "--db", str(copy))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_closing_takes_the_log_away(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    store(file, 3, then=lambda: None)
    assert not log_of(file).exists()


def test_room_is_made_before_it_is_needed(tmp_path: Path) -> None:
    log = log_of(tmp_path / "chat.db")
    log.write_bytes(b"x" * 100)
    room = Room(tmp_path / "chat.db")
    room.make()
    assert log.stat().st_size == 100 + PIECE_BYTES
    assert log.read_bytes()[:100] == b"x" * 100, "what is there stays"
    fits = (PIECE_BYTES - RESERVE_BYTES) // FRAME_BYTES
    room.committed(fits)
    room.make()
    assert log.stat().st_size == 100 + PIECE_BYTES, "there is enough"
    room.committed(fits + 1)
    room.make()
    assert log.stat().st_size == 100 + 2 * PIECE_BYTES


def test_a_log_that_was_cut_gets_room_again(tmp_path: Path) -> None:
    log = log_of(tmp_path / "chat.db")
    log.touch()
    room = Room(tmp_path / "chat.db")
    room.committed(500)
    room.make()
    assert log.stat().st_size >= HEADER_BYTES + 500 * FRAME_BYTES + RESERVE_BYTES
    os.truncate(log, 0)
    room.committed(1)
    room.make()
    assert log.stat().st_size == PIECE_BYTES


def test_without_a_log_nothing_happens(tmp_path: Path) -> None:
    room = Room(tmp_path / "chat.db")
    room.committed(500)
    room.make()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_failure(tmp_path: Path) -> None:
    log = log_of(tmp_path / "chat.db")
    log.symlink_to("/dev/full")
    room = Room(tmp_path / "chat.db")
    room.committed(500)
    room.make()
    room.make()


def test_two_clients_of_a_file_share_its_log(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    with closing(dialoguedb.open(file)) as one, closing(dialoguedb.open(file)) as other:
        for number in range(150):
            db = one if number % 2 else other
            dialogue = db.get_or_create_dialogue("d")
            dialogue.save_message(role="user", content=f"{number} " + "wheel " * 300)
        dialogue = one.get_or_create_dialogue("d")
        assert [m.sequence for m in dialogue.messages_iter()] == list(range(1, 151))
    checked = cli("verify", "--db", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
