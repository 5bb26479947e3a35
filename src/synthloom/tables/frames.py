"""Data frames of other makers → pandas, and whether a frame is a plain table."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.domain.errors import TableError, TooLargeError, UsageError
from synthloom.tables.archive import Limits

Library = Literal["pandas", "polars"]
"""Whose frames a person works with."""

_DEFAULT_LIMITS = Limits()
_SINGLE = (
    str, int, float, bool, type(None), decimal.Decimal, datetime.date, datetime.time,
    datetime.timedelta, uuid.UUID, np.integer, np.floating, np.bool_, np.datetime64, np.timedelta64,
)  # fmt: skip
_NULLABLE = {
    "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64", "uint8": "UInt8", "uint16": "UInt16",
    "uint32": "UInt32", "uint64": "UInt64", "bool": "boolean",
}  # fmt: skip
NULLABLE = frozenset({*_NULLABLE.values(), "Float32", "Float64"})
"""pandas' types for numbers and truth values that may be missing."""
_PLAIN_OBJECTS = "str, int, float, bool, Decimal, date, datetime, time, timedelta or None"


def library_of(source: Any) -> Library:
    """The library of a frame; pandas for whatever is no frame."""
    return "polars" if type(source).__module__.partition(".")[0] == "polars" else "pandas"


def to_pandas(frame: Any) -> pd.DataFrame:
    """A pandas frame with the same cells.

    Args:
        frame: pandas DataFrame (returned as it is), polars DataFrame or LazyFrame, or pyarrow Table.

    Returns:
        A frame with the source's dtypes. Of what came through Arrow, text is `string[pyarrow]`, whole numbers with
        missing cells have a nullable dtype, and dates and exact decimals stay Arrow's.

    Raises:
        UsageError: It is something else.
        TableError: It holds nested columns.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    if isinstance(frame, pa.Table):
        return arrow_to_pandas(frame, "the table")
    if library_of(frame) == "polars":
        return _from_polars(frame)
    raise UsageError(
        f"a {type(frame).__name__} is no data frame.",
        do="Give a pandas or polars DataFrame or a pyarrow Table; for a pandas Series use .to_frame().",
    )


def _from_polars(frame: Any) -> pd.DataFrame:
    kind = type(frame).__name__
    if kind == "LazyFrame":
        frame = frame.collect()
    elif kind != "DataFrame":
        raise UsageError(f"a polars {kind} is no data frame.", do="Give a polars DataFrame.")
    objects = [name for name, dtype in frame.schema.items() if str(dtype) == "Object"]
    if objects:
        raise _nested(objects[0], "Python objects", "the frame")
    return arrow_to_pandas(frame.to_arrow(), "the frame")


def arrow_to_pandas(table: pa.Table, label: str) -> pd.DataFrame:
    """An Arrow table as pandas, without losing whole numbers to floats or cells to Python objects.

    Args:
        table: Flat columns.
        label: What to call it in errors.

    Raises:
        TableError: A column is nested or binary.
    """
    refuse_nested(table.schema, label)
    columns = [_plain(column) for column in table.columns]
    frame = pd.DataFrame({i: _to_series(c) for i, c in enumerate(columns)}, pd.RangeIndex(table.num_rows), copy=False)
    frame.columns = pd.Index(table.column_names)
    return frame


def refuse_nested(schema: pa.Schema, label: str, drop: frozenset[str] = frozenset()) -> None:
    """Refuse columns whose cells are no single values.

    Raises:
        TableError: Naming the first such column that `drop` does not hold.
    """
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if field.name in drop:
            continue
        if pa.types.is_nested(kind):
            raise _nested(field.name, "lists or structures", label)
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            raise _nested(field.name, "binary data", label)


def _nested(column: str, what: str, label: str) -> TableError:
    return TableError(
        f"the cells are {what}, not single values.",
        where=f"{label}, column {column!r}",
        do="Turn it into plain columns, or leave the column out.",
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Extension types as what they are stored as, views as plain text."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(pa.chunked_array([c.storage for c in column.chunks], type=kind.storage_type))
    return pc.cast(column, pa.large_string()) if pa.types.is_string_view(kind) else column


def _to_series(column: pa.ChunkedArray) -> pd.Series:
    """An Arrow column as a series: nullable only where a missing cell would turn whole numbers into floats, and backed
    by Arrow where pandas would make Python objects of dates and decimals.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.Series(pd.arrays.ArrowStringArray(column))
    if pa.types.is_decimal(kind) or pa.types.is_date(kind):
        return pd.Series(pd.arrays.ArrowExtensionArray(column))
    mapper = _nullable if column.null_count else None
    series: pd.Series = column.to_pandas(types_mapper=mapper)
    return series


