"""The canonical table → a DataFrame in the source's own dtypes."""

from __future__ import annotations

import re
import uuid
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


def _restore_column(series: pd.Series, column: Column) -> pd.Series:
    dtype = column.dtype or _natural_dtype(series, column)
    if dtype.startswith("category["):
        return _categorical(series, column, dtype[len("category[") : -1])
    if column.kind.is_discrete or column.kind is Kind.CONSTANT:
        values = _labels(list(column.categories), dtype, column)
        return _take(values, series.cat.codes.to_numpy())
    return _cast(series, dtype, column)


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


def _categorical(series: pd.Series, column: Column, inner: str) -> pd.Series:
    if column.kind.is_discrete or column.kind is Kind.CONSTANT:
        categories = pd.Index(_labels(list(column.categories), inner, column))
        codes = series.cat.codes.to_numpy()
        return pd.Series(pd.Categorical.from_codes(codes, categories, ordered=column.kind is Kind.ORDERED))
    return _cast(series, inner, column).astype("category")


def _take(values: pd.Series, codes: np.ndarray) -> pd.Series:
    """Values at codes, missing where -1, keeping the dtype where it can hold missing cells."""
    if not (codes < 0).any():
        return values.take(codes).reset_index(drop=True)
    if values.dtype.kind in "iu" and isinstance(values.dtype, np.dtype):
        values = values.astype("Int64")
    if values.dtype == np.dtype(bool):
        values = values.astype("boolean")
    return values.reindex(codes).reset_index(drop=True)


def _labels(labels: list[str], dtype: str, column: Column) -> pd.Series:
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


def _cast(series: pd.Series, dtype: str, column: Column) -> pd.Series:
    """A plain series (whole numbers, floats, bools, times, texts) as a recorded dtype."""
    series = series.reset_index(drop=True)
    if dtype.startswith("object"):
        return _objects(series, dtype, column)
    if dtype.startswith("period["):
        return series.dt.to_period(dtype[len("period[") : -1])
    if dtype.startswith("interval["):
        return pd.Series(pd.arrays.IntervalArray([_interval(t) for t in series], dtype=dtype))
    if dtype.endswith("[pyarrow]") and not dtype.startswith("string"):
        return _arrow(series, dtype, column)
    if dtype.startswith(("string", "str")):
        return _strings(series, column).astype(dtype)
    if column.kind is Kind.IDENTIFIER:
        series = pd.Series(pd.to_numeric(series)).astype("Int64" if series.isna().any() else "int64")
    target: Any = pd.api.types.pandas_dtype(dtype)
    if isinstance(target, pd.DatetimeTZDtype) and series.dt.tz is None:
        series = series.dt.tz_localize("UTC")
    if target.kind == "M" and not isinstance(target, pd.DatetimeTZDtype) and series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    return _whole(series, target) if target.kind in "iu" else series.astype(target)


def _whole(series: pd.Series, target: Any) -> pd.Series:
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


def _strings(series: pd.Series, column: Column) -> pd.Series:
    """Texts of a column that came as strings: words as they are, values spelt as they were."""
    if series.dtype == np.dtype(object):
        return series
    texts = pd.Series(spell(series, column).to_pylist(), dtype=object)
    return texts.where(series.notna(), None)


def _objects(series: pd.Series, dtype: str, column: Column) -> pd.Series:
    """Object columns: the recorded Python type in each filled cell, the recorded null in the others."""
    inner = dtype[len("object[") : -1]
    null = None if inner.endswith(", None") else np.nan
    holds = inner.removesuffix(", None")
    missing = series.isna().to_numpy(dtype=bool)
    out = np.full(len(series), null, dtype=object)
    filled = series[~missing]
    if holds in ("str", "mixed"):
        values = list(_strings(filled.reset_index(drop=True), column))
    elif holds == "UUID":
        values = [uuid.UUID(v) for v in filled]
    elif holds == "int":
        values = [int(v) for v in filled]
    elif holds == "float":
        values = [float(v) for v in filled]
    elif holds == "bool":
        values = [bool(v) for v in filled]
    elif holds == "Decimal":
        values = [_decimal(v, column.precision) for v in filled]
    elif holds == "date":
        values = [v.date() for v in filled]
    elif holds == "time":
        values = [(pd.Timestamp(0) + v % pd.Timedelta(days=1)).time() for v in filled]
    elif holds == "datetime":
        values = [v.to_pydatetime() for v in filled]
    elif holds == "timedelta":
        values = [v.to_pytimedelta() for v in filled]
    elif holds.startswith("period["):
        values = list(filled.dt.to_period(holds[len("period[") : -1]))
    else:
        values = [null] * len(filled)
    for place, value in zip(np.flatnonzero(~missing), values, strict=True):
        out[place] = value
    return pd.Series(out, dtype=object)


def _decimal(value: Any, places: int | None) -> Decimal:
    if isinstance(value, str):
        return Decimal(value)
    return Decimal(repr(float(value))) if places is None else Decimal(f"{value:.{places}f}")


def _arrow(series: pd.Series, dtype: str, column: Column) -> pd.Series:
    """pyarrow-backed columns, also of types pandas cannot name."""
    name = dtype.removesuffix("[pyarrow]")
    if name in ("large_string", "string"):
        return _strings(series, column).astype(pd.ArrowDtype(getattr(pa, name)()))
    if (match := _ARROW_DECIMAL.fullmatch(name)) is not None:
        bits, precision, scale = match.groups()
        kind = getattr(pa, f"decimal{bits}")(int(precision), int(scale))
        cells = [None if pd.isna(v) else _decimal(v, max(0, int(scale))) for v in series]
        return pd.Series(pd.array(pa.array(cells, kind), dtype=pd.ArrowDtype(kind)))
    if (match := _ARROW_TIMESTAMP.fullmatch(name)) is not None:
        unit, zone = match.groups()
        if zone and series.dt.tz is None:
            series = series.dt.tz_localize("UTC")
        return series.astype(pd.ArrowDtype(pa.timestamp(unit, zone)))
    if name.startswith("date32") or name.startswith("date64"):
        dates = pa.array(series.to_numpy(dtype="datetime64[us]"), from_pandas=True)
        kind = pa.date32() if name.startswith("date32") else pa.date64()
        return pd.Series(pd.array(dates.cast(pa.date32()).cast(kind), dtype=pd.ArrowDtype(kind)))
    if name.startswith("dictionary"):
        return series.astype("category")
    if column.kind is Kind.IDENTIFIER:
        series = pd.Series(pd.to_numeric(series)).astype("Int64")
    return series.astype(dtype)


def _interval(text: Any) -> Any:
    if text is None or (isinstance(text, float) and np.isnan(text)):
        return None
    match = _INTERVAL.fullmatch(text)
    assert match is not None, "labels of intervals are written by this package"  # noqa: S101
    left, low, high, right = match.groups()
    closed = {"[]": "both", "[)": "left", "(]": "right", "()": "neither"}[left + right]
    return pd.Interval(float(low), float(high), closed=closed)  # type: ignore[call-overload]
