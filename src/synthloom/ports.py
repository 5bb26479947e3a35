"""What the service needs from the outside world, as protocols; `adapters/` fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol

from synthloom.domain.artifact import ARTIFACT_NAMES, Artifact
from synthloom.domain.errors import UsageError
from synthloom.domain.event import Event
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

Content = bytes | Callable[[BinaryIO], None]
"""Bytes, or a function that writes them into the sink it is given (for what is too large to hold twice)."""

_MAX_KEY = 512


class ArtifactStore(Protocol):
    """Where a run's files go. Keys are `{run_id}/synthetic.csv` and the like (`artifact_key`).

    A reader never sees a half-written artifact: `put` shows the new content whole or not at all, whatever happens
    in between. A full disk or a missing permission is an `OutputError`; a store that cannot be reached, or lets nobody
    in, is a `StorageUnavailableError`. `testing/check_store.py` holds an adapter to what is said here.
    """

    def put(self, key: str, content: Content) -> Artifact:
        """Store one artifact, replacing what stood there."""

    def put_all(self, contents: Mapping[str, Content]) -> tuple[Artifact, ...]:
        """Store several artifacts that belong together: all are written before the first one becomes visible."""

    def get(self, key: str) -> bytes:
        """The bytes of an artifact; UnknownNameError when there is none."""

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end) of an artifact in pieces of at most a few MB; fewer where it ends earlier.

        Raises:
            UnknownNameError: there is none; raised by the call, not by the first piece.
            UsageError: `start` is negative, or `end` is before it.
        """

    def size(self, key: str) -> int:
        """Bytes of an artifact; UnknownNameError when there is none."""

    def signed_url(self, key: str, seconds: int, filename: str) -> str | None:
        """An address that gives the artifact to whoever has it, for so long; None where the store has no such thing."""

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Keys that start with `prefix`, sorted."""

    def keys_older_than(self, seconds: float) -> tuple[str, ...]:
        """Keys written longer ago than so many seconds, sorted: to find what nobody points to.

        A store in which killed writers leave unfinished files tells those too; `delete` removes them.
        """

    def exists(self, key: str) -> bool:
        """Whether an artifact stands under this key."""

    def delete(self, key: str) -> None:
        """Remove an artifact; nothing happens when there is none."""


class RunLedger(Protocol):
    """Datasets, runs and the queue. `testing/check_ledger.py` holds an adapter to what is said here.

    Every read and write names a tenant, or a lease that does; another tenant's object is an UnknownNameError, as is one
    that does not exist. Times are the ledger's own clock, never the caller's. Each method is one transaction.
    A ledger that cannot be reached is a StorageUnavailableError, which a caller may try again.
    """

    # datasets

    def add_dataset(
        self, tenant: str, *, sha256: str, key: str, filename: str, media_type: str, size: int,
        rows: int | None = None, columns: int | None = None,
    ) -> DatasetRecord:
        """Keep a dataset that is stored already; the record that stands when the tenant has the same bytes."""

    def dataset(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """One dataset."""

    def datasets(self, tenant: str, *, limit: int = 100, after: str | None = None) -> tuple[DatasetRecord, ...]:
        """Datasets, newest first, those older than the dataset `after`."""

    def delete_dataset(self, tenant: str, dataset_id: str) -> DatasetRecord:
        """Forget a dataset; ConflictError while a run of it is queued or running. Finished runs stay."""

    # runs, as doors see them

    def enqueue(self, new: NewRun, *, idempotency_key: str | None = None) -> RunRecord:
        """A new queued run; with a key that the tenant has used before, the run made then.

        Raises:
            ConflictError: the key was used with another request.
        """

    def run(self, tenant: str, run_id: str) -> RunRecord:
        """One run."""

    def runs(
        self, tenant: str, *, status: RunStatus | None = None, dataset_id: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Runs, newest first; UsageError for a cursor that this ledger did not make."""

    def request_cancel(self, tenant: str, run_id: str) -> RunRecord:
        """A queued run is cancelled at once, a running one gets `cancel_requested_at`, a final one stays as it is."""

    def delete_run(self, tenant: str, run_id: str) -> tuple[Artifact, ...]:
        """Forget a final run and all that hangs on it; what stood in the store. ConflictError while it is not final."""

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        """Events numbered above `after`, in order."""

    def artifacts(self, tenant: str, run_id: str) -> tuple[Artifact, ...]:
        """What a settled run points to."""

    def find_model(self, tenant: str, model_key: str) -> RunRecord | None:
        """The newest run of the tenant that succeeded under this key and still has a model."""

    def counts(self) -> Mapping[RunStatus, int]:
        """Runs by status over all tenants, for metrics."""

    def oldest_wait(self) -> float:
        """Seconds the oldest run that may be claimed has waited; 0 when none waits."""

    def pointed_to(self, keys: Sequence[str]) -> frozenset[str]:
        """Of these keys of either store, those that a dataset or an artifact of any tenant points to, and those of runs
        that are not final yet (`{run_id}/…`): what a sweep must leave alone.
        """

    # the queue, as workers see it

    def claim(self, worker: str, lease_seconds: float, *, tenant_limit: int | None = None) -> Claim | None:
        """The next run: highest priority, then oldest, of those whose `not_before` has come and whose tenant has fewer
        than `tenant_limit` running. A running run whose lease is over counts as queued while deliveries are left; one
        without any left is failed here (`worker_lost`), and one that was asked to cancel is cancelled.
        """

    def heartbeat(self, lease: Lease, lease_seconds: float) -> Heartbeat:
        """Extend a lease that is still its own, even where its time is over and nobody has claimed the run since.

        Raises:
            LeaseLostError: somebody else has claimed the run, or it is final.
        """

    def append_events(self, lease: Lease, events: Sequence[tuple[datetime, Event]]) -> int:
        """Number and keep events; the last number. Steps and progress move the run's `step` and `progress`.

        Raises:
            LeaseLostError: as above; nothing is kept.
        """

    def settle(self, lease: Lease, settlement: Settlement) -> RunRecord:
        """End a run in one transaction: status, artifacts, metrics. Progress events are dropped.

        A run that was asked to cancel may still succeed if it was done.

        Raises:
            LeaseLostError: as above; nothing is changed.
        """

    def release(self, lease: Lease, *, delay: float, error: RunError | None = None, count: bool = True) -> RunRecord:
        """Give a run back to the queue, to be claimed after `delay` seconds; failed with `error` when no delivery is
        left, cancelled when that was asked. `count=False` gives the delivery back too (a worker that drains).

        Raises:
            LeaseLostError: as above.
        """

    def wait(self, seconds: float) -> bool:
        """Return after so many seconds, or sooner (True) at a hint that a run may be claimed or cancelled."""

    def close(self) -> None:
        """Let go of connections."""


