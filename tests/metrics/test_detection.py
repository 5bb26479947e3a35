"""Detectors find what can be told apart, and nothing where nothing can."""

from __future__ import annotations

import pytest

from synthloom.domain.measurement import Measured
from synthloom.metrics.detection import c2st, detection_auc
from synthloom.testing.check_metric import population, population_tables


@pytest.mark.parametrize("metric", [c2st, detection_auc], ids=lambda m: m.info.key)
def test_rows_of_one_source_cannot_be_told_apart(metric) -> None:
    inside = 0
    for seed in range(0, 40, 5):
        outcome = metric.compute(population_tables(500, seed))
        assert isinstance(outcome, Measured)
        assert outcome.interval is not None
        inside += outcome.interval.low <= 0.5 <= outcome.interval.high
        assert abs(outcome.value - 0.5) < 0.1
    assert inside >= 6


@pytest.mark.parametrize("metric", [c2st, detection_auc], ids=lambda m: m.info.key)
def test_separable_rows_are_told_apart(metric) -> None:
    shifted = population(600, 9)
    shifted["age"] = shifted["age"] + 200
    outcome = metric.compute(population_tables(600, 1, shifted))
    assert outcome.value == pytest.approx(1)
    assert outcome.interval.low > 0.95


def test_the_column_that_gives_it_away_is_named() -> None:
    shifted = population(800, 9)
    shifted["size"] = shifted["size"].round(0)
    outcome = c2st.compute(population_tables(800, 1, shifted))
    assert outcome.interval.low > 0.7
    assert outcome.details["gives_away"][0]["column"] == "size"


def test_a_copy_of_the_training_rows_passes_detection() -> None:
    """Which is why it says nothing about membership."""
    outcome = detection_auc.compute(population_tables(600, 1, population(600, 1)))
    assert outcome.value < 0.6


def test_sizes_are_matched() -> None:
    outcome = c2st.compute(population_tables(400, 1, population(1_500, 9)))
    assert outcome.details["rows"] == 400
