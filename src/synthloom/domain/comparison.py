"""Methods side by side on one split: what each scored, took and cost, and which one to take."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from synthloom.domain.event import Notice
from synthloom.domain.measurement import MetricInfo, Threshold


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Frozen):
    """A metric over the seeds of one contender."""

    mean: FiniteFloat
    low: FiniteFloat | None = Field(None, description="Mean lower end of the intervals, where there are intervals.")
    high: FiniteFloat | None = Field(None, description="Mean upper end, likewise.")
    least: FiniteFloat = Field(description="Smallest value among the seeds.")
    most: FiniteFloat = Field(description="Largest.")


class Standing(_Frozen):
    """One contender: a method made by a backend."""

    method: str
    backend: str
    state: Literal["measured", "failed", "absent"] = Field(
        description="failed: it could not learn, draw or be measured; absent: nobody could begin it here."
    )
    place: int | None = Field(None, ge=1, description="1 is best; None where it was not measured.")
    reason: str = Field("", description="Why it is not measured, or what speaks against its privacy.")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters that are not the method's defaults.")
    seeds: int = Field(0, ge=0, description="How often it was fitted.")
    inside: bool | None = Field(None, description="Whether it kept every privacy limit; None: not measured.")
    figures: dict[str, Figure] = Field(default_factory=dict, description="Metric key to what it scored.")
    undefined: dict[str, str] = Field(default_factory=dict, description="Metric key to why it has no number.")
    failed_limits: tuple[str, ...] = Field((), description="Limits that its mean does not keep.")
    fit_seconds: FiniteFloat | None = Field(None, description="Mean seconds to learn.")
    sample_seconds: FiniteFloat | None = Field(None, description="Mean seconds to draw.")
    memory_mb: FiniteFloat | None = Field(
        None, description="Most memory used: of a backend's processes, or beyond what this process held before."
    )
    privacy: str = Field("", description="What is promised about privacy, and what is stated but not counted.")

    @property
    def label(self) -> str:
        """`ctgan by synthcity`."""
        return f"{self.method} by {self.backend}"


class Recommendation(_Frozen):
    """Which contender to take, and why."""

    method: str
    backend: str
    reason: str


class Comparison(_Frozen):
    """The whole comparison: the content of comparison.json."""

    version: Literal[1] = 1
    dataset: str | None = None
    data_hash: str | None = None
    n_real: int
    n_train: int
    n_holdout: int
    n_synth: int
    seed: int
    seeds: int = Field(ge=1)
    metrics: tuple[MetricInfo, ...] = Field(description="What was measured, in the order of reports.")
    floors: dict[str, FiniteFloat] = Field(
        default_factory=dict, description="What real rows score against real rows, where that says something."
    )
    thresholds: tuple[Threshold, ...] = ()
    standings: tuple[Standing, ...] = Field(description="Best first; then those that were not measured.")
    recommendation: Recommendation | None = Field(None, description="None where nobody could be measured.")
    notices: tuple[Notice, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    created: str | None = None
    command: str | None = None
