"""Tree ensembles that can be cancelled between rounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthloom.metrics._threads import one_openmp_thread
from synthloom.metrics.contract import Tables

CELLS = 1_500_000  # cells a fit may see; wider tables are sampled to fewer rows


def row_cap(cap: int, n_columns: int) -> int:
    """Rows a fit uses: `cap`, fewer for wide tables, never fewer than 500."""
    return max(500, min(cap, CELLS // max(1, n_columns)))


def boost(
    tables: Tables, X: np.ndarray, y: np.ndarray, discrete: np.ndarray, *, rounds: int, regression: bool = False
) -> Any:
    """Gradient-boosted trees (histograms, native categories and missing values).

    Args:
        tables: Whose seed and `cancelled` are used.
        X: From `tree_matrices`, shape (n, d), no column without a filled cell.
        y: Classes or numbers, shape (n,).
        discrete: Bool mask of category columns, shape (d,).
        rounds: Boosting rounds; fewer on fewer than 500 rows.
        regression: Whether y are numbers.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def watch(*_: object) -> float:
        """Stands where a score per round would: the one place that every round passes through."""
        tables.check_cancelled()
        return 0.0

    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    model = kind(
        max_iter=min(rounds, max(20, len(X) // 5)), learning_rate=0.1, max_leaf_nodes=31,
        min_samples_leaf=max(2, min(20, len(X) // 20)),
        categorical_features=discrete, random_state=int(tables.rng("boosting").integers(2**31)),
        early_stopping=True, scoring=watch, validation_fraction=None, n_iter_no_change=rounds + 1,  # never stops early
    )
    with one_openmp_thread():
        return model.fit(X, y)


def forest(tables: Tables, X: np.ndarray, y: np.ndarray, *, trees: int) -> Any:
    """A random forest, grown ten trees at a time."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(
        n_estimators=10, min_samples_leaf=max(1, min(5, len(X) // 100)), warm_start=True, n_jobs=1,
        random_state=int(tables.rng("forest").integers(2**31)),
    )
    step = 10 if X.size < CELLS // 4 else 4
    for grown in range(step, trees + 1, step):
        tables.check_cancelled()
        model.set_params(n_estimators=grown).fit(X, y)
    return model


def positive_share(model: Any, X: np.ndarray) -> np.ndarray:
    """The model's probability of class 1, shape (n,)."""
    classes = list(model.classes_)
    with one_openmp_thread():
        return np.asarray(model.predict_proba(X)[:, classes.index(1)]) if 1 in classes else np.zeros(len(X))

