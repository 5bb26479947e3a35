"""How far a run is, and how long it will take, out of its events: for whoever shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from synthloom.domain import event as ev
from synthloom.domain.run import RunRequest

TITLES = {
    "read": "Reading the table", "infer": "Understanding the columns", "split": "Setting rows aside",
    "plan": "Choosing a method", "fit": "Learning", "sample": "Drawing rows", "refine": "Refining",
    "measure": "Measuring", "verdict": "Judging", "report": "Drawing figures", "store": "Writing files",
    "environment": "Making an interpreter", "download": "Downloading", "install": "Installing", "check": "Checking",
}
"""Steps in a person's words."""

WEIGHTS = {
    "read": 1.0, "infer": 2.0, "split": 0.5, "plan": 0.2, "fit": 5.0, "sample": 3.0, "refine": 0.5, "measure": 45.0,
    "verdict": 0.2, "report": 1.5, "store": 25.0,
}
"""How long steps take against each other, roughly, on tables of a few ten thousand rows: for the estimate only."""

_NETS = 120.0  # seconds that a net learns on such tables
_PACE_SECONDS = 5.0  # a step's own pace is that of the last five to ten seconds: how it began says little of the rest

LOOP = ("fit", "sample", "refine", "measure", "verdict")
"""Steps that each attempt goes through."""


def weights_for(request: RunRequest) -> dict[str, float]:
    """How long steps take against each other, where a request says something about it; over `WEIGHTS`."""
    if request.budget is None:
        from synthloom.registry import methods

        named = methods().get(request.method)
        return {"fit": _NETS} if named is not None and named.info.needs == "neural" else {}
    if request.method == "auto":  # cheap methods need a part of it only
        return {"plan": request.budget / 4, "fit": max(5.0, request.budget / 8)}
    return {"fit": max(5.0, request.budget)}


class Tracker:
    """Turns events into how far the whole is, and how long it will take.

    Args:
        steps: The steps this command goes through, in order.
        clock: Seconds.
        weights: Over `WEIGHTS`, for a command that knows better.
    """

    def __init__(
        self, steps: Sequence[str] = ev.STEPS, clock: Callable[[], float] = time.monotonic,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.steps = tuple(steps)
        self._weights = WEIGHTS | dict(weights or {})
        self.step: str | None = None
        self.attempt = 1
        self.message = ""
        self._clock = clock
        self._began = clock()
        self._step_began = self._began
        self._total = sum(self._weights.get(s, 1.0) for s in self.steps)
        self._done = 0.0
        self._within = 0.0
        self._best = 0.0
        self._marks: tuple[tuple[float, float], ...] = ()  # when the running step said how far it was, and how far
        self._pace: float | None = None  # seconds for the whole of the running step, by what it has said lately

    def take(self, event: ev.Event) -> None:
        """Account for one event."""
        if isinstance(event, ev.StepStarted):
            self._start(event)
        elif isinstance(event, ev.Progress) and event.step == self.step:
            self._within = max(self._within, event.fraction)
            self.message = event.message
            self._keep_pace()
        elif isinstance(event, ev.StepFinished) and event.step == self.step:
            self._within = 1.0

    def use(self, clock: Callable[[], float]) -> None:
        """Go by another clock of the same seconds."""
        self._clock = clock

    @property
    def fraction(self) -> float:
        """How far the whole is, 0 to 1; never goes back within an attempt."""
        weight = self._weights.get(self.step or "", 1.0) if self.step else 0.0
        self._best = max(self._best, min((self._done + weight * self._within) / self._total, 1.0))
        return self._best

    @property
    def step_seconds(self) -> float:
        """Seconds since the running step began."""
        return self._clock() - self._step_began

    @property
    def left(self) -> float | None:
        """Seconds left, estimated; None while there is too little to go by."""
        elapsed = self._clock() - self._began
        if elapsed < 1.0 or self.fraction < 0.02:
            return None
        whole = elapsed * (1.0 - self.fraction) / self.fraction
        return whole if self._pace is None else max(whole, self._pace * (1.0 - self._within))

    def _keep_pace(self) -> None:
        """A step that crawls takes as long as it takes, whatever its weight: a net of 100,000 epochs, say."""
        now = self._clock()
        if not self._marks or now - self._marks[-1][0] >= _PACE_SECONDS:
            self._marks = (*self._marks[-1:], (now, self._within))
        at, within = self._marks[0]
        if now - at >= _PACE_SECONDS and self._within > within:
            self._pace = (now - at) / (self._within - within)

    def _start(self, event: ev.StepStarted) -> None:
        if event.attempt > self.attempt:
            self.attempt = event.attempt
            self._total += sum(self._weights[s] for s in LOOP)
            self._best = 0.0
            self._done += self._weights.get(self.step or "", 0.0)
        elif event.step in self.steps:
            extra = (self.attempt - 1) * sum(self._weights[s] for s in LOOP)
            ahead = self.steps[: self.steps.index(event.step)]
            self._done = max(self._done, extra + sum(self._weights.get(s, 1.0) for s in ahead))
        self.step, self._within, self.message = event.step, 0.0, ""
        self._marks, self._pace = (), None
        self._step_began = self._clock()
