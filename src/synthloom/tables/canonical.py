"""The one in-memory form of a table that methods and metrics see.

A canonical table has the schema's columns in the schema's order, a RangeIndex, and one dtype per kind:

=========== ==========================================  =====================
kind        dtype                                       missing
=========== ==========================================  =====================
integer     Int64                                       <NA>
decimal     float64 (never infinite)                    NaN
boolean     category: the schema's two labels            NaN
category    category: the schema's labels, in order      NaN
ordered     category, ordered                            NaN
date        datetime64[us], midnight                     NaT
timestamp   datetime64[us] or datetime64[us, zone]       NaT
duration    timedelta64[us]                              NaT
identifier  object of str                                None
text        object of str                                None
constant    category: the one label                      NaN
empty       object                                       None
=========== ==========================================  =====================

Labels are text; `Column.label_type` says what they were in the source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import ContractError
from synthloom.domain.schema import Column, Kind, Schema

_FIXED_DTYPES: dict[Kind, Any] = {
    Kind.DECIMAL: np.dtype("float64"),
    Kind.DATE: np.dtype("datetime64[us]"),
    Kind.DURATION: np.dtype("timedelta64[us]"),
    Kind.IDENTIFIER: np.dtype(object),
    Kind.TEXT: np.dtype(object),
    Kind.EMPTY: np.dtype(object),
}


def canonical_dtype(column: Column) -> Any:
    """The pandas dtype a column has in a canonical table."""
    if column.kind is Kind.INTEGER:
        return pd.Int64Dtype()
    if column.kind in _FIXED_DTYPES:
        return _FIXED_DTYPES[column.kind]
    if column.kind is Kind.TIMESTAMP:
        return pd.DatetimeTZDtype("us", column.timezone) if column.timezone else np.dtype("datetime64[us]")
    return pd.CategoricalDtype(pd.Index(column.categories, dtype=object), ordered=column.kind is Kind.ORDERED)


def check_canonical(table: pd.DataFrame, schema: Schema) -> None:
    """Raise ContractError unless `table` is canonical for `schema`."""
    if tuple(table.columns) != schema.names:
        raise ContractError(f"columns {list(table.columns)[:20]} are not the schema's {list(schema.names)[:20]}.")
    for column in schema:
        have, want = table[column.name].dtype, canonical_dtype(column)
        if have != want:
            raise ContractError(f"dtype is {have}, not {want}.", where=f"column {column.name!r}")


def to_float(series: pd.Series, kind: Kind) -> np.ndarray:
    """A numeric column's cells as float64, NaN where missing; times as POSIX seconds, durations as seconds.

    Args:
        series: One column of a canonical table.
        kind: Its kind, one of the numeric kinds.

    Returns:
        float64 array of shape (n,). Integers beyond 2**53 lose their last digits.
    """
    if kind in (Kind.DATE, Kind.TIMESTAMP, Kind.DURATION):
        micros = series.to_numpy(dtype="datetime64[us]" if kind is not Kind.DURATION else "timedelta64[us]")
        values = micros.astype("int64").astype("float64") / 1e6
        values[np.isnat(micros)] = np.nan
        return values
    if kind is Kind.INTEGER:
        return series.to_numpy(dtype="float64", na_value=np.nan)
    return series.to_numpy(dtype="float64", copy=True)


def from_float(values: np.ndarray, column: Column) -> pd.Series:
    """The inverse of `to_float`: a canonical series, rounded to what the column's kind and precision allow."""
    missing = np.isnan(values)
    if column.kind is Kind.INTEGER:
        whole = _whole(np.where(missing, 0, values))
        return pd.Series(pd.arrays.IntegerArray(whole, missing))
    if column.kind is Kind.DECIMAL:
        return pd.Series(values if column.precision is None else round_places(values, column.precision))
    seconds = np.where(missing, 0.0, values)
    if column.kind is Kind.DATE:
        seconds = np.floor(seconds / 86400.0 + 0.5) * 86400.0
    digits = column.text.fraction_digits if column.kind is not Kind.DATE else 0
    micros = _whole(np.round(seconds, digits) * 1e6)
    micros = np.where(micros == np.iinfo(np.int64).min, micros + 1, micros)  # the least one means missing
    if column.kind is Kind.DURATION:
        spans = micros.astype("timedelta64[us]")
        spans[missing] = np.timedelta64("NaT")
        return pd.Series(spans)
    moments = micros.astype("datetime64[us]")
    moments[missing] = np.datetime64("NaT")
    series = pd.Series(moments)
    return series.dt.tz_localize("UTC").dt.tz_convert(column.timezone) if column.timezone else series


def _whole(values: np.ndarray) -> np.ndarray:
    """The nearest int64 of each float."""
    rounded = np.rint(values)
    beyond = rounded >= 2.0**63  # what the largest int64 becomes as a float
    whole = np.where(beyond, 0.0, np.maximum(rounded, -(2.0**63))).astype("int64")
    return np.where(beyond, np.iinfo(np.int64).max, whole)


def round_places(values: np.ndarray, places: int) -> np.ndarray:
    """Round to decimal places; numbers too large to have any stay as they are, where numpy makes them infinite."""
    large = np.abs(values) >= 2.0**53
    return np.where(large, values, np.round(np.where(large, 0.0, values), places))


def labels_to_codes(series: pd.Series) -> np.ndarray:
    """A discrete column's cells as int32 positions in its categories, -1 where missing."""
    return series.cat.codes.to_numpy().astype("int32")


def codes_to_labels(codes: np.ndarray, column: Column) -> pd.Series:
    """The inverse of `labels_to_codes`."""
    return pd.Series(pd.Categorical.from_codes(codes, dtype=canonical_dtype(column)))
