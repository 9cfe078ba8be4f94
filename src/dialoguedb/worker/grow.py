"""`grow`: the vectors of a large project go into the graph. Key: space and index, `17.1`.

A vector is stored beside the graph first: to enter it takes as long as several appends do.
"""

from dialoguedb.runtime import monotonic_s
from dialoguedb.store import backlog
from dialoguedb.store.protocol import WriteTx
from dialoguedb.worker.task import Again, Task

#: Vectors that enter the graph in one commit: the first, and at most.
_FIRST, _MOST = 50, 500
#: How long a commit is to take, seconds; how long one takes depends on the graph and the machine.
_STEP_S = 1.0


def run(task: Task) -> Again | None:
    """Move vectors until none is beside the graph. One that is in it stays there."""
    scope = task.scope()
    generation = backlog.generation_of(task.job.key)
    if scope is None or not task.read(None, lambda tx: backlog.is_used(tx, generation)):
        return None
    most = _FIRST

    def step(tx: WriteTx) -> int:
        return backlog.grow(tx, generation, most)

    while task.going:
        begun_s = monotonic_s()
        if not task.store.write(scope, step):
            return None
        fitting = most * _STEP_S / max(monotonic_s() - begun_s, 0.001)
        most = max(1, min(int(fitting), 2 * most, _MOST))
    return Again()
