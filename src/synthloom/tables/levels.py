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
        low, high = self.low[level], self.high[level]
        values = (1 - inside) * low + inside * high  # the width itself may be beyond what a float holds
        if self.step:
            values = self.offset + self.step * np.rint((values - self.offset) / self.step)
        return np.asarray(np.where(low == high, low, values))

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
    shared = counts >= min_support
    step, offset = _grid(distinct, shared, min_support, digits)
    atoms, atom_counts = distinct[shared], counts[shared]
    low, high, interval_counts = _intervals(
        np.repeat(distinct[~shared], counts[~shared]), min_support, step, offset
    )
    lows, highs = np.r_[atoms, low], np.r_[atoms, high]
    order = np.lexsort((highs, lows / 2 + highs / 2))
    all_counts = np.r_[atom_counts, interval_counts].astype(np.int64)
    return Levels(all_counts[order], _NO_LABELS, lows[order], highs[order], step, offset)


def _intervals(rest: np.ndarray, k: int, step: float, offset: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    first, last = (inner[0], m - inner[-1]) if len(inner) else (m, m)
    lowest, highest = -outer_edge(-rest[:first][::-1], k), outer_edge(rest[m - last :], k)
    edges = np.r_[lowest, _inner_edges(rest[inner - 1], rest[inner], step, offset), highest]
    if edges[0] >= edges[-1]:  # all values within rounding of each other
        edges = np.sort([edges[0], np.nextafter(edges[0], 0.0 if edges[0] else 1.0)])
        inner = inner[:0]
    return edges[:-1], edges[1:], np.diff(np.r_[0, inner, m])


def _inner_edges(below: np.ndarray, above: np.ndarray, step: float, offset: float) -> np.ndarray:
    """A rough number about halfway between neighbouring values: who knows one of them cannot work out the other.

    It is a multiple of a power of two (times the step, on a grid) that is a quarter to a half of their distance, so
    that it lies strictly between them. Neighbours on a grid are parted halfway.
    """
    middle, half = below / 2 + above / 2, above / 2 - below / 2
    wide = half > 1e-290
    unit = (step or 1.0) * np.exp2(np.floor(np.log2(np.where(wide, half, 1.0) / (step or 1.0))))
    rough = offset + unit * np.rint((middle - offset) / unit)
    inside = wide & (rough > below) & (rough < above)
    return np.where(inside, rough, middle)


def outer_edge(values: np.ndarray, k: int) -> float:
    """Mean of the k largest of sorted values, k of them at least; one that alone would carry it off is passed over.

    A mean above all values but the largest tells that one record's value, nearly (the dominance rule of statistical
    disclosure control: Hundepool et al. 2012, ch. 4), and would stretch the interval over nothing.
    """
    m = len(values)
    scale = 2.0**-64 if np.abs(values).max() > 1e290 else 1.0
    end = m
    while True:
        top = values[end - k : end] * scale
        mean = float(np.clip(top.mean(), top[0], top[-1]) / scale)
        if mean <= values[end - 2] or m - end >= min(k // 3, (m - k) // 2):
            return mean
        end -= 1


def _grid(distinct: np.ndarray, shared: np.ndarray, k: int, digits: int | None) -> tuple[float, float]:
    """The widest step of which all values are whole multiples, up to an offset; (0, 0) where there is none.

    Where fewer than k values lie on the step and those that k records share do not show it by themselves, it would
    tell how far apart single records lie: then the decimal places alone make the grid. The offset is told modulo the
    step, so it gives no value away.
    """
    if digits is None or len(distinct) < 2:
        return 0.0, 0.0
    scale = 10.0**digits
    if np.abs(distinct).max() >= 2**53 / scale:
        return 0.0, 0.0
    whole = np.rint(distinct * scale).astype(np.int64)
    step = int(np.gcd.reduce(np.diff(whole)))
    known = len(distinct) >= k or int(np.gcd.reduce(np.diff(whole[shared]))) == step
    return (step / scale, int(whole[0] % step) / scale) if step > 1 and known else (1 / scale, 0.0)


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
