"""A ledger in SQLite or PostgreSQL. All times are the database's; each method is one transaction."""

from __future__ import annotations

from synthloom.adapters import ledger_sql_schema as schema
from synthloom.adapters.ledger_sql_access import SqlAccess
from synthloom.adapters.ledger_sql_bell import Bell
from synthloom.adapters.ledger_sql_engine import Database
from synthloom.adapters.ledger_sql_queue import SqlQueue


class SqlLedger(SqlQueue, SqlAccess):
    """A `RunLedger` and `AccessBook` on a database that threads, processes and machines share.

    After a fork the child makes one of its own.

    Args:
        url: `sqlite:///path` or `postgresql://user:password@host/name`. A pooler must keep sessions: `wait` listens.

    Raises:
        UsageError: the address is of no such database. MissingDependencyError: its driver is not installed.
        StorageUnavailableError: the file of a SQLite database cannot be made. Nothing is connected to yet.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._database.check_first(lambda tx: schema.check_version(self._database, tx))
        self._bell = Bell(self._database)

    def migrate(self) -> None:
        """Bring the tables up to date; nothing happens when they are. Several servers may do so at once.

        Raises:
            StorageUnavailableError: the database cannot be reached, or a newer release made its tables.
        """
        schema.migrate(self._database)

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or sooner (True) at a hint that a run may be claimed or cancelled."""
        return self._bell.wait(seconds)

    def close(self) -> None:
        """Let go of connections."""
        self._bell.close()
        self._database.close()
