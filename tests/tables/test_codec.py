"""A table comes back from its bytes as it was written, and is written back the same way."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthloom.domain.errors import OutputError, TableError
from synthloom.domain.schema import Column, FileFormat, Kind, Schema, TextFormat
from synthloom.tables.canonical import canonical_dtype
from synthloom.tables.codec import Limits, RawTable, read_table, write_csv, write_parquet
from synthloom.tables.coerce import coerce
from synthloom.tables.infer import infer_schema

PLAIN = b"a,b\n1,x\n2,y\n"


def texts(raw: RawTable) -> dict[str, list[str]]:
    return {str(name): raw.frame[name].to_list() for name in raw.frame.columns}


def words_schema(names: list[str], file: FileFormat) -> Schema:
    return Schema(columns=tuple(Column(name=n, kind=Kind.TEXT, reason="test") for n in names), file=file)


def as_words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(object)


def written(table: pd.DataFrame, schema: Schema, **options: bool) -> bytes:
    sink = io.BytesIO()
    write_csv(table, schema, sink, **options)
    return sink.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_detected(delimiter: str) -> None:
    data = "a,b\n1,x\n2,y\n".replace(",", delimiter).encode()
    raw = read_table(data)
    assert texts(raw) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert raw.file.delimiter == delimiter


def test_decimal_commas_do_not_pass_for_a_delimiter() -> None:
    assert texts(read_table(b"x;y\n1,5;2,5\n3,5;4,25\n")) == {"x": ["1,5", "3,5"], "y": ["2,5", "4,25"]}
    assert texts(read_table(b"x\n1,5\n2,5\n")) == {"x": ["1,5", "2,5"]}
    assert texts(read_table(b"x\n1,000,500\n2,000,000\n")) == {"x": ["1,000,500", "2,000,000"]}


def test_delimiters_inside_quotes_and_text_do_not_count() -> None:
    data = b'id;remark\n1;"a; b, c"\n2;x, y\n'
    assert texts(read_table(data)) == {"id": ["1", "2"], "remark": ["a; b, c", "x, y"]}


def test_a_tsv_with_commas_in_its_names(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(b"a\tb,c\n1\t2,3\n4\t5,6\n")
    assert list(read_table(path).frame.columns) == ["a", "b,c"]


@pytest.mark.parametrize(
    ("codec", "encoding", "mark"),
    [
        ("utf-8", "utf-8", False), ("utf-8-sig", "utf-8", True), ("utf-16", "utf-16-le", True),
        ("utf-16-be", "utf-16-be", False), ("utf-32", "utf-32-le", True), ("cp1252", "cp1252", False),
    ],
)  # fmt: skip
def test_encoding_is_detected_and_written_back(codec: str, encoding: str, mark: bool) -> None:
    data = "Größe,n\nfünf,1\nâgé,2\n".encode(codec)
    raw = read_table(data)
    assert texts(raw) == {"Größe": ["fünf", "âgé"], "n": ["1", "2"]}
    assert (raw.file.encoding, raw.file.byte_order_mark) == (encoding, mark)
    assert written(as_words(raw.frame), words_schema(["Größe", "n"], raw.file)) == data


def test_bytes_that_windows_does_not_know_are_read_as_latin_1() -> None:
    data = b"a,b\n\xe9\x81,1\n\xe8,2\n"
    raw = read_table(data)
    assert raw.file.encoding == "latin-1"
    assert written(as_words(raw.frame), words_schema(["a", "b"], raw.file)) == data


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_are_kept(end: str) -> None:
    data = f"a,b{end}1,x{end}2,y{end}".encode()
    raw = read_table(data)
    assert raw.file.line_end == end
    assert written(as_words(raw.frame), words_schema(["a", "b"], raw.file)) == data


def test_quoted_cells_may_hold_line_breaks_quotes_and_delimiters() -> None:
    data = b'a,b\n"x\ny","say ""hi"""\n"1,5",2\n'
    raw = read_table(data)
    assert texts(raw) == {"a": ["x\ny", "1,5"], "b": ['say "hi"', "2"]}
    assert written(as_words(raw.frame), words_schema(["a", "b"], raw.file)) == data


