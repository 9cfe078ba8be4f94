"""`grow`: the vectors of a large project go into the graph. Key: space and index, `17.1`.

A vector is stored beside the graph first: to enter it takes as long as several appends do.
"""

from dialoguedb.store import backlog
from dialoguedb.worker.task import Again, Task

#: Vectors that enter the graph in one commit.
_STEP = 500


def run(task: Task) -> Again | None:
    """Move vectors until none is beside the graph. One that is in it stays there."""
    scope = task.scope()
    generation = backlog.generation_of(task.job.key)
    if scope is None or not task.store.read(None, lambda tx: backlog.is_used(tx, generation)):
        return None
    while task.going:
        if not task.store.write(scope, lambda tx: backlog.grow(tx, generation, _STEP)):
            return None
    return Again()
