"""The embedders of a store's indexes, each opened once."""

import logging
from collections.abc import Callable

from dialoguedb.embed import Embedder
from dialoguedb.errors import AdminError

log = logging.getLogger("dialoguedb.store")

#: Opens the embedder of a setting, such as `static`.
OpenEmbedder = Callable[[str], Embedder]


class Embedders:
    """Opens embedders by their settings and remembers them by their names."""

    def __init__(self, open_embedder: OpenEmbedder) -> None:
        """Make it, without opening any.

        Args:
            open_embedder: opens an embedder by its setting; raises AdminError if it cannot.
        """
        self._open = open_embedder
        self._known: dict[str, Embedder | None] = {}

    def opened(self, setting: str) -> Embedder:
        """Open the embedder of a setting.

        Raises:
            AdminError: it cannot be opened.
        """
        embedder = self._open(setting)
        self._known[embedder.name] = embedder
        return embedder

    def named(self, name: str) -> Embedder | None:
        """Give the embedder of a name; None, and a line in the log, if it cannot be had."""
        if name not in self._known:
            setting = "static" if name.startswith("static:") else name
            try:
                embedder: Embedder | None = self._open(setting)
            except AdminError as error:
                log.error("search goes by words alone: %s", error.message)
                embedder = None
            if embedder is not None and embedder.name != name:
                log.error("the index was made with %s; run `dialoguedb reindex`", name)
                embedder = None
            self._known[name] = embedder
        return self._known[name]
