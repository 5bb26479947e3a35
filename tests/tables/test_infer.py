"""What each column is found to be."""

from __future__ import annotations

import uuid

import pandas as pd
import pytest

from synthloom.domain.errors import SchemaError, TableError, UnknownNameError
from synthloom.domain.event import Event, Notice
from synthloom.domain.schema import Column, ColumnOverride, FileFormat, Kind, SchemaOverrides, SurvivalColumns
from synthloom.tables.infer import frame_to_raw, infer_schema
from synthloom.tables.raw import RawTable


def text_table(delimiter: str = ",", **columns: list[str]) -> RawTable:
    frame = pd.DataFrame({k: pd.array(v, dtype="string[pyarrow]") for k, v in columns.items()})
    return RawTable(frame, FileFormat(container="csv", delimiter=delimiter), "table.csv", "0" * 64)


def look(cells: list[str], name: str = "x", delimiter: str = ",", **said: object) -> tuple[Column, list[Notice]]:
    events: list[Event] = []
    overrides = SchemaOverrides(columns={name: ColumnOverride.model_validate(said)}, free_text="drop")
    others = ["1.5", "2.25", *["3"] * len(cells)][: len(cells)]
    raw = text_table(delimiter, **{name: cells, "other": others})
    schema = infer_schema(raw, overrides, events.append)
    return schema[name], [e for e in events if isinstance(e, Notice)]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "30"], Kind.INTEGER),
        (["-1", "+2", "30"], Kind.INTEGER),
        (["1.0", "2.0", "7.0"], Kind.INTEGER),
        (["1.5", "2", "3"], Kind.DECIMAL),
        (["1e-3", "2", "3"], Kind.DECIMAL),
        (["1,5", "2,25", "3"], Kind.DECIMAL),
        (["$1,200.50", "$3.00", "$4.10"], Kind.DECIMAL),
        (["12%", "15%", "3%"], Kind.INTEGER),
        (["0", "1", "1"], Kind.BOOLEAN),
        (["yes", "no", "no"], Kind.BOOLEAN),
        (["Ja", "Nein", "Nein"], Kind.BOOLEAN),
        (["T", "F", "?"], Kind.BOOLEAN),
        (["red", "green", "red"], Kind.CATEGORY),
        (["?", "green", "red", "red"], Kind.CATEGORY),
        (["low", "high", "medium", "low"], Kind.ORDERED),
        (["18-24", "25-34", "65+", "18-24"], Kind.ORDERED),
        (["01067", "99084", "01067"], Kind.CATEGORY),
        (["2020-01-31", "1999-12-01", "2020-02-29"], Kind.DATE),
        (["31.12.2020", "01.02.2021", "01.02.2021"], Kind.DATE),
        (["3 Jan 2020", "12 Feb 2021", "3 Jan 2020"], Kind.DATE),
        (["2020-01-31T12:00:00Z", "2020-01-31T12:00:01Z"], Kind.TIMESTAMP),
        (["2020-01-31 12:00", "2020-01-31 13:30"], Kind.TIMESTAMP),
        (["01:30:00", "26:00:10", "00:00:00"], Kind.DURATION),
        (["P1DT2H", "PT30M", "PT1.5S"], Kind.DURATION),
        (["09:30", "17:05", "00:00"], Kind.DURATION),
        (["03/2020", "12/2021"], Kind.DATE),
        (["0 days", "3 days", "1 days"], Kind.INTEGER),
        (["none", "x", "n/a"], Kind.CATEGORY),
        (["5", "?", "5"], Kind.CONSTANT),
        (["1 days 02:03:04", "0 days 00:00:00"], Kind.DURATION),
        (["a", "a", "a"], Kind.CONSTANT),
        (["", "NA", "nan"], Kind.EMPTY),
    ],
)
def test_kind_of_text(cells: list[str], kind: Kind) -> None:
    column, _ = look(cells)
    assert column.kind is kind
    assert column.reason


def test_only_zero_and_one_keep_their_spelling_as_labels() -> None:
    column, _ = look(["0", "1", "1", "NA"])
    assert column.categories == ("0", "1")
    assert column.label_type == "integer"
    assert column.text.missing == "NA"
    assert column.missing_rate == 0.25


