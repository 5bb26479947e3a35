"""The gaussian copula: margins kept, dependence kept, and conditional draws that are the joint's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthloom.domain.errors import CancelledError, FitError
from synthloom.domain.event import Notice, ignore
from synthloom.domain.schema import Kind
from synthloom.methods.gaussian_copula import GaussianCopula
from synthloom.tables.canonical import check_canonical
from synthloom.testing.example_tables import Example, example, mixed


def fit(made: Example, **params) -> GaussianCopula:
    return GaussianCopula(GaussianCopula.make_params(params)).fit(made.table, made.schema, np.random.default_rng(1))


def dependent(rows: int = 4000) -> Example:
    """Five columns of several kinds that share a latent variable; `test` is missing where `age` is low, mostly."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal(rows)

    def like(weight: float) -> np.ndarray:
        return weight * z + np.sqrt(1 - weight**2) * rng.standard_normal(rows)

    test = like(0.8).round(2)
    test[like(0.7) < -0.8] = np.nan
    return example(
        "dependent",
        {
            "age": (Kind.INTEGER, np.rint(50 + 12 * like(0.9)).astype(int)),
            "town": (Kind.CATEGORY, np.array(["c", "a", "d", "b"], dtype=object)[np.digitize(like(0.8), [-1, 0, 0.8])]),
            "stage": (Kind.ORDERED, np.array(["I", "II", "III"], dtype=object)[np.digitize(like(0.7), [-0.2, 1])]),
            "test": (Kind.DECIMAL, test),
            "dose": (Kind.DECIMAL, np.where(rng.random(rows) < 0.5, 0.0, np.exp(like(0.6)))),
        },
        test={"precision": 2},
    )


@pytest.fixture(scope="module")
def fitted() -> GaussianCopula:
    return fit(dependent())


@pytest.fixture(scope="module")
def many(fitted) -> pd.DataFrame:
    return fitted.sample(300_000, np.random.default_rng(5))


def test_columns_keep_their_own_distribution(many):
    real = dependent().table
    for name in ("age", "test", "dose"):
        assert stats.ks_2samp(real[name].dropna().astype(float), many[name].dropna().astype(float)).statistic < 0.02
    for name in ("town", "stage"):
        gap = real[name].value_counts(normalize=True).sub(many[name].value_counts(normalize=True)).abs()
        assert gap.max() < 0.01
    assert many["test"].isna().mean() == pytest.approx(real["test"].isna().mean(), abs=0.01)


def test_pairs_of_columns_keep_their_dependence(many):
    real = dependent().table
    for one, other in (("age", "test"), ("age", "dose")):
        r, s = (t[[one, other]].astype(float).corr("spearman").iloc[0, 1] for t in (real, many))
        assert s == pytest.approx(r, abs=0.04)
    for t in (real, many):
        means = t.groupby("town", observed=True)["age"].mean()
        assert means.sort_values().index.tolist() == ["c", "a", "d", "b"]
    real_means, made_means = (t.groupby("stage", observed=True)["age"].mean() for t in (real, many))
    assert made_means.to_numpy() == pytest.approx(real_means.to_numpy(), abs=1.5)
    missing = [t["age"][t["test"].isna()].mean() for t in (real, many)]
    assert missing[1] == pytest.approx(missing[0], abs=1)


@pytest.mark.parametrize(
    "cells",
    [
        {"town": "d"},
        {"age": 50},
        {"test": None},
        {"dose": 0.0},
        {"town": "b", "age": 62},
        {"town": "c", "stage": "III"},
        {"age": 40, "test": None, "stage": "I"},
    ],
    ids=str,
)
def test_rows_under_conditions_are_the_joint_distribution_s_rows_that_meet_them(fitted, many, cells):
    schema = dependent().schema
    meets = np.ones(len(many), dtype=bool)
    for name, cell in cells.items():
        meets &= (many[name].isna() if cell is None else many[name] == cell).to_numpy(dtype=bool)
    truth, n = many[meets], 8000
    assert len(truth) > 150
    fixed = many.iloc[np.repeat(np.flatnonzero(meets)[:1], n)][list(cells)].reset_index(drop=True)
    rows = fitted.sample(n, np.random.default_rng(7), fixed)
    check_canonical(rows, schema)
    for name in (c for c in schema.names if c not in cells):
        error = 4.5 * np.sqrt(1 / n + 1 / len(truth))
        assert rows[name].isna().mean() == pytest.approx(truth[name].isna().mean(), abs=0.5 * error)
        if schema[name].kind.is_discrete:
            gap = rows[name].value_counts(normalize=True).sub(truth[name].value_counts(normalize=True)).abs()
            assert gap.max() < 0.5 * error + 0.005
        else:
            one, other = rows[name].dropna().astype(float), truth[name].dropna().astype(float)
            assert stats.ks_2samp(one, other).statistic < 2 * np.sqrt(1 / len(one) + 1 / len(other)) + 0.005


