"""Are the columns, and how they hang together, alike?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthloom.domain.measurement import Direction, Measured, Undefined
from synthloom.domain.schema import Column
from synthloom.metrics._stats import CHANCE_KS, HALF_NORMAL_MEAN, PartMean, chance_variation, ks_distance, variation
from synthloom.metrics._views import codes, numbers, pick, too_few
from synthloom.metrics.contract import Tables, metric

INFLUENCE_ROWS = 20_000  # rows that intervals are worked out on
PAIR_CAP = 5_000  # pairs measured; of a wider table a random sample
CORRELATION_THRESHOLD, ASSOCIATION_THRESHOLD = 0.5, 0.3  # from where SDMetrics counts a pair
_SDMETRICS = "SDMetrics QualityReport (docs.sdv.dev/sdmetrics)"


def _sampled(tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    def make() -> tuple[np.ndarray, np.ndarray]:
        rng = tables.rng("influence rows")
        return (pick(len(tables.train), INFLUENCE_ROWS, rng), pick(len(tables.synthetic), INFLUENCE_ROWS, rng))

    return tables.shared("influence_rows", make)


def _spread(indicator: np.ndarray, filled: np.ndarray, mean: float, n_filled: int, n: int) -> np.ndarray:
    """Influence on a mean over filled cells, of each (sampled) row: 0 where the cell is missing."""
    return np.where(filled, (indicator - mean) * (n / n_filled), 0.0)


def _enough(tables: Tables, real: np.ndarray, synthetic: np.ndarray) -> bool:
    """Whether a detail about these filled cells rests on `min_support` records in each table."""
    return min(int(real.sum()), int(synthetic.sum())) >= max(1, tables.min_support)


def _add_ks(parts: PartMean, tables: Tables, column: Column, *, similarity: bool) -> float | None:
    real, synthetic = _settle(numbers(tables.train, column)), _settle(numbers(tables.synthetic, column))
    filled = ~np.isnan(real), ~np.isnan(synthetic)
    if not _enough(tables, *filled):
        return None
    distance, at, sign = ks_distance(real[filled[0]], synthetic[filled[1]])
    influences = []
    for values, ok, rows, side in zip((real, synthetic), filled, _sampled(tables), (sign, -sign), strict=True):
        n_filled = int(ok.sum())
        share = float((values[ok] <= at).mean())
        influences.append(side * _spread(values[rows] <= at, ok[rows], share, n_filled, len(values)))
    slack = CHANCE_KS * float(np.sqrt(1 / filled[0].sum() + 1 / filled[1].sum()))
    value = 1 - distance if similarity else distance
    parts.add(value, influences, slack)
    return value


def _settle(values: np.ndarray) -> np.ndarray:
    """Values rounded to 14 decimals, as SDMetrics does, so that the noise of sums is no difference.

    Tables of very small numbers are left as they are: rounding would make them all equal.
    """
    scale = np.fmax.reduce(np.abs(values), initial=0.0)
    return np.asarray(np.round(values, 14)) if 1e-6 <= scale < 1e15 else values


def _add_tv(parts: PartMean, tables: Tables, column: Column) -> float | None:
    real, synthetic = codes(tables.train, column), codes(tables.synthetic, column)
    filled = real >= 0, synthetic >= 0
    if not _enough(tables, *filled):
        return None
    k = len(column.categories)
    p = np.bincount(real[filled[0]], minlength=k) / filled[0].sum()
    q = np.bincount(synthetic[filled[1]], minlength=k) / filled[1].sum()
    signs = np.sign(p - q) / 2
    influences = []
    for values, ok, rows, shares, side in zip(
        (real, synthetic), filled, _sampled(tables), (p, q), (1, -1), strict=True
    ):
        mean, n_filled = float(signs @ shares), int(ok.sum())
        influences.append(side * _spread(signs[values[rows]], ok[rows], mean, n_filled, len(values)))
    value = 1 - variation(p, q)
    parts.add(value, influences, chance_variation(p, int(filled[0].sum()), int(filled[1].sum())))
    return value


@metric(
    key="utility.ks_mean", chapter="fidelity", title="Difference of number columns",
    explanation="For each numeric or time column: the largest gap between the real and the synthetic share of values"
    " below"
    " any point; then the mean over columns. 0 means equal distributions, 1 no overlap.",
    direction=Direction.LOWER, ideal=0, low=0, high=1, inputs=("train", "synthetic"),
    source="Two-sample Kolmogorov-Smirnov statistic; missing cells left out.",
)
def ks_mean(tables: Tables) -> Measured | Undefined:
    """Mean two-sample KS distance.

    Details: `columns` {name: distance}, `left_out` [names with too few filled cells].
    """
    if (few := too_few(tables)) is not None:
        return few
    numeric = [c for c in tables.schema.modelled if c.kind.is_numeric]
    if not numeric:
        return Undefined(reason="The table has no numeric column.")
    parts = PartMean(len(tables.train), len(tables.synthetic))
    columns: dict[str, float] = {}
    for column in numeric:
        tables.check_cancelled()
        if (value := _add_ks(parts, tables, column, similarity=False)) is not None:
            columns[column.name] = value
    if not columns:
        return Undefined(reason="No numeric column has enough filled cells in both tables.")
    left_out = [c.name for c in numeric if c.name not in columns]
    return Measured(
        value=parts.value, interval=parts.interval(better="lower"), details={"columns": columns, "left_out": left_out}
    )


@metric(
    key="utility.shape", chapter="fidelity", title="Likeness of single columns",
    explanation="How alike each column's distribution is in real and synthetic data, then the mean over columns. 1"
    " means equal.",
    direction=Direction.HIGHER, ideal=1, low=0, high=1, inputs=("train", "synthetic"),
    source=f"Column Shapes of {_SDMETRICS}: KSComplement for numbers and times, TVComplement for labels; missing"
    " cells left out.",
)
def shape(tables: Tables) -> Measured | Undefined:
    """Column Shapes. Details: `columns` {name: score}, `left_out` [names with too few filled cells]."""
    if (few := too_few(tables)) is not None:
        return few
    parts = PartMean(len(tables.train), len(tables.synthetic))
    columns: dict[str, float] = {}
    for column in tables.schema.modelled:
        tables.check_cancelled()
        if column.kind.is_discrete:
            value = _add_tv(parts, tables, column)
        else:
            value = _add_ks(parts, tables, column, similarity=True)
        if value is not None:
            columns[column.name] = value
    if not columns:
        return Undefined(reason="No column has enough filled cells in both tables.")
    left_out = [c.name for c in tables.schema.modelled if c.name not in columns]
    return Measured(
        value=parts.value, interval=parts.interval(better="higher"), details={"columns": columns, "left_out": left_out}
    )


def _pairs(tables: Tables, k: int) -> list[tuple[int, int]]:
    total = k * (k - 1) // 2
    if total <= PAIR_CAP:
        return [(i, j) for i in range(k) for j in range(i + 1, k)]
    rng = tables.rng("pairs")
    chosen: set[tuple[int, int]] = set()
    while len(chosen) < PAIR_CAP:
        i, j = sorted(int(v) for v in rng.integers(0, k, 2))
        if i != j:
            chosen.add((i, j))
    return sorted(chosen)


def _correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
    """Pearson's r over rows filled in both, the rows' mask and their influences; None where it does not exist."""
    ok = ~(np.isnan(x) | np.isnan(y))
    if ok.sum() < 2:
        return None
    a, b = _standard(x[ok]), _standard(y[ok])
    if a is None or b is None:
        return None
    r = float(np.clip(np.mean(a * b), -1, 1))
    return r, ok, a * b - r * (a * a + b * b) / 2


def _standard(values: np.ndarray) -> np.ndarray | None:
    scale = np.abs(values).max()
    if scale == 0 or values.min() == values.max():
        return None
    values = values / scale  # squares of huge values must not overflow
    centred = values - values.mean()
    spread = float(np.sqrt(np.mean(centred**2)))
    if spread <= 1e-13 * float(np.abs(values).max()):  # nothing but rounding noise
        return None
    return np.asarray(centred / spread)


def _add_correlation(
    means: Sequence[PartMean], tables: Tables, columns: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], *,
    similarity: bool,
) -> tuple[float, float, float] | None:
    """One pair of numeric columns, as (real x, real y, synthetic x, synthetic y): value, real r, synthetic r.

    Adds the value to the first of `means`, and to the second, if any, where the real r is beyond the threshold.
    """
    first, second = _correlation(*columns[:2]), _correlation(*columns[2:])
    if first is None or second is None or not _enough(tables, first[1], second[1]):
        return None
    difference = first[0] - second[0]
    factor = 0.5 if similarity else 1.0
    influences = []
    for (_, ok, influence), rows, side in zip(
        (first, second), _sampled(tables), (np.sign(difference), -np.sign(difference)), strict=True
    ):
        everywhere = np.zeros(len(ok))
        everywhere[ok] = influence * (len(ok) / ok.sum())
        influences.append(factor * side * everywhere[rows])
    chance = HALF_NORMAL_MEAN * (1 - first[0] ** 2) * float(np.sqrt(1 / first[1].sum() + 1 / second[1].sum()))
    value = 1 - abs(difference) / 2 if similarity else abs(difference)
    for mean in means[: 2 if abs(first[0]) > CORRELATION_THRESHOLD else 1]:
        mean.add(value, influences, factor * chance)
    return value, first[0], second[0]


@metric(
    key="utility.corr_delta", chapter="fidelity", title="Difference of correlations",
    explanation="For each pair of numeric columns: how far the real and the synthetic Pearson correlation are apart;"
    " then the"
    " mean over pairs. 0 means equal.",
    direction=Direction.LOWER, ideal=0, low=0, high=2, inputs=("train", "synthetic"),
    source="Mean absolute difference of Pearson correlations over pairs of numeric columns, pairwise complete rows.",
)
def corr_delta(tables: Tables) -> Measured | Undefined:
    """Mean |difference| of Pearson correlations.

    Details: `pairs` [{columns: [a, b], difference, real, synthetic}], `left_out` (number of pairs where a correlation
    does not exist, as with a constant column), `of_pairs` (all there are).
    """
    if (few := too_few(tables)) is not None:
        return few
    numeric = [c for c in tables.schema.modelled if c.kind.is_numeric]
    if len(numeric) < 2:
        return Undefined(reason="The table has fewer than two numeric columns.")
    real, synthetic = _number_columns(tables, numeric)
    parts = PartMean(len(tables.train), len(tables.synthetic))
    rows: list[dict[str, Any]] = []
    pairs = _pairs(tables, len(numeric))
    for i, j in pairs:
        tables.check_cancelled()
        found = _add_correlation([parts], tables, (real[i], real[j], synthetic[i], synthetic[j]), similarity=False)
        if found is not None:
            names = [numeric[i].name, numeric[j].name]
            rows.append({"columns": names, "difference": found[0], "real": found[1], "synthetic": found[2]})
    if not rows:
        return Undefined(reason="No pair of numeric columns varies in both tables.")
    return Measured(
        value=parts.value, interval=parts.interval(better="lower", high=2.0),
        details={"pairs": rows, "left_out": len(pairs) - len(rows), "of_pairs": len(numeric) * (len(numeric) - 1) // 2},
    )


def _number_columns(tables: Tables, columns: list[Column]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return ([numbers(tables.train, c) for c in columns], [numbers(tables.synthetic, c) for c in columns])


def _ten_bins(values: np.ndarray) -> np.ndarray:
    """Bins as SDMetrics makes them: ten equal widths between this table's own extremes, missing cells with the last."""
    filled = values[~np.isnan(values)]
    if not len(filled):
        return np.zeros(len(values), dtype=np.int32)
    if filled.max() / 2 - filled.min() / 2 > 1e307:  # the range itself would overflow
        values, filled = values / 4, filled / 4
    return np.asarray(np.digitize(values, np.histogram_bin_edges(filled)), dtype=np.int32)


