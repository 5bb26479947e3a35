"""Do the few keep their place? Rare labels and the balance of groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthloom.domain.measurement import Direction, Measured, Undefined
from synthloom.domain.schema import Column
from synthloom.metrics._stats import HALF_NORMAL_MEAN, PartMean
from synthloom.metrics._views import codes, too_few
from synthloom.metrics.contract import Tables, metric

RARE_SHARE = 0.05


def _counts(tables: Tables, column: Column) -> tuple[np.ndarray, np.ndarray]:
    """How often each label occurs in the training and in the synthetic rows."""
    k = len(column.categories)
    raw = codes(tables.train, column), codes(tables.synthetic, column)
    return tuple(np.bincount(r[r >= 0], minlength=k) for r in raw)  # type: ignore[return-value]


def _discrete(tables: Tables) -> list[Column]:
    return [c for c in tables.schema.modelled if c.kind.is_discrete]


@metric(
    key="fairness.rare_coverage", title="Rare groups kept",
    explanation="Of the labels that fewer than one in twenty real rows carry, but enough people to be safe to show:"
    " the share that"
    " occurs in the synthetic data at all. 1 means that no such group vanished.",
    direction=Direction.HIGHER, ideal=1, low=0, high=1, inputs=("train", "synthetic"), floored=False,
    source="Share of labels with 0 < share < 5% of the training rows and at least the minimum support that occur in"
    " the synthetic rows.",
)
def rare_coverage(tables: Tables) -> Measured | Undefined:
    """Share of rare, supported labels that occur.

    Details: `columns` {name: {rare, covered, sensitive}} with numbers of labels, `rare` and `covered` over all columns,
    `expected` (the share that as many fresh real rows would cover).
    """
    if (few := too_few(tables, 1)) is not None:
        return few
    columns: dict[str, dict[str, Any]] = {}
    expected = 0.0
    for column in _discrete(tables):
        tables.check_cancelled()
        real, synthetic = _counts(tables, column)
        rare = (real >= max(1, tables.min_support)) & (real < RARE_SHARE * real.sum())
        if rare.any():
            covered = int((synthetic[rare] > 0).sum())
            columns[column.name] = {"rare": int(rare.sum()), "covered": covered, "sensitive": column.sensitive}
            expected += float((1 - (1 - real[rare] / real.sum()) ** synthetic.sum()).sum())
    total = sum(c["rare"] for c in columns.values())
    if not total:
        return Undefined(reason=f"No label is both rarer than 5% and carried by {tables.min_support} training rows.")
    covered = sum(c["covered"] for c in columns.values())
    details = {"columns": columns, "rare": total, "covered": covered, "expected": expected / total}
    return Measured(value=covered / total, details=details)


@metric(
    key="fairness.freq_skew", title="Balance of groups shifted",
    explanation="How far the frequency of each label has shifted, relative to itself, so that small groups count as"
    " much as large ones. 0"
    " means every group kept its share; 0.33 that groups are typically halved or doubled; 1 that they vanished.",
    direction=Direction.LOWER, ideal=0, low=0, high=1, inputs=("train", "synthetic"),
    source="|q - p| / (q + p) with p and q the real and synthetic share of a label; mean over the labels of a column"
    " with the"
    " minimum support, then over columns.",
)
def freq_skew(tables: Tables) -> Measured | Undefined:
    """Relative shift of label frequencies.

    Details: `columns` {name: skew}, `sensitive` {name: skew} of the marked columns.
    """
    if (few := too_few(tables)) is not None:
        return few
    parts = PartMean(len(tables.train), len(tables.synthetic))
    columns: dict[str, float] = {}
    for column in _discrete(tables):
        tables.check_cancelled()
        real, synthetic = _counts(tables, column)
        judged = real >= max(1, tables.min_support)
        if judged.sum() >= 2 and synthetic.sum() >= max(1, tables.min_support):
            columns[column.name] = _add_skew(parts, tables, column, (real, synthetic, judged))
    if not columns:
        return Undefined(reason="No column has two labels with enough filled cells.")
    sensitive = {c.name: columns[c.name] for c in _discrete(tables) if c.sensitive and c.name in columns}
    return Measured(
        value=parts.value, interval=parts.interval(better="lower"), details={"columns": columns, "sensitive": sensitive}
    )


def _add_skew(
    parts: PartMean, tables: Tables, column: Column, counts: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> float:
    real, synthetic, judged = counts
    n, m, k = int(real.sum()), int(synthetic.sum()), int(judged.sum())
    p, q = real / n, synthetic / m
    both = np.where(judged, p + q, 1.0)
    value = float((np.abs(q - p) / both)[judged].mean())
    side = np.where(judged, np.sign(q - p), 0.0) / k
    slopes = -side * 2 * q / both**2, side * 2 * p / both**2  # by p, by q
    influences = []
    for frame, shares, slope, filled in ((tables.train, p, slopes[0], n), (tables.synthetic, q, slopes[1], m)):
        raw = codes(frame, column)
        influences.append(np.where(raw >= 0, (slope[raw] - slope @ shares) * (len(raw) / filled), 0.0))
    chance = HALF_NORMAL_MEAN * np.sqrt(p * (1 - p) * (1 / n + 1 / m)) / (2 * np.where(judged, p, 1.0))
    parts.add(value, influences, float(np.minimum(chance, 1.0)[judged].mean()))
    return value
