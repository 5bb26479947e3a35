"""The conformance suite for metrics: every metric, ours or another package's, passes it.

    from synthloom.testing.check_metric import check_metric
    check_metric(my_metric)

or, one test for each promise:

    @pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.name)
    def test_my_metric(check):
        check.run(my_metric)
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError, ContractError
from synthloom.domain.measurement import Direction, Measured, MetricInfo, Undefined
from synthloom.domain.schema import Column, Kind, Schema, SurvivalColumns
from synthloom.metrics.contract import Metric, Tables
from synthloom.tables.canonical import canonical_dtype
from synthloom.testing._suite import Broken, Promises, expect, hold
from synthloom.testing.example_tables import Example, mixed, odd, with_single_records

PATIENCE = 1.0
"""Seconds within which a cancel must be noticed."""

_SLOPPY = 1e-9


@dataclass(frozen=True)
class Check:
    """One promise, and the test that a metric keeps it.

    Attributes:
        name: Short and stable.
        promise: What is promised, one sentence.
    """

    name: str
    promise: str
    test: Callable[[Metric], None]

    def run(self, metric: Metric) -> None:
        """Raise ContractError, with the promise and what was found, unless the metric keeps it."""
        try:
            self.test(metric)
        except Broken as broken:
            raise ContractError(f"{self.name}: {self.promise} Found: {broken}", where=metric.info.key) from None


_promise: Promises[Metric, Check] = Promises(Check)


def check_metric(metric: Metric) -> None:
    """Hold a metric to all promises.

    Raises:
        ContractError: names every promise that is not kept, with what was found.
    """
    hold(METRIC_CHECKS, lambda check: check.run(metric))


def population(rows: int, seed: int) -> pd.DataFrame:
    """Rows of one source, canonical for `population_schema()`: numbers, labels, a target, survival times, gaps."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, rows)
    size = np.round(rng.lognormal(3, 0.5, rows) + age / 10, 3)
    group = rng.choice(["cell-north", "cell-south", "cell-far"], rows, p=[0.6, 0.37, 0.03]).astype(object)
    risk = (age - 54) / 20 + (group == "cell-north") + rng.normal(0, 0.7, rows)
    size[rng.random(rows) < 0.1] = np.nan
    time_seen = np.round(rng.exponential(100 * np.exp(-risk / 2)) + 0.01, 3)
    cells = {
        "age": age, "size": size, "group": group, "ill": np.where(risk > 0.6, "cell-yes", "cell-no").astype(object),
        "time": time_seen, "event": np.where(rng.random(rows) < 0.7, "1", "0").astype(object),
    }
    return pd.DataFrame(
        {c.name: pd.Series(cells[c.name]).astype(canonical_dtype(c)) for c in population_schema()}
    )


def population_schema() -> Schema:
    """The schema of `population`: target `ill`, survival columns, `group` and `age` sensitive."""

    def column(name: str, kind: Kind, *labels: str, sensitive: bool = False) -> Column:
        return Column(name=name, kind=kind, reason="an example", categories=labels, sensitive=sensitive)

    return Schema(
        columns=(
            column("age", Kind.INTEGER, sensitive=True), column("size", Kind.DECIMAL),
            column("group", Kind.CATEGORY, "cell-far", "cell-north", "cell-south", sensitive=True),
            column("ill", Kind.BOOLEAN, "cell-no", "cell-yes"),
            column("time", Kind.DECIMAL), column("event", Kind.BOOLEAN, "0", "1"),
        ),
        target="ill", survival=SurvivalColumns(time="time", event="event"),
    )


def population_tables(rows: int = 600, seed: int = 1, synthetic: pd.DataFrame | None = None) -> Tables:
    """Training rows, holdout rows and fresh rows as synthetic ones, all of one source."""
    fresh = population(rows, seed + 2) if synthetic is None else synthetic
    return Tables(population(rows, seed), population(rows, seed + 1), fresh, population_schema(), seed=seed)


