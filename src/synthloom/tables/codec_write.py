"""Writing canonical tables: text as the source was written, Parquet with proper types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.domain.errors import OutputError
from synthloom.domain.schema import Column, FileFormat, Kind, Schema
from synthloom.tables.canonical import check_canonical
from synthloom.tables.frames import NULLABLE
from synthloom.tables.raw import RawTable
from synthloom.tables.spelling import spell

_ROWS_AT_ONCE = 1 << 18
_WORD_KINDS = frozenset(
    {Kind.BOOLEAN, Kind.CATEGORY, Kind.ORDERED, Kind.CONSTANT, Kind.IDENTIFIER, Kind.TEXT}
)
_FORMULA = r"^[=+\-@\t\r]"
_NO_FORMULA = r"^[+\-]?(\d+([.,]\d+)*([eE][+\-]?\d+)?)?$"
_BYTE_ORDER_MARKS = {
    "utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\x00\x00", "utf-32-be": b"\x00\x00\xfe\xff",
}  # fmt: skip


def write_csv(table: pd.DataFrame, schema: Schema, sink: BinaryIO, *, escape_formulas: bool = True) -> None:
    """Write a canonical table as text, with the spelling and the file format the schema records.

    The text is never compressed: whoever names the file decides that. A table that was no text file is written as
    UTF-8 with commas and line feeds.

    Args:
        table: Canonical table.
        schema: Its schema.
        sink: Where the bytes go; it is not closed.
        escape_formulas: Put ' before column names and words that a spreadsheet would run as a formula (they start
            with = + - @, tab or carriage return). Numbers, lone signs and missing cells are never touched.

    Raises:
        ContractError: The table is not canonical.
        OutputError: A cell cannot be written in the file's encoding.
    """
    check_canonical(table, schema)
    file = schema.file if schema.file.container == "csv" else FileFormat(container="csv")
    if file.byte_order_mark:
        sink.write(_BYTE_ORDER_MARKS[file.encoding])
    alone = len(schema) == 1
    header = pa.array(list(schema.names), pa.large_string())
    header = quoted(escaped(header) if escape_formulas else header, file, alone=alone)
    sink.write(_encoded(file.delimiter.join(header.to_pylist()) + file.line_end, file))
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = table.iloc[start : start + _ROWS_AT_ONCE]
        columns = [_cells(part[c.name], c, file, escape_formulas, alone) for c in schema]
        for text in _lines(columns, file):
            sink.write(text if file.encoding == "utf-8" else _encoded(text.decode("utf-8"), file))


def write_as_spelt(raw: RawTable, sink: BinaryIO) -> None:
    """Write a text table's cells as they are spelt, in its own file format; of a workbook, as UTF-8 with commas.

    Nothing is escaped: whoever gives a table knows what is in it.

    Args:
        raw: A table that came as text.
        sink: Where the bytes go; it is not closed.

    Raises:
        OutputError: A cell cannot be written in the file's encoding.
    """
    file = raw.file if raw.file.container == "csv" else FileFormat(container="csv")
    if file.byte_order_mark:
        sink.write(_BYTE_ORDER_MARKS[file.encoding])
    alone = raw.frame.shape[1] == 1
    header = quoted(pa.array(list(raw.frame.columns), pa.large_string()), file, alone=alone)
    sink.write(_encoded(file.delimiter.join(header.to_pylist()) + file.line_end, file))
    for start in range(0, len(raw.frame), _ROWS_AT_ONCE):
        part = raw.frame.iloc[start : start + _ROWS_AT_ONCE]
        words = [_words(part.iloc[:, k]) for k in range(part.shape[1])]
        for text in _lines([quoted(w, file, alone=alone) for w in words], file):
            sink.write(text if file.encoding == "utf-8" else _encoded(text.decode("utf-8"), file))


def _words(series: pd.Series) -> pa.Array:
    array = pa.array(series, from_pandas=True)
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return pc.fill_null(whole.cast(pa.large_string()), "")


def _cells(series: pd.Series, column: Column, file: FileFormat, escape_formulas: bool, alone: bool) -> pa.Array:
    """One column's cells as they stand in the file. Words are escaped and quoted once each, not once a cell."""
    texts = spell(series, column)
    risky = escape_formulas and column.kind in _WORD_KINDS and column.label_type == "string"
    encoded = texts.dictionary_encode()
    few = len(encoded.dictionary) < len(texts) // 2
    words = encoded.dictionary if few else texts
    if risky:
        done = escaped(words)
        keep = pc.equal(words, column.text.missing)
        words = pc.if_else(keep, words, done)
    words = quoted(words, file, alone=alone)
    return pc.take(words, encoded.indices) if few else words