def test_conditions_may_differ_from_row_to_row(fitted):
    ages = pd.DataFrame({"age": pd.array(np.repeat([30, 50, 70], 500), dtype="Int64")})
    rows = fitted.sample(1500, np.random.default_rng(0), ages)
    assert rows["age"].equals(ages["age"])
    tests = rows.groupby("age")["test"].mean()
    assert tests.is_monotonic_increasing
    assert tests.iloc[2] - tests.iloc[0] > 1.5


def test_a_value_outside_anything_seen_can_be_asked_for(fitted):
    """It counts as the outermost value, not as one that many standard deviations tell of."""
    ages = pd.DataFrame({"age": pd.array([-500, 10**9, 20, 83] * 500, dtype="Int64")})
    rows = fitted.sample(2000, np.random.default_rng(0), ages)
    assert rows["age"].equals(ages["age"])
    tests = rows.groupby("age")["test"].mean()
    assert tests[10**9] == pytest.approx(tests[83], abs=0.5)
    gaps = rows.groupby("age")["test"].apply(lambda cells: cells.isna().mean())
    assert 0.85 < gaps[-500] < 1


def test_columns_missing_together_stay_so_and_alternating_ones_alternate():
    rng = np.random.default_rng(0)
    gap = rng.random(1000) < 0.4
    cells = {name: np.where(mask, np.nan, rng.normal(size=1000)) for name, mask in
             (("a", gap), ("b", gap), ("c", ~gap))}
    rows = fit(example("gaps", {k: (Kind.DECIMAL, v) for k, v in cells.items()})).sample(4000, rng)
    assert (rows["a"].isna() == rows["b"].isna()).all()
    assert (rows["a"].isna() != rows["c"].isna()).mean() > 0.93


def test_collinear_and_repeated_columns_stay_close():
    rng = np.random.default_rng(0)
    x = rng.normal(size=600)
    made = example("collinear", {f"c{j}": (Kind.DECIMAL, (-1) ** j * (j + 1) * x + 1e-9 * j) for j in range(12)})
    rows = fit(made).sample(2000, rng)
    rank = rows.rank().corr().abs().to_numpy()
    assert rank.min() > 0.97


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    made = example("wide", {f"c{j}": (Kind.DECIMAL, rng.normal(size=40)) for j in range(120)})
    rows = fit(made).sample(50, rng)
    check_canonical(rows, made.schema)
    assert rows.notna().all().all()


def test_full_shrinkage_makes_columns_independent():
    rows = fit(dependent(), shrinkage=1).sample(20_000, np.random.default_rng(0))
    assert abs(rows[["age", "test"]].astype(float).corr().iloc[0, 1]) < 0.03


def test_a_table_without_modelled_columns_is_made_all_the_same():
    made = example("none", {"id": (Kind.IDENTIFIER, [f"Q-{k}" for k in range(30)]), "e": (Kind.EMPTY, [None] * 30)})
    rows = fit(made).sample(7, np.random.default_rng(0))
    check_canonical(rows, made.schema)
    assert rows["id"].is_unique


def test_columns_of_which_nothing_may_be_told_are_left_empty_with_a_notice():
    heard = []
    made = example("few", {"a": (Kind.DECIMAL, np.arange(9.0)), "b": (Kind.CATEGORY, ["x"] * 9)})
    method = GaussianCopula(GaussianCopula.make_params({}))
    method.fit(made.table, made.schema, np.random.default_rng(0), heard.append)
    rows = method.sample(5, np.random.default_rng(0))
    assert [e.column for e in heard if isinstance(e, Notice)] == ["a", "b"]
    assert rows.isna().all().all()
    asked = method.sample(9, np.random.default_rng(0), made.table)
    assert asked.equals(made.table)


def test_no_rows_are_an_error():
    made, method = mixed(20), GaussianCopula(GaussianCopula.make_params({}))
    with pytest.raises(FitError, match="no rows"):
        method.fit(made.table.iloc[:0], made.schema, np.random.default_rng(0))


def test_a_cancel_is_heard_while_correlations_are_worked_out_and_in_every_sweep():
    rng = np.random.default_rng(0)
    made = mixed(300)
    calls = []

    def count() -> bool:
        calls.append(1)
        return False

    method = GaussianCopula(GaussianCopula.make_params({}))
    method.fit(made.table, made.schema, rng, ignore, count)
    fixed = made.table[["age", "region", "grade"]]
    before = len(calls)
    method.sample(300, rng, fixed, ignore, count)
    assert len(calls) - before > 60
    with pytest.raises(CancelledError):
        method.sample(300, rng, fixed, ignore, lambda: len(calls) > 0)
