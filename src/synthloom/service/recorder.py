"""Events get their times here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from synthloom.domain.errors import CancelledError
from synthloom.domain.event import Cancelled, Emit, Event, Notice, Progress, StepFinished, StepStarted, ignore


class RecordedEvent(BaseModel):
    """An event with the time it was recorded at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    elapsed: float = Field(ge=0, description="Seconds since the recorder was made.")
    event: Event


class Recorder:
    """An `Emit` that stamps events, adds up seconds per step, keeps notices and passes everything on.

    Progress is passed on but not kept: there is too much of it.

    Attributes:
        events: What happened, in order, without progress.
        timings: Seconds per step, over all attempts.
    """

    def __init__(self, listener: Emit = ignore, clock: Callable[[], float] = time.perf_counter) -> None:
        self.events: list[RecordedEvent] = []
        self.timings: dict[str, float] = {}
        self._listener = listener
        self._clock = clock
        self._began = clock()
        self._open: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        now = self._clock()
        if isinstance(event, StepStarted):
            self._open.setdefault(event.step, now)
        elif isinstance(event, StepFinished):
            spent = now - self._open.pop(event.step, now)
            self.timings[event.step] = self.timings.get(event.step, 0.0) + spent
        if not isinstance(event, Progress):
            self.events.append(RecordedEvent(at=datetime.now(UTC), elapsed=now - self._began, event=event))
        self._listener(event)

    @property
    def elapsed(self) -> float:
        """Seconds since the recorder was made."""
        return self._clock() - self._began

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The notices so far, each once."""
        return tuple(dict.fromkeys(r.event for r in self.events if isinstance(r.event, Notice)))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Mark a step around a block; a step that raises is never finished."""
        self(StepStarted(step=name))
        yield
        self(StepFinished(step=name))


def recording(emit: Emit) -> Recorder:
    """`emit` itself when it records already, else a recorder before it."""
    return emit if isinstance(emit, Recorder) else Recorder(emit)


def check_cancelled(cancelled: Cancelled) -> None:
    """Raise CancelledError when `cancelled()` is true."""
    if cancelled():
        raise CancelledError("the run was cancelled.")
