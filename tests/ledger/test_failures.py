"""What a ledger does when its database is full, busy, restarted, silent or gone."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.adapters.ledger_sql_postgres import PatientConnection
from synthloom.domain.errors import StorageUnavailableError
from synthloom.domain.run import RunStatus
from synthloom.testing._desk import Desk, stamped, success

LIMIT = 10.0
"""Seconds within which everything must work again."""


@pytest.fixture
def desk(ledger_url):
    ledger = SqlLedger(ledger_url)
    yield Desk(ledger)
    ledger.close()


@pytest.fixture
def postgres_desk(postgres_database):
    ledger = SqlLedger(postgres_database)
    ledger.migrate()
    yield Desk(ledger)
    ledger.close()


def until_it_works(act):
    """What `act` returns, with the errors that came before."""
    errors, end = [], time.monotonic() + LIMIT
    while True:
        try:
            return act(), errors
        except StorageUnavailableError as error:
            errors.append(error)
            assert time.monotonic() < end, errors
            time.sleep(0.1)


def test_a_full_disk_is_said_and_leaves_the_database_whole(sqlite_url):
    ledger = SqlLedger(sqlite_url)
    desk = Desk(ledger)
    claim = desk.running()
    room = ["20"]

    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count = {room[0]}")  # SQLite's own way to find no room

    sa.event.listen(ledger._database.engine, "connect", limit)
    ledger._database.engine.dispose()

    def fill():
        for _ in range(1000):
            ledger.append_events(claim.lease, [stamped("x" * 1000)] * 20)

    with pytest.raises(StorageUnavailableError, match=r"runs\.db: the disk is full; nothing was changed\. Free disk"):
        fill()
    kept = ledger.events("tenant-a", claim.run.run_id, limit=100_000)
    assert [e.number for e in kept] == list(range(1, len(kept) + 1))
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    room[0] = "100000"
    ledger._database.engine.dispose()
    assert ledger.settle(claim.lease, success(claim.run.run_id)).status is RunStatus.SUCCEEDED
    ledger.close()


def test_commits_reach_the_disk_together_and_before_anybody_hears_of_them(sqlite_url):
    ledger = SqlLedger(sqlite_url)
    flusher, syncs = ledger._database._flusher, []
    sync, commits = flusher._sync, []

    def slow():
        syncs.append(len(commits))
        time.sleep(0.05)
        sync()

    flusher._sync = slow
    heard = []

    def work(number):
        ledger.note("a", "local", f"act.{number}")
        heard.append(len(syncs))

    sa.event.listen(ledger._database.engine, "commit", lambda _: commits.append(1))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.audit("a")) == 16
    assert min(heard) >= 1
    assert 1 <= len(syncs) < 16
    before = len(syncs)
    assert ledger.claim("worker", 30) is None  # nothing to write, nothing to sync
    assert len(syncs) == before
    ledger.close()


def test_a_damaged_file_is_said(sqlite_url):
    path = sqlite_url.removeprefix("sqlite:///")
    with open(path, "r+b") as file:
        file.write(b"no database" * 100)
    ledger = SqlLedger(sqlite_url)
    with pytest.raises(StorageUnavailableError, match="damaged or no database"):
        ledger.counts()
    ledger.close()


def test_a_writer_of_another_process_that_hangs_is_waited_for_and_said(sqlite_url, monkeypatch):
    monkeypatch.setattr("synthloom.adapters.ledger_sql_engine._SQLITE_WAIT", 0.3)
    ledger = SqlLedger(sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert sum(ledger.counts().values()) == 0  # readers are never held up
        with pytest.raises(StorageUnavailableError, match="another process has held it"):
            ledger.note("a", "local", "run.create")
        other.execute("ROLLBACK")
    ledger.note("a", "local", "run.create")
    ledger.close()


def test_many_threads_write_at_once(desk):
    data = desk.dataset()

    def work():
        for _ in range(3):
            desk.queue(dataset=data)

    threads = [threading.Thread(target=work) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desk.ledger.counts()[RunStatus.QUEUED] == 72


def test_errors_never_show_a_password_or_a_parameter(desk, ledger_url):
    ledger = SqlLedger("postgresql://somebody:open-sesame@127.0.0.1:1/name")
    with pytest.raises(StorageUnavailableError, match="database name at") as caught:
        ledger.counts()
    assert "open-sesame" not in caught.value.text()
    ledger.close()
    with pytest.raises(sa.exc.DBAPIError) as crash:  # a defect of ours, which goes to a log
        desk.ledger._database.read(lambda tx: tx.execute(sa.text("SELECT :cell FROM ("), {"cell": "open-sesame"}))
    assert "open-sesame" not in str(crash.value)


def test_a_restarted_database_is_found_again(postgres, postgres_desk):
    desk = postgres_desk
    claim = desk.running()
    desk.ledger.wait(0)
    _hold_several(desk.ledger)
    postgres.crash()
    with pytest.raises(StorageUnavailableError, match="See that it runs"):
        desk.ledger.counts()
    postgres.start()
    beat, _ = until_it_works(lambda: desk.ledger.heartbeat(claim.lease, 30))
    assert beat.lease.token == claim.lease.token
    assert desk.ledger.settle(claim.lease, success(claim.run.run_id)).status is RunStatus.SUCCEEDED
    _hears_again(desk)


def test_a_connection_that_the_server_ends_costs_nothing(postgres, postgres_database, postgres_desk):
    desk = postgres_desk
    run = desk.queue()
    name = postgres_database.rpartition("/")[2]
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert desk.now(run) == run


def test_connections_that_are_dead_at_the_other_end_are_left(postgres_database, postgres_desk):
    with Road(int(postgres_database.rpartition(":")[2].split("/")[0])) as road:
        ledger = SqlLedger(road.url(postgres_database))
        desk = Desk(ledger)
        claim = desk.running()
        _hold_several(ledger)
        road.swallow()
        begun = time.monotonic()
        beat, _ = until_it_works(lambda: ledger.heartbeat(claim.lease, 30))
        assert beat.lease.token == claim.lease.token
        assert time.monotonic() - begun < LIMIT
        ledger.close()


def test_an_answer_that_never_comes_is_not_waited_for(postgres_database, postgres_desk, monkeypatch):
    assert PatientConnection.patience < LIMIT
    monkeypatch.setattr(PatientConnection, "patience", 1.5)
    with Road(int(postgres_database.rpartition(":")[2].split("/")[0])) as road:
        ledger = SqlLedger(road.url(postgres_database))
        ledger.counts()

        def work(tx):
            road.swallow()
            tx.execute(sa.text("SELECT 1"))

        begun = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=r"did not answer within 1\.5 seconds"):
            ledger._database.read(work)
        assert time.monotonic() - begun < 5
        assert sum(ledger.counts().values()) == 0
        ledger.close()


def test_a_client_that_froze_inside_a_transaction_gives_way(postgres_database, postgres_desk):
    desk = postgres_desk
    claim = desk.running()
    with psycopg.connect(postgres_database) as frozen:
        frozen.execute("SET idle_in_transaction_session_timeout = '1s'")  # ours: three
        frozen.execute("SELECT 1 FROM runs FOR UPDATE")
        begun = time.monotonic()
        assert desk.ledger.heartbeat(claim.lease, 30).lease.token == claim.lease.token
        assert time.monotonic() - begun < 4
        frozen.close()


def test_every_session_has_its_timeouts(postgres_desk):
    def work(tx):
        return [tx.execute(sa.text(f"SHOW {name}")).scalar_one() for name in (
            "idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout", "transaction_isolation",
        )]

    assert postgres_desk.ledger._database.read(work) == ["3s", "5s", "7s", "read committed"]


def test_a_deadlock_is_resolved_by_trying_again(postgres_desk):
    desk = postgres_desk
    runs = [desk.queue().run_id, desk.queue().run_id]
    first_locks, tries = threading.Barrier(2, timeout=5), []
    lock = sa.text("UPDATE runs SET name = name || 'x' WHERE run_id = :run")

    def cross(order):
        def work(tx):
            tries.append(order)
            tx.execute(lock, {"run": order[0]})
            if len(tries) <= 2:
                first_locks.wait()
            tx.execute(lock, {"run": order[1]})

        desk.ledger._database.write(work)

    threads = [threading.Thread(target=cross, args=(order,)) for order in (runs, runs[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tries) == 3
    assert [desk.ledger.run("tenant-a", run).name for run in runs] == ["xx", "xx"]


def test_waiting_hears_what_another_ledger_does(desk, ledger_url):
    _hears_again(desk)
    other = SqlLedger(ledger_url)
    elsewhere = Desk(other)
    for act in (elsewhere.queue, lambda: other.request_cancel("tenant-a", desk.take().run.run_id)):
        while desk.ledger.wait(0.3):
            pass
        timer = threading.Timer(0.1, act)
        begun = time.monotonic()
        timer.start()
        assert desk.ledger.wait(8)
        assert time.monotonic() - begun < 4
        timer.join()
    other.close()


def test_closing_wakes_who_waits(desk):
    desk.ledger.wait(0)
    threading.Timer(0.1, desk.ledger.close).start()
    begun = time.monotonic()
    desk.ledger.wait(0.05)
    assert desk.ledger.wait(30) is False
    assert time.monotonic() - begun < 10


def _hold_several(ledger):
    """Let a ledger have several connections that will be stale."""
    together = threading.Barrier(3)
    threads = [
        threading.Thread(target=ledger._database.read, args=(lambda _tx: together.wait(),)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _hears_again(desk):
    """Until its bell rings for a run queued by itself."""
    end = time.monotonic() + LIMIT
    while not desk.ledger.wait(0.5):
        desk.queue()
        assert time.monotonic() < end


class Road:
    """A relay to a port on loopback that can swallow all that its travellers say, while it lets new ones through."""

    def __init__(self, port):
        self._port = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self._ends = []
        self._swallowed = set()
        self._thread = threading.Thread(target=self._let_in, daemon=True)

    def url(self, url):
        return url.replace(f":{self._port}/", f":{self._door.getsockname()[1]}/")

    def swallow(self):
        self._swallowed |= set(self._ends)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for end in self._ends:
            end.close()

    def _let_in(self):
        while True:
            try:
                inside, _ = self._door.accept()
            except OSError:
                return
            outside = socket.create_connection(("127.0.0.1", self._port))
            self._ends += [inside, outside]
            for pair in ((inside, outside), (outside, inside)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, target):
        try:
            while data := source.recv(65536):
                if source not in self._swallowed:
                    target.sendall(data)
            if source not in self._swallowed:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            return
