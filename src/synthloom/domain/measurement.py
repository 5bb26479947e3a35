"""Measured numbers, what they are held against, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Direction(StrEnum):
    """Which way is better."""

    LOWER = "lower"
    HIGHER = "higher"
    TARGET = "target"  # best at `MetricInfo.ideal`
    NONE = "none"  # a fact, neither good nor bad


class Interval(_Frozen):
    """An uncertainty interval around a value."""

    low: FiniteFloat
    high: FiniteFloat
    level: float = Field(0.95, gt=0, lt=1)


class Measured(_Frozen):
    """A number that was measured."""

    status: Literal["measured"] = "measured"
    value: FiniteFloat
    interval: Interval | None = None
    details: dict[str, Any] = Field(
        default_factory=dict, description="JSON-safe breakdown: per column, per pair, per attack."
    )


class Undefined(_Frozen):
    """A number that does not exist here, and why."""

    status: Literal["undefined"] = "undefined"
    reason: str


class Failed(_Frozen):
    """A metric that broke: shown loudly in its own row, never hidden."""

    status: Literal["failed"] = "failed"
    error: str


Outcome = Annotated[Measured | Undefined | Failed, Field(discriminator="status")]


Chapter = Literal["fidelity", "utility", "privacy", "fairness"]
"""The parts of a report that measurements stand in."""


class MetricInfo(_Frozen):
    """What a metric is, independent of any table."""

    key: str = Field(description="Section and name, such as utility.ks_mean.")
    chapter: Chapter | None = Field(None, description="Where reports show it; None: in the section of its key.")
    title: str = Field(description="A person's name for it.")
    explanation: str = Field(description="What it says, in plain words, for somebody who is no statistician.")
    direction: Direction
    ideal: float | None = Field(None, description="The best value, where there is one.")
    low: float | None = Field(None, description="Smallest possible value.")
    high: float | None = Field(None, description="Largest possible value.")
    inputs: tuple[Literal["train", "holdout", "synthetic"], ...] = ("train", "holdout", "synthetic")
    source: str = Field(description="Paper or definition.")


class Measurement(_Frozen):
    """One metric's outcome, with the floor that real against real gives."""

    info: MetricInfo
    outcome: Outcome
    floor: Outcome | None = Field(
        None, description="The same metric, with half of the holdout as synthetic data and the other half as holdout."
    )

    @property
    def value(self) -> float | None:
        """The number, or None where there is none."""
        return self.outcome.value if isinstance(self.outcome, Measured) else None


class Threshold(_Frozen):
    """A limit a metric must keep."""

    name: str = Field(description="The setting's name, such as KS_MAX.")
    key: str = Field(description="The metric it limits.")
    limit: float
    comparison: Literal["at_most", "at_least"] = "at_most"


class Verdict(_Frozen):
    """A metric held against a threshold."""

    threshold: Threshold
    value: FiniteFloat | None
    passed: bool
    reason: str = Field(description="One plain sentence.")
