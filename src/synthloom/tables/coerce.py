"""Cells as found → the canonical table of a schema."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.domain.errors import SchemaError, SynthloomError, TableError
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import canonical_dtype, check_canonical, round_places
from synthloom.tables.cells import Cells, keep, text_cells
from synthloom.tables.infer_frame import label_cells, without_declared_missing
from synthloom.tables.natives import Native, read_native
from synthloom.tables.parse_numbers import guess_number_format, read_numbers, whole_values
from synthloom.tables.parse_times import (
    DAY,
    Times,
    guess_duration_style,
    guess_time_format,
    read_durations,
    read_times,
)
from synthloom.tables.raw import RawTable
from synthloom.tables.restore import restore

__all__ = ["coerce", "coerce_column", "restore", "unknown_labels"]

_NAT = np.iinfo(np.int64).min


def coerce(raw: RawTable, schema: Schema) -> pd.DataFrame:
    """The canonical table (see `tables/canonical.py`) of a raw table under a schema, its own or another table's.

    Args:
        raw: A table that has the schema's columns, in any order; others are left out.
        schema: What they are.

    Raises:
        TableError: A column is missing, or a cell cannot be read as the schema says; names column and line.
    """
    for name in schema.names:
        if name not in raw.frame.columns:
            raise TableError(f"the table lacks the column {name!r}.", where=raw.name or None,
                             do="Give a table with the columns of the schema.")
    table = pd.DataFrame({c.name: coerce_column(raw, c) for c in schema}, index=pd.RangeIndex(len(raw.frame)))
    check_canonical(table, schema)
    return table


def coerce_column(raw: RawTable, column: Column, schema_file: bool = False) -> pd.Series:
    """One canonical column.

    Args:
        raw: The table.
        column: What it is.
        schema_file: Whether to blame the schema file (SchemaError) rather than the table when a cell does not fit.
    """
    return _Reader(raw, column, schema_file).read()


def unknown_labels(raw: RawTable, column: Column) -> tuple[str, ...]:
    """Labels in a table that a discrete column does not have, for which `coerce_column` would refuse it."""
    return _Reader(raw, column, schema_file=False).unknown_labels()


class _Reader:
    """Reads one column; keeps what is needed to say where a cell does not fit."""

    def __init__(self, raw: RawTable, column: Column, schema_file: bool) -> None:
        self.raw = raw
        self.column = column
        self.schema_file = schema_file

    def read(self) -> pd.Series:
        series = self.raw.frame[self.column.name]
        if self.raw.is_text:
            return self._read_cells(text_cells(series), spelt=True)
        native = read_native(series, self.raw.where(self.column.name))
        native = without_declared_missing(native, self.column.text.also_missing)
        if native.cells is not None:
            return self._read_cells(native.cells, spelt=False)
        return self._read_native(native)

    def wrong(self, row: int, why: str) -> SynthloomError:
        error = SchemaError if self.schema_file else TableError
        return error(f"{why}.", where=self.raw.where(self.column.name, row),
                     do="Correct the cell, or say what the column is in the schema file.")

    # Texts

    def _read_cells(self, cells: Cells, spelt: bool) -> pd.Series:
        kind, n = self.column.kind, len(cells.codes)
        if kind.is_discrete or kind is Kind.CONSTANT:
            return self._labels(cells)
        gone = cells.missing(kind is not Kind.TEXT, (*self.column.text.also_missing, self.column.text.missing))
        if not spelt and kind in (Kind.TEXT, Kind.IDENTIFIER):
            gone &= False
        if kind is Kind.EMPTY:
            if cells.counts[~gone].any():
                raise self.wrong(cells.first_row(~gone), "a cell is filled in a column the schema calls empty")
            return pd.Series([None] * n, dtype=object)
        if kind in (Kind.IDENTIFIER, Kind.TEXT):
            texts = np.array([*cells.texts.to_pylist(), None], dtype=object)
            texts[:-1][gone] = None
            return pd.Series(texts[cells.codes], dtype=object)
        if kind in (Kind.INTEGER, Kind.DECIMAL):
            return self._numbers(cells, gone)
        return self._times(cells, gone)

    def _check(self, cells: Cells, gone: np.ndarray, ok: np.ndarray, why: str) -> None:
        if not ok.all():
            bad = np.zeros(len(gone), dtype=bool)
            bad[np.flatnonzero(~gone)[~ok]] = True
            if cells.counts[bad].any():
                raise self.wrong(cells.first_row(bad), why)

    def _numbers(self, cells: Cells, gone: np.ndarray) -> pd.Series:
        texts = keep(cells.texts, ~gone)
        numbers = read_numbers(texts, self.column.text)
        if not numbers.ok.all() and (style := guess_number_format(texts, self.raw.file.delimiter)) is not None:
            other = read_numbers(texts, style)  # another tool's way of writing them, if it explains all
            numbers = other if other.ok.all() else numbers
        self._check(cells, gone, numbers.ok, "this cell is no number written like the column")
        if self.column.kind is Kind.DECIMAL:
            values = np.full(len(gone), np.nan)
            values[~gone] = numbers.values
            return pd.Series(self._rounded(cells.spread(values, np.nan)))
        whole = whole_values(numbers)
        if whole is None:
            fits = (numbers.values == np.rint(numbers.values)) & (np.abs(numbers.values) < 2**53)
            self._check(cells, gone, fits, "this cell is no whole number")
            whole = numbers.values.astype("int64")
        values = np.zeros(len(gone), dtype="int64")
        values[~gone] = whole
        return _integers(cells.spread(values, 0), cells.spread(gone, True))

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        return values if self.column.precision is None else round_places(values, self.column.precision)

    def _times(self, cells: Cells, gone: np.ndarray) -> pd.Series:
        texts = keep(cells.texts, ~gone)
        if self.column.kind is Kind.DURATION:
            style = self.column.text.duration_style
            times = read_durations(texts, style)
            if not times.ok.all() and (other := guess_duration_style(texts)) is not None:
                times = read_durations(texts, other)
            self._check(cells, gone, times.ok, "this cell is no duration")
            return _spans(self._spread_micros(cells, gone, times.micros))
        pattern = self.column.text.datetime_format
        if pattern is None and (guess := guess_time_format(texts)) is not None:
            pattern = guess.format
        times = read_times(texts, pattern or "%Y-%m-%d")
        if not times.ok.all() and (guess := guess_time_format(texts)) is not None and guess.order == "certain":
            elsewhere = read_times(texts, guess.format)  # another tool's way of writing them, if it explains all
            times = elsewhere if elsewhere.ok.all() else times
        self._check(cells, gone, times.ok, "this cell is no date or time written like the column")
        if self.column.kind is Kind.DATE:
            self._check(cells, gone, times.micros % DAY == 0, "this cell has a time of day")
        return self._moments(self._spread_micros(cells, gone, _utc(times)), zoned=times.offset is not None)

    @staticmethod
    def _spread_micros(cells: Cells, gone: np.ndarray, micros: np.ndarray) -> np.ndarray:
        values = np.full(len(gone), _NAT, dtype="int64")
        values[~gone] = micros
        return cells.spread(values, _NAT)

    def _moments(self, micros: np.ndarray, zoned: bool) -> pd.Series:
        series = pd.Series(micros.astype("datetime64[us]"))
        zone = self.column.timezone
        if zone is None:
            return series
        if zoned:
            return series.dt.tz_localize("UTC").dt.tz_convert(zone)
        summer = np.ones(len(series), dtype=bool)
        return series.dt.tz_localize(zone, ambiguous=summer, nonexistent="shift_forward")

    def _labels(self, cells: Cells) -> pd.Series:
        """Labels as categories; what is no label must be a spelling of a missing cell."""
        place, unknown = self._places(cells)
        if unknown.any():
            raise self.wrong(cells.first_row(unknown), "this cell is none of the column's labels")
        codes = np.append(place, -1)[cells.codes]
        return pd.Series(pd.Categorical.from_codes(codes, dtype=canonical_dtype(self.column)))

    def unknown_labels(self) -> tuple[str, ...]:
        series = self.raw.frame[self.column.name]
        if self.raw.is_text:
            cells = text_cells(series)
        else:
            native = read_native(series, self.raw.where(self.column.name))
            native = without_declared_missing(native, self.column.text.also_missing)
            if native.form == "boolean" and self.column.kind is Kind.BOOLEAN and len(self.column.categories) == 2:
                return ()
            cells = label_cells(native)
        return tuple(keep(cells.texts, self._places(cells)[1]).to_pylist())

    def _places(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Which label each distinct text is, -1 for none; and which texts are neither labels nor missing cells."""
        column = self.column
        labels = pa.array(list(column.categories), pa.large_string())
        place = pc.index_in(cells.texts, value_set=labels).fill_null(-1).to_numpy(zero_copy_only=False).astype("int64")
        unknown = place < 0
        if unknown.any():
            unknown &= ~cells.missing(True, (*column.text.also_missing, column.text.missing))
            unknown &= cells.counts > 0
        if unknown.any() and column.label_type != "string":
            place = self._alike(cells, place, unknown)
            unknown &= place < 0
        return place, unknown

    def _alike(self, cells: Cells, place: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """Labels of the same value but another spelling: 1 and 1.0, true and True."""

        def value(label: str) -> object:
            try:
                return float(label)
            except ValueError:
                return {"true": 1.0, "false": 0.0}.get(label.strip().lower(), label)

        known = {value(label): k for k, label in enumerate(self.column.categories)}
        place = place.copy()
        for k in np.flatnonzero(unknown):
            place[k] = known.get(value(cells.texts[int(k)].as_py()), -1)
        return place

    # Values

    def _read_native(self, native: Native) -> pd.Series:
        kind, form, missing = self.column.kind, native.form, native.missing
        if kind is Kind.EMPTY or (form == "empty" and not kind.is_discrete and kind is not Kind.CONSTANT):
            if not missing.all():
                row = int(np.flatnonzero(~missing)[0])
                raise self.wrong(row, "a cell is filled in a column the schema calls empty")
            if kind is Kind.EMPTY or canonical_dtype(self.column) == np.dtype(object):
                return pd.Series([None] * len(missing), dtype=object)
            return pd.Series(pd.array([None] * len(missing), dtype=canonical_dtype(self.column)))
        if kind is Kind.BOOLEAN and form == "boolean" and len(self.column.categories) == 2:
            codes = np.where(missing, -1, native.values.astype("int64"))
            return pd.Series(pd.Categorical.from_codes(codes, dtype=canonical_dtype(self.column)))
        if kind.is_discrete or kind is Kind.CONSTANT:
            return self._labels(label_cells(native))
        if kind in (Kind.IDENTIFIER, Kind.TEXT):
            return self._identifiers(native)
        if form in ("integer", "float", "boolean") and kind in (Kind.INTEGER, Kind.DECIMAL):
            return self._native_numbers(native)
        if form == "time" and kind in (Kind.DATE, Kind.TIMESTAMP):
            broken = ~missing & (native.values % DAY != 0)
            if kind is Kind.DATE and broken.any():
                raise self.wrong(int(np.flatnonzero(broken)[0]), "this cell has a time of day")
            return self._moments(np.where(missing, _NAT, native.values), zoned=native.zone is not None)
        if form == "span" and kind is Kind.DURATION:
            return _spans(np.where(missing, _NAT, native.values))
        raise TableError(f"cells of dtype {native.dtype} are no {kind.value}, as the schema says.",
                         where=self.raw.where(self.column.name), do="Convert the column first.")

    def _identifiers(self, native: Native) -> pd.Series:
        cells = label_cells(native)
        texts = np.array([*cells.texts.to_pylist(), None], dtype=object)
        if native.form == "float":
            texts[:-1] = [t.removesuffix(".0") for t in texts[:-1]]
        return pd.Series(texts[cells.codes], dtype=object)

    def _native_numbers(self, native: Native) -> pd.Series:
        missing = native.missing
        values = np.where(missing, 0, native.values)
        if not np.isfinite(values).all():
            raise self.wrong(int(np.flatnonzero(~np.isfinite(values))[0]), "a cell is infinite")
        if self.column.kind is Kind.DECIMAL:
            return pd.Series(self._rounded(np.where(missing, np.nan, values.astype("float64"))))
        if values.dtype.kind == "f":
            broken = (values != np.rint(values)) | (np.abs(values) >= 2**53)
            if broken.any():
                raise self.wrong(int(np.flatnonzero(broken)[0]), "this cell is no whole number")
        return _integers(values.astype("int64"), missing)


def _utc(times: Times) -> np.ndarray:
    return times.micros if times.offset is None else times.micros - times.offset * 60_000_000


def _integers(values: np.ndarray, missing: np.ndarray) -> pd.Series:
    return pd.Series(pd.arrays.IntegerArray(values.astype("int64"), missing.astype(bool)))


def _spans(micros: np.ndarray) -> pd.Series:
    return pd.Series(micros.astype("timedelta64[us]"))
