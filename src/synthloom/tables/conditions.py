"""Fixed cells for conditional sampling: a person's values to canonical ones."""

from __future__ import annotations

import datetime as dt
import difflib
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synthloom.domain.errors import UnknownNameError, UsageError
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import canonical_dtype, to_float
from synthloom.tables.parse_numbers import read_numbers
from synthloom.tables.parse_times import DurationStyle, read_durations, read_times


def read_conditions(given: Mapping[str, Any] | pd.DataFrame, n: int, schema: Schema) -> pd.DataFrame:
    """Conditions in source values as the canonical frame that `Method.sample` takes.

    Args:
        given: Column name → one value for all rows, or n values; or a frame of n rows (or 1, which stands for all).
            Values are what the table itself holds: numbers, labels, dates. Text is read as the table spells the
            column (1.000,50 €; 31.05.2024; n/a), else as a plain number, in ISO 8601, or as pandas writes durations.
            A time without a zone is meant in the column's zone. A missing value asks for a missing cell.
        n: Rows to be sampled.
        schema: Schema of the table the synthesizer was fitted on.

    Returns:
        Frame of n rows with the given columns, in the schema's order, canonical dtypes, RangeIndex.

    Raises:
        UnknownNameError: a column the table does not have.
        UsageError: a column that is not modelled, a label or value the column cannot hold, a wrong number of rows.
    """
    columns: dict[str, Any] = {str(name): value for name, value in given.items()}
    for name in columns:
        _check_column(name, schema)
    done = {}
    for name in schema.names:
        if name in columns:
            done[name] = _convert(_spread(columns[name], n, name), schema[name])
    return pd.DataFrame(done, index=pd.RangeIndex(n))


def put_in(rows: pd.DataFrame, conditions: pd.DataFrame) -> pd.DataFrame:
    """Drawn rows (n, RangeIndex) with the fixed cells of `conditions` (n rows) as they were given."""
    return rows.assign(**{str(name): conditions[name].reset_index(drop=True) for name in conditions})


def _check_column(name: str, schema: Schema) -> None:
    modelled = [c.name for c in schema.modelled]
    if name not in schema.names:
        close = difflib.get_close_matches(name, modelled, n=3)
        head = f"Did you mean {' or '.join(close)}? " if close else ""
        raise UnknownNameError(
            f"no column is called {name!r}.", where="conditions", do=f"{head}Choose among: {', '.join(modelled[:20])}."
        )
    if name not in modelled:
        raise UsageError(
            f"a column of kind {schema[name].kind} is not modelled, so it cannot be fixed.", where=_where(name),
            do=f"Choose among: {', '.join(modelled[:20])}.",
        )


def _where(name: str) -> str:
    return f"conditions, column {name!r}"


def _spread(value: Any, n: int, name: str) -> pd.Series:
    """One value or n values as a series of n cells."""
    many = isinstance(value, (list, tuple, np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray))
    if many and len(value):
        series = pd.Series(value).reset_index(drop=True)
    else:
        series = pd.Series([] if many else [value], dtype=object)
    if len(series) == n:
        return series
    if len(series) == 1:
        return series.iloc[np.zeros(n, dtype=int)].reset_index(drop=True)
    raise UsageError(
        f"{len(series)} values for {n} rows to sample.", where=_where(name), do="Give one value, or one for each row."
    )


def _convert(series: pd.Series, column: Column) -> pd.Series:
    series = series.mask(series.isin(_missing_spellings(column)), None)
    if column.kind.is_discrete:
        result = _labels(series, column)
    elif column.kind in (Kind.INTEGER, Kind.DECIMAL):
        result = _numbers(series, column)
    elif column.kind is Kind.DURATION:
        result = _each(
            series, column, lambda value: _to_duration(value, column.text.duration_style), "timedelta64[us]"
        )
    else:
        result = _moments(series, column)
    if column.missing_rate == 0 and result.isna().any():
        raise UsageError("this column is never missing, so it cannot be asked to be.", where=_where(column.name))
    _check_bounds(result, column)
    return result.astype(canonical_dtype(column))


def _missing_spellings(column: Column) -> list[str]:
    spellings = {column.text.missing, *column.text.also_missing} - {"", *column.categories}
    return sorted(spellings)


def _check_bounds(series: pd.Series, column: Column) -> None:
    if not column.kind.is_numeric or (column.lower is None and column.upper is None):
        return
    values = to_float(series, column.kind)
    low = -np.inf if column.lower is None else column.lower
    high = np.inf if column.upper is None else column.upper
    outside = np.flatnonzero((values < low) | (values > high))
    if len(outside):
        raise UsageError(
            f"the value in row {outside[0]} is outside the declared bounds.", where=_where(column.name),
            do=f"The bounds are {column.lower} to {column.upper}.",
        )


def _numbers(series: pd.Series, column: Column) -> pd.Series:
    if column.kind is Kind.INTEGER:
        return _each(series, column, lambda value: _to_integer(_read_number(value, column)), "Int64")
    values = _each(series, column, lambda value: _to_decimal(_read_number(value, column)), "float64")
    if column.precision is not None:
        rounded = values.round(column.precision)
        rough = np.flatnonzero(~np.isclose(rounded, values, rtol=1e-12, atol=1e-12, equal_nan=True))
        if len(rough):
            raise UsageError(
                f"the value in row {rough[0]} has more decimal places than the column.", where=_where(column.name),
                do=f"Round it to {column.precision} decimal places.",
            )
    return values


