"""The numbers behind a column's overlay: shares of groups, never a record.

Every group that is shown holds no real record or at least `min_support` of them. Histogram edges are round numbers
outside of which fewer than `min_support` records may lie uncounted: those count in the outermost bins.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from synthloom.domain.report import Atom, DiscreteFigure, NumericFigure
from synthloom.domain.schema import Column, Kind
from synthloom.tables.canonical import labels_to_codes, to_float

MAX_BINS = 32
MAX_LABELS = 8
MAX_ORDERED = 16
ATOM_SHARE = 0.3  # a value this frequent would flatten the histogram of the others
_DAY = 86400.0
_CLOCK_STEPS = (
    1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10800.0, 21600.0, 43200.0, _DAY, 2 * _DAY, 7 * _DAY,
)
_MONTH_STEPS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
_ROUND = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # steps of a decade on an asinh axis


def column_figure(
    train: pd.Series, synthetic: pd.Series, column: Column, min_support: int
) -> NumericFigure | DiscreteFigure | None:
    """The overlay of one column, or None where the column has none or too few records to show safely.

    Args:
        train: Its canonical cells the method has learnt from.
        synthetic: Its canonical cells as delivered.
        column: What it is.
        min_support: Smallest number of real records behind a share.
    """
    if column.kind.is_numeric:
        return _numeric(to_float(train, column.kind), to_float(synthetic, column.kind), column, min_support)
    if column.kind.is_discrete:
        return _discrete(labels_to_codes(train), labels_to_codes(synthetic), column, min_support)
    return None


def missing_share(series: pd.Series, min_support: int = 1) -> float:
    """Share of missing cells in 0 … 1; a count from 1 to min_support - 1 is told as min_support."""
    count = int(series.isna().sum())
    if 0 < count < min_support:
        count = min(min_support, len(series))
    return count / len(series) if len(series) else 0.0


def column_shape(train: pd.Series, synthetic: pd.Series, column: Column) -> float | None:
    """1 minus the Kolmogorov–Smirnov distance (numbers, times) or the total variation distance (labels).

    Returns:
        A score in 0 … 1, 1 is best; None where either side has no filled cell or the column is not modelled.
    """
    if column.kind.is_numeric:
        real, drawn = (np.sort(x[~np.isnan(x)]) for x in (to_float(s, column.kind) for s in (train, synthetic)))
        if not len(real) or not len(drawn):
            return None
        points = np.unique(np.concatenate([real, drawn]))
        steps = [np.searchsorted(x, points, side="right") / len(x) for x in (real, drawn)]
        return float(1 - np.abs(steps[0] - steps[1]).max())
    if column.kind.is_discrete:
        counts = [_label_counts(labels_to_codes(s), column) for s in (train, synthetic)]
        if not all(c.sum() for c in counts):
            return None
        return float(1 - np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum() / 2)
    return None


def _discrete(train: np.ndarray, synthetic: np.ndarray, column: Column, min_support: int) -> DiscreteFigure | None:
    real, drawn = _label_counts(train, column), _label_counts(synthetic, column)
    if not real.sum() or not drawn.sum():
        return None
    ranked = np.argsort(-real, kind="stable")
    shown = int(min((real >= min_support).sum(), MAX_ORDERED if column.kind is Kind.ORDERED else MAX_LABELS))
    # Few labels under `other` could be counted back from the rest, so it takes in the next rarest until it is safe.
    while shown and 0 < real[ranked[shown:]].sum() < min_support:
        shown -= 1
    if not shown:
        return None
    keep = np.sort(ranked[:shown]) if column.kind in (Kind.ORDERED, Kind.BOOLEAN) else ranked[:shown]
    rest = ranked[shown:]
    parts = [(np.append(c[keep], c[rest].sum()) if len(rest) else c[keep]) / c.sum() for c in (real, drawn)]
    return DiscreteFigure(
        labels=tuple(column.categories[i] for i in keep), real=tuple(parts[0].tolist()),
        synthetic=tuple(parts[1].tolist()), other=len(rest),
    )


def _label_counts(codes: np.ndarray, column: Column) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=len(column.categories))


def _numeric(train: np.ndarray, synthetic: np.ndarray, column: Column, min_support: int) -> NumericFigure | None:
    real, drawn = np.sort(train[~np.isnan(train)]), synthetic[~np.isnan(synthetic)]
    totals = len(real), len(drawn)
    if totals[0] < 2 * min_support or not totals[1]:
        return None
    atom = _atom(real, drawn, min_support)
    if atom is not None:
        real, drawn = real[real != atom.value], drawn[drawn != atom.value]
    # Wide tails would leave one bar: everything beyond the outermost 0.05% counts in the outermost bins.
    tails = np.quantile(real, [0.0005, 0.9995])
    low, high = max(float(real[min_support - 1]), tails[0]), min(float(real[-min_support]), tails[1])
    unit = None if column.kind in (Kind.DATE, Kind.TIMESTAMP) else _skew_unit(real)
    edges = _edges(low, high, column.kind, len(real)) if unit is None else _asinh_edges(low, high, unit)
    edges, counts = _join_small(edges, _histogram(real, edges), _histogram(drawn, edges), min_support)
    return NumericFigure(
        edges=tuple(edges.tolist()), real=tuple((counts[0] / totals[0]).tolist()),
        synthetic=tuple((counts[1] / totals[1]).tolist()), atom=atom,
        scale="linear" if unit is None else "asinh", unit=unit or 1.0,
    )


def _atom(real: np.ndarray, drawn: np.ndarray, min_support: int) -> Atom | None:
    """The most frequent of the sorted real values, if frequent and if enough others are left for a histogram."""
    starts = np.flatnonzero(np.append(True, real[1:] != real[:-1]))  # `real` is sorted
    values, counts = real[starts], np.diff(np.append(starts, len(real)))
    i = int(counts.argmax())
    if len(values) < 8 or counts[i] < ATOM_SHARE * len(real) or len(real) - counts[i] < 4 * min_support:
        return None
    return Atom(value=float(values[i]), real=float(counts[i] / len(real)), synthetic=float((drawn == values[i]).mean()))


def _histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(places, minlength=len(edges) - 1)


def _join_small(
    edges: np.ndarray, real: np.ndarray, drawn: np.ndarray, min_support: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Join each bin with 1 to min_support - 1 real records to its emptier neighbour, rarest first."""
    bounds, a, b = edges.tolist(), real.tolist(), drawn.tolist()
    while len(a) > 1:
        small = [i for i, count in enumerate(a) if 0 < count < min_support]
        if not small:
            break
        i = min(small, key=lambda j: a[j])
        sides = [j for j in (i - 1, i + 1) if 0 <= j < len(a)]
        left = min(i, min(sides, key=lambda j: a[j]))
        a[left : left + 2] = [a[left] + a[left + 1]]
        b[left : left + 2] = [b[left] + b[left + 1]]
        del bounds[left + 1]
    return np.array(bounds), (np.array(a), np.array(b))


