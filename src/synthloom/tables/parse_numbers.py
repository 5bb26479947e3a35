"""Numbers as people write them: marks, thousands, currency, percent, exponents."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.domain.schema import TextFormat
from synthloom.tables.cells import Texts, is_in, keep, matches, some, to_bool

_CURRENCIES = (
    r"US\$|C\$|A\$|R\$|[$€£¥₹₽₩₺₫₴₦฿]|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|AUD|CAD|Rs\.?|kr\.?|Fr\."
)
_UNITS = (
    r"%|‰|°C|°F|°|kg|mg|µg|g|lbs?|oz|km|cm|mm|m|ft|in|ml|dl|l|kWh|kW|W|V|A|Hz|bpm|mmHg|mg/dl|mmol/l|years?|yrs?|months?"
    r"|weeks?|days?|hours?|hrs?|h|minutes?|mins?|min|seconds?|secs?|sec|s|ms"
)
_PARTS = re.compile(
    rf"(?P<lead>\s*)(?P<sign>[-+]?)(?P<pre>(?:{_CURRENCIES})?\s?)"
    r"(?P<body>[-+]?[\d.,](?:[\d.,' \u00a0\u202f]*[\d.,])?(?:[eE][-+]?\d+)?)"
    rf"(?P<suf>\s?(?:{_UNITS}|{_CURRENCIES})?)(?P<tail>\s*)"
)
_THOUSANDS = (",", ".", " ", "'", "\u00a0", "\u202f")
_INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "∞", "-∞"})
INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Numbers:
    """What texts read as numbers give.

    Attributes:
        values: float64, shape (u,); NaN where not `ok`.
        whole: int64, shape (u,), when every `ok` text is a whole number within int64; else None.
        ok: Which texts are numbers, shape (u,).
        fraction: Decimal places of each text as a plain number (3 of 0.125, 7 of 2.5e-06), shape (u,); 0 where not
            `ok`.
        exponent: Which texts are numbers written with an exponent, shape (u,).
        leading_zeros: Whether any number starts with a zero before another digit.
    """

    values: np.ndarray
    whole: np.ndarray | None
    ok: np.ndarray
    fraction: np.ndarray
    exponent: np.ndarray
    leading_zeros: bool


def infinite(texts: Texts) -> np.ndarray:
    """Which texts spell an infinity, shape (u,)."""
    return is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), _INFINITE)


def _body_regex(decimal: str, thousands: str) -> str:
    d = re.escape(decimal)
    if not thousands:
        return rf"[-+]?(?:\d+(?:{d}\d*)?|{d}\d+)(?:[eE][-+]?\d+)?"
    t = re.escape(thousands)
    return rf"[-+]?(?:[1-9]\d{{0,2}}(?:{t}\d{{3}})+|\d{{1,3}})(?:{d}\d+)?"


def _mark_choices(delimiter: str) -> list[tuple[str, str]]:
    comma, groups = (",", ""), (".", ",")
    first = [comma, groups] if delimiter in (";", "\t") else [groups, comma]
    rest = [(d, t) for t in _THOUSANDS for d in (".", ",") if d != t and (d, t) != groups]
    return [(".", ""), *first, *rest]


def guess_number_format(texts: Texts, delimiter: str = ",") -> TextFormat | None:
    """How most of the texts are written as numbers, or None when they are none.

    Args:
        texts: Distinct texts, missing spellings taken out.
        delimiter: The file's delimiter: with ";" a lone comma is a decimal mark, with "," it groups thousands.
    """
    sample = some(texts)
    parts = [m for m in map(_PARTS.fullmatch, sample) if m]
    if not sample or len(parts) < 0.5 * len(sample):
        return None
    affixes = Counter((m["lead"] + m["pre"], m["suf"] + m["tail"]) for m in parts)
    (prefix, suffix), _ = affixes.most_common(1)[0]
    bodies = [m["body"] for m in parts if (m["lead"] + m["pre"], m["suf"] + m["tail"]) == (prefix, suffix)]
    if len(bodies) < len(parts):  # white space that not every cell has is no part of the format
        prefix, suffix = prefix if prefix.strip() else "", suffix if suffix.strip() else ""
        bodies = [m["body"] for m in parts]
    best: tuple[float, tuple[str, str]] = (0.0, (".", ""))
    for choice in _mark_choices(delimiter):
        regex = re.compile(_body_regex(*choice))
        share = sum(regex.fullmatch(b) is not None for b in bodies) / len(sample)
        if share > best[0] + 1e-9:
            best = (share, choice)
    if best[0] < 0.5:
        return None
    decimal, thousands = best[1]
    return TextFormat(decimal_mark=decimal, thousands_mark=thousands, prefix=prefix, suffix=suffix)


def read_numbers(texts: Texts, style: TextFormat) -> Numbers:
    """Read distinct texts as numbers written in a style (its marks, prefix and suffix).

    Args:
        texts: Distinct texts, missing spellings taken out.
        style: Only `decimal_mark`, `thousands_mark`, `prefix` and `suffix` are used.
    """
    plain, ok = _plain(texts, style)
    good = plain if ok.all() else keep(plain, ok)
    values = np.full(len(texts), np.nan)
    values[ok] = pc.cast(good, pa.float64()).to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    if not finite[ok].all():  # 1e999 overflows
        ok = ok & finite
        good = keep(plain, ok)
        values[~ok] = np.nan
    fraction = np.zeros(len(texts), dtype="int64")
    exponent = np.zeros(len(texts), dtype=bool)
    exponent[ok] = powers = to_bool(pc.match_substring(good, "e", ignore_case=True))
    point = pc.find_substring(good, ".").to_numpy(zero_copy_only=False)
    length = pc.binary_length(good).to_numpy(zero_copy_only=False)
    fraction[ok] = np.where(point >= 0, length - point - 1, 0)
    if powers.any():
        parts = pc.extract_regex(keep(good, powers), r"^[-+]?[0-9]*\.?(?P<f>[0-9]*)[eE](?P<e>[-+]?[0-9]{1,4})")
        shift = pc.cast(pc.utf8_ltrim(pc.struct_field(parts, "e"), "+"), pa.int64()).to_numpy(zero_copy_only=False)
        mantissa = pc.binary_length(pc.struct_field(parts, "f")).to_numpy(zero_copy_only=False)
        fraction[np.flatnonzero(ok)[powers]] = np.maximum(mantissa - shift, 0)
    zeros = bool(to_bool(pc.match_substring_regex(good, r"^[-+]?0[0-9]")).any())
    whole = None
    if not powers.any() and not fraction.any():
        whole = _whole(good, ok)
    return Numbers(values, whole, ok, fraction, exponent, zeros)


def _plain(texts: Texts, style: TextFormat) -> tuple[Texts, np.ndarray]:
    """The texts as 123.45, and which of them are numbers in the style."""
    plain = pc.utf8_trim_whitespace(texts)
    ok = np.ones(len(texts), dtype=bool)
    prefix, suffix = style.prefix.strip(), style.suffix.strip()
    if prefix:
        pattern = rf"^([-+]?){re.escape(prefix)}\s?"
        ok &= to_bool(pc.match_substring_regex(plain, pattern))
        plain = pc.replace_substring_regex(plain, pattern, r"\1", max_replacements=1)
    if suffix:
        pattern = rf"\s?{re.escape(suffix)}$"
        ok &= to_bool(pc.match_substring_regex(plain, pattern))
        plain = pc.replace_substring_regex(plain, pattern, "", max_replacements=1)
    ok &= matches(plain, _body_regex(style.decimal_mark, style.thousands_mark))
    if style.thousands_mark:
        plain = pc.replace_substring(plain, style.thousands_mark, "")
    if style.decimal_mark == ",":
        plain = pc.replace_substring(plain, ",", ".")
    if to_bool(pc.starts_with(plain, "+")).any():
        plain = pc.utf8_ltrim(plain, "+")
    return plain, ok


def _whole(good: Texts, ok: np.ndarray) -> np.ndarray | None:
    digits = pc.utf8_rtrim(good, ".") if to_bool(pc.match_substring(good, ".")).any() else good
    try:
        numbers = pc.cast(digits, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # beyond int64
        return None
    whole = np.zeros(len(ok), dtype="int64")
    whole[ok] = numbers
    return whole


def whole_values(numbers: Numbers) -> np.ndarray | None:
    """The numbers as int64 when all are whole (also when written 3.0), else None."""
    if numbers.whole is not None:
        return numbers.whole
    values = numbers.values[numbers.ok]
    if numbers.exponent.any() or (np.abs(values) > 2**53).any() or (values != np.rint(values)).any():
        return None
    return np.where(numbers.ok, numbers.values, 0).astype("int64")


def decimal_places(numbers: Numbers) -> tuple[int | None, int | None]:
    """(precision, decimals): places to round to (None: full precision) and places shown at least (None: none)."""
    most = int(numbers.fraction[numbers.ok].max(initial=0))
    plain = numbers.fraction[numbers.ok & ~numbers.exponent]
    rounds = most <= 12 and bool((np.abs(numbers.values[numbers.ok]) < 2**53).all())
    return (most if rounds else None), (int(plain.min()) if len(plain) else 0) or None


def mantissa_places(texts: Texts, numbers: Numbers, style: TextFormat) -> int | None:
    """Digits after the mark before the exponent, when all texts have an exponent and equally many; else None."""
    if not numbers.exponent[numbers.ok].all() or not numbers.ok.any():
        return None
    mark = re.escape(style.decimal_mark)
    parts = pc.extract_regex(keep(texts, numbers.ok), rf"[0-9](?:{mark}(?P<f>[0-9]*))?[eE]")
    places = pc.unique(pc.binary_length(pc.struct_field(parts, "f"))).to_pylist()
    return places[0] if len(places) == 1 and places[0] is not None and places[0] <= 17 else None


def exponent_mark(texts: Texts, numbers: Numbers) -> Literal["e", "E"]:
    """The letter that most exponents are written with."""
    powers = keep(texts, numbers.exponent)
    return "E" if len(powers) and to_bool(pc.match_substring_regex(powers, "[0-9.]E")).mean() > 0.5 else "e"


def float_places(values: np.ndarray, single: bool = False) -> int | None:
    """The fewest decimal places (0 to 9) that keep every value as it is; None when more are needed.

    Args:
        values: Finite floats.
        single: Whether they came from float32.
    """
    if not (np.abs(values) < 2**53).all():  # such floats have no decimal places
        return None
    for digits in range(10):
        rounded = np.round(values, digits)
        same = rounded.astype("float32") == values.astype("float32") if single else rounded == values
        if same.all():
            return digits
    return None
