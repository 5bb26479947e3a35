"""What every method promises. `testing/check_method.py` holds a method to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from synthloom.domain.errors import ParamsError
from synthloom.domain.event import Cancelled, Emit, ignore, never
from synthloom.domain.guarantee import Guarantee, NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods.synonyms import own_values

Arrays = dict[str, np.ndarray]
Conditions: TypeAlias = "pd.DataFrame"
"""Fixed cells for conditional sampling: one row per row to sample, some modelled columns, canonical dtypes."""


class MethodParams(BaseModel):
    """Base of every method's parameters: described, bounded, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P = TypeVar("P", bound=MethodParams)


@dataclass(frozen=True)
class MethodInfo:
    """What a method is, for listings and documentation."""

    name: str
    title: str
    summary: str
    paper: str
    aliases: tuple[str, ...] = ()
    dp: bool = False
    conditional: bool = False
    imputes: bool = False
    needs: str | None = None  # the extra to install, such as "neural"
    claim: str = ""  # why the privacy that its maker states is no guarantee; empty: nothing is stated


class Method(ABC, Generic[P]):
    """A way to learn a table and draw new rows from it.

    The constructor only stores; `fit` validates and learns; `sample` draws. `fit` keeps no reference to the table.
    A table is canonical (`tables/canonical.py`): the schema's columns in order, each in its kind's dtype.
    """

    info: ClassVar[MethodInfo]
    Params: ClassVar[type[MethodParams]]
    backend: ClassVar[str] = "native"
    """Who implements it."""
    savable: ClassVar[bool] = True
    """Whether `state` gives all that it has learnt; false for methods that live in another interpreter."""
    sequences: ClassVar[bool] = False
    """Whether it learns and draws whole sequences, by the schema's sequence key."""
    meanings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """What names of parameters that others use mean here, beyond `methods/synonyms.py`: own names, one or several."""
    lacks: ClassVar[Mapping[str, str]] = {}
    """Names of parameters that others use and that have no counterpart here → why."""

    def __init__(self, params: P) -> None:
        self.params = params

    @classmethod
    def make_params(cls, values: Mapping[str, Any]) -> MethodParams:
        """Validate parameter values; an unknown name or a value out of bounds is a `ParamsError` that says which."""
        try:
            return cls.Params.model_validate(dict(values))
        except ValidationError as error:
            raise ParamsError(
                explain_validation(error), where=f"method {cls.info.name}",
                do=f"Its parameters are: {', '.join(cls.Params.model_fields) or 'none'}.",
            ) from None

    @classmethod
    def own_values(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameter values under this method's own names, whichever of their known names they came under."""
        return own_values(values, list(cls.Params.model_fields), cls.meanings, f"method {cls.info.name}")

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:  # noqa: ARG003  # a method without such settings ignores the level
        """Parameter values that this method stands for at a privacy level; a person's own values override them."""
        return {}

    @classmethod
    def budget_params(cls, seconds: float) -> dict[str, Any]:
        """Parameter values that end `fit` within so many seconds; none for methods that cannot plan their time."""
        return {"max_seconds": seconds} if "max_seconds" in cls.Params.model_fields else {}

    @classmethod
    def device_params(cls, device: str) -> dict[str, Any]:
        """Parameter values that put the work on a device; none for methods that know one only."""
        return {"device": device} if "device" in cls.Params.model_fields else {}

    @abstractmethod
    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Learn from a canonical table.

        Raises:
            FitError: the table cannot be learnt from.
            CancelledError: `cancelled()` turned true; noticed within a second.
        """

    @abstractmethod
    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw `n` rows: a canonical table with exactly the schema's columns and dtypes.

        Args:
            n: Rows, 0 or more.
            rng: Source of all randomness; the same state gives the same rows on the same machine.
            conditions: Cells that must stand in the output as they are (n rows); only where `info.conditional`.
            emit: Progress, in steps of `sample`.
            cancelled: Asked often; when true, CancelledError is raised.
        """

    def impute(
        self, table: pd.DataFrame, rng: np.random.Generator,  # noqa: ARG002  # a method that cannot needs none of it
        emit: Emit = ignore, cancelled: Cancelled = never,  # noqa: ARG002
    ) -> pd.DataFrame:
        """A canonical table of the schema with its missing cells drawn given the other cells of their rows.

        Args:
            table: (n, columns) rows of any source, 0 or more; not changed.
            rng: Source of all randomness.
            emit: Progress, in steps of `sample`.
            cancelled: Asked often; when true, CancelledError is raised.

        Returns:
            The same table; only cells that were missing in modelled columns are other. They stay missing only in a
            column of which no value may be released.

        Raises:
            ParamsError: the method cannot impute (`info.imputes` is false).
        """
        raise ParamsError(
            "this method cannot fill missing cells.", where=f"method {self.info.name}",
            do="Choose a method that is marked as imputing in `synthloom methods`.",
        )

    @property
    def label_support(self) -> int | None:
        """Fewest records behind a label that the method may see under its own name; None: the least there is."""
        value = getattr(self.params, "min_support", None)
        return value if isinstance(value, int) else None

    def close(self) -> None:
        """Let go of what is held outside this process."""

    @property
    def peak_memory_mb(self) -> float | None:
        """Most memory that it has used outside this process, in MB; None: it works in this one."""
        return None

    def guarantee(self) -> Guarantee:
        """What is promised about privacy by this fitted method."""
        return NoGuarantee()

    @abstractmethod
    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """What `from_state` needs: arrays (no object dtype) and JSON-safe values; the schema is stored beside it."""

    @classmethod
    @abstractmethod
    def from_state(cls, params: P, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state; samples the same rows as the one it came from."""


def explain_validation(error: ValidationError) -> str:
    """A pydantic error as one sentence that names each field, what is wrong with it and the value given."""
    parts = []
    for item in error.errors(include_url=False):
        name = ".".join(str(p) for p in item["loc"]) or "value"
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown parameter {name!r}")
        else:
            parts.append(f"{name}={item['input']!r}: {item['msg'].lower()}")
    return "; ".join(parts) + "."
