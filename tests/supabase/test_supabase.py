"""`supabase/` under Supabase's roles: a tenant sees its rows only, anon nothing, the server everything."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.testing._desk import Desk, stamped, success
from synthloom.testing.check_ledger import LEDGER_CHECKS

ROOT = Path(__file__).parents[2]
MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
ALICE, BOB = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
SEEN = ("datasets", "runs", "run_steps", "metrics", "run_artifacts")
HIDDEN = ("api_keys", "audit_log", "alembic_version")


def as_role(url, role):
    return url.replace("postgres@", f"{role}@")


def project(postgres):
    """A new database like that of a Supabase project."""
    url = postgres.new_database()
    with psycopg.connect(url) as connection:
        connection.execute((Path(__file__).with_name("supabase.sql")).read_text("utf-8"))
    return url


def migrate(url, *, times=1):
    with psycopg.connect(as_role(url, "dashboard")) as connection:
        for path in MIGRATIONS:
            for _ in range(1 if "_synthloom_0" in path.name else times):
                connection.execute(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def database(postgres):
    """Migrated, with a run of Alice and one of Bob; every policy file has been run twice."""
    url = project(postgres)
    migrate(url, times=2)
    with psycopg.connect(url) as connection:
        connection.execute("ALTER ROLE synthloom_server LOGIN")
    ledger = SqlLedger(as_role(url, "synthloom_server"))
    ledger.migrate()  # as a server does when it starts; there is nothing to do, and nothing that this role could do
    desk = Desk(ledger)
    for tenant in (ALICE, BOB):
        claim = desk.running(tenant)
        ledger.append_events(claim.lease, [stamped("one")])
        ledger.settle(claim.lease, success(claim.run.run_id, "synthetic.csv"))
        ledger.add_key(tenant, name="k", digest=tenant[0] * 64, prefix="syn_", scopes=[], expires_at=None)
        ledger.note(tenant, "local", "run.create")
    ledger.close()
    with psycopg.connect(url) as connection:
        for table, bucket in (("datasets", "datasets"), ("run_artifacts", "artifacts")):
            connection.execute(f"INSERT INTO storage.objects (bucket_id, name) SELECT '{bucket}', key FROM {table}")
    yield url
    postgres.drop(url)


def ask(url, role, statement, user=None, claims=None):
    """What a role gets for a statement, with the claims of its token."""
    with psycopg.connect(as_role(url, "authenticator")) as connection:
        said = {"role": role, **({"sub": user} if user else {}), **(claims or {})}
        connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [json.dumps(said)])
        connection.execute(f"SET LOCAL ROLE {role}")
        cursor = connection.execute(statement)
        found = cursor.fetchall() if cursor.description else cursor.rowcount
        connection.rollback()
        return found


@pytest.mark.parametrize("table", SEEN)
@pytest.mark.parametrize("user", [ALICE, BOB])
def test_a_tenant_sees_its_own_rows_only(database, table, user):
    found = ask(database, "authenticated", f"SELECT DISTINCT tenant FROM {table}", user)
    assert found == [(user,)]


@pytest.mark.parametrize("table", SEEN)
def test_a_token_without_a_user_or_of_another_sees_nothing(database, table):
    assert ask(database, "authenticated", f"SELECT * FROM {table}") == []
    assert ask(database, "authenticated", f"SELECT * FROM {table}", "33333333-3333-4333-8333-333333333333") == []


@pytest.mark.parametrize("table", SEEN)
@pytest.mark.parametrize("statement", [
    "DELETE FROM {}", "UPDATE {} SET tenant = 'x'", "TRUNCATE {} CASCADE", "INSERT INTO {} DEFAULT VALUES",
])
def test_a_tenant_writes_nothing(database, table, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(database, "authenticated", statement.format(table), ALICE)


@pytest.mark.parametrize("table", [*SEEN, *HIDDEN])
def test_anon_sees_nothing_at_all(database, table):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(database, "anon", f"SELECT 1 FROM {table}", ALICE)
    assert ask(database, "anon", "SELECT * FROM storage.objects", ALICE) == []


@pytest.mark.parametrize("table", HIDDEN)
def test_keys_and_the_audit_log_are_the_servers(database, table):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(database, "authenticated", f"SELECT 1 FROM {table}", ALICE)


@pytest.mark.parametrize("table", [*SEEN, "api_keys", "audit_log"])
@pytest.mark.parametrize("role", ["service_role", "synthloom_server", "dashboard"])
def test_the_server_sees_and_does_everything(database, table, role):
    if role == "service_role":
        assert len(ask(database, role, f"SELECT DISTINCT tenant FROM {table}")) == 2
        assert ask(database, role, f"DELETE FROM {table}") >= 2
    else:
        with psycopg.connect(as_role(database, role)) as connection:
            assert connection.execute(f"SELECT count(DISTINCT tenant) FROM {table}").fetchone() == (2,)
            assert connection.execute(f"DELETE FROM {table}").rowcount >= 2
            connection.rollback()


def test_the_servers_role_can_do_nothing_elsewhere(database):
    with psycopg.connect(as_role(database, "synthloom_server")) as connection:
        for statement in ("SELECT 1 FROM storage.objects", "CREATE TABLE mine (n int)", "DROP TABLE runs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()


def test_files_are_read_by_the_tenant_whose_rows_point_to_them(database):
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO storage.objects (bucket_id, name) VALUES ('artifacts', 'not/pointed-to.csv')")
        own = {
            user: set(connection.execute(
                f"SELECT 'datasets', key FROM datasets WHERE tenant = '{user}' UNION ALL"
                f" SELECT 'artifacts', key FROM run_artifacts WHERE tenant = '{user}'"
            ).fetchall())
            for user in (ALICE, BOB)
        }
    for user in (ALICE, BOB):
        assert set(ask(database, "authenticated", "SELECT bucket_id, name FROM storage.objects", user)) == own[user]
        assert len(own[user]) == 2
    for statement in (
        "UPDATE storage.objects SET name = 'mine'", "DELETE FROM storage.objects",
    ):
        assert ask(database, "authenticated", statement, ALICE) == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(database, "authenticated", "INSERT INTO storage.objects (bucket_id, name) VALUES ('artifacts', 'x')", ALICE)


def test_buckets_are_private(database):
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT id, public FROM storage.buckets ORDER BY id").fetchall()
    assert found == [("artifacts", False), ("datasets", False)]


def test_another_claim_can_name_the_tenant(postgres):
    url = project(postgres)
    migrate(url)
    with psycopg.connect(as_role(url, "dashboard")) as connection:
        said = MIGRATIONS[1].read_text("utf-8").split("--     ")[2].splitlines()[0]
        assert "app_metadata" in said
        connection.execute(f"CREATE OR REPLACE FUNCTION public.synthloom_tenant() RETURNS text LANGUAGE sql STABLE"
                           f" SET search_path = '' AS $$ {said} $$")
    ledger = SqlLedger(as_role(url, "dashboard"))
    for tenant in ("team-1", "team-2"):
        Desk(ledger).queue(tenant)
    ledger.close()
    claims = {"app_metadata": {"tenant": "team-1"}, "user_metadata": {"tenant": "team-2"}}
    assert ask(url, "authenticated", "SELECT tenant FROM runs", BOB, claims) == [("team-1",)]
    assert ask(url, "authenticated", "SELECT tenant FROM runs", BOB) == []
    postgres.drop(url)


def test_tables_made_by_the_server_itself_are_hidden_until_policies_come(postgres):
    url = project(postgres)
    ledger = SqlLedger(as_role(url, "dashboard"))
    ledger.migrate()
    Desk(ledger).queue(ALICE)
    ledger.close()
    for role in ("anon", "authenticated"):
        for table in SEEN:
            assert ask(url, role, f"SELECT 1 FROM {table}", ALICE) == []
    with psycopg.connect(as_role(url, "dashboard")) as connection:
        for path in MIGRATIONS[1:]:
            connection.execute(path.read_text("utf-8"))
    assert ask(url, "authenticated", "SELECT tenant FROM runs", ALICE) == [(ALICE,)]
    postgres.drop(url)


@pytest.mark.parametrize("check", [c for c in LEDGER_CHECKS if c.name in (
    "keeps_idempotency_keys_at_once", "forgets_datasets", "keeps_the_tenant_limit", "settles", "keeps_keys",
)], ids=lambda check: check.name)
def test_the_ledger_works_as_the_servers_role(postgres, database, check):
    def fresh():
        empty = project(postgres)
        made.append(empty)
        migrate(empty)
        return SqlLedger(as_role(empty, "synthloom_server"))

    made = []
    check.run(fresh)
    for url in made:
        postgres.drop(url)


def test_the_files_and_alembic_make_the_same_tables(postgres, database, postgres_database):
    ledger = SqlLedger(postgres_database)
    ledger.migrate()
    ledger.close()
    assert tables(database) == tables(postgres_database)


def tables(url):
    """Everything about the tables but who may see them."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        def rows(statement):
            return [tuple(row) for row in connection.execute(sa.text(statement))]

        return {
            "columns": rows(
                "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default,"
                " is_identity, identity_generation FROM information_schema.columns WHERE table_schema = 'public'"
                " ORDER BY table_name, ordinal_position"
            ),
            "constraints": rows(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
            ),
            "indexes": rows("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
            "version": rows("SELECT version_num FROM alembic_version"),
        }


def test_the_generated_files_are_those_of_the_migrations():
    spec = importlib.util.spec_from_file_location("supabase_generate", ROOT / "supabase" / "generate.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert {path: path.read_text("utf-8") for path in generator.wanted()} == generator.wanted()
