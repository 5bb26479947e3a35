"""What a report holds, and what it must never hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports_for_tests import make_table, measurement, usual_measurements
from scipy import stats

from synthloom.domain.guarantee import PrivacyGuarantee
from synthloom.domain.measurement import Failed, Measured, Threshold, Undefined
from synthloom.domain.report import DiscreteFigure, NumericFigure, Report
from synthloom.domain.run import DEFAULT_THRESHOLDS, DPRequest
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.reports.associations import associations
from synthloom.reports.build import HISTORICAL_KEYS, judge
from synthloom.reports.distributions import column_figure, column_shape, missing_share
from synthloom.tables.canonical import canonical_dtype

SUPPORT = 5


def numbers(values: object, kind: Kind = Kind.DECIMAL) -> tuple[pd.Series, Column]:
    column = Column(name="x", kind=kind, reason="A number.")
    return pd.Series(values).astype(canonical_dtype(column)), column


def labels(values: list[str], categories: tuple[str, ...]) -> tuple[pd.Series, Column]:
    column = Column(name="x", kind=Kind.CATEGORY, reason="Labels.", categories=categories)
    return pd.Series(values).astype(canonical_dtype(column)), column


def test_historical_keys_stand_in_every_report(make: Callable[..., Report]) -> None:
    empty = make(measurements=(), verdicts=())
    for section, keys in HISTORICAL_KEYS.items():
        assert set(keys) <= set(getattr(empty, section))
    assert empty.privacy["dp_requested"] is False
    assert empty.privacy["mia_auc"] is None
    assert {"model", "attempt", "n_real", "n_synth", "backend", "seed", "versions", "data_hash", "timings"} <= set(
        empty.model_dump()["meta"]
    )


def test_numbers_repeat_the_measurements(report: Report) -> None:
    assert report.utility["ks_mean"] == 0.031
    assert report.utility["c_index"] is None
    assert report.privacy["mia_auc"] == 0.52
    assert report.fairness["rare_coverage"] == 0.94


@pytest.mark.parametrize(
    ("asked", "given_epsilon", "effective"), [(1.0, 1.0, True), (0.5, 1.0, False), (1.0, None, False)]
)
def test_dp_is_effective_only_within_what_was_asked(
    make: Callable[..., Report], asked: float, given_epsilon: float | None, effective: bool
) -> None:
    changes = {}
    if given_epsilon:
        changes["guarantee"] = PrivacyGuarantee(
            epsilon=given_epsilon, delta=1e-6, neighbours="replace", unit="row", mechanism="m", accountant="a",
            covers=("training",), source="s",
        )
    made = make(dp=DPRequest(epsilon=asked, strict=False), kinds=[Kind.INTEGER], **changes)
    assert (made.privacy["dp_requested"], made.privacy["dp_effective"]) == (True, effective)
    assert made.privacy["dp_epsilon"] == given_epsilon


def test_a_number_that_just_misses_its_limit_is_told_apart_from_it() -> None:
    for value, told in ((0.1004, "0.1004 is above"), (0.10000002, "0.10000002 is above"), (0.2, "0.200 is above")):
        verdict = judge([measurement("utility.ks_mean", value)], DEFAULT_THRESHOLDS[:1])[0]
        assert not verdict.passed
        assert verdict.reason.startswith(told)


def test_outcome_follows_the_verdicts(make: Callable[..., Report]) -> None:
    assert make(kinds=[Kind.INTEGER]).outcome == "passed"
    assert make(kinds=[Kind.INTEGER], verdicts=()).outcome == "not_judged"
    assert make(kinds=[Kind.INTEGER], measurements=(measurement("privacy.mia_auc", 0.9),)).outcome == "failed"


def test_verdicts_of_measured_values_name_value_and_limit() -> None:
    good, _, attack, _ = judge(usual_measurements(), DEFAULT_THRESHOLDS)
    assert good.passed
    assert good.reason == "0.031 is within the limit of 0.1."
    assert attack.passed
    bad = judge([measurement("utility.ks_mean", 0.2)], DEFAULT_THRESHOLDS[:1])[0]
    assert not bad.passed
    assert bad.reason == "0.200 is above the limit of 0.1."


def test_a_pass_whose_interval_crosses_the_limit_says_so() -> None:
    verdict = judge([measurement("utility.ks_mean", 0.09)], DEFAULT_THRESHOLDS[:1])[0]
    assert verdict.passed
    assert "95% interval reaches above the limit" in verdict.reason


def test_a_lower_limit_is_kept_from_below() -> None:
    limit = Threshold(name="AUROC_MIN", key="utility.auroc", limit=0.8, comparison="at_least")
    assert not judge(usual_measurements(), [limit])[0].passed
    assert judge([measurement("utility.auroc", 0.8)], [limit])[0].passed


def test_undefined_does_not_apply_but_an_undefined_privacy_check_is_no_pass() -> None:
    few = Undefined(reason="The table has fewer than two numeric columns.")
    corr, mia = judge(
        [measurement("utility.corr_delta", few), measurement("privacy.mia_auc", Undefined(reason="No holdout."))],
        [DEFAULT_THRESHOLDS[1], DEFAULT_THRESHOLDS[2]],
    )
    assert corr.passed
    assert corr.value is None
    assert corr.reason.startswith("Not applicable: ")
    assert not mia.passed
    assert "No holdout." in mia.reason


def test_failed_or_unmeasured_metrics_do_not_pass() -> None:
    failed, absent = judge([measurement("utility.ks_mean", Failed(error="ValueError"))], DEFAULT_THRESHOLDS[:2])
    assert (failed.passed, absent.passed) == (False, False)
    assert "ValueError" in failed.reason


@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.sampled_from(["normal", "cauchy", "zeros", "heaped", "few"]))
@settings(max_examples=60, deadline=None)
def test_no_bin_shows_fewer_records_than_the_minimum_support(seed: int, support: int, shape: str) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    values = {
        "normal": rng.normal(size=n) * 10.0 ** rng.integers(-6, 9), "cauchy": rng.standard_cauchy(n) * 1e3,
        "zeros": np.where(rng.random(n) < 0.8, 0.0, rng.lognormal(5, 3, n)),
        "heaped": np.round(rng.normal(40, 10, n)) * 5, "few": rng.choice([1.5, 2.5], n),
    }[shape]
    values[rng.random(n) < 0.1] = np.nan
    series, column = numbers(values)
    figure = column_figure(series, series.sample(frac=1, random_state=0), column, support)
    if figure is None:
        return
    assert isinstance(figure, NumericFigure)
    filled = int(series.notna().sum())
    counts = np.array(figure.real) * filled
    assert all(c < 1e-6 or c > support - 1e-6 for c in counts)
    atom = figure.atom.real if figure.atom else 0.0
    assert sum(figure.real) + atom == pytest.approx(1)
    assert sum(figure.synthetic) + (figure.atom.synthetic if figure.atom else 0) == pytest.approx(1)
    assert list(figure.edges) == sorted(set(figure.edges))


def test_outer_edges_are_round_and_hide_the_extremes() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(50, 10, 2000), [123_456.789, -98_765.4321]])
    series, column = numbers(values)
    figure = column_figure(series, series, column, SUPPORT)
    assert isinstance(figure, NumericFigure)
    assert not set(figure.edges) & set(values)
    assert max(figure.edges) < 200
    assert min(figure.edges) > -100


def test_rare_labels_stand_together_and_are_never_named() -> None:
    series, column = labels(["a"] * 90 + ["b"] * 40 + ["c"] * 4 + ["d"] * 3, ("a", "b", "c", "d", "never"))
    figure = column_figure(series, series, column, SUPPORT)
    assert isinstance(figure, DiscreteFigure)
    assert figure.labels == ("a", "b")
    assert figure.other == 3
    assert figure.real[-1] == pytest.approx(7 / 137)


def test_a_lone_rare_label_takes_the_next_rarest_with_it() -> None:
    series, column = labels(["a"] * 90 + ["b"] * 40 + ["c"] * 3, ("a", "b", "c"))
    figure = column_figure(series, series, column, SUPPORT)
    assert isinstance(figure, DiscreteFigure)
    assert figure.labels == ("a",)
    assert figure.other == 2
    two, boolean = labels(["a"] * 90 + ["b"] * 3, ("a", "b"))
    assert column_figure(two, two, boolean, SUPPORT) is None


def test_a_value_of_many_stands_beside_the_histogram() -> None:
    rng = np.random.default_rng(3)
    series, column = numbers(np.where(rng.random(2000) < 0.7, 0.0, rng.lognormal(6, 2, 2000)))
    figure = column_figure(series, series, column, SUPPORT)
    assert isinstance(figure, NumericFigure)
    assert figure.atom is not None
    assert figure.atom.value == 0
    assert figure.atom.real == pytest.approx(0.7, abs=0.05)
    assert figure.scale == "asinh"


@pytest.mark.parametrize("days", [0.02, 3, 90, 800, 40_000])
def test_time_axes_fall_on_the_calendar(days: float) -> None:
    rng = np.random.default_rng(0)
    values = pd.Timestamp("1931-05-05") + pd.to_timedelta(rng.random(900) * days, unit="D")
    series, column = numbers(values, Kind.TIMESTAMP)
    figure = column_figure(series, series, column, SUPPORT)
    assert isinstance(figure, NumericFigure)
    assert 4 <= len(figure.real) <= 40
    moments = pd.to_datetime(list(figure.edges), unit="s")
    assert (moments == (moments.floor("D") if days >= 90 else moments.floor("s"))).all()


def test_a_few_missing_cells_are_told_as_the_minimum() -> None:
    assert missing_share(pd.Series([None] * 2 + [1.0] * 98), SUPPORT) == 0.05
    assert missing_share(pd.Series([None] * 20 + [1.0] * 80), SUPPORT) == 0.2
    assert missing_share(pd.Series([1.0] * 10), SUPPORT) == 0
    assert missing_share(pd.Series([], dtype=float), SUPPORT) == 0


def test_shape_is_one_minus_ks_or_total_variation() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=300), rng.normal(0.3, 1.2, 200)
    real, column = numbers(np.append(a, np.nan))
    assert column_shape(real, numbers(b)[0], column) == pytest.approx(1 - stats.ks_2samp(a, b).statistic)
    x, discrete = labels(["a"] * 60 + ["b"] * 40, ("a", "b", "c"))
    y, _ = labels(["a"] * 50 + ["b"] * 30 + ["c"] * 20, ("a", "b", "c"))
    assert column_shape(x, y, discrete) == pytest.approx(0.8)


def test_shape_of_the_metric_is_the_shape_of_the_report(make: Callable[..., Report]) -> None:
    shape = measurement("utility.shape", Measured(value=0.5, details={"columns": {"column_0": 0.123}}))
    made = make(kinds=[Kind.INTEGER, Kind.DECIMAL], measurements=(shape,))
    assert made.columns[0].shape == 0.123
    assert made.columns[1].shape is not None


def test_associations_agree_with_textbook_values() -> None:
    rng = np.random.default_rng(5)
    n = 600
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    group = np.where(x > 0, "high", "low")
    frame = pd.DataFrame({"x": x, "y": y, "g": group, "h": group, "r": rng.choice(["p", "q", "s"], n)})
    columns = [Column(name=c, kind=Kind.DECIMAL, reason="A number.") for c in "xy"]
    columns += [Column(name=c, kind=Kind.CATEGORY, reason="Labels.", categories=("high", "low")) for c in "gh"]
    columns += [Column(name="r", kind=Kind.CATEGORY, reason="Labels.", categories=("p", "q", "s"))]
    table = pd.DataFrame({c.name: frame[c.name].astype(canonical_dtype(c)) for c in columns})
    found = associations(table, table, columns)
    assert found is not None
    real = np.array(found.real, dtype=float)
    assert real[0, 1] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-6)
    assert real[2, 3] == pytest.approx(1, abs=1e-3)
    assert real[2, 4] < 0.12
    assert real[4, 0] < 0.12
    ranks = stats.rankdata(x)
    between = sum((group == g).sum() * (ranks[group == g].mean() - ranks.mean()) ** 2 for g in ("high", "low"))
    eta2 = between / ((ranks - ranks.mean()) ** 2).sum()
    assert real[2, 0] == pytest.approx(np.sqrt(1 - (1 - eta2) * (n - 1) / (n - 2)), abs=1e-6)
    np.testing.assert_allclose(real, real.T)


def test_associations_are_undefined_where_nothing_varies() -> None:
    table, schema = make_table([Kind.INTEGER, Kind.DECIMAL], 50, 0)
    table["column_0"] = pd.Series([3] * 50, dtype="Int64")
    found = associations(table, table, schema.columns)
    assert found is not None
    assert found.real[0][1] is None
    assert found.real[0][0] == 1
    assert associations(table, table, schema.columns[:1]) is None


def test_wide_tables_show_their_most_variable_columns(make: Callable[..., Report]) -> None:
    made = make(kinds=[Kind.BOOLEAN] * 20 + [Kind.INTEGER] * 35, n=100)
    assert made.associations is not None
    assert len(made.associations.names) == 40
    assert made.associations.omitted == 15
    assert {f"column_{i}" for i in range(20, 55)} <= set(made.associations.names)


def test_losses_are_thinned_out_and_keep_their_ends(troubled_report: Report) -> None:
    assert len(troubled_report.losses) == 200
    assert (troubled_report.losses[0].iteration, troubled_report.losses[-1].iteration) == (0, 999)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_tiny_tables_have_a_report_without_figures(make: Callable[..., Report], n: int) -> None:
    made = make(n=n)
    assert all(c.figure is None for c in made.columns)


def test_no_cell_of_an_identifier_reaches_the_report(report: Report) -> None:
    assert "P00012" not in report.model_dump_json()


def test_dropped_columns_and_roles_are_told(make: Callable[..., Report]) -> None:
    _, schema = make_table([Kind.INTEGER, Kind.BOOLEAN], 100, 0)
    told = Schema(columns=schema.columns, dropped=("notes",), target="column_1")
    made = make(kinds=[Kind.INTEGER, Kind.BOOLEAN], schema=told)
    assert made.dropped == ("notes",)
    assert made.target == "column_1"