def edge_tables() -> Iterator[tuple[str, Tables]]:
    """Tables that leave little or nothing to measure, by name; fresh ones each time."""
    for name, tables in _edge_cases():
        holdout = None if tables.holdout is None else tables.holdout.copy()
        yield name, Tables(tables.train.copy(), holdout, tables.synthetic.copy(), tables.schema)


@cache
def _edge_cases() -> tuple[tuple[str, Tables], ...]:
    return tuple(_make_edge_cases())


def _make_edge_cases() -> Iterator[tuple[str, Tables]]:
    whole = population_tables(60)
    for rows in (0, 1, 2):
        few = [f.iloc[:rows].reset_index(drop=True) for f in (whole.train, whole.holdout, whole.synthetic)]  # type: ignore[union-attr]
        yield f"{rows} rows", Tables(few[0], few[1], few[2], whole.schema)
    yield "no holdout", replace(whole, holdout=None, _shared={})
    yield "no synthetic rows", replace(whole, synthetic=whole.synthetic.iloc[:0], _shared={})
    empty = whole.train.copy()
    for name in empty:
        empty[name] = pd.Series([None] * len(empty)).astype(empty[name].dtype)
    yield "all cells missing", Tables(empty, empty.copy(), empty.copy(), whole.schema)
    yield "all synthetic cells missing", replace(whole, synthetic=empty, _shared={})
    constant = whole.train.iloc[[0] * 60].reset_index(drop=True)
    yield "all rows equal", Tables(constant, constant.copy(), constant.copy(), whole.schema)
    yield "all synthetic rows equal", replace(whole, synthetic=constant, _shared={})
    for case in (mixed(240), with_single_records(240), *odd()):
        yield case.name, _thirds(case)


def _thirds(case: Example) -> Tables:
    part = len(case.table) // 3
    cut = [case.table.iloc[k * part : (k + 1) * part].reset_index(drop=True) for k in range(3)]
    target = case.schema.modelled[-1].name if case.schema.modelled else None
    return Tables(cut[0], cut[1], cut[2], case.schema.model_copy(update={"target": target}))