def _skew_unit(real: np.ndarray) -> float | None:
    """Where an asinh axis should turn from even to logarithmic, or None where a plain axis shows the column well."""
    lowest, lower, upper, highest = np.quantile(real, [0.005, 0.25, 0.75, 0.995])
    if highest - lowest <= 8 * (upper - lower):
        return None
    magnitudes = np.abs(real[real != 0])
    unit = 10.0 ** math.floor(math.log10(max(float(np.quantile(magnitudes, 0.05)), 1e-300)))
    return float(unit) if max(-lowest, highest) >= 30 * unit else None


def _edges(low: float, high: float, kind: Kind, n: int) -> np.ndarray:
    bins = int(np.clip(math.ceil(2 * n ** (1 / 3)), 8, MAX_BINS))
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return _calendar_edges(low, high, bins, whole_days=kind is Kind.DATE)
    span = (high - low) / bins
    if kind is Kind.DURATION and span <= _CLOCK_STEPS[-1]:
        step = next(s for s in _CLOCK_STEPS if s >= span)
    else:
        step = round_up(span if span > 0 else max(abs(low) * 0.01, 1e-9))
    if kind is Kind.INTEGER and step <= 1:
        return np.arange(math.floor(low), math.floor(high) + 2) - 0.5
    return _multiples(low, high, step)


def _multiples(low: float, high: float, step: float) -> np.ndarray:
    first, last = math.floor(low / step), math.floor(high / step) + 1
    digits = max(0, 2 - math.floor(math.log10(step)))
    return np.round(np.arange(first, last + 1) * step, digits)


def round_up(x: float) -> float:
    """The smallest of 1, 2, 2.5, 5 × 10^n that is at least `x` (> 0)."""
    decade = 10.0 ** math.floor(math.log10(x))
    return next((m * decade for m in (1.0, 2.0, 2.5, 5.0) if m * decade >= x * (1 - 1e-9)), 10 * decade)


def _asinh_edges(low: float, high: float, unit: float) -> np.ndarray:
    top = max(abs(low), abs(high), unit)
    decades = range(round(math.log10(unit)), math.ceil(math.log10(top)) + 2)
    up = np.array([0.0, *(float(f"{m:g}e{d}") for d in decades for m in _ROUND)])
    grid = np.unique(np.concatenate([-up[1:], up]) if low < 0 else up)
    first = max(int(np.searchsorted(grid, low, side="right")) - 1, 0)
    last = min(int(np.searchsorted(grid, high, side="right")), len(grid) - 1)
    return grid[first : max(last, first + 1) + 1]


def _calendar_edges(low: float, high: float, bins: int, *, whole_days: bool) -> np.ndarray:
    span = (high - low) / bins
    steps = [s for s in _CLOCK_STEPS if s >= _DAY or not whole_days]
    if span <= steps[-1]:
        return _multiples(low, high, next(s for s in steps if s >= span))
    months = next((m for m in _MONTH_STEPS if m * 30.44 * _DAY >= span), _MONTH_STEPS[-1])
    ends = np.array([math.floor(low), math.floor(high)]).astype("datetime64[s]").astype("datetime64[M]").astype(int)
    first, last = (ends // months).tolist()
    starts = (np.arange(first, last + 2) * months).astype("datetime64[M]")
    return starts.astype("datetime64[s]").astype("int64").astype("float64")
