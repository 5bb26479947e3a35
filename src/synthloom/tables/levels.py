"""The levels of one column: labels, shared values and intervals, each resting on at least k records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MAX_INTERVALS = 512
"""Most intervals a column is cut into: finer than any sample can tell from the truth."""


@dataclass(frozen=True)
class Levels:
    """Levels in order.

    Attributes:
        counts: (L,) int64 records behind each.
        labels: (L,) int64 positions in the schema's categories; empty for a column on a line.
        low, high: (L,) float64 ends of each level on a line; equal for an atom. Empty for labels.
        step, offset: Values on a line are offset + whole multiples of step; step 0: no grid is known.
    """

    counts: np.ndarray
    labels: np.ndarray
    low: np.ndarray
    high: np.ndarray
    step: float = 0.0
    offset: float = 0.0

    def find(self, values: np.ndarray) -> np.ndarray:
        """(n,) int64 level of each value on a line; -1 where there is none."""
        found = np.full(len(values), -1, dtype=np.int64)
        atom = self.low == self.high
        atoms, intervals = np.flatnonzero(atom), np.flatnonzero(~atom)
        if len(intervals):
            # Neighbouring intervals share an edge or leave a gap that only atoms fill: the lower ends decide.
            slot = np.searchsorted(self.low[intervals], values, side="right") - 1
            found = intervals[np.clip(slot, 0, None)]
        if len(atoms):
            slot = np.minimum(np.searchsorted(self.low[atoms], values), len(atoms) - 1)
            found = np.where(self.low[atoms[slot]] == values, atoms[slot], found)
        return found

    def place(self, level: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(n,) values on a line at `inside` (0 to 1) of each level, on the grid."""
        values = self.low[level] + inside * (self.high[level] - self.low[level])
        if self.step:
            on_grid = self.offset + self.step * np.rint((values - self.offset) / self.step)
            values = np.where(self.low[level] == self.high[level], values, on_grid)
        return values

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays for a model file."""
        named = {"counts": self.counts, "labels": self.labels, "low": self.low, "high": self.high}
        return {prefix + name: array for name, array in named.items()}

    @classmethod
    def from_arrays(cls, prefix: str, arrays: dict[str, np.ndarray], step: float, offset: float) -> Levels:
        """The inverse of `arrays`."""
        counts, labels, low, high = (arrays[prefix + name] for name in ("counts", "labels", "low", "high"))
        return cls(counts, labels, low, high, step, offset)


_NONE = np.zeros(0)
_NO_LABELS = np.zeros(0, dtype=np.int64)


def label_levels(codes: np.ndarray, n_labels: int, min_support: int) -> Levels:
    """Levels of a discrete column: its labels that at least `min_support` records hold.

    Args:
        codes: (n,) label positions of the filled cells.
        n_labels: How many labels the schema has.
        min_support: k.
    """
    counts = np.bincount(codes, minlength=n_labels).astype(np.int64)
    kept = np.flatnonzero(counts >= min_support)
    return Levels(counts[kept], kept.astype(np.int64), _NONE, _NONE)


def line_levels(values: np.ndarray, min_support: int, digits: int | None) -> Levels:
    """Levels of a column on a line: values that k records share, and intervals of k records or more for the rest.

    Args:
        values: (n,) float64 filled cells.
        min_support: k.
        digits: Decimal places that values have, to find the grid they lie on; None: not known.
    """
    distinct, counts = np.unique(values, return_counts=True)
    step, offset = _grid(distinct, digits)
    shared = counts >= min_support
    atoms, atom_counts = distinct[shared], counts[shared]
    low, high, interval_counts = _intervals(np.repeat(distinct[~shared], counts[~shared]), min_support)
    lows, highs = np.r_[atoms, low], np.r_[atoms, high]
    order = np.lexsort((highs, (lows + highs) / 2))
    all_counts = np.r_[atom_counts, interval_counts].astype(np.int64)
    return Levels(all_counts[order], _NO_LABELS, lows[order], highs[order], step, offset)


def _intervals(rest: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut sorted values into intervals of at least k records; fewer than k values in all make none."""
    m = len(rest)
    if m < k:
        return _NONE, _NONE, np.zeros(0, dtype=np.int64)
    wanted = max(1, min(m // (2 * k), _MAX_INTERVALS))
    cuts = np.linspace(0, m, wanted + 1).round().astype(np.int64)[1:-1]
    cuts = np.unique(np.searchsorted(rest, rest[cuts], side="left"))  # equal values stay together
    kept, last = [], 0
    for cut in cuts.tolist():
        if cut - last >= k and m - cut >= k:
            kept.append(cut)
            last = cut
    inner = np.array(kept, dtype=np.int64)
    edges = np.r_[rest[:k].mean(), (rest[inner - 1] + rest[inner]) / 2, rest[-k:].mean()]
    if edges[0] >= edges[-1]:  # all values within rounding of each other
        edges = np.array([edges[0], np.nextafter(edges[0], np.inf)])
        inner = inner[:0]
    return edges[:-1], edges[1:], np.diff(np.r_[0, inner, m])


def _grid(distinct: np.ndarray, digits: int | None) -> tuple[float, float]:
    """The widest step of which all values are whole multiples, up to an offset; (0, 0) where there is none.

    The offset is told modulo the step, so it gives no value away.
    """
    if digits is None or len(distinct) < 2:
        return 0.0, 0.0
    scale = 10.0**digits
    scaled = np.rint(distinct * scale)
    if np.abs(scaled).max() >= 2**53:
        return 0.0, 0.0
    whole = scaled.astype(np.int64)
    step = int(np.gcd.reduce(np.diff(whole)))
    return (step / scale, int(whole[0] % step) / scale) if step > 1 else (1 / scale, 0.0)


def group_levels(counts: np.ndarray, most: int) -> np.ndarray:
    """Group neighbouring light levels into at most `most` codes of like weight; heavy levels stay alone.

    Args:
        counts: (L,) records behind each level.
        most: Most groups.

    Returns:
        (groups + 1,) int64 first level of each group, and L at the end.
    """
    n = len(counts)
    if n <= most:
        return np.arange(n + 1, dtype=np.int64)
    share = 2 * counts.sum() / most
    starts, weight = [0], 0
    for level, count in enumerate(counts.tolist()):
        if level > starts[-1] and weight + count > share:
            starts.append(level)
            weight = 0
        weight += count
    return np.array([*starts, n], dtype=np.int64)
