"""Reading text tables: fast with pyarrow, and when something is wrong, slowly once more to say where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from synthloom.domain.errors import TableError, TooLargeError
from synthloom.domain.schema import FileFormat
from synthloom.tables.archive import Limits, Payload, megabytes
from synthloom.tables.dialect import Dialect, Record, cell_text, detect, records
from synthloom.tables.encoding import to_utf8
from synthloom.tables.frames import check_names
from synthloom.tables.raw import RawTable

_BLOCK_BYTES = 1 << 23
_MAX_BLOCK_BYTES = 2**31 - 1
_HEADER_ROWS = 300
_NUMBER = re.compile(r"\s*[-+]?[\d.,]+(?:[eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class _Text:
    """A text table about to be parsed: UTF-8 bytes, how they are written, and what the header says."""

    data: bytes
    dialect: Dialect
    header: Record
    names: list[str]
    label: str
    limits: Limits
    drop: frozenset[str]

    @property
    def body(self) -> int:
        """The byte after the header's line end."""
        return _after(self.data, self.header.end)

    def where(self, record: Record, column: str | None = None) -> str:
        """Words that locate a record, and a cell of it."""
        place = f", column {column!r}" if column is not None else ""
        return f"{self.label}, line {record.line}{place}"


def read_text(payload: Payload, limits: Limits, drop: frozenset[str]) -> RawTable:
    """Read a delimited text table; every cell stays as it is spelt.

    Args:
        payload: Its bytes.
        limits: What is too large.
        drop: Columns whose cells may be of any size.

    Raises:
        TableError: It is no rectangular text table; says which line and column.
    """
    data, encoding, mark = to_utf8(payload.data, payload.name)
    data = _without_trailing_blank_lines(data)
    if not data:
        raise TableError("the file is empty.", where=payload.name, do="Give a table with a header line and rows.")
    dialect = detect(data, payload.name, payload.suffix)
    header = next(records(data, dialect))
    names = _column_names(data, header, dialect, payload.name, limits)
    text = _Text(data, dialect, header, names, payload.name, limits, drop)
    _refuse_record_as_header(text)
    table = _parse(text)
    cells = {n: pd.arrays.ArrowStringArray(table.column(i)) for i, n in enumerate(names)}
    file = FileFormat(
        container="csv",
        delimiter=dialect.delimiter.decode(),
        quote=dialect.quote.decode(),
        quote_all=dialect.quote_all,
        encoding=encoding,
        byte_order_mark=mark,
        line_end=dialect.line_end,
        compression=payload.compression,
    )
    frame = pd.DataFrame(cells, index=pd.RangeIndex(table.num_rows), copy=False)
    return RawTable(frame, file, payload.name, payload.sha256, header.end_line + 1, _blank_lines(text))


def _without_trailing_blank_lines(data: bytes) -> bytes:
    """Cut blank lines and an end-of-file mark (Ctrl-Z) off the end; they are no rows, not even of one column."""
    end = len(data)
    while end and data[end - 1] in b"\r\n\x1a":
        end -= 1
    if not data[:end].strip():
        return b""
    return data[: _after(data, end)] if end < len(data) else data


def _after(data: bytes, end: int) -> int:
    return end + (2 if data[end : end + 2] == b"\r\n" else 1)


def _column_names(data: bytes, header: Record, dialect: Dialect, label: str, limits: Limits) -> list[str]:
    where = f"{label}, line {header.line}"
    if not header.closed:
        raise TableError(
            f"a column name opens with the quote {dialect.quote.decode()} and never closes.",
            where=where,
            do="Close the quote, or double it if it belongs to the name.",
        )
    if any(end - begin > limits.max_cell_bytes for begin, end in header.spans):
        raise TableError("a column name is longer than a cell may be.", where=where, do="Check the first line.")
    names = [cell_text(data, span, dialect.quote) for span in header.spans]
    check_names(names, where, limits)
    return names


def _refuse_record_as_header(text: _Text) -> None:
    """A first line whose words are values of their own columns is a row: taken for names, it would be published.

    Numbers in it say nothing, since years and plain indices do serve as names.
    """
    words = {i: name for i, name in enumerate(text.names) if not _NUMBER.fullmatch(name)}
    walk = islice(records(text.data, text.dialect), 1, _HEADER_ROWS)
    seen: dict[int, int] = dict.fromkeys(words, 0)
    for record in walk:
        for i, word in words.items():
            if i < len(record.spans):
                seen[i] += cell_text(text.data, record.spans[i], text.dialect.quote) == word
    again = sum(times >= 2 for times in seen.values())
    if again and 2 * again >= len(words) and (again >= 2 or len(words) < len(text.names)):
        raise TableError(
            "the first line looks like a row, not like column names: its words are values of their columns.",
            where=text.where(text.header),
            do="Put a line of column names above it.",
        )


