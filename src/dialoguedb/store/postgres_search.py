"""Searching on PostgreSQL."""

from dialoguedb.search.finding import Hit
from dialoguedb.store.postgres_index import EntryIndex
from dialoguedb.store.postgres_session import Session
from dialoguedb.store.protocol import Query


class Searching:
    """One search."""

    def __init__(
        self, session: Session, index: EntryIndex, project_id: str, space_id: int | None
    ) -> None:
        self._session = session

    def find(self, query: Query) -> list[Hit]:
        """Find."""
        return []
