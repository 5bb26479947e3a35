"""Tables go over to other packages without gaps and names, and come back as they were."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pytest

from synthloom.backends.translate import Translation
from synthloom.domain.errors import ContractError, FitError
from synthloom.domain.schema import Kind, SchemaOverrides, SurvivalColumns
from synthloom.tables.canonical import check_canonical
from synthloom.tables.coerce import coerce
from synthloom.tables.encode import assemble
from synthloom.tables.infer import frame_to_raw, infer_schema
from synthloom.testing.example_tables import mixed, odd


def over_and_back(table, schema, *, support=5, rng=None):
    rng = rng or np.random.default_rng(3)
    way = Translation.learn(table, schema, support=support)
    plain = way.there(table, rng)
    cells, n = way.back(plain)
    return way, plain, assemble(cells, schema, n, rng)


def canonical(frame, overrides=None):
    raw = frame_to_raw(frame)
    schema = infer_schema(raw, overrides)
    return coerce(raw, schema), schema


def test_a_table_of_every_kind_comes_back_as_it_was():
    example = mixed(1200)
    way, _, back = over_and_back(example.table, example.schema)
    check_canonical(back, example.schema)
    for c in way.columns:
        before, after = example.table[c.column.name], back[c.column.name]
        if c.gaps != "none":
            assert (before.isna() == after.isna()).all()
        same = before.notna() & after.notna()
        if c.column.kind.is_discrete:
            frequent = before.map(before.value_counts()).astype(float) >= 5
            assert (before[same & frequent].astype(str) == after[same & frequent].astype(str)).all()
        else:
            inside = (before >= after[same].min()) & (before <= after[same].max())
            assert (before[same & inside].reset_index(drop=True) == after[same & inside].reset_index(drop=True)).all()


def test_no_missing_cell_name_or_label_goes_over():
    example = mixed(600)
    way, plain, _ = over_and_back(example.table, example.schema)
    assert not plain.isna().to_numpy().any()
    assert all(name[0] == "c" and name[1].isdigit() for name in plain)
    words = {str(v) for name in plain.select_dtypes(object) for v in plain[name].unique()}
    assert all(w in ("M", "0", "1") or (w[0] == "L" and w[1:].isdigit()) for w in words)
    dtypes = {"integer": "int64", "number": "float64", "category": "object"}
    assert {name: str(t) for name, t in plain.dtypes.items()} == {n: dtypes[k["kind"]] for n, k in way.kinds().items()}


def test_moments_keep_their_zone_and_their_fraction():
    moments = pd.date_range("2021-03-27 22:00:00.125", periods=200, freq="17min", tz="Europe/Berlin")
    frame = pd.DataFrame({"at": moments, "x": np.arange(200) % 7})
    table, schema = canonical(frame)
    _, plain, back = over_and_back(table, schema)
    assert plain["c0"].min() == 0
    assert str(back["at"].dtype) == "datetime64[us, Europe/Berlin]"
    inner = slice(5, -5)
    assert (back["at"][inner] == table["at"][inner]).all()


def test_what_few_records_hold_does_not_go_over():
    frame = pd.DataFrame({
        "money": np.r_[np.linspace(1, 2, 197), 9e6, 8e6, 7e6], "word": ["a"] * 100 + ["b"] * 97 + ["x", "y", "z"],
    })
    table, schema = canonical(frame, SchemaOverrides.model_validate({"columns": {"word": {"kind": "category"}}}))
    way, plain, back = over_and_back(table, schema, support=10)
    assert plain["c0"].max() < 7e6
    assert set(plain["c1"]) == {"L000", "L001"}
    assert set(back["word"].astype(str)) == {"a", "b"}
    assert way.suppressed == ()


def test_rows_that_hold_what_never_went_over_are_not_used():
    example = mixed(300)
    way = Translation.learn(example.table, example.schema, support=5)
    plain = way.there(example.table, np.random.default_rng(1))
    labels = next(n for n, k in way.kinds().items() if k["kind"] == "category")
    number = next(n for n, k in way.kinds().items() if k["kind"] == "number")
    broken = plain.astype(object)
    broken.loc[:, f"{number}_gap"] = "0"  # what stands in a cell that is missing matters to nobody
    broken.loc[0, labels] = "L999"
    broken.loc[1, labels] = 3
    broken.loc[2, number] = "many"
    broken.loc[3, number] = np.inf
    broken.loc[4, number] = None
    cells, n = way.back(broken[broken.columns[::-1]])
    assert n == len(plain) - 5
    assert all(len(series) == n for series in cells.values())


def test_numbers_beyond_the_released_range_are_drawn_in():
    table, schema = canonical(pd.DataFrame({"x": np.linspace(0, 1, 100), "y": np.arange(100) % 3}))
    way = Translation.learn(table, schema, support=5)
    plain = way.there(table, np.random.default_rng(1))
    plain["c0"] = np.linspace(-1e300, 1e300, 100)
    back = way.back(plain)[0]["x"]
    assert back.min() >= 0
    assert back.max() <= 1


@pytest.mark.parametrize("change", [
    lambda p: p.drop(columns="c0"), lambda p: p.assign(extra=1), lambda p: p.rename(columns={"c0": "other"}),
])
def test_other_columns_than_those_given_are_an_error(change):
    table, schema = canonical(pd.DataFrame({"x": np.linspace(0, 1, 100), "y": np.arange(100) % 3}))
    way = Translation.learn(table, schema, support=5)
    with pytest.raises(ContractError, match="columns"):
        way.back(change(way.there(table, np.random.default_rng(1))))


def test_survival_columns_go_over_as_numbers_and_rows_without_them_stay():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "time": rng.exponential(100, 200).round(1), "died": rng.choice(["yes", "no"], 200),
        "age": rng.integers(20, 80, 200),
    })
    frame.loc[:9, "time"] = np.nan
    frame.loc[10:14, "died"] = None
    table, schema = canonical(frame, SchemaOverrides(survival=SurvivalColumns(time="time", event="died")))
    way = Translation.learn(table, schema, support=5, survival=True)
    plain = way.there(table, rng)
    assert len(plain) == 185
    event = plain[way.name_of("died")]
    assert event.sum() == (frame["died"][15:] == "yes").sum()
    back = way.back(plain)[0]["died"]
    assert (back.astype(str).to_numpy() == frame["died"][15:].to_numpy()).all()


@pytest.mark.parametrize("example", odd(), ids=lambda e: e.name)
def test_odd_tables_come_back_canonical_or_say_why_not(example):
    if example.may_refuse:
        with contextlib.suppress(FitError):
            over_and_back(example.table, example.schema, support=2)
        return
    _, _, back = over_and_back(example.table, example.schema, support=2)
    check_canonical(back, example.schema)
    assert all(back[c.name].isna().all() for c in example.schema if c.kind is Kind.EMPTY)
