"""Can a model tell synthetic rows from real ones? That measures fidelity, not membership."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthloom.domain.measurement import Direction, Measured, Undefined
from synthloom.metrics._stats import auc_influence, auc_interval, mid_ranks, standard_error
from synthloom.metrics._trees import boost, forest, positive_share, row_cap
from synthloom.metrics._views import held_out, pick, too_few, tree_matrices
from synthloom.metrics.contract import Tables, metric

ROWS = 20_000  # rows of each side a detector sees
FOLDS = 3
ROUNDS = 100
TREES = 100
PERMUTED_ROWS = 2_000
PERMUTED_COLUMNS = 100
MIN_ROWS = 30


def _mixture(tables: Tables) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """As many holdout as synthetic rows, shuffled: X, y (1: synthetic), discrete mask, names.

    Shared by both detectors.
    """

    def make() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        rng = tables.rng("detection")
        columns = tables.schema.modelled
        real, synthetic = held_out(tables), tables.synthetic
        n = min(len(real), len(synthetic), row_cap(ROWS, len(columns)))
        frames = [f.iloc[rng.permutation(len(f))[:n]] for f in (real, synthetic)]
        matrices, discrete = tree_matrices(tables, frames, columns)
        order = rng.permutation(2 * n)
        X, y = np.concatenate(matrices)[order], np.repeat([0, 1], n)[order]
        some = (~np.isnan(X)).any(axis=0)
        return X[:, some], y, discrete[some], [c.name for c, s in zip(columns, some, strict=True) if s]

    return tables.shared("detection", make)


def _unfit(tables: Tables) -> Undefined | None:
    if (few := too_few(tables, MIN_ROWS, holdout=MIN_ROWS)) is not None:
        return few
    if not tables.schema.modelled:
        return Undefined(reason="The table has no column to compare.")
    if _mixture(tables)[0].shape[1] == 0:
        return Undefined(reason="Every cell of the compared columns is missing.")
    return None


def _measured(scores: np.ndarray, y: np.ndarray, details: dict[str, Any]) -> Measured:
    area, influence = auc_influence(scores, y == 1)
    smaller = int(min(y.sum(), len(y) - y.sum()))
    return Measured(value=area, interval=auc_interval(area, standard_error(influence), smaller), details=details)


@metric(
    key="utility.c2st", chapter="fidelity", title="Telling synthetic from real (boosted trees)",
    explanation="How well boosted trees tell synthetic rows from real rows they have not seen. 0.5 means not at all:"
    " the rows are"
    " alike in every way the trees can find. 1 means always. It says how faithful the data is, not whether anybody's"
    " record leaks.",
    direction=Direction.LOWER, ideal=0.5, low=0, high=1, inputs=("holdout", "synthetic"),
    source="Classifier two-sample test (Lopez-Paz and Oquab 2017): ROC area, three-fold cross-validated, sizes"
    " matched.",
)
def c2st(tables: Tables) -> Measured | Undefined:
    """Boosted-tree two-sample test.

    Details: `rows` (of each side); only where rows can be told apart, `gives_away` [{column, drop}]: how much of the
    area is lost when the column is shuffled, largest first, and `columns_tried`.
    """
    if (unfit := _unfit(tables)) is not None:
        return unfit
    X, y, discrete, names = _mixture(tables)
    scores = np.empty(len(y))
    fold = np.empty(len(y), dtype=np.int64)
    for label in (0, 1):
        fold[y == label] = np.arange((y == label).sum()) % FOLDS
    model = None
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        some = (~np.isnan(X[train])).any(axis=0)
        model = boost(tables, X[train][:, some], y[train], discrete[some], rounds=ROUNDS)
        scores[test] = _ranked(positive_share(model, X[test][:, some]))
    result = _measured(scores, y, {"rows": int(y.sum())})
    told_apart = result.interval is not None and result.interval.low > 0.5
    if told_apart and not (tables.floor or tables.quick):
        test = np.flatnonzero(fold == FOLDS - 1)[:PERMUTED_ROWS]
        used = [n for n, s in zip(names, some, strict=True) if s]
        result.details["gives_away"] = _drops(tables, model, X[test][:, some], y[test], used)
        result.details["columns_tried"] = min(len(used), PERMUTED_COLUMNS)
    return result


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Scores as shares of their fold below them, so that folds of different models can be pooled."""
    return mid_ranks(scores) / len(scores)


def _drops(tables: Tables, model: Any, X: np.ndarray, y: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    rng = tables.rng("permutation")
    whole = auc_influence(positive_share(model, X), y == 1)[0]
    drops = []
    for j, name in list(enumerate(names))[:PERMUTED_COLUMNS]:
        tables.check_cancelled()
        shuffled = X.copy()
        shuffled[:, j] = rng.permutation(shuffled[:, j])
        drops.append((whole - auc_influence(positive_share(model, shuffled), y == 1)[0], name))
    drops.sort(key=lambda d: -d[0])
    return [{"column": name, "drop": drop} for drop, name in drops if drop > 0.002]


@metric(
    key="utility.detection_auc", chapter="fidelity", title="Telling synthetic from real (random forest)",
    explanation="How well a random forest tells synthetic rows from real rows. 0.5 means not at all, 1 always. It"
    " measures"
    " fidelity, not membership: a perfect copy of the training rows passes it, so it says nothing about privacy.",
    direction=Direction.LOWER, ideal=0.5, low=0, high=1, inputs=("holdout", "synthetic"),
    source="Random-forest detection: ROC area on the half of the rows the forest has not seen, sizes matched.",
)
def detection_auc(tables: Tables) -> Measured | Undefined:
    """Random-forest detection, trained on one half of the mixture and measured on the other. Details: `rows`."""
    if (unfit := _unfit(tables)) is not None:
        return unfit
    X, y, _, _ = _mixture(tables)
    half = np.empty(len(y), dtype=bool)
    for label in (0, 1):
        half[y == label] = np.arange((y == label).sum()) % 2 == 0
    cap = pick(int(half.sum()), ROWS // 2, tables.rng("forest rows"))
    some = (~np.isnan(X[half])).any(axis=0)
    model = forest(tables, X[half][:, some][cap], y[half][cap], trees=TREES)
    return _measured(positive_share(model, X[~half][:, some]), y[~half], {"rows": int(y.sum())})