def test_quotes_everywhere_are_written_everywhere() -> None:
    data = b'"a","b"\n"1",""\n"2","y"\n'
    raw = read_table(data)
    assert raw.file.quote_all
    assert written(as_words(raw.frame), words_schema(["a", "b"], raw.file)) == data


def test_single_quotes_are_understood() -> None:
    raw = read_table(b"'a','b'\n'1,5','x'\n'2','it''s'\n")
    assert texts(raw) == {"a": ["1,5", "2"], "b": ["x", "it's"]}
    assert raw.file.quote == "'"


def test_cells_stay_exactly_as_spelt() -> None:
    raw = read_table(b'a,b,c\n 007 ,NA,\n+1.50,null,"  "\n')
    assert texts(raw) == {"a": [" 007 ", "+1.50"], "b": ["NA", "null"], "c": ["", "  "]}
    assert set(map(str, raw.frame.dtypes)) == {"string"}
    assert raw.frame["a"].dtype.storage == "pyarrow"


def test_one_column_is_a_table_and_its_blank_lines_are_missing_cells() -> None:
    raw = read_table(b"a\n1\n\n3\n\n\n")
    assert texts(raw) == {"a": ["1", "", "3"]}
    assert read_table(written(as_words(raw.frame), words_schema(["a"], raw.file))).frame.equals(raw.frame)


def test_lines_are_counted_as_an_editor_does() -> None:
    raw = read_table(b'\n"a\nb",c\r\n\r\n1,2\r\n"x\r\ny\nz",3\r\n\r\n\r\n4,5\r\n')
    assert list(raw.frame.columns) == ["a\nb", "c"]
    assert [raw.line_of(i) for i in range(3)] == [5, 6, 11]


def test_excels_separator_line_is_obeyed() -> None:
    raw = read_table(b"sep=;\r\na;b\r\n1;2\r\n3;4\r\n")
    assert texts(raw) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert raw.line_of(0) == 3


@pytest.mark.parametrize("rows", [3, 70_000])
def test_a_cell_larger_than_a_block_of_the_reader_is_read(rows: int) -> None:
    limits = Limits(max_cell_bytes=20_000_000)
    data = b"a,b\n1,2\n3,%s\n" % (b"x" * 9_000_000) + b"5,6\n" * rows
    assert len(read_table(data, limits=limits).frame) == rows + 2


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(PLAIN, mtime=0), zipped({"t.csv": PLAIN}),
        zipped({"folder/t.csv": PLAIN, "__MACOSX/folder/._t.csv": b""}),
    ],
)  # fmt: skip
def test_packed_tables_are_unpacked(data: bytes) -> None:
    assert texts(read_table(data)) == texts(read_table(PLAIN))


def test_gzip_is_remembered_and_the_hash_is_of_the_bytes_given(tmp_path: Path) -> None:
    import hashlib

    data = gzip.compress(PLAIN, mtime=0)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(data)
    raw = read_table(path)
    assert (raw.file.compression, raw.name) == ("gzip", "t.csv.gz")
    assert raw.sha256 == hashlib.sha256(data).hexdigest()


def test_sources_of_every_sort_give_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(PLAIN)
    with path.open("rb") as stream:
        sources = [path, str(path), PLAIN, io.BytesIO(PLAIN), stream]
        tables = [read_table(source, name="t") for source in sources]
    assert all(texts(t) == texts(tables[0]) and t.sha256 == tables[0].sha256 for t in tables)


