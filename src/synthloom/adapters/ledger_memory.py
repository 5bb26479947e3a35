"""A ledger in memory: for tests, notebooks and one-shot use. It forgets everything with the process."""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from synthloom.adapters import ledger_common as common
from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import ConflictError
from synthloom.domain.event import Event, Progress
from synthloom.domain.measurement import Measurement, Verdict
from synthloom.domain.records import (
    ApiKey,
    AuditEntry,
    Claim,
    DatasetRecord,
    Heartbeat,
    Lease,
    NewRun,
    Page,
    RunError,
    RunRecord,
    Settlement,
    StampedEvent,
)
from synthloom.domain.run import RunStatus


def _host_time() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Run:
    number: int
    record: RunRecord
    request_hash: str
    key: str | None
    token: int = 0
    last_event: int = 0
    events: list[StampedEvent] = field(default_factory=list)
    artifacts: tuple[Artifact, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    def change(self, **fields: Any) -> RunRecord:
        self.record = self.record.model_copy(update=fields | {"version": self.record.version + 1})
        return self.record

    def end(self, status: RunStatus, now: datetime, **fields: Any) -> RunRecord:
        return self.change(**common.idle(status), finished_at=now, **fields)

    @property
    def rank(self) -> tuple[int, int]:
        return -self.record.priority, self.number


class MemoryLedger:
    """A `RunLedger` and `AccessBook` that threads of one process share.

    Args:
        clock: What time it is, with a time zone.
    """

    def __init__(self, clock: Callable[[], datetime] = _host_time) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._hints = 0
        self._seen = threading.local()
        self._count = 0
        self._datasets: dict[str, DatasetRecord] = {}
        self._runs: dict[str, _Run] = {}
        self._keys: dict[str, tuple[str, ApiKey]] = {}
        self._audit: list[AuditEntry] = []

    # datasets

    def add_dataset(
        self, tenant: str, *, sha256: str, key: str, filename: str, media_type: str, size: int,
        rows: int | None = None, columns: int | None = None,
    ) -> DatasetRecord:
        """Keep a dataset that is stored already; the record that stands when the tenant has the same bytes."""
        common.checked_name("tenant", tenant)
        with self._changed:
            for standing in self._datasets.values():
                if standing.tenant == tenant and standing.sha256 == sha256:
                    return standing
            record = DatasetRecord(
                dataset_id=secrets.token_hex(16), tenant=tenant, sha256=sha256, key=key,
                filename=common.shown(filename), media_type=common.shown(media_type), size=size, rows=rows,
                columns=columns, created_at=self._clock(),
            )
            self._datasets[record.dataset_id] = record
            return record

    def dataset(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """One dataset."""
        with self._changed:
            record = self._datasets.get(dataset_id)
            if record is None or record.tenant != tenant:
                raise common.no_such("dataset", dataset_id)
            return record

    def datasets(self, tenant: str, *, limit: int = 100, after: str | None = None) -> tuple[DatasetRecord, ...]:
        """Datasets, newest first, those older than the dataset `after`."""
        common.checked_limit(limit)
        with self._changed:
            own = [d for d in reversed(self._datasets.values()) if d.tenant == tenant]
            start = 0 if after is None else own.index(self.dataset(tenant, after)) + 1
            return tuple(own[start : start + limit])

    def delete_dataset(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """Forget a dataset; ConflictError while a run of it is queued or running. Finished runs stay."""
        with self._changed:
            self.dataset(tenant, dataset_id)
            if any(r.record.dataset_id == dataset_id and not r.record.final for r in self._runs.values()):
                raise common.dataset_in_use(dataset_id)
            return self._datasets.pop(dataset_id)

    # runs, as doors see them

    def enqueue(self, new: NewRun, *, idempotency_key: str | None = None) -> RunRecord:
        """A new queued run; with a key that the tenant has used before, the run made then."""
        common.checked_name("tenant", new.tenant)
        asked = common.request_hash(new)
        with self._changed:
            if idempotency_key is not None:
                common.checked_name("idempotency key", idempotency_key)
                for run in self._runs.values():
                    if (run.record.tenant, run.key) == (new.tenant, idempotency_key):
                        if run.request_hash != asked:
                            raise common.key_taken()
                        return run.record
            self.dataset(new.tenant, new.dataset_id)
            now = self._clock()
            fields = {name: getattr(new, name) for name in NewRun.model_fields}
            record = RunRecord(
                **fields | {"name": common.shown(new.name), "request": new.request.model_copy(deep=True)},
                run_id=secrets.token_hex(16), created_at=now, not_before=now,
            )
            self._runs[record.run_id] = _Run(self._next_number(), record, asked, idempotency_key)
            self._ring()
            return record

    def run(self, tenant: str, run_id: str) -> RunRecord:
        """One run."""
        with self._changed:
            return self._run(tenant, run_id).record

    def runs(
        self, tenant: str, *, status: RunStatus | None = None, dataset_id: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Runs, newest first; UsageError for a cursor that this ledger did not make."""
        common.checked_limit(limit)
        listing = (tenant, status, dataset_id)
        below = None if cursor is None else common.read_cursor(listing, cursor)
        with self._changed:
            found = [
                run for run in reversed(self._runs.values())
                if run.record.tenant == tenant and status in (None, run.record.status)
                and dataset_id in (None, run.record.dataset_id) and (below is None or run.number < below)
            ]
            more = common.make_cursor(listing, found[limit - 1].number) if len(found) > limit else None
            return Page(runs=tuple(run.record for run in found[:limit]), next=more)

    def request_cancel(self, tenant: str, run_id: str) -> RunRecord:
        """A queued run is cancelled at once, a running one gets `cancel_requested_at`, a final one stays as it is."""
        with self._changed:
            run, now = self._run(tenant, run_id), self._clock()
            if run.record.status is RunStatus.QUEUED:
                run.end(RunStatus.CANCELLED, now, cancel_requested_at=now)
            elif run.record.status is RunStatus.RUNNING and run.record.cancel_requested_at is None:
                run.change(cancel_requested_at=now)
                self._ring()
            return run.record

    def delete_run(self, tenant: str, run_id: str) -> tuple[Artifact, ...]:
        """Forget a final run and all that hangs on it; what stood in the store. ConflictError while it is not final."""
        with self._changed:
            run = self._run(tenant, run_id)
            if not run.record.final:
                raise common.not_final(run.record)
            return self._runs.pop(run_id).artifacts

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        """Events numbered above `after`, in order."""
        common.checked_limit(limit)
        with self._changed:
            return tuple([e for e in self._run(tenant, run_id).events if e.number > after][:limit])

    def artifacts(self, tenant: str, run_id: str) -> tuple[Artifact, ...]:
        """What a settled run points to."""
        with self._changed:
            return self._run(tenant, run_id).artifacts

    def find_model(self, tenant: str, model_key: str) -> RunRecord | None:
        """The newest run of the tenant that succeeded under this key and still has a model."""
        with self._changed:
            for run in reversed(self._runs.values()):
                record = run.record
                same = record.tenant == tenant and record.model_key == model_key
                if same and record.status is RunStatus.SUCCEEDED and common.has_model(run.artifacts):
                    return record
            return None

    def counts(self) -> Mapping[RunStatus, int]:
        """Runs by status over all tenants, for metrics."""
        with self._changed:
            states = [run.record.status for run in self._runs.values()]
            return {status: states.count(status) for status in RunStatus}

    def oldest_wait(self) -> float:
        """Seconds the oldest run that may be claimed has waited; 0 when none waits."""
        with self._changed:
            now = self._clock()
            since = [self._free_since(run, now) for run in self._runs.values()]
            return max([0.0, *((now - s).total_seconds() for s in since if s is not None)])

    def pointed_to(self, keys: Sequence[str]) -> frozenset[str]:
        """Of these keys, those that something points to, and those of runs that are not final yet."""
        with self._changed:
            kept = {dataset.key for dataset in self._datasets.values()}
            kept |= {artifact.key for run in self._runs.values() for artifact in run.artifacts}
            unfinished = {run_id for run_id, run in self._runs.items() if not run.record.final}
        return frozenset(key for key in keys if key in kept or key.partition("/")[0] in unfinished)

    # the queue, as workers see it

    def claim(self, worker: str, lease_seconds: float, *, tenant_limit: int | None = None) -> Claim | None:
        """The next run: highest priority, then oldest, of those that may be claimed."""
        length = timedelta(seconds=common.checked_seconds("a lease", lease_seconds))
        common.checked_name("worker", worker)
        with self._changed:
            now = self._clock()
            self._end_the_lost(now)
            busy = [r.record.tenant for r in self._runs.values() if self._held(r, now)]
            free = [
                run for run in self._runs.values() if self._free_since(run, now) is not None
                and (tenant_limit is None or busy.count(run.record.tenant) < tenant_limit)
            ]
            if not free:
                return None
            run = min(free, key=lambda candidate: candidate.rank)
            run.token += 1
            record = run.change(
                status=RunStatus.RUNNING, worker=worker, lease_until=now + length, step=None, progress=None,
                started_at=run.record.started_at or now, deliveries=run.record.deliveries + 1,
            )
            return Claim(lease=self._lease(run), run=record, dataset=self._datasets[record.dataset_id])

    def heartbeat(self, lease: Lease, lease_seconds: float) -> Heartbeat:
        """Extend a lease that is still its own, even where its time is over and nobody has claimed the run since."""
        length = timedelta(seconds=common.checked_seconds("a lease", lease_seconds))
        with self._changed:
            run = self._leased(lease)
            record = run.change(lease_until=self._clock() + length)
            return Heartbeat(lease=self._lease(run), cancel_requested=record.cancel_requested_at is not None)

    def append_events(self, lease: Lease, events: Sequence[tuple[datetime, Event]]) -> int:
        """Number and keep events; the last number. Progress moves the run's `step` and `progress`."""
        with self._changed:
            run = self._leased(lease)
            for at, event in events:
                run.last_event += 1
                delivery = run.record.deliveries
                run.events.append(StampedEvent(number=run.last_event, delivery=delivery, at=at, event=event))
            moved = common.where_it_is([event for _, event in events])
            if moved:
                run.change(**moved)
            return run.last_event

    def settle(self, lease: Lease, settlement: Settlement) -> RunRecord:
        """End a run in one transaction: status, artifacts, metrics. Progress events are dropped."""
        with self._changed:
            run = self._leased(lease)
            run.artifacts, run.measurements = settlement.artifacts, settlement.measurements
            run.verdicts = settlement.verdicts
            run.events = [e for e in run.events if not isinstance(e.event, Progress)]
            said = {name: getattr(settlement, name) for name in ("outcome", "method", "backend", "model_key", "error")}
            record = run.end(settlement.status, self._clock(), **said)
            self._ring()
            return record

    def release(self, lease: Lease, *, delay: float, error: RunError | None = None, count: bool = True) -> RunRecord:
        """Give a run back to the queue, to be claimed after `delay` seconds."""
        wait = timedelta(seconds=common.checked_seconds("a delay", delay))
        with self._changed:
            run, now = self._leased(lease), self._clock()
            deliveries = run.record.deliveries - (not count)
            if run.record.cancel_requested_at is not None:
                record = run.end(RunStatus.CANCELLED, now, deliveries=deliveries)
            elif deliveries >= run.record.max_deliveries:
                record = run.end(RunStatus.FAILED, now, error=error or common.worker_lost(deliveries))
            else:
                record = run.change(
                    **common.idle(RunStatus.QUEUED), deliveries=deliveries, not_before=now + wait, step=None,
                    progress=None,
                )
            self._ring()
            return record

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or sooner (True) at a hint that a run may be claimed or cancelled."""
        with self._changed:
            seen = getattr(self._seen, "hints", 0)
            rung = self._changed.wait_for(lambda: self._hints != seen, timeout=max(0.0, seconds))
            self._seen.hints = self._hints
            return rung

    def close(self) -> None:
        """Nothing is held."""

    # keys and audit log

    def add_key(
        self, tenant: str, *, name: str, digest: str, prefix: str, scopes: Sequence[str], expires_at: datetime | None,
    ) -> ApiKey:
        """Keep a key's SHA-256 (hex), never the key."""
        common.checked_name("tenant", tenant)
        with self._changed:
            if digest in self._keys:
                raise ConflictError("this key is kept already.", do="Make a new one.")
            key = ApiKey(
                key_id=secrets.token_hex(16), tenant=tenant, name=common.shown(name), prefix=prefix,
                scopes=tuple(scopes), created_at=self._clock(), expires_at=expires_at,
            )
            self._keys[digest] = (key.key_id, key)
            return key

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """The key of this digest if it is neither expired nor revoked; notes that it was used."""
        with self._changed:
            now, (key_id, key) = self._clock(), self._keys.get(digest, ("", None))
            if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
                return None
            if key.last_used_at is None or (now - key.last_used_at).total_seconds() >= common.KEY_USED_EVERY:
                key = key.model_copy(update={"last_used_at": now})
                self._keys[digest] = (key_id, key)
            return key

    def keys(self, tenant: str) -> tuple[ApiKey, ...]:
        """A tenant's keys."""
        with self._changed:
            return tuple(key for _, key in self._keys.values() if key.tenant == tenant)

    def revoke_key(self, tenant: str, key_id: str) -> ApiKey:
        """Revoke a key."""
        with self._changed:
            for digest, (standing_id, key) in self._keys.items():
                if standing_id == key_id and key.tenant == tenant:
                    revoked = key.model_copy(update={"revoked_at": key.revoked_at or self._clock()})
                    self._keys[digest] = (key_id, revoked)
                    return revoked
            raise common.no_such("key", key_id)

    def note(
        self, tenant: str, actor: str, action: str, target: str = "", detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry of the audit log."""
        common.checked_name("tenant", tenant)
        with self._changed:
            self._audit.append(AuditEntry(
                number=self._next_number(), at=self._clock(), tenant=tenant, actor=common.shown(actor),
                action=common.shown(action), target=common.shown(target),
                detail=copy.deepcopy(common.as_plain(detail or {})),
            ))

    def audit(self, tenant: str, *, limit: int = 100, before: int | None = None) -> tuple[AuditEntry, ...]:
        """Entries, newest first, numbered below `before`."""
        common.checked_limit(limit)
        with self._changed:
            own = [e for e in reversed(self._audit) if e.tenant == tenant and (before is None or e.number < before)]
            return tuple(own[:limit])

    # inside

    def _next_number(self) -> int:
        self._count += 1
        return self._count

    def _ring(self) -> None:
        self._hints += 1
        self._changed.notify_all()

    def _run(self, tenant: str, run_id: str) -> _Run:
        run = self._runs.get(run_id)
        if run is None or run.record.tenant != tenant:
            raise common.no_such("run", run_id)
        return run

    def _leased(self, lease: Lease) -> _Run:
        run = self._runs.get(lease.run_id)
        own = run is not None and (run.record.tenant, run.token) == (lease.tenant, lease.token)
        if run is None or not own or run.record.status is not RunStatus.RUNNING:
            raise common.lease_lost(lease)
        return run

    def _lease(self, run: _Run) -> Lease:
        record = run.record
        return Lease.model_validate({
            "run_id": record.run_id, "tenant": record.tenant, "token": run.token, "worker": record.worker,
            "until": record.lease_until,
        })

    @staticmethod
    def _held(run: _Run, now: datetime) -> bool:
        until = run.record.lease_until
        return run.record.status is RunStatus.RUNNING and until is not None and until > now

    def _free_since(self, run: _Run, now: datetime) -> datetime | None:
        """Since when a run may be claimed; None if it may not."""
        record = run.record
        if record.status is RunStatus.QUEUED:
            return record.not_before if record.not_before <= now else None
        spent = record.deliveries >= record.max_deliveries or record.cancel_requested_at is not None
        lost = record.status is RunStatus.RUNNING and not self._held(run, now)
        return record.lease_until if lost and not spent else None

    def _end_the_lost(self, now: datetime) -> None:
        for run in self._runs.values():
            record = run.record
            if record.status is not RunStatus.RUNNING or self._held(run, now):
                continue
            if record.cancel_requested_at is not None:
                run.end(RunStatus.CANCELLED, now)
            elif record.deliveries >= record.max_deliveries:
                run.end(RunStatus.FAILED, now, error=common.worker_lost(record.deliveries))
