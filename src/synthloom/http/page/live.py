"""What a run looks like while it goes on, out of its events: steps, progress, losses, the log."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from markupsafe import Markup

from synthloom.domain import event as ev
from synthloom.domain.records import RunRecord, StampedEvent
from synthloom.domain.run import RunStatus
from synthloom.service.tracker import LOOP, TITLES, Tracker, weights_for

StepState = Literal["waiting", "active", "done", "stopped"]

_MAX_LOG = 300
_MAX_POINTS = 240
_PAGE = 1000


class EventSource(Protocol):
    """Where events are read: `RunService`."""

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        """Events numbered above `after`."""


@dataclass
class Step:
    """One stage of the timeline.

    Attributes:
        name: The step's.
        title: For people.
        state: Where it stands.
        began: When, if it has.
        seconds: How long it took, once it is done.
        message: What it said last.
        attempt: Which attempt this was, from 1.
    """

    name: str
    title: str
    state: StepState = "waiting"
    began: datetime | None = None
    seconds: float | None = None
    message: str = ""
    attempt: int = 1


def _fresh() -> dict[str, Step]:
    return {name: Step(name, TITLES.get(name, name)) for name in ev.STEPS}


@dataclass(frozen=True)
class Line:
    """A line of the log."""

    at: datetime
    look: Literal["step", "notice", "fallback", "worker"]
    text: str
    column: str | None = None


@dataclass
class Live:
    """A run's events, added up.

    Attributes:
        last: Number of the last event taken.
        steps: The timeline.
        log: What happened, oldest first.
        losses: Of the running attempt.
        current: The running step.
        attempt: Which one is running, from 1.
        delivery: Which worker's turn it is, from 1; 0 before the first.
        weights: How long steps take against each other, where that is known.
    """

    last: int = 0
    steps: dict[str, Step] = field(default_factory=_fresh)
    log: list[Line] = field(default_factory=list)
    losses: list[ev.Loss] = field(default_factory=list)
    current: str | None = None
    attempt: int = 1
    delivery: int = 0

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._now = datetime.now(UTC)
        self._tracker = Tracker(clock=self._clock, weights=self.weights)

    def take(self, stamped: StampedEvent) -> None:
        """Account for the next event."""
        self.last, self._now = stamped.number, stamped.at
        if stamped.delivery != self.delivery:
            self._begin(stamped)
        event = stamped.event
        self._tracker.take(event)
        if isinstance(event, ev.StepStarted):
            self._start(event, stamped.at)
        elif isinstance(event, ev.Progress) and event.step in self.steps:
            self.steps[event.step].message = event.message
        elif isinstance(event, ev.StepFinished) and event.step in self.steps:
            self._finish(event, stamped.at)
        elif isinstance(event, ev.Loss):
            self.losses.append(event)
        elif isinstance(event, ev.Notice):
            self._say(Line(stamped.at, "notice", event.message, event.column))
        elif isinstance(event, ev.Fallback):
            self._say(Line(stamped.at, "fallback", f"{event.used} instead of {event.wanted}: {event.reason}"))

    def left(self, now: datetime) -> float | None:
        """Seconds left, estimated; None while there is too little to go by."""
        self._now = max(self._now, now)
        return self._tracker.left

    @property
    def fraction(self) -> float:
        """How far the whole is, 0 to 1."""
        return self._tracker.fraction

    @property
    def title(self) -> str:
        """What is being done, in words."""
        if self.current is None:
            return "Starting"
        again = f" (attempt {self.attempt})" if self.attempt > 1 and self.current in LOOP else ""
        return self.steps[self.current].title + again

    @property
    def message(self) -> str:
        """What the running step said last."""
        return self.steps[self.current].message if self.current is not None else ""

    def charts(self, *, narrow: bool = False) -> list[Markup]:
        """The losses of the running attempt as charts; `narrow` for telephones, where wide ones have tiny letters."""
        from synthloom.reports.losses import NARROW, losses_svg

        shown = thinned(self.losses)
        return losses_svg(shown, "narrow", NARROW) if narrow else losses_svg(shown, "live")

    def stop(self) -> None:
        """The run ended: what is not done will not be."""
        for step in self.steps.values():
            if step.state == "active":
                step.state = "stopped"

    def snapshot(self) -> Live:
        """The state as it is now; what comes later does not change it."""
        held = copy.copy(self)
        held.steps = {name: replace(step) for name, step in self.steps.items()}
        held.log, held.losses = list(self.log), list(self.losses)
        held._tracker = copy.copy(self._tracker)
        held._tracker.use(held._clock)
        return held

    def _clock(self) -> float:
        return self._now.timestamp()

    def _begin(self, stamped: StampedEvent) -> None:
        if self.delivery:
            told = f"Begun again by another worker, as the first was lost (time {stamped.delivery})."
            self._say(Line(stamped.at, "worker", told))
        self.delivery, self.steps, self.losses, self.current, self.attempt = stamped.delivery, _fresh(), [], None, 1
        self._tracker = Tracker(clock=self._clock, weights=self.weights)

    def _start(self, event: ev.StepStarted, at: datetime) -> None:
        if event.step not in self.steps:
            self.steps[event.step] = Step(event.step, event.step)
        if event.attempt > self.attempt:
            self.attempt, self.losses = event.attempt, []
            for name in LOOP:
                self.steps[name] = Step(name, TITLES[name], attempt=event.attempt)
        step = self.steps[event.step]
        step.state, step.began, step.message, step.attempt = "active", at, "", event.attempt
        self.current = event.step

    def _finish(self, event: ev.StepFinished, at: datetime) -> None:
        step = self.steps[event.step]
        step.state, step.message = "done", event.message
        step.seconds = (at - step.began).total_seconds() if step.began else None
        again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
        self._say(Line(at, "step", f"{step.title}{again}{f': {event.message}' if event.message else ''}"))

    def _say(self, line: Line) -> None:
        self.log.append(line)
        del self.log[:-_MAX_LOG]


class LiveBook:
    """The newest state of some runs, so that each look reads only the events that are new."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._held: OrderedDict[tuple[str, str], Live] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, source: EventSource, run: RunRecord) -> Live:
        """A run's state by its newest event. The tenant of `run` must be the caller's."""
        key = (run.tenant, run.run_id)
        with self._lock:
            live = self._held.setdefault(key, Live(weights=weights_for(run.request)))
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            while True:
                page = source.events(run.tenant, run.run_id, after=live.last, limit=_PAGE)
                for stamped in page:
                    live.take(stamped)
                if len(page) < _PAGE:
                    break
            seen = live.snapshot()
        if run.final and run.status is not RunStatus.SUCCEEDED:
            seen.stop()
        return seen


def thinned(losses: Sequence[ev.Loss]) -> list[ev.Loss]:
    """At most so many losses of each name as a chart can show, the newest among them."""
    named: dict[str, list[ev.Loss]] = {}
    for loss in losses:
        named.setdefault(loss.name, []).append(loss)
    kept: list[ev.Loss] = []
    for own in named.values():
        stride = -(-len(own) // _MAX_POINTS)
        kept += own[: -1 : stride] + own[-1:]
    return kept
