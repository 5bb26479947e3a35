"""Frames of other makers become pandas frames; what is no plain table is refused."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from synthloom.domain.errors import TableError, UsageError
from synthloom.tables.archive import Limits
from synthloom.tables.frames import check_frame, to_pandas


def test_a_pandas_frame_is_itself() -> None:
    frame = pd.DataFrame({"a": [1]})
    assert to_pandas(frame) is frame


def test_polars_frames_keep_whole_numbers_text_and_times() -> None:
    frame = pl.DataFrame(
        {
            "n": [1, None, 3],
            "i": [1, 2, 3],
            "x": [0.5, None, 1.5],
            "s": ["a", None, "b"],
            "b": [True, None, False],
            "c": pl.Series(["u", "v", None], dtype=pl.Categorical),
            "d": [datetime.date(1066, 10, 14), None, datetime.date(2300, 1, 1)],
            "t": [datetime.datetime(2024, 1, 1, 12), None, None],
            "z": pl.Series([0, 1, None]).cast(pl.Datetime("us", "Europe/Berlin")),
            "span": [datetime.timedelta(hours=1), None, None],
            "m": pl.Series(["1.50", None, "2.25"]).cast(pl.Decimal(8, 2)),
            "clock": [datetime.time(1, 2, 3), None, None],
        }
    )
    pandas = to_pandas(frame)
    assert {k: str(v) for k, v in pandas.dtypes.items()} == {
        "n": "Int64", "i": "int64", "x": "float64", "s": "string", "b": "boolean", "c": "category",
        "d": "date32[day][pyarrow]", "t": "datetime64[us]", "z": "datetime64[us, Europe/Berlin]",
        "span": "timedelta64[us]", "m": "decimal128(8, 2)[pyarrow]", "clock": "object",
    }  # fmt: skip
    assert pandas["n"].isna().to_list() == [False, True, False]
    assert pandas["d"][0] == datetime.date(1066, 10, 14)
    assert pandas["clock"][0] == datetime.time(1, 2, 3)
    assert pandas["m"][2] == Decimal("2.25")
    pd.testing.assert_frame_equal(to_pandas(frame.lazy()), pandas)
    check_frame(pandas)


def test_arrow_tables_are_frames_too() -> None:
    assert to_pandas(pa.table({"a": [1, 2]})).equals(pd.DataFrame({"a": [1, 2]}))


def test_polars_is_not_needed() -> None:
    code = "import sys, synthloom.tables.frames, synthloom.tables.codec; assert 'polars' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("thing", [[1, 2], pd.Series([1, 2]), np.zeros((2, 2)), pl.Series([1, 2]), None])
def test_other_things_are_no_frames(thing: object) -> None:
    with pytest.raises(UsageError, match="no data frame"):
        to_pandas(thing)


def test_nested_polars_columns_are_refused() -> None:
    with pytest.raises(TableError, match="column 'tags': the cells are lists or structures"):
        to_pandas(pl.DataFrame({"a": [1], "tags": [["x"]]}))
    with pytest.raises(TableError, match="column 'o': the cells are Python objects"):
        to_pandas(pl.DataFrame({"o": pl.Series([object(), object()], dtype=pl.Object)}))


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "'a' as columns 1 and 2"),
        (pd.DataFrame([[1, 2], [3, 4]]), "the column name 0 is a int, not text"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", " "]), "column 2 of 2 has no name"),
        (pd.DataFrame([[1, 2]] * 2, columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])), "MultiIndex"),
        (pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)])), "MultiIndex"),
        (pd.DataFrame(index=[1, 2]), "no columns"),
        (pd.DataFrame({"a": [1]}), "1 row"),
        (pd.DataFrame({"a": []}), "0 row"),
        (pd.DataFrame({"a": ["x", ["y"]]}), "column 'a', row 1: a cell holds a list"),
        (pd.DataFrame({"a": [None, {"y": 1}]}), "column 'a', row 1: a cell holds a dict"),
        (pd.DataFrame({"a": [b"x", b"y"]}), "a cell holds a bytes"),
        (pd.DataFrame({"a": [1j, 2j]}), "complex numbers"),
        (pd.DataFrame([range(2001)] * 2, columns=[f"c{i}" for i in range(2001)]), "2,001 columns; at most 2,000"),
    ],
)
def test_frames_that_are_no_plain_tables(frame: pd.DataFrame, what: str) -> None:
    with pytest.raises(TableError) as caught:
        check_frame(frame)
    assert what in caught.value.text()
    assert caught.value.do


def test_too_many_cells() -> None:
    with pytest.raises(TableError, match="more than 3 cells"):
        check_frame(pd.DataFrame({"a": [1, 2], "b": [3, 4]}), limits=Limits(max_cells=3))


def test_objects_that_are_single_values_pass() -> None:
    cells = [Decimal("1.5"), datetime.date(2024, 1, 1), None, pd.NA, pd.NaT, "x", 1, 1.5, True, np.int8(3)]
    check_frame(pd.DataFrame({"a": pd.Series(cells, dtype=object)}))
