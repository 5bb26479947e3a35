"""Filling missing cells of a person's own table: only those change, whatever the table looks like."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pytest

from synthloom.domain.errors import CancelledError, ParamsError, TableError, UsageError
from synthloom.domain.event import Progress
from synthloom.registry import create_synthesizer, load_synthesizer

SMALL = {"epochs": 4, "width": 32, "trees": 1, "device": "cpu"}


pytestmark = pytest.mark.usefixtures("one_thread")


def people(rows: int = 600, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ward = rng.choice(["A", "B", "C"], rows)
    ward[:2] = "a rare ward"
    frame = pd.DataFrame({
        "id": [f"P{k:05d}" for k in rng.permutation(rows)],
        "age": rng.integers(20, 90, rows).astype("int16"),
        "weight": rng.normal(70, 10, rows).round(1),
        "smoker": rng.random(rows) < 0.4,
        "ward": ward,
        "stage": pd.Categorical(rng.choice(["I", "II", "III"], rows), categories=["I", "II", "III"], ordered=True),
        "visit": pd.Timestamp("2023-01-05") + pd.to_timedelta(rng.integers(0, 10**6, rows) * 60, unit="s"),
        "stay": pd.to_timedelta(rng.integers(1, 500, rows), unit="h"),
        "code": pd.array(rng.integers(1, 4, rows), dtype="Int64"),
        "born": [dt.date(1990, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 3000, rows)],
        "fee": [Decimal(int(k)) / 4 for k in rng.integers(0, 9, rows)],
    })
    return frame.astype({"ward": object})


@pytest.fixture(scope="module")
def fitted():
    return create_synthesizer("autoregressive", SMALL).fit(people(), seed=1)


def with_gaps(frame: pd.DataFrame, share: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame({c: frame[c].mask(rng.random(len(frame)) < share) for c in frame}, index=frame.index)


def check(given: pd.DataFrame, filled: pd.DataFrame, unfilled: tuple[str, ...] = ("id",)) -> None:
    """Every given cell stands, and every other one is filled but in the columns named."""
    assert list(filled) == list(given)
    assert filled.index.equals(given.index)
    for name in given:
        there = given[name].notna()
        assert filled[name][there].tolist() == given[name][there].tolist(), name
        assert name in unfilled or filled[name].notna().all(), name


def test_only_missing_cells_are_filled_and_dtypes_stay(fitted):
    given = with_gaps(people(200, 8))
    copy = given.copy()
    filled = fitted.impute(given)
    pd.testing.assert_frame_equal(given, copy)
    check(given, filled)
    assert filled.dtypes.to_dict() == given.dtypes.to_dict()
    assert filled["id"].isna().sum() == given["id"].isna().sum()
    assert {type(value) for value in filled["born"]} == {dt.date}
    assert {type(value) for value in filled["fee"]} == {Decimal}
    assert filled["stage"].cat.ordered


def test_the_same_seed_fills_in_the_same(fitted):
    given = with_gaps(people(200, 8))
    pd.testing.assert_frame_equal(fitted.impute(given, seed=4), fitted.impute(given, seed=4))
    assert not fitted.impute(given, seed=4).equals(fitted.impute(given, seed=5))
    again = load_synthesizer(fitted.to_bytes())
    pd.testing.assert_frame_equal(again.impute(given, seed=4), fitted.impute(given, seed=4))


def test_rows_columns_and_index_pass_through(fitted):
    given = with_gaps(people(60, 8)).assign(more=range(60))
    given = given[list(reversed(given.columns))].set_axis([f"row {k // 2}" for k in range(60)])
    filled = fitted.impute(given)
    check(given, filled)
    assert filled["more"].tolist() == list(range(60))


def test_a_table_without_gaps_or_rows_comes_back_as_it_is(fitted):
    whole = people(40, 9)
    pd.testing.assert_frame_equal(fitted.impute(whole), whole)
    pd.testing.assert_frame_equal(fitted.impute(whole.iloc[:0]), whole.iloc[:0])
    one = with_gaps(whole).iloc[[3]]
    check(one, fitted.impute(one))


def test_labels_the_model_does_not_know_come_back(fitted):
    """A rare one that it hides, one it never saw, and a third word among two."""
    given = with_gaps(people(200, 8))
    given["ward"] = given["ward"].astype(object)
    given.iloc[:3, given.columns.get_loc("ward")] = ["a rare ward", "a new ward", "rare label 1"]
    given["smoker"] = given["smoker"].astype(object)
    given.iloc[5, given.columns.get_loc("smoker")] = "perhaps"
    given["stage"] = given["stage"].cat.add_categories(["IV"])
    given.iloc[6, given.columns.get_loc("stage")] = "IV"
    given["code"] = given["code"].astype(object)
    given.iloc[7, given.columns.get_loc("code")] = 9
    filled = fitted.impute(given)
    check(given, filled)
    gaps = given["ward"].isna()
    assert set(filled["ward"][gaps]) <= {"A", "B", "C"}
    assert set(filled["stage"][given["stage"].isna()]) <= {"I", "II", "III"}
    assert {type(value) for value in filled["smoker"].drop(5)} == {bool}
    assert set(filled["code"][given["code"].isna()]) <= {1, 2, 3}


def test_digits_that_the_model_does_not_know_come_back(fitted):
    given = with_gaps(people(200, 8))
    given.loc[0, "weight"] = 71.23456
    given.loc[0, "visit"] = pd.Timestamp("1999-01-01T00:00:00.123456789")
    given.loc[1, "weight"] = 1e9
    check(given, fitted.impute(given))


@pytest.mark.parametrize(("column", "dtype"), [
    ("age", "float64"), ("age", "Int64"), ("age", "Int8"), ("age", "object"), ("age", "int64[pyarrow]"),
    ("weight", "float32"), ("weight", "Float64"), ("weight", "object"), ("smoker", "boolean"), ("smoker", "object"),
    ("ward", "category"), ("ward", "string"), ("stage", "object"), ("stage", "string"),
    ("visit", "datetime64[ns]"), ("visit", "datetime64[s]"), ("visit", "timestamp[us][pyarrow]"),
    ("code", "float64"), ("code", "category"), ("stay", "timedelta64[ns]"), ("born", "datetime64[us]"),
])
def test_a_column_keeps_the_dtype_it_has_in_this_table(fitted, column, dtype):
    given = with_gaps(people(120, 8))
    given[column] = given[column].astype("float64").astype(dtype) if dtype == "float32" else given[column].astype(dtype)
    filled = fitted.impute(given)
    check(given, filled)
    assert filled[column].dtype == given[column].dtype or dtype == "category"


def test_a_dtype_that_cannot_hold_what_is_drawn_becomes_the_models(fitted):
    given = people(120, 8)
    given["weight"] = given["weight"].round().mask(given["age"] < 50).astype("Int64")
    filled = fitted.impute(given)
    assert filled["weight"].dtype == np.float64
    check(given, filled)
    for empty in (None, np.nan):
        filled = fitted.impute(people(50, 8).assign(ward=empty, visit=empty, age=empty, stage=empty))
        assert filled[["ward", "visit", "age", "stage"]].dtypes.to_dict() == people()[
            ["ward", "visit", "age", "stage"]].dtypes.to_dict()
        assert filled.notna().all(axis=None)


def test_polars_in_polars_out(fitted):
    pandas = with_gaps(people(120, 8)).drop(columns=["stage", "fee"])
    given = polars.from_pandas(pandas).with_columns(
        polars.col("age").cast(polars.Int16), polars.col("code").cast(polars.UInt8),
        polars.col("ward").cast(polars.Categorical), polars.col("visit").cast(polars.Datetime("ns")),
        stage=polars.Series(["I", None, "II"] * 40, dtype=polars.Enum(["II", "I"])),
        fee=polars.Series([Decimal("1.25"), None] * 60, dtype=polars.Decimal(10, 2)),
    )
    for source in (given, given.lazy()):
        filled = fitted.impute(source)
        assert isinstance(filled, polars.DataFrame)
        assert filled.columns == given.columns
        schema = {**filled.schema, "stage": None}
        assert schema == {**given.schema, "stage": None}
        assert filled.drop("id").null_count().sum_horizontal().item() == 0
        for name in given.columns:
            there = given[name].is_not_null()
            assert filled[name].filter(there).to_list() == given[name].filter(there).to_list()
    assert set(filled["stage"].dtype.categories) >= {"II", "I"}


def test_a_column_of_which_nothing_may_be_released_stays_missing():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.choice(["x", "y"], 200), "b": [None] * 195 + [3.25, 4.5, 1.5, 7.25, 3.5]})
    model = create_synthesizer("autoregressive", SMALL).fit(table)
    filled = model.impute(table.assign(a=table["a"].mask(rng.random(200) < 0.5)))
    assert filled["a"].notna().all()
    assert filled["b"].equals(table["b"])


def test_what_cannot_be_done_says_why(fitted):
    with pytest.raises(TableError, match="lacks the column 'age'"):
        fitted.impute(people(20).drop(columns="age"))
    with pytest.raises(TableError, match="'age'"):
        fitted.impute(people(20).assign(age="old"))
    with pytest.raises(UsageError, match="is no data frame"):
        fitted.impute([1, 2])
    with pytest.raises(UsageError, match="not fitted"):
        create_synthesizer("autoregressive").impute(people(20))
    with pytest.raises(ParamsError, match=r"gaussian_copula.*cannot fill"):
        create_synthesizer("gaussian_copula").fit(people()).impute(people(20))
    with pytest.raises(CancelledError):
        fitted.impute(with_gaps(people(20)), cancelled=lambda: True)


def test_progress_is_told(fitted):
    heard = []
    fitted.impute(with_gaps(people(50)), emit=heard.append)
    told = [event.fraction for event in heard if isinstance(event, Progress)]
    assert told == sorted(told)
    assert told[-1] == 1
