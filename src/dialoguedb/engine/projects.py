"""Projects and keys: made, listed and taken away by the one who runs the server (contract 2)."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from dialoguedb.errors import AdminError
from dialoguedb.models.times import text_of
from dialoguedb.store import projects as stored
from dialoguedb.store.protocol import ReadTx, Store, WriteTx

DEFAULT_PROJECT = "default"
MAX_NAME_LENGTH = 256
#: Rows erased in one commit: other writers wait no longer than that takes.
ERASE_STEP = 5_000


class Project(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """A project, as the command line shows it."""

    id: str
    name: str
    immutable: bool
    deletion_protection: bool
    created: str
    deleting: str | UnsetType = UNSET


class Key(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """A key, as the command line shows it; `key` itself only when it is made."""

    id: str
    project_id: str
    name: str
    hint: str
    admin: bool
    created: str
    revoked: str | UnsetType = UNSET
    key: str | UnsetType = UNSET


class Access(NamedTuple):
    """What a valid key opens; with `admin` also export, import and figures."""

    project_id: str
    immutable: bool
    key_id: str
    admin: bool


def hash_of(key: bytes) -> bytes:
    """Hash a key as it is stored: SHA-256. Keys of ours are random, so no salt is needed."""
    return hashlib.sha256(key).digest()


def _project(row: stored.Project) -> Project:
    return Project(
        id=row.id,
        name=row.name,
        immutable=bool(row.immutable),
        deletion_protection=bool(row.deletion_protection),
        created=text_of(row.created),
        deleting=UNSET if row.deleting is None else text_of(row.deleting),
    )


def _key(row: stored.Key, key: str | UnsetType = UNSET) -> Key:
    return Key(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        hint=row.hint,
        admin=bool(row.admin),
        created=text_of(row.created),
        revoked=UNSET if row.revoked is None else text_of(row.revoked),
        key=key,
    )


def _found(tx: ReadTx, project: str) -> stored.Project:
    """Find a project by id or name."""
    row = stored.find(tx, project) or stored.find_by_name(tx, project)
    if row is None:
        raise AdminError(
            f"there is no project '{project}'; `dialoguedb project list` shows those there are"
        )
    return row


def create(store: Store, name: str) -> Project:
    """Make a project.

    Raises:
        AdminError: the name is empty, too long or taken.
    """
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise AdminError(f"a project's name has 1 to {MAX_NAME_LENGTH} printable characters")

    def work(tx: WriteTx) -> Project:
        if stored.find_by_name(tx, name) is not None:
            raise AdminError(f"there is a project '{name}' already")
        project_id = tx.runtime.ulid()
        stored.insert(tx, project_id, name, tx.runtime.now())
        return _project(_found(tx, project_id))

    return store.write(None, work)


def every(store: Store) -> list[Project]:
    """Give all projects, the oldest first."""
    return store.read(None, lambda tx: [_project(row) for row in stored.every(tx)])


def ensure_default(store: Store) -> tuple[Project, bool]:
    """Give the default project and whether it was made just now."""

    def work(tx: WriteTx) -> tuple[Project, bool]:
        found = stored.find_by_name(tx, DEFAULT_PROJECT)
        if found is not None:
            return _project(found), False
        project_id = tx.runtime.ulid()
        stored.insert(tx, project_id, DEFAULT_PROJECT, tx.runtime.now())
        return _project(_found(tx, project_id)), True

    return store.write(None, work)


def is_empty(store: Store) -> bool:
    """Tell whether the store has no project yet."""
    return not store.read(None, stored.every)


def any_key(store: Store) -> bool:
    """Tell whether there is a key that can be used."""
    return any(key.revoked is UNSET for key in keys(store))


def configure(
    store: Store,
    project: str,
    *,
    immutable: bool | None = None,
    deletion_protection: bool | None = None,
) -> Project:
    """Change the settings of a project; immutable dialogues cannot be switched off (2.1).

    Raises:
        AdminError: there is no such project, or `immutable` was to be switched off.
    """

    def work(tx: WriteTx) -> Project:
        row = _found(tx, project)
        if immutable is False and row.immutable:
            raise AdminError("immutable dialogues cannot be made changeable again")
        stored.set_flags(
            tx,
            row.id,
            immutable=row.immutable if immutable is None else int(immutable),
            deletion_protection=(
                row.deletion_protection if deletion_protection is None else int(deletion_protection)
            ),
        )
        return _project(_found(tx, row.id))

    return store.write(None, work)


def find(store: Store, project: str) -> Project:
    """Find a project by id or name; by id also one whose deletion was interrupted.

    Raises:
        AdminError: there is no such project.
    """

    def work(tx: ReadTx) -> Project:
        going = stored.find(tx, project, deleting=True)
        return _project(going or _found(tx, project))

    return store.read(None, work)


def delete(store: Store, project: str) -> Iterator[int]:
    """Delete a project with everything in it, for good, in steps; each yields its rows.

    With the first step the project is out of reach. Interrupted, it goes on when called again.

    Raises:
        AdminError: there is no such project, or it is protected.
    """
    found = find(store, project)
    if found.deleting is UNSET:
        store.write(None, lambda tx: _mark_deleting(tx, found.id))
    store.settle()  # whoever has begun before may still write into it
    while erased := store.write(None, lambda tx: stored.erase_some(tx, found.id, ERASE_STEP)):
        yield erased
    store.write(None, lambda tx: stored.erase_last(tx, found.id))


def _mark_deleting(tx: WriteTx, project_id: str) -> None:
    row = stored.find(tx, project_id)
    if row is None:
        return  # somebody else has begun meanwhile
    if row.deletion_protection:
        raise AdminError(
            f"project '{row.name}' is protected; `dialoguedb project set {row.id} "
            "--no-deletion-protection` lifts that"
        )
    stored.mark_deleting(tx, row.id, tx.runtime.now())


def create_key(store: Store, project: str, name: str = "", *, admin: bool = False) -> Key:
    """Make a key of a project; the answer is the only place that shows it.

    Args:
        store: the database.
        project: its id or name.
        name: what the key is for.
        admin: whether it may export, import and see figures too.
    Raises:
        AdminError: there is no such project.
    """

    def work(tx: WriteTx) -> Key:
        owner = _found(tx, project)
        key = tx.runtime.api_key()
        row = stored.Key(
            id=tx.runtime.ulid(),
            project_id=owner.id,
            name=name,
            hint=f"{key[:9]}…{key[-4:]}",
            created=tx.runtime.now(),
            revoked=None,
            admin=int(admin),
        )
        stored.insert_key(tx, row, hash_of(key.encode()))
        return _key(row, key)

    return store.write(None, work)


def keys(store: Store, project: str | None = None) -> list[Key]:
    """Give the keys of a project, or of all.

    Raises:
        AdminError: there is no such project.
    """

    def work(tx: ReadTx) -> list[Key]:
        owner = None if project is None else _found(tx, project).id
        return [_key(row) for row in stored.keys(tx, owner)]

    return store.read(None, work)


def revoke_key(store: Store, key_id: str) -> Key:
    """Revoke a key: the next request with it is refused, in every process.

    Raises:
        AdminError: there is no such key, or it was revoked before.
    """

    def work(tx: WriteTx) -> Key:
        if stored.find_key(tx, key_id) is None:
            raise AdminError(
                f"there is no key '{key_id}'; `dialoguedb key list` shows the ids of those there "
                "are"
            )
        if not stored.revoke_key(tx, key_id, tx.runtime.now()):
            raise AdminError(f"key '{key_id}' has been revoked before")
        row = stored.find_key(tx, key_id)
        assert row is not None
        return _key(row)

    return store.write(None, work)


def access(tx: ReadTx, key_hash: bytes) -> Access | None:
    """Find what a key opens: nothing if it is unknown or revoked, or its project is gone."""
    row = stored.access(tx, key_hash)
    if row is None:
        return None
    return Access(row.project_id, bool(row.immutable), row.key_id, bool(row.admin))


def access_of_project(tx: ReadTx, project_id: str, key_id: str) -> Access | None:
    """Give what a key that is not in the store opens: a project, if it is still there."""
    row = stored.find(tx, project_id)
    return Access(row.id, bool(row.immutable), key_id, admin=False) if row else None


def glance(tx: ReadTx) -> None:
    """Prove that the store can be read: a work for `/ready`."""
    stored.find_by_name(tx, DEFAULT_PROJECT)


def touch(tx: WriteTx) -> None:
    """Prove that the store can be written: a work for `/ready`."""
    stored.touch(tx)
