"""What every ledger shares: the texts it can keep, cursors, and the errors it raises."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import ConflictError, LeaseLostError, UnknownNameError, UsageError
from synthloom.domain.event import Event, Progress, StepStarted
from synthloom.domain.records import Lease, NewRun, RunError, RunRecord
from synthloom.domain.run import RunStatus

MODEL_NAME = "model.synthloom"
"""Last part of the key under which a run's model stands."""

KEY_USED_EVERY = 60.0
"""Seconds after which a key's use is noted again; noting each one would make every request a write."""

_LONGEST_NAME = 255
_ODD = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL keeps in no text: NUL, and halves of surrogate pairs."""


def shown(text: str) -> str:
    """A text for people with what no database keeps replaced by U+FFFD."""
    return _ODD.sub("\ufffd", text)


def keepable(text: str) -> bool:
    """Whether a text can be an identifier in a ledger; one that cannot names nothing."""
    return bool(text) and len(text) <= _LONGEST_NAME and not _ODD.search(text)


def checked_name(what: str, text: str) -> str:
    """The text itself; UsageError unless it is 1 to 255 characters that a database keeps."""
    if not keepable(text):
        raise UsageError(
            f"the {what} cannot be kept: {len(text)} characters.", do="Use 1 to 255 characters, none of them NUL.",
        )
    return text


def checked_limit(limit: int) -> int:
    """The limit itself; UsageError unless it is at least 1."""
    if limit < 1:
        raise UsageError(f"limit {limit} is below 1.", do="Ask for at least one.")
    return limit


def checked_seconds(what: str, seconds: float) -> float:
    """Seconds a lease or delay lasts; UsageError unless finite and not negative."""
    if not math.isfinite(seconds) or seconds < 0:
        raise UsageError(f"{what} of {seconds} seconds is no time.", do="Give a number from 0.")
    return float(seconds)


# JSON ----------------------------------------------------------------------------------------------------------------


def as_plain(value: Any) -> Any:
    """A model or value as JSON can hold it: NaN and infinities as the words that pydantic reads back.

    Raises:
        UsageError: something in it has no form in JSON.
    """
    if isinstance(value, BaseModel):
        return as_plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(name): as_plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, (str, bool, int, float)):
        return str(value) if isinstance(value, str) else value
    raise UsageError(f"a {type(value).__name__} has no form in JSON.", do="Use text, numbers, lists and objects.")


def dumps(value: Any) -> str:
    """JSON in ASCII only, so that any text survives any database."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def request_hash(new: NewRun) -> str:
    """SHA-256 (hex) of everything a run was asked to be: what an idempotency key stands for."""
    text = json.dumps(as_plain(new), ensure_ascii=True, allow_nan=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# cursors -------------------------------------------------------------------------------------------------------------


def make_cursor(listing: tuple[str | None, ...], position: int) -> str:
    """The cursor of a place in a listing, which its tenant and filters name."""
    return f"{position:x}.{_seal(listing, position)}"


def read_cursor(listing: tuple[str | None, ...], cursor: str) -> int:
    """The place that `make_cursor` wrote down; UsageError for anything else, and for another listing's cursor."""
    head, _, seal = cursor.partition(".")
    if re.fullmatch("[0-9a-f]{1,15}", head) and _seal(listing, int(head, 16)) == seal:
        return int(head, 16)
    raise UsageError(
        "the cursor is not one of this listing.", where="cursor",
        do="Pass on what `next` of the page before said, with the same filters; begin without one.",
    )


def _seal(listing: tuple[str | None, ...], position: int) -> str:
    return hashlib.sha256(dumps([*listing, position]).encode()).hexdigest()[:16]


# what things say -----------------------------------------------------------------------------------------------------


def no_such(kind: str, name: str) -> UnknownNameError:
    """There is no dataset, run or key of this name, or it is another tenant's: nobody learns which."""
    return UnknownNameError(f"there is no {kind} {shown(name)[:64]!r}.", do="List them to see what there is.")


def lease_lost(lease: Lease) -> LeaseLostError:
    """A write that came too late."""
    return LeaseLostError(
        f"the lease {lease.token} of run {lease.run_id} is over: the run was taken over or has ended.",
        do="Drop what was being written; whoever holds the run now goes on.",
    )


def key_taken() -> ConflictError:
    """An idempotency key with another request behind it."""
    return ConflictError(
        "the idempotency key was used with another request.", where="Idempotency-Key", do="Use a new key.",
    )


def dataset_in_use(dataset_id: str) -> ConflictError:
    """A dataset that a run still needs."""
    return ConflictError(
        f"dataset {dataset_id} is needed by a queued or running run.", do="Cancel the run, or wait until it is over.",
    )


def not_final(run: RunRecord) -> ConflictError:
    """A run that may not be forgotten yet."""
    return ConflictError(f"run {run.run_id} is {run.status.value}.", do="Cancel it, or wait until it is over.")


def worker_lost(deliveries: int) -> RunError:
    """Why a run is failed whose workers vanish."""
    times = "once" if deliveries == 1 else f"{deliveries} times"
    return RunError(
        code="worker_lost", what=f"the run was begun {times}, and its worker was lost each time.",
        do="See the worker's log: it may have run out of memory. Retry with fewer rows or a smaller method.",
    )


def has_model(artifacts: tuple[Artifact, ...]) -> bool:
    """Whether a model is among them."""
    return any(a.key.rpartition("/")[2] == MODEL_NAME for a in artifacts)


def where_it_is(events: list[Event]) -> dict[str, Any]:
    """The `step` and `progress` that these events leave a run at; empty when they move neither."""
    for event in reversed(events):
        if isinstance(event, Progress):
            return {"step": event.step, "progress": event.fraction}
        if isinstance(event, StepStarted):
            return {"step": event.step, "progress": None}
    return {}


def idle(status: RunStatus) -> dict[str, Any]:
    """A record's fields that nobody's lease fills any more."""
    return {"status": status, "worker": None, "lease_until": None}
