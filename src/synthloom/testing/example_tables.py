"""Canonical tables for the conformance suites: one with everything in it, and odd ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.schema import Column, IdentifierPattern, Kind, Schema, TextFormat
from synthloom.tables.canonical import canonical_dtype

RARE_LABEL = "label of one record"
EXTREME_NUMBER = 987_654_321.125
EXTREME_DAY = np.datetime64("2199-07-04", "us")


@dataclass(frozen=True)
class Example:
    """A canonical table and its schema.

    Attributes:
        name: What is odd about it.
        table: Canonical table.
        schema: What its columns are.
        may_refuse: Whether a FitError that says why is as good as rows.
    """

    name: str
    table: pd.DataFrame
    schema: Schema
    may_refuse: bool = False


def example(
    name: str, cells: dict[str, tuple[Kind, Any]], *, may_refuse: bool = False, **details: dict[str, Any]
) -> Example:
    """An example from columns.

    Args:
        name: What is odd about it.
        cells: Column name → kind and cells. Of a discrete kind: labels as text, None where missing.
        may_refuse: As in `Example`.
        details: Column name → further fields of its `Column`.
    """
    columns, done = [], {}
    for key, (kind, values) in cells.items():
        more = dict(details.get(key, {}))
        series = pd.Series(values, dtype=object) if kind.is_discrete or kind is Kind.CONSTANT else pd.Series(values)
        if kind.is_discrete or kind is Kind.CONSTANT:
            more.setdefault("categories", tuple(sorted(series.dropna().unique())))
        if kind is Kind.IDENTIFIER:
            more.setdefault("identifier", IdentifierPattern(style="pattern", template="AA-9999999"))
        column = Column(
            name=key, kind=kind, reason="an example", missing_rate=float(series.isna().mean()),
            n_unique=int(series.nunique()), **more,
        )
        columns.append(column)
        done[key] = _canonical(series, column)
    table = pd.DataFrame(done)
    table.index = pd.RangeIndex(len(table))
    return Example(name, table, Schema(columns=tuple(columns)), may_refuse)


def _canonical(series: pd.Series, column: Column) -> pd.Series:
    if column.kind in (Kind.IDENTIFIER, Kind.TEXT, Kind.EMPTY):
        return series.astype(object).where(series.notna(), None)
    return series.astype(canonical_dtype(column))


def _sparse(labels: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    cells = labels.copy()
    cells[gaps] = None
    return cells


def mixed(rows: int = 1200, seed: int = 1) -> Example:
    """Every kind of column, dependent on each other, with cells missing alone and together.

    `lab` and `lab_day` are missing together in about a fifth of the rows, never alone. `region` follows `age`.
    """
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 91, rows)
    income = np.round(rng.lognormal(10, 0.6, rows) + 120 * age, 2)
    income[rng.random(rows) < 0.1] = np.nan
    gains = np.where(rng.random(rows) < 0.85, 0, rng.choice([2500, 5000, 15000], rows))
    together = rng.random(rows) < 0.2
    day = np.datetime64("1893-02-01", "us") + rng.integers(0, 20_000, rows).astype("timedelta64[D]")
    lab_day = day + rng.integers(1, 400, rows).astype("timedelta64[D]")
    lab_day[together] = np.datetime64("NaT")
    lab = np.where(together, np.nan, np.round(rng.normal(5, 1, rows) + age / 40, 1))
    seen = pd.to_datetime("2021-03-01T00:00:00Z") + pd.to_timedelta(rng.integers(0, 3 * 10**7, rows), unit="s")
    stay = pd.Series(rng.gamma(2, 30, rows).round() * 60e6).astype("int64").astype("timedelta64[us]")
    visits = pd.Series(rng.poisson(age / 20), dtype="Int64").mask(rng.random(rows) < 0.15)
    logged = pd.Series(np.datetime64("2022-01-01", "us") + rng.integers(0, 10**7, rows).astype("timedelta64[s]"))
    logged = logged.mask(rng.random(rows) < 0.1)
    region = np.where(age + rng.normal(0, 12, rows) > 55, "north", rng.choice(["south", "east"], rows)).astype(object)
    step = ((age - 18) / 25 + rng.normal(0, 0.5, rows)).astype(int)
    grade = np.array(["low", "mid", "high"], dtype=object)[np.clip(step, 0, 2)]
    grade[rng.random(rows) < 0.05] = None
    return example(
        "mixed",
        {
            "id": (Kind.IDENTIFIER, [f"QX-{k:07d}" for k in rng.permutation(rows)]),
            "age": (Kind.INTEGER, age),
            "income": (Kind.DECIMAL, income),
            "gains": (Kind.INTEGER, gains),
            "smokes": (Kind.BOOLEAN, np.where(rng.random(rows) < 0.3, "True", "False").astype(object)),
            "region": (Kind.CATEGORY, region),
            "grade": (Kind.ORDERED, grade),
            "admitted": (Kind.DATE, day),
            "lab_day": (Kind.DATE, lab_day),
            "lab": (Kind.DECIMAL, lab),
            "visits": (Kind.INTEGER, visits),
            "seen": (Kind.TIMESTAMP, seen.tz_convert("Europe/Zurich")),
            "logged": (Kind.TIMESTAMP, logged),
            "stay": (Kind.DURATION, stay),
            "source": (Kind.CONSTANT, np.full(rows, "registry", dtype=object)),
            "remark": (Kind.EMPTY, np.full(rows, None, dtype=object)),
        },
        income={"precision": 2}, lab={"precision": 1}, age={"lower": 18.0, "upper": 90.0},
        grade={"categories": ("low", "mid", "high")}, seen={"timezone": "Europe/Zurich"},
        smokes={"categories": ("False", "True"), "label_type": "boolean"},
    )


def with_single_records(rows: int = 600, seed: int = 2) -> Example:
    """A table in which one record alone holds a label, a number and a day far from all others, and identifiers."""
    rng = np.random.default_rng(seed)
    label = rng.choice(["a", "b", "c"], rows).astype(object)
    number = np.round(rng.normal(100, 15, rows), 3)
    day = np.datetime64("2020-01-01", "us") + rng.integers(0, 900, rows).astype("timedelta64[D]")
    label[17], number[17], day[17] = RARE_LABEL, EXTREME_NUMBER, EXTREME_DAY
    return example(
        "single records",
        {
            "id": (Kind.IDENTIFIER, [f"ZQ-{k:07d}" for k in rng.permutation(rows)]),
            "label": (Kind.CATEGORY, label), "number": (Kind.DECIMAL, number), "day": (Kind.DATE, day),
        },
        number={"precision": 3},
    )


def odd(rows: int = 120, seed: int = 3) -> tuple[Example, ...]:
    """Tables at the edges of what a method must take."""
    rng = np.random.default_rng(seed)
    number, one = np.round(rng.normal(0, 1, rows), 4), np.full(rows, "k", dtype=object)
    label = rng.choice(["x", "y"], rows).astype(object)
    gaps = np.where(rng.random(rows) < 0.97, np.nan, number)
    huge = rng.integers(2**60, 2**62, rows)
    moment = pd.Timestamp("2024-03-31T00:30:00Z") + pd.to_timedelta(rng.integers(0, 7200, rows), unit="s")
    early = np.datetime64("1000-01-01", "us") + rng.integers(0, 200_000, rows).astype("timedelta64[D]")
    span = pd.Series(rng.integers(-(10**9), 10**9, rows) * 1000).astype("timedelta64[us]")
    return (
        example("one numeric column", {"a": (Kind.DECIMAL, number)}, a={"precision": 4}),
        example("one column of labels", {"a": (Kind.CATEGORY, label)}),
        example("a row for each label", {
            "a": (Kind.CATEGORY, [f"name {k}" for k in range(rows)]), "b": (Kind.DECIMAL, number),
        }, may_refuse=True),
        example("many labels", {
            "a": (Kind.CATEGORY, rng.choice([f"place {k}" for k in range(rows // 3)], rows).astype(object)),
            "b": (Kind.DECIMAL, number),
        }, may_refuse=True),
        example("empty and constant columns", {
            "a": (Kind.EMPTY, [None] * rows), "b": (Kind.CONSTANT, one), "c": (Kind.DECIMAL, number),
        }),
        example("a constant with gaps", {
            "a": (Kind.CONSTANT, _sparse(one, rng.random(rows) < 0.4)), "b": (Kind.DECIMAL, number),
        }),
        example("a category with one label", {"a": (Kind.CATEGORY, one), "b": (Kind.DECIMAL, number)}),
        example("a number that never changes", {"a": (Kind.INTEGER, np.full(rows, 7)), "b": (Kind.CATEGORY, label)}),
        example("numbers nearly all missing", {"a": (Kind.DECIMAL, gaps), "b": (Kind.CATEGORY, label)}),
        example("labels nearly all missing", {
            "a": (Kind.CATEGORY, _sparse(label, rng.random(rows) < 0.97)), "b": (Kind.DECIMAL, number),
        }),
        example("a label nobody has", {
            "a": (Kind.CATEGORY, label), "b": (Kind.DECIMAL, number),
        }, a={"categories": ("w", "x", "y")}),
        example("huge integers", {"a": (Kind.INTEGER, huge), "b": (Kind.CATEGORY, label)}),
        example("tiny and huge decimals", {
            "a": (Kind.DECIMAL, number * 1e-12), "b": (Kind.DECIMAL, number * 1e300), "c": (Kind.CATEGORY, label),
        }),
        example("dates before 1677", {"a": (Kind.DATE, early), "b": (Kind.CATEGORY, label)}),
        example("a zone across a clock change", {
            "a": (Kind.TIMESTAMP, moment.tz_convert("Europe/Berlin")), "b": (Kind.CATEGORY, label),
        }, a={"timezone": "Europe/Berlin"}),
        example("moments with milliseconds", {
            "a": (Kind.TIMESTAMP, moment.tz_localize(None) + pd.to_timedelta(rng.integers(0, 1000, rows), unit="ms")),
            "b": (Kind.CATEGORY, label),
        }, a={"text": TextFormat(fraction_digits=3)}),
        example("durations below zero", {"a": (Kind.DURATION, span), "b": (Kind.CATEGORY, label)},
                a={"text": TextFormat(fraction_digits=3)}),
        example("columns with odd names", {
            "": (Kind.DECIMAL, number), "a b\n\"c\"": (Kind.CATEGORY, label), "été": (Kind.INTEGER, huge // 2**50),
        }),
        example("few rows", {"a": (Kind.DECIMAL, number[:12]), "b": (Kind.CATEGORY, label[:12])}, may_refuse=True),
    )
