"""The slow reader that explains errors and the fast reader agree on what a record is."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthloom.domain.errors import TableError
from synthloom.tables.dialect import Dialect, cell_text, detect, records
from synthloom.tables.encoding import to_utf8


def slowly(data: bytes) -> list[list[str]]:
    found = list(records(data, Dialect(b",")))
    assert all(r.closed for r in found)
    return [[cell_text(data, span, b'"') for span in r.spans] for r in found]


def quickly(data: bytes, columns: int) -> list[list[str]]:
    names = [f"c{i}" for i in range(columns)]
    table = pyarrow.csv.read_csv(
        io.BytesIO(data),
        pyarrow.csv.ReadOptions(column_names=names),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    return [list(row.values()) for row in table.to_pylist()]


@given(st.lists(st.text('ab",\r\n ', max_size=12), min_size=1, max_size=4).map(lambda rows: "\n".join(rows).encode()))
@example(b'a,"b"c"d"\n')
@example(b'"a""b",c"d"\n"x\r\ny",z\n')
@settings(max_examples=300, deadline=None)
def test_both_readers_split_alike(data: bytes) -> None:
    found = list(records(data, Dialect(b",")))
    widths = {len(r.spans) for r in found}
    if len(widths) == 1 and found[-1].closed and (width := widths.pop()) > 1:
        assert quickly(data, width) == slowly(data)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_records_know_their_lines(end: bytes) -> None:
    data = end.join([b"a,b", b"", b'"x', b"y" + b'",1', b"2,3"])
    assert [(r.line, r.end_line) for r in records(data, Dialect(b","))] == [(1, 1), (3, 4), (5, 5)]


def test_an_open_quote_is_told() -> None:
    assert [r.closed for r in records(b'a,b\n1,"2\n3,4\n', Dialect(b","))] == [True, False]


@pytest.mark.parametrize(
    ("data", "delimiter"),
    [
        (b"a;b\n1,5;x\n", b";"),
        (b"name\tlat,lon\nx\t1,2\ny\t3,4\n", b"\t"),
        (b"a|b|c\n1|2|3\n", b"|"),
        (b"when,what\n10:00;11:00,x\n12:00;13:00,y\n", b","),
        (b"a,b,c\n1,2,3\n4,5\n", b","),
        (b'one\n"a,b"\nc\n', b","),
        (b"one\na, b\nc\n", b";"),
        (b"a,b\n", b","),
        (b'"x;y",b\n1,2\n', b","),
        (b"id,note\n1,a;b;c;d\n2,e;f;g;h\n", b","),
    ],
)
def test_delimiters(data: bytes, delimiter: bytes) -> None:
    assert detect(data, "t").delimiter == delimiter


def test_only_a_file_quoted_throughout_counts_as_quoted() -> None:
    assert detect(b'"a","b"\n"1","2"\n', "t").quote_all
    assert not detect(b'"a","b"\n"1",2\n', "t").quote_all


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_unicode_survives_in_every_encoding(text: str) -> None:
    data = ("ab," + text).encode()
    assert to_utf8(data, "t") == (data, "utf-8", False)
    for codec in ("utf-8-sig", "utf-16", "utf-32"):
        assert to_utf8(("ab," + text).encode(codec), "t")[0] == data


@given(st.text("abc äöüßéèçñÅ", min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_one_byte_text_is_never_garbled(text: str) -> None:
    data = ("ab," + text).encode("cp1252")
    read, encoding, _ = to_utf8(data, "t")
    assert read.decode() == "ab," + text
    assert read.decode().encode(encoding) == data


def test_utf_8_with_one_broken_byte_is_not_taken_for_another_encoding() -> None:
    with pytest.raises(TableError, match="line 2: the byte at offset 8 is not valid UTF-8"):
        to_utf8("ä,ö\nü".encode() + b"\xff\n", "t")
