"""Estimates and their uncertainty, in plain numpy.

Intervals rest on influence functions: each row's share in an estimate. Their mean square over n is its variance, they
add up over columns and classes, and for the area under a ROC curve they are DeLong's components.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from synthloom.domain.measurement import Interval

LEVEL = 0.95
CHANCE_KS = 0.8687  # mean of the Kolmogorov distribution, sqrt(pi / 2) * ln 2
HALF_NORMAL_MEAN = float(np.sqrt(2 / np.pi))


def z_value(level: float = LEVEL) -> float:
    """Two-sided normal quantile: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def clipped_interval(
    value: float, error: float, bounds: tuple[float, float], *,
    slack: tuple[float, float] = (0.0, 0.0), level: float = LEVEL,
) -> Interval:
    """Normal interval, clipped to what is possible.

    Args:
        value: The estimate.
        error: Its standard error.
        bounds: Smallest and largest possible value.
        slack: How much further it reaches down and up, to allow for the bias of distances, which chance alone makes
            positive.
        level: Confidence level.
    """
    reach = z_value(level) * error
    low = min(max(value - reach - slack[0], bounds[0]), value)
    high = max(min(value + reach + slack[1], bounds[1]), value)
    return Interval(low=low, high=high, level=level)


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean. Shape (n,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=float)


def auc_influence(scores: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC curve, ties counted half, and each row's influence on it.

    Args:
        scores: Higher means more likely positive, shape (n,).
        positive: Bool, shape (n,), with both values present.

    Returns:
        The area, and influences of shape (n,): their mean square over n is the area's variance.

    Source: DeLong, DeLong and Clarke-Pearson 1988; midranks as in Sun and Xu 2014.
    """
    n, n1 = len(scores), int(positive.sum())
    n0 = n - n1
    ranks = mid_ranks(scores)
    below = (ranks[positive] - mid_ranks(scores[positive])) / n0
    above = 1 - (ranks[~positive] - mid_ranks(scores[~positive])) / n1
    area = float(below.mean())
    influence = np.empty(n)
    influence[positive] = (below - area) * (n / n1)
    influence[~positive] = (above - area) * (n / n0)
    return area, influence


def standard_error(influence: np.ndarray, n: int | None = None) -> float:
    """Standard error of an estimate from its rows' influences.

    Args:
        influence: Shape (m,), maybe of a sample of the rows.
        n: Rows the estimate rests on; None: m.
    """
    return float(np.sqrt(np.mean(influence**2) / (n or len(influence)))) if len(influence) else 0.0


def auc_interval(area: float, error: float, smaller_class: int, level: float = LEVEL) -> Interval:
    """Interval of an area on the logit scale, which keeps it inside 0 and 1.

    A perfect separation has no observed spread; its interval is the one-sample binomial bound of the smaller class.
    """
    if area in (0.0, 1.0):
        bound = ((1 - level) / 2) ** (1 / smaller_class)
        low, high = (bound, 1.0) if area == 1.0 else (0.0, 1 - bound)
        return Interval(low=low, high=high, level=level)
    logit = np.log(area / (1 - area))
    reach = z_value(level) * error / (area * (1 - area))
    low, high = (1 / (1 + np.exp(-(logit + side * reach))) for side in (-1, 1))
    return Interval(low=min(float(low), area), high=max(float(high), area), level=level)


def share_interval(hits: float, n: int, level: float = LEVEL) -> Interval:
    """Wilson's interval of a share of n."""
    z, share = z_value(level), hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return Interval(low=max(0.0, min(centre - reach, share)), high=min(1.0, max(centre + reach, share)), level=level)


def ks_distance(real: np.ndarray, synthetic: np.ndarray) -> tuple[float, float, float]:
    """Two-sample Kolmogorov-Smirnov distance.

    Args:
        real, synthetic: Filled values, not empty.

    Returns:
        The distance, the value where it is reached, and the sign of real share minus synthetic share there.
    """
    a, b = np.sort(real), np.sort(synthetic)
    both = np.concatenate([a, b])
    both.sort(kind="stable")
    gaps = np.searchsorted(a, both, side="right") / len(a) - np.searchsorted(b, both, side="right") / len(b)
    at = int(np.argmax(np.abs(gaps)))
    return float(abs(gaps[at])), float(both[at]), float(np.sign(gaps[at]))


def variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation distance of two distributions on the same cells, from 0 to 1."""
    return min(float(0.5 * np.abs(p - q).sum()), 1.0)  # of nothing in common, rounding makes more


def chance_variation(p: np.ndarray, n: int, m: int) -> float:
    """Total variation that two samples of one distribution show by chance alone (normal approximation)."""
    return float(0.5 * HALF_NORMAL_MEAN * np.sqrt(p * (1 - p) * (1 / n + 1 / m)).sum())


class PartMean:
    """A mean over columns or pairs whose interval allows for what the rows have in common.

    Args:
        n_real, n_synthetic: Rows the parts rest on.
    """

    def __init__(self, n_real: int, n_synthetic: int) -> None:
        self._sizes = (n_real, n_synthetic)
        self.values: list[float] = []
        self._slack = 0.0
        self._influence: list[np.ndarray | None] = [None, None]

    def add(self, value: float, influences: Sequence[np.ndarray], slack: float) -> None:
        """One part: its value, influences on (a sample of) the real and the synthetic rows, what chance adds to it."""
        self.values.append(value)
        self._slack += slack
        for side, one in enumerate(influences):
            total = self._influence[side]
            self._influence[side] = one.astype(float) if total is None else total + one

    @property
    def value(self) -> float:
        """The mean of the parts."""
        return float(np.mean(self.values))

    def interval(self, *, better: Literal["lower", "higher"], high: float = 1.0) -> Interval:
        """Its interval inside 0 and `high`, reaching further towards the better end, which chance alone keeps away."""
        k = len(self.values)
        pieces = [
            standard_error(part / k, n) ** 2
            for part, n in zip(self._influence, self._sizes, strict=True) if part is not None
        ]
        slack = self._slack / k
        reach = (slack, 0.0) if better == "lower" else (0.0, slack)
        return clipped_interval(self.value, float(np.sqrt(sum(pieces))), (0.0, high), slack=reach)
