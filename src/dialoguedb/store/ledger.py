"""Migrations: which there are, and the ledger of those that a database has had."""

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

#: How the name of a step begins that takes something away which the release before needs.
CONTRACT = "contract_"


class Migration(NamedTuple):
    """One numbered step of the schema."""

    number: int
    name: str
    sql: str
    hash: str

    @property
    def contracts(self) -> bool:
        """Whether servers of the release before cannot go on after it."""
        return self.name.startswith(CONTRACT)


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Read the migrations of a dialect, in order; numbers go from 1 without a gap."""
    found = []
    directory = resources.files("dialoguedb.store") / "migrations"
    for file in directory.iterdir():
        stem, _, ending = file.name.partition(".")
        if ending == f"{dialect}.sql":
            sql = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(stem[:4]), stem[5:], sql, digest))
    return tuple(sorted(found))
