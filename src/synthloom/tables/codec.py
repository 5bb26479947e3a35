"""Bytes ↔ tables: `read_table` turns a file into a raw table, `write_csv` and `write_parquet` write one back."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from synthloom.domain.errors import TableError
from synthloom.domain.schema import FileFormat, SchemaOverrides
from synthloom.tables.archive import Limits, Payload, load
from synthloom.tables.codec_write import write_as_spelt, write_csv, write_native_parquet, write_parquet
from synthloom.tables.raw import RawTable

__all__ = [
    "Limits", "RawTable", "read_table", "write_as_spelt", "write_csv", "write_native_parquet", "write_parquet",
]

_DEFAULT_LIMITS = Limits()


def read_table(
    source: Path | str | bytes | BinaryIO,
    *,
    name: str | None = None,
    limits: Limits = _DEFAULT_LIMITS,
    overrides: SchemaOverrides | None = None,
) -> RawTable:
    """Read a CSV, TSV, Parquet or Excel table, plain, in .gz, or alone in a .zip.

    What the bytes are is told by the bytes, not by the file's name. Delimiter, quoting, encoding and line ends of a
    text table are detected and kept in `RawTable.file`.

    Args:
        source: Path, "-" for standard input, bytes, or a file opened in binary mode.
        name: A name for people; None: the file's own.
        limits: What is too large.
        overrides: Columns it drops are not judged here: they may be nested or hold huge cells, and come back empty
            from Parquet.

    Returns:
        The table with cells not yet understood; cells of a text table are `string[pyarrow]`, exactly as spelt.

    Raises:
        TableError: It cannot be read; says where and what to do, and never shows a cell.
        MissingDependencyError: It is an Excel workbook and openpyxl is not installed.
    """
    payload = load(source, name, limits)
    drop = frozenset(n for n, o in overrides.columns.items() if o.drop) if overrides else frozenset()
    raw = _read(payload, limits, drop)
    if len(raw.frame) < limits.min_rows:
        found = "no row" if raw.frame.empty else f"{len(raw.frame)} row"
        raise TableError(
            f"there are column names but {found}; at least {limits.min_rows} rows are needed to learn anything.",
            where=payload.name,
            do="Give a table with more rows.",
        )
    return raw


def _read(payload: Payload, limits: Limits, drop: frozenset[str]) -> RawTable:
    if payload.container == "parquet":
        from synthloom.tables.codec_parquet import read_parquet  # pyarrow.parquet only when needed

        frame = read_parquet(payload, limits, drop)
        return RawTable(frame, FileFormat(container="parquet"), payload.name, payload.sha256, 1)
    if payload.container == "excel":
        from synthloom.tables.codec_excel import read_excel  # openpyxl only when needed

        frame, first_line = read_excel(payload, limits, drop)
        return RawTable(frame, FileFormat(container="excel"), payload.name, payload.sha256, first_line)
    from synthloom.tables.codec_text import read_text  # pyarrow.csv only when needed

    return read_text(payload, limits, drop)
