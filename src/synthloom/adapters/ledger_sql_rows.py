"""Rows of the database ↔ the ledger's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from synthloom.adapters.ledger_common import as_plain, shown
from synthloom.domain.artifact import Artifact
from synthloom.domain.event import Event
from synthloom.domain.measurement import Failed, Measured, Measurement, Verdict
from synthloom.domain.records import (
    ApiKey,
    AuditEntry,
    DatasetRecord,
    Lease,
    NewRun,
    RunRecord,
    StampedEvent,
)

Row = dict[str, Any]
"""A row by its columns' names."""

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_STEP_FIELDS = ("number", "delivery", "at")


def all_rows(found: sa.CursorResult[Any]) -> list[Row]:
    """Every row of a result."""
    return [dict(zip(found.keys(), row, strict=True)) for row in found]


def first_row(found: sa.CursorResult[Any]) -> Row | None:
    """The first row of a result, if there is one."""
    names, row = list(found.keys()), found.first()
    return None if row is None else dict(zip(names, row, strict=True))


def dataset_record(row: Row) -> DatasetRecord:
    """A row of `datasets`."""
    return DatasetRecord.model_validate(_only(row, DatasetRecord.model_fields))


def run_record(row: Row) -> RunRecord:
    """A row of `runs`."""
    return RunRecord.model_validate(_only(row, RunRecord.model_fields))


def lease_of(row: Row) -> Lease:
    """The lease that a row of `runs` is under."""
    named = _only(row, ("run_id", "tenant", "token", "worker"))
    return Lease.model_validate(named | {"until": row["lease_until"]})


def api_key(row: Row) -> ApiKey:
    """A row of `api_keys`."""
    return ApiKey.model_validate(_only(row, ApiKey.model_fields))


def audit_entry(row: Row) -> AuditEntry:
    """A row of `audit_log`."""
    return AuditEntry.model_validate(_only(row, AuditEntry.model_fields))


def stamped_event(row: Row) -> StampedEvent:
    """A row of `run_steps`."""
    return StampedEvent(**_only(row, _STEP_FIELDS), event=_EVENT.validate_python(row["body"]))


def artifact(row: Row) -> Artifact:
    """A row of `run_artifacts`."""
    return Artifact.model_validate(_only(row, Artifact.model_fields))


def new_run_row(new: NewRun) -> dict[str, Any]:
    """What a request says, as columns of `runs`."""
    row = {name: getattr(new, name) for name in NewRun.model_fields}
    overrides = None if new.overrides is None else as_plain(new.overrides)
    parent = None if new.parent is None else shown(new.parent)
    return row | {"name": shown(new.name), "request": as_plain(new.request), "overrides": overrides, "parent": parent}


def step_rows(
    lease: Lease, delivery: int, last: int, events: Sequence[tuple[datetime, Event]]
) -> list[dict[str, Any]]:
    """Rows of `run_steps`, numbered after `last`."""
    return [
        {
            "run_id": lease.run_id, "tenant": lease.tenant, "number": number, "delivery": delivery, "at": at,
            "type": event.type, "body": as_plain(event),
        }
        for number, (at, event) in enumerate(events, start=last + 1)
    ]


def artifact_rows(lease: Lease, artifacts: Iterable[Artifact]) -> list[dict[str, Any]]:
    """Rows of `run_artifacts`."""
    return [
        {
            "run_id": lease.run_id, "tenant": lease.tenant, "position": position,
            "name": found.key.rpartition("/")[2], **found.model_dump(),
        }
        for position, found in enumerate(artifacts)
    ]


def metric_rows(
    lease: Lease, measurements: Iterable[Measurement], verdicts: Sequence[Verdict]
) -> list[dict[str, Any]]:
    """Rows of `metrics`: one for each measurement, and for each metric that a verdict misses."""
    rows = {m.info.key: _metric_row(m) for m in measurements}
    for verdict in verdicts:
        key = verdict.threshold.key
        row = rows.setdefault(key, {"key": key, "status": "absent", "value": verdict.value} | dict.fromkeys(_NUMBERS))
        row["verdicts"] = [*row.get("verdicts", ()), as_plain(verdict)]
        row["passed"] = verdict.passed and row.get("passed") is not False
    common: Row = {"run_id": lease.run_id, "tenant": lease.tenant, "passed": None, "verdicts": []}
    return [common | row | {"position": position} for position, row in enumerate(rows.values())]


_NUMBERS = ("low", "high", "floor", "reason")


def _metric_row(measurement: Measurement) -> dict[str, Any]:
    outcome, floor = measurement.outcome, measurement.floor
    row: dict[str, Any] = {"key": measurement.info.key, "status": outcome.status, "value": measurement.value}
    row |= dict.fromkeys(_NUMBERS)
    if isinstance(floor, Measured):
        row["floor"] = floor.value
    if isinstance(outcome, Measured):
        if outcome.interval is not None:
            row |= {"low": outcome.interval.low, "high": outcome.interval.high}
    else:
        row["reason"] = shown(outcome.error if isinstance(outcome, Failed) else outcome.reason)
    return row


def _only(row: Row, names: Iterable[str]) -> Row:
    return {name: row[name] for name in names}
