"""Survival metrics against lifelines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import concordance_index

from synthloom.metrics.survival import _cox, c_index, concordance, kaplan_meier, survival_km
from synthloom.testing.check_metric import population, population_tables


def times(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n).round(1)
    return np.ceil(rng.exponential(20 * np.exp(-risk))), rng.random(n) < 0.6, risk


def test_concordance_is_lifelines_with_ties() -> None:
    duration, happened, risk = times(300, 0)
    found = concordance(duration, happened, risk)
    assert found is not None
    assert found[0] == pytest.approx(concordance_index(duration, -risk, happened))
    assert found[1].mean() == pytest.approx(0, abs=1e-9)


def test_concordance_spread_is_what_repeated_draws_show() -> None:
    values, errors = [], []
    for seed in range(120):
        value, influence = concordance(*times(150, seed))
        values.append(value)
        errors.append(np.sqrt(np.mean(influence**2) / 150))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_kaplan_meier_is_lifelines() -> None:
    duration, happened, _ = times(200, 1)
    at = np.linspace(0, duration.max(), 50)
    want = KaplanMeierFitter().fit(duration, happened).survival_function_at_times(at).to_numpy()
    assert kaplan_meier(duration, happened, at) == pytest.approx(want)
    doubled = kaplan_meier(duration, happened, at, np.full(200, 2.0))
    assert doubled == pytest.approx(want)


def test_cox_is_lifelines() -> None:
    duration, happened, risk = times(300, 2)
    design = np.column_stack([risk, np.random.default_rng(0).normal(size=300), np.zeros(300)])
    frame = pd.DataFrame(design[:, :2], columns=["a", "b"]).assign(t=duration, e=happened)
    want = CoxPHFitter(penalizer=0.01).fit(frame, "t", "e").params_.to_numpy()
    assert _cox(design, duration, happened) == pytest.approx([*want, 0.0], abs=1e-4)


def test_fresh_rows_rank_as_well_as_the_real_ones() -> None:
    outcome = c_index.compute(population_tables(1_200))
    assert outcome.value > 0.6
    assert outcome.details["gap"] == pytest.approx(0, abs=0.02)
    assert outcome.interval.low < outcome.value < outcome.interval.high


def test_shuffled_times_rank_by_guessing() -> None:
    rows = population(1_200, 3)
    rows["time"] = rows["time"].sample(frac=1, random_state=0).to_numpy()
    outcome = c_index.compute(population_tables(1_200, 1, rows))
    assert outcome.details["gap"] > 0.1


def test_curves_of_one_source_are_alike_and_others_are_not() -> None:
    covered = 0
    for seed in range(0, 60, 3):
        outcome = survival_km.compute(population_tables(400, seed))
        covered += outcome.interval.low == 0
    assert covered >= 18
    slow = population(400, 3)
    slow["time"] = slow["time"] * 4
    outcome = survival_km.compute(population_tables(400, 1, slow))
    assert outcome.interval.low > 0.2
    assert outcome.details["bias"] > 0
