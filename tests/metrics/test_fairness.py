"""Rare labels and the balance of groups."""

from __future__ import annotations

import numpy as np
import pytest

from synthloom.domain.measurement import Undefined
from synthloom.domain.schema import Kind
from synthloom.metrics.contract import Tables
from synthloom.metrics.fairness import freq_skew, rare_coverage
from synthloom.testing.example_tables import example


def tables(real: dict[str, int], synthetic: dict[str, int], **more) -> Tables:
    labels = {"a": {"categories": tuple(sorted(real)), "sensitive": True}}
    a, b = (
        example("x", {"a": (Kind.CATEGORY, np.repeat(list(c), list(c.values())).astype(object))}, **labels)
        for c in (real, synthetic)
    )
    return Tables(a.table, None, b.table, a.schema, **more)


def test_coverage_counts_labels_that_are_rare_and_supported() -> None:
    outcome = rare_coverage.compute(tables({"big": 960, "few": 20, "some": 17, "lone": 3}, {"big": 99, "few": 1}))
    assert outcome.value == 0.5
    assert outcome.details["columns"]["a"] == {"rare": 2, "covered": 1, "sensitive": True}
    p = np.array([0.02, 0.017])
    assert outcome.details["expected"] == pytest.approx((1 - (1 - p) ** 100).mean())


def test_no_rare_label_is_undefined() -> None:
    assert isinstance(rare_coverage.compute(tables({"x": 50, "y": 50}, {"x": 1})), Undefined)


def test_skew_of_a_halved_group() -> None:
    """A group halved: |.1 - .2| / .3, the others |.9 - .8| / 1.7; labels without support don't count."""
    outcome = freq_skew.compute(tables({"g": 2_000, "h": 7_997, "lone": 3}, {"g": 1_000, "h": 9_000}))
    assert outcome.value == pytest.approx((0.1 / 0.3 + 0.1 / 1.7) / 2, abs=1e-3)
    assert outcome.details["sensitive"] == outcome.details["columns"]
    assert outcome.interval.low < outcome.value < outcome.interval.high


def test_a_vanished_group_is_the_worst() -> None:
    assert freq_skew.compute(tables({"g": 500, "h": 500}, {"h": 500})).value == pytest.approx((1 + 1 / 3) / 2)


def test_skew_interval_covers() -> None:
    rng, hits = np.random.default_rng(0), 0
    true = (0.2 / 0.6 + 0.2 / 1.4) / 2
    for _ in range(100):
        x, y = int(rng.binomial(400, 0.4)), int(rng.binomial(500, 0.2))
        outcome = freq_skew.compute(tables({"g": x, "h": 400 - x}, {"g": y, "h": 500 - y}))
        hits += outcome.interval.low <= true <= outcome.interval.high
    assert hits >= 90


def test_equal_frequencies_are_not_called_skewed() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(60):
        draws = rng.multinomial(600, [0.5, 0.3, 0.15, 0.05], 2)
        outcome = freq_skew.compute(tables(*(dict(zip("abcd", map(int, d), strict=True)) for d in draws)))
        hits += outcome.interval.low <= 0.01
    assert hits >= 54
