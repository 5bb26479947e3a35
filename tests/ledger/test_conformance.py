"""Every ledger keeps every promise."""

from __future__ import annotations

import shutil

import psycopg
import pytest

from synthloom.adapters.ledger_memory import MemoryLedger
from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.adapters.ledger_sql_tables import METADATA
from synthloom.testing.check_ledger import LEDGER_CHECKS

every_check = pytest.mark.parametrize("check", LEDGER_CHECKS, ids=lambda check: check.name)


@every_check
def test_memory(check):
    check.run(MemoryLedger)


@every_check
def test_sqlite(check, sqlite_template, tmp_path):
    def fresh():
        shutil.copyfile(sqlite_template, tmp_path / "runs.db")
        return SqlLedger(f"sqlite:///{tmp_path / 'runs.db'}")

    check.run(fresh)


@pytest.fixture(scope="module")
def standing_database(postgres):
    url = postgres.new_database()
    ledger = SqlLedger(url)
    ledger.migrate()
    ledger.close()
    yield url
    postgres.drop(url)


@every_check
def test_postgres(check, standing_database):
    def emptied():
        with psycopg.connect(standing_database) as connection:
            connection.execute(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY CASCADE")
        return SqlLedger(standing_database)

    check.run(emptied)
