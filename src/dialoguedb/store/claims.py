"""Ids that are taken in a project: unique over all its spaces, kind by kind (contract 3.1)."""

from collections.abc import Sequence
from typing import Literal

from dialoguedb.errors import DuplicateId
from dialoguedb.store.protocol import Param, WriteTx

Kind = Literal["dialogue", "message", "memory", "summary"]


def take(tx: WriteTx, kind: Kind, ids: Sequence[str], *, fields: Sequence[str] = ("id",)) -> None:
    """Claim ids for new resources.

    Args:
        tx: the transaction; its scope has the project.
        kind: the resources' kind; ids of two kinds never clash.
        ids: the ids.
        fields: the place of each in the request, for the error.
    Raises:
        DuplicateId: one is taken, or two are the same.
    """
    project_id = tx.scope.project_id
    wanted: list[dict[str, Param]] = [
        {"project_id": project_id, "kind": kind, "id": one} for one in ids
    ]
    free = tx.many("claims_take", wanted)
    if len(free) == len(ids):
        return
    taken = {row[0] for row in free}
    for one, field in zip(ids, fields, strict=True):
        if one not in taken:
            at, dot, _ = field.rpartition(".")
            where = f"{at}: " if dot else ""
            raise DuplicateId(
                f"{where}{kind} id '{one}' is already taken in this project",
                field=field,
                value=one,
            )
        taken.remove(one)  # the same id further on is a second one


def take_new(tx: WriteTx, kind: Kind, ids: Sequence[str]) -> None:
    """Claim ids that have just been made: nobody has them, and none of them is waited for."""
    project_id = tx.scope.project_id
    tx.put("claims_put", [{"project_id": project_id, "kind": kind, "id": one} for one in ids])


def drop(tx: WriteTx, kind: Kind, taken_id: str) -> None:
    """Give an id back when its resource is deleted."""
    tx.run("claims_drop", project_id=tx.scope.project_id, kind=kind, id=taken_id)