def _nullable(kind: pa.DataType) -> Any:
    name = _NULLABLE.get(str(kind))
    return None if name is None else pd.api.types.pandas_dtype(name)


def check_frame(frame: pd.DataFrame, name: str = "the frame", limits: Limits = _DEFAULT_LIMITS) -> None:
    """Refuse a frame that is no plain table.

    Args:
        frame: pandas DataFrame. A plain row index is not part of the table and is not looked at.
        name: What to call it in errors.
        limits: For columns, cells and rows.

    Raises:
        TableError: No columns or too few rows, a MultiIndex, names that are no text or stand twice, cells that hold
            lists, dicts or other objects, or complex numbers.
    """
    if isinstance(frame.columns, pd.MultiIndex):
        raise TableError("the columns are a MultiIndex.", where=name, do="Flatten the column names to one level.")
    if isinstance(frame.index, pd.MultiIndex):
        raise TableError(
            "the rows have a MultiIndex, which is not part of the table.", where=name, do="Call reset_index() first."
        )
    if frame.shape[1] == 0:
        raise TableError("there are no columns.", where=name, do="Give a table with columns.")
    odd = next((c for c in frame.columns if not isinstance(c, str)), None)
    if odd is not None:
        raise TableError(
            f"the column name {odd!r} is a {type(odd).__name__}, not text.",
            where=name,
            do="Call df.columns = df.columns.astype(str) first.",
        )
    check_names(list(frame.columns), name, limits, what="frame")
    if len(frame) < limits.min_rows:
        raise TableError(
            f"{len(frame)} row(s); at least {limits.min_rows} are needed to learn anything.",
            where=name,
            do="Give a table with more rows.",
        )
    if frame.size > limits.max_cells:
        raise TooLargeError(
            f"{len(frame):,} rows of {frame.shape[1]:,} columns are more than {limits.max_cells:,} cells.",
            where=name,
            do="Take a sample of its rows.",
        )
    for column in frame.columns:
        _check_cells(frame[column], name)


def _check_cells(series: pd.Series, name: str) -> None:
    where = f"{name}, column {series.name!r}"
    if series.dtype.kind == "c":
        raise TableError("the cells are complex numbers.", where=where, do="Split them into two columns.")
    if series.dtype != object:
        return
    wrong = {kind for kind in set(map(type, series.to_numpy())) if not _is_single_value(kind)}
    if wrong:
        row = next(i for i, cell in enumerate(series.to_numpy()) if type(cell) in wrong)
        kinds = ", ".join(sorted(kind.__name__ for kind in wrong))
        raise TableError(
            f"a cell holds a {kinds}, not a single value ({_PLAIN_OBJECTS}).",
            where=f"{where}, row {row}",
            do="Turn it into plain columns, or leave the column out.",
        )


def _is_single_value(kind: type) -> bool:
    return issubclass(kind, (*_SINGLE, type(pd.NA), type(pd.NaT)))


def check_names(names: list[str], label: str, limits: Limits, *, what: str = "header") -> None:
    """Refuse column names that are missing, stand twice, or are too many.

    Args:
        names: As found.
        label: What to call the place in errors.
        limits: For the number of columns.
        what: Where the names stand: header or frame.
    """
    if len(names) > limits.max_columns:
        raise TooLargeError(
            f"the {what} has {len(names):,} columns; at most {limits.max_columns:,} are read.",
            where=label,
            do="Keep the columns that matter.",
        )
    empty = [i + 1 for i, n in enumerate(names) if not n.strip()]
    if empty:
        raise TableError(
            f"column {_listed(empty)} of {len(names)} has no name.",
            where=label,
            do="Name it; if it is pandas' row index, save the table with index=False.",
        )
    seen: dict[str, list[int]] = {}
    for i, n in enumerate(names):
        seen.setdefault(n, []).append(i + 1)
    twice = {n: at for n, at in seen.items() if len(at) > 1}
    if twice:
        which = "; ".join(f"{n!r} as columns {_listed(at)}" for n, at in list(twice.items())[:5])
        do = "Give every column its own name."
        if what == "header":
            do += " If the first line is already a row, put a line of names above it."
        raise TableError(f"column names stand twice: {which}.", where=label, do=do)


def _listed(numbers: list[int]) -> str:
    shown = [str(n) for n in numbers[:5]] + (["…"] if len(numbers) > 5 else [])
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else shown[0]