def _parse(text: _Text) -> pa.Table:
    """The records after the header as large_string columns c0, c1, …; raises TableError if any is broken."""
    data, columns = text.data, len(text.names)
    keys = [f"c{i}" for i in range(columns)]
    if text.body >= len(data):
        return pa.table({k: pa.array([], pa.large_string()) for k in keys})
    lines = max(data.count(b"\n", text.body), data.count(b"\r", text.body))
    if lines * columns > text.limits.max_cells:
        raise TooLargeError(
            f"about {lines:,} rows of {columns:,} columns are more than {text.limits.max_cells:,} cells.",
            where=text.label,
            do="Take a sample of its rows.",
        )
    table = _parse_fast(text, keys)
    if table is None:
        _explain(text)
        raise TableError("the text cannot be split into rows and columns.", where=text.label, do="Export it again.")
    if data.count(text.dialect.quote, text.body) % 2:  # an open quote at the end of the file counts as closed
        _explain(text, only_open=True)
    for i, name in enumerate(text.names):
        longest = pc.max(pc.binary_length(table.column(i))).as_py() or 0
        if longest > text.limits.max_cell_bytes and name not in text.drop:
            _explain(text)
    return table


def _parse_fast(text: _Text, keys: list[str]) -> pa.Table | None:
    """Parse with pyarrow, or None when it cannot. Its errors show cells, so they are not passed on."""
    rest = pa.py_buffer(memoryview(text.data)[text.body :])
    parse = pyarrow.csv.ParseOptions(
        delimiter=text.dialect.delimiter.decode(),
        quote_char=text.dialect.quote.decode(),
        double_quote=True,
        newlines_in_values=text.data.find(text.dialect.quote, text.body) >= 0,
        ignore_empty_lines=len(keys) > 1,
    )
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(keys, pa.large_string()), strings_can_be_null=False, check_utf8=False
    )
    for block in (_BLOCK_BYTES, min(len(rest) + 1, _MAX_BLOCK_BYTES)):
        options = pyarrow.csv.ReadOptions(column_names=keys, block_size=block)
        try:
            return pyarrow.csv.read_csv(rest, options, parse, convert)
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):  # a record larger than a block: once more with one block
                return None
            _explain(text)
    return None


def _explain(text: _Text, *, only_open: bool = False) -> None:
    """Walk the records for the first that is broken, and say so; return if none is."""
    names, limit = text.names, text.limits.max_cell_bytes
    walk = records(text.data, text.dialect, blank=len(names) == 1)
    next(walk)
    for record in walk:
        if not record.closed:
            raise _unterminated(text, record)
        if only_open:
            continue
        if len(record.spans) != len(names):
            raise _ragged(text, record)
        if record.end - record.start <= limit:
            continue
        for name, (begin, end) in zip(names, record.spans, strict=True):
            if end - begin > limit and name not in text.drop:
                raise TableError(
                    f"a cell holds {megabytes(end - begin)}; at most {megabytes(limit)} are read.",
                    where=text.where(record, name),
                    do="Shorten the cell or leave the column out.",
                )


def _unterminated(text: _Text, record: Record) -> TableError:
    at = len(record.spans) - 1
    return TableError(
        f"a cell opens with the quote {text.dialect.quote.decode()} and never closes.",
        where=text.where(record, text.names[at] if at < len(text.names) else None),
        do="Close the quote, or double it if it belongs to the text.",
    )


def _ragged(text: _Text, record: Record) -> TableError:
    found, wanted = len(record.spans), len(text.names)
    if record.end_line > record.line:
        do = f"A quoted cell runs from line {record.line} to line {record.end_line}: check that its quote is closed."
    elif found < wanted:
        do = f"Column {text.names[found]!r} is the first without a cell: fill the row up, or remove it."
    else:
        do = "Put cells that contain the delimiter in quotes, and check that every column has a name in the header."
    cells = "cell" if found == 1 else "cells"
    return TableError(f"the row has {found} {cells}, the header {wanted}.", where=text.where(record), do=do)


def _blank_lines(text: _Text) -> tuple[int, ...]:
    """The positions of rows before which blank lines were passed over, so that a row's line can be told exactly."""
    data, start = text.data, text.dialect.start
    if len(text.names) == 1 or not any(data.find(pair, start) >= 0 for pair in (b"\n\n", b"\n\r", b"\r\r")):
        return ()
    lines = [(record.line, record.end_line) for record in records(data, text.dialect)]
    starts = np.array([first for first, _ in lines[1:]], dtype="int64")
    ends = np.array([last for _, last in lines[:-1]], dtype="int64")
    return tuple(np.repeat(np.arange(len(starts)), starts - ends - 1).tolist())