def escaped(words: pa.Array) -> pa.Array:
    """Words with ' before those that a spreadsheet would run as a formula; numbers and lone signs stay.

    Args:
        words: large_string array without nulls.
    """
    formula = pc.and_not(pc.match_substring_regex(words, _FORMULA), pc.match_substring_regex(words, _NO_FORMULA))
    if not pc.any(formula).as_py():
        return words
    return pc.if_else(formula, _joined("'", words), words)


def quoted(words: pa.Array, file: FileFormat, *, alone: bool = False) -> pa.Array:
    """Words in quotes where the format needs them or has them everywhere.

    Args:
        words: large_string array without nulls.
        file: Delimiter, quote, and whether every cell is quoted.
        alone: Whether the table has one column, in which an empty cell needs quotes to be a row at all.
    """
    quote = file.quote
    wrapped = _joined(quote, pc.replace_substring(words, quote, quote * 2), quote)
    if file.quote_all:
        return wrapped
    need = pc.match_substring(words, file.delimiter)
    for mark in (quote, "\n", "\r"):
        need = pc.or_(need, pc.match_substring(words, mark))
    if alone:
        need = pc.or_(need, pc.equal(words, ""))
    return pc.if_else(need, wrapped, words) if pc.any(need).as_py() else words


def _joined(*parts: pa.Array | str, by: str = "") -> pa.Array:
    """Texts joined cell by cell."""
    words = [pa.scalar(p, pa.large_string()) if isinstance(p, str) else p for p in (*parts, by)]
    return pc.binary_join_element_wise(*words)


def _lines(columns: list[pa.Array], file: FileFormat) -> Iterator[bytes]:
    """The rows as UTF-8 text."""
    last = _joined(columns[-1], file.line_end)
    rows = _joined(*columns[:-1], last, by=file.delimiter) if len(columns) > 1 else last
    for chunk in rows.chunks if isinstance(rows, pa.ChunkedArray) else [rows]:
        if not len(chunk):
            continue
        offsets = np.frombuffer(chunk.buffers()[1], dtype="int64")[chunk.offset : chunk.offset + len(chunk) + 1]
        yield chunk.buffers()[2].to_pybytes()[offsets[0] : offsets[-1]]


def _encoded(text: str, file: FileFormat) -> bytes:
    try:
        return text.encode(file.encoding)
    except UnicodeEncodeError:
        raise OutputError(
            f"a cell holds a character that {file.encoding}, the encoding of the source, does not have.",
            do="Convert the source to UTF-8 first, or write Parquet.",
        ) from None


# -- Parquet -----------------------------------------------------------------------------------------------------------


