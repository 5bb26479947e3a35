"""Leaks that must be found, and no leak where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synthloom.domain.measurement import Measured, Undefined
from synthloom.domain.schema import Kind
from synthloom.metrics._neighbours import nearest, space
from synthloom.metrics._views import row_keys
from synthloom.metrics.contract import Tables
from synthloom.metrics.membership import mia_auc, mia_tpr
from synthloom.metrics.privacy import dcr_share, dup_rate, exact_match_excess
from synthloom.testing.check_metric import population, population_schema, population_tables
from synthloom.testing.example_tables import example, mixed


def joined(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def test_a_copy_of_the_training_rows_is_found_by_everything() -> None:
    tables = population_tables(600, 1, population(600, 1).sample(frac=1, random_state=0).reset_index(drop=True))
    assert mia_auc.compute(tables).value > 0.99
    assert mia_tpr.compute(tables).value > 0.99
    assert dcr_share.compute(tables).value > 0.98
    assert dup_rate.compute(tables).value == 1
    assert exact_match_excess.compute(tables).value > 0.99


def test_rows_that_a_little_noise_covers_are_found_too() -> None:
    near = population(600, 1)
    near["size"] = near["size"] + 0.01
    near["time"] = near["time"] * 1.001
    tables = population_tables(600, 1, near)
    assert dup_rate.compute(tables).value == 0
    assert mia_auc.compute(tables).interval.low > 0.9
    assert dcr_share.compute(tables).interval.low > 0.9


def test_one_row_in_twenty_shows_where_averages_do_not() -> None:
    train = population(3_000, 1)
    leaky = joined(population(2_850, 7), train.iloc[:150])
    tables = Tables(train, population(3_000, 2), leaky, population_schema())
    average, few = mia_auc.compute(tables), mia_tpr.compute(tables)
    assert average.value < 0.56
    assert few.value > 4 * 0.01
    assert few.interval.low > 0.02
    assert dup_rate.compute(tables).value == pytest.approx(0.05)


@pytest.mark.parametrize(("metric", "ideal"), [(mia_auc, 0.5), (mia_tpr, 0.01), (dcr_share, 0.5)])
def test_independent_rows_are_no_leak(metric, ideal) -> None:
    inside = 0
    for seed in range(0, 120, 6):
        outcome = metric.compute(population_tables(600, seed))
        inside += outcome.interval.low <= ideal <= outcome.interval.high
    assert inside >= 17, inside


def test_common_rows_are_no_leak() -> None:
    """With few columns many people share a row; a holdout freed of training rows is then rarer than they are."""
    def people(n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        return pd.DataFrame({"a": rng.geometric(0.03, n), "b": rng.geometric(0.05, n)}).astype("Int64")

    inside = {"mia": 0, "dcr": 0}
    for seed in range(0, 30, 3):
        train, holdout, fresh = people(1_500, seed), people(1_500, seed + 1), people(1_500, seed + 2)
        holdout = holdout[~holdout.apply(tuple, axis=1).isin(set(train.apply(tuple, axis=1)))].reset_index(drop=True)
        schema = example("people", {"a": (Kind.INTEGER, train["a"]), "b": (Kind.INTEGER, train["b"])}).schema
        tables = Tables(train, holdout, fresh, schema)
        assert dup_rate.compute(tables).value > 0.3
        for name, metric in (("mia", mia_auc), ("dcr", dcr_share)):
            outcome = metric.compute(tables)
            inside[name] += outcome.interval.low <= 0.5 <= outcome.interval.high
        excess = exact_match_excess.compute(tables)
        assert excess.interval.low <= 0.01
    assert min(inside.values()) >= 8, inside


def test_the_worst_subgroup_is_measured_and_not_named() -> None:
    train, fresh = population(2_000, 1), population(2_000, 7)
    leaky = joined(fresh[fresh["group"] != "cell-south"], train[train["group"] == "cell-south"])
    outcome = mia_auc.compute(Tables(train, population(2_000, 2), leaky, population_schema()))
    found = outcome.details["subgroups"]["group"]
    assert found["worst_auc"] > 0.99
    assert outcome.value < 0.9
    assert "cell" not in str(outcome.details)


def test_without_holdout_or_with_little_it_is_undefined() -> None:
    tables = population_tables(100)
    for metric in (mia_auc, mia_tpr, dcr_share):
        assert isinstance(metric.compute(replace(tables, holdout=None, _shared={})), Undefined)
        few = population(10, 2)
        assert isinstance(metric.compute(replace(tables, holdout=few, _shared={})), Undefined)
    assert isinstance(mia_auc.compute(tables), Measured)
    assert isinstance(mia_tpr.compute(tables), Undefined)


def test_copied_identifiers_are_told() -> None:
    case = mixed(200)
    other = mixed(200, 5).table
    other["id"] = case.table["id"].to_numpy()
    assert dup_rate.compute(Tables(case.table, None, other, case.schema)).details["identifiers"] == {"id": 1.0}


def test_row_keys_tell_rows_apart_and_nothing_else() -> None:
    case = mixed(300)
    again = mixed(300).table
    again["id"], again["remark"] = again["id"].to_numpy()[::-1], None
    assert np.array_equal(row_keys(case.table, case.schema), row_keys(again, case.schema))
    assert len(np.unique(row_keys(case.table, case.schema))) == 300
    again["income"] = again["income"] + 0.01
    same = row_keys(case.table, case.schema) == row_keys(again, case.schema)
    assert np.array_equal(same, again["income"].isna().to_numpy())
    zeros = example("z", {"a": (Kind.DECIMAL, [0.0, -0.0, np.nan])})
    keys = row_keys(zeros.table, zeros.schema)
    assert keys[0] == keys[1] != keys[2]


def test_nearest_neighbours_are_those_of_plain_gower() -> None:
    tables = population_tables(400)
    one, other = space(tables).place(tables.synthetic), space(tables).place(tables.train)
    distances, positions = nearest(tables, one, other, 1)
    gap = np.abs(one.ranks[:, None, :] - other.ranks[None, :, :])
    lone = np.isnan(one.ranks)[:, None, :] != np.isnan(other.ranks)[None, :, :]
    total = np.where(np.isnan(gap), lone, gap).sum(axis=2)
    total += (one.labels[:, None, :] != other.labels[None, :, :]).sum(axis=2)
    plain = total / (one.ranks.shape[1] + one.labels.shape[1])
    assert (np.abs(distances[:, 0] - plain.min(axis=1)) < 1e-5).mean() > 0.97
    assert (distances[:, 0] - plain.min(axis=1)).max() < 0.01
    assert np.take_along_axis(plain, positions, axis=1) == pytest.approx(distances, abs=1e-5)
