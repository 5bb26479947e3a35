"""Survival tables: time to an event, or to the end of watching."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.measurement import Direction, Interval, Measured, Undefined
from synthloom.domain.schema import Column, Kind
from synthloom.metrics._stats import auc_interval, clipped_interval, standard_error
from synthloom.metrics._views import codes, held_out, numbers, pick, too_few
from synthloom.metrics.contract import Tables, metric

FIT_ROWS = 5_000
TEST_ROWS = 3_000
LEVELS = 10  # labels of a column that get a coefficient
MIN_ROWS = 30
MIN_EVENTS = 10
RESAMPLES = 200
CURVE_ROWS = 10_000
_YES = {"1", "1.0", "true", "t", "yes", "y", "event", "dead", "died", "deceased", "death", "relapse", "observed"}
_log = logging.getLogger(__name__)


def _columns(tables: Tables) -> tuple[Column, Column] | Undefined:
    roles = tables.schema.survival
    if roles is None:
        return Undefined(reason="The table is not marked as survival data: no time and event column are named.")
    time, event = tables.schema[roles.time], tables.schema[roles.event]
    if not time.kind.is_numeric:
        return Undefined(reason=f"The time column {time.name!r} is of kind {time.kind}, not a number.")
    if event.kind.is_discrete and len(event.categories) != 2:
        return Undefined(reason=f"The event column {event.name!r} must have two values: happened or not.")
    if not event.kind.is_discrete and event.kind not in (Kind.INTEGER, Kind.DECIMAL):
        return Undefined(reason=f"The event column {event.name!r} is a {event.kind}: it must say happened or not.")
    return time, event


def _outcomes(table: pd.DataFrame, time: Column, event: Column) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of usable rows (time not negative, event known), their times, and whether the event happened."""
    duration = numbers(table, time)
    if event.kind.is_discrete:
        raw = codes(table, event)
        known, happened = raw >= 0, raw == _event_code(event)
    else:
        values = numbers(table, event)
        known, happened = ~np.isnan(values), values > 0
    rows = np.flatnonzero(known & (duration >= 0))
    return rows, duration[rows], happened[rows]


def _event_code(event: Column) -> int:
    """Which of two labels means that it happened: the one that says so, else the second."""
    says = [label.strip().lower() in _YES for label in event.categories]
    return 0 if says == [True, False] else 1


def _usable(tables: Tables, *, holdout: bool) -> Undefined | dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    columns = _columns(tables)
    if isinstance(columns, Undefined):
        return columns
    if (few := too_few(tables, MIN_ROWS, holdout=MIN_ROWS if holdout else None)) is not None:
        return few
    frames = {"train": tables.train, "synthetic": tables.synthetic}
    if holdout:
        frames["holdout"] = held_out(tables)
    found = {name: _outcomes(frame, *columns) for name, frame in frames.items()}
    for name, (_, duration, happened) in found.items():
        if happened.sum() < MIN_EVENTS or len(np.unique(duration)) < 2:
            return Undefined(reason=f"The {name} rows show fewer than {MIN_EVENTS} events, or one time only.")
    return found


