"""Train on synthetic, test on real."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthloom.domain.measurement import Measured, Undefined
from synthloom.domain.schema import Kind
from synthloom.metrics.contract import Tables
from synthloom.metrics.utility import auroc, r2
from synthloom.testing.check_metric import population, population_tables
from synthloom.testing.example_tables import example


def with_target(tables: Tables, target: str | None) -> Tables:
    return replace(tables, schema=tables.schema.model_copy(update={"target": target}), _shared={})


def test_fresh_rows_teach_as_well_as_the_real_ones() -> None:
    outcome = auroc.compute(population_tables(1_500))
    assert outcome.value > 0.8
    assert outcome.details["gap"] == pytest.approx(0, abs=0.03)
    low, high = outcome.details["reference_interval"]
    assert low <= outcome.details["reference"] <= high


def test_shuffled_targets_teach_nothing() -> None:
    rows = population(1_500, 3)
    rows["ill"] = rows["ill"].sample(frac=1, random_state=0).to_numpy()
    rows["ill"] = rows["ill"].astype(population(1, 0)["ill"].dtype)
    outcome = auroc.compute(population_tables(1_500, 1, rows))
    assert abs(outcome.value - 0.5) < 0.06
    assert outcome.details["gap"] > 0.25


def test_one_class_in_the_synthetic_rows_is_a_guess_not_a_gap_in_the_report() -> None:
    rows = population(300, 3)
    rows["ill"] = rows["ill"].where(rows["ill"] == "cell-no", "cell-no")
    outcome = auroc.compute(population_tables(300, 1, rows))
    assert outcome.value == 0.5


def test_numbers_are_regressed_and_classes_are_not() -> None:
    tables = with_target(population_tables(1_000), "time")
    assert isinstance(auroc.compute(tables), Undefined)
    outcome = r2.compute(tables)
    assert isinstance(outcome, Measured)
    assert outcome.value < 1
    assert isinstance(r2.compute(population_tables(300)), Undefined)
    assert isinstance(auroc.compute(with_target(population_tables(300), None)), Undefined)


def small(n: int, rare: int, holdout: int) -> Tables:
    """A target of two classes, `rare` rows of the one, and one of three numbers."""
    def part(rows: int, few: int, seed: int):
        x = np.random.default_rng(seed).normal(size=rows)
        cells = {
            "x": (Kind.DECIMAL, x), "ill": (Kind.CATEGORY, ["yes"] * few + ["no"] * (rows - few)),
            "grade": (Kind.INTEGER, np.arange(rows) % 3),
        }
        return example("small", cells, ill={"categories": ("no", "yes")})

    train, kept, made = part(n, rare * n // holdout, 1), part(holdout, rare, 2), part(n, rare * n // holdout, 3)
    return Tables(train.table, kept.table, made.table, train.schema, seed=0, min_support=25)


def test_why_there_is_no_area_is_said_as_it_is() -> None:
    few = auroc.compute(with_target(small(400, 20, 80), "ill"))
    assert isinstance(few, Undefined)
    assert few.reason == "No class of the target has 25 rows of the holdout and 25 rows beside it."
    one = auroc.compute(with_target(small(400, 0, 80), "ill"))
    assert isinstance(one, Undefined)
    assert "one class" in one.reason
    coded = auroc.compute(with_target(small(400, 20, 80), "grade"))
    assert isinstance(coded, Undefined)
    assert "category" in coded.reason
    amount = auroc.compute(with_target(small(400, 20, 80), "x"))
    assert isinstance(amount, Undefined)
    assert "category" not in amount.reason


def test_r2_knows_the_noise() -> None:
    def rows(seed: int):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=3_000)
        return {"x": (Kind.DECIMAL, x), "y": (Kind.DECIMAL, 1e6 + 3e4 * (x + rng.normal(0, 0.5, 3_000)))}

    parts = [example("linear", rows(seed)) for seed in range(3)]
    schema = parts[0].schema.model_copy(update={"target": "y"})
    outcome = r2.compute(Tables(parts[0].table, parts[1].table, parts[2].table, schema))
    assert outcome.value == pytest.approx(0.8, abs=0.04)  # 1 / (1 + .5 ** 2)
    assert outcome.interval.low < outcome.value < outcome.interval.high


def test_several_classes_are_averaged() -> None:
    def rows(seed: int):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=900)
        label = np.array(["a", "b", "c"], dtype=object)[np.digitize(x + rng.normal(0, 0.2, 900), [-0.4, 0.4])]
        return {"x": (Kind.DECIMAL, x), "y": (Kind.CATEGORY, label)}

    parts = [example("three", rows(seed)) for seed in range(3)]
    schema = parts[0].schema.model_copy(update={"target": "y"})
    outcome = auroc.compute(Tables(parts[0].table, parts[1].table, parts[2].table, schema))
    assert outcome.details["classes"] == 3
    assert outcome.value > 0.9
