"""The canonical table → a DataFrame in the source's own dtypes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import check_canonical
from synthloom.tables.spelling import spell

_ARROW_DECIMAL = re.compile(r"decimal(128|256)\((\d+), (-?\d+)\)")
_ARROW_TIMESTAMP = re.compile(r"timestamp\[(\w+)(?:, tz=([^\]]+))?\]")
_INTERVAL = re.compile(r"([\[(])(.+), (.+)([\])])")


def restore(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A canonical table in the source's own dtypes.

    Args:
        table: Canonical for `schema`.
        schema: Its schema. Columns that came from a frame get exactly the recorded dtype (whole-number dtypes that
            cannot hold missing cells become nullable when cells are missing); columns that came as text get the
            dtype a reader would wish for: int64 (Int64 with missing cells), float64, bool, times as times, words as
            objects.

    Returns:
        DataFrame with a RangeIndex.
    """
    check_canonical(table, schema)
    columns = {c.name: _restore_column(table[c.name], c) for c in schema}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(table)))


def _restore_column(series: pd.Series, column: Column) -> Any:
    dtype = column.dtype or _natural_dtype(series, column)
    if column.kind is Kind.EMPTY:
        return _empty(len(series), dtype)
    if dtype.startswith("category["):
        return _categorical(series, column, dtype[len("category[") : -1])
    if column.kind.is_discrete or column.kind is Kind.CONSTANT:
        values = _labels(list(column.categories), dtype, column)
        return _take(values, series.cat.codes.to_numpy(), _null(dtype))
    return _cast(series, dtype, column)


def _empty(n: int, dtype: str) -> Any:
    """A column of missing cells in a dtype."""
    if dtype.startswith("object"):
        return pd.Series([_null(dtype)] * n, dtype=object)
    if dtype.startswith("category["):
        labels = pd.Index(_empty(0, dtype[len("category[") : -1]))
        return pd.Series(pd.Categorical.from_codes(np.full(n, -1), labels))
    if dtype.startswith("str"):
        return pd.Series([None] * n, dtype=_string_type(dtype))
    if _is_arrow(dtype):
        return pd.Series(pd.array(pa.nulls(n, _arrow_type(dtype)), dtype=pd.ArrowDtype(_arrow_type(dtype))))
    target: Any = pd.api.types.pandas_dtype(dtype)
    if isinstance(target, np.dtype) and target.kind in "iub":  # these hold no gaps
        target = pd.BooleanDtype() if target.kind == "b" else pd.Int64Dtype()
    return pd.Series([None] * n, dtype=target)


def _natural_dtype(series: pd.Series, column: Column) -> str:
    """The dtype a column of a text file deserves."""
    gaps = bool(series.isna().any())
    if column.kind is Kind.INTEGER:
        return "Int64" if gaps else "int64"
    if column.kind is Kind.DECIMAL:
        return "float64"
    if column.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.DURATION):
        return str(series.dtype)
    whole = column.identifier is not None and column.label_type == "integer"
    if column.label_type == "integer" and (whole or column.kind is not Kind.IDENTIFIER):
        return "Int64" if gaps else "int64"
    if column.label_type == "decimal":
        return "float64"
    if column.label_type == "boolean":
        return "boolean" if gaps else "bool"
    return "object[empty, None]" if column.kind is Kind.EMPTY else "object[str]"


def _categorical(series: pd.Series, column: Column, inner: str) -> Any:
    if column.kind.is_discrete or column.kind is Kind.CONSTANT:
        categories = pd.Index(_labels(list(column.categories), inner, column))
        codes = series.cat.codes.to_numpy()
        return pd.Series(pd.Categorical.from_codes(codes, categories, ordered=column.kind is Kind.ORDERED))
    return _cast(series, inner, column).astype("category")


def _null(dtype: str) -> Any:
    """What a missing cell of an object column was."""
    return None if dtype.endswith(", None]") else np.nan


def _take(values: Any, codes: np.ndarray, null: Any) -> Any:
    """Values at codes, missing where -1, keeping the dtype where it can hold missing cells."""
    if not (codes < 0).any():
        return values.take(codes).reset_index(drop=True)
    if values.dtype.kind in "iu" and isinstance(values.dtype, np.dtype):
        values = values.astype("Int64")
    if values.dtype == np.dtype(bool):
        values = values.astype("boolean")
    if values.dtype == np.dtype(object):
        out = np.empty(len(values) + 1, dtype=object)
        out[:-1], out[-1] = values, null
        return pd.Series(out[codes], dtype=object)
    return values.reindex(codes).reset_index(drop=True)