def test_pandas_unnamed_index_is_no_column() -> None:
    sink = io.BytesIO()
    pd.DataFrame({"a": [1, 2, 3]}, index=[5, 7, 9]).to_parquet(sink)
    assert list(read_table(sink.getvalue()).frame.columns) == ["a"]


def test_excel_cells_become_text() -> None:
    import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in [
        ["n", "x", "when", "ok", "word"],
        [1, 0.5, datetime.datetime(2024, 2, 29), True, "007"],
        [2.0, 3, None, False, None],
    ]:
        sheet.append(row)
    sink = io.BytesIO()
    book.save(sink)
    raw = read_table(sink.getvalue())
    assert raw.file.container == "excel"
    assert texts(raw) == {
        "n": ["1", "2"], "x": ["0.5", "3"], "when": ["2024-02-29", ""], "ok": ["TRUE", "FALSE"], "word": ["007", ""]
    }  # fmt: skip
    assert raw.line_of(1) == 3


# -- writing -----------------------------------------------------------------------------------------------------------


def labels(name: str, values: list[str | None], **more: object) -> tuple[Column, pd.Series]:
    kinds = tuple(dict.fromkeys(v for v in values if v is not None))
    column = Column(name=name, kind=Kind.CATEGORY, reason="test", categories=kinds, **more)  # type: ignore[arg-type]
    return column, pd.Series(values, dtype=object).astype(canonical_dtype(column))


def test_formulas_are_escaped_in_words_and_names_and_never_in_numbers() -> None:
    word, cells = labels("=cmd", ["=1+1", "+49 30", "-x", "@a", "-", "-5", "+1.5", None], text=TextFormat(missing="-"))
    code, codes = labels("code", ["-1", "-2", "-1", "-2", "-1", "-2", "-1", "-2"], label_type="integer")
    number = Column(name="n", kind=Kind.INTEGER, reason="test")
    schema = Schema(columns=(word, code, number))
    table = pd.DataFrame({"=cmd": cells, "code": codes, "n": pd.array(range(-4, 4), dtype="Int64")})
    lines = written(table, schema).decode().splitlines()
    assert lines == [
        "'=cmd,code,n", "'=1+1,-1,-4", "'+49 30,-2,-3", "'-x,-1,-2", "'@a,-2,-1", "-,-1,0", "-5,-2,1", "+1.5,-1,2",
        "-,-2,3",
    ]  # fmt: skip
    raw = written(table, schema, escape_formulas=False).decode().splitlines()
    assert raw[:3] == ["=cmd,code,n", "=1+1,-1,-4", "+49 30,-2,-3"]


def test_a_character_the_encoding_lacks_is_an_error_not_a_question_mark() -> None:
    schema = words_schema(["a"], FileFormat(container="csv", encoding="cp1252"))
    with pytest.raises(OutputError, match="cp1252"):
        written(pd.DataFrame({"a": ["Ω", "x"]}, dtype=object), schema)