def test_truth_words_keep_their_letter_case_and_no_comes_first() -> None:
    column, _ = look(["YES", "NO", "NO"])
    assert column.categories == ("NO", "YES")
    assert (column.text.false_word, column.text.true_word) == ("NO", "YES")


def test_numbers_keep_how_they_are_written() -> None:
    column, _ = look(["1.234,50 €", "0,30 €", "12,00 €"])
    text = column.text
    assert (text.decimal_mark, text.thousands_mark, text.suffix, text.decimals) == (",", ".", " €", 2)
    assert column.precision == 2


@pytest.mark.parametrize(("delimiter", "kind"), [(",", Kind.INTEGER), (";", Kind.DECIMAL)])
def test_a_lone_comma_before_three_digits_is_read_by_the_files_delimiter(delimiter: str, kind: Kind) -> None:
    assert look(["1,234", "2,500"], delimiter=delimiter)[0].kind is kind


def test_a_question_mark_is_missing_among_numbers_and_a_label_among_words() -> None:
    numbers, _ = look(["1", "?", "7", "7"])
    assert numbers.kind is Kind.INTEGER
    assert numbers.text.missing == "?"
    words, _ = look(["a", "?", "b", "b"])
    assert words.categories == ("?", "a", "b")
    assert words.missing_rate == 0


def test_the_most_frequent_missing_spelling_is_kept_and_the_person_told() -> None:
    column, notices = look(["1", "NA", "NA", "-", "5"])
    assert column.text.missing == "NA"
    assert [n.code for n in notices] == ["missing_spellings"]


@pytest.mark.parametrize(
    ("cells", "pattern", "code"),
    [
        (["13/02/2020", "01/02/2020"], "%d/%m/%Y", None),
        (["02/13/2020", "01/02/2020"], "%m/%d/%Y", None),
        (["1/2/2020", "3/14/2020"], "%-m/%-d/%Y", None),
        (["03/02/2020", "01/02/2020"], "%m/%d/%Y", "ambiguous_date"),
        (["03.02.2020", "01.02.2020"], "%d.%m.%Y", None),
        (["05-FEB-20", "05-MAR-99"], "%d-%^b-%y", None),
        (["February 3, 2020", "May 12, 2021"], "%B %-d, %Y", None),
        (["20200131", "19991201"], "%Y%m%d", None),
    ],
)
def test_the_format_of_dates(cells: list[str], pattern: str, code: str | None) -> None:
    column, notices = look(cells, name="date")
    assert column.kind is Kind.DATE
    assert column.text.datetime_format == pattern
    assert [n.code for n in notices] == ([code] if code else [])


def test_one_day_above_twelve_settles_the_order_for_the_whole_column() -> None:
    cells = [f"{1 + i % 12:02d}/{1 + i % 7:02d}/2{i % 1000:03d}" for i in range(5000)]
    column, notices = look([*cells, "31/01/2020"])
    assert column.text.datetime_format == "%d/%m/%Y"
    assert notices == []


def test_a_format_in_the_schema_file_settles_an_ambiguous_order() -> None:
    column, notices = look(["03/02/2020", "01/02/2020"], format="%d/%m/%Y")
    assert column.text.datetime_format == "%d/%m/%Y"
    assert notices == []


@pytest.mark.parametrize(
    ("cells", "zone", "digits"),
    [
        (["2020-01-31T12:00:00Z", "2020-01-31T12:00:01Z"], "UTC", 0),
        (["2020-01-31 12:00:00.125", "2020-01-31 12:00:01"], None, 3),
        (["2020-01-31 12:00:00+02:00", "2020-01-31 12:00:01+02:00"], "+02:00", 0),
        (["2020-01-31 12:00:00 -0330", "2020-07-31 12:00:01 -0330"], "-03:30", 0),
        (["2020-01-31 12:00:00+01:00", "2020-07-31 12:00:01+02:00"], "UTC", 0),
        (["1/31/2020 3:05 PM", "1/1/2020 12:00 AM"], None, 0),
    ],
)
def test_the_zone_and_fraction_of_timestamps(cells: list[str], zone: str | None, digits: int) -> None:
    column, notices = look(cells)
    assert column.kind is Kind.TIMESTAMP
    assert (column.timezone, column.text.fraction_digits) == (zone, digits)
    assert [n.code for n in notices] == (["offsets"] if "+01:00" in cells[0] else [])


