"""The tables: made by migrations, the same as the code's, refused when they are another release's."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.adapters.ledger_sql_schema import MIGRATIONS, VERSIONS
from synthloom.adapters.ledger_sql_tables import METADATA
from synthloom.domain.errors import StorageUnavailableError, UsageError


def engine(url):
    return sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)


def _plain(index):
    return sorted((name, str(value)) for name, value in index.get("dialect_options", {}).items())


def run_sql(url, *statements):
    with engine(url).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@pytest.fixture
def ledger(ledger_url):
    made = SqlLedger(ledger_url)
    yield made
    made.close()


def test_migrations_make_the_tables_that_the_code_uses(ledger_url):
    with engine(ledger_url).connect() as connection:
        defaults = connection.dialect.name != "sqlite"  # it has no identity columns to compare
        context = MigrationContext.configure(connection, opts={"compare_server_default": defaults})
        assert compare_metadata(context, METADATA) == []


def test_migrations_make_every_constraint_and_index(ledger_url, tmp_path, request):
    def names(url):
        look = sa.inspect(engine(url))
        return {
            table: (
                look.get_pk_constraint(table)["constrained_columns"],
                sorted((c["name"], str(c["sqltext"])) for c in look.get_check_constraints(table)),
                sorted((i["name"], tuple(i["column_names"]), _plain(i))
                       for i in look.get_indexes(table)),
                sorted((u["name"], tuple(u["column_names"])) for u in look.get_unique_constraints(table)),
                sorted((f["name"], str(f["options"])) for f in look.get_foreign_keys(table)),
            )
            for table in look.get_table_names() if table != "alembic_version"
        }

    if ledger_url.startswith("sqlite"):
        other = f"sqlite:///{tmp_path / 'other.db'}"
    else:
        other = request.getfixturevalue("postgres").new_database()
    METADATA.create_all(engine(other))
    assert names(ledger_url) == names(other)
    if not ledger_url.startswith("sqlite"):
        request.getfixturevalue("postgres").drop(other)


def test_the_versions_known_are_those_of_the_migrations():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == VERSIONS


def test_migrating_again_changes_nothing(ledger, ledger_url):
    ledger.note("a", "local", "run.create")
    ledger.migrate()
    assert len(ledger.audit("a")) == 1


def test_an_empty_database_says_that_it_must_be_migrated(tmp_path, postgres_database):
    for url in (f"sqlite:///{tmp_path / 'new.db'}", postgres_database):
        ledger = SqlLedger(url)
        with pytest.raises(StorageUnavailableError, match=r"holds no tables of Synthloom yet.*synthloom migrate"):
            ledger.counts()
        ledger.migrate()
        assert sum(ledger.counts().values()) == 0
        ledger.close()


def test_tables_of_a_newer_release_are_left_alone(ledger, ledger_url):
    run_sql(ledger_url, "UPDATE alembic_version SET version_num = '9999'")
    for act in (ledger.counts, ledger.migrate):
        with pytest.raises(StorageUnavailableError, match=r"newer release.*9999.*Install that release"):
            act()


def test_tables_of_an_older_release_say_which(ledger, ledger_url, monkeypatch):
    monkeypatch.setattr("synthloom.adapters.ledger_sql_schema.VERSIONS", (*VERSIONS, "0099"))
    with pytest.raises(StorageUnavailableError, match=f"version {VERSIONS[-1]}, and this release needs 0099"):
        ledger.counts()


def test_a_table_that_vanished_is_no_crash(ledger, ledger_url):
    ledger.counts()
    run_sql(ledger_url, "DROP TABLE audit_log")
    with pytest.raises(StorageUnavailableError, match="not those of this release"):
        ledger.audit("a")


def test_several_servers_may_migrate_at_once(tmp_path, postgres_database):
    for url in (f"sqlite:///{tmp_path / 'new.db'}", postgres_database):
        ledgers = [SqlLedger(url) for _ in range(4)]
        failures, start = [], threading.Barrier(4)

        def work(ledger, start=start, failures=failures):
            start.wait()
            try:
                ledger.migrate()
            except Exception as error:  # noqa: BLE001  # told by the assertion
                failures.append(error)

        threads = [threading.Thread(target=work, args=(ledger,)) for ledger in ledgers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert sum(ledgers[0].counts().values()) == 0
        for ledger in ledgers:
            ledger.close()


def test_a_new_sqlite_file_is_for_its_owner_only(tmp_path):
    SqlLedger(f"sqlite:///{tmp_path / 'runs.db'}").close()
    assert stat.S_IMODE((tmp_path / "runs.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(("url", "said"), [
    ("mysql://root@host/name", "no ledger for mysql"), ("sqlite://", "needs a path"), ("no address", "cannot be read"),
    ("sqlite:///:memory:", "needs a path"),
])
def test_another_kind_of_database_is_refused(url, said):
    with pytest.raises(UsageError, match=said):
        SqlLedger(url)


def test_a_folder_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(StorageUnavailableError, match="No such file or directory"):
        SqlLedger(f"sqlite:///{tmp_path / 'none' / 'runs.db'}")


def test_migrations_are_part_of_the_package():
    import synthloom.adapters.migrations.versions as package

    assert Path(package.__file__).parent == MIGRATIONS / "versions"
    assert all(path.stem.startswith(("v", "__init__")) for path in (MIGRATIONS / "versions").glob("*.py"))


def test_no_clock_is_read_but_the_databases():
    for path in MIGRATIONS.parent.glob("ledger_sql*.py"):
        source = path.read_text("utf-8")
        assert not any(clock in source for clock in ("datetime.now", "utcnow", "time.time(", ".today(")), path.name
