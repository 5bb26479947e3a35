"""The latent normal variables of the gaussian copula: slices, correlations, truncated draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from synthloom.domain.event import Cancelled, never
from synthloom.tables.encode import stop_if

TERMS = 24
"""Hermite terms kept: the series converges fast but at correlations close to ±1."""
_LARGEST = 0.995
_BLOCK = 32
"""Rows of the correlation matrix that are worked out between two looks at `cancelled`."""
_SETTLED = 1e-6
"""Change of a correlation below which the nearest matrix counts as found."""
_AXIS_ROUNDS = 12
_AXIS_ROWS = 8000
"""Rows that the principal axis is found on: an order of labels needs no more."""
_GIBBS_SWEEPS = 60
_FAR = 8.0
"""Beyond this many standard deviations the normal line is cut off."""


def slice_scores(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of a standard normal variable in each of the slices that the shares cut it into.

    Args:
        shares: (L,) records in each slice, from left to right.

    Returns:
        (L,) scores E[z | slice]; (24,) their Hermite coefficients E[score He_k(z)] / sqrt(k!), k = 1, 2, …; and
        (L + 1,) borders.
    """
    total = shares.sum()
    if total == 0 or len(shares) < 2:
        return np.zeros(len(shares)), np.zeros(TERMS), np.r_[-np.inf, np.inf]
    p = shares / total
    borders = np.r_[-np.inf, ndtri(np.minimum(np.cumsum(p)[:-1], 1.0)), np.inf]
    z = np.clip(borders, -38, 38)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    score = np.where(p > 0, -np.diff(density) / np.where(p > 0, p, 1), 0.0)
    coefficients = np.empty(TERMS)
    # The integral of He_k φ is -He_{k-1} φ; h holds He_k / sqrt(k!), which stays bounded against φ.
    h_before, h = np.zeros_like(z), np.ones_like(z)
    for k in range(1, TERMS + 1):
        coefficients[k - 1] = (score * -np.diff(h * density)).sum() / np.sqrt(k)
        h_before, h = h, (z * h - np.sqrt(k - 1) * h_before) / np.sqrt(k)
    return score, coefficients, borders


def latent_correlations(
    covariance: np.ndarray, coefficients: np.ndarray, cancelled: Cancelled = never
) -> np.ndarray:
    """Invert Mehler's series for every pair: the ρ with Σ_k a_ik a_jk ρ^k = covariance_ij (Lancaster 1957).

    Args:
        covariance: (v, v) of the scores.
        coefficients: (v, 24) of `slice_scores`.
        cancelled: Asked for every few rows.

    Returns:
        (v, v) symmetric, 1 on the diagonal, within ±0.995 elsewhere; 0 where a score never changes.
    """
    v = len(covariance)
    rho = np.zeros((v, v))
    for first in range(0, v, _BLOCK):
        stop_if(cancelled)
        rows, rest = slice(first, first + _BLOCK), slice(first, v)
        products = coefficients[rows, None, :] * coefficients[None, rest, :]
        rho[rows, rest] = _invert(products.transpose(2, 0, 1).copy(), covariance[rows, rest])
    still = np.abs(coefficients[:, 0]) < 1e-9
    rho[still], rho[:, still] = 0, 0
    rho = np.triu(rho, 1)
    return np.asarray(rho + rho.T + np.eye(v))