def _each(series: pd.Series, column: Column, one: Callable[[Any], Any], dtype: Any) -> pd.Series:
    """Convert the distinct values one by one, then all cells at once."""
    codes, distinct = pd.factorize(series.astype(object))
    converted = []
    for position, value in enumerate(distinct):
        try:
            converted.append(one(value))
        except (TypeError, ValueError, OverflowError):
            row = int(np.flatnonzero(codes == position)[0])
            raise UsageError(
                f"the value in row {row} is no {column.kind}.", where=_where(column.name), do=_advice(column)
            ) from None
    table = pd.Series([*converted, None], dtype=dtype)
    spread: pd.Series = table.iloc[codes].reset_index(drop=True)  # code -1, missing, is the last entry
    return spread


_FORMS = {
    Kind.INTEGER: "Give a whole number",
    Kind.DECIMAL: "Give a finite number",
    Kind.DATE: "Give a date, or text such as 2024-05-31",
    Kind.TIMESTAMP: "Give a datetime, or text such as 2024-05-31T14:00:00, with a zone only if the column has one",
    Kind.DURATION: "Give a timedelta, or text such as 1 day 02:03:04",
}


def _advice(column: Column) -> str:
    pattern = column.text.datetime_format
    own = f", or as the table writes it: {pattern}" if pattern else ""
    return f"{_FORMS[column.kind]}{own}."


def _read_number(value: Any, column: Column) -> Any:
    """Text as the column spells it, with or without currency, unit and grouping, as a number; all else as it is."""
    if not isinstance(value, str):
        return value
    bare = column.text.model_copy(update={"prefix": "", "suffix": ""})
    for style in (column.text, bare, bare.model_copy(update={"thousands_mark": ""})):
        found = read_numbers(pa.array([value], pa.large_string()), style)
        if found.ok[0]:
            return float(found.values[0]) if found.whole is None else int(found.whole[0])
    return value


def _to_integer(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    whole = int(value)
    if not isinstance(value, str) and whole != value:
        raise ValueError
    return whole


def _to_decimal(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    number = float(value)
    if not np.isfinite(number):
        raise ValueError
    return number


def _to_duration(value: Any, style: DurationStyle) -> np.timedelta64:
    if isinstance(value, str):
        own = read_durations(pa.array([value], pa.large_string()), style)
        if own.ok[0]:
            return np.timedelta64(int(own.micros[0]), "us")
    if isinstance(value, numbers.Number) and not isinstance(value, np.timedelta64):
        raise TypeError
    return pd.Timedelta(value).as_unit("us").to_timedelta64()


def _moments(series: pd.Series, column: Column) -> pd.Series:
    def one(value: Any) -> np.datetime64:
        if isinstance(value, numbers.Number) or not isinstance(value, (str, dt.date, np.datetime64)):
            raise TypeError
        moment = _read_moment(value, column.text.datetime_format).as_unit("us")
        if moment.tzinfo is not None and column.timezone is None:
            raise ValueError
        if column.timezone is not None:
            moment = moment.tz_localize(column.timezone) if moment.tzinfo is None else moment
            moment = moment.tz_convert("UTC").tz_localize(None)
        if column.kind is Kind.DATE and moment != moment.normalize():
            raise ValueError
        return moment.to_datetime64()

    moments = _each(series, column, one, "datetime64[us]")
    return moments.dt.tz_localize("UTC").dt.tz_convert(column.timezone) if column.timezone else moments


def _read_moment(value: Any, pattern: str | None) -> pd.Timestamp:
    """A moment; text as the table writes it, else in ISO 8601, which no guess about days and months can spoil."""
    if not isinstance(value, str):
        return pd.Timestamp(value)
    if pattern is not None:
        own = read_times(pa.array([value], pa.large_string()), pattern)
        if own.ok[0]:
            moment = pd.Timestamp(int(own.micros[0]), unit="us")
            if own.offset is None:
                return moment
            return (moment - pd.Timedelta(minutes=int(own.offset[0]))).tz_localize("UTC")
    return pd.to_datetime(value, format="ISO8601")


def _labels(series: pd.Series, column: Column) -> pd.Series:
    known = {label: label for label in column.categories}
    by_number = {number: label for label in column.categories if (number := _number_of(label)) is not None}
    codes, distinct = pd.factorize(series.astype(object))
    found: list[str | None] = []
    for position, value in enumerate(distinct):
        label = known.get(value) if isinstance(value, str) else _label_of(value, column, by_number)
        if label is None:
            row = int(np.flatnonzero(codes == position)[0])
            raise UsageError(
                f"the value in row {row} is no label of this column.", where=_where(column.name),
                do=f"Choose among: {_some_labels(column)}.",
            )
        found.append(label)
    table = pd.Series([*found, None], dtype=object)
    return table.iloc[codes].reset_index(drop=True)


def _some_labels(column: Column) -> str:
    more = len(column.categories) - 20
    return ", ".join(column.categories[:20]) + (f" and {more:,} more" if more > 0 else "")


def _label_of(value: Any, column: Column, by_number: dict[float, str]) -> str | None:
    if isinstance(value, (bool, np.bool_)) and column.kind is Kind.BOOLEAN and len(column.categories) == 2:
        return column.categories[int(value)]
    if isinstance(value, (bool, np.bool_)):
        return next((label for label in column.categories if label.lower() == str(bool(value)).lower()), None)
    if isinstance(value, numbers.Real):
        return by_number.get(float(value))
    return None


def _number_of(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
