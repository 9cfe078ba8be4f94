"""What the server asks PostgreSQL for, asked by `pgbench`: the store's own statements, in its own
transactions, with values like its own.

Each script is one message, or one dialogue with its first messages. A message's words, entry and
vector stand in its script as they do in the server's parameters; which dialogue it goes to is drawn
anew each time, and its number is the one that the dialogue gives.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from benchmarks.clusters import Cluster

from dialoguedb.embed import open_embedder
from dialoguedb.models.times import EARLIEST_MS, LATEST_MS
from dialoguedb.search.entries import MESSAGE
from dialoguedb.search.indexer import Indexer
from dialoguedb.store import changes, statements
from dialoguedb.store.messages import StoredMessage
from dialoguedb.store.postgres.index import SLOTS
from dialoguedb.store.postgres.pool import SCHEMA
from dialoguedb.store.postgres.session import BEGIN_READ, BEGIN_WRITE
from dialoguedb.store.postgres.tokens import in_project, of_facets, of_words
from dialoguedb.store.upkeep.migrating import ROLE

#: Texts, each in a script of its own; one is drawn for each transaction.
TEXTS = 48
#: Transactions that meet others on the same row are run again, as the server runs them.
_TRIES = 20
_PARAM = re.compile(r"(?<!:):([a-z_]\w*)")
_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)"


class Dialogues(NamedTuple):
    """Dialogues that a load is spread over, each in a space of its own.

    Attributes:
        project_id: their project.
        prefix: their ids are this and their number, as are their namespaces.
        first_space: the space of number 0; those of the others follow.
        count: how many.
    """

    project_id: str
    prefix: str
    first_space: int
    count: int


class Pgbench(NamedTuple):
    """What `pgbench` measured."""

    per_s: float
    latency_ms: float
    failed: int


def run(
    cluster: Cluster, database: str, scripts: Sequence[Path], *, clients: int, seconds: float
) -> Pgbench:
    """Run scripts, drawn by chance, with so many connections."""
    files = [part for script in scripts for part in ("-f", str(script))]
    command = [
        str(cluster.programs / "pgbench"), "-n", "-M", "prepared", "-c", str(clients),
        "-j", str(clients), "-T", f"{seconds:.0f}", f"--max-tries={_TRIES}", *files,
        cluster.address(database),
    ]  # fmt: skip
    surroundings = dict(os.environ)
    surroundings["PGOPTIONS"] = f"-c search_path={SCHEMA},public -c role={ROLE}"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    latency = re.search(r"^latency average = ([\d.]+)", done.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None or latency is None or failed is None:
        raise SystemExit(f"pgbench failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Pgbench(float(found[1]), float(latency[1]), int(failed[1]))


# ---- scripts -------------------------------------------------------------------------------------


def appends(room: Path, where: Dialogues, generation: int, texts: Sequence[str]) -> list[Path]:
    """Write scripts that append one message each, of these texts."""
    scripts = []
    for number, text in enumerate(texts[:TEXTS]):
        script = room / f"append-{number}.sql"
        script.write_text(_append(where, generation, text))
        scripts.append(script)
    return scripts


def reads(room: Path, where: Dialogues, messages: int) -> list[Path]:
    """Write a script that reads what a key opens, a dialogue and its first messages."""
    script = room / "read.sql"
    window = {"start": EARLIEST_MS, "stop": LATEST_MS + 1, "at": EARLIEST_MS, "after": -1}
    numbers = {name: str(value) for name, value in window.items()}
    page = {"dialogue_id": _name(where), "limit": str(messages + 1)} | numbers
    lines = [
        *_drawn(where),
        f"{BEGIN_READ};",
        _asked("projects_find", {"id": _text(where.project_id)}),
        _asked("dialogues_get", {"id": _name(where)}),
        _asked("messages_list_asc", page),
        "COMMIT;",
    ]
    script.write_text("\n".join(lines) + "\n")
    return [script]


def _append(where: Dialogues, generation: int, text: str) -> str:
    """Write what the store does for one message, in the order in which it does it."""
    content = msgspec.json.encode(text).decode()
    row = StoredMessage(0, "", 1, 1, "m", "user", None, content, len(text), None, "{}", "[]", 1)
    note = changes.message_note(row)
    entry = Indexer(open_embedder("static").embed).entries([note])[0]
    words, marks = of_words(entry.terms), of_facets(entry.facets)
    in_projects = [in_project(each, where.project_id) for each in (words, marks)]
    vector = np.frombuffer(entry.vectors, np.int8)
    # Like a ULID it rises with time.
    own_id = "'01K' || CAST(:last_server_time AS text) || lpad(CAST(:dialogue AS text), 4, '0') "
    own_id += "|| lpad(CAST(:last_sequence AS text), 6, '0')"
    dialogue, project = _name(where), _text(where.project_id)
    key = {"kind": str(MESSAGE), "owner": dialogue, "sequence": ":last_sequence"}
    times = {"created": ":last_server_time", "modified": ":last_server_time"}
    # Each space has words of its own; what stands for them is mixed with its number.
    own = ", ".join(f"{int(token)} # :space" for token in in_projects[0])
    shared = ", ".join(str(int(token)) for token in np.concatenate(in_projects))
    number = {"project_id": project, "namespace": dialogue}
    taken = {"count": "1", "id": dialogue, "now": _NOW, "newest": str(EARLIEST_MS), "stamped": "1"}
    message = {
        "dialogue_id": dialogue,
        "id": own_id,
        "sequence": ":last_sequence",
        "role": "'user'",
        "name": "NULL",
        "content": _text(content),
        "content_length": str(len(text)),
        "preview": "NULL",
        "metadata": "'{}'",
        "tags": "'[]'",
    }
    indexed = {
        "image": "0",
        "length": str(sum(entry.counts)),
        "counts": _bytes(entry.counts),
        "tokens": f"CAST(ARRAY[{own}, {shared}] AS bigint[])",
        "facets": "CAST('{}' AS text[])",
    }
    placed = {"generation": str(generation), "piece": "0"}
    halves = f"'[{','.join(str(int(one)) for one in vector)}]'"
    counted = {"slot": f":client_id % {SLOTS}", "texts": "1", "words": str(sum(entry.counts))}
    lines = [
        *_drawn(where),
        f"{BEGIN_WRITE};",
        _asked("index_used", {}),
        _asked("spaces_find", number),
        _asked("dialogues_append", taken, keep=True),
        _asked("claims_put", {"project_id": project, "kind": "'message'", "id": own_id}),
        _asked("messages_insert", message | times),
        _asked("entries_put", key | times | indexed),
        _asked("vectors_put", key | placed | {"vector": halves}),
        _asked("figures_add", {"kind": str(MESSAGE)} | counted),
        "COMMIT;",
    ]
    return "\n".join(lines) + "\n"


def _drawn(where: Dialogues) -> list[str]:
    return [
        f"\\set dialogue random(0, {where.count - 1})",
        f"\\set space :dialogue + {where.first_space}",
    ]


def _asked(statement: str, values: dict[str, str], *, keep: bool = False) -> str:
    """Write a named statement with values; `keep`: its columns become variables."""
    given = {"space": ":space"} | values
    sql = statements.load("postgres")[statement].sql
    text = _PARAM.sub(lambda found: given[found[1]], sql)
    return text + ("\\gset" if keep else ";")


def _name(where: Dialogues) -> str:
    return f"'{where.prefix}-' || CAST(:dialogue AS text)"


def _text(value: str) -> str:
    assert ":" not in value, value  # pgbench would take it for a variable
    return "'" + value.replace("'", "''") + "'"


def _bytes(value: bytes) -> str:
    return f"CAST('\\x{value.hex()}' AS bytea)"
