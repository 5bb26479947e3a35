"""What the stages of a run share: how they announce themselves, where their events go, their randomness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from synthloom.domain.errors import CancelledError, SynthloomError
from synthloom.domain.event import (
    Cancelled,
    Emit,
    Event,
    Fallback,
    Loss,
    Notice,
    Progress,
    StepFinished,
    StepStarted,
)
from synthloom.domain.measurement import Verdict
from synthloom.domain.plan import Plan
from synthloom.domain.race import Race
from synthloom.domain.run import Attempt, RunRequest
from synthloom.metrics.contract import Metric
from synthloom.registry import NATIVE_ONLY, AnyMethod, Backends
from synthloom.registry import metrics as all_metrics
from synthloom.synthesizer import Synthesizer
from synthloom.tables.rng import child


@dataclass
class Stage:
    """A running stage: where its events go, and what its end will say."""

    emit: Emit
    message: str = ""


@dataclass(frozen=True)
class Ready:
    """What an equal run has learnt, with what its report says of the way there.

    Attributes:
        synthesizer: Fitted.
        plan: The plan that it came from.
        number: Number of the attempt that it came from.
        source: Whose it is, for the person.
        n_train: Rows it has learnt.
        attempts: All attempts of that run.
        race: Its race, if there was one.
        losses: Of the training.
        fallbacks: Steps down on the way.
        notices: What the person was told on the way.
    """

    synthesizer: Synthesizer
    plan: Plan
    number: int
    source: Notice
    n_train: int
    attempts: tuple[Attempt, ...] = ()
    race: Race | None = None
    losses: tuple[Loss, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass
class Run:
    """What all stages of a run share."""

    request: RunRequest
    root: int
    listener: Emit
    cancelled: Cancelled
    metrics: tuple[Metric, ...]
    known: Mapping[str, AnyMethod] | None = None
    backends: Backends = NATIVE_ONLY
    asked: str | None = None  # the method as it was named, where one was
    given: Mapping[str, AnyMethod] | None = None  # `known` before a backend was chosen
    failed: dict[str, SynthloomError] = field(default_factory=dict)  # backends that could not learn the table
    events: list[Event] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)  # of the running attempt

    def rng(self, *names: str | int) -> np.random.Generator:
        """A random stream of its own for each purpose."""
        stream: np.random.Generator = child(self.root, *names)
        return stream

    def emit(self, event: Event) -> None:
        """Tell the listener, and keep what the report will show."""
        if isinstance(event, (Fallback, Notice)):
            self.events.append(event)
        elif isinstance(event, Loss):
            self.losses.append(event)
        self.listener(event)

    def check(self) -> None:
        """Raise CancelledError when the run is cancelled."""
        if self.cancelled():
            raise CancelledError("the run was cancelled.")

    @contextmanager
    def stage(self, name: str, attempt: int = 1) -> Iterator[Stage]:
        """Announce a stage, relay progress under its name, and close it."""

        def relay(event: Event) -> None:
            self.emit(event.model_copy(update={"step": name}) if isinstance(event, Progress) else event)

        self.check()
        self.emit(StepStarted(step=name, attempt=attempt))
        self.emit(Progress(step=name, fraction=0.0))
        stage = Stage(relay)
        yield stage
        self.check()
        self.emit(Progress(step=name, fraction=1.0))
        self.emit(StepFinished(step=name, attempt=attempt, message=stage.message))


def chosen(given: Sequence[Metric] | None) -> tuple[Metric, ...]:
    return tuple(all_metrics() if given is None else given)


def summary(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "No thresholds were given, so nothing was judged."
    failed = [v.threshold.name for v in verdicts if not v.passed]
    head = f"{len(verdicts) - len(failed)} of {len(verdicts)} verdicts passed"
    return f"{head}; not {', '.join(failed)}." if failed else f"{head}."
