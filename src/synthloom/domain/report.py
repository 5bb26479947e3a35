"""Measurements and verdicts for people: the content of report.json, from which HTML and PDF are drawn.

Nothing in it shows a single record: figures hold shares of groups of at least `protection.min_support` records, rarer
labels stand together as one bar, and the outermost histogram edges are protected like every released value.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from synthloom.domain.event import Fallback, Loss, Notice
from synthloom.domain.guarantee import Guarantee
from synthloom.domain.measurement import Measurement, Verdict
from synthloom.domain.plan import Plan, PrivacyLevel
from synthloom.domain.race import Race
from synthloom.domain.run import Attempt, DPRequest
from synthloom.domain.schema import Kind, SequenceColumns, SurvivalColumns


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Atom(_Frozen):
    """One value that a large part of a column's filled cells hold, such as 0, with its share in both tables."""

    value: FiniteFloat
    real: FiniteFloat
    synthetic: FiniteFloat


class NumericFigure(_Frozen):
    """Histogram of a column on a line: shares of filled cells per bin, real and synthetic; with the atom they sum to 1.

    Bins may differ in width: those that held fewer than `protection.min_support` real records were joined to a
    neighbour. The two outermost bins also hold everything beyond them.
    """

    type: Literal["numeric"] = "numeric"
    edges: tuple[FiniteFloat, ...] = Field(description="Bin edges, one more than bins; times as POSIX seconds.")
    real: tuple[FiniteFloat, ...]
    synthetic: tuple[FiniteFloat, ...]
    atom: Atom | None = Field(None, description="A value so frequent that it stands beside the histogram, not in it.")
    scale: Literal["linear", "asinh"] = Field(
        "linear", description="How the axis runs: evenly, or evenly in asinh(value / unit) for very skewed columns."
    )
    unit: FiniteFloat = Field(
        1.0, gt=0, description="For asinh: below it the axis runs evenly, above it like a logarithm."
    )


class DiscreteFigure(_Frozen):
    """Shares of filled cells per label, real and synthetic; rare labels together under `other`."""

    type: Literal["discrete"] = "discrete"
    labels: tuple[str, ...]
    real: tuple[FiniteFloat, ...]
    synthetic: tuple[FiniteFloat, ...]
    other: int = Field(0, ge=0, description="How many labels the last bar stands for; 0: none.")


class ColumnReport(_Frozen):
    """One column: what it is and how alike its two versions are."""

    name: str
    kind: Kind
    reason: str
    sensitive: bool = False
    missing_real: float = Field(
        description="Share of missing cells; 1 to min_support - 1 of them count as min_support."
    )
    missing_synthetic: float
    shape: FiniteFloat | None = Field(None, description="Column shape score, 1 is best.")
    figure: NumericFigure | DiscreteFigure | None = None


class Associations(_Frozen):
    """How columns hang together, as square matrices in the order of `names`; None where undefined."""

    names: tuple[str, ...]
    real: tuple[tuple[FiniteFloat | None, ...], ...]
    synthetic: tuple[tuple[FiniteFloat | None, ...], ...]
    omitted: int = Field(
        0, ge=0, description="Modelled columns left out: the least variable ones, where there are many."
    )
    rows: int | None = Field(None, description="Rows of each table it rests on, where not all of them.")


class RefinementEffect(_Frozen):
    """What one post-processing step did to the metrics it may move."""

    step: str
    before: dict[str, FiniteFloat]
    after: dict[str, FiniteFloat]


class Protection(_Frozen):
    """Where the run stands between fidelity and privacy."""

    level: PrivacyLevel
    min_support: int = Field(ge=1, description="No released value rests on fewer distinct records.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="The method's privacy settings, such as leaf_floor."
    )


class Meta(_Frozen):
    """What was run, on what, with what."""

    model: str = Field(description="Method that made the delivered data.")
    backend: str
    attempt: int = Field(ge=1, description="Number of the delivered attempt.")
    n_real: int
    n_train: int
    n_holdout: int
    n_synth: int
    seed: int | None
    data_hash: str | None = Field(None, description="sha256 of the dataset.")
    dataset: str | None = Field(None, description="Name of the dataset for people.")
    versions: dict[str, str] = Field(default_factory=dict)
    timings: dict[str, float] = Field(
        default_factory=dict, description="Seconds per step; added by whoever ran the engine."
    )
    created: str | None = Field(None, description="ISO 8601 time; added by whoever ran the engine.")
    command: str | None = Field(None, description="How to do it again.")


class Report(_Frozen):
    """The whole report; `utility`, `privacy` and `fairness` repeat the measurements as plain numbers by key."""

    version: Literal[2] = 2
    outcome: Literal["passed", "failed", "not_judged"] = Field(
        description="Whether every verdict of the delivered attempt passed."
    )
    utility: dict[str, FiniteFloat | None]
    privacy: dict[str, FiniteFloat | bool | None]
    fairness: dict[str, FiniteFloat | None]
    meta: Meta
    plan: Plan | None = Field(None, description="None when data made elsewhere was evaluated.")
    race: Race | None = Field(None, description="Which methods were measured before one was chosen, and how they did.")
    guarantee: Guarantee
    protection: Protection | None = None
    measurements: tuple[Measurement, ...]
    verdicts: tuple[Verdict, ...]
    columns: tuple[ColumnReport, ...]
    associations: Associations | None = None
    refinements: tuple[RefinementEffect, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    notices: tuple[Notice, ...] = ()
    losses: tuple[Loss, ...] = ()
    dropped: tuple[str, ...] = ()
    target: str | None = Field(None, description="The column a model would predict.")
    survival: SurvivalColumns | None = None
    sequence: SequenceColumns | None = None
    dp: DPRequest | None = Field(None, description="Differential privacy, as it was asked for.")
