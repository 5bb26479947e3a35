"""The environment, read once into a frozen object. A bad value is an error that names the variable."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from synthloom.domain.budget import read_budget
from synthloom.domain.errors import UsageError
from synthloom.domain.measurement import Threshold
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.run import DEFAULT_THRESHOLDS


class Settings(BaseModel):
    """What the environment decides. A field's alias is its variable's name; an unset or empty one keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, str_strip_whitespace=True)

    ks_max: float = Field(
        0.10, alias="KS_MAX", ge=0, le=1, allow_inf_nan=False,
        description="Largest mean Kolmogorov-Smirnov distance (utility.ks_mean) that passes.",
    )
    corr_max: float = Field(
        0.10, alias="CORR_MAX", ge=0, le=2, allow_inf_nan=False,
        description="Largest mean difference between correlations (utility.corr_delta) that passes.",
    )
    mia_max: float = Field(
        0.60, alias="MIA_MAX", ge=0, le=1, allow_inf_nan=False,
        description="Largest AUC of the membership attack (privacy.mia_auc) that passes; .5 is a guess.",
    )
    dup_max: float = Field(
        0.05, alias="DUP_MAX", ge=0, le=1, allow_inf_nan=False,
        description="Largest share of synthetic rows that repeat a training row (privacy.dup_rate) that passes.",
    )
    out: str = Field(
        "results", alias="SYNTHLOOM_OUT", min_length=1,
        description="Folder under which `synthloom run` makes a folder per table when no --out is given.",
    )
    privacy: PrivacyLevel = Field(
        "default", alias="SYNTHLOOM_PRIVACY",
        description="Privacy level of a run that names none: low, default or high.",
    )
    holdout: float | None = Field(
        None, alias="SYNTHLOOM_HOLDOUT", gt=0, lt=0.9,
        description="Share of rows kept back to measure against in a run that names none; unset: a fifth, at most "
        "2,500 rows.",
    )
    max_attempts: int = Field(
        3, alias="SYNTHLOOM_MAX_ATTEMPTS", ge=1, le=20,
        description="How many plans a run may try until one passes every verdict.",
    )
    budget: float | None = Field(
        120, alias="SYNTHLOOM_BUDGET",
        description="Time that choosing and learning may take in a run with --method auto that names none: seconds, "
        "60s, 2m or 1h30m. none: nothing is measured beforehand, and rules choose.",
    )
    log_dir: str | None = Field(
        None, alias="SYNTHLOOM_LOG_DIR", min_length=1,
        description="Folder for the log of an unexpected error; unset: synthloom/ in the system's temporary folder.",
    )

    @field_validator("budget", mode="before")
    @classmethod
    def _read_budget(cls, value: Any) -> float | None:
        try:
            return None if value is None else read_budget(value)
        except UsageError:
            raise PydanticCustomError("budget", "it is no time such as 60s, 2m or 1h30m, nor none") from None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the variables above out of `environ` (default: the process's).

        Raises:
            UsageError: a value cannot be used; the message names the variable, the value and what is allowed.
        """
        source = os.environ if environ is None else environ
        given = {name: source[name] for name in variables() if source.get(name, "").strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _explained(error) from None

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The default thresholds with the limits set here."""
        limits = {"KS_MAX": self.ks_max, "CORR_MAX": self.corr_max, "MIA_MAX": self.mia_max, "DUP_MAX": self.dup_max}
        return tuple(t.model_copy(update={"limit": limits.get(t.name, t.limit)}) for t in DEFAULT_THRESHOLDS)


def variables() -> dict[str, str]:
    """Every variable's name with its description, in order."""
    return {str(field.alias): field.description or "" for field in Settings.model_fields.values()}


def likely_misspelt(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """SYNTHLOOM_ variables that nobody reads but that look like one that is read: name to likely name.

    They are no error: container platforms add variables of their own, such as SYNTHLOOM_SERVICE_HOST.
    """
    known = list(variables())
    found = {}
    for name in os.environ if environ is None else environ:
        if name.startswith("SYNTHLOOM_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.88)
            if close:
                found[name] = close[0]
    return found


def _explained(error: ValidationError) -> UsageError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    value: Any = first["input"]
    return UsageError(
        f"{value!r} cannot be used: {first['msg'].lower()}.", where=f"environment variable {name}",
        do=f"{variables().get(name, '')} Unset it to use the default.",
    )
