"""The version of a database's tables: brought up to date by Alembic, and looked at before anything else is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from synthloom.adapters.ledger_sql_engine import Database
from synthloom.domain.errors import StorageUnavailableError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = ("0001",)
"""Every version there has been, oldest first; the last one is this release's."""

_LOCK = 7_305_917_441
"""Which advisory lock of PostgreSQL keeps two servers from migrating at the same time."""
_LONGEST = 3600.0
"""Seconds that a migration may take, waiting for another server's included."""
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))


def migrate(database: Database) -> None:
    """Bring the tables up to date, in one transaction; nothing happens when they are.

    Raises:
        StorageUnavailableError: the database cannot be reached, or a newer release made its tables.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")

    def work(tx: Connection) -> None:
        if not database.is_sqlite:
            tx.execute(sa.text("SET LOCAL statement_timeout = 0"))
            tx.execute(sa.text("SET LOCAL lock_timeout = 0"))
            cast(Any, tx.connection.dbapi_connection).patience = _LONGEST
            tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        found = _found(tx)
        if found is not None and found not in VERSIONS:
            raise _newer(database, found)
        if found != VERSIONS[-1]:
            config.attributes["connection"] = tx
            command.upgrade(config, "head")

    database.passed()  # what is to be looked for is made here
    try:
        database.write(work)
    finally:
        database.close()  # no connection that patient is used again


def check_version(database: Database, tx: Connection) -> None:
    """See that the tables are this release's.

    Raises:
        StorageUnavailableError: there are none, or an older or newer release made them.
    """
    found = _found(tx)
    if found == VERSIONS[-1]:
        return
    where = f"database {database.name}"
    if found is None:
        raise StorageUnavailableError("it holds no tables of Synthloom yet.", where=where, do=_DO)
    if found in VERSIONS:
        raise StorageUnavailableError(
            f"its tables are of version {found}, and this release needs {VERSIONS[-1]}.", where=where, do=_DO,
        )
    raise _newer(database, found)


_DO = "Make a backup, then run `synthloom migrate`."


def _newer(database: Database, found: str) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"a newer release made its tables (version {found}); this one knows them up to {VERSIONS[-1]}.",
        where=f"database {database.name}", do="Install that release, or put back the backup from before its migration.",
    )


def _found(tx: Connection) -> str | None:
    if not sa.inspect(tx).has_table("alembic_version"):
        return None
    return tx.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()