def _labels(labels: list[str], dtype: str, column: Column) -> Any:
    """Labels as values of a dtype, one each."""
    if column.label_type == "boolean":
        truth = [label.strip().lower() in ("true", "1", "1.0") for label in labels]
        return _cast(pd.Series(truth, dtype=bool), dtype, column)
    if column.label_type == "integer":
        return _cast(pd.Series([int(float(x)) if "." in x else int(x) for x in labels], dtype="int64"), dtype, column)
    if column.label_type == "decimal" and "Decimal" not in dtype:
        return _cast(pd.Series([float(x) for x in labels], dtype="float64"), dtype, column)
    if "datetime" in dtype or "timestamp" in dtype or "date" in dtype or dtype.startswith("period"):
        moments = pd.to_datetime(pd.Series(labels), format="ISO8601").astype("datetime64[us]" if not _zoned(labels) else
                                                                             "datetime64[us, UTC]")
        return _cast(moments, dtype, column)
    if "timedelta" in dtype or "duration" in dtype or "[time" in dtype:
        return _cast(pd.Series(pd.to_timedelta(labels)).astype("timedelta64[us]"), dtype, column)
    return _cast(pd.Series(labels, dtype=object), dtype, column)


def _zoned(labels: list[str]) -> bool:
    return any(re.search(r"[+-]\d\d:\d\d$", label) for label in labels)


def _cast(series: Any, dtype: str, column: Column) -> Any:
    """A plain series (whole numbers, floats, bools, times, texts) as a recorded dtype."""
    series = series.reset_index(drop=True)
    if dtype.startswith("object"):
        return _objects(series, dtype, column)
    if dtype.startswith("period["):
        return series.dt.to_period(dtype[len("period[") : -1])
    if dtype.startswith("interval["):
        return pd.Series(pd.arrays.IntervalArray([_interval(t) for t in series], dtype=dtype))
    if dtype.startswith("str"):
        return _strings(series, column).astype(_string_type(dtype))
    if _is_arrow(dtype):
        return _arrow(series, dtype, column)
    if column.kind is Kind.IDENTIFIER:
        series = pd.Series(pd.to_numeric(series)).astype("Int64" if series.isna().any() else "int64")
    target: Any = pd.api.types.pandas_dtype(dtype)
    if isinstance(target, pd.DatetimeTZDtype) and series.dt.tz is None:
        series = series.dt.tz_localize("UTC")
    if target.kind == "M" and not isinstance(target, pd.DatetimeTZDtype) and series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    return _whole(series, target) if target.kind in "iu" else series.astype(target)


def _is_arrow(dtype: str) -> bool:
    return dtype.endswith("[pyarrow]") and not dtype.startswith("str")


def _string_type(dtype: str) -> Any:
    """`string[pyarrow]` marks missing cells with NA, `str[pyarrow]` with NaN."""
    name, storage = dtype.removesuffix("]").split("[")
    return pd.StringDtype(storage) if name == "string" else pd.StringDtype(storage, na_value=np.nan)


def _whole(series: Any, target: Any) -> Any:
    """Whole numbers in a dtype, or in the next that can hold them."""
    if series.isna().any() and isinstance(target, np.dtype):
        target = pd.api.types.pandas_dtype(target.name.replace("uint", "UInt").replace("int", "Int", 1)
                                           if target.name.startswith("int") else target.name.replace("uint", "UInt"))
    filled = series.dropna()
    if len(filled):
        limits = np.iinfo(target.numpy_dtype if hasattr(target, "numpy_dtype") else target)
        if filled.min() < limits.min or filled.max() > limits.max:
            target = pd.Int64Dtype() if series.isna().any() or not isinstance(target, np.dtype) else np.dtype("int64")
    return series.astype(target)


def _strings(series: Any, column: Column) -> Any:
    """Texts of a column that came as strings: words as they are, values (and their gaps, if spelt) as they were."""
    if series.dtype == np.dtype(object):
        return series
    texts = pd.Series(spell(series, column).to_pylist(), dtype=object)
    return texts if column.text.missing else texts.where(series.notna(), None)