def _add_contingency(
    means: Sequence[PartMean], tables: Tables,
    real: tuple[np.ndarray, np.ndarray], synthetic: tuple[np.ndarray, np.ndarray],
) -> tuple[float, float | None]:
    """One pair of columns as cells: similarity, and Cramér's V of the real rows (None with one row or column of cells).

    Adds the similarity to the first of `means`, and to the second, if any, where V is above the threshold.
    """
    width = int(max(real[1].max(), synthetic[1].max())) + 1
    a, b = (first.astype(np.int64) * width + second for first, second in (real, synthetic))
    if max(a.max(), b.max()) > 4_000_000:
        a, b = np.split(np.unique(np.concatenate([a, b]), return_inverse=True)[1], [len(a)])
    size = int(max(a.max(), b.max())) + 1
    p, q = np.bincount(a, minlength=size) / len(a), np.bincount(b, minlength=size) / len(b)
    signs = np.sign(p - q) / 2
    rows = _sampled(tables)
    value = 1 - variation(p, q)
    strength = _cramers_v(a, real, p)
    influences = (signs[a[rows[0]]] - float(signs @ p), float(signs @ q) - signs[b[rows[1]]])
    chance = chance_variation(p, len(a), len(b))
    for mean in means[: 2 if (strength or 0.0) > ASSOCIATION_THRESHOLD else 1]:
        mean.add(value, influences, chance)
    return value, strength


