"""`forget`: what requests with an idempotency key have made is forgotten after a day.

A space forgets its own with the next such request; this is for those where none comes.
"""

from dialoguedb.store import replies
from dialoguedb.store.protocol import WriteTx
from dialoguedb.worker.task import Again, Task

EACH_S = 3600.0
#: How far the clocks of servers may be apart.
_SLACK_MS = 60 * 60 * 1000
#: Rows in one commit: other writers wait no longer than that takes.
_STEP = 1_000


def run(task: Task) -> Again | None:
    """Forget in steps, space by space. Twice does no harm."""
    since_ms = task.store.runtime.now() - replies.KEPT_MS - _SLACK_MS

    def some(tx: WriteTx) -> int:
        return replies.forget(tx, since_ms, _STEP)

    while task.going:
        scopes = task.read(None, lambda tx: replies.outdated(tx, since_ms))
        if not scopes:
            return None
        for scope in scopes:
            while task.going and task.store.write(scope, some) == _STEP:
                pass
    return Again()
