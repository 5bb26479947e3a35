"""What is promised about privacy, and what is not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class PrivacyGuarantee(BaseModel):
    """A formal differential-privacy promise, complete enough to be checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["differential_privacy"] = "differential_privacy"
    epsilon: float = Field(gt=0)
    delta: float = Field(ge=0, lt=1)
    neighbours: Literal["add_remove", "replace"]
    unit: str = Field(description="What one neighbour differs by: a row, a person.")
    mechanism: str
    accountant: str
    covers: tuple[str, ...] = Field(description="The steps the budget was charged for.")
    source: str


class NoGuarantee(BaseModel):
    """No formal promise: protection rests on the rules named here and on what was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["none"] = "none"
    rules: tuple[str, ...] = Field((), description="Disclosure-control rules the method keeps, in plain words.")
    stated_epsilon: float | None = Field(
        None, gt=0, description="The epsilon that the method's maker states and that is not taken for a guarantee."
    )
    why: str = Field("", description="Why what the maker states is no guarantee.")


Guarantee = Annotated[PrivacyGuarantee | NoGuarantee, Field(discriminator="type")]
