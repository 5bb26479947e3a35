"""Columns of frames (pandas, nullable, pyarrow-backed, objects) in one of seven plain forms."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from synthloom.domain.errors import TableError
from synthloom.tables.cells import Cells, text_cells

Form = Literal["text", "boolean", "integer", "float", "time", "span", "empty"]


@dataclass(frozen=True)
class Native:
    """A frame's column in a plain form.

    Attributes:
        form: What the values are.
        dtype: The source's dtype, with what an object column holds in brackets: `object[date]`, `category[int64]`.
        missing: Which cells are missing, shape (n,).
        values: boolean: bool; integer: int64; float: float64; time and span: int64 microseconds (UTC for zoned times);
            shape (n,), anything where missing. Empty for text.
        cells: The texts, for form text.
        zone: Time zone of zoned times.
        places: Decimal places of exact decimals.
        declared: For a categorical dtype: every declared category, as text, used or not.
        ordered: Whether a categorical dtype is ordered.
        cut: Whether digits below a microsecond were cut.
        single: Whether floats came as float32.
    """

    form: Form
    dtype: str
    missing: np.ndarray
    values: np.ndarray = field(default_factory=lambda: np.empty(0))
    cells: Cells | None = None
    zone: str | None = None
    places: int | None = None
    declared: tuple[str, ...] = ()
    ordered: bool = False
    cut: bool = False
    single: bool = False


def read_native(series: Any, where: str) -> Native:
    """Bring a frame's column to its plain form.

    Args:
        series: Any column.
        where: Words that locate it, for errors.

    Raises:
        TableError: it holds what no table cell should (lists, bytes, complex numbers …).
    """
    series = series.reset_index(drop=True)
    dtype = series.dtype
    missing = series.isna().to_numpy(dtype=bool)
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(series, missing, where)
    if isinstance(dtype, pd.PeriodDtype):
        return _times(series.dt.to_timestamp(), missing, str(dtype))
    if isinstance(dtype, pd.SparseDtype):
        return read_native(series.sparse.to_dense(), where)
    if isinstance(dtype, pd.IntervalDtype):
        return Native("text", str(dtype), missing, cells=text_cells(series.astype(str).where(~missing)))
    if isinstance(dtype, pd.ArrowDtype):
        return _arrow(series, missing, where)
    if dtype == np.dtype(object):
        return _objects(series, missing, where)
    return _plain(series, missing, str(dtype), where)


def _plain(series: pd.Series, missing: np.ndarray, name: str, where: str) -> Native:
    """Columns whose dtype says what they are."""
    types = pd.api.types
    if missing.all() and len(missing):
        return Native("empty", string_name(series.dtype) if isinstance(series.dtype, pd.StringDtype) else name, missing)
    if types.is_bool_dtype(series.dtype):
        return Native("boolean", name, missing, series.fillna(False).to_numpy(dtype=bool))
    if types.is_integer_dtype(series.dtype):
        filled = series.fillna(0) if missing.any() else series
        if types.is_unsigned_integer_dtype(series.dtype) and int(filled.max()) > np.iinfo(np.int64).max:
            raise TableError(
                "whole numbers beyond 9.2e18 cannot be kept.", where=where, do="Turn the column into text or floats."
            )
        return Native("integer", name, missing, filled.to_numpy(dtype="int64"))
    if types.is_float_dtype(series.dtype):
        values = series.to_numpy(dtype="float64", na_value=np.nan)
        return Native("float", name, missing, values, single="float32" in name.lower() or "float16" in name)
    if types.is_datetime64_any_dtype(series.dtype):
        return _times(series, missing, name)
    if types.is_timedelta64_dtype(series.dtype):
        return _spans(series, missing, name)
    if isinstance(series.dtype, pd.StringDtype):
        return Native("text", string_name(series.dtype), missing, cells=text_cells(series))
    raise _strange(f"columns of dtype {name} cannot be modelled", where)


def string_name(dtype: Any) -> str:
    """`string[pyarrow]`, or `str[pyarrow]` where missing cells are NaN."""
    return f"{'string' if dtype.na_value is pd.NA else 'str'}[{dtype.storage}]"


def _times(series: Any, missing: np.ndarray, name: str) -> Native:
    zone = str(series.dt.tz) if series.dt.tz is not None else None
    if zone is not None:
        zone = zone.removeprefix("UTC") if zone.startswith(("UTC+", "UTC-")) else zone
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    micros = series.to_numpy(dtype="datetime64[us]").astype("int64")
    cut = bool((series[~missing].dt.nanosecond % 1000 != 0).any())
    return Native("time", name, missing, micros, zone=zone, cut=cut)


def _spans(series: pd.Series, missing: np.ndarray, name: str) -> Native:
    cut = bool((series[~missing].dt.nanoseconds != 0).any())
    return Native("span", name, missing, series.to_numpy(dtype="timedelta64[us]").astype("int64"), cut=cut)


def _arrow(series: Any, missing: np.ndarray, where: str) -> Native:
    """pyarrow-backed columns."""
    kind, name = series.dtype.pyarrow_dtype, str(series.dtype)
    types = pa.types
    name = f"arrow_{name}" if types.is_string(kind) or types.is_large_string(kind) else name
    if missing.all() and len(missing):
        return Native("empty", name, missing)
    if types.is_decimal(kind):
        values = series.astype("float64[pyarrow]").to_numpy(dtype="float64", na_value=np.nan)
        return Native("float", name, missing, values, places=max(0, kind.scale))
    if types.is_date(kind):
        return _times(pd.Series(pd.to_datetime(series.astype("timestamp[us][pyarrow]").astype("datetime64[us]"))),
                      missing, name)
    if types.is_timestamp(kind):
        target: Any = pd.DatetimeTZDtype(kind.unit if kind.unit != "s" else "s", kind.tz) if kind.tz else None
        return _times(series.astype(target or f"datetime64[{kind.unit}]"), missing, name)
    if types.is_duration(kind):
        return _spans(series.astype(f"timedelta64[{kind.unit}]"), missing, name)
    if types.is_dictionary(kind):
        return _categorical(series.astype("category"), missing, where)
    if types.is_string(kind) or types.is_large_string(kind):
        return Native("text", name, missing, cells=text_cells(series))
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return _plain(series, missing, name, where)
    if types.is_time(kind):
        return _objects(series.astype(object), missing, where, name)
    raise _strange(f"columns of type {kind} cannot be modelled", where)


def _objects(series: pd.Series, missing: np.ndarray, where: str, name: str | None = None) -> Native:
    """Object columns, by what they hold."""
    filled = series[~missing]
    holds = pd.api.types.infer_dtype(filled, skipna=True) if len(filled) else "empty"
    null = ", None" if missing.any() and series[missing].iloc[0] is None else ""

    def tag(inner: str) -> str:
        return name or f"object[{inner}{null}]"

    if holds == "empty":
        return Native("empty", tag("empty"), missing)
    if holds == "string":
        return Native("text", tag("str"), missing, cells=text_cells(series.where(~missing, None)))
    if holds == "boolean":
        return Native("boolean", tag("bool"), missing, series.where(~missing, False).to_numpy(dtype=bool))
    if holds == "integer":
        return _object_integers(series, missing, tag, where)
    if holds in ("floating", "mixed-integer-float"):
        values = series.where(~missing, np.nan).to_numpy(dtype="float64")
        return Native("float", tag("float"), missing, values)
    if holds == "decimal":
        return _decimals(series, missing, tag("Decimal"), where)
    if holds in ("date", "datetime", "datetime64"):
        return _object_times(series, missing, tag("date" if holds == "date" else "datetime"), where)
    if holds in ("timedelta", "timedelta64"):
        return _spans(pd.to_timedelta(series), missing, tag("timedelta"))
    if holds == "time":
        micros = [0 if gone else _time_micros(t) for t, gone in zip(series, missing, strict=True)]
        return Native("span", tag("time"), missing, np.array(micros, dtype="int64"))
    if holds == "period":
        inner = pd.Series(pd.PeriodIndex(series))
        return _times(inner.dt.to_timestamp(), missing, tag(str(inner.dtype)))
    return _mixed(series, missing, tag, where)


def _object_integers(series: pd.Series, missing: np.ndarray, tag: Any, where: str) -> Native:
    try:
        values = series.where(~missing, 0).to_numpy(dtype="int64")
    except OverflowError:
        raise TableError(
            "whole numbers beyond 9.2e18 cannot be kept.", where=where, do="Turn the column into text or floats."
        ) from None
    return Native("integer", tag("int"), missing, values)


def _decimals(series: pd.Series, missing: np.ndarray, name: str, where: str) -> Native:
    filled: list[Decimal] = list(series[~missing])
    if not all(d.is_finite() for d in filled):
        row = int(np.flatnonzero(~missing)[[d.is_finite() for d in filled].index(False)])
        raise infinite_cell(where, row)
    places = max((max(0, -int(d.as_tuple().exponent)) for d in filled), default=0)
    values = np.full(len(series), np.nan)
    values[~missing] = [float(d) for d in filled]
    return Native("float", name, missing, values, places=places)


def _object_times(series: Any, missing: np.ndarray, name: str, where: str) -> Native:
    zones = {str(getattr(moment, "tzinfo", None)) for moment in series[~missing]}
    if len(zones) > 1:
        raise TableError(
            "its times do not share one time zone.", where=where,
            do="Bring them to one, such as pd.to_datetime(column, utc=True).",
        )
    try:
        moments = pd.to_datetime(series.where(~missing, None).astype("object"))
    except (TypeError, ValueError):
        try:  # years beyond what pandas' nanoseconds hold
            filled = [None if gone else np.datetime64(v, "us") for v, gone in zip(series, missing, strict=True)]
            moments = pd.Series(filled, dtype="datetime64[us]")
        except (TypeError, ValueError):
            raise _strange("its dates and times cannot be read", where) from None
    return _times(moments, missing, name)


def _time_micros(t: dt.time) -> int:
    return ((t.hour * 60 + t.minute) * 60 + t.second) * 1_000_000 + t.microsecond


def _mixed(series: pd.Series, missing: np.ndarray, tag: Any, where: str) -> Native:
    """Objects of several types: words made of them, unless they are no single values at all."""
    types = {type(v) for v in series[~missing]}
    for bad in types:
        if issubclass(bad, (list, tuple, dict, set, frozenset, np.ndarray, bytes, bytearray, complex)):
            row = next(k for k, v in enumerate(series) if type(v) is bad)
            raise TableError(
                f"a cell holds a {bad.__name__}, not a single value.", where=f"{where}, row {row}",
                do="Spread it over columns of its own, or leave the column out (`drop: true` in the schema file).",
            )
    inner = "UUID" if types == {uuid.UUID} else "mixed"
    return Native("text", tag(inner), missing, cells=text_cells(series.map(str).where(~missing, None)))


def _categorical(series: pd.Series, missing: np.ndarray, where: str) -> Native:
    """A categorical column: its categories read as a column of their own, then spread."""
    labels = pd.Series(series.cat.categories)
    inner = read_native(labels, where)
    codes = series.cat.codes.to_numpy().astype("int64")
    name = f"category[{inner.dtype}]"
    if missing.all() and len(missing):
        return Native("empty", name, missing)
    declared = label_texts(inner)
    ordered = bool(series.cat.ordered)
    if inner.cells is not None:
        cells = Cells(inner.cells.texts, np.append(inner.cells.codes, -1)[codes])
        return Native("text", name, missing, cells=cells, declared=declared, ordered=ordered)
    values = np.append(inner.values, inner.values[:1])[codes]
    return Native(inner.form, name, missing, values, zone=inner.zone, places=inner.places, declared=declared,
                  ordered=ordered, cut=inner.cut, single=inner.single)


def label_texts(native: Native) -> tuple[str, ...]:
    """Each filled cell of a (short) column as a label's text."""
    filled = ~native.missing
    if native.form == "text" and native.cells is not None:
        texts = native.cells.texts.to_pylist()
        return tuple(texts[c] for c in native.cells.codes[filled])
    return labels_of(native, native.values[filled])


def labels_of(native: Native, values: np.ndarray) -> tuple[str, ...]:
    """Values of a column as labels: 1 → "1", 1.5 → "1.5", true → "True", times as ISO 8601, spans as seconds."""
    if native.form == "time":
        moments = pd.Series(values.astype("datetime64[us]"))
        if native.zone is not None:
            moments = moments.dt.tz_localize("UTC").dt.tz_convert(native.zone)
        return tuple(m.isoformat() for m in moments)
    if native.form == "span":
        return tuple(pd.Timedelta(int(v), "us").isoformat() for v in values)
    return tuple(str(v) for v in values.tolist())


def infinite_cell(where: str, row: int) -> TableError:
    """The error for an infinite cell."""
    return TableError(
        "a cell is infinite.", where=f"{where}, row {row}", do="Replace infinities by a number or leave the cell empty."
    )


def _strange(what: str, where: str) -> TableError:
    return TableError(
        f"{what}.", where=where, do="Convert the column, or leave it out (`drop: true` in the schema file)."
    )
