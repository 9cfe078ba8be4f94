"""DialogueDB: an open, self-hostable conversation database.

```python
import dialoguedb

with dialoguedb.open("chat.db") as db:
    dialogue = db.create_dialogue(label="A bent wheel")
    dialogue.save_message(role="user", content="My wheel is bent.")
```

`open` works in this process, on one file. `DialogueDB` speaks to a server, and `AsyncDialogueDB`
and `open_async` are the same for asyncio; errors are in `dialoguedb.errors`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dialoguedb import errors
    from dialoguedb.errors import DialogueDBError
    from dialoguedb.sdk._async.client import AsyncDialogueDB, open_async
    from dialoguedb.sdk._async.dialogue import AsyncDialogue
    from dialoguedb.sdk._async.memory import AsyncMemory
    from dialoguedb.sdk._async.message import AsyncMessage
    from dialoguedb.sdk._async.summary import AsyncSummary
    from dialoguedb.sdk._sync.client import DialogueDB, open
    from dialoguedb.sdk._sync.dialogue import Dialogue
    from dialoguedb.sdk._sync.memory import Memory
    from dialoguedb.sdk._sync.message import Message
    from dialoguedb.sdk._sync.summary import Summary
    from dialoguedb.sdk.calls import Response
    from dialoguedb.sdk.contexts import Context, ContextPart
    from dialoguedb.sdk.pages import AsyncPage, AsyncPages, Page
    from dialoguedb.sdk.records import MessageInput
    from dialoguedb.sdk.results import Match, SearchResult, SearchResults
    from dialoguedb.settings import ClientSettings, LocalSettings

__version__ = "0.1.0"

#: Where each name comes from; it is loaded when it is asked for: a program of the command line
#: needs few of them.
_ROOMS = {
    "AsyncDialogue": "sdk._async.dialogue",
    "AsyncDialogueDB": "sdk._async.client",
    "AsyncMemory": "sdk._async.memory",
    "AsyncMessage": "sdk._async.message",
    "AsyncPage": "sdk.pages",
    "AsyncPages": "sdk.pages",
    "AsyncSummary": "sdk._async.summary",
    "ClientSettings": "settings",
    "Context": "sdk.contexts",
    "ContextPart": "sdk.contexts",
    "Dialogue": "sdk._sync.dialogue",
    "DialogueDB": "sdk._sync.client",
    "DialogueDBError": "errors",
    "LocalSettings": "settings",
    "Match": "sdk.results",
    "Memory": "sdk._sync.memory",
    "Message": "sdk._sync.message",
    "MessageInput": "sdk.records",
    "Page": "sdk.pages",
    "Response": "sdk.calls",
    "SearchResult": "sdk.results",
    "SearchResults": "sdk.results",
    "Summary": "sdk._sync.summary",
    "open": "sdk._sync.client",
    "open_async": "sdk._async.client",
}

__all__ = [
    "AsyncDialogue",
    "AsyncDialogueDB",
    "AsyncMemory",
    "AsyncMessage",
    "AsyncPage",
    "AsyncPages",
    "AsyncSummary",
    "ClientSettings",
    "Context",
    "ContextPart",
    "Dialogue",
    "DialogueDB",
    "DialogueDBError",
    "LocalSettings",
    "Match",
    "Memory",
    "Message",
    "MessageInput",
    "Page",
    "Response",
    "SearchResult",
    "SearchResults",
    "Summary",
    "__version__",
    "errors",
    "open",
    "open_async",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("dialoguedb.errors")
    if name in _ROOMS:
        return getattr(import_module(f"dialoguedb.{_ROOMS[name]}"), name)
    raise AttributeError(f"module 'dialoguedb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
