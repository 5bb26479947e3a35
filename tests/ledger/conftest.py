"""Databases that are migrated already."""

from __future__ import annotations

import shutil

import pytest

from synthloom.adapters.ledger_sql import SqlLedger


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """The file of an empty ledger, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "runs.db"
    ledger = SqlLedger(f"sqlite:///{path}")
    ledger.migrate()
    ledger.close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    """Address of an empty ledger in SQLite."""
    shutil.copyfile(sqlite_template, tmp_path / "runs.db")
    return f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request):
    """Address of an empty ledger, in each of the databases."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url")
    url = request.getfixturevalue("postgres_database")
    ledger = SqlLedger(url)
    ledger.migrate()
    ledger.close()
    return url
