"""Estimates against libraries and closed forms; intervals against repeated draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from synthloom.metrics._stats import (
    auc_influence,
    auc_interval,
    clipped_interval,
    ks_distance,
    mid_ranks,
    share_interval,
    standard_error,
    variation,
)


def test_mid_ranks_are_scipys() -> None:
    values = np.random.default_rng(0).integers(0, 20, 200).astype(float)
    assert mid_ranks(values) == pytest.approx(stats.rankdata(values))


def test_area_is_sklearns_with_ties() -> None:
    rng = np.random.default_rng(1)
    scores, positive = rng.integers(0, 8, 300).astype(float), rng.random(300) < 0.3
    area, influence = auc_influence(scores, positive)
    assert area == pytest.approx(roc_auc_score(positive, scores))
    assert influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_auc_interval_covers_the_true_area(shift: float) -> None:
    rng, true, hits = np.random.default_rng(2), float(stats.norm.cdf(shift / np.sqrt(2))), 0
    positive = np.arange(200) < 80
    for _ in range(400):
        area, influence = auc_influence(rng.normal(0, 1, 200) + shift * positive, positive)
        interval = auc_interval(area, standard_error(influence), 80)
        hits += interval.low <= true <= interval.high
    assert 0.92 <= hits / 400 <= 0.98


def test_perfect_separation_still_has_an_interval() -> None:
    interval = auc_interval(1.0, 0.0, 20)
    assert interval.high == 1
    assert 0.8 < interval.low < 0.9


def test_wilson_interval_covers() -> None:
    rng, hits = np.random.default_rng(3), 0
    for n in rng.binomial(200, 0.03, 500):
        interval = share_interval(int(n), 200)
        hits += interval.low <= 0.03 <= interval.high
    assert hits / 500 >= 0.92


def test_ks_is_scipys() -> None:
    rng = np.random.default_rng(4)
    for a, b in ((rng.normal(size=300), rng.normal(0.4, 1, 170)), (rng.integers(0, 5, 90), rng.integers(1, 6, 200))):
        distance, at, sign = ks_distance(a, b)
        assert distance == pytest.approx(stats.ks_2samp(a, b).statistic)
        assert sign * ((a <= at).mean() - (b <= at).mean()) == pytest.approx(distance)


def test_interval_never_excludes_its_own_value() -> None:
    interval = clipped_interval(1.7, 0.1, (0.0, 1.0))
    assert interval.high == 1.7


def test_total_variation_never_leaves_its_range():
    rng = np.random.default_rng(0)
    for cells in (3, 60, 700):
        p = np.r_[rng.dirichlet(np.ones(cells)), np.zeros(cells)]
        for _ in range(50):  # nothing in common: the sums of halves are off by a rounding now and then
            q = np.r_[np.zeros(cells), rng.dirichlet(np.ones(cells))]
            assert 0.999999 < variation(p, q) <= 1
    assert variation(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == 0.25