def test_midnights_are_dates_unless_there_is_a_zone() -> None:
    assert look(["2020-01-01 00:00:00", "2020-01-02 00:00:00"])[0].kind is Kind.DATE
    assert look(["2020-01-01 00:00:00Z", "2020-01-02 00:00:00Z"])[0].kind is Kind.TIMESTAMP


N = 60
UUIDS = [str(uuid.UUID(int=i * 7919 + 2**90)) for i in range(N)]


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("x", UUIDS, Kind.IDENTIFIER),
        ("x", [f"user{i}@mail{i % 7}.com" for i in range(N)], Kind.IDENTIFIER),
        ("x", [f"INV-{i * 37:05d}" for i in range(N)], Kind.IDENTIFIER),
        ("x", [str(i) for i in range(1, N + 1)], Kind.IDENTIFIER),
        ("customer_id", [str(i * i + 10) for i in range(N)], Kind.IDENTIFIER),
        ("amount", [str(i * i + 10) for i in range(N)], Kind.INTEGER),
        ("id", [f"{i * i + 0.25}" for i in range(N)], Kind.DECIMAL),
        ("weight", [f"{i * 1.37:.2f}" for i in range(N)], Kind.DECIMAL),
        ("phone", [f"0{i * 7919 + 10**9}" for i in range(N)], Kind.IDENTIFIER),
        ("zip", [f"{i % 11:05d}" for i in range(N)], Kind.CATEGORY),
        ("Region", [str(i % 9) for i in range(N)], Kind.CATEGORY),
        ("education_num", [str(i % 9) for i in range(N)], Kind.INTEGER),
        ("children", [str(i % 9) for i in range(N)], Kind.INTEGER),
        ("surname", [f"Name{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(N)], Kind.IDENTIFIER),
        ("city", [f"Town {i // 3}" for i in range(N)], Kind.CATEGORY),
        ("InvoiceNo", [f"C{i // 2}" if i < 3 else str(536000 + i // 2) for i in range(120)], Kind.CATEGORY),
        ("mail", [f"user{i * 3 // 4}@mail.com" for i in range(N)], Kind.IDENTIFIER),
        ("card", [str(4 * 10**19 + i) for i in range(N)], Kind.IDENTIFIER),
    ],
)
def test_identifiers_codes_and_amounts(name: str, cells: list[str], kind: Kind) -> None:
    assert look(cells, name=name)[0].kind is kind


TEXT = [f"The patient number {i} was seen on ward {i % 5} and felt quite well" for i in range(N)]


def test_free_text_is_refused_with_advice_or_dropped_with_a_notice() -> None:
    raw = text_table(notes=TEXT, x=[str(i % 7) for i in range(N)])
    with pytest.raises(SchemaError, match=r"'notes'.*free_text: drop"):
        infer_schema(raw)
    events: list[Event] = []
    schema = infer_schema(raw, SchemaOverrides(free_text="drop"), events.append)
    assert schema.names == ("x",)
    assert schema.dropped == ("notes",)
    assert [e.column for e in events if isinstance(e, Notice)] == ["notes"]


def test_long_labels_that_repeat_are_categories() -> None:
    assert look([TEXT[i % 4] for i in range(N)])[0].kind is Kind.CATEGORY


def test_a_stray_word_among_numbers_is_an_error_that_names_the_line_and_hides_the_cell() -> None:
    cells = [str(i * 3) for i in range(100)]
    cells[41] = "n.b. secret"
    with pytest.raises(TableError, match=r"column 'x', line 43: .*`missing`") as caught:
        look(cells)
    assert "secret" not in str(caught.value)
    column, _ = look(cells, missing=["n.b. secret"])
    assert column.kind is Kind.INTEGER
    assert look(cells, kind="category")[0].kind is Kind.CATEGORY


def test_many_words_among_numbers_make_a_category_with_a_notice() -> None:
    column, notices = look([str(i % 30) if i % 3 else f"A{i % 7}" for i in range(N)])
    assert column.kind is Kind.CATEGORY
    assert [n.code for n in notices] == ["mixed"]


def test_a_format_says_that_a_column_is_a_time() -> None:
    assert look(["31012020", "01022020", "15032021"], format="%d%m%Y")[0].kind is Kind.DATE
    assert look(["3101202010", "0102202011", "1503202112"], format="%d%m%Y%H")[0].kind is Kind.TIMESTAMP
    with pytest.raises(SchemaError, match=r"line 3: .*cannot be read as a date"):
        look(["31.01.2020", "02/15/2020", "15.03.2021"], format="%d.%m.%Y")


def test_bounds_that_are_swapped_are_told_as_such() -> None:
    with pytest.raises(SchemaError, match=r"lower bound 9.* is above the upper bound 3"):
        look(["1", "5", "12"], lower=9, upper=3)


def test_an_infinity_is_an_error() -> None:
    with pytest.raises(TableError, match=r"line 3: a cell is infinite"):
        look(["1.5", "inf", *[str(i / 2) for i in range(50)]])
    with pytest.raises(TableError, match=r"column 'x', row 1: a cell is infinite"):
        infer_schema(frame_to_raw(pd.DataFrame({"x": [1.5, float("inf"), 3.0]})))


@pytest.mark.parametrize("cells", [["inf"] * 30, ["1.5", "-inf"] * 20, ["Infinity", "inf", ""] * 9])
def test_infinities_are_an_error_whatever_their_share(cells: list[str]) -> None:
    with pytest.raises(TableError, match=r"line [23]: a cell is infinite"):
        look(cells)


def test_a_word_that_looks_like_an_infinity_is_a_label_among_words() -> None:
    assert look(["inf", "con", "inf"] * 10)[0].categories == ("con", "inf")


def test_line_numbers_count_line_breaks_inside_cells() -> None:
    notes = ["a\nb"] * 3 + ["c"] * 57
    raw = text_table(x=[*map(str, range(0, 150, 3)), "oops", *["7"] * 9], notes=notes)
    with pytest.raises(TableError, match=f"line {2 + 50 + 3}"):
        infer_schema(raw)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"kind": "integer"}, "no number"),
        ({"kind": "date"}, "cannot be read as a date"),
        ({"kind": "duration"}, "cannot be read as a duration"),
        ({"kind": "boolean"}, "3 different words"),
        ({"kind": "constant"}, "differs"),
        ({"kind": "ordered"}, "in which order"),
        ({"kind": "empty"}, "filled"),
        ({"categories": ["a", "b"]}, "labels"),
        ({"categories": ["a", "a"]}, "twice"),
        ({"lower": 1}, "bounds are for numbers"),
        ({"precision": 1}, "`precision` is for decimals"),
        ({"timezone": "UTC"}, "`timezone` is for times"),
        ({"format": "%Q"}, "`format`|cannot be used"),
    ],
)
def test_a_schema_file_that_contradicts_the_table_is_an_error(said: dict[str, object], what: str) -> None:
    with pytest.raises(SchemaError, match=what) as caught:
        look(["a", "b", "c", "c"], **said)
    assert "'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "said", "line"),
    [
        (["1", "2", "x", "4"], {"kind": "integer"}, 4),
        (["1", "2", "3.5", "4"], {"kind": "integer"}, 4),
        (["1", "2", "3.5", "4"], {"upper": 3}, 4),
        (["1", "-2", "3.5", "4"], {"lower": "0"}, 3),
        (["2020-01-01", "2021-01-01"], {"lower": "2020-06-01"}, 2),
        (["a", "b", "c"], {"categories": ["a", "b"]}, 4),
        (["a", "", "c"], {"kind": "constant"}, 4),
    ],
)
def test_such_an_error_names_the_first_line(cells: list[str], said: dict[str, object], line: int) -> None:
    with pytest.raises(SchemaError, match=f"column 'x', line {line}:"):
        look(cells, **said)


