"""With ten thousand queued runs, what is asked often finds its rows by an index and sorts nothing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.adapters.ledger_sql_tables import runs
from synthloom.domain.run import RunStatus
from synthloom.testing._desk import Desk

ROWS = 10_000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def full(request, tmp_path_factory):
    """A ledger with many runs of ten tenants, and the statements it sends, with their parameters."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('many') / 'runs.db'}"
    else:
        url = request.getfixturevalue("postgres").new_database()
    ledger = SqlLedger(url)
    ledger.migrate()
    database = ledger._database
    desk = Desk(ledger)
    for tenant in range(10):
        desk.queue(f"tenant-{tenant}")
    copied = ", ".join(c.name for c in runs.c if c.name not in ("seq", "run_id"))
    fresh = "lower(hex(randomblob(16)))" if database.is_sqlite else "md5(n::text)"
    database.write(lambda tx: tx.execute(sa.text(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})"
        f" INSERT INTO runs (run_id, {copied}) SELECT {fresh}, {copied} FROM numbers"
        " JOIN (SELECT *, row_number() OVER (ORDER BY seq) AS place FROM runs) AS one ON place = 1 + n % 10"
    )))
    database.write(lambda tx: tx.execute(sa.text("ANALYZE")))
    sent = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *given: sent.append(given[2:4]))
    yield ledger, sent
    ledger.close()
    if request.param == "postgres":
        request.getfixturevalue("postgres").drop(url)


def plans(ledger, sent, act):
    """How the database would go about each reading statement that `act` sends."""
    sent.clear()
    act()
    asked = [(said, given) for said, given in sent if said.startswith("SELECT") and "runs" in said]
    assert asked
    explain = "EXPLAIN QUERY PLAN " if ledger._database.is_sqlite else "EXPLAIN "

    def work(tx):
        return ["\n".join(str(row) for row in tx.exec_driver_sql(explain + said, given)) for said, given in asked]

    return ledger._database.read(work)


@pytest.mark.parametrize(("index", "act"), [
    ("runs_queue_idx", lambda ledger: ledger.claim("w", 30)),
    ("runs_queue_idx", lambda ledger: ledger.claim("w", 30, tenant_limit=3)),
    ("runs_tenant_seq_idx", lambda ledger: ledger.runs("tenant-3")),
    ("runs_tenant_status_seq_idx", lambda ledger: ledger.runs("tenant-3", status=RunStatus.QUEUED)),
], ids=["claim", "claim with a limit", "list", "list by status"])
def test_an_index_serves(full, index, act):
    ledger, sent = full
    found = plans(ledger, sent, lambda: act(ledger))
    assert any(index in plan for plan in found), found
    for plan in found:
        assert "TEMP B-TREE FOR ORDER" not in plan
        assert "Sort" not in plan or "rows=1 " in plan, plan
        assert "SCAN runs\n" not in f"{plan}\n"
        assert "Seq Scan on runs" not in plan, plan
