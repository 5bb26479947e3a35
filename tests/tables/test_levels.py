"""Levels: what a column's values are told in, each resting on at least k records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthloom.tables.levels import group_levels, label_levels, line_levels

LARGEST = np.finfo(float).max
supports = st.integers(2, 20)
floats = st.floats(allow_nan=False, allow_infinity=False)
heaped = st.sampled_from([0.0, 1.0, 2.5, -7.0, 1e6, 5e-324, LARGEST, -LARGEST])
columns = st.lists(floats | heaped | st.integers(-5, 60).map(float), max_size=150).map(np.array)
grids = st.none() | st.integers(0, 9)


# The disclosure rule


@settings(max_examples=300, deadline=None)
@given(columns, supports, grids)
@example(np.full(40, LARGEST), 15, 2)
@example(np.r_[np.full(20, -LARGEST), np.full(20, LARGEST), np.linspace(-1, 1, 40) * LARGEST], 5, None)
@example(1 + np.arange(60) * 2.0**-52, 4, None)
@example(np.arange(60) * 5e-324, 4, None)
def test_no_level_rests_on_fewer_than_k_records(values, k, digits):
    levels = line_levels(values, k, digits)
    assert (levels.counts >= k).all()
    assert levels.counts.sum() <= len(values)
    assert np.isfinite(np.r_[levels.low, levels.high, levels.step, levels.offset]).all()
    assert (levels.low <= levels.high).all()
    shared = {v for v, c in zip(*np.unique(values, return_counts=True), strict=True) if c >= k}
    assert shared <= set(levels.low[levels.low == levels.high])
    if len(levels.counts):
        low, high = levels.low.min(), levels.high.max()
        assert np.nextafter(low, high) >= values.min()  # a sliver around values that lie within rounding of each other
        assert np.nextafter(high, low) <= values.max()
    placed = levels.place(np.arange(len(levels.counts)), np.full(len(levels.counts), 0.5))
    assert np.isfinite(placed).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-200, 2000), max_size=200).map(lambda v: np.array(v, dtype=float)), supports)
def test_each_record_is_found_in_the_level_that_counts_it(values, k):
    levels = line_levels(values, k, 0)
    found = levels.find(values)
    if levels.counts.sum() == len(values):
        assert np.array_equal(np.bincount(found, minlength=len(levels.counts)), levels.counts)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=120).map(lambda v: np.array(v, dtype=np.int64)), supports)
def test_labels_that_fewer_than_k_records_hold_have_no_level(codes, k):
    levels = label_levels(codes, 9, k)
    assert (levels.counts >= k).all()
    assert set(levels.labels) == {c for c in range(7) if (codes == c).sum() >= k}


@pytest.mark.parametrize("n", [15, 29, 31, 100, 2000])
@pytest.mark.parametrize("law", ["normal", "lognormal", "standard_cauchy"])
def test_no_edge_is_a_record_of_its_own(n, law):
    values = getattr(np.random.default_rng(n), law)(size=n)
    levels = line_levels(values, 15, None)
    assert levels.counts.sum() == n
    assert not np.isin(np.r_[levels.low, levels.high], values).any()


def test_the_ends_are_means_of_the_k_most_extreme_records():
    values = np.sort(np.random.default_rng(0).normal(size=500))
    levels = line_levels(values, 20, None)
    assert levels.low[0] == pytest.approx(values[:20].mean())
    assert levels.high[-1] == pytest.approx(values[-20:].mean())


@pytest.mark.parametrize("sign", [1, -1])
def test_one_record_far_out_does_not_set_the_end(sign):
    values = np.random.default_rng(1).normal(100, 15, 600)
    values[17] = sign * 987_654_321.0
    levels = line_levels(values, 15, None)
    rest = np.delete(values, 17)
    assert rest.min() < levels.low[0]
    assert levels.high[-1] < rest.max()
    assert levels.counts.sum() == 600


@pytest.mark.parametrize("digits", [None, 0, 2])
def test_who_knows_the_value_on_one_side_of_an_edge_cannot_work_out_the_other(digits):
    values = np.unique(np.random.default_rng(4).normal(0, 1e5, 2000).round(2 if digits is None else digits))
    levels = line_levels(values, 15, digits)
    edges = levels.low[1:]
    above = np.searchsorted(values, edges)
    gap = values[above] - values[above - 1]
    assert (values[above - 1] < edges).all()
    assert (edges < values[above]).all()
    wide = gap > 3 * max(levels.step, 1e-9)
    exact = np.isclose(2 * edges - values[above - 1], values[above], rtol=0, atol=0.01 * gap)
    assert wide.sum() > 30
    assert exact[wide].mean() < 0.2


def test_neighbours_on_a_grid_are_parted_halfway():
    for step, digits in ((1.0, 0), (10.0, 0), (0.01, 2)):
        values = np.repeat(np.arange(500) * step, 5)
        edges = line_levels(values, 15, digits).low[1:] / step
        assert np.allclose(edges % 1, 0.5)


def test_fewer_than_k_values_make_no_interval():
    levels = line_levels(np.r_[np.zeros(30), np.arange(1, 15)], 15, 0)
    assert levels.low.tolist() == levels.high.tolist() == [0.0]
    assert levels.counts.tolist() == [30]


# The grid


@pytest.mark.parametrize(
    ("values", "digits", "step", "offset"),
    [
        (np.arange(0, 900, 10), 0, 10.0, 0.0),
        (np.arange(3, 900, 10), 0, 10.0, 3.0),
        (np.arange(-400, 400) * 0.25, 2, 0.25, 0.0),
        (np.arange(50) * 1800.0, 0, 1800.0, 0.0),
        (np.arange(-50, 50) * 86400.0 * 7 - 86400 * 3, 0, 604800.0, 345600.0),
        (np.r_[np.arange(0, 900, 10), 7], 0, 1.0, 0.0),
        (np.random.default_rng(0).normal(size=90).round(3), 3, 0.001, 0.0),
    ],
)
def test_values_on_a_grid_come_back_on_that_grid(values, digits, step, offset):
    levels = line_levels(np.asarray(values, dtype=float), 5, digits)
    assert (levels.step, levels.offset) == pytest.approx((step, offset))
    rng = np.random.default_rng(1)
    placed = levels.place(rng.integers(len(levels.counts), size=500), rng.random(500))
    assert np.allclose((placed - offset) / step, np.rint((placed - offset) / step), atol=1e-6)


def test_without_known_digits_or_beyond_exact_integers_there_is_no_grid():
    assert line_levels(np.arange(100.0), 5, None).step == 0
    assert line_levels(np.arange(100.0) + 2.0**54, 5, 0).step == 0
    assert line_levels(np.linspace(-1, 1, 99) * LARGEST, 5, 12).step == 0


@pytest.mark.parametrize("values", [[0] * 500 + [987_654], [0] * 14 + [987_654], [0] * 500 + [987_654] * 2 + [12]])
def test_the_grid_does_not_tell_how_far_away_single_records_lie(values):
    levels = line_levels(np.array(values, dtype=float), 15, 0)
    assert (levels.step, levels.offset) == (1.0, 0.0)


def test_shared_values_alone_may_show_the_grid():
    assert line_levels(np.r_[np.repeat([10.0, 20, 50], 30), 70], 15, 0).step == 10


# Shared values


def test_a_value_that_k_records_share_comes_back_exactly():
    odd = [0.1 + 0.2, 1 / 3, -1e300, 5e-324]
    levels = line_levels(np.r_[np.repeat(odd, 20), np.random.default_rng(0).normal(size=400)], 15, None)
    for value in odd:
        level = levels.find(np.array([value]))
        assert levels.counts[level] == 20
        assert levels.place(np.repeat(level, 9), np.linspace(0, 1, 9)).tolist() == [value] * 9


def test_levels_on_a_line_stand_from_low_to_high():
    rng = np.random.default_rng(3)
    levels = line_levels(np.r_[rng.normal(size=500), np.repeat([-1.0, 0, 2], 40)], 10, None)
    centre = (levels.low + levels.high) / 2
    assert (np.diff(centre) > 0).all()
    inner = np.flatnonzero(levels.low != levels.high)
    assert np.array_equal(levels.high[inner[:-1]], levels.low[inner[1:]])


def test_a_value_without_a_level_is_not_found():
    levels = line_levels(np.r_[np.zeros(30), np.ones(30), 0.5], 15, None)
    assert levels.find(np.array([0.0, 1.0, 0.5, -3.0, 9.0])).tolist() == [0, 1, -1, -1, -1]


def test_a_million_values_are_cut_into_a_few_hundred_intervals():
    levels = line_levels(np.random.default_rng(0).random(1_000_000), 15, None)
    assert 400 <= len(levels.counts) <= 512


# Groups


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=400), st.integers(2, 64))
def test_groups_are_neighbours_and_no_more_than_asked(counts, most):
    starts = group_levels(np.array(counts), most)
    assert starts[0] == 0
    assert starts[-1] == len(counts)
    assert (np.diff(starts) > 0).all()
    assert len(starts) - 1 <= most
    share = 2 * sum(counts) / most
    sizes, weights = np.diff(starts), np.add.reduceat(counts, starts[:-1])
    assert ((weights <= share) | (sizes == 1) | (len(counts) <= most)).all()


def test_few_levels_are_not_grouped():
    assert group_levels(np.array([5, 900, 5]), 3).tolist() == [0, 1, 2, 3]
    assert group_levels(np.zeros(0, dtype=np.int64), 8).tolist() == [0]


def test_a_heavy_level_stays_alone():
    counts = np.r_[np.full(50, 10), 5000, np.full(50, 10)]
    starts = group_levels(counts, 10)
    at = int(np.searchsorted(starts, 50, side="right")) - 1
    assert starts[at : at + 2].tolist() == [50, 51]
