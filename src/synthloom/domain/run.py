"""One request carried through the pipeline."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from synthloom.domain.measurement import Measurement, Threshold, Verdict
from synthloom.domain.plan import Plan, PrivacyLevel, Refinement

Device = Literal["auto", "cpu", "cuda", "mps"]


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DPRequest(BaseModel):
    """Differential privacy, as asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0)
    delta: float | None = Field(None, ge=0, lt=1)
    strict: bool = Field(True, description="Fail when it can't be honoured, rather than go on without.")


DEFAULT_THRESHOLDS = (
    Threshold(name="KS_MAX", key="utility.ks_mean", limit=0.10),
    Threshold(name="CORR_MAX", key="utility.corr_delta", limit=0.10),
    Threshold(name="MIA_MAX", key="privacy.mia_auc", limit=0.60),
    Threshold(name="DUP_MAX", key="privacy.dup_rate", limit=0.05),
)


class RunRequest(BaseModel):
    """What a person asks of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field("auto", description="A method's name or alias, or auto.")
    backend: str = Field(
        "auto", min_length=1, description="Who implements it: auto for the order that is set, a backend's name, or "
        "several with commas between, in the order to ask them."
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="The method's parameters; unknown names are refused."
    )
    rows: int | None = Field(None, ge=1, description="Rows to deliver; None: as many as the table has.")
    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same machine, same rows.")
    privacy: PrivacyLevel = Field("default", description="Where to stand between fidelity and privacy.")
    refinements: tuple[Refinement, ...] = ()
    holdout: float | None = Field(
        None, gt=0, lt=0.9, description="Share of rows kept back to measure against; None: a fifth, at most 2,500 rows."
    )
    max_attempts: int = Field(3, ge=1, le=20)
    thresholds: tuple[Threshold, ...] = DEFAULT_THRESHOLDS
    dp: DPRequest | None = None
    budget: float | None = Field(
        None, gt=0, le=1e7, description="Seconds that choosing and learning may take; None: no limit, and auto goes by "
        "rules."
    )
    device: Device = Field("auto", description="Where methods that can use a GPU train and sample.")


class Attempt(BaseModel):
    """One plan tried inside a run, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    plan: Plan
    measurements: tuple[Measurement, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every verdict passed."""
        return all(v.passed for v in self.verdicts)
