"""What a ledger keeps: datasets, runs, leases, and what happened in a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from synthloom.domain.artifact import Artifact
from synthloom.domain.event import Event
from synthloom.domain.measurement import Measurement, Verdict
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.domain.schema import SchemaOverrides

LOCAL_TENANT = "local"
"""Whose rows they are where nobody has to say who they are."""

FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
"""A run in one of these never changes its status again."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetRecord(_Record):
    """A stored table. Within a tenant its content hash names it: the same bytes are stored once."""

    dataset_id: str = Field(description="Server-made; 32 hex digits.")
    tenant: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    key: str = Field(description="Its key in the bucket `datasets`.")
    filename: str = Field(description="As the person called it; only ever shown, never part of a path.")
    media_type: str
    size: int = Field(ge=0, description="Bytes.")
    rows: int | None = Field(None, ge=0, description="None until it has been inspected.")
    columns: int | None = Field(None, ge=0)
    created_at: datetime


class NewRun(_Record):
    """What `RunLedger.enqueue` needs."""

    tenant: str = LOCAL_TENANT
    dataset_id: str
    name: str = Field("", max_length=200, description="For people.")
    request: RunRequest
    overrides: SchemaOverrides | None = None
    priority: int = Field(0, ge=-100, le=100, description="Higher first.")
    max_deliveries: int = Field(3, ge=1, le=20, description="How often a worker may begin it before it is failed.")
    reuse_model: bool = Field(True, description="Whether a model of an equal earlier run may be taken.")
    parent: str | None = Field(None, description="The run it repeats, if it is a retry or a clone.")


class RunError(_Record):
    """Why a run failed, for people and scripts; never a cell's content."""

    code: str
    what: str
    where: str | None = None
    do: str | None = None


class RunRecord(NewRun):
    """A run as the ledger knows it. All times are the database's."""

    run_id: str = Field(description="Server-made; 32 hex digits.")
    status: RunStatus = RunStatus.QUEUED
    deliveries: int = Field(0, ge=0, description="How often a worker has begun it.")
    created_at: datetime
    not_before: datetime = Field(description="No worker claims it earlier (backoff).")
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    worker: str | None = Field(None, description="Who holds it, while it is running.")
    lease_until: datetime | None = None
    step: str | None = None
    progress: float | None = Field(None, ge=0, le=1, description="Of the step.")
    outcome: str | None = Field(None, description="The report's outcome, of a run that succeeded.")
    method: str | None = Field(None, description="What made the rows, of a run that succeeded.")
    backend: str | None = None
    model_key: str | None = Field(None, description="Equal runs of a tenant have equal keys; the model cache's.")
    error: RunError | None = None
    version: int = Field(0, ge=0, description="Grows with each change; for ETags.")

    @property
    def final(self) -> bool:
        """Whether the status can change no more."""
        return self.status in FINAL


class Lease(_Record):
    """The right to work on a run until `until` (database time). `token` fences: each claim's is greater."""

    run_id: str
    tenant: str
    token: int = Field(ge=1)
    worker: str
    until: datetime


class Claim(_Record):
    """A run that a worker has been given."""

    lease: Lease
    run: RunRecord
    dataset: DatasetRecord


class Heartbeat(_Record):
    """What the ledger answers to a worker that is alive."""

    lease: Lease
    cancel_requested: bool


class StampedEvent(_Record):
    """An event of a run with its number; numbers of a run grow from 1 without reuse."""

    number: int = Field(ge=1)
    delivery: int = Field(ge=1)
    at: datetime
    event: Event


class Settlement(_Record):
    """How a delivery ended."""

    status: Literal[RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED]
    outcome: str | None = None
    method: str | None = None
    backend: str | None = None
    model_key: str | None = None
    error: RunError | None = None
    artifacts: tuple[Artifact, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class Page(_Record):
    """Some runs of a longer list, newest first."""

    runs: tuple[RunRecord, ...]
    next: str | None = Field(None, description="Cursor of the page after this one; None: there is none.")


class ApiKey(_Record):
    """A key as it may be shown: never the secret."""

    key_id: str
    tenant: str
    name: str
    prefix: str = Field(description="First letters of the secret, to tell keys apart.")
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class AuditEntry(_Record):
    """Who did what to which object, and when."""

    number: int = Field(ge=1)
    at: datetime
    tenant: str
    actor: str = Field(description="A key's id, a user's subject, `local` or `worker`.")
    action: str = Field(description="Such as run.create.")
    target: str = Field("", description="Id of the object.")
    detail: dict[str, Any] = Field(default_factory=dict, description="JSON-safe; no cells, no secrets.")
