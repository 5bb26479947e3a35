"""Small canonical tables and the reports made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.measurement import Direction, Interval, Measured, Measurement, MetricInfo, Undefined
from synthloom.domain.plan import Plan
from synthloom.domain.report import Meta, Protection, Report
from synthloom.domain.run import DEFAULT_THRESHOLDS
from synthloom.domain.schema import Column, IdentifierPattern, Kind, Schema
from synthloom.metrics.catalog import ALL
from synthloom.reports.build import build_report, judge
from synthloom.tables.canonical import canonical_dtype


def make_table(kinds: list[Kind], n: int, seed: int, names: list[str] | None = None) -> tuple[pd.DataFrame, Schema]:
    """A canonical table of independent columns."""
    rng = np.random.default_rng(seed)
    columns, cells = [], {}
    for i, kind in enumerate(kinds):
        name = names[i] if names else f"column_{i}"
        labels: tuple[str, ...] = ()
        values: Any = [None] * n
        if kind is Kind.INTEGER:
            values = rng.poisson(6, n)
        elif kind is Kind.DECIMAL:
            values = rng.lognormal(6, 2, n)
        elif kind in (Kind.DATE, Kind.TIMESTAMP):
            days = rng.integers(0, 9000, n) if kind is Kind.DATE else rng.random(n) * 30
            values = pd.Timestamp("1999-12-31") + pd.to_timedelta(days, unit="D")
        elif kind is Kind.DURATION:
            values = pd.to_timedelta(rng.gamma(2, 4000, n).round(), unit="s")
        elif kind is Kind.IDENTIFIER:
            values = [f"P{j:05d}" for j in range(n)]
        elif kind is Kind.CONSTANT:
            labels, values = ("x",), ["x"] * n
        elif kind.is_discrete:
            labels = ("no", "yes") if kind is Kind.BOOLEAN else ("<b>bold</b>", "عربي", "", "rare", *"ABCDEFGHIJKL")
            weights = 1 / np.arange(1, len(labels) + 1)
            values = rng.choice(labels, n, p=weights / weights.sum())
        pattern = IdentifierPattern() if kind is Kind.IDENTIFIER else None
        columns.append(
            Column(name=name, kind=kind, reason="Because <i>so</i>.", categories=labels, identifier=pattern)
        )
        cells[name] = pd.Series(values, dtype=object if kind in (Kind.IDENTIFIER, Kind.EMPTY) else None).astype(
            canonical_dtype(columns[-1])
        )
    return pd.DataFrame(cells), Schema(columns=tuple(columns))


def measurement(
    key: str, outcome: Any, *, floor: float | None = None, direction: Direction = Direction.LOWER
) -> Measurement:
    """A measurement; a number as outcome becomes Measured."""
    if isinstance(outcome, float):
        around = Interval(low=max(0.0, outcome - 0.02), high=outcome + 0.02)
        outcome = Measured(value=outcome, interval=around)
    info = MetricInfo(
        key=key, title=f"Title of {key}", explanation=f"What {key} says.", direction=direction, ideal=0, low=0, high=1,
        source="Definition.", chapter=next((m.info.chapter for m in ALL if m.info.key == key), None),
    )
    return Measurement(info=info, outcome=outcome, floor=None if floor is None else Measured(value=floor))


def usual_measurements() -> tuple[Measurement, ...]:
    """One of each sort, all checks passing."""
    details = {"reference": 0.73, "reference_interval": [0.6, 0.8], "gap": 0.03, "target": "column_0"}
    return (
        measurement("utility.ks_mean", 0.031, floor=0.03),
        measurement("utility.corr_delta", 0.041),
        measurement("utility.c2st", 0.58, floor=0.51),
        measurement("utility.auroc", Measured(value=0.7, details=details)),
        measurement("utility.c_index", Undefined(reason="The table is not survival data.")),
        measurement("privacy.mia_auc", 0.52, floor=0.5),
        measurement("privacy.dup_rate", 0.001),
        measurement("fairness.rare_coverage", 0.94),
    )


ALL_KINDS = [k for k in Kind if k is not Kind.TEXT]


def make_report(**changes: Any) -> Report:
    """A full report on a table with every kind of column."""
    kinds, n = changes.pop("kinds", ALL_KINDS), changes.pop("n", 400)
    names = changes.pop("names", None)
    train, schema = make_table(kinds, n, 0, names)
    synthetic, _ = make_table(kinds, n, 1, names)
    measured = changes.pop("measurements", usual_measurements())
    verdicts = changes.pop("verdicts", judge(measured, DEFAULT_THRESHOLDS))
    plan = Plan(method="cart", params={"leaf_floor": 50}, reason="It is a small table.")
    meta = Meta(
        model="cart", backend="native", attempt=1, n_real=n, n_train=n, n_holdout=80, n_synth=n, seed=7,
        data_hash="ab" * 32, dataset="patients.csv", versions={"synthloom": "0.1.0"}, timings={"fit": 0.25},
        created="2026-11-24T05:40:00Z", command="synthloom run patients.csv --seed 7",
    )
    settings: dict[str, Any] = {
        "train": train, "holdout": None, "synthetic": synthetic, "schema": schema, "meta": meta, "plan": plan,
        "guarantee": NoGuarantee(rules=("Rare labels are merged.",)),
        "protection": Protection(level="default", min_support=5, settings={"leaf_floor": 50}),
        "measurements": measured, "verdicts": verdicts,
    }
    return build_report(**{**settings, **changes})
