"""Canonical cells are spelt as the source spelt them."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthloom.domain.errors import ContractError
from synthloom.domain.schema import Column, IdentifierPattern, Kind, TextFormat
from synthloom.tables.canonical import canonical_dtype
from synthloom.tables.codec import read_table
from synthloom.tables.coerce import coerce
from synthloom.tables.infer import infer_schema
from synthloom.tables.spelling import spell, spell_duration, spell_times

NBSP = "\u00a0"


def spelt(values: object, kind: Kind, text: TextFormat | None = None, **more: object) -> list[str]:
    column = Column(name="c", kind=kind, reason="test", text=text or TextFormat(), **more)  # type: ignore[arg-type]
    series = pd.Series(values)
    if kind is not Kind.TIMESTAMP or not column.timezone:
        series = series.astype(canonical_dtype(column))
    return spell(series, column).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TextFormat(), ["0", "-7", "1234567", ""]),
        (TextFormat(missing="NA"), ["0", "-7", "1234567", "NA"]),
        (TextFormat(zero_pad=4), ["0000", "-0007", "1234567", ""]),
        (TextFormat(thousands_mark=NBSP, suffix=" km"), ["0 km", "-7 km", f"1{NBSP}234{NBSP}567 km", ""]),
        (TextFormat(thousands_mark=",", prefix="$"), ["$0", "-$7", "$1,234,567", ""]),
        (TextFormat(decimals=1), ["0.0", "-7.0", "1234567.0", ""]),
        (TextFormat(prefix=" "), [" 0", " -7", " 1234567", ""]),
    ],
)
def test_integers(text: TextFormat, expected: list[str]) -> None:
    assert spelt(pd.array([0, -7, 1234567, None], dtype="Int64"), Kind.INTEGER, text) == expected


def test_integers_beyond_floats_keep_their_digits() -> None:
    assert spelt(pd.array([2**63 - 1, -(2**63)], dtype="Int64"), Kind.INTEGER) == [str(2**63 - 1), str(-(2**63))]


@pytest.mark.parametrize(
    ("text", "precision", "expected"),
    [
        (TextFormat(), None, ["1234.5", "-0.25", "3", "0", ""]),
        (TextFormat(decimals=1), None, ["1234.5", "-0.25", "3.0", "0.0", ""]),
        (TextFormat(), 2, ["1234.5", "-0.25", "3", "0", ""]),
        (TextFormat(decimals=1), 2, ["1234.5", "-0.25", "3.0", "0.0", ""]),
        (TextFormat(decimals=2), 2, ["1234.50", "-0.25", "3.00", "0.00", ""]),
        (TextFormat(decimals=0), 0, ["1234", "0", "3", "0", ""]),
        (TextFormat(decimals=2, decimal_mark=",", thousands_mark="."), 2, ["1.234,50", "-0,25", "3,00", "0,00", ""]),
        (TextFormat(decimals=2, prefix="€ ", missing="-"), 2, ["€ 1234.50", "-€ 0.25", "€ 3.00", "€ 0.00", "-"]),
        (TextFormat(decimals=1, suffix="%", thousands_mark=","), 1, ["1,234.5%", "-0.2%", "3.0%", "0.0%", ""]),
    ],
)
def test_decimals(text: TextFormat, precision: int | None, expected: list[str]) -> None:
    assert spelt([1234.5, -0.25, 3.0, -0.0, np.nan], Kind.DECIMAL, text, precision=precision) == expected


def test_very_large_and_small_decimals_keep_their_exponent() -> None:
    assert spelt([1e-9, 1.5e300], Kind.DECIMAL, TextFormat(decimal_mark=",")) == ["1e-09", "1,5e+300"]


def test_numbers_that_all_had_an_exponent_keep_their_digits() -> None:
    for cells in (["1.152e-07", "4.000e+03", "n/a"], ["1,5e-07", "4,0e+03", "-2,5e+00"]):
        raw = read_table(("x;y\n" + "".join(f"{c};{i}\n" for i, c in enumerate(cells))).encode())
        schema = infer_schema(raw)
        assert spell(coerce(raw, schema)["x"], schema["x"]).to_pylist() == cells
    assert spelt([1 / 3, 2e-9], Kind.DECIMAL, TextFormat(exponent=True, mantissa=2)) == ["3.33e-01", "2.00e-09"]


def test_single_precision_has_no_more_digits_than_it_holds() -> None:
    assert spelt([-0.6066676333028094, 1e-9], Kind.DECIMAL, dtype="float32") == ["-0.60666764", "1e-09"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_full_precision_reads_back_as_the_same_float(values: list[float]) -> None:
    assert [float(t) for t in spelt(values, Kind.DECIMAL)] == values


@given(st.integers(0, 6), st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20), st.integers(0, 6))
@settings(max_examples=50, deadline=None)
def test_precision_reads_back_exactly(precision: int, units: list[int], least: int) -> None:
    values = [u / 10**precision for u in units]
    words = spelt(values, Kind.DECIMAL, TextFormat(decimals=min(least, precision)), precision=precision)
    assert [float(w) for w in words] == values
    places = [len(w.partition(".")[2]) for w in words]
    assert all(min(least, precision) <= p <= precision for p in places)


def test_labels_and_truth_in_their_own_words() -> None:
    assert spelt(["b", None, "a"], Kind.CATEGORY, TextFormat(missing="?"), categories=("a", "b")) == ["b", "?", "a"]
    words = TextFormat(true_word="ja", false_word="nein", missing="k.A.")
    assert spelt(["yes", "no", None], Kind.BOOLEAN, words, categories=("no", "yes")) == ["ja", "nein", "k.A."]
    assert spelt(["x", None], Kind.CONSTANT, categories=("x",)) == ["x", ""]
    assert spelt([None, None], Kind.EMPTY, TextFormat(missing="NULL")) == ["NULL", "NULL"]
    assert spelt(["A1", None], Kind.IDENTIFIER, identifier=IdentifierPattern()) == ["A1", ""]
    assert spelt([], Kind.TEXT) == []


MOMENTS = np.array(
    ["2024-02-29T13:05:09.123456", "1066-10-14T00:00:00", "9999-12-31T23:59:59.9", "NaT"], dtype="datetime64[us]"
)


@pytest.mark.parametrize(
    ("pattern", "digits", "first", "second"),
    [
        (None, 0, "2024-02-29 13:05:09", "1066-10-14 00:00:00"),
        (None, 3, "2024-02-29 13:05:09.123", "1066-10-14 00:00:00.000"),
        ("%Y-%m-%dT%H:%M:%S.%fZ", 6, "2024-02-29T13:05:09.123456Z", "1066-10-14T00:00:00.000000Z"),
        ("%d.%m.%Y %H:%M:%S,%f", 9, "29.02.2024 13:05:09,123456000", "14.10.1066 00:00:00,000000000"),
        ("%-d/%-m/%y %-I:%M %p", 0, "29/2/24 1:05 PM", "14/10/66 12:00 AM"),
        ("%a, %d %b %Y", 0, "Thu, 29 Feb 2024", "Sun, 14 Oct 1066"),
        ("%A %d. %B %Y, day %j, 100%%", 0, "Thursday 29. February 2024, day 060, 100%",
         "Sunday 14. October 1066, day 287, 100%"),
        ("%d%^b%Y", 0, "29FEB2024", "14OCT1066"),
        ("%Y%m%d%H%M%S", 0, "20240229130509", "10661014000000"),
    ],
)  # fmt: skip
def test_moments(pattern: str | None, digits: int, first: str, second: str) -> None:
    text = TextFormat(datetime_format=pattern, fraction_digits=digits, missing="NaT")
    words = spelt(MOMENTS, Kind.TIMESTAMP, text)
    assert (words[0], words[1], words[3]) == (first, second, "NaT")


def test_dates_beyond_nanoseconds() -> None:
    dates = np.array(["0800-12-25", "1400-01-01", "2500-06-30", "NaT"], dtype="datetime64[us]")
    assert spelt(dates, Kind.DATE) == ["0800-12-25", "1400-01-01", "2500-06-30", ""]
    text = TextFormat(datetime_format="%d.%m.%Y", missing="-")
    assert spelt(dates, Kind.DATE, text) == ["25.12.0800", "01.01.1400", "30.06.2500", "-"]


def test_moments_in_a_zone_follow_its_clock() -> None:
    utc = pd.Series(np.array(["2024-01-01T12:00", "2024-07-01T12:00", "NaT"], dtype="datetime64[us]"))
    berlin = utc.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    zone = {"timezone": "Europe/Berlin"}
    assert spelt(berlin, Kind.TIMESTAMP, **zone) == ["2024-01-01 13:00:00+01:00", "2024-07-01 14:00:00+02:00", ""]
    text = TextFormat(datetime_format="%Y-%m-%dT%H:%M%z %Z")
    expected = ["2024-01-01T13:00+0100 CET", "2024-07-01T14:00+0200 CEST", ""]
    assert spelt(berlin, Kind.TIMESTAMP, text, **zone) == expected
    fixed = utc.dt.tz_localize("UTC").dt.tz_convert("-03:30")
    text = TextFormat(datetime_format="%H:%M%:z")
    assert spelt(fixed, Kind.TIMESTAMP, text, timezone="-03:30") == ["08:30-03:30", "08:30-03:30", ""]


@given(st.lists(st.datetimes(min_value=datetime.datetime(1, 1, 1)), min_size=1, max_size=10))
@settings(max_examples=50, deadline=None)
def test_moments_agree_with_python(moments: list[datetime.datetime]) -> None:
    wall = np.array(moments, dtype="datetime64[us]").astype("int64")
    assert spell_times(wall, None, "%Y-%m-%dT%H:%M:%S.%f", 6) == [m.isoformat(timespec="microseconds") for m in moments]
    assert spell_times(wall, None, "%j %I %p") == [m.strftime("%j %I %p") for m in moments]
    assert spell_times(wall, None, "%a %b") == [m.ctime()[:7] for m in moments]


def test_an_unknown_code_is_an_error() -> None:
    with pytest.raises(ContractError, match="%Q"):
        spelt(MOMENTS, Kind.TIMESTAMP, TextFormat(datetime_format="%Q"))


@pytest.mark.parametrize(
    ("micros", "clock", "days_clock", "iso"),
    [
        (0, "00:00:00", "0 days 00:00:00", "PT0S"),
        (109_509_000_000, "30:25:09", "1 days 06:25:09", "P1DT6H25M9S"),
        (-3_600_000_000, "-01:00:00", "-1 days +23:00:00", "-PT1H"),
        (172_800_000_000, "48:00:00", "2 days 00:00:00", "P2D"),
    ],
)
def test_durations(micros: int, clock: str, days_clock: str, iso: str) -> None:
    assert spell_duration(micros, "clock") == clock
    assert spell_duration(micros, "days_clock") == days_clock == str(pd.Timedelta(micros, "us"))
    assert spell_duration(micros, "iso8601") == iso
    assert pd.Timedelta(iso.lstrip("-")) == abs(pd.Timedelta(micros, "us"))


def test_durations_with_fractions_and_gaps() -> None:
    spans = np.array([1_500_000, "NaT"], dtype="timedelta64[us]")
    assert spelt(spans, Kind.DURATION, TextFormat(fraction_digits=3)) == ["00:00:01.500", ""]
    text = TextFormat(fraction_digits=6, duration_style="iso8601", missing="?")
    assert spelt(spans, Kind.DURATION, text) == ["PT1.500000S", "?"]


def test_distinct_values_are_spelt_once_whatever_their_number() -> None:
    values = np.tile([1.25, np.nan, 2.5], 100_000)
    assert spelt(values, Kind.DECIMAL, TextFormat(decimals=2), precision=2)[-3:] == ["1.25", "", "2.50"]