def test_what_a_person_says_wins() -> None:
    assert look(["1", "2", "3"], kind="decimal")[0].kind is Kind.DECIMAL
    assert look(["1", "2", "3"], kind="category")[0].categories == ("1", "2", "3")
    assert look(["1", "2", "3"], kind="identifier")[0].identifier is not None
    assert look(["007", "012"], kind="integer")[0].text.zero_pad == 3
    assert look(["a", "b"], categories=["b", "a", "c"])[0].categories == ("b", "a", "c")
    assert look(["b", "a"], kind="ordered", categories=["b", "a"])[0].kind is Kind.ORDERED
    assert look(["2020-01-01", "2020-01-02"], kind="timestamp")[0].kind is Kind.TIMESTAMP
    assert look(["2020-01-01 10:00", "2020-01-02 11:00"], timezone="Europe/Berlin")[0].timezone == "Europe/Berlin"
    assert look(["1.25", "2.5"], precision=1)[0].precision == 1
    assert look(["1", "-999", "5"], missing=["-999"])[0].missing_rate == pytest.approx(1 / 3)
    column, _ = look(["2020-01-01", "2020-01-02"], lower="2020-01-01", upper="2020-12-31", sensitive=True)
    assert column.lower == pd.Timestamp("2020-01-01").timestamp()
    assert column.sensitive


