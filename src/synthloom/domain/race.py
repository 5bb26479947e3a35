"""A race: methods measured against each other before one of them learns the whole table."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Placing = Literal["won", "ahead", "behind", "outside", "late", "failed", "absent"]
"""What became of a candidate in a round: it won; it went on; others were nearer to the real rows; it was outside the
privacy limits and others were not; it had no time; it could not learn; it is not installed."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(_Frozen):
    """A metric's value in a race, with its interval where it has one."""

    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Heat(_Frozen):
    """One candidate in one round."""

    round: int = Field(ge=0, description="From 1; 0 for a candidate that did not start.")
    method: str
    rows: int = Field(0, ge=0, description="Rows it learnt from.")
    seconds: float = Field(0.0, ge=0, description="Seconds it took to learn and draw.")
    scores: dict[str, Score] = Field(default_factory=dict, description="Metric key to score; of undefined ones none.")
    inside: bool | None = Field(None, description="Whether it kept every privacy limit; None: not measured.")
    placing: Placing
    reason: str = Field("", description="Why, in a sentence.")


class Race(_Frozen):
    """How the method was chosen."""

    budget: float = Field(gt=0, description="Seconds for the race and the winner's own learning.")
    seconds: float = Field(ge=0, description="Seconds the race took.")
    rows: int = Field(ge=1, description="Training rows kept apart to measure against.")
    repeats: int = Field(1, ge=1, description="Splits that each score is the mean of.")
    heats: tuple[Heat, ...]
    winner: str | None = Field(None, description="None where nobody could be measured; rules decided then.")
