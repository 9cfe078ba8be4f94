"""The rules. One file per resource; an operation `room.verb` of the table is a function here.

`list` is Python's own word, so that function is `list_`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dialoguedb.contract import OPERATIONS
from dialoguedb.engine import context, dialogues, memories, messages, search, summaries, transfer
from dialoguedb.engine.caller import Caller, Replayed, Task

Handler = Callable[[Caller, Any], Task[Any]]

_ROOMS = {
    "context": context,
    "dialogues": dialogues,
    "memories": memories,
    "messages": messages,
    "search": search,
    "summaries": summaries,
    "transfer": transfer,
}


def handlers() -> Mapping[str, Handler]:
    """Give the function of each operation that is not the server's own, by its name."""
    found = {}
    for operation in OPERATIONS:
        room, _, verb = operation.name.partition(".")
        if room in _ROOMS:
            found[operation.name] = getattr(_ROOMS[room], verb if verb != "list" else "list_")
    return found


__all__ = ["Caller", "Handler", "Replayed", "Task", "handlers"]