def test_parquet_is_written_with_proper_types() -> None:
    integer = Column(name="n", kind=Kind.INTEGER, reason="test")
    small = Column(name="i", kind=Kind.INTEGER, reason="test", dtype="int16")
    decimal = Column(name="x", kind=Kind.DECIMAL, reason="test", precision=1)
    word, words = labels("w", ["a", "b", None])
    code, codes = labels("k", ["3", "1", "3"], label_type="integer")
    truth = Column(name="b", kind=Kind.BOOLEAN, reason="test", categories=("no", "yes"))
    day = Column(name="d", kind=Kind.DATE, reason="test")
    moment = Column(name="t", kind=Kind.TIMESTAMP, reason="test", timezone="Europe/Berlin")
    span = Column(name="s", kind=Kind.DURATION, reason="test")
    empty = Column(name="e", kind=Kind.EMPTY, reason="test")
    schema = Schema(columns=(integer, small, decimal, word, code, truth, day, moment, span, empty))
    old = np.array(["1066-10-14", "3000-01-01", "NaT"], dtype="datetime64[us]")
    table = pd.DataFrame(
        {
            "n": pd.array([1, None, 2**60 + 1], dtype="Int64"),
            "i": pd.array([1, 2, 3], dtype="Int64"),
            "x": [0.5, np.nan, 2.0],
            "w": words,
            "k": codes,
            "b": pd.Series(["yes", None, "no"]).astype(canonical_dtype(truth)),
            "d": old,
            "t": pd.Series(old).dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
            "s": np.array([1, 2, "NaT"], dtype="timedelta64[us]"),
            "e": pd.Series([None] * 3, dtype=object),
        }
    )
    sink = io.BytesIO()
    write_parquet(table, schema, sink)
    back = pq.read_table(io.BytesIO(sink.getvalue()))
    types = {f.name: str(f.type) for f in back.schema}
    assert types == {
        "n": "int64", "i": "int16", "x": "double", "w": "dictionary<values=string, indices=int32, ordered=0>",
        "k": "int64", "b": "bool", "d": "date32[day]", "t": "timestamp[us, tz=Europe/Berlin]", "s": "duration[us]",
        "e": "string",
    }  # fmt: skip
    assert back["n"].to_pylist() == [1, None, 2**60 + 1]
    assert back["b"].to_pylist() == [True, None, False]
    assert back["k"].to_pylist() == [3, 1, 3]
    assert [str(d) for d in back["d"].to_pylist()] == ["1066-10-14", "3000-01-01", "None"]


def test_an_empty_table_is_a_header() -> None:
    schema = words_schema(["a", "b"], FileFormat(container="csv"))
    assert written(pd.DataFrame({"a": [], "b": []}, dtype=object), schema) == b"a,b\n"


# -- there and back ----------------------------------------------------------------------------------------------------

_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\x1a"), max_size=8).filter(
    lambda t: not any(ord(c) < 32 and c not in "\t\n\r" for c in t)
)
_NAMES = st.lists(
    st.text("abcdefgh äß,;|\"'\n", max_size=6).map("name ".__add__), min_size=2, max_size=4, unique=True
)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_text_tables_survive_the_round_trip(data: st.DataObject) -> None:
    names = data.draw(_NAMES)
    rows = data.draw(st.lists(st.lists(_CELLS, min_size=len(names), max_size=len(names)), min_size=2, max_size=6))
    file = FileFormat(
        container="csv",
        delimiter=data.draw(st.sampled_from([",", ";", "\t", "|"])),
        quote_all=True,  # so that detection is certain whatever the cells hold
        line_end=data.draw(st.sampled_from(["\n", "\r\n"])),
        byte_order_mark=data.draw(st.booleans()),
        encoding=data.draw(st.sampled_from(["utf-8", "utf-16-le"])),
    )
    if file.encoding == "utf-16-le":
        file = file.model_copy(update={"byte_order_mark": True})
    table = pd.DataFrame(rows, columns=names, dtype=object)
    once = written(table, words_schema(names, file), escape_formulas=False)
    raw = read_table(once)
    assert texts(raw) == {n: table[n].to_list() for n in names}
    assert written(as_words(raw.frame), words_schema(names, raw.file), escape_formulas=False) == once


_WORD = st.text("abcxyz 019.,;'\"\n-", max_size=6)


@given(st.lists(st.tuples(_WORD, _WORD, _WORD), min_size=2, max_size=8))
@settings(max_examples=60, deadline=None)
def test_needed_quotes_are_enough(rows: list[tuple[str, str, str]]) -> None:
    names = ["one", "two", "three"]
    table = pd.DataFrame(rows, columns=names, dtype=object)
    file = FileFormat(container="csv")
    raw = read_table(written(table, words_schema(names, file), escape_formulas=False))
    assert texts(raw) == {n: table[n].to_list() for n in names}


