"""Several processes on one database, as in production."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.domain.errors import LeaseLostError, StorageUnavailableError
from synthloom.domain.records import Lease
from synthloom.domain.run import RunStatus
from synthloom.testing._desk import Desk, success

WORKER = """
import json, sys, time
from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.domain.records import Settlement
url, name, limit = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
ledger = SqlLedger(url)
print("ready", flush=True)
sys.stdin.readline()
idle = 0
while idle < 3:
    claim = ledger.claim(name, 30, tenant_limit=limit)
    if claim is None:
        idle += 1
        ledger.wait(0.1)
        continue
    idle = 0
    print(claim.run.run_id, flush=True)
    time.sleep(0.02)
    ledger.settle(claim.lease, Settlement(status="succeeded"))
ledger.close()
"""
HOLDER = """
import sys, time
from synthloom.adapters.ledger_sql import SqlLedger
ledger = SqlLedger(sys.argv[1])
print(ledger.claim("holder", 1).lease.model_dump_json(), flush=True)
time.sleep(600)
"""

FREEZER = """
import os, signal, sys
import sqlalchemy as sa
from synthloom.adapters.ledger_sql import SqlLedger
ledger = SqlLedger(sys.argv[1])
ledger.counts()
def freeze(connection):
    print("frozen", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
if sys.argv[2] == "heartbeat":
    lease = ledger.claim("freezer", 3, tenant_limit=1).lease
sa.event.listen(ledger._database.engine, "commit", freeze)  # all is written and locked, and not committed
if sys.argv[2] == "heartbeat":
    ledger.heartbeat(lease, 3)
ledger.claim("freezer", 3, tenant_limit=1)
"""


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )


@pytest.fixture
def desk(ledger_url):
    ledger = SqlLedger(ledger_url)
    yield Desk(ledger)
    ledger.close()


def test_two_processes_share_a_queue_and_give_each_run_once(desk, ledger_url):
    data = {tenant: desk.dataset(tenant) for tenant in ("a", "b")}
    made = {desk.queue(tenant, data[tenant]).run_id for _ in range(20) for tenant in ("a", "b")}
    workers = [start(WORKER, ledger_url, f"worker-{limit}", json.dumps(limit)) for limit in (1, None)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    given = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert collections.Counter(given[0] + given[1]) == dict.fromkeys(made, 1)
    assert desk.ledger.counts()[RunStatus.SUCCEEDED] == len(made)
    assert min(len(mine) for mine in given) > 0


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_frozen_holder_loses_its_run_and_can_write_no_more(desk, ledger_url, signal_number):
    run = desk.queue()
    holder = start(HOLDER, ledger_url)
    try:
        lease = Lease.model_validate_json(holder.stdout.readline())
        holder.send_signal(signal_number)
        begun = time.monotonic()
        claim = None
        while claim is None:
            assert time.monotonic() - begun < 6
            claim = desk.ledger.claim("other", 30)
            time.sleep(0.05)
        assert claim.run.run_id == run.run_id
        assert claim.run.deliveries == 2
        with pytest.raises(LeaseLostError):
            desk.ledger.settle(lease, success(run.run_id))
        assert desk.ledger.settle(claim.lease, success(run.run_id)).final
    finally:
        holder.kill()
        holder.communicate()


def claim_patiently(ledger, seconds):
    """The next run, and how long it took, by asking as an idle worker does."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        with contextlib.suppress(StorageUnavailableError):
            claim = ledger.claim("rescuer", 30, tenant_limit=1)
            if claim is not None:
                return claim, time.monotonic() - begun
        time.sleep(0.1)
    raise AssertionError(f"nobody got the run within {seconds} s")


@pytest.mark.parametrize("point", ["claim", "heartbeat"])
def test_a_process_frozen_with_its_locks_holds_nobody_up_on_postgres(postgres_database, point):
    ledger = SqlLedger(postgres_database)
    ledger.migrate()
    run = Desk(ledger).queue()
    freezer = start(FREEZER, postgres_database, point)
    try:
        assert freezer.stdout.readline() == "frozen\n"
        claim, seconds = claim_patiently(ledger, 30)
        assert claim.run.run_id == run.run_id
        assert seconds < 3 + 5, "lease + 5 s"
        assert claim.run.deliveries == (1 if point == "claim" else 2), "what was not committed does not count"
    finally:
        freezer.kill()
        freezer.communicate()
        ledger.close()


def test_a_process_frozen_inside_a_transaction_of_sqlite_lets_readers_in_and_writers_once_it_is_gone(sqlite_url):
    ledger = SqlLedger(sqlite_url)
    run = Desk(ledger).queue()
    freezer = start(FREEZER, sqlite_url, "claim")
    try:
        assert freezer.stdout.readline() == "frozen\n"
        assert ledger.run(run.tenant, run.run_id) == run, "readers see what was committed"
        threading.Timer(1, freezer.kill).start()
        claim, seconds = claim_patiently(ledger, 20)
        assert claim.run.run_id == run.run_id
        assert 0.9 < seconds < 8
    finally:
        freezer.kill()
        freezer.communicate()
        ledger.close()
