"""Post-processing: marginals come closer, nothing is disclosed, nothing else moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from synthloom.domain.errors import CancelledError, UnknownNameError
from synthloom.domain.schema import Kind
from synthloom.refine import STEPS, protected_quantiles, refine
from synthloom.tables.canonical import check_canonical, to_float
from synthloom.testing.example_tables import example, mixed, odd


def rng():
    return np.random.default_rng(7)


def skewed(seed=0, rows=1500):
    """A synthetic stand-in for `mixed`: its rows redrawn so that marginals are off."""
    real = mixed(rows).table
    weights = np.where(real["age"].astype(float) > 60, 5.0, 1.0) * np.where(real["region"] == "south", 3.0, 1.0)
    return real.sample(rows, replace=True, weights=weights, random_state=seed).reset_index(drop=True)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_keeps_the_schema_the_gaps_and_its_inputs(step):
    table, schema, synthetic = mixed(1500).table, mixed(1500).schema, skewed()
    before, real_before = synthetic.copy(deep=True), table.copy(deep=True)
    done = refine(table, synthetic, schema, step, rng())
    check_canonical(done, schema)
    assert done.isna().equals(before.isna())
    pd.testing.assert_frame_equal(synthetic, before)
    pd.testing.assert_frame_equal(table, real_before)
    others = [c.name for c in schema if not c.kind.is_modelled]
    pd.testing.assert_frame_equal(done[others], before[others])


@pytest.mark.parametrize("step", STEPS)
def test_the_same_seed_gives_the_same_rows(step):
    table, schema, synthetic = mixed(1500).table, mixed(1500).schema, skewed()
    one, other = (refine(table, synthetic, schema, step, rng()) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("case", odd(), ids=lambda case: case.name)
def test_odd_tables_pass(step, case):
    synthetic = case.table.sample(30, replace=True, random_state=1).reset_index(drop=True)
    for rows in (synthetic, synthetic.iloc[:0]):
        done = refine(case.table, rows, case.schema, step, rng())
        check_canonical(done, case.schema)
        assert done.isna().equals(rows.isna())


def test_quantile_matching_brings_every_numeric_marginal_close_and_keeps_ranks():
    table, schema, synthetic = mixed(1500).table, mixed(1500).schema, skewed()
    done = refine(table, synthetic, schema, "quantile_matching", rng())
    for column in schema.modelled:
        if column.kind.is_numeric:
            real, made, was = (to_float(t[column.name], column.kind) for t in (table, done, synthetic))
            kept = ~np.isnan(made)
            assert ks_2samp(real[~np.isnan(real)], made[kept], method="asymp").statistic < 0.02, column.name
            order = np.argsort(was[kept], kind="stable")
            ties = np.diff(was[kept][order]) == 0
            assert (np.diff(made[kept][order])[~ties] >= 0).all(), column.name


def test_quantile_matching_keeps_atoms_exactly():
    table, schema, synthetic = mixed(1500).table, mixed(1500).schema, skewed()
    done = refine(table, synthetic, schema, "quantile_matching", rng())
    real_share = table["gains"].value_counts(normalize=True)
    made_share = done["gains"].value_counts(normalize=True)
    assert set(made_share.index) == set(real_share.index)
    assert (made_share - real_share).abs().max() < 0.002


@pytest.mark.parametrize("step", ["quantile_matching", "jitter"])
def test_an_extreme_of_one_record_is_not_reached(step):
    values = np.r_[np.arange(200.0), 10_000.0]
    case = example("x", {"a": (Kind.DECIMAL, values)})
    synthetic = pd.DataFrame({"a": np.linspace(0, 199, 500)})
    done = refine(case.table, synthetic, case.schema, step, rng(), min_support=5)
    assert done["a"].max() < 3000


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-5, 5).map(float), st.floats(-100, 100)), min_size=5, max_size=80),
    st.integers(1, 5),
)
def test_protected_quantiles_rest_on_enough_records(values, support):
    known = np.array(values)
    line = protected_quantiles(known, support)
    assert (np.diff(line.levels) >= -1e-12).all()
    assert (np.diff(line.values) >= 0).all()
    assert line.values[0] >= np.sort(known)[:support].mean() - 1e-9 or line.values[0] in line.atoms
    assert line.values[-1] <= np.sort(known)[-support:].mean() + 1e-9 or line.values[-1] in line.atoms
    distinct, counts = np.unique(known, return_counts=True)
    assert set(line.atoms) == set(distinct[counts >= support])
    drawn = line.at(np.linspace(0, 1, 101))
    assert (np.diff(drawn) >= -1e-9).all()
    assert np.isin(line.atoms, np.r_[line.values]).all()


def test_jitter_moves_continuous_values_a_little_and_leaves_atoms():
    table, schema, synthetic = mixed(1500).table, mixed(1500).schema, skewed()
    done = refine(table, synthetic, schema, "jitter", rng())
    assert done["gains"].equals(synthetic["gains"])
    moved = (done["income"] - synthetic["income"]).abs().dropna()
    assert (moved > 0).mean() > 0.9
    assert moved.median() < 0.01 * table["income"].std()
    assert done["income"].min() >= synthetic["income"].min()
    assert done["income"].max() <= synthetic["income"].max()
    assert np.array_equal(done["income"].round(2), done["income"], equal_nan=True)


def test_declared_bounds_are_kept():
    values = np.round(np.random.default_rng(1).uniform(0, 1, 300), 6)
    case = example("x", {"a": (Kind.DECIMAL, values)}, a={"lower": 0.0, "upper": 0.9})
    for step in ("quantile_matching", "jitter"):
        done = refine(case.table, case.table, case.schema, step, rng())
        assert done["a"].between(0, 0.9).all()


def test_categorical_marginals_match_with_as_few_changes_as_possible():
    table, schema, synthetic = mixed(1500).table, mixed(1500).schema, skewed()
    done = refine(table, synthetic, schema, "categorical_marginals", rng())
    for name in ("region", "smokes", "grade"):
        wanted = table[name].value_counts(normalize=True, sort=False)
        made, was = (t[name].value_counts(sort=False) for t in (done, synthetic))
        assert ((made - wanted * made.sum()).abs() < 1).all(), name
        changed = int((done[name].astype(object).fillna("-") != synthetic[name].astype(object).fillna("-")).sum())
        assert changed == int((was - made).clip(lower=0).sum()), name


def test_categorical_marginals_give_no_cell_to_a_label_of_few_records():
    labels = ["common"] * 200 + ["other"] * 100 + ["rare"] * 3
    case = example("x", {"a": (Kind.CATEGORY, labels)})
    synthetic = pd.DataFrame({"a": pd.Categorical(["common"] * 300, dtype=case.table["a"].dtype)})
    done = refine(case.table, synthetic, case.schema, "categorical_marginals", rng(), min_support=5)
    assert done["a"].value_counts().to_dict() == {"common": 200, "other": 100, "rare": 0}


def test_unknown_steps_and_cancel():
    case = mixed(100)
    with pytest.raises(UnknownNameError, match="quantile_matching"):
        refine(case.table, case.table, case.schema, "polish", rng())
    with pytest.raises(CancelledError):
        refine(case.table, case.table, case.schema, "jitter", rng(), cancelled=lambda: True)
