"""Bad input gets exactly one clear error: file, line, column, what to do; never a traceback, never a cell."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthloom.domain.errors import TableError, UsageError
from synthloom.domain.schema import ColumnOverride, SchemaOverrides
from synthloom.tables.codec import Limits, read_table

SECRET = "s3cr3t"  # stands in cells; must never stand in an error
ROW = b"1,s3cr3t\n"


def error(source: object, **options: object) -> TableError:
    with pytest.raises(TableError) as caught:
        read_table(source, name="patients.csv", **options)  # type: ignore[arg-type]
    told = caught.value
    assert told.__cause__ is None
    assert told.__suppress_context__ or told.__context__ is None
    assert SECRET not in told.text()
    assert told.do, "an error says what to do"
    assert "\n" not in told.text()
    return told


def zipped(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def workbook(*sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for i, rows in enumerate(sheets):
        sheet = book.active if i == 0 else book.create_sheet()
        assert sheet is not None
        for row in rows:
            sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b"", "patients.csv", "is empty"),
        (b"\xef\xbb\xbf\r\n\r\n", "patients.csv", "is empty"),
        (b"a,b\n", "patients.csv", "no row"),
        (b"a,b\n" + ROW, "patients.csv", "1 row; at least 2"),
        (b"a,b,a\n1,2,3\n4,5,6\n", "patients.csv, line 1", "'a' as columns 1 and 3"),
        (b",b\n1,2\n3,4\n", "patients.csv, line 1", "column 1 of 2 has no name"),
        (b"a,b,\n1,2,\n3,4,\n", "patients.csv, line 1", "column 3 of 3 has no name"),
        (b"a,b\n" + ROW + b"s3cr3t\n" + ROW, "patients.csv, line 3", "1 cell, the header 2"),
        (b"a,b\n" + ROW + b"s3cr3t,2,3\n", "patients.csv, line 3", "3 cells, the header 2"),
        (b"a,b\nx,1,s3cr3t\ny,2,s3cr3t\n", "patients.csv, line 2", "3 cells, the header 2"),
        (b'a,b\n"x\ny",2\n\n3,4\n5\n', "patients.csv, line 6", "1 cell, the header 2"),
        ("a,b\né,2\nü,2\n".encode() + b"\xff,s3cr3t\n", "patients.csv, line 4", "offset 14 is not valid UTF-8"),
        ("a,é\n1,2\n".encode() + b"\xff,s3cr3t\n", "patients.csv, line 3", "offset 9 is not valid UTF-8"),
        ("a,b\n1,é\n2,ü\n".encode("utf-16")[:-1], "patients.csv, line 3", "not valid UTF-16"),
        (b"a,b\n" + ROW * 99 + b"1,\x00\n" + ROW * 99, "patients.csv, line 101", "NUL byte stands at offset 897"),
        (b'a,b\n1,"s3cr3t\n2,3\n', "patients.csv, line 2, column 'b'", "never closes"),
        (b'a,"b\n1,2\n2,3\n', "patients.csv, line 1", "never closes"),
        (b'a,b\n1,"s3cr3t\n3,4"5\n7,"8,9\n', "patients.csv, line 4, column 'b'", "never closes"),
        (b'a,b\n1,2\n1,"s3cr3t\n3,4\n5,6",7\n', "patients.csv, line 3", "3 cells, the header 2"),
        (b"a,b\n1,2\n3," + b"x" * 10_000_000 + b"\n", "patients.csv, line 3, column 'b'", "a cell holds 10 MB"),
        (b'a,b\n1,2\n3,"' + b"x" * 10_000_000 + b'"\n5,6\n', "patients.csv, line 3, column 'b'", "a cell holds 10 MB"),
        (b"x" * 2_000_000 + b",b\n1,2\n3,4\n", "patients.csv, line 1", "a column name is longer"),
        (b"Report 2024\na,b,c\n1,s3cr3t,3\n1,s3cr3t,4\n", "patients.csv, line 1", "holds 1 cell"),
        (b"39,s3cr3t,5\n41,Private,6\n40,s3cr3t,7\n42,s3cr3t,8\n", "patients.csv, line 1", "looks like a row"),
        (bytes(range(256)) * 40, "patients.csv", "binary data"),
        (b"PK\x03\x04" + b"\x00junk" * 40, "patients.csv", "zip file is damaged"),
        (b"PAR1\x15\x00" + b"junk" * 40, "patients.csv", "Parquet file is damaged"),
        (gzip.compress(b"a,b\n" + ROW * 99, mtime=0)[:-12], "patients.csv", "gzip file is damaged"),
        (gzip.compress(b"", mtime=0), "patients.csv", "empty file"),
        (gzip.compress(gzip.compress(b"a,b\n", mtime=0), mtime=0), "patients.csv", "archive inside an archive"),
        (zipped({"a.csv": b"a,b\n", "b.csv": b"a,b\n"}), "patients.csv", "holds 2 files"),
        (zipped({}), "patients.csv", "holds 0 files"),
        (zipped({"a.zip": zipped({"b.csv": b"a,b\n"})}), "patients.csv: a.zip", "archive inside an archive"),
        (zipped({"a.csv": b"a,b\n" + ROW * 99})[:-40], "patients.csv", "zip file is damaged"),
        (b'[{"a": "s3cr3t"}]', "patients.csv", "JSON files are not read"),
        (b"<!DOCTYPE html><p>s3cr3t", "patients.csv", "HTML files are not read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "patients.csv", "old Excel (.xls) files are not read"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
            "patients.csv", "workbook is encrypted",
        ),
        (workbook([["a"], [1], [2]])[:-30], "patients.csv", "workbook is damaged"),
        (workbook([["a"], [1]], [["b"], [2]]), "patients.csv", "2 sheets hold cells"),
        (workbook([]), "patients.csv", "no sheet holds a cell"),
        (workbook([["a", "a"], [1, 2], [3, 4]]), "patients.csv, sheet 'Sheet', row 1", "'a' as columns 1 and 2"),
        (workbook([["a", None, "c"], [1, 2, 3], [3, 4, 5]]), "patients.csv, sheet 'Sheet', row 1", "has no name"),
    ],
)  # fmt: skip
def test_bad_bytes(data: bytes, where: str, what: str) -> None:
    told = error(data)
    assert told.where == where
    assert what in told.what


def test_five_thousand_columns() -> None:
    data = "\n".join([",".join(f"c{i}" for i in range(5000)), *[",".join("1" * 5000)] * 2]).encode()
    assert "5,000 columns; at most 2,000" in error(data).what


def test_a_ragged_row_far_down_is_found() -> None:
    told = error(b"a,b\n" + ROW * 100_000 + b"1,2,3\n" + ROW)
    assert told.where == "patients.csv, line 100002"


def test_an_encrypted_zip() -> None:
    data = bytearray(zipped({"a.csv": b"a,b\n" + ROW}))
    data[6] |= 1
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    assert "zip file is encrypted" in error(bytes(data)).what


def test_gzip_and_zip_bombs_stop_at_the_limit() -> None:
    limits = Limits(max_unpacked_bytes=1_000_000)
    bomb = b"a,b\n" + b"1,2\n" * 2_000_000
    for packed in (gzip.compress(bomb, mtime=0), zipped({"a.csv": bomb})):
        assert "unpacks to more than 1 MB" in error(packed, limits=limits).what


def test_a_parquet_bomb_stops_at_the_limit() -> None:
    data = parquet(pa.table({"a": pa.array(["x" * 2000] * 50_000)}))
    assert len(data) < 100_000
    assert "unpacks to more than" in error(data, limits=Limits(max_unpacked_bytes=50_000_000)).what


def test_a_huge_cell_in_parquet() -> None:
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z" * 10_000_000]})
    told = error(parquet(table))
    assert told.where == "patients.csv, column 'b', row 2"
    assert "a cell holds 10 MB" in told.what


@pytest.mark.parametrize(
    ("column", "what"),
    [(pa.array([[1], [2]]), "lists or structures"), (pa.array([{"x": 1}, {"x": 2}]), "lists or structures"),
     (pa.array([b"a", b"b"]), "binary data")],
)  # fmt: skip
def test_nested_parquet(column: pa.Array, what: str) -> None:
    told = error(parquet(pa.table({"a": [1, 2], "tags": column})))
    assert told.where == "patients.csv, column 'tags'"
    assert what in told.what


def test_a_damaged_parquet_page() -> None:
    data = bytearray(parquet(pa.table({"a": list(range(50_000)), "b": [str(i) for i in range(50_000)]})))
    data[40:4000] = b"\xff" * 3960
    assert "damaged" in error(bytes(data)).what


def test_parquet_with_columns_twice_or_without_rows() -> None:
    assert "stand twice" in error(parquet(pa.table([[1, 2], [3, 4]], names=["a", "a"]))).what
    assert "no row" in error(parquet(pa.table({"a": pa.array([], pa.int64())}))).what


@pytest.mark.parametrize("suffix", ["sav", "dta", "json", "xls", "rds", "pkl", "sqlite", "csv.xz", "json.gz"])
def test_unsupported_kinds_say_what_is_supported(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    told = error(path)
    assert "files are not read" in told.what
    assert "CSV, TSV, Parquet and Excel" in (told.do or "")


@pytest.mark.parametrize("suffix", ["parquet", "xlsx"])
def test_a_name_that_lies(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(b"a,b\n1,2\n3,4\n")
    assert "is damaged" in error(path).what


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    assert "directory" in error(tmp_path).what
    assert "no such file" in error(tmp_path / "nowhere.csv").what
    assert "no file is named" in error("").what
    (tmp_path / "file").write_bytes(b"a\n1\n2\n")
    assert "cannot be read" in error(tmp_path / "file" / "t.csv").what
    assert "malformed" in error("a\0b.csv").what


def test_a_file_larger_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + ROW * 1000)
    assert "larger than 1,000 bytes" in error(path, limits=Limits(max_bytes=1000)).what
    assert "larger than" in error(path.read_bytes(), limits=Limits(max_bytes=1000)).what


def test_no_source_at_all() -> None:
    with pytest.raises(UsageError, match="binary mode"):
        read_table(io.StringIO("a,b\n1,2\n"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is no source"):
        read_table(pd.DataFrame())  # type: ignore[arg-type]


def test_excel_without_its_library_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['openpyxl'] = None\n"  # as if it were not installed
        "from synthloom.tables.codec import read_table\n"
        "from synthloom.domain.errors import MissingDependencyError\n"
        "try:\n    read_table(sys.stdin.buffer)\n"
        "except MissingDependencyError as error:\n    print(error.text())"
    )
    done = subprocess.run([sys.executable, "-c", code], input=workbook([["a"], [1]]), capture_output=True, check=True)
    assert b"pip install 'synthloom[excel]'" in done.stdout


def test_years_and_indices_are_names() -> None:
    assert list(read_table(b"id,2001,0\n1,2001,0\n2,2001,0\n3,2001,0\n").frame.columns) == ["id", "2001", "0"]


def test_a_dropped_column_may_hold_a_huge_cell() -> None:
    overrides = SchemaOverrides(columns={"b": ColumnOverride(drop=True)})
    raw = read_table(b"a,b\n1,2\n3," + b"x" * 2_000_000 + b"\n", overrides=overrides)
    assert len(raw.frame) == 2
