"""`erase`: a project whose deletion was interrupted is erased to the end. Key: the project."""

from dialoguedb.engine import projects
from dialoguedb.errors import AdminError
from dialoguedb.worker.task import Again, Task


def run(task: Task) -> Again | None:
    """Go on erasing. Twice does no harm, nor that somebody else does it at the same time."""
    try:
        for _ in projects.delete(task.store, task.job.key):
            if not task.going:
                return Again()
    except AdminError:  # somebody else has come to the end of it
        return None
    return None