def _invert(products: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Bisect the power series with coefficients (24, …) for the ρ at which each takes its value wanted."""
    low, high = np.full(wanted.shape, -_LARGEST), np.full(wanted.shape, _LARGEST)
    for _ in range(24):
        middle = (low + high) / 2
        value = np.zeros(wanted.shape)
        for term in products[::-1]:
            value += term
            value *= middle
        below = value < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


def nearest_correlation(matrix: np.ndarray, rounds: int = 50, cancelled: Cancelled = never) -> np.ndarray:
    """The nearest correlation matrix in the Frobenius norm: alternating projections with Dykstra's correction.

    Args:
        matrix: (v, v) symmetric, 1 on the diagonal.
        rounds: Most projections; fewer where they stop changing anything.
        cancelled: Asked in every round.

    Returns:
        (v, v) symmetric positive definite, 1 on the diagonal. Source: Higham (2002), algorithm 3.3.
    """
    if not len(matrix):
        return matrix.copy()
    # BLAS threads that wait for one another make hundreds of small decompositions many times slower on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        return _project(matrix, rounds, cancelled)


def _project(matrix: np.ndarray, rounds: int, cancelled: Cancelled) -> np.ndarray:
    y, correction = matrix.copy(), np.zeros_like(matrix)
    for _ in range(rounds):
        stop_if(cancelled)
        r = y - correction
        values, vectors = np.linalg.eigh(r)
        if values[0] >= 1e-8:
            break
        x = (vectors * np.maximum(values, 1e-8)) @ vectors.T
        correction = x - r
        before, y = y, x.copy()
        np.fill_diagonal(y, 1)
        if np.abs(y - before).max() < _SETTLED:
            break
    values, vectors = np.linalg.eigh(y)
    x = (vectors * np.maximum(values, 1e-8)) @ vectors.T
    scale = np.sqrt(np.diag(x))
    x = x / np.outer(scale, scale)
    return np.asarray((x + x.T) / 2)


def principal_order(
    codes: np.ndarray, counts: Sequence[np.ndarray], filled: Sequence[np.ndarray], free: Sequence[bool],
    cancelled: Cancelled,
) -> list[np.ndarray]:
    """Scores of all codes that let columns correlate: one dimension each, chosen for what they say of one another.

    Starts from the table's first principal axis (reciprocal averaging, Gifi 1990, ch. 3), then raises the sum of
    squared correlations of all pairs (SSQCOR, Kettenring 1971), so that each column heeds most those it goes with.

    Args:
        codes: (n, d).
        counts: Records behind each code, by column.
        filled: (n,) by column: cells that count.
        free: By column: whether its codes may take any score, or keep their order (normal scores).

    Returns:
        One array of scores per column, over its level codes.
    """
    every = -(-len(codes) // _AXIS_ROWS)
    codes = codes[::every]
    levels = [len(c) - 2 for c in counts]
    score = [slice_scores(c[:size])[0] for c, size in zip(counts, levels, strict=True)]
    columns = [_Scored(codes[:, j], filled[j][::every], levels[j]) for j in range(len(levels))]
    movable = [j for j in range(len(levels)) if free[j] and levels[j] > 1]
    if not movable or len(levels) < 2:
        return score
    scores = np.stack([c.spread(s) for c, s in zip(columns, score, strict=True)], axis=1)
    row = scores.sum(axis=1)
    for turn in range(2 * _AXIS_ROUNDS):
        stop_if(cancelled)
        if turn < _AXIS_ROUNDS:
            row /= max(float(np.sqrt((row**2).mean())), 1e-12)
            goal = np.broadcast_to(row[:, None], scores.shape)
        else:
            goal = scores @ (scores.T @ scores / len(scores))
        for j in movable:
            score[j] = columns[j].means(goal[:, j])
            scores[:, j] = columns[j].spread(score[j])
        row = scores @ (scores.T @ row)
    return score


class _Scored:
    """One column's cells, to give them scores and to average over its codes."""

    def __init__(self, codes: np.ndarray, filled: np.ndarray, levels: int) -> None:
        self._rows = np.flatnonzero(filled)
        self._codes = codes[self._rows]
        self._levels = levels
        self._seen = np.maximum(np.bincount(self._codes, minlength=levels), 1)
        self._n = len(codes)

    def means(self, values: np.ndarray) -> np.ndarray:
        """(levels,) mean of the rows' values over each code."""
        return np.asarray(np.bincount(self._codes, weights=values[self._rows], minlength=self._levels) / self._seen)

    def spread(self, score: np.ndarray) -> np.ndarray:
        """(n,) scores of the cells, mean 0 and variance 1 over the filled ones; 0 where one does not count."""
        cells = np.zeros(self._n)
        if len(self._rows):
            own = score[self._codes]
            deviation = float(own.std())
            cells[self._rows] = (own - own.mean()) / deviation if deviation > 0 else 0.0
        return cells


def truncated_normal(
    correlation: np.ndarray, low: np.ndarray, high: np.ndarray, rng: np.random.Generator, cancelled: Cancelled
) -> np.ndarray:
    """Draw normal vectors within bounds of their own: one variable directly, several by Gibbs sampling.

    Args:
        correlation: (v, v) positive definite.
        low, high: (n, v) bounds; equal where a variable is known.
        rng: Source of randomness.
        cancelled: Asked in every sweep.

    Returns:
        (n, v) draws. Gibbs starts from a sequential draw (GHK: Geweke 1991) and takes 60 sweeps.
    """
    n, v = low.shape
    draw = np.zeros((n, v))
    root = np.linalg.cholesky(correlation)
    noise = np.zeros((n, v))
    for j in range(v):
        mean = noise[:, :j] @ root[j, :j]
        noise[:, j] = _between((low[:, j] - mean) / root[j, j], (high[:, j] - mean) / root[j, j], rng)
        draw[:, j] = np.clip(mean + root[j, j] * noise[:, j], low[:, j], high[:, j])
    if v < 2:
        return draw
    precision = np.linalg.inv(correlation)
    spread = 1 / np.sqrt(np.diag(precision))
    pull = -precision / np.diag(precision)[:, None]
    np.fill_diagonal(pull, 0)
    for _ in range(_GIBBS_SWEEPS):
        stop_if(cancelled)
        for j in range(v):
            mean = draw @ pull[j]
            inner = _between((low[:, j] - mean) / spread[j], (high[:, j] - mean) / spread[j], rng)
            draw[:, j] = np.clip(mean + spread[j] * inner, low[:, j], high[:, j])
    return draw


def _between(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard normal draws between bounds, by inversion on the side of the line where it is exact."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    a, b = np.clip(a, -_FAR * 4, _FAR * 4), np.clip(b, -_FAR * 4, _FAR * 4)
    p, q = ndtr(a), ndtr(b)
    z = np.clip(ndtri(p + rng.random(len(a)) * (q - p)), a, b)
    return np.asarray(np.where(flip, -z, z))


def conditional_normal(
    correlation: np.ndarray, fixed: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the other variables given the fixed ones.

    Args:
        correlation: (v, v).
        fixed: (v,) bool.
        values: (n, fixed) their values.

    Returns:
        (n, others) draws from the conditional normal distribution.
    """
    inside = correlation[np.ix_(fixed, fixed)]
    across = correlation[np.ix_(~fixed, fixed)]
    weight = np.linalg.solve(inside, across.T).T if len(inside) else across
    rest = correlation[np.ix_(~fixed, ~fixed)] - weight @ across.T
    values_of, vectors = np.linalg.eigh((rest + rest.T) / 2)
    root = vectors * np.sqrt(np.maximum(values_of, 0))
    return np.asarray(values @ weight.T + rng.standard_normal((len(values), len(rest))) @ root.T)
