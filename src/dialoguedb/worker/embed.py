"""`embed`: texts get the vectors that they wait for. Key: space and index, `17.1`.

Writes make the job, where the embedder is not asked inside them (`store/postgres/index.py`).
"""

from dialoguedb.store import backlog
from dialoguedb.store.protocol import WriteTx
from dialoguedb.worker.task import Again, Task


def run(task: Task) -> Again | None:
    """Embed until no text waits. A vector is stored where the text still waits for it: once."""
    # The driver is an extra, and a database that is a file has no such jobs.
    from dialoguedb.store.postgres.embedding import fill  # noqa: PLC0415

    scope = task.scope()
    generation = backlog.generation_of(task.job.key)
    if scope is None:
        return None

    def none_waits(tx: WriteTx) -> bool:
        return backlog.none_waits(tx, task.job.key)

    while task.going:
        if not fill(task.store, scope, generation) and task.finish_if(scope, none_waits):
            return None
    return Again()
