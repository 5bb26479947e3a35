"""How a ledger reaches its database: one engine, transactions that are tried again where that is safe, plain errors.

How each kind is opened stands in `ledger_sql_sqlite` and `ledger_sql_postgres`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url

from synthloom.adapters.ledger_sql_sqlite import WRITES, Flusher, make_sqlite_engine, noticing_changes
from synthloom.adapters.ledger_sql_tables import UtcTime
from synthloom.domain.errors import MissingDependencyError, StorageUnavailableError, UsageError

T = TypeVar("T")

_TRIES = 6
"""How often a transaction is begun that the database broke off to resolve a deadlock."""
_MIGRATE = "Make a backup, then run `synthloom migrate`."

_SQLITE_WAIT = 10.0
"""Seconds that a writer waits for another process's transaction."""


class Database:
    """A database of runs.

    Args:
        url: `sqlite:///path` or `postgresql://user:password@host/name`.

    Raises:
        UsageError: the address is of no such database. MissingDependencyError: its driver is not installed.
        StorageUnavailableError: the file of a SQLite database cannot be made.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self.name = _shown(self.url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._turn = threading.Lock()
        self._flusher = Flusher(str(self.url.database))
        self._checks: list[Callable[[Connection], None]] = []
        self._checked = False
        self._connect: Callable[[], Any]
        self.engine = self._sqlite() if self.is_sqlite else self._postgres()

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, run in one transaction; once more where the database broke it off for a deadlock.

        Raises:
            StorageUnavailableError: the database cannot be reached, is full, or does not answer in time.
        """
        if not self.is_sqlite:
            return self._transact(work, self.engine)

        def watched(tx: Connection) -> tuple[T, list[bool]]:
            with noticing_changes(tx) as changed:
                return work(tx), changed

        with self._turn:  # threads take turns here; SQLite itself lets them wait by sleeping, in no order
            found, changed = self._transact(watched, self.engine.execution_options(**{WRITES: True}))
        if any(changed):
            self._flush()
        return found

    def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, run in one transaction that changes nothing. Raises as `write` does."""
        return self._transact(work, self.engine)

    def write_until_found(self, work: Callable[[Connection], T | None]) -> T:
        """What `work` returns once it is not None; for rows that somebody may delete between two statements."""
        for _ in range(_TRIES):
            found = self.write(work)
            if found is not None:
                return found
        raise self._unavailable("a row came and went again and again.")

    def check_first(self, check: Callable[[Connection], None]) -> None:
        """Let `check` look at the database before anything else is done with it, until it has passed once."""
        self._checks.append(check)

    def passed(self) -> None:
        """What `check_first` looks for is there."""
        self._checked = True

    def now(self, tx: Connection) -> datetime:
        """The database's time."""
        found: datetime = tx.execute(sa.select(self.clock())).scalar_one()
        return found

    def clock(self) -> sa.ColumnElement[datetime]:
        """The database's time as it is when a statement comes to it, in SQL."""
        if self.is_sqlite:
            milliseconds = sa.func.strftime("%Y-%m-%d %H:%M:%f", "now", type_=sa.Text)
            return sa.type_coerce(milliseconds.concat("000"), UtcTime)
        return sa.type_coerce(sa.func.clock_timestamp(), UtcTime)

    def insert_unless_there(self, table: sa.Table, *columns: str) -> Any:
        """An INSERT that does nothing where a row has the same `columns`; its rowcount tells which."""
        made = sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)
        quiet = made.on_conflict_do_nothing(index_elements=list(columns)).inline()
        return quiet.execution_options(preserve_rowcount=True)

    def connect_raw(self) -> Any:
        """A driver's connection of its own, outside of the pool, in autocommit."""
        if self.is_sqlite:
            return sqlite3.connect(str(self.url.database), timeout=_SQLITE_WAIT, isolation_level=None)
        connection = self._connect()
        connection.autocommit = True
        return connection

    def close(self) -> None:
        """Let go of connections."""
        self.engine.dispose()

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turn what a driver raises because a database is out of reach into StorageUnavailableError."""
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise self._unavailable("all connections are busy.") from error
        except sa.exc.DBAPIError as error:
            plain = self._plain(error)
            if plain is None:
                raise
            raise plain from error

    # inside

    def _transact(self, work: Callable[[Connection], T], engine: Engine) -> T:
        for number in range(1, _TRIES + 1):
            try:
                with self.plain_errors(), engine.begin() as tx:
                    self._check(tx)
                    return work(tx)
            except sa.exc.DBAPIError as error:
                # serialization_failure, deadlock_detected: PostgreSQL has undone all of it
                if number == _TRIES or _sqlstate(error) not in ("40001", "40P01"):
                    raise
                time.sleep(0.01 * 2**number)
        raise AssertionError

    def _flush(self) -> None:
        try:
            self._flusher.flush()
        except OSError as error:
            raise self._unavailable(f"what was written may not last: {error.strerror}.") from error

    def _check(self, tx: Connection) -> None:
        if not self._checked:
            for check in self._checks:
                check(tx)
            self._checked = True

    def _sqlite(self) -> Engine:
        try:
            return make_sqlite_engine(self.url, _SQLITE_WAIT)
        except OSError as error:
            raise self._unavailable(f"the file cannot be opened: {error.strerror}.") from error

    def _postgres(self) -> Engine:
        from synthloom.adapters.ledger_sql_postgres import make_postgres_engine

        engine, self._connect = make_postgres_engine(self.url)
        return engine

    def _plain(self, error: sa.exc.DBAPIError) -> StorageUnavailableError | None:
        if self.is_sqlite:
            return self._plain_sqlite(error.orig)
        state = _sqlstate(error)
        if state in ("53100", "53200"):
            what = "disk" if state == "53100" else "memory"
            return self._unavailable(f"the database server's {what} is full.", do=f"Free {what} on it; then try again.")
        if state in ("42P01", "42703"):
            return self._unavailable("its tables are not those of this release.", do=_MIGRATE)
        passing = state is None or state[:2] in ("08", "53", "57", "28", "3D") or state in (
            "55P03", "25P02", "25P03", "25P04", "25006",
        )
        if not passing or not isinstance(error.orig, self._reachable()):
            return None
        return self._unavailable(f"{_first_line(error.orig)}.")

    def _reachable(self) -> tuple[type[BaseException], ...]:
        driver = self.engine.dialect.dbapi
        return (driver.OperationalError, driver.InterfaceError, driver.InternalError) if driver else ()

    def _plain_sqlite(self, error: BaseException | None) -> StorageUnavailableError | None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return self._unavailable("the disk is full; nothing was changed.", do="Free disk space; then try again.")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return self._unavailable(f"another process has held it for {_SQLITE_WAIT:g} seconds.")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return self._unavailable("the file is damaged or no database.", do="Put a backup in its place.")
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return self._unavailable(f"{_first_line(error)}.", do="See that the disk and its folder can be written.")
        if "no such table" in str(error) or "no such column" in str(error):
            return self._unavailable("its tables are not those of this release.", do=_MIGRATE)
        return None

    def _unavailable(self, what: str, do: str = "See that it runs and can be reached; then try again.") -> (
        StorageUnavailableError
    ):
        return StorageUnavailableError(what, where=f"database {self.name}", do=do)


def _checked(url: str) -> URL:
    do = "Use postgresql://user:password@host/name or sqlite:///path/to/file.db."
    try:
        made = make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError("the database's address cannot be read.", where="SYNTHLOOM_DATABASE_URL", do=do) from None
    backend = made.drivername.partition("+")[0]
    if backend in ("postgres", "postgresql"):
        if find_spec("psycopg") is None:
            raise MissingDependencyError(
                "PostgreSQL needs the package psycopg.", do='Install it: pip install "synthloom[postgres]"',
            )
        return made.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UsageError(f"there is no ledger for {backend} databases.", where="SYNTHLOOM_DATABASE_URL", do=do)
    if made.database in (None, "", ":memory:") or str(made.database).startswith("file:"):
        raise UsageError("a SQLite database needs a path.", where="SYNTHLOOM_DATABASE_URL", do=do)
    return made.set(drivername="sqlite")


def _shown(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.database} at {url.host or 'the local socket'}"


def _sqlstate(error: sa.exc.DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
