"""`look`: finds what nobody has asked for, and makes jobs of it.

Vectors that could enter the graph; texts that wait for vectors and have no job, such as after a
move to another embedder.
"""

from dialoguedb.runtime import monotonic_s
from dialoguedb.store import backlog
from dialoguedb.worker.task import Again, Task

EACH_S = 60.0
#: It takes no more than this part of a worker's time.
_PART = 0.01


def run(task: Task) -> Again | None:
    """Look once; the longer it took, the later again."""
    begun_s = monotonic_s()
    found = task.read(None, backlog.look)
    if found:
        task.write(None, lambda tx: backlog.add(tx, found))
    return Again(max(EACH_S, (monotonic_s() - begun_s) / _PART))
