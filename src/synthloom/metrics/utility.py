"""Does a model trained on synthetic rows work on real ones?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.measurement import Direction, Interval, Measured, Undefined
from synthloom.domain.schema import Column
from synthloom.metrics._stats import auc_influence, auc_interval, clipped_interval, standard_error
from synthloom.metrics._threads import one_openmp_thread
from synthloom.metrics._trees import boost, row_cap
from synthloom.metrics._views import codes, held_out, numbers, pick, too_few, tree_matrices
from synthloom.metrics.contract import Tables, metric

ROWS = 30_000  # rows of each table that are used
ROUNDS = 100
MAX_CLASSES = 10
MIN_ROWS = 30
_Scored = tuple[float, Interval, dict[str, Any]]


def _target(tables: Tables) -> Column | None:
    name = tables.schema.target
    return None if name is None else tables.schema[name]


def _is_classes(tables: Tables, column: Column) -> bool:
    """Labels are classes, and so are numbers of only two values."""
    return column.kind.is_discrete or _distinct_numbers(tables, column) <= 2


def _distinct_numbers(tables: Tables, column: Column) -> int:
    values = numbers(tables.train, column)
    return len(np.unique(values[~np.isnan(values)]))


def _unfit(tables: Tables, column: Column | None) -> Undefined | None:
    if column is None:
        return Undefined(reason="No target column is named, so there is nothing to predict.")
    if not column.kind.is_modelled:
        return Undefined(reason=f"The target column {column.name!r} is of kind {column.kind}, which is not modelled.")
    if len(tables.schema.modelled) < 2:
        return Undefined(reason="There is no column to predict the target from.")
    return too_few(tables, MIN_ROWS, holdout=MIN_ROWS)


class _Task:
    """Train, holdout and synthetic rows that have a target, as matrices, with the target as `answers`."""

    def __init__(self, tables: Tables, column: Column, answers: list[np.ndarray]) -> None:
        rng = tables.rng("prediction")
        features = [c for c in tables.schema.modelled if c.name != column.name]
        cap = row_cap(ROWS, len(features))
        frames: list[pd.DataFrame] = []
        self.answers: list[np.ndarray] = []
        for frame, answer in zip((tables.train, held_out(tables), tables.synthetic), answers, strict=True):
            known = np.flatnonzero(~np.isnan(answer))
            rows = known[pick(len(known), cap, rng)]
            frames.append(frame.iloc[rows])
            self.answers.append(answer[rows])
        self.matrices, self.discrete = tree_matrices(tables, frames, features)

    def predict(self, tables: Tables, source: int, *, regression: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Learn from table `source` (0: train, 2: synthetic): predictions for the holdout, their classes."""
        X, y = self.matrices[source], self.answers[source]
        some = (~np.isnan(X)).any(axis=0)
        if not some.any() or len(np.unique(y)) < 2:  # nothing to learn from: the same answer for every row
            width = (len(self.answers[1]),) if regression else (len(self.answers[1]), 1)
            return np.full(width, y.mean() if regression else 1.0), None if regression else y[:1]
        rounds = ROUNDS if regression else max(20, ROUNDS * 2 // max(2, len(np.unique(y))))
        model = boost(tables, X[:, some], y, self.discrete[some], rounds=rounds, regression=regression)
        target = self.matrices[1][:, some]
        with one_openmp_thread():
            return (model.predict(target), None) if regression else (model.predict_proba(target), model.classes_)


def _with_reference(tables: Tables, score: Any) -> Measured:
    """Train on synthetic and, unless the number alone is wanted, on real rows too."""
    value, interval, details = score(2)
    if not (tables.floor or tables.quick):
        tables.check_cancelled()
        details["reference"], reference_interval, _ = score(0)
        details["reference_interval"] = [reference_interval.low, reference_interval.high]
        details["gap"] = details["reference"] - value
    return Measured(value=value, interval=interval, details=details)


@metric(
    key="utility.auroc", title="Prediction learnt from synthetic data",
    explanation="A model learns from synthetic rows only and then has to tell real, unseen rows apart by the target"
    " column. 0.5 is"
    " guessing, 1 perfect. Compare it with the reference: the same model learnt from the real training rows.",
    direction=Direction.HIGHER, ideal=1, low=0, high=1,
    source="Train on synthetic, test on real (Esteban et al. 2017): ROC area of boosted trees on the holdout; several"
    " classes:"
    " mean of one against the rest.",
)
def auroc(tables: Tables) -> Measured | Undefined:
    """TSTR ROC area.

    Details: `target`, `classes`, `reference`, `reference_interval`, `gap`, `rows` (of each table used).
    """
    column = _target(tables)
    if (unfit := _unfit(tables, column)) is not None or column is None:
        return unfit or Undefined(reason="No target column is named.")
    if not _is_classes(tables, column):
        few = _distinct_numbers(tables, column) <= MAX_CLASSES
        hint = " If its numbers stand for classes, give it the kind category in a schema file." if few else ""
        return Undefined(reason=f"The target is a number: see utility.r2.{hint}")
    answers = _class_answers(tables, column)
    task = _Task(tables, column, answers)
    if min(len(a) for a in task.answers) < MIN_ROWS:
        return Undefined(reason=f"Fewer than {MIN_ROWS} rows of a table have a target value.")
    test = task.answers[1]
    need = max(1, tables.min_support)
    judged = [k for k in np.unique(test) if need <= (test == k).sum() <= len(test) - need]
    if len(np.unique(test)) < 2:
        return Undefined(reason="The holdout shows one class of the target only.")
    if not judged:
        return Undefined(reason=f"No class of the target has {need} rows of the holdout and {need} rows beside it.")
    if len(np.unique(test)) == 2:
        judged = judged[-1:]  # two classes: the area of one is the area of the other

    def score(source: int) -> _Scored:
        chances, classes = task.predict(tables, source, regression=False)
        known = [] if classes is None else list(classes)
        areas, total = [], np.zeros(len(test))
        for label in judged:
            column_scores = chances[:, known.index(label)] if label in known else np.zeros(len(test))
            area, influence = auc_influence(column_scores, test == label)
            areas.append(area)
            total += influence / len(judged)
        area = float(np.mean(areas))
        smaller = int(min(min((test == k).sum(), (test != k).sum()) for k in judged))
        details = {"target": column.name, "classes": len(np.unique(test)), "rows": [len(a) for a in task.answers]}
        return area, auc_interval(area, standard_error(total), smaller), details

    return _with_reference(tables, score)


def _class_answers(tables: Tables, column: Column) -> list[np.ndarray]:
    """The target as class numbers, NaN where missing; beyond ten classes the rarer ones are one."""
    frames = (tables.train, held_out(tables), tables.synthetic)
    if not column.kind.is_discrete:
        values = [numbers(f, column) for f in frames]
        levels = np.unique(values[0][~np.isnan(values[0])])
        return [np.where(np.isnan(v), np.nan, np.searchsorted(levels, v).astype(float)) for v in values]
    raw = [codes(f, column) for f in frames]
    counts = np.bincount(raw[0][raw[0] >= 0], minlength=len(column.categories))
    place = np.arange(len(counts), dtype=float)
    if (counts > 0).sum() > MAX_CLASSES:
        place[np.argsort(-counts, kind="stable")[MAX_CLASSES - 1 :]] = len(counts)
    place = np.append(place, np.nan)  # where a missing cell's -1 points
    return [place[r] for r in raw]


@metric(
    key="utility.r2", title="Prediction of a number learnt from synthetic data",
    explanation="A model learns from synthetic rows only and then predicts the target number of real, unseen rows. 1"
    " is perfect, 0 no"
    " better than the mean, below 0 worse. Compare it with the reference: the same model learnt from the real"
    " training rows.",
    direction=Direction.HIGHER, ideal=1, high=1,
    source="Train on synthetic, test on real (Esteban et al. 2017): coefficient of determination of boosted trees on"
    " the holdout.",
)
def r2(tables: Tables) -> Measured | Undefined:
    """TSTR R². Details: `target`, `reference`, `reference_interval`, `gap`, `rows` (of each table used)."""
    column = _target(tables)
    if (unfit := _unfit(tables, column)) is not None or column is None:
        return unfit or Undefined(reason="No target column is named.")
    if _is_classes(tables, column):
        return Undefined(reason="The target is a class: see utility.auroc.")
    task = _Task(tables, column, [numbers(f, column) for f in (tables.train, held_out(tables), tables.synthetic)])
    if min(len(a) for a in task.answers) < MIN_ROWS:
        return Undefined(reason=f"Fewer than {MIN_ROWS} rows of a table have a target value.")
    if task.answers[1].min() == task.answers[1].max():
        return Undefined(reason="The holdout shows one value of the target only.")
    centre, scale = task.answers[1].mean(), task.answers[1].std()
    task.answers = [(a - centre) / scale for a in task.answers]
    test = task.answers[1]

    def score(source: int) -> _Scored:
        errors = (test - task.predict(tables, source, regression=True)[0]) ** 2
        spread = test**2
        ratio = float(errors.mean() / spread.mean())
        influence = (errors - errors.mean()) / spread.mean() - ratio * (spread - spread.mean()) / spread.mean()
        details = {"target": column.name, "rows": [len(a) for a in task.answers]}
        return 1 - ratio, clipped_interval(1 - ratio, standard_error(influence), (-np.inf, 1.0)), details

    return _with_reference(tables, score)