def write_parquet(table: pd.DataFrame, schema: Schema, sink: BinaryIO) -> None:
    """Write a canonical table as Parquet (zstd).

    Columns of a frame or Parquet source keep their own types. Columns of a text source get what a reader expects:
    whole numbers int64 with nulls, words a dictionary, truth values bool, labels that are numbers their numbers, dates
    date32, moments microseconds with their zone.

    Args:
        table: Canonical table.
        schema: Its schema.
        sink: Where the bytes go; it is not closed.

    Raises:
        ContractError: The table is not canonical.
    """
    import pyarrow.parquet as pq  # only when Parquet is written

    check_canonical(table, schema)
    arrays = [to_arrow(table[c.name], c) for c in schema]
    written = pa.table(arrays, names=list(schema.names)).replace_schema_metadata(
        _pandas_types({c.name: c.dtype for c in schema if c.dtype is not None})
    )
    pq.write_table(written, sink, compression="zstd")


def _pandas_types(dtypes: Mapping[str, str]) -> dict[bytes, bytes] | None:
    """What tells pandas that columns were of its nullable types; the file's own types cannot."""
    empty = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items() if dtype in NULLABLE})
    if not len(empty.columns):
        return None
    found: dict[bytes, bytes] | None = pa.Schema.from_pandas(empty, preserve_index=False).metadata
    return found


def write_native_parquet(raw: RawTable, sink: BinaryIO) -> None:
    """Write a table that came as Parquet or as a frame as Parquet (zstd), its columns of the types they have."""
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(raw.frame, preserve_index=False).replace_schema_metadata(
        _pandas_types({str(name): str(dtype) for name, dtype in raw.frame.dtypes.items()})
    )
    pq.write_table(table, sink, compression="zstd")


def to_arrow(series: pd.Series, column: Column) -> pa.Array:
    """One canonical column as an Arrow array of its source's type; what Arrow has no type for becomes text."""
    if column.dtype is not None:
        from synthloom.tables.restore import restore

        own = restore(series.to_frame(), Schema(columns=(column,)))[column.name]
        try:
            if any(word in column.dtype for word in ("interval[", "period[", "[UUID")):
                raise pa.ArrowTypeError("Arrow has only pandas' own extension types, or bytes, for these.")
            return pa.array(own, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return pc.if_else(pa.array(series.notna().to_numpy(dtype=bool)), spell(series, column), None)
    missing = series.isna().to_numpy(dtype=bool)
    kind = column.kind
    if kind is Kind.INTEGER:
        return pa.array(series.to_numpy(dtype="int64", na_value=0), mask=missing)
    if kind is Kind.DECIMAL:
        return pa.array(series.to_numpy(dtype="float64"), mask=missing)
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return _moments(series, column, missing)
    if kind is Kind.DURATION:
        return pa.array(series.to_numpy(dtype="timedelta64[us]"), pa.duration("us"), mask=missing)
    if kind in (Kind.IDENTIFIER, Kind.TEXT, Kind.EMPTY):
        words = pa.array(series.to_numpy(dtype=object), pa.string(), from_pandas=True)
        return pc.cast(words, pa.int64()) if column.label_type == "integer" else words
    return _label_array(series, column)


def _moments(series: pd.Series, column: Column, missing: np.ndarray) -> pa.Array:
    if column.timezone:
        utc = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
        return pa.array(utc.astype("int64"), mask=missing).cast(pa.timestamp("us", tz=column.timezone))
    moments = pa.array(series.to_numpy(dtype="datetime64[us]"), pa.timestamp("us"), mask=missing)
    return pc.cast(moments, pa.date32()) if column.kind is Kind.DATE else moments


def _label_array(series: pd.Series, column: Column) -> pa.Array:
    codes = series.cat.codes.to_numpy()
    indices = pa.array(codes.astype("int32"), mask=codes < 0)
    words = pa.array([str(label) for label in series.cat.categories], pa.string())
    if column.kind is Kind.BOOLEAN and len(words) == 2 and column.label_type in ("boolean", "string"):
        return pc.take(pa.array([False, True]), indices)
    if column.label_type in ("integer", "decimal"):
        return pc.take(pc.cast(words, pa.int64() if column.label_type == "integer" else pa.float64()), indices)
    return pa.DictionaryArray.from_arrays(indices, words, ordered=column.kind is Kind.ORDERED)
