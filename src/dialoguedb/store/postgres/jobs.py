"""What background jobs do on PostgreSQL besides ordinary transactions."""

import logging

import psycopg

from dialoguedb.store.postgres.failing import is_gone, translated
from dialoguedb.store.postgres.session import Session
from dialoguedb.store.postgres.store import PostgresStore
from dialoguedb.store.postgres.tx import PostgresTx
from dialoguedb.store.protocol import Reach, Scope, Store, T, WriteWork

log = logging.getLogger("dialoguedb.store")

#: Whoever waits for a row sees it as it is then; and a row that another holds can be passed over.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"


def run_on_newest(store: Store, scope: Reach, work: WriteWork[T]) -> T:
    """See `jobs.on_newest`."""
    assert isinstance(store, PostgresStore)
    try:
        with store._pool.session() as session:
            return _run(store, session, scope, work)
    except psycopg.Error as error:
        if is_gone(error):
            store._pool.forget()
        raise translated(error) from error


def _run(store: PostgresStore, session: Session, scope: Reach, work: WriteWork[T]) -> T:
    session.begin(_BEGIN)
    tx = PostgresTx(session, scope, store.runtime, store.index)
    if isinstance(scope, Scope):
        tx.find_space(store.spaces)
    result = work(tx)
    session.commit(tell_position=False)
    tx.committed()
    return result
