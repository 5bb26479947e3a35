"""Shares asked of a column's values, as cells to fix: rows that are rebalanced are rows under conditions."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import UsageError
from synthloom.domain.schema import Schema
from synthloom.tables.conditions import read_conditions

Shares = Mapping[str, Mapping[Any, float]]
"""Column name → value → share of the rows; None for a missing cell."""

_OFF = 0.005
"""How far shares may be from 1 together: they are written by hand."""


def fixed_cells(
    n: int, schema: Schema, conditions: Mapping[str, Any] | pd.DataFrame | None, shares: Shares | None,
    rng: np.random.Generator,
) -> pd.DataFrame | None:
    """Conditions and shares as the canonical frame that `Method.sample` takes; None where neither is given.

    Args:
        n: Rows to be sampled.
        schema: Schema of the table the synthesizer was fitted on.
        conditions: As in `read_conditions`.
        shares: Values as in conditions. Each value gets its share of the n rows, to the nearest row, in rows drawn at
            random, independently for each column. The shares of a column add up to 1.
        rng: Draws which rows.

    Raises:
        UnknownNameError, UsageError: as in `read_conditions`; shares that are no shares, or of a column that has
            conditions too.
    """
    if conditions is None and shares is None:
        return None
    given: dict[str, Any] = {str(name): value for name, value in (() if conditions is None else conditions.items())}
    for name, column in (shares or {}).items():
        if name in given:
            raise UsageError("a column cannot have both conditions and shares.", where=_where(name), do="Give one.")
        given[name] = _spread(str(name), column, n, schema, rng)
    return read_conditions(given, n, schema)


def _spread(name: str, shares: Mapping[Any, float], n: int, schema: Schema, rng: np.random.Generator) -> list[Any]:
    """n values, each as often as is asked for, in random order."""
    if not isinstance(shares, Mapping) or not shares:
        raise UsageError("shares are a mapping from values to numbers.", where=_where(name),
                         do="Give such as {'yes': 0.5, 'no': 0.5}.")
    values, parts = list(shares), [_share(name, share) for share in shares.values()]
    total = math.fsum(parts)
    if abs(total - 1) > _OFF:
        raise UsageError(f"the shares add up to {total:.4g}, not to 1.", where=_where(name),
                         do="Name every value that is to come, with shares that add up to 1.")
    read_conditions({name: values}, len(values), schema)  # values that get no row are to be right too
    places = rng.permutation(np.repeat(np.arange(len(values)), _counts(np.array(parts) / total, n)))
    return [values[place] for place in places]


def _share(name: str, share: Any) -> float:
    number = float(share) if isinstance(share, numbers.Real) and not isinstance(share, bool) else math.nan
    if not 0 <= number <= 1:
        raise UsageError(f"{share!r} is no share.", where=_where(name), do="Give a number from 0 to 1.")
    return number


def _counts(parts: np.ndarray, n: int) -> np.ndarray:
    """(values,) whole numbers that add up to n: rounded down, then one more where most was cut off."""
    counts: np.ndarray = np.floor(parts * n + 1e-9).astype(np.int64)
    first = np.argsort(counts - parts * n, kind="stable")
    counts[first[: n - int(counts.sum())]] += 1
    return counts


def _where(name: str) -> str:
    return f"shares, column {name!r}"
