"""How metrics look at canonical tables: samples, row keys, matrices for trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthloom.domain.measurement import Undefined
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.metrics.contract import Tables
from synthloom.tables.canonical import labels_to_codes, to_float

MAX_LEVELS = 254
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def too_few(tables: Tables, rows: int = 2, *, holdout: int | None = None) -> Undefined | None:
    """Why the tables are too small for a metric, or None.

    Args:
        tables: The tables.
        rows: Rows that training and synthetic table need.
        holdout: Rows that the holdout needs; None: no holdout is needed.
    """
    for name, table in (("training", tables.train), ("synthetic", tables.synthetic)):
        if len(table) < rows:
            return Undefined(reason=f"It needs at least {rows} {name} rows; there are {len(table)}.")
    if holdout is None:
        return None
    if tables.holdout is None:
        return Undefined(reason="There are no holdout rows to compare with.")
    if len(tables.holdout) < holdout:
        return Undefined(reason=f"It needs at least {holdout} holdout rows; there are {len(tables.holdout)}.")
    return None


def held_out(tables: Tables) -> pd.DataFrame:
    """The holdout of tables that have one."""
    if tables.holdout is None:
        raise AssertionError("asked for a holdout that is not there")
    return tables.holdout


def pick(n: int, cap: int, rng: np.random.Generator) -> np.ndarray:
    """At most `cap` row positions out of n, in order."""
    return np.arange(n) if n <= cap else np.sort(rng.choice(n, cap, replace=False))


def numbers(table: pd.DataFrame, column: Column) -> np.ndarray:
    """A numeric column as float64, NaN where missing; times in microseconds, so that whole ones stay exact."""
    values = to_float(table[column.name], column.kind)
    return values * 1e6 if column.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.DURATION) else values


def codes(table: pd.DataFrame, column: Column) -> np.ndarray:
    """A discrete column as int32 positions in the schema's labels, -1 where missing."""
    return labels_to_codes(table[column.name])


def _cell_bits(table: pd.DataFrame, column: Column) -> np.ndarray:
    series = table[column.name]
    if column.kind.is_discrete:
        return codes(table, column).astype(np.int64).view(np.uint64)
    if column.kind is Kind.INTEGER:
        return series.to_numpy(dtype=np.int64, na_value=np.iinfo(np.int64).min).view(np.uint64)
    if column.kind is Kind.DECIMAL:
        values = to_float(series, column.kind) + 0.0  # turns -0.0 into 0.0
        values[np.isnan(values)] = np.nan  # one NaN out of many bit patterns
        return values.view(np.uint64)
    unit = "timedelta64[us]" if column.kind is Kind.DURATION else "datetime64[us]"
    return series.to_numpy(dtype=unit).astype(np.int64).view(np.uint64)


def row_keys(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """One uint64 per row: equal where all modelled cells are equal, else different but for a chance of 2**-64."""
    key = np.zeros(len(table), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in schema.modelled:
            key = (key + _MIX[0]) ^ _cell_bits(table, column)
            key = (key ^ (key >> np.uint64(30))) * _MIX[1]
            key = (key ^ (key >> np.uint64(27))) * _MIX[2]
            key ^= key >> np.uint64(31)
    return key


def shared_keys(tables: Tables) -> dict[str, np.ndarray]:
    """Row keys of `train`, `synthetic` and, where there is one, `holdout`."""

    def make() -> dict[str, np.ndarray]:
        frames = {"train": tables.train, "synthetic": tables.synthetic}
        if tables.holdout is not None:
            frames["holdout"] = tables.holdout
        return {name: row_keys(frame, tables.schema) for name, frame in frames.items()}

    return tables.shared("row_keys", make)


def once(keys: np.ndarray) -> np.ndarray:
    """Bool per row: no other row has its key."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] == 1)


def tree_matrices(
    tables: Tables, frames: Sequence[pd.DataFrame], columns: Sequence[Column]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames as matrices for decision trees.

    Numbers are scaled to 0..1 over all frames, which trees don't notice and float32 survives. Labels are integers
    from 0; beyond 254 labels the rarer ones of all frames share one.

    Args:
        tables: Whose `cancelled` is asked.
        frames: Canonical rows.
        columns: Modelled columns to use.

    Returns:
        float64 matrices of shape (rows, len(columns)), NaN where missing, and a bool mask of the discrete columns.
    """
    sizes = [len(f) for f in frames]
    joined = np.empty((sum(sizes), len(columns)))
    for j, column in enumerate(columns):
        tables.check_cancelled()
        if column.kind.is_discrete:
            joined[:, j] = _few_levels(np.concatenate([codes(f, column) for f in frames]), len(column.categories))
        else:
            joined[:, j] = _unit_scale(np.concatenate([numbers(f, column) for f in frames]))
    discrete = np.array([c.kind.is_discrete for c in columns], dtype=bool)
    return np.split(joined, np.cumsum(sizes)[:-1]), discrete


def _few_levels(values: np.ndarray, n_labels: int) -> np.ndarray:
    if n_labels > MAX_LEVELS:
        order = np.argsort(-np.bincount(values[values >= 0], minlength=n_labels), kind="stable")
        places = np.full(n_labels + 1, MAX_LEVELS - 1, dtype=np.int64)
        places[order[: MAX_LEVELS - 1]] = np.arange(MAX_LEVELS - 1)
        places[-1] = -1  # where a missing cell's -1 points
        values = places[values]
    return np.where(values < 0, np.nan, values.astype(float))


def _unit_scale(values: np.ndarray) -> np.ndarray:
    filled = values[~np.isnan(values)]
    if not len(filled) or filled.min() == filled.max():
        return np.where(np.isnan(values), np.nan, 0.0)
    low, high = filled.min() / 2, filled.max() / 2  # halves: the range of huge values must not overflow
    return np.asarray((values / 2 - low) / (high - low), dtype=float)
