"""Canonical cells → text, spelt as the source spelt them: `TextFormat` read backwards.

Numbers show at least `decimals` digits after the mark and at most the column's `precision` (None: as many as the value
has). A minus stands before the prefix (-$5.00). Times follow strftime patterns with the codes
%Y %y %m %d %j %b %B %a %A %H %I %M %S %f %p %z %:z %Z %%, unpadded %-m %-d %-H %-I and upper-case %^b %^B %^a %^A;
names are English, years have four digits, and any year that datetime64[us] holds can be written.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.domain.errors import ContractError
from synthloom.domain.schema import Column, Kind, TextFormat

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY = 86_400_000_000
_SINGLE = ("float32", "Float32", "float[pyarrow]")
_CODE = re.compile(r"%([-^]?)(:?[A-Za-z%])")


def spell(series: pd.Series, column: Column) -> pa.Array:
    """The cells of one canonical column as text.

    Args:
        series: Canonical cells, shape (n,).
        column: What the column is and how it was written.

    Returns:
        large_string array of shape (n,) without nulls; missing cells read `column.text.missing`.

    Raises:
        ContractError: The column's time format holds a code nobody knows.
    """
    texts = _SPELLERS[column.kind](series, column)
    return texts.fill_null(column.text.missing) if texts.null_count else texts


def _spread(codes: pa.Array, words: list[str]) -> pa.Array:
    """Words at the positions of `codes`, null where a code is null."""
    return pc.take(pa.array(words, pa.large_string()), codes)


def _by_distinct(values: pa.Array, spell_all: Callable[[np.ndarray], list[str]]) -> pa.Array:
    """Spell each distinct value once and spread the words to the cells."""
    encoded = values.dictionary_encode()
    return _spread(encoded.indices, spell_all(encoded.dictionary.to_numpy(zero_copy_only=False)))


def _missing(series: pd.Series) -> np.ndarray:
    return series.isna().to_numpy(dtype=bool)


# -- numbers -----------------------------------------------------------------------------------------------------------


def _integers(series: pd.Series, column: Column) -> pa.Array:
    text = column.text
    values = pa.array(series.to_numpy(dtype="int64", na_value=0), mask=_missing(series))
    if not (text.decimals or text.thousands_mark or text.zero_pad or text.prefix or text.suffix):
        return pc.cast(values, pa.large_string())
    return _by_distinct(values, lambda numbers: [spell_integer(n, text) for n in numbers.tolist()])


def spell_integer(number: int, text: TextFormat) -> str:
    """One whole number in a column's style."""
    digits = f"{abs(number):,}".replace(",", text.thousands_mark) if text.thousands_mark else str(abs(number))
    if text.zero_pad:
        digits = digits.zfill(text.zero_pad)
    if text.decimals:
        digits += text.decimal_mark + "0" * text.decimals
    return _with_affixes("-" if number < 0 else "", digits, text)


def _with_affixes(sign: str, digits: str, text: TextFormat) -> str:
    bare = text.prefix.lstrip()
    return f"{text.prefix[: len(text.prefix) - len(bare)]}{sign}{bare}{digits}{text.suffix}"


def _decimals(series: pd.Series, column: Column) -> pa.Array:
    values = series.to_numpy(dtype="float64")
    array = pa.array(values, mask=np.isnan(values))
    return _by_distinct(array, lambda numbers: _spell_decimals(numbers, column))


def _spell_decimals(numbers: np.ndarray, column: Column) -> list[str]:
    text, least = column.text, column.text.decimals or 0
    if text.mantissa is not None:
        words = [f"{x + 0.0:.{text.mantissa}e}" for x in numbers.tolist()]
    elif column.precision is None or text.exponent:
        numbers = numbers if column.precision is None else np.round(numbers, column.precision)
        single = column.dtype in _SINGLE
        words = [_shortest(float(str(np.float32(x))) if single else x, least) for x in numbers.tolist()]
    else:
        most = max(column.precision, least)
        numbers = np.round(numbers, column.precision) + 0.0  # + 0.0 turns -0.0 into 0.0
        words = [f"{x:.{most}f}" for x in numbers.tolist()]
        if most > least:
            words = [_cut_zeros(w, most - least) for w in words]
    if text.exponent_mark == "E":
        words = [w.replace("e", "E") for w in words]
    if text.decimal_mark == "." and not (text.thousands_mark or text.prefix or text.suffix or text.zero_pad):
        return words
    return [_dress(w, text) for w in words]


