"""Measure how long writes are away when the primary is killed and its standby promoted."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clusters import Cluster
from benchmarks.common import DIALOGUEDB, KEY, Figure, running
from benchmarks.outages import Crowd, failover

CLIENTS = 16
_DIALOGUES = [f"failover-{number}" for number in range(4)]


def figures(_: Cluster) -> Iterator[Figure]:
    """Kill a primary under load and promote its synchronous standby; both are made for this."""
    with (
        tempfile.TemporaryDirectory() as room,
        Cluster({"max_connections": "100"}) as primary,
    ):
        primary.run("CREATE DATABASE failover OWNER dialoguedb")
        primary.run("CREATE EXTENSION vector", "failover")
        with primary.standby() as standby:
            address = primary.address("failover", standby)
            command = [str(DIALOGUEDB), "serve", "--db", address, "--port", "0"]
            with running(command, Path(room) / "failover.log") as server:
                crowd = Crowd(server.url, KEY, _DIALOGUES, clients=CLIENTS)
                found = failover(crowd, primary.kill, standby.promote)
    count = found.acknowledged
    yield Figure("failover: acknowledged writes lost", count, 0.0, "writes", goal=0)
    yield Figure("failover: from the kill to the next write", count, found.away_s, "s")
    yield Figure("failover: from the promotion on", count, found.recovered_s, "s")
    yield Figure("failover: the longest request", count, found.longest_s, "s")
