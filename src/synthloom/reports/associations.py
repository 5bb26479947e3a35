"""How columns hang together: one number per pair, chosen by what the two columns are.

Numbers and times: Spearman's rank correlation, -1 … 1. A number and labels: the correlation ratio of the ranks,
corrected for the number of labels (epsilon), 0 … 1. Labels: Cramér's V, bias-corrected (Bergsma 2013), 0 … 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synthloom.domain.report import Associations
from synthloom.domain.schema import Column
from synthloom.tables.canonical import labels_to_codes, to_float

if TYPE_CHECKING:
    from scipy import sparse

MAX_COLUMNS = 40
MAX_ROWS = 20_000
_MAX_LABELS = 40
_MIN_PAIRS = 10


def associations(
    train: pd.DataFrame, synthetic: pd.DataFrame, columns: Sequence[Column], omitted: int = 0
) -> Associations | None:
    """Matrices of both tables over `columns` (modelled ones); None where there are fewer than two columns."""
    if len(columns) < 2:
        return None
    most = max(len(train), len(synthetic))
    order = {c.name: _most_frequent(train[c.name]) for c in columns if c.kind.is_discrete}
    real, drawn = (_matrix(_thin(t), columns, order) for t in (train, synthetic))
    return Associations(
        names=tuple(c.name for c in columns), real=_rows(real), synthetic=_rows(drawn), omitted=omitted,
        rows=MAX_ROWS if most > MAX_ROWS else None,
    )


def _thin(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) <= MAX_ROWS:
        return table
    return table.iloc[np.linspace(0, len(table) - 1, MAX_ROWS).astype(int)]


def _most_frequent(labels: pd.Series) -> np.ndarray:
    """Code → group: the most frequent real labels each, the rest together."""
    counts = np.bincount(np.maximum(labels_to_codes(labels), 0), minlength=max(len(labels.cat.categories), 1))
    groups = np.full(len(counts), _MAX_LABELS)
    top = np.argsort(-counts, kind="stable")[:_MAX_LABELS]
    groups[top] = np.arange(len(top))
    return groups


def _matrix(table: pd.DataFrame, columns: Sequence[Column], groups: dict[str, np.ndarray]) -> np.ndarray:
    """Associations of shape (p, p), NaN where undefined."""
    p = len(columns)
    out = np.full((p, p), np.nan)
    numbers = [i for i, c in enumerate(columns) if c.kind.is_numeric]
    labels = [i for i, c in enumerate(columns) if c.kind.is_discrete]
    ranks = np.empty((len(table), len(numbers)))
    for place, i in enumerate(numbers):
        ranks[:, place] = _ranks(to_float(table[columns[i].name], columns[i].kind))
    out[np.ix_(numbers, numbers)] = _correlations(ranks)
    if labels:
        codes = [_grouped(table[columns[i].name], groups[columns[i].name]) for i in labels]
        onehot, starts = _onehot(codes)
        out[np.ix_(labels, labels)] = _cramers_v(np.asarray((onehot.T @ onehot).todense()), starts)
        ratio = _correlation_ratio(ranks, onehot, starts)
        out[np.ix_(labels, numbers)], out[np.ix_(numbers, labels)] = ratio, ratio.T
    np.fill_diagonal(out, 1.0)
    return out


def _ranks(values: np.ndarray) -> np.ndarray:
    """Centred ranks of the filled cells in -0.5 … 0.5, NaN where missing."""
    return np.asarray(pd.Series(values).rank(pct=True).to_numpy() - 0.5)


def _grouped(labels: pd.Series, groups: np.ndarray) -> np.ndarray:
    codes = labels_to_codes(labels)
    return np.where(codes < 0, -1, groups[np.maximum(codes, 0)])


def _onehot(codes: Sequence[np.ndarray]) -> tuple[sparse.csr_matrix, np.ndarray]:
    """All label columns side by side as 0/1 (n, Σ groups), and where each starts (one more than columns)."""
    from scipy.sparse import csr_matrix  # only where a report is built: pages that show one do without

    starts = np.concatenate([[0], np.cumsum([int(c.max(initial=0)) + 1 for c in codes])])
    rows = [np.flatnonzero(c >= 0) for c in codes]
    places = np.concatenate([c[r] + s for c, r, s in zip(codes, rows, starts[:-1], strict=True)])
    every = np.concatenate(rows)
    return csr_matrix((np.ones(len(every)), (every, places)), shape=(len(codes[0]), int(starts[-1]))), starts


def _correlations(z: np.ndarray) -> np.ndarray:
    """Pearson's correlation of columns with NaN, each pair over the rows where both are filled."""
    mask = (~np.isnan(z)).astype(float)
    x = np.nan_to_num(z)
    n, s, q, c = mask.T @ mask, x.T @ mask, (x * x).T @ mask, x.T @ x
    with np.errstate(divide="ignore", invalid="ignore"):
        cov = c - s * s.T / n
        var = q - s * s / n
        r = cov / np.sqrt(var * var.T)
    return np.where((n >= _MIN_PAIRS) & (np.minimum(var, var.T) > 1e-9), np.clip(r, -1, 1), np.nan)


def _correlation_ratio(z: np.ndarray, onehot: sparse.csr_matrix, starts: np.ndarray) -> np.ndarray:
    """sqrt(epsilon²) of each numeric column given each label column: shape (labels, numbers)."""
    mask = (~np.isnan(z)).astype(float)
    x = np.nan_to_num(z)
    n, s, q = (np.asarray(onehot.T @ m) for m in (mask, x, x * x))
    out = np.full((len(starts) - 1, z.shape[1]), np.nan)
    for i, (a, b) in enumerate(pairwise(starts)):
        count, total, squares = n[a:b].sum(0), s[a:b].sum(0), q[a:b].sum(0)
        levels = (n[a:b] > 0).sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = squares - total**2 / count
            between = np.nansum(s[a:b] ** 2 / n[a:b], axis=0) - total**2 / count
            eps2 = 1 - (1 - between / whole) * (count - 1) / (count - levels)
        fine = (count >= _MIN_PAIRS) & (levels > 1) & (count > levels) & (whole > 1e-9)
        out[i] = np.where(fine, np.sqrt(np.clip(eps2, 0, 1)), np.nan)
    return out


def _cramers_v(joint: np.ndarray, starts: np.ndarray) -> np.ndarray:
    p = len(starts) - 1
    out = np.full((p, p), np.nan)
    for i in range(p):
        for j in range(i):
            out[i, j] = out[j, i] = _v(joint[starts[i] : starts[i + 1], starts[j] : starts[j + 1]])
    return out


def _v(counts: np.ndarray) -> float:
    """Bias-corrected Cramér's V of a contingency table, NaN where it has one row, one column or few records."""
    counts = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    n = counts.sum()
    r, k = counts.shape
    if min(r, k) < 2 or n < _MIN_PAIRS:
        return float("nan")
    expected = np.outer(counts.sum(1), counts.sum(0)) / n
    phi2 = ((counts - expected) ** 2 / expected).sum() / n
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    room = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi2 / room))) if room > 0 else float("nan")


def _rows(matrix: np.ndarray) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if np.isnan(v) else round(float(v), 6) for v in row) for row in matrix)