def _shortest(number: float, least: int) -> str:
    """The shortest digits that read back as the same float, with at least `least` after the mark."""
    word = repr(number + 0.0)
    if "e" in word or "n" in word:
        return word
    whole, _, fraction = word.partition(".")
    fraction = ("" if fraction == "0" else fraction).ljust(least, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _cut_zeros(word: str, at_most: int) -> str:
    """Drop up to `at_most` zeros off the end, and the mark if nothing follows it."""
    cut = max(len(word.rstrip("0")), len(word) - at_most)
    return word[:cut].rstrip(".")


def _dress(word: str, text: TextFormat) -> str:
    sign, word = ("-", word[1:]) if word.startswith("-") else ("", word)
    number, exponent, power = word.partition(text.exponent_mark)
    whole, point, fraction = number.partition(".")
    if text.thousands_mark and not exponent:
        whole = f"{int(whole):,}".replace(",", text.thousands_mark)
    if text.zero_pad:
        whole = whole.zfill(text.zero_pad)
    digits = whole + (text.decimal_mark + fraction if point else "") + exponent + power
    return _with_affixes(sign, digits, text)


# -- labels and words --------------------------------------------------------------------------------------------------


def _labels(series: pd.Series, column: Column) -> pa.Array:
    codes = series.cat.codes.to_numpy()
    words = [str(label) for label in series.cat.categories]
    if column.kind is Kind.BOOLEAN and len(words) == 2:
        words = [column.text.false_word, column.text.true_word]
    return _spread(pa.array(codes, mask=codes < 0), words)


def _words(series: pd.Series, _column: Column) -> pa.Array:
    return pa.array(series.to_numpy(dtype=object), pa.large_string(), from_pandas=True)


# -- times -------------------------------------------------------------------------------------------------------------


def _times(series: pd.Series, column: Column) -> pa.Array:
    pattern = column.text.datetime_format or _default_pattern(column)
    missing = _missing(series)
    if not column.timezone:
        wall = series.to_numpy(dtype="datetime64[us]").astype("int64")
        values = pa.array(wall, mask=missing)
        return _by_distinct(values, lambda w: spell_times(w, None, pattern, column.text.fraction_digits))
    utc = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    encoded = pa.array(utc.astype("int64"), mask=missing).dictionary_encode()
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    zoned = pd.Series(distinct.astype("datetime64[us]")).dt.tz_localize("UTC").dt.tz_convert(series.dt.tz)
    wall = zoned.dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype("int64")
    abbreviations = [m.tzname() or "" for m in zoned] if "%Z" in pattern else None
    words = spell_times(wall, wall - distinct, pattern, column.text.fraction_digits, abbreviations)
    return _spread(encoded.indices, words)


def _default_pattern(column: Column) -> str:
    """ISO 8601 with a space, for columns that were no text."""
    if column.kind is Kind.DATE:
        return "%Y-%m-%d"
    fraction = ".%f" if column.text.fraction_digits else ""
    return f"%Y-%m-%d %H:%M:%S{fraction}{'%:z' if column.timezone else ''}"


def spell_times(
    wall: np.ndarray,
    offset: np.ndarray | None,
    pattern: str,
    fraction_digits: int = 0,
    zone_names: list[str] | None = None,
) -> list[str]:
    """Moments in a strftime pattern.

    Args:
        wall: What the clock on the wall shows, microseconds since 1970, int64, shape (u,).
        offset: Microseconds east of UTC, shape (u,); None where there is no zone.
        pattern: Codes as in the head of this file.
        fraction_digits: Digits %f stands for, 0 to 9.
        zone_names: What %Z stands for, shape (u,).

    Raises:
        ContractError: The pattern holds a code nobody knows.
    """
    template: list[str] = []
    fields: list[list[str] | list[int]] = []
    parts = _clock(wall, fraction_digits)
    last = 0
    for match in _CODE.finditer(pattern):
        template.append(pattern[last : match.start()].replace("%", "%%"))
        flag, code = match.groups()
        last = match.end()
        if code == "%":
            template.append("%%")
            continue
        if code == "f" and not fraction_digits:
            continue
        form: str = "%s"
        values: list[str] | list[int]
        if code in ("b", "B", "a", "A"):
            values = _named(code, flag, parts)
        elif code == "p":
            values = np.where(parts["H"] < 12, "AM", "PM").tolist()
        elif code in ("z", ":z"):
            values = _offsets(offset, len(wall), ":" if code == ":z" else "")
        elif code == "Z":
            values = zone_names or [""] * len(wall)
        else:
            form, values = _numbered(code, flag, parts)
            form = f"%0{fraction_digits}d" if code == "f" else form
        template.append(form)
        fields.append(values)
    template.append(pattern[last:].replace("%", "%%"))
    whole = "".join(template)
    return [whole % row for row in zip(*fields, strict=True)] if fields else [whole % ()] * len(wall)


def _clock(wall: np.ndarray, fraction_digits: int) -> dict[str, np.ndarray]:
    """Calendar and clock fields of wall-clock microseconds, each int64 of shape (u,), rounded down to the fraction."""
    unit = 10 ** max(6 - fraction_digits, 0)
    wall = wall // unit * unit
    days, within = np.divmod(wall, _DAY)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    years = dates.astype("datetime64[Y]")
    seconds, micros = np.divmod(within, 1_000_000)
    return {
        "Y": years.astype("int64") + 1970,
        "m": months.astype("int64") % 12 + 1,
        "d": (dates - months.astype("datetime64[D]")).astype("int64") + 1,
        "j": (dates - years.astype("datetime64[D]")).astype("int64") + 1,
        "weekday": (days + 3) % 7,
        "H": seconds // 3600,
        "M": seconds // 60 % 60,
        "S": seconds % 60,
        "f": micros // unit if fraction_digits <= 6 else micros * 10 ** (fraction_digits - 6),
    }


def _named(code: str, flag: str, parts: dict[str, np.ndarray]) -> list[str]:
    """Months and weekdays by name."""
    names: tuple[str, ...] = _MONTHS if code in "bB" else _DAYS
    index = parts["m"] - 1 if code in "bB" else parts["weekday"]
    names = names if code in "BA" else tuple(n[:3] for n in names)
    names = tuple(n.upper() for n in names) if flag == "^" else names
    return [names[i] for i in index.tolist()]


def _numbered(code: str, flag: str, parts: dict[str, np.ndarray]) -> tuple[str, list[int]]:
    """Calendar and clock fields: the %-form and the numbers."""
    numbers = {"y": parts["Y"] % 100, "I": (parts["H"] + 11) % 12 + 1} | parts
    if code not in numbers or len(code) != 1:
        raise ContractError(f"the time format holds %{flag}{code}, a code nobody knows.")
    width = {"Y": 4, "j": 3}.get(code, 2)
    return ("%d" if flag == "-" else f"%0{width}d"), numbers[code].tolist()


def _offsets(offset: np.ndarray | None, n: int, colon: str) -> list[str]:
    if offset is None:
        return [""] * n
    minutes = offset // 60_000_000
    names = {
        m: f"{'-' if m < 0 else '+'}{abs(m) // 60:02d}{colon}{abs(m) % 60:02d}" for m in np.unique(minutes).tolist()
    }
    return [names[m] for m in minutes.tolist()]


def _durations(series: pd.Series, column: Column) -> pa.Array:
    values = pa.array(series.to_numpy(dtype="timedelta64[us]").astype("int64"), mask=_missing(series))
    style, digits = column.text.duration_style, column.text.fraction_digits
    units = column.text.duration_units
    return _by_distinct(values, lambda micros: [spell_duration(m, style, digits, units) for m in micros.tolist()])


def spell_duration(micros: int, style: str, fraction_digits: int = 0, units: str = "") -> str:
    """A span of time.

    Args:
        micros: Its length in microseconds.
        style: clock (30:05:09), clock_minutes (30:05), days_clock (1 days 06:05:09, days rounded down as pandas does)
            or iso8601 (P1DT6H5M9S).
        fraction_digits: Digits of a second's fraction, 0 to 9.
        units: Of iso8601: those of D, H, M, S that are written even when they are zero.
    """
    if style == "days_clock":
        days, rest = divmod(micros, _DAY)
        return f"{days} days {'+' if days < 0 else ''}{_hms(rest, fraction_digits)}"
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if style == "clock":
        return sign + _hms(micros, fraction_digits)
    if style == "clock_minutes":
        return f"{sign}{micros // 3_600_000_000:02d}:{micros // 60_000_000 % 60:02d}"
    days, rest = divmod(micros, _DAY)
    hours, minutes, seconds = rest // 3_600_000_000, rest // 60_000_000 % 60, rest // 1_000_000 % 60
    units = units or ("" if micros else "S")  # nothing at all would be no duration
    written = seconds or rest % 1_000_000 or "S" in units
    tail = f"{seconds}{_fraction(rest, fraction_digits)}S" if written else ""
    clock = (f"{hours}H" if hours or "H" in units else "") + (f"{minutes}M" if minutes or "M" in units else "") + tail
    return f"{sign}P{f'{days}D' if days or 'D' in units else ''}{f'T{clock}' if clock else ''}"


def _hms(micros: int, fraction_digits: int) -> str:
    seconds = micros // 1_000_000
    return (
        f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{_fraction(micros, fraction_digits)}"
    )


def _fraction(micros: int, digits: int) -> str:
    return f".{micros % 1_000_000:06d}".ljust(10, "0")[: digits + 1] if digits else ""


_SPELLERS: dict[Kind, Callable[[pd.Series, Column], pa.Array]] = {
    Kind.INTEGER: _integers,
    Kind.DECIMAL: _decimals,
    Kind.BOOLEAN: _labels,
    Kind.CATEGORY: _labels,
    Kind.ORDERED: _labels,
    Kind.CONSTANT: _labels,
    Kind.DATE: _times,
    Kind.TIMESTAMP: _times,
    Kind.DURATION: _durations,
    Kind.IDENTIFIER: _words,
    Kind.TEXT: _words,
    Kind.EMPTY: _words,
}
