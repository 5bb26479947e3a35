"""Datasets and runs in a database, as doors see them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from synthloom.adapters import ledger_common as common
from synthloom.adapters.ledger_sql_bell import Bell
from synthloom.adapters.ledger_sql_engine import Database
from synthloom.adapters.ledger_sql_rows import (
    Row,
    all_rows,
    artifact,
    dataset_record,
    first_row,
    new_run_row,
    run_record,
    stamped_event,
)
from synthloom.adapters.ledger_sql_tables import datasets, run_artifacts, run_steps, runs
from synthloom.domain.artifact import Artifact
from synthloom.domain.records import DatasetRecord, NewRun, Page, RunRecord, StampedEvent
from synthloom.domain.run import RunStatus

QUEUED = runs.c.status == sa.literal_column("'queued'")
"""Written out, not bound: only so does PostgreSQL see that the partial index serves."""
RUNNING = runs.c.status == sa.literal_column("'running'")
_LARGEST = 2**63 - 1
_MOST_ASKED = 1000
"""Keys named in one statement; databases take some thousands."""

_BEGUN_BY_NOBODY: dict[str, Any] = {
    "status": RunStatus.QUEUED, "deliveries": 0, "started_at": None, "finished_at": None, "cancel_requested_at": None,
    "worker": None, "lease_until": None, "step": None, "progress": None, "outcome": None, "method": None,
    "backend": None, "model_key": None, "error": None, "version": 0, "token": 0, "last_event": 0,
}

_Lock = Literal["change", "keep"] | None
"""Whether a row is locked to change it, or so that nobody deletes it."""


def _locking(asked: sa.Select[Any], lock: _Lock) -> sa.Select[Any]:
    if lock is None:
        return asked
    return asked.with_for_update(read=lock == "keep", key_share=lock == "keep")


class SqlRuns:
    """The part of a `RunLedger` on a database that doors use."""

    _database: Database
    _bell: Bell

    # datasets

    def add_dataset(
        self, tenant: str, *, sha256: str, key: str, filename: str, media_type: str, size: int,
        rows: int | None = None, columns: int | None = None,
    ) -> DatasetRecord:
        """Keep a dataset that is stored already; the record that stands when the tenant has the same bytes."""
        common.checked_name("tenant", tenant)
        same = sa.select(datasets).where(datasets.c.tenant == tenant, datasets.c.sha256 == sha256)

        def work(tx: Connection) -> DatasetRecord | None:
            row = {
                "dataset_id": secrets.token_hex(16), "tenant": tenant, "sha256": sha256, "key": key,
                "filename": common.shown(filename), "media_type": common.shown(media_type), "size": size,
                "rows": rows, "columns": columns, "created_at": self._database.now(tx),
            }
            made = tx.execute(self._database.insert_unless_there(datasets, "tenant", "sha256"), row)
            if made.rowcount == 1:
                return dataset_record(row)
            standing = first_row(tx.execute(same))
            return None if standing is None else dataset_record(standing)

        return self._database.write_until_found(work)

    def dataset(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """One dataset."""
        return dataset_record(self._database.read(lambda tx: self._dataset(tx, tenant, dataset_id)))

    def datasets(self, tenant: str, *, limit: int = 100, after: str | None = None) -> tuple[DatasetRecord, ...]:
        """Datasets, newest first, those older than the dataset `after`."""
        common.checked_limit(limit)

        def work(tx: Connection) -> tuple[DatasetRecord, ...]:
            below = _LARGEST if after is None else self._dataset(tx, tenant, after)["seq"]
            asked = sa.select(datasets).where(datasets.c.tenant == common.shown(tenant), datasets.c.seq < below)
            return tuple(map(dataset_record, all_rows(tx.execute(asked.order_by(datasets.c.seq.desc()).limit(limit)))))

        return self._database.read(work)

    def delete_dataset(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """Forget a dataset; ConflictError while a run of it is queued or running. Finished runs stay."""
        def work(tx: Connection) -> DatasetRecord:
            row = self._dataset(tx, tenant, dataset_id, lock="change")
            needed = sa.select(runs.c.seq).where(runs.c.dataset_id == dataset_id, sa.or_(QUEUED, RUNNING)).limit(1)
            if tx.execute(needed).first() is not None:
                raise common.dataset_in_use(dataset_id)
            tx.execute(sa.delete(datasets).where(datasets.c.seq == row["seq"]))
            return dataset_record(row)

        return self._database.write(work)

    # runs

    def enqueue(self, new: NewRun, *, idempotency_key: str | None = None) -> RunRecord:
        """A new queued run; with a key that the tenant has used before, the run made then."""
        common.checked_name("tenant", new.tenant)
        if idempotency_key is not None:
            common.checked_name("idempotency key", idempotency_key)
        row = new_run_row(new) | _BEGUN_BY_NOBODY
        row |= {
            "run_id": secrets.token_hex(16), "idempotency_key": idempotency_key,
            "request_hash": common.request_hash(new),
        }

        def work(tx: Connection) -> RunRecord | None:
            made_then = self._made_then(tx, row)
            if made_then is not None:
                return made_then
            # held until the commit, so that the dataset is not deleted meanwhile
            self._dataset(tx, new.tenant, new.dataset_id, lock="keep")
            now = self._database.now(tx)
            times = {"created_at": now, "not_before": now}
            insert = self._database.insert_unless_there(runs, "tenant", "idempotency_key")
            if tx.execute(insert, row | times).rowcount != 1:
                return self._made_then(tx, row)
            self._bell.announce(tx)
            return run_record(row | times)

        record = self._database.write_until_found(work)
        self._bell.ring()
        return record

    def run(self, tenant: str, run_id: str) -> RunRecord:
        """One run."""
        return run_record(self._database.read(lambda tx: self._run(tx, tenant, run_id)))

    def runs(
        self, tenant: str, *, status: RunStatus | None = None, dataset_id: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Runs, newest first; UsageError for a cursor that this ledger did not make."""
        common.checked_limit(limit)
        listing = (tenant, status, dataset_id)
        asked = sa.select(runs).where(runs.c.tenant == common.shown(tenant))
        if status is not None:
            asked = asked.where(runs.c.status == status)
        if dataset_id is not None:
            asked = asked.where(runs.c.dataset_id == common.shown(dataset_id))
        if cursor is not None:
            asked = asked.where(runs.c.seq < common.read_cursor(listing, cursor))
        asked = asked.order_by(runs.c.seq.desc()).limit(limit + 1)
        found = self._database.read(lambda tx: all_rows(tx.execute(asked)))
        more = common.make_cursor(listing, found[limit - 1]["seq"]) if len(found) > limit else None
        return Page(runs=tuple(run_record(row) for row in found[:limit]), next=more)

    def request_cancel(self, tenant: str, run_id: str) -> RunRecord:
        """A queued run is cancelled at once, a running one gets `cancel_requested_at`, a final one stays as it is."""
        def work(tx: Connection) -> Row:
            row = self._run(tx, tenant, run_id, lock="change")
            now = row["now"]
            if row["status"] == RunStatus.QUEUED:
                return self._change(
                    tx, row, **common.idle(RunStatus.CANCELLED), cancel_requested_at=now, finished_at=now,
                )
            if row["status"] == RunStatus.RUNNING and row["cancel_requested_at"] is None:
                self._bell.announce(tx)
                return self._change(tx, row, cancel_requested_at=now)
            return row

        record = run_record(self._database.write(work))
        self._bell.ring()
        return record

    def delete_run(self, tenant: str, run_id: str) -> tuple[Artifact, ...]:
        """Forget a final run and all that hangs on it; what stood in the store. ConflictError while it is not final."""
        def work(tx: Connection) -> tuple[Artifact, ...]:
            row = self._run(tx, tenant, run_id, lock="change")
            record = run_record(row)
            if not record.final:
                raise common.not_final(record)
            left = self._artifacts(tx, run_id)
            tx.execute(sa.delete(runs).where(runs.c.seq == row["seq"]))
            return left

        return self._database.write(work)

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        """Events numbered above `after`, in order."""
        common.checked_limit(limit)

        def work(tx: Connection) -> tuple[StampedEvent, ...]:
            self._run(tx, tenant, run_id)
            asked = sa.select(run_steps).where(run_steps.c.run_id == run_id, run_steps.c.number > after)
            return tuple(map(stamped_event, all_rows(tx.execute(asked.order_by(run_steps.c.number).limit(limit)))))

        return self._database.read(work)

    def artifacts(self, tenant: str, run_id: str) -> tuple[Artifact, ...]:
        """What a settled run points to."""
        def work(tx: Connection) -> tuple[Artifact, ...]:
            self._run(tx, tenant, run_id)
            return self._artifacts(tx, run_id)

        return self._database.read(work)

    def find_model(self, tenant: str, model_key: str) -> RunRecord | None:
        """The newest run of the tenant that succeeded under this key and still has a model."""
        model = sa.exists().where(run_artifacts.c.run_id == runs.c.run_id, run_artifacts.c.name == common.MODEL_NAME)
        asked = sa.select(runs).where(
            runs.c.tenant == common.shown(tenant), runs.c.model_key == common.shown(model_key),
            runs.c.status == RunStatus.SUCCEEDED, model,
        )
        asked = asked.order_by(runs.c.seq.desc()).limit(1)
        row = self._database.read(lambda tx: first_row(tx.execute(asked)))
        return None if row is None else run_record(row)

    def counts(self) -> Mapping[RunStatus, int]:
        """Runs by status over all tenants, for metrics."""
        asked = sa.select(runs.c.status, sa.func.count()).group_by(runs.c.status)
        found: dict[str, int] = dict(self._database.read(lambda tx: [(row[0], row[1]) for row in tx.execute(asked)]))
        return {status: found.get(status.value, 0) for status in RunStatus}

    def oldest_wait(self) -> float:
        """Seconds the oldest run that may be claimed has waited; 0 when none waits."""
        now = self._database.clock()
        queued = sa.select(sa.func.min(runs.c.not_before)).where(QUEUED, runs.c.not_before <= now)
        lost = sa.select(sa.func.min(runs.c.lease_until)).where(
            RUNNING, runs.c.lease_until <= now, runs.c.deliveries < runs.c.max_deliveries,
            runs.c.cancel_requested_at.is_(None),
        )
        asked = sa.select(now, queued.scalar_subquery(), lost.scalar_subquery())
        read, *since = self._database.read(lambda tx: tx.execute(asked).one())
        waits: list[float] = [(read - time).total_seconds() for time in since if isinstance(time, datetime)]
        return max([0.0, *waits])

    def pointed_to(self, keys: Sequence[str]) -> frozenset[str]:
        """Of these keys, those that something points to, and those of runs that are not final yet."""
        keepable = [key for key in keys if common.shown(key) == key]  # others cannot stand in a row

        def work(tx: Connection) -> frozenset[str]:
            kept: set[str] = set()
            for start in range(0, len(keepable), _MOST_ASKED):
                asked = keepable[start : start + _MOST_ASKED]
                run_ids = {key.partition("/")[0] for key in asked}
                going = sa.select(runs.c.run_id).where(runs.c.run_id.in_(run_ids), sa.or_(QUEUED, RUNNING))
                unfinished = set(tx.execute(going).scalars())
                kept.update(key for key in asked if key.partition("/")[0] in unfinished)
                # after the runs: what ends meanwhile is seen with what it points to
                for column in (datasets.c.key, run_artifacts.c.key):
                    kept.update(tx.execute(sa.select(column).where(column.in_(asked))).scalars())
            return frozenset(kept)

        return self._database.read(work)

    # inside

    def _dataset(self, tx: Connection, tenant: str, dataset_id: str, lock: _Lock = None) -> Row:
        if not (common.keepable(tenant) and common.keepable(dataset_id)):
            raise common.no_such("dataset", dataset_id)
        asked = sa.select(datasets).where(datasets.c.tenant == tenant, datasets.c.dataset_id == dataset_id)
        row = first_row(tx.execute(_locking(asked, lock)))
        if row is None:
            raise common.no_such("dataset", dataset_id)
        return row

    def _run(self, tx: Connection, tenant: str, run_id: str, lock: _Lock = None) -> Row:
        if not (common.keepable(tenant) and common.keepable(run_id)):
            raise common.no_such("run", run_id)
        now = self._database.clock().label("now")
        asked = sa.select(runs, now).where(runs.c.tenant == tenant, runs.c.run_id == run_id)
        row = first_row(tx.execute(_locking(asked, lock)))
        if row is None:
            raise common.no_such("run", run_id)
        return row

    def _change(self, tx: Connection, row: Row, **values: Any) -> Row:
        """Change a run whose row is locked; the row as it is then."""
        change = values | {"version": row["version"] + 1}
        tx.execute(sa.update(runs).where(runs.c.seq == row["seq"]).values(**change))
        return row | change

    def _made_then(self, tx: Connection, row: Row) -> RunRecord | None:
        if row["idempotency_key"] is None:
            return None
        asked = sa.select(runs).where(
            runs.c.tenant == row["tenant"], runs.c.idempotency_key == row["idempotency_key"],
        )
        standing = first_row(tx.execute(asked))
        if standing is None:
            return None
        if standing["request_hash"] != row["request_hash"]:
            raise common.key_taken()
        return run_record(standing)

    def _artifacts(self, tx: Connection, run_id: str) -> tuple[Artifact, ...]:
        asked = sa.select(run_artifacts).where(run_artifacts.c.run_id == run_id).order_by(run_artifacts.c.position)
        return tuple(map(artifact, all_rows(tx.execute(asked))))