class AccessBook(Protocol):
    """API keys and the audit log; beside the ledger, in the same database."""

    def add_key(
        self, tenant: str, *, name: str, digest: str, prefix: str, scopes: Sequence[str], expires_at: datetime | None,
    ) -> ApiKey:
        """Keep a key's SHA-256 (hex), never the key."""

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """The key of this digest if it is neither expired nor revoked; notes that it was used."""

    def keys(self, tenant: str) -> tuple[ApiKey, ...]:
        """A tenant's keys."""

    def revoke_key(self, tenant: str, key_id: str) -> ApiKey:
        """Revoke a key."""

    def note(
        self, tenant: str, actor: str, action: str, target: str = "", detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry of the audit log."""

    def audit(self, tenant: str, *, limit: int = 100, before: int | None = None) -> tuple[AuditEntry, ...]:
        """Entries, newest first, numbered below `before`."""


def artifact_key(run_id: str, name: str) -> str:
    """The key of a run's artifact, such as `a1b2/synthetic.csv`."""
    return check_key(f"{check_run_id(run_id)}/{name}")


def check_run_id(run_id: str) -> str:
    """The id itself if it can begin a key; UsageError otherwise."""
    if "/" in run_id:
        raise UsageError(f"run id {run_id!r} holds a slash.", do="Use letters, digits, dots, dashes.")
    return check_key(run_id)


def check_key(key: str) -> str:
    """The key itself if it stays inside a store; UsageError otherwise.

    A key is a relative path with forward slashes: no empty, `.` or `..` part, no backslash, no control character.
    """
    parts = key.split("/")
    bad = (
        not key or len(key) > _MAX_KEY or "\\" in key or any(ord(c) < 32 or ord(c) == 127 for c in key)
        or any(part in ("", ".", "..") for part in parts)
    )
    if bad:
        raise UsageError(
            f"artifact key {key!r} is not usable.",
            do="Use a relative name with forward slashes, such as run1/report.json.",
        )
    return key


def check_range(start: int, end: int | None) -> None:
    """UsageError unless [start, end) is a range of bytes; it may be empty, and reach past the end of what is read."""
    if start < 0 or (end is not None and end < start):
        raise UsageError(
            f"bytes {start} to {'the end' if end is None else end} are no range.",
            do="Start at 0 or later, and end where it starts or later.",
        )


def media_type(key: str) -> str:
    """The media type of an artifact by its name; application/octet-stream for a name nobody declared."""
    return ARTIFACT_NAMES.get(PurePosixPath(key).name, "application/octet-stream")
