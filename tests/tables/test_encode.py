"""Columns to codes and back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synthloom.domain.errors import CancelledError
from synthloom.domain.schema import Column, Kind, TextFormat
from synthloom.tables.canonical import canonical_dtype, check_canonical, from_float, to_float
from synthloom.tables.encode import ColumnCodec, TableCodec
from synthloom.testing.example_tables import EXTREME_NUMBER, example, mixed, odd, with_single_records

K = 15
INT64 = np.iinfo(np.int64)


def fit(cells, kind, k=K, max_codes=256, **details) -> tuple[ColumnCodec, pd.Series]:
    made = example("one", {"a": (kind, cells)}, a=details)
    return ColumnCodec.fit(made.table["a"], made.schema["a"], k, max_codes), made.table["a"]


def again(codec: ColumnCodec, series: pd.Series, seed: int = 0) -> pd.Series:
    """Encoded and decoded."""
    made = codec.decode(codec.encode(series), np.random.default_rng(seed).random(len(series)))
    assert made.dtype == series.dtype == canonical_dtype(codec.column)
    return made


def moments(start: str, spread: int, n: int, unit: str) -> np.ndarray:
    return np.datetime64(start, "us") + np.random.default_rng(0).integers(0, spread, n).astype(f"timedelta64[{unit}]")


# Round trips


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from([None, "a", "b", "", "é", "rare"]), min_size=1, max_size=150), st.integers(2, 20))
def test_labels_come_back_or_are_replaced_by_commoner_ones(cells, k):
    codec, series = fit(np.array(cells, dtype=object), Kind.CATEGORY, k)
    made = again(codec, series)
    counts = series.value_counts()
    common = set(counts.index[counts >= k])
    kept = series.isin(common)
    assert made[kept].equals(series[kept])
    assert set(made.dropna()) <= common
    gaps = series.isna()
    if gaps.sum() >= k:
        assert made[gaps].isna().all()
    if common:
        assert made[~kept & ~gaps].notna().all()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.none() | st.floats(-1e9, 1e9) | st.sampled_from([0.0, 3.5]), min_size=1, max_size=150),
    st.integers(2, 20), st.integers(4, 64),
)
def test_numbers_come_back_within_their_code(cells, k, max_codes):
    codec, series = fit(np.array(cells, dtype=float), Kind.DECIMAL, k, max_codes)
    codes = codec.encode(series)
    made = again(codec, series)
    assert codes.dtype == np.int32
    assert np.array_equal(np.bincount(codes, minlength=codec.n_codes), codec.code_counts)
    level = codec.level_of(series)
    atoms = np.isin(level, np.flatnonzero(codec.levels.low == codec.levels.high))
    if len(codec.starts) == len(codec.levels.counts) + 1:  # nothing is grouped
        assert made[atoms].equals(series[atoms])
    starts, filled = codec.starts, codes < codec.n_level_codes
    if filled.any():
        low = np.minimum.reduceat(codec.levels.low, starts[:-1])[codes[filled]]
        high = np.maximum.reduceat(codec.levels.high, starts[:-1])[codes[filled]]
        slack = 1e-9 * (1 + np.abs(low) + np.abs(high))
        assert (made[filled] >= low - slack).all()
        assert (made[filled] <= high + slack).all()


def test_a_column_keeps_its_distribution():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(4000) < 0.6, 0, rng.lognormal(3, 1, 4000))
    codec, series = fit(values, Kind.DECIMAL)
    made = again(codec, series)
    assert stats.ks_2samp(series, made).statistic < 0.02
    assert (made == 0).mean() == pytest.approx((series == 0).mean(), abs=1e-12)


def test_atoms_come_back_exactly_with_their_share_even_where_codes_are_grouped():
    rng = np.random.default_rng(1)
    values = rng.choice(np.round(rng.random(900), 3), 40_000)
    codec, series = fit(values, Kind.DECIMAL, max_codes=32)
    assert codec.n_level_codes <= 32
    made = again(codec, series)
    assert set(made) <= set(series)
    assert 0.5 * np.abs(made.value_counts(normalize=True).sub(series.value_counts(normalize=True))).sum() < 0.06


# Kinds of columns


@pytest.mark.parametrize(
    ("cells", "kind", "details", "step"),
    [
        (np.arange(0, 3000, 10), Kind.INTEGER, {}, 10),
        (np.arange(300) * 0.25, Kind.DECIMAL, {"precision": 2}, 0.25),
        (moments("2024-01-01", 9000, 300, "h") + np.timedelta64(30, "m"), Kind.TIMESTAMP, {}, 3600),
        (pd.Series(np.arange(300) * 1800 * 10**6).astype("timedelta64[us]"), Kind.DURATION, {}, 1800),
        (moments("1805-03-04", 90_000, 300, "D"), Kind.DATE, {}, 86400),
    ],
)
def test_values_on_a_grid_stay_on_it(cells, kind, details, step):
    codec, series = fit(cells, kind, **details)
    made, real = to_float(again(codec, series), kind), to_float(series, kind)
    offset = real[0] % step
    assert np.allclose((made - offset) % step, 0)
    assert made.min() >= real.min()
    assert made.max() <= real.max()


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "+05:30"])
def test_moments_keep_their_zone_across_clock_changes(zone):
    utc = pd.Series(pd.Timestamp("2023-10-01", tz="UTC") + pd.to_timedelta(np.arange(5000) * 1801, unit="s"))
    codec, series = fit(utc.dt.tz_convert(zone), Kind.TIMESTAMP, timezone=zone)
    made = again(codec, series)
    assert str(made.dt.tz) == str(series.dt.tz)
    assert abs((made - series).dt.total_seconds()).max() < 2 * 86400


@pytest.mark.parametrize("start", ["0001-01-01", "1500-06-01", "1899-12-01", "9998-01-01"])
def test_dates_of_any_year_come_back_as_days_near_by(start):
    codec, series = fit(moments(start, 700, 600, "D"), Kind.DATE)
    made = again(codec, series)
    assert (made == made.dt.floor("D")).all()
    assert made.min() >= series.min()
    assert made.max() <= series.max()


def test_fractions_of_a_second_come_back_with_their_digits():
    cells = moments("2024-05-05", 10**10, 500, "us").astype("datetime64[ms]").astype("datetime64[us]")
    codec, series = fit(cells, Kind.TIMESTAMP, text=TextFormat(fraction_digits=3))
    assert (again(codec, series).astype("int64") % 1000 == 0).all()


def test_shared_values_at_the_ends_of_int64_come_back_exactly():
    codec, series = fit(np.repeat([INT64.min, 0, INT64.max], 40), Kind.INTEGER)
    assert again(codec, series).equals(series)


def test_whole_numbers_over_all_of_int64_stay_within_it():
    rng = np.random.default_rng(0)
    codec, series = fit(rng.integers(INT64.min, INT64.max, 500), Kind.INTEGER)
    made = again(codec, series)
    assert (made > 0).mean() == pytest.approx(0.5, abs=0.1)


def test_durations_over_all_of_int64_stay_filled():
    rng = np.random.default_rng(0)
    cells = pd.Series(np.r_[rng.integers(INT64.min + 1, INT64.max, 500), np.repeat([INT64.min + 1, INT64.max], 40)])
    codec, series = fit(cells.astype("timedelta64[us]"), Kind.DURATION)
    assert again(codec, series).notna().all()


@pytest.mark.parametrize("precision", [None, 0, 2, 15])
def test_the_largest_floats_stay_finite(precision):
    largest = np.finfo(float).max
    cells = np.r_[np.repeat([largest, -largest], 40), np.linspace(-1, 1, 300) * largest]
    codec, series = fit(cells, Kind.DECIMAL, precision=precision)
    made = again(codec, series)
    assert np.isfinite(made).all()
    assert (made[:80] == series[:80]).all()
    part = codec.part_of_level(series, codec.level_of(series))
    assert (part[0] <= part[1]).all()


@pytest.mark.parametrize("cells", [np.full(60, 5e-324), np.arange(60) * 5e-324, 1 + np.arange(60) * 2.0**-52])
def test_numbers_a_hair_apart_come_back_between_them(cells):
    codec, series = fit(cells, Kind.DECIMAL)
    made = again(codec, series)
    assert made.between(cells.min(), cells.max()).all()


def test_values_stay_within_declared_bounds():
    rng = np.random.default_rng(0)
    codec, series = fit(np.abs(rng.normal(size=400)).round(1), Kind.DECIMAL, precision=1, lower=0.0, upper=9.0)
    assert again(codec, series).between(0, 9).all()


def test_from_float_turns_numbers_beyond_a_kind_into_its_nearest():
    whole = from_float(np.array([1e300, -1e300, 2.0**63, np.nan]), Column(name="a", kind=Kind.INTEGER, reason="-"))
    assert whole.tolist()[:3] == [INT64.max, INT64.min, INT64.max]
    assert whole.isna().tolist() == [False, False, False, True]
    spans = from_float(np.array([1e300, -1e300, np.nan]), Column(name="a", kind=Kind.DURATION, reason="-"))
    assert spans.isna().tolist() == [False, False, True]


# Missing and pooled cells


@pytest.mark.parametrize(("gaps", "told"), [(14, False), (15, True), (0, False)])
def test_missing_cells_are_told_where_k_records_have_one(gaps, told):
    cells = np.r_[np.full(gaps, np.nan), np.random.default_rng(0).normal(size=300)]
    codec, series = fit(cells, Kind.DECIMAL)
    made = again(codec, series)
    assert made.isna().sum() == (gaps if told else 0)
    assert codec.missing == (gaps if told else 0)
    assert codec.pooled == (0 if told else gaps)


def test_pooled_cells_come_back_as_levels_by_their_share():
    cells = np.array(["a"] * 600 + ["b"] * 200 + [f"rare {k}" for k in range(800)], dtype=object)
    codec, series = fit(cells, Kind.CATEGORY)
    made = again(codec, series)[800:]
    assert codec.pooled == 800
    assert (made == "a").mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 800))
    assert made.isin(["a", "b"]).all()


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (Kind.CATEGORY, np.array([f"name {k}" for k in range(50)], dtype=object)),
        (Kind.DECIMAL, np.random.default_rng(0).normal(size=14)),
        (Kind.INTEGER, pd.Series([pd.NA] * 50, dtype="Int64")),
        (Kind.DATE, moments("2020-01-01", 99, 5, "D")),
        (Kind.DURATION, pd.Series([pd.NaT] * 20, dtype="timedelta64[us]")),
    ],
)
def test_a_column_of_which_nothing_may_be_told_comes_back_empty(kind, cells):
    made = example("one", {"a": (kind, cells)})
    codec = TableCodec.fit(made.table, made.schema, min_support=K)
    assert codec.suppressed == ("a",)
    rows = codec.decode(codec.encode(made.table), np.random.default_rng(0))
    check_canonical(rows, made.schema)
    assert rows["a"].isna().all()


def test_fifty_thousand_labels_become_few_codes():
    rng = np.random.default_rng(0)
    cells = rng.zipf(1.3, 200_000).clip(max=10**7)
    categories = tuple(sorted({str(c) for c in cells} | {f"x{k}" for k in range(50_000)}))
    column = Column(name="a", kind=Kind.CATEGORY, reason="-", categories=categories)
    series = pd.Series(cells.astype(str), dtype=object).astype(canonical_dtype(column))
    codec = ColumnCodec.fit(series, column, K, 256)
    assert codec.n_level_codes <= 4 * 256  # labels may take four times as many as numbers
    assert (codec.levels.counts >= K).all()
    made = again(codec, series)
    assert (made == "1").mean() == pytest.approx((series == "1").mean(), rel=0.25)


# Tables


@pytest.mark.parametrize("made", [mixed(), with_single_records(), *odd()], ids=lambda made: made.name)
def test_whole_tables_go_round_and_into_a_model_file(made):
    codec = TableCodec.fit(made.table, made.schema, min_support=K)
    codes = codec.encode(made.table)
    rows = codec.decode(codes, np.random.default_rng(1))
    check_canonical(rows, made.schema)
    arrays, meta = codec.state()
    loaded = TableCodec.from_state(made.schema, arrays, json.loads(json.dumps(meta, allow_nan=False)))
    assert np.array_equal(loaded.encode(made.table), codes)
    pd.testing.assert_frame_equal(loaded.decode(codes, np.random.default_rng(1)), rows)
    held = {float(v) for a in arrays.values() if a.dtype.kind == "f" for v in a}
    assert EXTREME_NUMBER not in held


def test_a_column_with_one_far_record_tells_its_distance_nowhere():
    codec, _ = fit(np.r_[np.zeros(500), 987_654], Kind.INTEGER)
    arrays, meta = codec.state("")
    told = {float(v) for a in arrays.values() for v in a} | {float(v) for v in meta.values()}
    assert 987_654.0 not in told


def test_codes_are_as_many_as_the_counts_say():
    made = mixed()
    codec = TableCodec.fit(made.table, made.schema, min_support=K)
    codes = codec.encode(made.table)
    for j, column in enumerate(codec.columns):
        counts = np.bincount(codes[:, j], minlength=column.n_codes)
        assert counts.sum() == len(made.table)
        assert counts[column.missing_code] == column.missing
        if column.column.kind.is_discrete:
            assert np.array_equal(counts, column.code_counts)


def test_cancel_is_asked_for_at_every_column():
    made = mixed(200)
    asked = []

    def later() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(CancelledError):
        TableCodec.fit(made.table, made.schema, min_support=K, cancelled=later)
    codec = TableCodec.fit(made.table, made.schema, min_support=K)
    for work in (lambda: codec.encode(made.table, later),
                 lambda: codec.decode(np.zeros((9, 12), dtype=np.int32), np.random.default_rng(0), later)):
        with pytest.raises(CancelledError):
            work()


def test_a_table_without_modelled_columns_goes_round():
    made = example("none", {"id": (Kind.IDENTIFIER, [f"Q-{k}" for k in range(9)]), "e": (Kind.EMPTY, [None] * 9)})
    codec = TableCodec.fit(made.table, made.schema, min_support=K)
    rows = codec.decode(codec.encode(made.table), np.random.default_rng(0))
    check_canonical(rows, made.schema)