_TYPED = st.lists(
    st.tuples(
        st.integers(0, 9999),
        st.none() | st.integers(-(10**7), 10**7),
        st.none() | st.sampled_from(["rot", "grün; hell", 'sehr "blau"', "=SUM"]),
        st.none() | st.dates(),
    ),
    min_size=2,
    max_size=12,
)


@given(_TYPED)
@settings(max_examples=60, deadline=None)
def test_typed_columns_are_written_as_read(rows: list[tuple[int, int | None, str | None, date | None]]) -> None:
    quote = {"grün; hell": '"grün; hell"', 'sehr "blau"': '"sehr ""blau"""', "=SUM": "=SUM", "rot": "rot", None: ""}
    lines = ["nr;betrag;farbe;tag"]
    for number, cents, word, day in rows:
        euros = "NA" if cents is None else f"{cents / 100:,.2f} €".translate(str.maketrans(",.", ".,"))
        when = "-" if day is None else f"{day.day:02d}.{day.month:02d}.{day.year:04d}"
        lines.append(f"{number:05d};{euros};{quote[word]};{when}")
    source = "\r\n".join([*lines, ""]).encode()
    money = TextFormat(decimals=2, decimal_mark=",", thousands_mark=".", suffix=" €", missing="NA")
    raw = read_table(source)
    colours = ("rot", "grün; hell", 'sehr "blau"', "=SUM")
    columns = (
        Column(name="nr", kind=Kind.INTEGER, reason="test", text=TextFormat(zero_pad=5)),
        Column(name="betrag", kind=Kind.DECIMAL, reason="test", precision=2, text=money),
        Column(name="farbe", kind=Kind.CATEGORY, reason="test", categories=colours),
        Column(name="tag", kind=Kind.DATE, reason="test", text=TextFormat(datetime_format="%d.%m.%Y", missing="-")),
    )
    words = raw.frame["farbe"].astype(object)
    table = pd.DataFrame(
        {
            "nr": pd.array([int(t) for t in raw.frame["nr"]], dtype="Int64"),
            "betrag": [np.nan if cents is None else cents / 100 for _, cents, _, _ in rows],
            "farbe": words.where(words != "", None).astype(canonical_dtype(columns[2])),
            "tag": np.array([day for *_, day in rows], dtype="datetime64[us]"),
        }
    )
    assert written(table, Schema(columns=columns, file=raw.file), escape_formulas=False) == source


def test_standard_input_is_a_source() -> None:
    code = "from synthloom.tables.codec import read_table; raw = read_table('-'); print(raw.name, raw.frame.shape)"
    done = subprocess.run([sys.executable, "-c", code], input=PLAIN, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "standard input (2, 2)"


@pytest.mark.parametrize("cells", [2, 300_000])
def test_too_many_cells_are_refused(cells: int) -> None:
    with pytest.raises(TableError, match="cells"):
        read_table(b"a,b\n" + b"1,2\n" * cells, limits=Limits(max_cells=3))


@pytest.mark.parametrize("cells", [
    ["1.10E-07", "2.00E+10", "3.50E+00"],
    ["1.1E-07", "3.5E-09", "0.25"],
    ["1.1e-07", "3.5e-09", "0.25"],
    ["PT0H28M", "PT1H0M", "PT3H5M"],
    ["PT28M", "PT1H", "PT0S"],
    ["P0DT0H28M0S", "P1DT1H0M5S", "P2DT0H0M1S"],
])  # fmt: skip
def test_exponents_and_durations_are_written_as_they_were(cells: list[str]) -> None:
    content = ("a,b\n" + "".join(f"{cell},x{i % 3}\n" for i, cell in enumerate(cells * 20))).encode()
    raw, sink = read_table(content, name="t.csv"), io.BytesIO()
    schema = infer_schema(raw)
    write_csv(coerce(raw, schema), schema, sink)
    assert schema["a"].kind in (Kind.DECIMAL, Kind.DURATION)
    assert sink.getvalue() == content
