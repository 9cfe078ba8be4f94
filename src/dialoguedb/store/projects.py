"""Projects and their keys: the catalogue."""

from typing import NamedTuple

from dialoguedb.store import jobs
from dialoguedb.store.protocol import ReadTx, WriteTx

#: Tables in the order in which a project's rows are erased; those of the search index follow.
_ERASED = (
    "messages",
    "memories",
    "summaries",
    "documents",
    "dialogues",
    "tombstones",
    "replies",
    "claims",
)
#: A block of the search index holds thousands of resources.
_AT_ONCE = {"blocks": 16}
#: How long whoever has begun a deletion is left alone with it.
ERASED_AFTER_MS = 60_000
#: Rows of the index that are left at the end and erased at once.
_LAST = 100_000


class Project(NamedTuple):
    """A project's row; times in milliseconds, flags 0 or 1."""

    id: str
    name: str
    immutable: int
    deletion_protection: int
    created: int
    deleting: int | None


class Key(NamedTuple):
    """A key's row without its hash; `hint` shows its first and last characters.

    `admin` is 0 or 1.
    """

    id: str
    project_id: str
    name: str
    hint: str
    created: int
    revoked: int | None
    admin: int


class Access(NamedTuple):
    """What a key opens."""

    hash: bytes
    project_id: str
    immutable: int
    key_id: str
    admin: int


def insert(tx: WriteTx, project_id: str, name: str, now_ms: int) -> None:
    """Store a new project."""
    tx.run("projects_insert", id=project_id, name=name, created=now_ms)


def find(tx: ReadTx, project_id: str, *, deleting: bool = False) -> Project | None:
    """Find a project by id; with `deleting` also one whose deletion has begun."""
    row = tx.one("projects_find_any" if deleting else "projects_find", id=project_id)
    return Project._make(row) if row else None


def find_by_name(tx: ReadTx, name: str) -> Project | None:
    """Find a project by its name."""
    row = tx.one("projects_find_by_name", name=name)
    return Project._make(row) if row else None


def every(tx: ReadTx) -> list[Project]:
    """Give all projects, the oldest first, also those whose deletion has begun."""
    return [Project._make(row) for row in tx.all("projects_list")]


def set_flags(tx: WriteTx, project_id: str, *, immutable: int, deletion_protection: int) -> None:
    """Store the settings of a project."""
    tx.run(
        "projects_set",
        id=project_id,
        immutable=immutable,
        deletion_protection=deletion_protection,
    )


def mark_deleting(tx: WriteTx, project_id: str, now_ms: int) -> None:
    """Begin a deletion: at once no key opens the project, and its name is free.

    Should it be interrupted, a job ends it.
    """
    tx.run("projects_mark_deleting", id=project_id, name=f"deleting {project_id}", now=now_ms)
    jobs.add(tx, "erase", project_id, delay_ms=ERASED_AFTER_MS)


def erase_some(tx: WriteTx, project_id: str, most: int) -> int:
    """Erase up to `most` rows of a project that is being deleted; 0 when none is left."""
    for table in (*_ERASED, *tx.index_tables):
        at_once = _AT_ONCE.get(table, most)
        erased = tx.run(f"erase_{table}", project_id=project_id, most=at_once)
        if erased:
            return erased
    return 0


def erase_last(tx: WriteTx, project_id: str) -> None:
    """Erase what is left when all rows of user data are gone."""
    # The search index may have been brought up to date once more since.
    for table in tx.index_tables:
        while tx.run(f"erase_{table}", project_id=project_id, most=_AT_ONCE.get(table, _LAST)):
            pass
    tx.run("spaces_delete", project_id=project_id)
    tx.run("keys_delete_of_project", project_id=project_id)
    tx.run("jobs_of_project", project_id=project_id)
    tx.run("projects_delete", id=project_id)


def insert_key(tx: WriteTx, key: Key, key_hash: bytes) -> None:
    """Store a new key by its hash."""
    tx.run(
        "keys_insert",
        hash=key_hash,
        id=key.id,
        project_id=key.project_id,
        name=key.name,
        hint=key.hint,
        created=key.created,
        admin=key.admin,
    )


def access(tx: ReadTx, key_hash: bytes) -> Access | None:
    """Find what a key opens: nothing when it is unknown or revoked or its project is going."""
    row = tx.one("keys_authenticate", hash=key_hash)
    return Access._make(row) if row else None


def keys(tx: ReadTx, project_id: str | None) -> list[Key]:
    """Give the keys of one project or of all, the oldest first."""
    return [Key._make(row) for row in tx.all("keys_list", project_id=project_id)]


def find_key(tx: ReadTx, key_id: str) -> Key | None:
    """Find a key by its id."""
    row = tx.one("keys_find", id=key_id)
    return Key._make(row) if row else None


def revoke_key(tx: WriteTx, key_id: str, now_ms: int) -> bool:
    """Revoke a key; False when it is unknown or was revoked before."""
    return tx.run("keys_revoke", id=key_id, now=now_ms) > 0


def touch(tx: WriteTx) -> None:
    """Write to the disk without changing anything."""
    tx.run("catalogue_touch")
