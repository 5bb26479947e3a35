"""Something that happened in a run. Events carry no time: whoever records them stamps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

STEPS = ("read", "infer", "split", "plan", "fit", "sample", "refine", "measure", "verdict", "report", "store")
"""The stages of a run in their order; `fit` to `verdict` repeat for each attempt."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepStarted(_Event):
    """A stage began."""

    type: Literal["step_started"] = "step_started"
    step: str
    attempt: int = 1


class Progress(_Event):
    """How far the running stage is."""

    type: Literal["progress"] = "progress"
    step: str
    fraction: float = Field(ge=0, le=1)
    message: str = ""


class StepFinished(_Event):
    """A stage ended."""

    type: Literal["step_finished"] = "step_finished"
    step: str
    attempt: int = 1
    message: str = ""


class Loss(_Event):
    """A training loss, for methods that have one."""

    type: Literal["loss"] = "loss"
    name: str
    iteration: int = Field(ge=0)
    value: float


class Notice(_Event):
    """Something the person should know: a column dropped, a rule applied, a choice made for them."""

    type: Literal["notice"] = "notice"
    code: str
    message: str
    column: str | None = None


class Fallback(_Event):
    """A step down from what was asked or preferred. Never silent."""

    type: Literal["fallback"] = "fallback"
    wanted: str
    used: str
    reason: str


Event = Annotated[
    StepStarted | Progress | StepFinished | Loss | Notice | Fallback, Field(discriminator="type")
]

Emit = Callable[[Event], None]
Cancelled = Callable[[], bool]


def ignore(_event: Event) -> None:
    """An `Emit` for callers that do not listen."""


def never() -> bool:
    """A `Cancelled` for callers that cannot cancel."""
    return False
