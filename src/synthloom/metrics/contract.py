"""What every metric promises. `testing/check_metric.py` holds a metric to it.

A metric is a function from `Tables` to `Measured` or `Undefined`, with its facts declared beside it:

    @metric(key="utility.ks_mean", title=…, explanation=…, direction=Direction.LOWER, ideal=0, low=0, high=1, source=…)
    def ks_mean(tables: Tables) -> Measured | Undefined: ...

It never returns NaN, a default or a made-up number: what cannot be measured is `Undefined(reason)`, what breaks raises.
Its details hold names of columns, never a cell, and no number about fewer than `min_support` records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError
from synthloom.domain.event import Cancelled, never
from synthloom.domain.measurement import Chapter, Direction, Measured, MetricInfo, Undefined
from synthloom.domain.schema import Schema

T = TypeVar("T")


@dataclass
class Tables:
    """What a metric may look at: canonical tables of one schema.

    Attributes:
        train: Rows the method has learnt from.
        holdout: Rows of the same source it has not seen; None when there are none.
        synthetic: Rows it has drawn.
        schema: The one schema of all three.
        seed: Seed of every random choice a metric makes, so that metrics don't depend on their order.
        cancelled: Asked between pieces of long work.
        min_support: No detail is given about fewer distinct records.
        floor: True when half of the holdout stands in for synthetic data (real against real).
        quick: True when many tables are measured to be compared: work that only explains a number is left out.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame | None
    synthetic: pd.DataFrame
    schema: Schema
    seed: int = 0
    cancelled: Cancelled = never
    min_support: int = 5
    floor: bool = False
    quick: bool = False
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose."""
        return np.random.default_rng([self.seed, *purpose.encode()])

    def check_cancelled(self) -> None:
        """Raise CancelledError when the run was cancelled; called between pieces of long work."""
        if self.cancelled():
            raise CancelledError("Measuring was cancelled.")

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """Work that several metrics need, done once (encodings, neighbour distances)."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]  # type: ignore[no-any-return]


Compute = Callable[[Tables], Measured | Undefined]


@dataclass(frozen=True)
class Metric:
    """A metric's facts and its function.

    Attributes:
        info: What it is.
        compute: The function.
        floored: Whether real against real says something about it (`Measurement.floor`).
    """

    info: MetricInfo
    compute: Compute
    floored: bool = True


def metric(
    *, key: str, title: str, explanation: str, direction: Direction, source: str,
    ideal: float | None = None, low: float | None = None, high: float | None = None,
    inputs: tuple[Literal["train", "holdout", "synthetic"], ...] = ("train", "holdout", "synthetic"),
    floored: bool = True, chapter: Chapter | None = None,
) -> Callable[[Compute], Metric]:
    """Declare a metric; the decorated name becomes a `Metric`."""
    info = MetricInfo(
        key=key, title=title, explanation=explanation, direction=direction, ideal=ideal, low=low, high=high,
        inputs=inputs, source=source, chapter=chapter,
    )
    return lambda compute: Metric(info, compute, floored)
