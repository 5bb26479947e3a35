"""What will be tried, and why."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PrivacyLevel = Literal["low", "default", "high"]
Refinement = Literal["quantile_matching", "jitter", "categorical_marginals"]


class Plan(BaseModel):
    """Method, backend, hyperparameters and refinements of one attempt, with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    backend: str = "native"
    params: dict[str, Any] = Field(default_factory=dict)
    refinements: tuple[Refinement, ...] = ()
    reason: str
    decided_by: Literal["person", "heuristics", "race", "agent"] = "heuristics"
