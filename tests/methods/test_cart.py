"""Sequential trees: what they keep, what they refuse, and that they stay small and repeatable."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthloom.domain.errors import CancelledError, FitError, ParamsError
from synthloom.domain.event import Notice, ignore
from synthloom.domain.schema import Kind
from synthloom.methods.cart import Cart
from synthloom.tables.canonical import check_canonical
from synthloom.testing.example_tables import Example, example, mixed


def fit(made: Example, seed: int = 1, **params) -> Cart:
    return Cart(Cart.make_params(params)).fit(made.table, made.schema, np.random.default_rng(seed))


def labels(codes: np.ndarray, words: list[str]) -> np.ndarray:
    return np.array(words, dtype=object)[codes]


def family(rows: int = 5000, seed: int = 0) -> Example:
    """Sex decides who can be husband or wife; pay follows age and sex; `lab` is missing exactly where `seen` is no."""
    rng = np.random.default_rng(seed)
    sex = rng.integers(0, 2, rows)
    role = np.where(rng.random(rows) < 0.5, 2, sex)
    age = rng.integers(18, 80, rows)
    pay = np.round(np.exp(7 + 0.02 * age + 0.4 * sex + 0.3 * rng.standard_normal(rows)), 2)
    seen = rng.random(rows) < 0.7
    lab = np.where(seen, (rng.normal(5, 1, rows) + sex).round(1), np.nan)
    return example(
        "family",
        {
            "sex": (Kind.CATEGORY, labels(sex, ["Male", "Female"])),
            "role": (Kind.CATEGORY, labels(role, ["Husband", "Wife", "Single"])),
            "age": (Kind.INTEGER, age), "pay": (Kind.DECIMAL, pay),
            "seen": (Kind.BOOLEAN, labels(seen.astype(int), ["no", "yes"])), "lab": (Kind.DECIMAL, lab),
        },
        pay={"precision": 2}, lab={"precision": 1}, seen={"categories": ("no", "yes")},
    )


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return fit(family()).sample(20_000, np.random.default_rng(3))


def test_combinations_that_never_occur_are_never_made(rows):
    real = family().table
    for t in (real, rows):
        assert not ((t["sex"] == "Female") & (t["role"] == "Husband")).any()
        assert not ((t["sex"] == "Male") & (t["role"] == "Wife")).any()
        assert (t["lab"].isna() == (t["seen"] == "no")).all()


def test_columns_keep_their_own_distribution(rows):
    real = family().table
    for name in ("age", "pay", "lab"):
        one, other = real[name].dropna().astype(float), rows[name].dropna().astype(float)
        assert stats.ks_2samp(one, other).statistic < 0.025
    for name in ("sex", "role", "seen"):
        gap = real[name].value_counts(normalize=True).sub(rows[name].value_counts(normalize=True)).abs()
        assert gap.max() < 0.02


def test_a_long_column_drawn_in_two_steps_follows_the_others(rows):
    real = family().table
    found = [t.groupby([t["age"].clip(20) // 10, "sex"], observed=True)["pay"].median() for t in (real, rows)]
    assert np.abs(np.log(found[1] / found[0])).max() < 0.12
    rank = [t[["age", "pay"]].astype(float).corr("spearman").iloc[0, 1] for t in (real, rows)]
    assert rank[1] == pytest.approx(rank[0], abs=0.05)


def test_independent_columns_stay_independent():
    rng = np.random.default_rng(0)
    n = 4000
    made = example("independent", {
        "a": (Kind.DECIMAL, rng.normal(size=n)), "b": (Kind.DECIMAL, rng.normal(size=n)),
        "c": (Kind.CATEGORY, labels(rng.integers(0, 4, n), list("wxyz"))),
    })
    rows = fit(made).sample(10_000, rng)
    assert abs(rows[["a", "b"]].corr("spearman").iloc[0, 1]) < 0.05
    assert stats.kruskal(*[g["a"] for _, g in rows.groupby("c", observed=True)]).statistic < 40


def test_the_order_may_be_given_and_is_kept_in_the_state():
    names = ["pay", "lab", "age", "sex", "role", "seen"]
    method = fit(family(600), order=tuple(names))
    places = [c.name for c in family(600).schema.modelled]
    assert [places[j] for j in method.state()[1]["order"]] == names
    check_canonical(method.sample(50, np.random.default_rng(0)), family(600).schema)


@pytest.mark.parametrize(
    "order",
    [
        ("sex",),
        ("sex", "role", "age", "pay", "seen", "no such column"),
        ("sex", "role", "age", "pay", "seen", "lab", "lab"),
        (),
    ],
    ids=str,
)
def test_an_order_that_does_not_name_every_column_once_is_refused(order):
    with pytest.raises(ParamsError, match="order must name every modelled column once"):
        fit(family(200), order=order)


def test_an_order_names_modelled_columns_only():
    made = mixed(300)
    names = [c.name for c in made.schema.modelled]
    fit(made, order=tuple(names), trees=1)
    with pytest.raises(ParamsError, match="order"):
        fit(made, order=("id", *names))


def test_conditions_are_refused_with_the_way_out():
    method = fit(family(300))
    with pytest.raises(ParamsError, match="gaussian_copula"):
        method.sample(2, np.random.default_rng(0), family(300).table[["sex"]].iloc[:2])


def test_no_rows_are_an_error():
    made = family(50)
    with pytest.raises(FitError, match="no rows"):
        Cart(Cart.make_params({})).fit(made.table.iloc[:0], made.schema, np.random.default_rng(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not let a process choose its cores")
def test_the_number_of_threads_changes_nothing():
    cores = os.sched_getaffinity(0)
    first = fit(family(2500)).sample(500, np.random.default_rng(2))
    os.sched_setaffinity(0, {min(cores)})
    try:
        second = fit(family(2500)).sample(500, np.random.default_rng(2))
    finally:
        os.sched_setaffinity(0, cores)
    pd.testing.assert_frame_equal(first, second)


def test_more_trees_or_another_seed_give_other_rows_of_the_same_kind():
    made = family(1500)
    one = fit(made, seed=1).sample(3000, np.random.default_rng(2))
    two = fit(made, seed=2, trees=3).sample(3000, np.random.default_rng(2))
    assert not one.equals(two)
    assert stats.ks_2samp(one["pay"], two["pay"]).statistic < 0.06


def test_alternating_gaps_and_gaps_that_depend_on_a_label_are_kept():
    rng = np.random.default_rng(0)
    n = 4000
    label, gap = rng.integers(0, 3, n), rng.random(n) < 0.5
    made = example("gaps", {
        "label": (Kind.CATEGORY, labels(label, list("xyz"))),
        "a": (Kind.DECIMAL, np.where(gap, np.nan, rng.normal(size=n))),
        "b": (Kind.DECIMAL, np.where(gap, rng.normal(size=n), np.nan)),
        "c": (Kind.INTEGER, pd.Series(rng.integers(0, 90, n), dtype="Int64").mask(rng.random(n) < 0.3 * label)),
    })
    rows = fit(made).sample(8000, rng)
    assert (rows["a"].isna() != rows["b"].isna()).mean() > 0.99
    shares = rows["c"].isna().groupby(rows["label"], observed=True).mean()
    assert shares.to_numpy() == pytest.approx([0, 0.3, 0.6], abs=0.06)


def test_fifty_thousand_labels_neither_fill_the_memory_nor_come_out_rare():
    rng = np.random.default_rng(0)
    n = 60_000
    label = np.where(rng.random(n) < 0.3, rng.integers(0, 40, n), np.arange(n) % 50_000)
    made = example("high cardinality", {
        "place": (Kind.CATEGORY, np.array([f"p{k}" for k in label], dtype=object)),
        "number": (Kind.DECIMAL, rng.normal(size=n)), "also": (Kind.CATEGORY, labels(label % 5, list("abcde"))),
    })
    tracemalloc.start()
    rows = fit(made, trees=2).sample(5000, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
    counts = made.table["place"].value_counts()
    assert counts[rows["place"].unique()].min() >= 15
    assert rows["place"].notna().all()


def test_columns_of_which_nothing_may_be_told_are_left_empty_with_a_notice():
    heard = []
    made = example("few", {"a": (Kind.DECIMAL, np.arange(9.0)), "b": (Kind.CATEGORY, ["x"] * 9)})
    method = Cart(Cart.make_params({})).fit(made.table, made.schema, np.random.default_rng(0), heard.append)
    assert [e.column for e in heard if isinstance(e, Notice)] == ["a", "b"]
    assert method.sample(5, np.random.default_rng(0)).isna().all().all()


def test_a_cancel_between_two_trees_is_heard():
    calls = []

    def late() -> bool:
        calls.append(1)
        return len(calls) > 30

    made = family(600)
    with pytest.raises(CancelledError):
        Cart(Cart.make_params({})).fit(made.table, made.schema, np.random.default_rng(0), ignore, late)
    assert len(calls) == 31
