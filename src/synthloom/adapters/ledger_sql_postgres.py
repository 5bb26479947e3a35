"""Connections to PostgreSQL on which nothing waits for ever, whatever is wrong at the other end.

The kernel notices a host that is gone (keepalives, `tcp_user_timeout`), the server one of ours that froze inside a
transaction (`idle_in_transaction_session_timeout`). That leaves an answer that never comes though the line is up: a
frozen server or proxy. Against it every statement has a deadline on this side.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from synthloom.adapters.ledger_common import dumps

PATIENCE = 8.0
"""Seconds that an answer may take; ours come within milliseconds."""
_PING_PATIENCE = 2.0

_SESSION = {
    "lock_timeout": "5s", "statement_timeout": "7s",
    # a client that froze or vanished inside a transaction gives up its locks, before those who wait for them give up
    "idle_in_transaction_session_timeout": "3s",
    "timezone": "UTC",
}
_CONNECT = {
    "connect_timeout": 5, "application_name": "synthloom",
    "tcp_user_timeout": 5000, "keepalives": 1, "keepalives_idle": 3, "keepalives_interval": 1, "keepalives_count": 3,
}


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose answers must come within `patience` seconds; it is closed when one does not."""

    patience: float = PATIENCE

    def wait(self, gen: Generator[Any, Any, Any], *given: Any, **named: Any) -> Any:
        """Wait as psycopg does, with the arguments that its versions have there, but not for ever.

        Raises:
            psycopg.OperationalError: nothing was heard in time.
        """
        try:
            return super().wait(_until(gen, time.monotonic() + self.patience), *given, **named)
        except _SilenceError:
            self.close()
            raise psycopg.OperationalError(f"the server did not answer within {self.patience:g} seconds") from None


class _SilenceError(Exception):
    pass


def make_postgres_engine(url: URL) -> tuple[Engine, Callable[[], PatientConnection]]:
    """An engine, and what makes a connection of its own outside of the engine's pool."""
    def connect() -> PatientConnection:
        given, named = engine.dialect.create_connect_args(url)
        options: dict[str, Any] = {name: value for name, value in _CONNECT.items() if name not in url.query}
        return PatientConnection.connect(*given, **(options | dict(named)))

    engine = sa.create_engine(
        url, creator=connect, json_serializer=dumps, hide_parameters=True, isolation_level="READ COMMITTED",
        pool_size=5, max_overflow=15, pool_timeout=PATIENCE, pool_use_lifo=True, pool_recycle=3600,
    )
    sa.event.listen(engine, "connect", _open)
    sa.event.listen(engine, "checkout", _ping)
    return engine, connect


def _until(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() > deadline:
                raise _SilenceError
            state = gen.send(ready)
    except StopIteration as end:
        return end.value


def _open(connection: PatientConnection, _record: object) -> None:
    # not among the options of the connection: poolers take none there
    named = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
    connection.execute(f"SELECT {named}")
    connection.commit()


def _ping(connection: PatientConnection, _record: object, _proxy: object) -> None:
    """An empty query before a pooled connection is used; without an answer, none of the pool's is used any more."""
    line, deadline = connection.pgconn, time.monotonic() + _PING_PATIENCE
    try:
        with selectors.DefaultSelector() as ready:
            ready.register(line.socket, selectors.EVENT_READ)
            line.send_query(b"")
            line.flush()
            while True:
                while line.is_busy():
                    left = deadline - time.monotonic()
                    if left <= 0 or not ready.select(left):
                        raise sa.exc.InvalidatePoolError
                    line.consume_input()
                if line.get_result() is None:
                    return
    except psycopg.OperationalError as error:
        raise sa.exc.InvalidatePoolError from error