def concordance(duration: np.ndarray, happened: np.ndarray, risk: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Harrell's concordance and each row's influence on it; None when no two rows can be compared.

    Args:
        duration: Times, shape (n,).
        happened: Whether the event happened, shape (n,).
        risk: Higher means earlier, shape (n,). Equal risks count half.

    Source: Harrell et al. 1982, ties as in lifelines.
    """
    n = len(duration)
    agree, comparable = np.zeros(n), np.zeros(n)
    for i in np.flatnonzero(happened):
        later = (duration > duration[i]) | ((duration == duration[i]) & ~happened)
        weight = np.where(risk[i] > risk, 1.0, np.where(risk[i] == risk, 0.5, 0.0)) * later
        agree += weight
        comparable += later
        agree[i] += weight.sum()
        comparable[i] += later.sum()
    if comparable.sum() == 0:
        return None
    value = float(agree.sum() / comparable.sum())
    return value, 2 * (agree - value * comparable) / comparable.mean()


class _Design:
    """Columns as Cox covariates, laid out on the training rows: standardised numbers, one column per frequent label."""

    def __init__(self, tables: Tables, skip: tuple[str, ...]) -> None:
        self._columns = [c for c in tables.schema.modelled if c.name not in skip]
        self._train = tables.train
        self._numbers: dict[str, tuple[float, float]] = {}
        self._levels: dict[str, np.ndarray] = {}
        for column in self._columns:
            if column.kind.is_discrete:
                raw = codes(tables.train, column)
                counts = np.bincount(raw[raw >= 0], minlength=len(column.categories))
                order = np.argsort(-counts, kind="stable")[: LEVELS + 1]
                self._levels[column.name] = order[counts[order] >= max(10, tables.min_support)][1:]
            else:
                values = numbers(tables.train, column)
                filled = values[~np.isnan(values)]
                centre, spread = (float(filled.mean()), float(filled.std())) if len(filled) else (0.0, 0.0)
                self._numbers[column.name] = (centre, spread)

    def __call__(self, table: pd.DataFrame) -> np.ndarray:
        parts: list[np.ndarray] = []
        for column in self._columns:
            if column.kind.is_discrete:
                parts.extend((codes(table, column) == k).astype(float) for k in self._levels[column.name])
                continue
            centre, spread = self._numbers[column.name]
            if spread > 0:
                values = np.clip((numbers(table, column) - centre) / spread, -5, 5)
                parts.append(np.where(np.isnan(values), 0.0, values))
                if self._train[column.name].isna().any():
                    parts.append(np.isnan(values).astype(float))
        return np.column_stack(parts) if parts else np.empty((len(table), 0))


def _cox(design: np.ndarray, duration: np.ndarray, happened: np.ndarray) -> np.ndarray | None:
    """Cox coefficients, 0 for columns that do not vary; None when the fit does not converge."""
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    varies = design.std(axis=0) > 1e-8
    coefficients = np.zeros(design.shape[1])
    if not varies.any():
        return None
    frame = pd.DataFrame(design[:, varies], columns=[f"x{i}" for i in range(int(varies.sum()))])
    frame["duration"], frame["happened"] = duration / duration.mean(), happened
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # near-collinear labels are expected: the penalty holds them
            fitted = CoxPHFitter(penalizer=0.01).fit(frame, "duration", "happened")
    except ConvergenceError as error:
        _log.info("Cox model did not converge (%s)", type(error).__name__)
        return None
    coefficients[varies] = fitted.params_.to_numpy()
    return coefficients


@metric(
    key="utility.c_index", title="Survival ranking learnt from synthetic data",
    explanation="A Cox model learns from synthetic rows who has the event earlier, and ranks real, unseen rows. 0.5"
    " is guessing, 1"
    " perfect. Compare it with the reference: the same model learnt from the real training rows.",
    direction=Direction.HIGHER, ideal=1, low=0, high=1,
    source="Harrell's concordance on the holdout of a Cox model (lifelines, ridge penalty 0.01) fitted on synthetic"
    " rows.",
)
def c_index(tables: Tables) -> Measured | Undefined:
    """TSTR concordance. Details: `reference`, `reference_interval`, `gap`, `rows` {table: used}."""
    usable = _usable(tables, holdout=True)
    roles = tables.schema.survival
    if isinstance(usable, Undefined) or roles is None:
        return usable if isinstance(usable, Undefined) else Undefined(reason="The table is not survival data.")
    design = _Design(tables, (roles.time, roles.event))
    rows, duration, happened = usable["holdout"]
    test = pick(len(rows), TEST_ROWS, tables.rng("survival test"))
    matrix = design(held_out(tables).iloc[rows[test]])

    def score(name: str, frame: pd.DataFrame) -> tuple[float, Interval] | None:
        tables.check_cancelled()
        where, times, events = usable[name]
        chosen = pick(len(where), FIT_ROWS, tables.rng("survival fit"))
        coefficients = _cox(design(frame.iloc[where[chosen]]), times[chosen], events[chosen])
        tables.check_cancelled()
        if coefficients is None:
            return None
        found = concordance(duration[test], happened[test], matrix @ coefficients)
        return None if found is None else (found[0], auc_interval(found[0], standard_error(found[1]), MIN_EVENTS))

    result = score("synthetic", tables.synthetic)
    if result is None:
        return Undefined(reason="A Cox model cannot be fitted on the synthetic rows, or no holdout rows compared.")
    details: dict[str, Any] = {"rows": {"fit": min(len(usable["synthetic"][0]), FIT_ROWS), "test": len(test)}}
    if not (tables.floor or tables.quick) and (reference := score("train", tables.train)) is not None:
        details["reference"] = reference[0]
        details["reference_interval"] = [reference[1].low, reference[1].high]
        details["gap"] = reference[0] - result[0]
    return Measured(value=result[0], interval=result[1], details=details)


def kaplan_meier(
    duration: np.ndarray, happened: np.ndarray, at: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """The Kaplan-Meier curve: share surviving beyond each time of `at`.

    Args:
        duration: Times, shape (n,).
        happened: Whether the event happened, shape (n,).
        at: Times to read the curve at, shape (m,).
        weights: How often each row counts, shape (n,); None: once.

    Source: Kaplan and Meier 1958.
    """
    weights = np.ones(len(duration)) if weights is None else weights
    times, inverse = np.unique(duration, return_inverse=True)
    events = np.bincount(inverse, weights=weights * happened, minlength=len(times))
    leaving = np.bincount(inverse, weights=weights, minlength=len(times))
    at_risk = np.cumsum(leaving[::-1])[::-1]
    hazard = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > 0)
    curve = np.concatenate([[1.0], np.cumprod(1 - hazard)])
    return np.asarray(curve[np.searchsorted(times, at, side="right")])


@metric(
    key="utility.survival_km", title="Difference of survival curves",
    explanation="The largest gap between the real and the synthetic share of records still without the event, over"
    " time (the"
    " longest real times left out, where few are watched). 0 means the same curve.",
    direction=Direction.LOWER, ideal=0, low=0, high=1, inputs=("train", "synthetic"),
    source="Maximum distance of Kaplan-Meier curves (Kaplan and Meier 1958) up to the 95th percentile of real times.",
)
def survival_km(tables: Tables) -> Measured | Undefined:
    """Distance of survival curves.

    Details: `mean` (distance averaged over time), `bias` signed mean (synthetic minus real).
    """
    usable = _usable(tables, holdout=False)
    if isinstance(usable, Undefined):
        return usable
    rng = tables.rng("survival curves")
    samples = {}
    for name in ("train", "synthetic"):
        _, duration, happened = usable[name]
        chosen = pick(len(duration), CURVE_ROWS, rng)
        samples[name] = (duration[chosen], happened[chosen])
    at = np.linspace(0, float(np.quantile(samples["train"][0], 0.95)), 200)
    gap = kaplan_meier(*samples["synthetic"], at) - kaplan_meier(*samples["train"], at)
    where = int(np.argmax(np.abs(gap)))
    errors, chance = [], []
    for _ in range(RESAMPLES):
        tables.check_cancelled()
        curves = [
            kaplan_meier(*samples[name], at, rng.poisson(1, len(samples[name][0])).astype(float))
            for name in ("synthetic", "train")
        ]
        moved = curves[0] - curves[1] - gap
        errors.append(moved[where])
        chance.append(np.abs(moved).max())
    value = float(abs(gap[where]))
    interval = clipped_interval(value, float(np.std(errors)), (0.0, 1.0), slack=(float(np.mean(chance)), 0.0))
    return Measured(
        value=value, interval=interval, details={"mean": float(np.abs(gap).mean()), "bias": float(gap.mean())}
    )
