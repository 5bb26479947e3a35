"""Hints that a run may be claimed or cancelled. They only make things quicker: whoever polls misses nothing.

PostgreSQL tells by NOTIFY on a connection of its own. SQLite has no such thing: its change counter, which costs
microseconds to read, is looked at twenty times a second, so that other processes are heard too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from synthloom.adapters.ledger_sql_engine import Database

CHANNEL = "synthloom_runs"

_LOG = logging.getLogger("synthloom.ledger")
_LOOK_SECONDS = 0.05
_REST_SECONDS = 1.0
_DOUBT_SECONDS = 5.0
_WORK = (
    "SELECT EXISTS (SELECT 1 FROM runs WHERE status = 'queued' AND not_before <= strftime('%Y-%m-%d %H:%M:%f', 'now'))"
    " OR EXISTS (SELECT 1 FROM runs WHERE status = 'running' AND cancel_requested_at IS NOT NULL)"
)


class Bell:
    """Rings when there may be work; heard by as many threads as wait.

    The thread that listens begins with the first wait.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rung = threading.Condition()
        self._times = 0
        self._heard = threading.local()
        self._stop = threading.Event()
        self._listener: threading.Thread | None = None

    def announce(self, tx: sa.Connection) -> None:
        """Let others hear of this transaction once it is committed."""
        if not self._database.is_sqlite:
            tx.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))

    def ring(self) -> None:
        """Wake who waits in this process."""
        with self._rung:
            self._times += 1
            self._rung.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether it rang since this thread's last wait, or within so many seconds."""
        with self._rung:
            if self._listener is None and not self._stop.is_set():
                self._listener = threading.Thread(target=self._listen, name="synthloom-ledger-bell", daemon=True)
                self._listener.start()
            heard = getattr(self._heard, "times", 0)
            rang = self._rung.wait_for(
                lambda: self._times != heard or self._stop.is_set(), timeout=max(0.0, seconds)
            )
            self._heard.times = self._times
            return rang and not self._stop.is_set()

    def close(self) -> None:
        """Stop listening; whoever waits goes on."""
        self._stop.set()
        with self._rung:
            self._rung.notify_all()
            listener = self._listener
        if listener is not None:
            listener.join(timeout=5)

    def _listen(self) -> None:
        source = self._look if self._database.is_sqlite else self._hear
        told = False
        while not self._stop.is_set():
            try:
                with closing(self._database.connect_raw()) as connection:
                    self.ring()  # whatever was missed meanwhile
                    for _ in source(connection):
                        told = False
                        self.ring()
            except self._driver_error() as error:
                if not told:
                    _LOG.warning("no hints from database %s (%s); polling goes on", self._database.name,
                                 type(error).__name__)
                    told = True
                self._stop.wait(_REST_SECONDS)

    def _driver_error(self) -> type[Exception]:
        driver: Any = self._database.engine.dialect.dbapi
        error: type[Exception] = driver.Error
        return error

    def _hear(self, connection: Any) -> Iterator[None]:
        connection.execute(f"LISTEN {CHANNEL}")
        asked = time.monotonic()
        while not self._stop.is_set():
            for _ in connection.notifies(timeout=5 * _LOOK_SECONDS):
                yield
            if time.monotonic() - asked > _DOUBT_SECONDS:  # silence may mean that nobody is there
                connection.execute("SELECT 1")
                asked = time.monotonic()

    def _look(self, connection: Any) -> Iterator[None]:
        seen = None
        while not self._stop.wait(_LOOK_SECONDS):
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version != seen:
                seen = version
                if connection.execute(_WORK).fetchone()[0]:
                    yield
