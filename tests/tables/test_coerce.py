"""Frames and texts survive infer → coerce → restore (and → spell)."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from synthloom.domain.errors import TableError
from synthloom.domain.schema import Kind, Schema, SchemaOverrides
from synthloom.tables.canonical import check_canonical
from synthloom.tables.codec import read_table, write_csv, write_parquet
from synthloom.tables.coerce import coerce, restore
from synthloom.tables.infer import frame_to_raw, infer_schema

N = 30


def turn(frame: pd.DataFrame) -> tuple[Schema, pd.DataFrame, pd.DataFrame]:
    raw = frame_to_raw(frame)
    schema = infer_schema(raw, SchemaOverrides(free_text="drop"))
    table = coerce(raw, schema)
    check_canonical(table, schema)
    return schema, table, restore(table, schema)


def cycle(*values: object) -> list[object]:
    return [values[i % len(values)] for i in range(N)]


DAY = pd.Timestamp("2020-02-29")
FRAMES: dict[str, tuple[pd.Series, Kind]] = {
    "int64": (pd.Series(cycle(3, 1, 7)), Kind.INTEGER),
    "int8": (pd.Series(cycle(3, 1, 7), dtype="int8"), Kind.INTEGER),
    "uint16": (pd.Series(cycle(3, 1, 700), dtype="uint16"), Kind.INTEGER),
    "Int64": (pd.Series(cycle(3, None, 7), dtype="Int64"), Kind.INTEGER),
    "int arrow": (pd.Series(cycle(3, None, 7), dtype="int32[pyarrow]"), Kind.INTEGER),
    "float whole": (pd.Series(cycle(3.0, np.nan, 7.0)), Kind.INTEGER),
    "float": (pd.Series(cycle(0.25, np.nan, 1 / 3)), Kind.DECIMAL),
    "float32": (pd.Series(cycle(0.1, 0.25, 7.5), dtype="float32"), Kind.DECIMAL),
    "Float64": (pd.Series(cycle(0.25, None, 7.5), dtype="Float64"), Kind.DECIMAL),
    "double arrow": (pd.Series(cycle(0.25, None, 7.5), dtype="double[pyarrow]"), Kind.DECIMAL),
    "bool": (pd.Series(cycle(True, False)), Kind.BOOLEAN),
    "boolean": (pd.Series(cycle(True, False, None), dtype="boolean"), Kind.BOOLEAN),
    "bool arrow": (pd.Series(cycle(True, False, None), dtype="bool[pyarrow]"), Kind.BOOLEAN),
    "bool object": (pd.Series(cycle(True, False, None), dtype=object), Kind.BOOLEAN),
    "zero one": (pd.Series(cycle(0, 1)), Kind.BOOLEAN),
    "zero one float": (pd.Series(cycle(0.0, 1.0, np.nan)), Kind.BOOLEAN),
    "str object": (pd.Series(cycle("a", "b", "")), Kind.CATEGORY),
    "str object None": (pd.Series(cycle("a", "b", None)), Kind.CATEGORY),
    "str object nan": (pd.Series(cycle("a", "b", np.nan)), Kind.CATEGORY),
    "string": (pd.Series(cycle("a", "b", None), dtype="string[python]"), Kind.CATEGORY),
    "string pyarrow": (pd.Series(cycle("yes", "no", None), dtype="string[pyarrow]"), Kind.BOOLEAN),
    "large string": (pd.Series(cycle("a", "b", None), dtype=pd.ArrowDtype(pa.large_string())), Kind.CATEGORY),
    "category": (pd.Series(cycle("a", "b", None), dtype="category"), Kind.CATEGORY),
    "category unused": (pd.Series(pd.Categorical(cycle("a", "b"), ["z", "b", "a"])), Kind.CATEGORY),
    "category ordered": (pd.Series(pd.Categorical(cycle("a", "b"), ["b", "a"], ordered=True)), Kind.ORDERED),
    "category int": (pd.Series(cycle(5, 2, None)).astype("Int64").astype("category"), Kind.CATEGORY),
    "category bool": (pd.Series(cycle(True, False)).astype("category"), Kind.CATEGORY),
    "category float": (pd.Series(cycle(0.5, 2.25)).astype("category"), Kind.CATEGORY),
    "category date": (pd.Series(cycle(DAY, DAY + pd.Timedelta("1h"))).astype("category"), Kind.CATEGORY),
    "cut": (pd.cut(pd.Series(np.arange(N) % 7), 3), Kind.ORDERED),
    "datetime": (pd.Series(pd.date_range(DAY, periods=N, freq="37min")), Kind.TIMESTAMP),
    "datetime day": (pd.Series(pd.date_range(DAY, periods=N)), Kind.DATE),
    "datetime NaT": (pd.Series(cycle(DAY, pd.NaT, DAY + pd.Timedelta("1D"))), Kind.DATE),
    "datetime s": (pd.Series(pd.date_range(DAY, periods=N, freq="1s", unit="s")), Kind.TIMESTAMP),
    "datetime utc": (pd.Series(pd.date_range(DAY, periods=N, freq="37min", tz="UTC")), Kind.TIMESTAMP),
    "datetime zone": (pd.Series(pd.date_range(DAY, periods=N, freq="9h", tz="Europe/Berlin")), Kind.TIMESTAMP),
    "datetime offset": (pd.Series(pd.date_range(DAY, periods=N, freq="9h", tz="+02:00")), Kind.TIMESTAMP),
    "timestamp arrow": (
        pd.Series(pd.date_range(DAY, periods=N, freq="9h", tz="Europe/Berlin")).astype(
            pd.ArrowDtype(pa.timestamp("us", "Europe/Berlin"))
        ),
        Kind.TIMESTAMP,
    ),
    "timestamp arrow naive": (
        pd.Series(pd.date_range(DAY, periods=N, freq="9h")).astype("timestamp[ms][pyarrow]"), Kind.TIMESTAMP,
    ),
    "date arrow": (pd.Series(cycle(DAY.date(), None), dtype=pd.ArrowDtype(pa.date32())), Kind.CONSTANT),
    "dates arrow": (
        pd.Series(cycle(DAY.date(), None, dt.date(1999, 1, 1)), dtype=pd.ArrowDtype(pa.date32())), Kind.DATE,
    ),
    "date objects": (pd.Series(cycle(dt.date(2020, 1, 2), None, dt.date(1850, 1, 2))), Kind.DATE),
    "datetime objects": (
        pd.Series(cycle(dt.datetime(2020, 1, 2, 3, 4, 5, 6), dt.datetime(1999, 1, 2)), dtype=object), Kind.TIMESTAMP,
    ),
    "time objects": (pd.Series(cycle(dt.time(1, 2, 3), dt.time(23, 59))), Kind.DURATION),
    "timedelta": (pd.Series(cycle(pd.Timedelta("1h"), pd.NaT, pd.Timedelta("3D"))), Kind.DURATION),
    "timedelta objects": (pd.Series(cycle(dt.timedelta(1), None, dt.timedelta(0, 5)), dtype=object), Kind.DURATION),
    "duration arrow": (
        pd.Series(cycle(dt.timedelta(1), None, dt.timedelta(0, 5)), dtype=pd.ArrowDtype(pa.duration("ms"))),
        Kind.DURATION,
    ),
    "period month": (pd.Series(pd.period_range("2020-01", periods=N, freq="M")), Kind.DATE),
    "period hour": (pd.Series(pd.period_range("2020-01", periods=N, freq="h")), Kind.TIMESTAMP),
    "Decimal": (pd.Series(cycle(Decimal("1.50"), Decimal("2.25"), None)), Kind.DECIMAL),
    "decimal arrow": (
        pd.Series(cycle(Decimal("1.50"), Decimal("2.25"), None), dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
        Kind.DECIMAL,
    ),
    "int objects": (pd.Series(cycle(1, 5, None), dtype=object), Kind.INTEGER),
    "UUID": (pd.Series([uuid.UUID(int=i * 977 + 2**100) for i in range(N)]), Kind.IDENTIFIER),
    "constant": (pd.Series(cycle("a")), Kind.CONSTANT),
    "constant int": (pd.Series(cycle(5), dtype="int16"), Kind.CONSTANT),
    "constant time": (pd.Series(cycle(DAY + pd.Timedelta("1h"))), Kind.CONSTANT),
    "constant zone": (pd.Series(cycle(DAY.tz_localize("Europe/Berlin"))), Kind.CONSTANT),
    "constant span": (pd.Series(cycle(pd.Timedelta("36h"), pd.NaT)), Kind.CONSTANT),
    "empty float": (pd.Series(cycle(np.nan)), Kind.EMPTY),
    "empty object": (pd.Series(cycle(None)), Kind.EMPTY),
    "empty Int64": (pd.Series(cycle(None), dtype="Int64"), Kind.EMPTY),
    "empty datetime": (pd.Series(cycle(pd.NaT), dtype="datetime64[ns]"), Kind.EMPTY),
    "empty category": (pd.Series(cycle(None), dtype="category"), Kind.EMPTY),
    "dates as text": (pd.Series(cycle("2020-01-31", "1999-12-01", None)), Kind.DATE),
    "numbers as text": (pd.Series(cycle("1.50", "2.25", "3.00")), Kind.DECIMAL),
    "str": (pd.Series(cycle("a", "b", None), dtype=pd.StringDtype("pyarrow", na_value=np.nan)), Kind.CATEGORY),
    "empty string": (pd.Series(cycle(None), dtype="string[pyarrow]"), Kind.EMPTY),
    "empty arrow": (pd.Series(cycle(None), dtype=pd.ArrowDtype(pa.decimal128(5, 1))), Kind.EMPTY),
    "empty arrow string": (pd.Series(cycle(None), dtype=pd.ArrowDtype(pa.string())), Kind.EMPTY),
    "sequence": (pd.Series(range(1, N + 1)), Kind.IDENTIFIER),
}


@pytest.mark.parametrize("name", list(FRAMES))
def test_a_frames_column_comes_back_as_it_was(name: str) -> None:
    series, kind = FRAMES[name]
    frame = pd.DataFrame({"x": series, "other": cycle("u", "v")})
    schema, _, back = turn(frame)
    assert schema["x"].kind is kind
    pd.testing.assert_frame_equal(back, frame)
    filled = frame["x"].dropna()
    if len(filled) and frame["x"].dtype == object:
        assert {type(v) for v in back["x"].dropna()} == {type(v) for v in filled}


def columns_of(cells: st.SearchStrategy[object], dtype: object) -> st.SearchStrategy[pd.Series]:
    return st.lists(cells, min_size=N, max_size=N).map(lambda v: pd.Series(v, dtype=dtype))


WORDS = st.text(st.characters(categories=["Lu", "Ll", "Nd", "Po"]), min_size=1, max_size=4)
COLUMNS = st.one_of(
    columns_of(st.integers(-(2**63), 2**63 - 1), "int64"),
    columns_of(st.none() | st.integers(-5, 5), "Int64"),
    columns_of(st.floats(allow_infinity=False), "float64"),
    columns_of(st.floats(allow_infinity=False, width=32), "float32"),
    columns_of(st.none() | WORDS, object),
    columns_of(st.none() | st.sampled_from(["", "a", "?", "NA", "True", "1.5"]), "string[python]"),
    columns_of(st.none() | st.sampled_from(["0", "1", "12"]), "string[pyarrow]"),
    columns_of(st.none() | st.booleans(), "boolean"),
    columns_of(st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), "datetime64[us]"),
    columns_of(st.none() | st.timedeltas(dt.timedelta(-99999), dt.timedelta(99999)), "timedelta64[us]"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(COLUMNS, min_size=1, max_size=3))
def test_any_frame_comes_back_as_it_was(columns: list[pd.Series]) -> None:
    frame = pd.DataFrame({f"c{k}": c for k, c in enumerate(columns)} | {"other": cycle("u", "v")})
    schema, _, back = turn(frame)
    pd.testing.assert_frame_equal(back, frame.drop(columns=list(schema.dropped)))


CELLS = st.one_of(
    st.lists(st.integers(-(2**40), 2**40).map(str), min_size=N, max_size=N),
    st.lists(st.decimals(-1000, 1000, places=2).map(str), min_size=N, max_size=N),
    st.lists(st.decimals(0, 10**6, places=2).map(lambda d: f"${d:,}"), min_size=N, max_size=N),
    st.lists(st.decimals(0, 10**6, places=1).map(lambda d: str(d).replace(".", ",")), min_size=N, max_size=N),
    st.lists(st.floats(-1e6, 1e6).map(lambda x: repr(x + 0.0)), min_size=N, max_size=N),
    st.lists(st.integers(0, 99999).map(lambda i: repr(i / 1e6 + 0.0)), min_size=N, max_size=N),
    st.lists(st.integers(0, 1439).map(lambda m: f"{m // 60:02d}:{m % 60:02d}"), min_size=N, max_size=N),
    st.lists(st.dates(dt.date(1000, 1, 1)).map(lambda d: f"{d.month}/{d.day}/{d.year:04d}"), min_size=N, max_size=N),
    st.lists(st.timedeltas().map(lambda t: str(pd.Timedelta(t.total_seconds() // 1e6, "s"))), min_size=N, max_size=N),
    st.lists(st.sampled_from(["yes", "no"]), min_size=N, max_size=N),
    st.lists(st.sampled_from(["red", "green", "?", " blue", "None"]), min_size=N, max_size=N),
    st.lists(st.dates(dt.date(1000, 1, 1)).map(lambda d: d.isoformat()), min_size=N, max_size=N),
    st.lists(st.dates(dt.date(1000, 1, 1)).map(lambda d: f"{d:%d.%m.}{d.year:04d}"), min_size=N, max_size=N),
    st.lists(st.datetimes(dt.datetime(1900, 1, 1)).map(lambda d: d.isoformat(timespec="seconds") + "Z"),
             min_size=N, max_size=N),
    st.lists(st.datetimes(dt.datetime(1900, 1, 1)).map(lambda d: d.isoformat(" ", "milliseconds")),
             min_size=N, max_size=N),
    st.lists(st.integers(0, 10**6).map(lambda s: f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}"),
             min_size=N, max_size=N),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(CELLS, min_size=1, max_size=3), st.sampled_from(["", "NA", "NaN"]), st.integers(0, 5))
def test_any_text_is_spelt_as_it_was(columns: list[list[str]], missing: str, gaps: int) -> None:
    columns = [[missing] * gaps + cells[gaps:] for cells in columns]
    lines = ["".join(f"c{k};" for k in range(len(columns))) + "other"]
    lines += [";".join([*row, "uv"[i % 2]]) for i, row in enumerate(zip(*columns, strict=True))]
    source = ("\n".join(lines) + "\n").encode()
    raw = read_table(source)
    schema = infer_schema(raw)
    sink = io.BytesIO()
    write_csv(coerce(raw, schema), schema, sink, escape_formulas=False)
    assert sink.getvalue().decode() == source.decode()


def test_another_table_is_read_under_the_schema_of_the_first() -> None:
    first = frame_to_raw(pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"], "c": [0.5, 1.5, 2.5]}))
    schema = infer_schema(first)
    second = pd.DataFrame({"c": [1, 2], "b": ["y", None], "a": [3.0, np.nan], "more": [1, 1]})
    table = coerce(frame_to_raw(second), schema)
    check_canonical(table, schema)
    assert table["a"].tolist()[0] == 3


def test_a_label_the_schema_does_not_know_is_an_error_that_names_the_row_and_not_the_label() -> None:
    schema = infer_schema(frame_to_raw(pd.DataFrame({"b": ["x", "y", "x"]})))
    with pytest.raises(TableError, match=r"column 'b', row 1") as caught:
        coerce(frame_to_raw(pd.DataFrame({"b": ["x", "secret"]})), schema)
    assert "secret" not in str(caught.value)


def test_truth_values_are_read_as_the_words_of_the_schema() -> None:
    schema = infer_schema(frame_to_raw(pd.DataFrame({"b": ["no", "yes", "no", None]})))
    table = coerce(frame_to_raw(pd.DataFrame({"b": pd.array([True, None, False], dtype="boolean")})), schema)
    assert table["b"].tolist()[0] == "yes"
    assert table["b"].tolist()[2] == "no"


@pytest.mark.parametrize("name", [n for n in FRAMES if "category" not in n])
def test_what_is_written_is_read_under_the_schema_of_the_frame(name: str) -> None:
    frame = pd.DataFrame({"x": FRAMES[name][0], "other": cycle("u", "v")})
    schema, table, _ = turn(frame)
    for write in (write_csv, write_parquet):
        sink = io.BytesIO()
        write(table, schema, sink)
        pd.testing.assert_frame_equal(coerce(read_table(sink.getvalue()), schema), table)


def test_a_lacking_column_is_named() -> None:
    schema = infer_schema(frame_to_raw(pd.DataFrame({"b": ["x", "y", "x"]})))
    with pytest.raises(TableError, match="lacks the column 'b'"):
        coerce(frame_to_raw(pd.DataFrame({"a": [1, 2]})), schema)


def test_whole_numbers_with_gaps_where_the_source_had_none_become_nullable() -> None:
    schema, table, _ = turn(pd.DataFrame({"a": cycle(1, 2, 5)}))
    table.loc[0, "a"] = pd.NA
    assert restore(table, schema)["a"].dtype == pd.Int64Dtype()
