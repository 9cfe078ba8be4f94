"""Ids that are taken in a project: unique over all its spaces, kind by kind (contract 3.1)."""

from typing import Literal

from dialoguedb.errors import DuplicateId
from dialoguedb.store.protocol import WriteTx

Kind = Literal["dialogue", "message", "memory"]


def take(tx: WriteTx, kind: Kind, taken_id: str, *, field: str = "id") -> None:
    """Claim an id for a new resource.

    Raises:
        DuplicateId: it is taken; `field` is its place in the request.
    """
    if not tx.run("claims_take", project_id=tx.scope.project_id, kind=kind, id=taken_id):
        at, dot, _ = field.rpartition(".")
        where = f"{at}: " if dot else ""
        raise DuplicateId(
            f"{where}{kind} id '{taken_id}' is already taken in this project",
            field=field,
            value=taken_id,
        )


def drop(tx: WriteTx, kind: Kind, taken_id: str) -> None:
    """Give an id back when its resource is deleted."""
    tx.run("claims_drop", project_id=tx.scope.project_id, kind=kind, id=taken_id)