def test_a_time_zone_nobody_knows_is_an_error() -> None:
    with pytest.raises(SchemaError, match=r"column 'x': nobody knows the time zone 'Mars/Base'"):
        look(["2020-01-01 10:00", "2020-01-02 11:00"], timezone="Mars/Base")


def test_a_column_that_is_not_there_is_named() -> None:
    raw = text_table(a=["1", "2"], b=["x", "y"])
    with pytest.raises(SchemaError, match=r"'c'.*a, b"):
        infer_schema(raw, SchemaOverrides(columns={"c": ColumnOverride()}))
    with pytest.raises(UnknownNameError, match="'c'"):
        infer_schema(raw, SchemaOverrides(target="c"))
    with pytest.raises(SchemaError, match="target"):
        infer_schema(raw, SchemaOverrides(target="a", columns={"a": ColumnOverride(drop=True)}))


def test_target_and_survival_come_from_the_schema_file() -> None:
    raw = text_table(t=["5", "7", "9"], e=["0", "1", "1"], s=["a", "b", "a"])
    schema = infer_schema(raw, SchemaOverrides(target="s", survival=SurvivalColumns(time="t", event="e")))
    assert schema.target == "s"
    assert schema.survival == SurvivalColumns(time="t", event="e")
    with pytest.raises(SchemaError, match=r"survival\.event must be a boolean"):
        infer_schema(raw, SchemaOverrides(survival=SurvivalColumns(time="t", event="s")))


@pytest.mark.parametrize(
    "raw",
    [text_table(a=["1"]), text_table(), text_table(a=["", ""], b=["NA", ""])],
    ids=["one row", "no columns", "all missing"],
)
def test_a_table_that_holds_nothing_to_learn_is_an_error(raw: RawTable) -> None:
    with pytest.raises(TableError):
        infer_schema(raw)


def test_every_column_dropped_is_an_error() -> None:
    with pytest.raises(SchemaError, match="no column is left"):
        infer_schema(text_table(a=["1", "2"]), SchemaOverrides(columns={"a": ColumnOverride(drop=True)}))


def test_times_of_several_zones_are_an_error() -> None:
    times = [pd.Timestamp("2020-01-01", tz=zone) for zone in ("UTC", "Europe/Berlin", "UTC")]
    with pytest.raises(TableError, match="one time zone"):
        infer_schema(frame_to_raw(pd.DataFrame({"x": pd.Series(times, dtype=object)})))


def test_lists_in_cells_are_an_error() -> None:
    with pytest.raises(TableError, match="column 'x'"):
        infer_schema(frame_to_raw(pd.DataFrame({"x": [[1], [2], None]})))


def test_reasons_and_notices_hold_no_cell() -> None:
    events: list[Event] = []
    raw = text_table(a=["secret one", "secret two", "secret one"], b=["4711", "4712", "?"])
    schema = infer_schema(raw, emit=events.append)
    assert "secret" not in str([c.reason for c in schema]) + str(events)
    assert "471" not in str([c.reason for c in schema]) + str(events)