def _cramers_v(joint: np.ndarray, sides: tuple[np.ndarray, np.ndarray], shares: np.ndarray) -> float | None:
    """Cramér's V of two columns of cells, as scipy.stats.contingency.association defines it."""
    first, second = np.bincount(sides[0]) / len(joint), np.bincount(sides[1]) / len(joint)
    freedom = min(int((first > 0).sum()), int((second > 0).sum())) - 1
    if freedom < 1:
        return None
    example = np.zeros(len(shares), dtype=np.int64)  # a row that shows each joint cell
    example[joint] = np.arange(len(joint))
    seen = np.flatnonzero(shares)
    expected = first[sides[0][example[seen]]] * second[sides[1][example[seen]]]
    return float(np.sqrt(max(0.0, float((shares[seen] ** 2 / expected).sum()) - 1) / freedom))


@dataclass(frozen=True)
class _Trends:
    """Every pair measured: over `all` pairs, and over those that are `strong` in the real rows."""

    all: PartMean
    strong: PartMean
    rows: list[dict[str, Any]]
    left_out: int
    of_pairs: int


def _trends(tables: Tables) -> _Trends | Undefined:
    def make() -> _Trends | Undefined:
        if (few := too_few(tables, max(2, tables.min_support))) is not None:
            return few
        columns = list(tables.schema.modelled)
        if len(columns) < 2:
            return Undefined(reason="The table has fewer than two columns to compare.")
        means = PartMean(len(tables.train), len(tables.synthetic)), PartMean(len(tables.train), len(tables.synthetic))
        rows: list[dict[str, Any]] = []
        laid_out = [_lay_out(tables, c) for c in columns]
        pairs = _pairs(tables, len(columns))
        for i, j in pairs:
            tables.check_cancelled()
            found = _add_pair(means, tables, laid_out[i], laid_out[j])
            if found is not None:
                rows.append({"columns": [columns[i].name, columns[j].name], **found})
        return _Trends(*means, rows, len(pairs) - len(rows), len(columns) * (len(columns) - 1) // 2)

    return tables.shared("trends", make)


@dataclass(frozen=True)
class _LaidOut:
    """A column's real and synthetic cells as small integers, and as numbers where it has any."""

    cells: tuple[np.ndarray, np.ndarray]
    numbers: tuple[np.ndarray, np.ndarray] | None
    usable: bool


def _lay_out(tables: Tables, column: Column) -> _LaidOut:
    tables.check_cancelled()
    if column.kind.is_discrete:
        return _LaidOut((codes(tables.train, column) + 1, codes(tables.synthetic, column) + 1), None, True)
    values = numbers(tables.train, column), numbers(tables.synthetic, column)
    usable = all(bool((~np.isnan(v)).any()) for v in values)
    return _LaidOut((_ten_bins(values[0]), _ten_bins(values[1])), values, usable)


def _add_pair(
    means: tuple[PartMean, PartMean], tables: Tables, one: _LaidOut, other: _LaidOut
) -> dict[str, Any] | None:
    if one.numbers is not None and other.numbers is not None:
        quad = (one.numbers[0], other.numbers[0], one.numbers[1], other.numbers[1])
        linear = _add_correlation(means, tables, quad, similarity=True)
        if linear is None:
            return None
        return {"score": linear[0], "measure": "correlation", "strength": abs(linear[1])}
    if not (one.usable and other.usable):
        return None
    real, synthetic = zip(one.cells, other.cells, strict=True)
    score, strength = _add_contingency(means, tables, real, synthetic)
    return {"score": score, "measure": "contingency", "strength": strength}


@metric(
    key="utility.trend", chapter="fidelity", title="Likeness of column pairs that go together",
    explanation="For pairs of columns that clearly go together in the real data: how alike the synthetic data is in the"
    " way they do. 1 means equal.",
    direction=Direction.HIGHER, ideal=1, low=0, high=1, inputs=("train", "synthetic"),
    source=f"Column Pair Trends of {_SDMETRICS}: CorrelationSimilarity for two numeric columns with a real correlation"
    f" beyond {CORRELATION_THRESHOLD}, else ContingencySimilarity where Cramér's V is above {ASSOCIATION_THRESHOLD};"
    " numbers in ten bins of equal width between each table's own extremes.",
)
def trend(tables: Tables) -> Measured | Undefined:
    """Column Pair Trends over the strongly associated pairs.

    Details: `pairs` [{columns: [a, b], score, measure: "correlation" | "contingency", strength: |r| or V of the real
    rows}], of the pairs that count, and `of_pairs` (all there are).
    """
    found = _trends(tables)
    if isinstance(found, Undefined):
        return found
    if not found.strong.values:
        return Undefined(reason="No two columns of the real rows go together strongly; see utility.trend_all.")
    details = {"pairs": [r for r in found.rows if _is_strong(r)], "of_pairs": found.of_pairs}
    return Measured(value=found.strong.value, interval=found.strong.interval(better="higher"), details=details)


@metric(
    key="utility.trend_all", chapter="fidelity", title="Likeness of all column pairs",
    explanation="How alike real and synthetic data are in the way two columns go together, or do not, over all pairs of"
    " columns: it also sees associations that only the synthetic data has. 1 means equal.",
    direction=Direction.HIGHER, ideal=1, low=0, high=1, inputs=("train", "synthetic"),
    source="As utility.trend, but over every pair of columns, however weak its real association.",
)
def trend_all(tables: Tables) -> Measured | Undefined:
    """Mean similarity over all pairs. Details: `pairs` as in `utility.trend`, `left_out`, `of_pairs`."""
    found = _trends(tables)
    if isinstance(found, Undefined):
        return found
    if not found.rows:
        return Undefined(reason="No pair of columns can be compared in both tables.")
    details = {"pairs": found.rows, "left_out": found.left_out, "of_pairs": found.of_pairs}
    return Measured(value=found.all.value, interval=found.all.interval(better="higher"), details=details)


def _is_strong(row: dict[str, Any]) -> bool:
    threshold = CORRELATION_THRESHOLD if row["measure"] == "correlation" else ASSOCIATION_THRESHOLD
    return (row["strength"] or 0.0) > threshold


@metric(
    key="utility.missingness", chapter="fidelity", title="Difference of missing cells",
    explanation="How differently real and synthetic rows leave cells empty, looking at whole patterns: the share of"
    " rows whose"
    " pattern of missing cells would have to change. 0 means the same patterns equally often.",
    direction=Direction.LOWER, ideal=0, low=0, high=1, inputs=("train", "synthetic"),
    source="Total variation distance of the patterns of missing cells; patterns rarer than the minimum support count"
    " as one.",
)
def missingness(tables: Tables) -> Measured | Undefined:
    """Distance of missing patterns.

    Details: `columns` {name: {real, synthetic}} missing shares, `patterns` (number told apart).
    """
    if (few := too_few(tables)) is not None:
        return few
    names = [c.name for c in tables.schema.modelled]
    gaps = [tables.train[names].isna().to_numpy(), tables.synthetic[names].isna().to_numpy()]
    some = gaps[0].any(axis=0) | gaps[1].any(axis=0)
    if not some.any():
        return Undefined(reason="No cell is missing, in the real rows or in the synthetic ones.")
    tables.check_cancelled()
    packed = np.packbits(np.concatenate([g[:, some] for g in gaps]), axis=1)
    _, pattern = np.unique(packed, axis=0, return_inverse=True)
    pattern, n = pattern.reshape(-1), len(gaps[0])
    counts = np.bincount(pattern[:n], minlength=int(pattern.max()) + 1)
    kept = counts >= max(1, tables.min_support)
    place = np.where(kept, np.cumsum(kept) - 1, kept.sum())
    parts = PartMean(n, len(pattern) - n)
    zeros = np.zeros(n, dtype=np.int64), np.zeros(len(pattern) - n, dtype=np.int64)
    score, _ = _add_contingency([parts], tables, (place[pattern[:n]], zeros[0]), (place[pattern[n:]], zeros[1]))
    details = {"columns": _missing_shares(tables, names, gaps), "patterns": int(kept.sum())}
    bounds = parts.interval(better="higher")
    flipped = bounds.model_copy(update={"low": 1 - bounds.high, "high": 1 - bounds.low})
    return Measured(value=max(0.0, 1 - score), interval=flipped, details=details)


def _missing_shares(tables: Tables, names: list[str], gaps: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Shares of missing cells where enough records rest behind both sides of each share."""
    shares: dict[str, dict[str, float]] = {}
    for j, name in enumerate(names):
        missing = int(gaps[0][:, j].sum())
        if min(missing, len(gaps[0]) - missing) >= tables.min_support or missing in (0, len(gaps[0])):
            shares[name] = {"real": missing / len(gaps[0]), "synthetic": float(gaps[1][:, j].mean())}
    return {n: s for n, s in shares.items() if s["real"] or s["synthetic"]}
