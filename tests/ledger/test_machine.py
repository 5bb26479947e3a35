"""A ledger under any order of calls: only legal changes, one live lease, final is final, numbers that grow.

A model beside it knows what must be. Leases run out because the clock is moved: in memory the clock is the test's, in
SQLite a lease of no length is over at once.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synthloom.adapters.ledger_memory import MemoryLedger
from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.domain.errors import ConflictError, LeaseLostError, UnknownNameError
from synthloom.domain.event import Notice, Progress
from synthloom.domain.records import NewRun, RunError, Settlement
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.testing._desk import artifact

Q, R, S, F, C = (
    RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED,
)
LEGAL = {Q: {Q, R, C}, R: {R, Q, S, F, C}, S: {S}, F: {F}, C: {C}}
AT = datetime(2026, 1, 1, tzinfo=UTC)
LONG = 1000.0
TENANTS = st.sampled_from(["a", "b"])


class LedgerMachine(RuleBasedStateMachine):
    """Doors and workers in any order."""

    def __init__(self):
        super().__init__()
        self.ledger = None
        self.datasets = {}
        self.seen = {}  # run_id → the record as last read
        self.live = {}  # run_id → the lease that may write
        self.dead = []  # leases that may not any more
        self.expired = set()  # runs whose lease is over
        self.numbers = {}  # run_id → last event number
        self.keys = {}
        self.deleted = set()

    def make(self):
        raise NotImplementedError

    @initialize()
    def open(self):
        self.ledger = self.make()
        for tenant in ("a", "b"):
            self.datasets[tenant] = self.ledger.add_dataset(
                tenant, sha256="0" * 64, key="k", filename="f", media_type="text/csv", size=1,
            ).dataset_id

    # doors

    @rule(tenant=TENANTS, priority=st.integers(-1, 1), deliveries=st.integers(1, 3), key=st.sampled_from([None, "x"]))
    def enqueue(self, tenant, priority, deliveries, key):
        new = NewRun(
            tenant=tenant, dataset_id=self.datasets[tenant], request=RunRequest(), priority=priority,
            max_deliveries=deliveries,
        )
        standing = self.keys.get((tenant, key)) if key else None
        if standing is None or standing[1] in self.deleted:
            run = self.ledger.enqueue(new, idempotency_key=key)
            assert run.status is Q
            assert run.run_id not in self.seen
            self.seen[run.run_id] = run
            if key:
                self.keys[tenant, key] = (new, run.run_id)
        elif standing[0] == new:
            assert self.ledger.enqueue(new, idempotency_key=key).run_id == standing[1]
        else:
            with pytest.raises(ConflictError):
                self.ledger.enqueue(new, idempotency_key=key)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def cancel(self, data):
        before = self.draw_run(data)
        after = self.ledger.request_cancel(before.tenant, before.run_id)
        if before.status is Q:
            assert after.status is C
        elif before.status is R:
            assert after.status is R
            assert after.cancel_requested_at is not None
        else:
            assert after == before

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def delete(self, data):
        before = self.draw_run(data)
        if not before.final:
            with pytest.raises(ConflictError):
                self.ledger.delete_run(before.tenant, before.run_id)
            return
        self.ledger.delete_run(before.tenant, before.run_id)
        with pytest.raises(UnknownNameError):
            self.ledger.run(before.tenant, before.run_id)
        self.deleted.add(before.run_id)
        del self.seen[before.run_id]

    # workers

    @rule(dies=st.booleans(), limit=st.sampled_from([None, 1]))
    def claim(self, dies, limit):
        runs = {run_id: self.read(run_id) for run_id in self.seen}
        held = [r.tenant for i, r in runs.items() if r.status is R and i not in self.expired]
        lost = {i for i, r in runs.items() if r.status is R and i in self.expired}
        free = {
            i for i, r in runs.items()
            if (r.status is Q or (i in lost and r.deliveries < r.max_deliveries and r.cancel_requested_at is None))
            and (limit is None or held.count(r.tenant) < limit)
        }
        claim = self.ledger.claim("w", 0.0 if dies else LONG, tenant_limit=limit)
        assert (claim is not None) == bool(free)
        if claim is not None:
            run = claim.run
            first = max(free, key=lambda i: (runs[i].priority, -list(self.seen).index(i)))
            assert run.run_id == first
            assert run.deliveries == runs[first].deliveries + 1 <= run.max_deliveries
            old = self.live.pop(first, None)
            tokens = [lease.token for lease in [*self.dead, *([old] if old else [])] if lease.run_id == first]
            assert claim.lease.token > max(tokens, default=0)
            self.live[first] = claim.lease
            self.dead += [old] if old else []
            self.expired -= {first}
            if dies:
                self.expired.add(first)
        for run_id in lost - free - ({claim.run.run_id} if claim else set()):
            before, now = runs[run_id], self.read(run_id)
            if before.cancel_requested_at is not None:
                assert now.status is C
            elif before.deliveries >= before.max_deliveries:
                assert now.status is F
                assert now.error.code == "worker_lost"
            if now.final:
                self.lose(run_id)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), alive=st.booleans())
    def heartbeat(self, data, alive):
        lease = self.draw_lease(data)
        beat = self.ledger.heartbeat(lease, LONG if alive else 0.0)
        self.expired = self.expired - {lease.run_id} if alive else self.expired | {lease.run_id}
        assert beat.lease.token == lease.token
        assert beat.cancel_requested == (self.read(lease.run_id).cancel_requested_at is not None)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), count=st.integers(0, 3))
    def append(self, data, count):
        lease = self.draw_lease(data)
        kinds = Notice(code="c", message="m"), Progress(step="fit", fraction=0.5)
        events = [(AT, kinds[k % 2]) for k in range(count)]
        before = self.numbers.get(lease.run_id, 0)
        assert self.ledger.append_events(lease, events) == before + count
        self.numbers[lease.run_id] = before + count

    @precondition(lambda self: self.live)
    @rule(data=st.data(), status=st.sampled_from([S, F, C]))
    def settle(self, data, status):
        lease = self.draw_lease(data)
        made = (artifact(lease.run_id),) if status is S else ()
        done = self.ledger.settle(lease, Settlement(status=status, artifacts=made))
        assert done.status is status
        assert self.ledger.artifacts(lease.tenant, lease.run_id) == made
        assert not [e for e in self.events(lease.run_id) if isinstance(e.event, Progress)]
        self.lose(lease.run_id)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), count=st.booleans())
    def release(self, data, count):
        lease = self.draw_lease(data)
        before = self.read(lease.run_id)
        after = self.ledger.release(lease, delay=0.0, error=RunError(code="x", what="y"), count=count)
        spent = before.deliveries - (not count) >= before.max_deliveries
        assert after.status is (C if before.cancel_requested_at else F if spent else Q)
        self.lose(lease.run_id)

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def write_too_late(self, data):
        lease = data.draw(st.sampled_from(self.dead))
        for write in (
            lambda: self.ledger.heartbeat(lease, LONG),
            lambda: self.ledger.append_events(lease, [(AT, Notice(code="late", message="late"))]),
            lambda: self.ledger.settle(lease, Settlement(status=S)),
            lambda: self.ledger.release(lease, delay=0.0),
        ):
            with pytest.raises(LeaseLostError):
                write()

    # what is always true

    @invariant()
    def every_change_is_legal(self):
        for run_id in list(self.seen):
            before, now = self.seen[run_id], self.read(run_id)
            assert now.status in LEGAL[before.status]
            assert now.version >= before.version
            assert (now == before) == (now.version == before.version)
            if before.final:
                assert now == before
            assert now.final == (now.finished_at is not None)
            assert (now.status is R) == (now.lease_until is not None) == (now.worker is not None)
            assert (now.status is R) == (run_id in self.live)
            assert now.deliveries <= now.max_deliveries
            self.seen[run_id] = now

    @invariant()
    def events_keep_their_numbers(self):
        for run_id in self.seen:
            numbers = [event.number for event in self.events(run_id)]
            assert numbers == sorted(set(numbers))
            assert max(numbers, default=0) <= self.numbers.get(run_id, 0)
            if not self.read(run_id).final:
                assert numbers == list(range(1, self.numbers.get(run_id, 0) + 1))

    @invariant()
    def counts_agree(self):
        if self.ledger is not None:
            states = [self.read(run_id).status for run_id in self.seen]
            assert dict(self.ledger.counts()) == {status: states.count(status) for status in RunStatus}

    # shorthands

    def draw_run(self, data):
        return self.read(data.draw(st.sampled_from(list(self.seen))))

    def draw_lease(self, data):
        return self.live[data.draw(st.sampled_from(list(self.live)))]

    def read(self, run_id):
        return self.ledger.run(self.seen[run_id].tenant, run_id)

    def events(self, run_id):
        return self.ledger.events(self.seen[run_id].tenant, run_id)

    def lose(self, run_id):
        self.dead.append(self.live.pop(run_id))
        self.expired -= {run_id}


class MemoryMachine(LedgerMachine):
    def make(self):
        self.time = AT
        return MemoryLedger(self.tick)

    def tick(self):
        self.time += timedelta(milliseconds=1)
        return self.time


class SqliteMachine(LedgerMachine):
    template = Path()

    def make(self):
        self.folder = tempfile.TemporaryDirectory()
        shutil.copyfile(self.template, Path(self.folder.name) / "runs.db")
        ledger = SqlLedger(f"sqlite:///{self.folder.name}/runs.db")
        sa.event.listen(ledger._database.engine, "connect", lambda line, _: line.execute("PRAGMA synchronous = OFF"))
        return ledger

    def teardown(self):
        if self.ledger is not None:
            self.ledger.close()
            self.folder.cleanup()


def _test(machine, examples, steps):
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestMemoryMachine = _test(MemoryMachine, 80, 40)
TestSqliteMachine = _test(SqliteMachine, 10, 25)


@pytest.fixture(autouse=True)
def _template(sqlite_template):
    SqliteMachine.template = sqlite_template