def _check_outcome(info: MetricInfo, outcome: object, on: str) -> None:
    if isinstance(outcome, Undefined):
        expect(outcome.reason.strip(), f"Undefined without a reason on {on}.")
        return
    expect(isinstance(outcome, Measured), f"{type(outcome).__name__} on {on}.")
    if not isinstance(outcome, Measured):
        return
    low = -math.inf if info.low is None else info.low - _SLOPPY
    high = math.inf if info.high is None else info.high + _SLOPPY
    expect(low <= outcome.value <= high, f"{outcome.value} on {on}.")
    if (interval := outcome.interval) is not None:
        expect(low <= interval.low and interval.high <= high, f"interval {interval.low} to {interval.high} on {on}.")
        expect(
            interval.low - _SLOPPY <= outcome.value <= interval.high + _SLOPPY, f"a value outside its interval on {on}."
        )
    try:
        json.dumps(outcome.details, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(f"details that are not JSON on {on}: {error}") from None


@_promise("it says what it is: section and name, title, explanation, source, and a best value within its range.")
def _facts(metric: Metric) -> None:
    info = metric.info
    section, _, name = info.key.partition(".")
    expect(section.isidentifier() and name.isidentifier(), f"key {info.key!r}.")
    for field in ("title", "explanation", "source"):
        expect(str(getattr(info, field)).strip(), f"an empty {field}.")
    if info.ideal is not None:
        low, high = (math.inf if v is None else v for v in (info.low, info.high))
        expect((info.low is None or low <= info.ideal) and info.ideal <= high, f"ideal {info.ideal}.")
    expect(info.direction is not Direction.TARGET or info.ideal is not None, "a target without `ideal`.")


@_promise("ordinary rows give a finite number in its range, inside its interval, with JSON details.")
def _ordinary(metric: Metric) -> None:
    _check_outcome(metric.info, metric.compute(population_tables()), "ordinary rows")


@_promise("tables that leave nothing to measure give Undefined with a reason or a number in its range; none raises.")
def _edges(metric: Metric) -> None:
    for name, tables in edge_tables():
        try:
            outcome = metric.compute(tables)
        except Exception as error:
            raise Broken(f"{type(error).__name__} on the table {name!r}.") from error
        _check_outcome(metric.info, outcome, f"the table {name!r}")


@_promise("the same seed gives the same answer, whatever was measured or drawn before.")
def _deterministic(metric: Metric) -> None:
    first = metric.compute(population_tables())
    np.random.seed(12345)  # a metric that listens to the global generator is found out here
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    tables = population_tables()
    again = metric.compute(tables)
    after = np.random.get_state()[1]  # type: ignore[index]
    expect(np.array_equal(before, after), "draws from numpy's global generator.")
    expect(first == again, "two answers for one seed.")
    expect(metric.compute(tables) == again, "another answer when asked twice of the same tables.")


@_promise("it leaves the tables as they were.")
def _tables_untouched(metric: Metric) -> None:
    tables = population_tables()
    before = {name: getattr(tables, name).copy(deep=True) for name in ("train", "holdout", "synthetic")}
    metric.compute(tables)
    for name, table in before.items():
        expect(table.equals(getattr(tables, name)), f"another {name} table.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)


@_promise("neither reasons nor details show a cell.")
def _no_cells(metric: Metric) -> None:
    tables = population_tables()
    single = tables.train.copy()
    single.loc[0, "size"] = 987654321.125
    for where in (tables, replace(tables, train=single, _shared={}), replace(tables, synthetic=single, _shared={})):
        outcome = metric.compute(where)
        shown = outcome.details if isinstance(outcome, Measured) else {"reason": getattr(outcome, "reason", "")}
        for text in _texts(shown):
            expect("cell-" not in text and "987654321" not in text, "a cell's content in the details.")


@_promise("a cancel is noticed within a second: it is asked for often, and honoured.")
def _cancel(metric: Metric) -> None:
    asked = [time.perf_counter()]

    def listen() -> bool:
        asked.append(time.perf_counter())
        return False

    tables = replace(population_tables(2_000), cancelled=listen)
    outcome = metric.compute(tables)
    asked.append(time.perf_counter())
    silent = max(b - a for a, b in pairwise(asked))
    expect(silent <= PATIENCE, f"{silent:.1f} s without asking.")
    if len(asked) == 2 or not isinstance(outcome, Measured):
        return  # done before anybody could have cancelled
    try:
        metric.compute(replace(tables, cancelled=lambda: True, _shared={}))
    except CancelledError:
        return
    raise Broken("an answer in spite of a cancel.")


@_promise("better data gets a better number.")
def _direction(metric: Metric) -> None:
    good = metric.compute(population_tables())
    for worse in _worse(metric.info.key.partition(".")[0]):
        bad = metric.compute(population_tables(synthetic=worse))
        if not isinstance(good, Measured) or not isinstance(bad, Measured):
            continue
        expect(_loss(metric.info, bad.value) >= _loss(metric.info, good.value) - 0.05, f"{bad.value} for worse data.")


def _worse(section: str) -> Iterator[pd.DataFrame]:
    """Synthetic rows that are surely worse than fresh rows of the source, in what a section of the report is about."""
    if section == "privacy":
        yield population(600, 1)  # the training rows themselves
    elif section in ("utility", "fairness"):
        table, rng = population(600, 3), np.random.default_rng(0)
        for name in table:
            table[name] = table[name].to_numpy()[rng.permutation(len(table))]
            table[name] = table[name].astype(population(1, 0)[name].dtype)
        table["group"] = table["group"].where(table["group"] != "cell-far", "cell-south")
        table["age"] = table["age"] + 15
        table["time"] = table["time"] * 3
        table.loc[rng.random(len(table)) < 0.3, "size"] = np.nan
        yield table


def _loss(info: MetricInfo, value: float) -> float:
    if info.direction is Direction.LOWER:
        return value
    if info.direction is Direction.HIGHER:
        return -value
    return abs(value - info.ideal) if info.direction is Direction.TARGET and info.ideal is not None else 0.0


METRIC_CHECKS: tuple[Check, ...] = tuple(_promise.checks)
"""Every promise, in the order they are tested."""
