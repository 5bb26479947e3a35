"""Columns and pairs: closed forms, SDMetrics, intervals that cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthloom.domain.measurement import Measured, Undefined
from synthloom.domain.schema import Kind, Schema
from synthloom.metrics.contract import Tables
from synthloom.metrics.fidelity import corr_delta, ks_mean, missingness, shape, trend, trend_all
from synthloom.testing.example_tables import example, mixed


def measured(outcome) -> Measured:
    assert isinstance(outcome, Measured), outcome
    return outcome


def numbers(*columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({f"c{i}": c for i, c in enumerate(columns)})


def two(real: pd.DataFrame, synthetic: pd.DataFrame, **more) -> Tables:
    schema = example("x", {name: (Kind.DECIMAL, real[name]) for name in real}).schema
    return Tables(real, None, synthetic, schema, **more)


def test_ks_of_shifted_normals_has_its_closed_form_inside_the_interval() -> None:
    true, hits = 2 * stats.norm.cdf(0.25) - 1, 0  # sup |Phi(x) - Phi(x - 1/2)|
    for seed in range(80):
        rng = np.random.default_rng(seed)
        outcome = measured(ks_mean.compute(two(numbers(rng.normal(size=500)), numbers(rng.normal(0.5, 1, 400)))))
        assert outcome.interval is not None
        hits += outcome.interval.low <= true <= outcome.interval.high
    assert hits >= 74


def test_intervals_reach_perfection_when_both_samples_come_from_one_source() -> None:
    hits = dict.fromkeys(("ks_mean", "shape", "trend", "corr_delta"), 0)
    for seed in range(30):
        a, b = mixed(300, seed), mixed(300, seed + 1000)
        tables = Tables(a.table, None, b.table, a.schema)
        for metric, name in ((ks_mean, "ks_mean"), (shape, "shape"), (trend, "trend"), (corr_delta, "corr_delta")):
            interval = measured(metric.compute(tables)).interval
            assert interval is not None
            ideal = metric.info.ideal
            hits[name] += interval.low <= ideal <= interval.high + 0.01
    assert all(count >= 27 for count in hits.values()), hits


def test_correlation_interval_covers() -> None:
    hits = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        x, z = rng.normal(size=(2, 600))
        real, synthetic = numbers(x, 0.6 * x + 0.8 * z), numbers(rng.normal(size=600), rng.normal(size=600))
        interval = measured(corr_delta.compute(two(real, synthetic))).interval
        assert interval is not None
        hits += interval.low <= 0.6 <= interval.high
    assert hits >= 72


@pytest.mark.filterwarnings("ignore")
def test_strength_of_labels_is_scipys_cramer() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 500)
    b = np.where(rng.random(500) < 0.6, a, rng.integers(0, 6, 500))
    labels = {n: (Kind.CATEGORY, v.astype(str).astype(object)) for n, v in (("a", a), ("b", b))}
    case = example("pair", labels)
    outcome = measured(trend.compute(Tables(case.table, None, case.table, case.schema)))
    want = stats.contingency.association(pd.crosstab(a, b).to_numpy())
    assert outcome.details["pairs"][0]["strength"] == pytest.approx(want)


def test_a_copy_is_perfect_and_its_opposite_is_not() -> None:
    case = mixed(400)
    same = Tables(case.table, None, case.table.copy(), case.schema)
    assert measured(ks_mean.compute(same)).value == 0
    assert measured(shape.compute(same)).value == 1
    assert measured(trend.compute(same)).value == pytest.approx(1)
    assert measured(corr_delta.compute(same)).value == pytest.approx(0, abs=1e-12)
    assert measured(missingness.compute(same)).value == pytest.approx(0, abs=1e-12)
    x = np.linspace(0, 1, 200)
    opposite = measured(corr_delta.compute(two(numbers(x, x), numbers(x, -x))))
    assert opposite.value == pytest.approx(2)
    assert opposite.interval is not None
    assert opposite.interval.high == pytest.approx(2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 1])
def test_shape_and_trend_are_sdmetrics(seed: int) -> None:
    from sdmetrics.reports.single_table import QualityReport
    from sdmetrics.reports.single_table._properties import ColumnPairTrends

    real, other = mixed(700, seed), mixed(500, seed + 50)
    synthetic = other.table.copy()
    synthetic["age"] = (synthetic["age"] * 0.8).round().astype("Int64")
    synthetic["grade"] = synthetic["grade"].where(synthetic["grade"] != "mid", "low")
    kept = [c for c in real.schema if c.kind.is_modelled and c.kind is not Kind.DURATION]
    schema = Schema(columns=tuple(kept))
    names = list(schema.names)
    kinds = {
        c.name: "categorical" if c.kind.is_discrete
        else "datetime" if c.kind in (Kind.DATE, Kind.TIMESTAMP) else "numerical"
        for c in kept
    }
    frames = [_for_sdmetrics(f[names], kinds) for f in (real.table, synthetic)]
    report = QualityReport()
    report.generate(*frames, {"columns": {n: {"sdtype": k} for n, k in kinds.items()}}, verbose=False)
    want = report.get_properties().set_index("Property")["Score"]
    tables = Tables(real.table[names], None, synthetic[names], schema)
    shapes, trends = measured(shape.compute(tables)), measured(trend.compute(tables))
    assert shapes.value == pytest.approx(want["Column Shapes"], abs=1e-6)
    assert trends.value == pytest.approx(want["Column Pair Trends"], abs=1e-6)
    each = report.get_details("Column Shapes").set_index("Column")["Score"]
    assert shapes.details["columns"] == pytest.approx(each.to_dict(), abs=1e-6)
    assert _by_pair(trends) == pytest.approx(_by_pair(report), abs=1e-6)
    assert len(_by_pair(trends)) > 3
    everything = ColumnPairTrends()  # without the report's thresholds
    every = everything.get_score(*frames, {"columns": {n: {"sdtype": k} for n, k in kinds.items()}})
    assert measured(trend_all.compute(tables)).value == pytest.approx(every, abs=1e-6)


def _by_pair(found) -> dict[tuple[str, str], float]:
    if isinstance(found, Measured):
        return {tuple(p["columns"]): p["score"] for p in found.details["pairs"]}
    scores = found.get_details("Column Pair Trends").set_index(["Column 1", "Column 2"])["Score"]
    return scores.dropna().to_dict()


def _for_sdmetrics(frame: pd.DataFrame, kinds: dict[str, str]) -> pd.DataFrame:
    plain = {}
    for name, kind in kinds.items():
        if kind == "categorical":
            plain[name] = frame[name].astype(object)
        elif kind == "datetime":
            plain[name] = frame[name].dt.tz_convert("UTC").dt.tz_localize(None) if frame[name].dt.tz else frame[name]
        else:
            plain[name] = frame[name].astype("float64")
    return pd.DataFrame(plain)


def test_missing_patterns_not_only_rates() -> None:
    """Two columns missing together or apart have the same rates and different patterns."""
    n = 400
    half = np.arange(n) < n // 2
    value = np.random.default_rng(0).normal(size=n)
    together = numbers(np.where(half, np.nan, value), np.where(half, np.nan, value))
    apart = numbers(np.where(half, np.nan, value), np.where(half, value, np.nan))
    outcome = measured(missingness.compute(two(together, apart)))
    assert outcome.value == pytest.approx(1)
    assert outcome.details["columns"]["c0"] == {"real": 0.5, "synthetic": 0.5}


def test_a_detail_about_too_few_records_is_left_out() -> None:
    value = np.random.default_rng(0).normal(size=100)
    sparse = np.full(100, np.nan)
    sparse[:4] = 1.0, 2.0, 3.0, 4.0
    real = numbers(value, sparse)
    for metric in (ks_mean, shape):
        outcome = measured(metric.compute(two(real, real, min_support=5)))
        assert list(outcome.details["columns"]) == ["c0"]
        assert outcome.details["left_out"] == ["c1"]


def test_nothing_numeric_is_undefined() -> None:
    case = example("x", {"a": (Kind.CATEGORY, ["x", "y"] * 50)})
    tables = Tables(case.table, None, case.table, case.schema)
    assert isinstance(ks_mean.compute(tables), Undefined)
    assert isinstance(corr_delta.compute(tables), Undefined)


def test_wide_tables_are_sampled_and_say_so() -> None:
    rng = np.random.default_rng(0)
    real = numbers(*rng.normal(size=(120, 40)))
    outcome = measured(corr_delta.compute(two(real, real)))
    assert len(outcome.details["pairs"]) == 5_000
    assert outcome.details["of_pairs"] == 7_140
