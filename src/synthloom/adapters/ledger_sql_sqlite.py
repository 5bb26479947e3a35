"""SQLite as a ledger's database: WAL, IMMEDIATE transactions, and commits that reach the disk together.

SQLite itself would sync the disk inside each commit, while everybody else waits for the write lock. Here a commit only
writes (synchronous = NORMAL), and before a caller hears of it the log is synced: once for all threads that wait for it.
What was acknowledged survives a power cut, as with FULL; nothing is ever torn.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import cast

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from synthloom.adapters.ledger_common import dumps

WRITES = "synthloom_writes"
"""Execution option of a transaction that writes."""


def make_sqlite_engine(url: URL, wait: float) -> Engine:
    """An engine on a file, made for its owner only where it does not exist; a writer waits so many seconds.

    Raises:
        OSError: the file cannot be made.
    """
    os.close(os.open(str(url.database), os.O_CREAT | os.O_RDWR, 0o600))
    engine = sa.create_engine(
        url, connect_args={"timeout": wait}, json_serializer=dumps, hide_parameters=True, pool_size=8, max_overflow=56,
        pool_timeout=wait,
    )
    sa.event.listen(engine, "connect", _open)
    sa.event.listen(engine, "begin", _begin)
    return engine


class Flusher:
    """Syncs the write-ahead log of a database, once for all threads that wait at the same time.

    Args:
        path: The database's file.
    """

    def __init__(self, path: str) -> None:
        self._log = f"{path}-wal"
        self._state = threading.Condition()
        self._asked = 0
        self._done = 0
        self._busy = False

    def flush(self) -> None:
        """Return once everything that was committed before the call is on the disk.

        Raises:
            OSError: it could not be written there.
        """
        with self._state:
            self._asked += 1
            mine = self._asked
            while self._busy and self._done < mine:
                self._state.wait()
            if self._done >= mine:
                return
            self._busy, covered = True, self._asked
        try:
            self._sync()
            with self._state:
                self._done = covered
        finally:
            with self._state:
                self._busy = False
                self._state.notify_all()

    def _sync(self) -> None:
        # no log: its last user closed it, and SQLite has synced all of it into the database by then
        with contextlib.suppress(FileNotFoundError), open(self._log, "rb+") as log:
            os.fsync(log.fileno())


@contextlib.contextmanager
def noticing_changes(tx: Connection) -> Iterator[list[bool]]:
    """A list that holds True after the block if the transaction has changed a row in it."""
    line = cast(sqlite3.Connection, tx.connection.dbapi_connection)
    before, changed = line.total_changes, list[bool]()
    yield changed
    changed.append(line.total_changes != before)


def _open(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins and ends transactions, not the driver
    # a second process that opens a new file at the same moment holds it for an instant, and no busy timeout covers that
    for number in range(50):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or number == 49:
                raise
            time.sleep(0.02)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
