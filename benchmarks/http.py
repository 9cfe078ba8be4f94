"""Measure the server over HTTP against an empty handler of the same stack, in one run.

Loads alternate (empty, append, read, batch; again and again), medians are quoted, every answer
must be 2xx, and the messages that `wrk` counted must be found in the store. Run it by
`scripts/bench http`, or as a module from the project's folder: this file's own folder must not be
a place of imports, since the standard library has an `http` of its own.
"""

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import uvicorn
from benchmarks.common import (
    DIALOGUEDB,
    KEY,
    ROOT,
    busy,
    columns,
    machine_lines,
    refuse_memory_file_system,
    resident_mib,
    running,
    strangers_share,
    surroundings,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

WRK_THREADS, CONNECTIONS = 1, 32
DIALOGUES, EMBEDDED, BATCH = 64, 10, 25
WARM_UP_S = 2
TEXT = (
    "Where is my parcel? I ordered it on Monday, the tracking page has said 'in transit' for three "
    "days, and the driver's number does not answer."
)


# ---- the empty handler ---------------------------------------------------------------------------


class MessageInput(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A message as a client sends it."""

    dialogue_id: str
    role: str
    content: msgspec.Raw


class Message(msgspec.Struct, rename="camel"):
    """A message as the server answers it: the contract's dozen fields."""

    id: str
    dialogue_id: str
    namespace: str
    role: str
    content: msgspec.Raw
    content_length: int
    preview: str
    metadata: dict[str, str]
    tags: list[str]
    created: str
    modified: str
    sequence: int


DECODER = msgspec.json.Decoder(MessageInput)
ENCODER = msgspec.json.Encoder()


async def answer_message(request: Request) -> Response:
    """Decode a message and encode an answer, and do nothing else."""
    given = DECODER.decode(await request.body())
    now = "2026-02-03T04:05:06.007Z"
    message = Message(
        id="01KB0A1B2D0000000000000001",
        dialogue_id=given.dialogue_id,
        namespace="shop-7",
        role=given.role,
        content=given.content,
        content_length=len(bytes(given.content)) - 2,
        preview="Where is my parcel?",
        metadata={},
        tags=[],
        created=now,
        modified=now,
        sequence=1,
    )
    return Response(ENCODER.encode(message), media_type="application/json")


def serve_empty_handler() -> None:
    """Serve the empty handler on a free port and print its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = Starlette(routes=[Route("/message", answer_message, methods=["POST"])])
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])


# ---- loads ---------------------------------------------------------------------------------------

LUA = """
local requests, turn = {}, 0
local texts = {}
for text in io.lines("%(texts)s") do
  texts[#texts + 1] = text
end
local count = math.max(%(count)d, #texts)
function init(args)
  wrk.headers["Authorization"] = "Bearer %(key)s"
  wrk.headers["Content-Type"] = "application/json"
  for n = 0, count - 1 do
    local id = string.format("%(prefix)s-%%d", n %% %(count)d)
    local text = texts[n %% #texts + 1]
    requests[n] = wrk.format("%(method)s", (string.gsub("%(path)s", "ID", id)), nil, %(body)s)
  end
end
function request()
  turn = (turn + 1) %% count
  return requests[turn]
end
function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format(
    "RESULT %%d %%d %%.0f %%.0f %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
"""


class Load(NamedTuple):
    """One kind of load: its name, request, messages per answer, and goal against another."""

    name: str
    method: str
    path: str
    body: Any
    prefix: str
    messages: int
    goal: float
    against: str


MESSAGE_BODY = {"role": "user", "content": "TEXT"}
LOADS = (
    Load("empty", "POST", "/message", MESSAGE_BODY | {"dialogueId": "ID"}, "append", 1, 0, ""),
    Load(
        "append", "POST", "/message", MESSAGE_BODY | {"dialogueId": "ID"}, "append", 1, 0.4, "empty"
    ),
    Load("read", "GET", "/dialogue/ID", None, "read", 0, 0.6, "empty"),
    Load(
        "batch",
        "POST",
        "/messages?dialogueId=ID",
        [MESSAGE_BODY] * BATCH,
        "batch",
        BATCH,
        5,
        "append",
    ),
)
TITLES = {
    "empty": "empty handler",
    "append": "append, durable",
    "read": f"GET dialogue, {EMBEDDED} messages",
    "batch": f"batch append of {BATCH}",
}


class Sample(NamedTuple):
    """What one load of `wrk` measured."""

    answers: int
    per_s: float
    p50_ms: float
    p99_ms: float


def lua(load: Load, texts: Path, *, dialogues: int = DIALOGUES) -> str:
    """Write the script that sends a load round-robin over its dialogues and the lines of a file."""
    body = "nil"
    if load.body is not None:
        text = json.dumps(load.body, separators=(",", ":"))
        body = f'(string.gsub(string.gsub([==[{text}]==], "ID", id), "TEXT", text))'
    return LUA % {
        "key": KEY,
        "texts": texts,
        "count": dialogues,
        "prefix": load.prefix,
        "method": load.method,
        "path": load.path,
        "body": body,
    }


def run_wrk(script: Path, url: str, seconds: float) -> Sample:
    """Run one load; any answer that is not 2xx and any broken connection is an error."""
    command = ["wrk", f"-t{WRK_THREADS}", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency"]
    done = subprocess.run(
        [*command, "-s", str(script), url], capture_output=True, text=True, check=True
    )
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk said nothing useful:\n{done.stdout}{done.stderr}")
    answers, duration_us, p50_us, p99_us, refused, broken = (int(each) for each in found.groups())
    if refused or broken:
        raise SystemExit(
            f"{script.name}: {refused} answers not 2xx, {broken} broken:\n{done.stdout}"
        )
    return Sample(answers, answers / duration_us * 1e6, p50_us / 1e3, p99_us / 1e3)


def prepare(client: httpx.Client) -> None:
    """Make the dialogues of each load; those to be read get their messages."""
    for number in range(DIALOGUES):
        for prefix in ("append", "read", "batch"):
            body: dict[str, Any] = {"id": f"{prefix}-{number}"}
            body |= (
                {"messages": [MESSAGE_BODY | {"content": TEXT}] * EMBEDDED}
                if prefix == "read"
                else {}
            )
            client.post("/dialogue", json=body).raise_for_status()


def stored(client: httpx.Client, prefix: str) -> int:
    """Return how many messages the dialogues of a load hold."""
    answers = (client.get(f"/dialogue/{prefix}-{number}") for number in range(DIALOGUES))
    return sum(answer.raise_for_status().json()["totalMessages"] for answer in answers)


def measure(
    rounds: int,
    seconds: float,
    room: Path,
    loads: Sequence[Load] = LOADS,
    texts: Sequence[str] = (TEXT,),
) -> dict[str, Any]:
    """Run loads in turn, round after round, and check that what was answered is stored."""
    (room / "texts").write_text("".join(f"{text}\n" for text in texts))
    scripts = {load.name: room / f"{load.name}.lua" for load in loads}
    for load in loads:
        scripts[load.name].write_text(lua(load, room / "texts"))
    samples: dict[str, list[Sample]] = {load.name: [] for load in loads}
    empty_command = [sys.executable, "-m", "benchmarks.http", "--serve-empty-handler"]
    server_command = [str(DIALOGUEDB), "serve", "--db", str(room / "bench.db"), "--port", "0"]
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        running(empty_command, room / "empty.log") as empty,
        running(server_command, room / "server.log") as server,
    ):
        pids = (empty.pid, server.pid)
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            prepare(client)
            started, began = resident_mib(server.pid), busy(pids)
            for turn in range(rounds + 1):
                for load in loads:
                    url = empty.url if load.name == "empty" else server.url
                    before = 0 if load.name == "empty" else stored(client, load.prefix)
                    length = seconds if turn else min(WARM_UP_S, seconds)
                    sample = run_wrk(scripts[load.name], url, length)
                    if load.name != "empty":
                        check_work(load, sample, stored(client, load.prefix) - before)
                    if turn:
                        samples[load.name].append(sample)
            strangers = strangers_share(began, busy(pids))
            total = sum(stored(client, prefix) for prefix in ("append", "read", "batch"))
        memory = {"started_mib": started["now"], "messages": total}
        memory |= {f"{key}_mib": value for key, value in resident_mib(server.pid).items()}
        memory["file_mib"] = sum(each.stat().st_size for each in room.glob("bench.db*")) / 2**20
    return {"loads": summarise(samples, loads), "memory": memory, "strangers_share": strangers}


def check_work(load: Load, sample: Sample, added: int) -> None:
    """Fail if fewer messages were stored than answered: the work would not be equal."""
    if added < sample.answers * load.messages:
        answered = sample.answers * load.messages
        raise SystemExit(f"{load.name}: {answered} messages answered, only {added} stored")


# ---- results -------------------------------------------------------------------------------------


def summarise(samples: dict[str, list[Sample]], loads: Sequence[Load]) -> list[dict[str, Any]]:
    """Return medians per load, and the ratio to what its goal is set against."""
    medians = {}
    for name, runs in samples.items():
        medians[name] = Sample(*(statistics.median(each) for each in zip(*runs, strict=True)))
    rows = []
    for load in loads:
        sample = medians[load.name]
        row: dict[str, Any] = {
            "load": load.name,
            "requests_per_s": round(sample.per_s),
            "messages_per_s": round(sample.per_s * load.messages) if load.messages else None,
            "ratio_to_empty": round(sample.per_s / medians["empty"].per_s, 3),
            "p50_ms": sample.p50_ms,
            "p99_ms": sample.p99_ms,
            "rounds_per_s": [round(each.per_s) for each in samples[load.name]],
        }
        if load.against:
            gain = load.messages if load.name == "batch" else 1
            ratio = gain * sample.per_s / medians[load.against].per_s
            row |= {"against": load.against, "ratio": round(ratio, 3), "goal": load.goal}
            row["reached"] = ratio >= load.goal
        rows.append(row)
    return rows


def wrk_version() -> str:
    """Ask the load generator for its version."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return wrk.split(" [", 1)[0]


def table(result: dict[str, Any]) -> str:
    """Write the result as text."""
    head = ["load", "req/s", "msg/s", "of empty", "goal", "", "p50 ms", "p99 ms"]
    lines = []
    for row in result["loads"]:
        goal = verdict = ""
        if "goal" in row:
            goal = f">= {row['goal']:.2f} of {row['against']}: {row['ratio']:.2f}"
            verdict = "reached" if row["reached"] else "MISSED"
        messages = "" if row["messages_per_s"] is None else f"{row['messages_per_s']:,}"
        figures = [f"{row['requests_per_s']:,}", messages, f"{row['ratio_to_empty']:.2f}"]
        times = [f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}"]
        lines.append([TITLES[row["load"]], *figures, goal, verdict, *times])
    memory = result["memory"]
    text = columns([head, *lines])
    text += [
        "",
        f"memory: {memory['started_mib']:.0f} MiB resident at the start, "
        f"{memory['now_mib']:.0f} MiB after {memory['messages']:,} messages "
        f"(highest {memory['highest_mib']:.0f}, without file pages "
        f"{memory['anonymous_mib']:.0f}); file {memory['file_mib']:.0f} MiB",
        f"load: wrk -t{WRK_THREADS} -c{CONNECTIONS}, {DIALOGUES} dialogues, "
        f"{result['rounds']} rounds of {result['seconds']:g} s each, medians; "
        "every answer 2xx, every message found stored; other processes took "
        f"{result['strangers_share']:.1%} of the processors meanwhile",
        *machine_lines(result["machine"]),
        f"load generator: {wrk_version()}",
    ]
    return "\n".join(text)


def main() -> None:
    """Measure, print the table, and write it as JSON if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=5, help="length of one load")
    options.add_argument("--rounds", type=int, default=3, help="how often each load is run")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the result here too")
    options.add_argument("--room", type=Path, default=ROOT / "build", help="where the file lies")
    options.add_argument("--serve-empty-handler", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve_empty_handler:
        serve_empty_handler()
        return
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing; scripts/bench says how to get it")
    chosen.room.mkdir(parents=True, exist_ok=True)
    refuse_memory_file_system(chosen.room)
    with tempfile.TemporaryDirectory(dir=chosen.room, prefix="bench-") as room:
        result = measure(chosen.rounds, chosen.seconds, Path(room))
    result |= {"rounds": chosen.rounds, "seconds": chosen.seconds, "machine": surroundings()}
    print(table(result))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
