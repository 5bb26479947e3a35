"""A table as found → its schema, every column with a kind and the reason for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import SchemaError, TableError
from synthloom.domain.event import Emit, Notice, Progress, ignore
from synthloom.domain.schema import Column, ColumnOverride, FileFormat, Kind, Schema, SchemaOverrides, roles_of
from synthloom.tables.canonical import to_float
from synthloom.tables.cells import text_cells
from synthloom.tables.coerce import coerce_column
from synthloom.tables.frames import check_frame, to_pandas
from synthloom.tables.infer_frame import infer_native
from synthloom.tables.infer_text import infer_text
from synthloom.tables.natives import read_native
from synthloom.tables.raw import RawTable
from synthloom.tables.sequences import KEY_REASON, as_key, check_sequence
from synthloom.tables.spot import Spot

_TIMES = (Kind.DATE, Kind.TIMESTAMP)


def frame_to_raw(df: Any, name: str = "") -> RawTable:
    """A bare DataFrame as a raw table.

    Args:
        df: pandas or polars DataFrame, or pyarrow Table. A row index is not part of the table.
        name: A name for people.

    Raises:
        TableError: It is no plain table (no columns, a MultiIndex, names that stand twice, nested cells …).
    """
    frame = to_pandas(df)
    check_frame(frame, name or "the frame")
    frame = frame.reset_index(drop=True)
    return RawTable(frame, FileFormat(container="frame"), name, _content_hash(frame))


def _content_hash(frame: pd.DataFrame) -> str:
    """SHA-256 over names, dtypes and cells."""
    digest = hashlib.sha256()
    for column in frame.columns:
        series = frame[column]
        digest.update(f"{column}\0{series.dtype}\0".encode())
        try:
            hashes = pd.util.hash_pandas_object(series, index=False)
        except TypeError:  # objects that cannot be hashed as they are
            hashes = pd.util.hash_pandas_object(series.map(str), index=False)
        digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()


def infer_schema(raw: RawTable, overrides: SchemaOverrides | None = None, emit: Emit = ignore) -> Schema:
    """Say what each column of a table is, and why.

    Args:
        raw: The table as found.
        overrides: What a person says; it wins over anything inferred and is checked against the table.
        emit: Gets a Notice for everything doubtful or done by rule, and Progress of the step `infer`.

    Raises:
        TableError: The table holds what cannot be modelled: fewer than two rows, no filled cell, a column of numbers
            with a stray word, an infinity.
        SchemaError: The overrides contradict the table, or a column is free text and nobody said to drop it.
    """
    overrides = overrides or SchemaOverrides()
    names = list(raw.frame.columns)
    _check_table(raw, overrides, names)
    columns, dropped, texts = [], [], []
    for k, name in enumerate(names):
        key = as_key(name, overrides)
        override = key or overrides.columns.get(name, ColumnOverride())
        if override.drop:
            dropped.append(name)
            continue
        column = _infer_column(raw, name, override, emit)
        if column.kind is Kind.TEXT:
            texts.append(column)
            dropped.append(name)
        else:
            column = _apply(column, override, raw)
            keyed = key is not None and column.kind is Kind.IDENTIFIER
            columns.append(column.model_copy(update={"reason": KEY_REASON}) if keyed else column)
        emit(Progress(step="infer", fraction=0.5 * (k + 1) / len(names), message=name))  # coerce is the other half
    _settle_text(texts, overrides, raw, emit)
    _check_columns(columns, raw)
    schema = _make_schema(columns, dropped, overrides, raw)
    _check_survival(schema)
    check_sequence(schema)
    return schema


def _check_table(raw: RawTable, overrides: SchemaOverrides, names: Sequence[str]) -> None:
    where = raw.name or None
    if not names:
        raise TableError("the table has no columns.", where=where, do="Give a table with a header and rows.")
    if len(raw.frame) < 2:
        raise TableError(
            f"the table has {len(raw.frame)} row{'' if len(raw.frame) == 1 else 's'}; at least 2 are needed.",
            where=where, do="Give a table with more rows.",
        )
    known = {str(n) for n in names}
    for name in overrides.columns:
        if name not in known:
            raise SchemaError(
                f"the schema file names the column {name!r}, which the table does not have.", where=where,
                do=f"Correct the name or take it out. The table has: {', '.join(map(str, names[:20]))}.",
            )
    for role, role_name in roles_of(overrides.target, overrides.survival, overrides.sequence).items():
        if overrides.columns.get(role_name, ColumnOverride()).drop:
            raise SchemaError(f"{role} is the column {role_name!r}, which the schema file drops.", where=where,
                              do="Keep the column or choose another.")


def _infer_column(raw: RawTable, name: str, override: ColumnOverride, emit: Emit) -> Column:
    column = _look(raw, name, override, emit)
    if override.format is not None and override.kind is None and raw.is_text and column.kind not in _TIMES:
        # a format says what the column is; an error then names the cell that is written otherwise
        kind = Kind.TIMESTAMP if any(code in override.format for code in ("%H", "%-H", "%I", "%-I")) else Kind.DATE
        column = _look(raw, name, override.model_copy(update={"kind": kind}), emit)
    if override.categories is not None and override.kind is None and not column.kind.is_discrete:
        kind = Kind.CATEGORY if column.kind is not Kind.EMPTY else Kind.EMPTY
        column = _look(raw, name, override.model_copy(update={"kind": kind}), emit)
    return column


def _look(raw: RawTable, name: str, override: ColumnOverride, emit: Emit) -> Column:
    if raw.is_text:
        return infer_text(text_cells(raw.frame[name]), Spot(raw, name, override, emit))
    native = read_native(raw.frame[name], raw.where(name))
    return infer_native(native, Spot(raw, name, override, emit, native.dtype))


def _apply(column: Column, override: ColumnOverride, raw: RawTable) -> Column:
    """The column with what the person said beyond its kind, checked against the cells."""
    said: dict[str, Any] = {}
    where = raw.where(column.name)
    if override.sensitive is not None:
        said["sensitive"] = override.sensitive
    if override.precision is not None:
        if column.kind is not Kind.DECIMAL:
            raise SchemaError(f"`precision` is for decimals, and this column is {column.kind.value}.", where=where,
                              do="Take it out, or write `kind: decimal`.")
        said["precision"] = override.precision
        if column.text.decimals is not None and column.text.decimals > override.precision:
            said["text"] = column.text.model_copy(update={"decimals": override.precision or None})
    if override.timezone is not None:
        _check_zone(override.timezone, where)
    for key in ("timezone", "format"):
        if getattr(override, key) is not None and column.kind not in (Kind.DATE, Kind.TIMESTAMP, Kind.EMPTY):
            raise SchemaError(f"`{key}` is for times, and this column is {column.kind.value}.", where=where,
                              do="Take it out, or write `kind: timestamp`.")
    if override.categories is not None:
        said |= _categories(column, override.categories, where)
    column = Column.model_validate({**column.__dict__, **said})
    if override.categories is not None or override.timezone is not None:
        coerce_column(raw, column, schema_file=True)
    if override.lower is not None or override.upper is not None:
        column = _bounds(column, override, raw)
    return column


def _check_zone(zone: str, where: str) -> None:
    try:
        pd.DatetimeTZDtype("us", zone)
    except (KeyError, ValueError, TypeError):  # pytz and zoneinfo say it each in their own way
        raise SchemaError(f"nobody knows the time zone {zone!r}.", where=where,
                          do="Write a name such as Europe/Berlin, UTC, or an offset such as +02:00.") from None


def _categories(column: Column, categories: tuple[str, ...], where: str) -> dict[str, Any]:
    if not column.kind.is_discrete and column.kind not in (Kind.CONSTANT, Kind.EMPTY):
        raise SchemaError(f"`categories` are for labels, and this column is {column.kind.value}.", where=where,
                          do="Take them out, or write `kind: category`.")
    if len(set(categories)) != len(categories):
        raise SchemaError("`categories` lists a label twice.", where=where, do="List every label once.")
    if column.kind is Kind.EMPTY:
        return {}
    if column.kind is Kind.BOOLEAN:
        if len(categories) != 2:
            raise SchemaError(f"a boolean has two labels, and `categories` lists {len(categories)}.", where=where,
                              do="List the label that means no, then the one that means yes.")
        words = {"false_word": categories[0], "true_word": categories[1]}
        return {"categories": categories, "text": column.text.model_copy(update=words)}
    kind = Kind.CATEGORY if column.kind is Kind.CONSTANT and len(categories) > 1 else column.kind
    return {"categories": categories, "kind": kind}


def _bounds(column: Column, override: ColumnOverride, raw: RawTable) -> Column:
    where = raw.where(column.name)
    if not column.kind.is_numeric:
        raise SchemaError(f"bounds are for numbers and times, and this column is {column.kind.value}.", where=where,
                          do="Take them out or choose another kind.")
    low = _bound(override.lower, "lower", column, where)
    high = _bound(override.upper, "upper", column, where)
    if low is not None and high is not None and low > high:
        raise SchemaError(f"the lower bound {override.lower} is above the upper bound {override.upper}.", where=where,
                          do="Swap them or take one out.")
    values = to_float(coerce_column(raw, column), column.kind)
    for name, broken in (("lower", values < low if low is not None else None),
                         ("upper", values > high if high is not None else None)):
        if broken is not None and broken.any():
            raise SchemaError(f"this cell is beyond the {name} bound of the schema file.",
                              where=raw.where(column.name, int(np.flatnonzero(broken)[0])),
                              do="Correct the cell or the bound.")
    return Column.model_validate({**column.__dict__, "lower": low, "upper": high})


def _bound(value: float | str | None, which: str, column: Column, where: str) -> float | None:
    """A bound as a float: numbers as they are, times as POSIX seconds, durations as seconds."""
    if value is None:
        return None
    wanted = "a number"
    try:
        if column.kind in (Kind.DATE, Kind.TIMESTAMP) and isinstance(value, str):
            wanted = "a date or timestamp such as 2020-01-31T12:00:00"
            moment = pd.Timestamp(value)
            if moment.tzinfo is None and column.timezone:
                moment = moment.tz_localize(column.timezone)
            return float(moment.timestamp())
        if column.kind is Kind.DURATION and isinstance(value, str):
            wanted = "a number of seconds or a duration such as 01:30:00"
            try:
                return float(value)
            except ValueError:
                return float(pd.Timedelta(value).total_seconds())
        number = float(value)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise SchemaError(f"the {which} bound {value!r} is not {wanted}.", where=where, do=f"Write {wanted}.")
    return number


def _settle_text(texts: list[Column], overrides: SchemaOverrides, raw: RawTable, emit: Emit) -> None:
    """Drop columns of free text with a notice, or refuse them, as the person chose."""
    if texts and overrides.free_text == "refuse":
        names = ", ".join(repr(c.name) for c in texts)
        raise SchemaError(
            f"free text cannot be modelled: {names} ({texts[0].reason}).", where=raw.name or None,
            do="Leave such columns out with --drop-text, or `free_text: drop` in the schema file, or give the column a "
            "kind: `category` to keep its cells as labels, `identifier` to make fresh ones.",
        )
    for column in texts:
        emit(Notice(code="free_text", message=f"dropped as free text: {column.reason}.", column=column.name))


def _check_columns(columns: list[Column], raw: RawTable) -> None:
    where = raw.name or None
    if not columns:
        raise SchemaError("no column is left: all are dropped.", where=where, do="Keep at least one column.")
    if all(c.kind is Kind.EMPTY for c in columns):
        raise TableError("no cell of the table is filled.", where=where, do="Give a table that holds data.")


def _make_schema(columns: list[Column], dropped: list[str], overrides: SchemaOverrides, raw: RawTable) -> Schema:
    for role, name in roles_of(overrides.target, overrides.survival, overrides.sequence).items():
        if name in dropped:
            raise SchemaError(f"{role} is the column {name!r}, which is free text.", where=raw.name or None,
                              do="Choose another column, or give this one a kind in the schema file.")
    return Schema(columns=tuple(columns), dropped=tuple(dropped), target=overrides.target, survival=overrides.survival,
                  sequence=overrides.sequence, file=raw.file)


def _check_survival(schema: Schema) -> None:
    if schema.survival is None:
        return
    time, event = schema[schema.survival.time], schema[schema.survival.event]
    if time.kind not in (Kind.INTEGER, Kind.DECIMAL, Kind.DURATION):
        raise SchemaError(f"survival.time must be a number or duration, and it is {time.kind.value}.",
                          where=f"column {time.name!r}", do="Choose the column that holds the time of follow-up.")
    if event.kind is not Kind.BOOLEAN:
        raise SchemaError(f"survival.event must be a boolean, and it is {event.kind.value}.",
                          where=f"column {event.name!r}", do="Choose the column that says whether the event happened.")
