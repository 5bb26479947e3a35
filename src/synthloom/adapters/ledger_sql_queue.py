"""The queue in a database, as workers see it. Runs are few and long, so the table of runs is the queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from synthloom.adapters import ledger_common as common
from synthloom.adapters.ledger_sql_rows import (
    Row,
    all_rows,
    artifact_rows,
    dataset_record,
    first_row,
    lease_of,
    metric_rows,
    run_record,
    step_rows,
)
from synthloom.adapters.ledger_sql_runs import QUEUED, RUNNING, SqlRuns
from synthloom.adapters.ledger_sql_tables import datasets, metrics, run_artifacts, run_steps, runs
from synthloom.domain.event import Event
from synthloom.domain.records import Claim, Heartbeat, Lease, RunError, RunRecord, Settlement
from synthloom.domain.run import RunStatus

_CLAIMS = 7_305_917_442
"""Which advisory lock of PostgreSQL makes claims under a tenant limit take turns."""
_ORDER = (runs.c.priority.desc(), runs.c.seq)


class SqlQueue(SqlRuns):
    """The part of a `RunLedger` on a database that workers use."""

    def claim(self, worker: str, lease_seconds: float, *, tenant_limit: int | None = None) -> Claim | None:
        """The next run: highest priority, then oldest, of those that may be claimed."""
        length = timedelta(seconds=common.checked_seconds("a lease", lease_seconds))
        common.checked_name("worker", worker)

        def work(tx: Connection) -> Claim | None:
            if tenant_limit is not None and not self._database.is_sqlite:
                # two workers that count a tenant's runs at the same moment would both find room for one more
                tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_CLAIMS)))
            now, overdue = self._overdue(tx)
            room = _has_room(now, tenant_limit)
            lost = self._lost(tx, now, room) if overdue else None
            row = self._queued(tx, now, room, lost) or lost
            if row is None:
                return None
            row = self._change(
                tx, row, status=RunStatus.RUNNING, worker=worker, lease_until=now + length, step=None, progress=None,
                started_at=row["started_at"] or now, deliveries=row["deliveries"] + 1, token=row["token"] + 1,
            )
            asked = sa.select(datasets).where(datasets.c.dataset_id == row["dataset_id"])
            dataset = all_rows(tx.execute(asked))[0]
            return Claim(lease=lease_of(row), run=run_record(row), dataset=dataset_record(dataset))

        return self._database.write(work)

    def heartbeat(self, lease: Lease, lease_seconds: float) -> Heartbeat:
        """Extend a lease that is still its own, even where its time is over and nobody has claimed the run since."""
        length = timedelta(seconds=common.checked_seconds("a lease", lease_seconds))

        def work(tx: Connection) -> Heartbeat:
            row = self._leased(tx, lease)
            row = self._change(tx, row, lease_until=row["now"] + length)
            return Heartbeat(lease=lease_of(row), cancel_requested=row["cancel_requested_at"] is not None)

        return self._database.write(work)

    def append_events(self, lease: Lease, events: Sequence[tuple[datetime, Event]]) -> int:
        """Number and keep events; the last number. Progress moves the run's `step` and `progress`."""
        def work(tx: Connection) -> int:
            row = self._leased(tx, lease)
            made = step_rows(lease, row["deliveries"], row["last_event"], events)
            if not made:
                return int(row["last_event"])
            tx.execute(sa.insert(run_steps), made)
            change: dict[str, Any] = {"last_event": made[-1]["number"]}
            moved = common.where_it_is([event for _, event in events])
            if moved:
                change |= moved | {"step": common.shown(moved["step"]), "version": row["version"] + 1}
            tx.execute(sa.update(runs).where(runs.c.seq == row["seq"]).values(**change))
            return int(change["last_event"])

        return self._database.write(work)

    def settle(self, lease: Lease, settlement: Settlement) -> RunRecord:
        """End a run in one transaction: status, artifacts, metrics. Progress events are dropped."""
        said = {name: getattr(settlement, name) for name in ("outcome", "method", "backend", "model_key")}
        ending = {name: None if text is None else common.shown(text) for name, text in said.items()}
        ending["error"] = None if settlement.error is None else common.as_plain(settlement.error)
        parts = (
            (run_artifacts, artifact_rows(lease, settlement.artifacts)),
            (metrics, metric_rows(lease, settlement.measurements, settlement.verdicts)),
        )

        def work(tx: Connection) -> Row:
            row = self._leased(tx, lease)
            done = run_steps.c.run_id == lease.run_id, run_steps.c.type == "progress"
            tx.execute(sa.delete(run_steps).where(*done))
            for table, rows in parts:
                if rows:
                    tx.execute(sa.insert(table), rows)
            self._bell.announce(tx)
            return self._change(tx, row, **common.idle(settlement.status), finished_at=row["now"], **ending)

        return self._over(work)

    def release(self, lease: Lease, *, delay: float, error: RunError | None = None, count: bool = True) -> RunRecord:
        """Give a run back to the queue, to be claimed after `delay` seconds."""
        wait = timedelta(seconds=common.checked_seconds("a delay", delay))

        def work(tx: Connection) -> Row:
            row = self._leased(tx, lease)
            deliveries = row["deliveries"] - (not count)
            self._bell.announce(tx)
            if row["cancel_requested_at"] is not None:
                return self._end(tx, row, RunStatus.CANCELLED, deliveries=deliveries)
            if deliveries >= row["max_deliveries"]:
                why = common.as_plain(error or common.worker_lost(deliveries))
                return self._end(tx, row, RunStatus.FAILED, error=why)
            return self._change(
                tx, row, **common.idle(RunStatus.QUEUED), deliveries=deliveries, not_before=row["now"] + wait,
                step=None, progress=None,
            )

        return self._over(work)

    # inside

    def _over(self, work: Any) -> RunRecord:
        record = run_record(self._database.write(work))
        self._bell.ring()
        return record

    def _leased(self, tx: Connection, lease: Lease) -> Row:
        """The run of a lease, locked."""
        if not (common.keepable(lease.tenant) and common.keepable(lease.run_id)):
            raise common.lease_lost(lease)
        asked = sa.select(runs, self._database.clock().label("now")).where(
            runs.c.run_id == lease.run_id, runs.c.tenant == lease.tenant, runs.c.token == lease.token, RUNNING,
        )
        row = first_row(tx.execute(asked.with_for_update()))
        if row is None:
            raise common.lease_lost(lease)
        return row

    def _end(self, tx: Connection, row: Row, status: RunStatus, **more: Any) -> Row:
        return self._change(tx, row, **common.idle(status), finished_at=row["now"], **more)

    def _overdue(self, tx: Connection) -> tuple[datetime, bool]:
        """The time, and whether a lease is over."""
        clock = self._database.clock()
        over = sa.exists().where(RUNNING, runs.c.lease_until <= clock)
        now, overdue = tx.execute(sa.select(clock, over)).one()
        return now, bool(overdue)

    def _lost(self, tx: Connection, now: datetime, room: sa.ColumnElement[bool]) -> Row | None:
        """End lost runs that may not be begun again; the first of the others, locked."""
        lost = sa.select(runs, sa.literal(now, type_=runs.c.lease_until.type).label("now")).where(
            RUNNING, runs.c.lease_until <= now,
        )
        cancelled = runs.c.cancel_requested_at.is_not(None)
        spent = runs.c.deliveries >= runs.c.max_deliveries
        for row in all_rows(tx.execute(lost.where(cancelled | spent).with_for_update(skip_locked=True))):
            if row["cancel_requested_at"] is not None:
                self._end(tx, row, RunStatus.CANCELLED)
            else:
                why = common.as_plain(common.worker_lost(row["deliveries"]))
                self._end(tx, row, RunStatus.FAILED, error=why)
        free = lost.where(~cancelled, ~spent, room).order_by(*_ORDER).limit(1)
        return first_row(tx.execute(free.with_for_update(skip_locked=True)))

    def _queued(
        self, tx: Connection, now: datetime, room: sa.ColumnElement[bool], lost: Row | None
    ) -> Row | None:
        """The first queued run that comes before `lost`, locked."""
        asked = sa.select(runs).where(QUEUED, runs.c.not_before <= now, room)
        if lost is not None:
            priority, seq = lost["priority"], lost["seq"]
            asked = asked.where(
                (runs.c.priority > priority) | ((runs.c.priority == priority) & (runs.c.seq < seq))
            )
        asked = asked.order_by(*_ORDER).limit(1).with_for_update(skip_locked=True)
        return first_row(tx.execute(asked))


def _has_room(now: datetime, tenant_limit: int | None) -> sa.ColumnElement[bool]:
    """Whether a run's tenant has fewer than so many running; a run whose lease is over is nobody's."""
    if tenant_limit is None:
        return sa.true()
    other = runs.alias("other")
    held = sa.select(other.c.tenant).where(
        other.c.status == sa.literal_column("'running'"), other.c.lease_until > now,
    )
    full = held.group_by(other.c.tenant).having(sa.func.count() >= tenant_limit)
    return runs.c.tenant.not_in(full)