def _objects(series: pd.Series, dtype: str, column: Column) -> pd.Series:
    """Object columns: the recorded Python type in each filled cell, the recorded null in the others."""
    inner = dtype[len("object[") : -1]
    holds = inner.removesuffix(", None")
    missing = series.isna().to_numpy(dtype=bool)
    if holds == "str" and column.text.missing and series.dtype != np.dtype(object):
        missing[:] = False  # gaps between values were spelt
    out = np.full(len(series), _null(dtype), dtype=object)
    filled: Any = series[~missing].reset_index(drop=True)
    if holds in ("str", "mixed"):
        filled = _strings(filled, column)
    elif holds.startswith("period["):
        filled = filled.dt.to_period(holds[len("period[") : -1])
    convert = _PYTHON.get(holds, _as_is)
    values = [convert(value, column) for value in filled]
    for place, value in zip(np.flatnonzero(~missing), values, strict=True):
        out[place] = value
    return pd.Series(out, dtype=object)


def _as_is(value: Any, _column: Column) -> Any:
    return value


def _time_of_day(span: Any, _column: Column) -> Any:
    return (pd.Timestamp(0) + span % pd.Timedelta(days=1)).time()


def _decimal(value: Any, places: int | None) -> Decimal:
    if isinstance(value, str):
        return Decimal(value)
    return Decimal(repr(float(value))) if places is None else Decimal(f"{value:.{places}f}")


def _arrow(series: Any, dtype: str, column: Column) -> Any:
    """pyarrow-backed columns, also of types pandas cannot name."""
    kind = _arrow_type(dtype)
    if pa.types.is_large_string(kind) or pa.types.is_string(kind):
        return _strings(series, column).astype(pd.ArrowDtype(kind))
    if pa.types.is_decimal(kind):
        cells = [None if pd.isna(v) else _decimal(v, max(0, kind.scale)) for v in series]
        return pd.Series(pd.array(pa.array(cells, kind), dtype=pd.ArrowDtype(kind)))
    if pa.types.is_timestamp(kind) and kind.tz and series.dt.tz is None:
        series = series.dt.tz_localize("UTC")
    if pa.types.is_date(kind):
        dates = pa.array(series.to_numpy(dtype="datetime64[us]"), from_pandas=True)
        return pd.Series(pd.array(dates.cast(pa.date32()).cast(kind), dtype=pd.ArrowDtype(kind)))
    if column.kind is Kind.IDENTIFIER:
        series = pd.Series(pd.to_numeric(series)).astype("Int64")
    return series.astype(pd.ArrowDtype(kind))


def _arrow_type(dtype: str) -> Any:
    """The pyarrow type of a recorded dtype such as `decimal128(10, 2)[pyarrow]`."""
    name = dtype.removesuffix("[pyarrow]").removeprefix("arrow_")
    if (match := _ARROW_DECIMAL.fullmatch(name)) is not None:
        bits, precision, scale = match.groups()
        return getattr(pa, f"decimal{bits}")(int(precision), int(scale))
    if (match := _ARROW_TIMESTAMP.fullmatch(name)) is not None:
        return pa.timestamp(*match.groups())
    return pa.type_for_alias(name)


def _interval(text: Any) -> Any:
    if text is None or (isinstance(text, float) and np.isnan(text)):
        return None
    match = _INTERVAL.fullmatch(text)
    assert match is not None, "labels of intervals are written by this package"  # noqa: S101
    left, low, high, right = match.groups()
    closed: Any = {"[]": "both", "[)": "left", "(]": "right", "()": "neither"}[left + right]
    return pd.Interval(float(low), float(high), closed=closed)


_PYTHON: dict[str, Callable[[Any, Column], Any]] = {
    "UUID": lambda value, _: uuid.UUID(value),
    "int": lambda value, _: int(value),
    "float": lambda value, _: float(value),
    "bool": lambda value, _: bool(value),
    "Decimal": lambda value, column: _decimal(value, column.precision),
    "date": lambda value, _: value.date(),
    "time": _time_of_day,
    "datetime": lambda value, _: value.to_pydatetime(),
    "timedelta": lambda value, _: value.to_pytimedelta(),
}
"""A plain value as the Python type an object column held."""
