"""Dates, timestamps and durations as people write them.

Formats are strftime patterns with these codes: %Y %y %m %d %b %B %a %A %H %I %M %S %f %p %z, and
`%-m %-d %-H %-I` (not padded), `%^b` (JAN), `%:z` (+02:00). %f stands for 1 to 9 digits of a second's fraction.
A literal "Z", " UTC" or " GMT" means UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.tables.cells import Texts, matches, some, to_bool

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)
_DATES = (
    *(f"%Y{s}%m{s}%d" for s in "-/."), "%Y%m%d",
    *(f"%{a}{s}%{b}{s}%{y}" for y in "Yy" for s in "/.-" for a, b in ("md", "dm")),
    *(f"%d{s}%b{s}%{y}" for y in "Yy" for s in " -/"), "%d. %b %Y", "%d %B %Y", "%d. %B %Y", "%d-%B-%Y",
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%Y-%b-%d", "%Y-%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y",
)
_CLOCKS = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%H%M%S")
_ZONES = ("", "Z", "%:z", "%z", " %:z", " %z", " UTC", " GMT")
_CODES = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})",
    "b": r"(?P<b>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec))",
    "B": rf"(?P<b>(?i:{'|'.join(_MONTH_NAMES)}))",
    "a": r"(?i:mon|tue|wed|thu|fri|sat|sun)", "A": r"(?i:monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    "H": r"(?P<H>\d{1,2})", "I": r"(?P<I>\d{1,2})", "M": r"(?P<M>\d{2})", "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,9})", "p": r"(?P<p>(?i:am|pm|a\.m\.|p\.m\.))",
    "z": r"(?P<z>[-+]\d{4}|Z)", ":z": r"(?P<z>[-+]\d{2}:\d{2}|Z)",
}
_CODE = re.compile(r"%([-^]?)(:?[A-Za-z])")
DAY = 86_400_000_000
"""Microseconds of a day."""


@dataclass(frozen=True)
class Times:
    """What texts read as times give.

    Attributes:
        micros: Microseconds since 1970 as the clock on the wall shows them, int64, shape (u,); 0 where not `ok`.
        offset: Minutes east of UTC, int64, shape (u,); None when the format has no zone.
        ok: Which texts are times in the format, shape (u,).
        fraction_digits: Most digits of a second's fraction.
        cut: Whether digits beyond the microsecond were cut.
    """

    micros: np.ndarray
    offset: np.ndarray | None
    ok: np.ndarray
    fraction_digits: int
    cut: bool


@dataclass(frozen=True)
class TimeGuess:
    """A format and what is doubtful about it.

    Attributes:
        format: strftime pattern.
        order: How day and month were told apart: "certain", "convention" (dots mean day first) or "ambiguous".
    """

    format: str
    order: Literal["certain", "convention", "ambiguous"] = "certain"


def format_regex(pattern: str) -> str:
    """The regular expression (for re and RE2) of texts written in a strftime pattern."""
    out, last = [], 0
    fixed = pattern.startswith("%Y%m%d") or "%H%M%S" in pattern
    for match in _CODE.finditer(pattern):
        literal = pattern[last : match.start()]
        code = match.group(2)
        if code == "f" and literal.endswith("."):
            out += [re.escape(literal[:-1]), rf"(?:\.{_CODES['f']})?"]
        else:
            regex = _CODES[code]
            out += [re.escape(literal), regex.replace("{1,2}", "{2}") if fixed else regex]
        last = match.end()
    return "".join([*out, re.escape(pattern[last:])])


def check_format(pattern: str) -> str | None:
    """Why a strftime pattern cannot be used to read times, or None when it can."""
    codes = [m.group(2) for m in _CODE.finditer(pattern)]
    unknown = sorted({c for c in codes if c not in _CODES} | set(re.findall(r"%(?![-^]?:?[A-Za-z])", pattern)))
    if unknown:
        return f"the code %{unknown[0].lstrip('%')} is not known"
    if len(set(codes)) != len(codes):
        return "a code stands twice"
    if not ({"Y", "y"} & set(codes) and {"m", "b", "B"} & set(codes)):
        return "it lacks a year or a month"
    return None


def guess_time_format(texts: Texts) -> TimeGuess | None:
    """The format most texts are written in as dates or timestamps, or None when they are none.

    Day-first and month-first are told apart over all texts: a first number above 12 anywhere means day first.
    Where both fit, dots mean day first by convention; otherwise month first is taken and called ambiguous.
    """
    sample = [t.strip() for t in some(texts)]
    if not sample or sum(len(t) >= 6 and any(c.isdigit() for c in t) for t in sample) < 0.5 * len(sample):
        return None
    choices: dict[str, float] = {}
    for text in dict.fromkeys((sample[0], sample[len(sample) // 2], max(sample, key=len))):
        for pattern in _fitting(text):
            if pattern not in choices:
                regex = re.compile(format_regex(pattern))
                choices[pattern] = sum(regex.fullmatch(t) is not None for t in sample) / len(sample)
    top = max(choices.values(), default=0.0)
    if top < 0.5:
        return None
    best = [p for p, share in choices.items() if share == top]
    best = [p for p in best if "%S" not in p or p.replace("%S", "%S.%f", 1) not in best]  # .%f may be left out
    return _decide(texts, best)


def _fitting(text: str) -> list[str]:
    """Every pattern that the one text is written in."""
    found = []
    for weekday in ("", "%a, ", "%A, ", "%a "):
        for date in _DATES:
            head = re.match(format_regex(weekday + date), text)
            if not head:
                continue
            rest = text[head.end() :]
            if not rest:
                found.append(weekday + date)
            for gap in ("T", " ", ", ") if "%d" in date else ():
                for clock in _CLOCKS:
                    found += [
                        weekday + date + gap + clock + zone for zone in _ZONES
                        if re.fullmatch(format_regex(gap + clock + zone).lstrip("^"), rest)
                    ]
    return found


def _decide(texts: Texts, best: list[str]) -> TimeGuess | None:
    """The best of the patterns that fit the sample alike, tried on all texts."""
    if len(best) == 1:
        return TimeGuess(_dress(texts, best[0]))
    score = {p: float(read_times(texts, p).ok.mean()) for p in best[:6]}
    top = max(score.values())
    fits = [p for p in best[:6] if score[p] >= top - 1e-12]
    month_first = [p for p in fits if re.search(r"%m.%d.%[Yy]", p)]
    day_first = [p for p in fits if re.search(r"%d.%m.%[Yy]", p)]
    order: Literal["certain", "convention", "ambiguous"] = "certain"
    choice = fits[0]
    if month_first and day_first:
        dots = "%d.%m." in day_first[0]
        order, choice = ("convention", day_first[0]) if dots else ("ambiguous", month_first[0])
    return TimeGuess(_dress(texts, choice), order)


def _dress(texts: Texts, pattern: str) -> str:
    """The pattern with padding, letter case and fraction as the texts have them."""
    if (bare := pattern.replace(".%f", "")) != pattern and _fixed_width(texts, bare) is not None:
        pattern = bare
    if _fixed_width(texts, pattern) is not None:
        return pattern
    groups = _groups(texts, pattern)
    for code in "mdHI":
        if code in groups and to_bool(pc.equal(pc.binary_length(groups[code]), 1)).any():
            pattern = pattern.replace(f"%{code}", f"%-{code}")
    if "f" in groups and groups["f"].null_count == len(texts):
        pattern = pattern.replace(".%f", "")
    if "b" in groups and to_bool(pc.utf8_is_upper(groups["b"])).all():
        pattern = pattern.replace("%b", "%^b").replace("%B", "%^B")
    return pattern


def _groups(texts: Texts, pattern: str) -> dict[str, Texts]:
    """The named parts of each text, null where the text is not written in the pattern or the part is empty."""
    parts = pc.extract_regex(pc.utf8_trim_whitespace(texts), f"^{format_regex(pattern)}$")
    out = {}
    for field in parts.type:
        part = pc.struct_field(parts, field.name)
        out[field.name] = pc.if_else(pc.equal(part, ""), pa.scalar(None, part.type), part)
    return out


def read_times(texts: Texts, pattern: str) -> Times:
    """Read distinct texts as dates or timestamps written in a strftime pattern.

    Args:
        texts: Distinct texts, missing spellings taken out.
        pattern: As in the head of this file. Without %d the first of the month is meant.
    """
    groups: dict[str, Texts] = {}
    number = _fixed_width(texts, pattern)
    if number is None and ".%f" in pattern:  # no text has a fraction
        number = _fixed_width(texts, pattern.replace(".%f", ""))
    if number is None:
        groups = _groups(texts, pattern)
        number = {k: _ints(v) for k, v in groups.items() if k in "YymdHIMS"}
    year = number["Y"] if "Y" in number else number["y"] + np.where(number["y"] < 69, 2000, 1900)
    ok = (number["Y"] >= 1) if "Y" in number else (number["y"] >= 0)
    month = number["m"] if "m" in number else _month(groups["b"])
    day = number.get("d", np.ones(len(texts), dtype="int64"))
    ok &= (month >= 1) & (month <= 12) & (day >= 1)
    first = (np.where(ok, year, 1970) - 1970).astype("M8[Y]").astype("M8[M]") + (np.where(ok, month, 1) - 1)
    date = first.astype("M8[D]") + (np.where(ok, day, 1) - 1)
    ok &= date.astype("M8[M]") == first
    hour, minute, second = (number.get(c, np.zeros(len(texts), dtype="int64")) for c in "HMS")
    if "I" in number:
        twelve = number["I"]
        ok &= (twelve >= 1) & (twelve <= 12)
        afternoon = to_bool(pc.starts_with(pc.utf8_lower(groups["p"]), "p"))
        hour = twelve % 12 + 12 * afternoon
    ok &= (hour >= 0) & (hour < 24) & (minute >= 0) & (minute < 60) & (second >= 0) & (second < 60)
    micros = date.astype("int64") * DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000
    digits, cut = 0, False
    if "nanos" in number:
        micros = micros + number["nanos"] // 1000
        digits, cut = int(number["digits"][0]), bool((number["nanos"][ok] % 1000).any())
    if "f" in groups:
        fraction, digits, cut = _fraction(groups["f"])
        micros = micros + fraction
    return Times(np.where(ok, micros, 0), _offset(groups, pattern, len(texts)), ok, digits, cut)


_WIDTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}


def _fixed_width(texts: Texts, pattern: str) -> dict[str, np.ndarray] | None:
    """The numbers of a pattern when all texts are as long as it and it holds nothing but padded numbers.

    A fast road for the usual case: the bytes of all texts are one matrix, each number a few of its columns.

    Returns:
        Number per code, -1 where a text does not fit; `nanos` and `digits` for %f. None: take the slow road.
    """
    tokens = re.findall(r"%[-^]?:?[A-Za-z]|[^%]", pattern)
    codes = [t for t in tokens if t.startswith("%")]
    if len(texts) < 100 or not all(c[1:] in _WIDTHS or c == "%f" for c in codes):
        return None
    plain = pc.utf8_trim_whitespace(texts)
    ends = pc.min_max(pc.binary_length(plain)).as_py()
    width = ends["min"]
    rest = width - sum(_WIDTHS.get(t[1:], 0) if t.startswith("%") else len(t.encode()) for t in tokens)
    if ends["max"] != width or (not 1 <= rest <= 9 if "%f" in codes else rest != 0):
        return None
    matrix = _bytes(plain, width)
    fits = np.ones(len(texts), dtype=bool)
    out: dict[str, np.ndarray] = {}
    at = 0
    for token in tokens:
        size = _WIDTHS.get(token[1:], rest) if token.startswith("%") else len(token.encode())
        part = [np.ascontiguousarray(matrix[:, k]) for k in range(at, at + size)]
        at += size
        if not token.startswith("%"):
            for column, byte in zip(part, token.encode(), strict=True):
                fits &= column == byte
            continue
        number = np.zeros(len(texts), dtype="int64")
        for column in part:
            digit = column - np.uint8(48)  # wraps around below "0"
            fits &= digit <= 9
            number = number * 10 + digit
        out[token[1:]] = number
    for code, values in out.items():
        out[code] = np.where(fits, values, -1 if code != "f" else 0)
    if "f" in out:
        out |= {"nanos": out.pop("f") * 10 ** (9 - rest), "digits": np.array([rest])}
    return out


def _bytes(texts: Texts, width: int) -> np.ndarray:
    """The bytes of texts that are all `width` long, uint8, shape (u, width)."""
    array = pa.concat_arrays([texts.cast(pa.large_string())])
    start = int(np.frombuffer(array.buffers()[1], dtype="int64")[array.offset])
    return np.frombuffer(array.buffers()[2], dtype="uint8")[start : start + len(array) * width].reshape(-1, width)


def _ints(part: Texts) -> np.ndarray:
    return pc.cast(part, pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _month(part: Texts) -> np.ndarray:
    short = pc.utf8_slice_codeunits(pc.utf8_lower(part), 0, 3)
    index = pc.index_in(short, value_set=pa.array(_MONTHS, part.type))
    return index.fill_null(-1).to_numpy(zero_copy_only=False).astype("int64") + 1  # type: ignore[no-any-return]


def _fraction(part: Texts) -> tuple[np.ndarray, int, bool]:
    """(microseconds, most digits, whether digits below a microsecond were cut)."""
    length = pc.binary_length(part).fill_null(0)
    digits = int(pc.max(length).as_py() or 0)
    nanos = pc.cast(pc.utf8_rpad(part.fill_null("0"), 9, "0"), pa.int64()).to_numpy(zero_copy_only=False)
    return nanos // 1000, digits, bool((nanos % 1000).any())


def _offset(groups: dict[str, Texts], pattern: str, n: int) -> np.ndarray | None:
    if "z" not in groups:
        return np.zeros(n, dtype="int64") if pattern.endswith(("Z", " UTC", " GMT")) else None
    part = pc.if_else(pc.equal(groups["z"], "Z"), "+0000", pc.replace_substring(groups["z"], ":", ""))
    number = pc.cast(pc.utf8_slice_codeunits(part, 1, 5), pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    minutes: np.ndarray = number // 100 * 60 + number % 100
    return np.where(to_bool(pc.starts_with(part, "-")), -minutes, minutes)


# Durations ------------------------------------------------------------------------------------------------------------

DurationStyle = Literal["clock", "clock_minutes", "days_clock", "iso8601"]
_DURATIONS: dict[DurationStyle, str] = {
    "clock": r"(?P<sign>[-+]?)(?P<H>\d{1,6}):(?P<M>[0-5]\d):(?P<S>[0-5]\d)(?:\.(?P<f>\d{1,9}))?",
    "clock_minutes": r"(?P<sign>[-+]?)(?P<H>\d{1,4}):(?P<M>[0-5]\d)",
    "days_clock": r"(?P<sign>)(?P<D>[-+]?\d{1,6}) days?(?:,? \+?(?P<H>\d{1,2}):(?P<M>[0-5]\d):(?P<S>[0-5]\d)"
                  r"(?:\.(?P<f>\d{1,9}))?)?",
    "iso8601": r"(?P<sign>[-+]?)P(?:(?P<W>\d{1,5})W)?(?:(?P<D>\d{1,6})D)?(?:T(?:(?P<H>\d{1,7})H)?(?:(?P<M>\d{1,8})M)?"
               r"(?:(?P<S>\d{1,9})(?:\.(?P<f>\d{1,9}))?S)?)?",
}
_SECONDS = {"W": 604_800, "D": 86_400, "H": 3_600, "M": 60, "S": 1}


def guess_duration_style(texts: Texts) -> DurationStyle | None:
    """How most texts are written as durations, or None when they are none."""
    sample = pa.array([t.strip() for t in some(texts)], pa.large_string())
    shares = {s: float(matches(sample, r).mean()) for s, r in _DURATIONS.items()} if len(sample) else {}
    style = max(shares, key=lambda s: shares[s], default=None)
    return style if style is not None and shares[style] >= 0.5 else None


def duration_units(texts: Texts) -> str:
    """The units (of D, H, M, S) that every ISO 8601 duration is written with, and one of them as zero; else none.

    A table of short trips may say PT0H28M; where no unit is ever zero, only those that are needed are written.
    """
    zero = bool(to_bool(pc.match_substring_regex(texts, r"(^|[A-Z])0+[DHMS]")).any())
    everywhere = {u for u in "DHMS" if bool(to_bool(pc.match_substring_regex(texts, rf"[0-9]{u}")).all())}
    return "".join(u for u in "DHMS" if u in everywhere) if zero else ""


def read_durations(texts: Texts, style: DurationStyle) -> Times:
    """Read distinct texts as durations; `micros` is their length.

    In `days_clock` the sign belongs to the days alone ("-1 days +23:00:00" is minus one hour), as pandas writes it.
    """
    parts = pc.extract_regex(pc.utf8_trim_whitespace(texts), f"^{_DURATIONS[style]}$")
    ok = np.asarray(parts.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    groups = {f.name: pc.struct_field(parts, f.name) for f in parts.type}
    empty = pa.scalar(None, pa.large_string())
    groups = {k: pc.if_else(pc.equal(v, ""), empty, v) for k, v in groups.items()}
    micros = np.zeros(len(texts), dtype="int64")
    filled = np.zeros(len(texts), dtype=bool)
    for code, seconds in _SECONDS.items():
        if code in groups:
            filled |= to_bool(groups[code].is_valid())
            sign_free = pc.cast(pc.utf8_ltrim(groups[code], "+"), pa.int64()).fill_null(0)
            micros += sign_free.to_numpy(zero_copy_only=False) * (seconds * 1_000_000)
    fraction, digits, cut = _fraction(groups["f"]) if "f" in groups else (np.int64(0), 0, False)
    micros = micros + fraction
    micros = np.where(to_bool(pc.equal(groups["sign"], "-")), -micros, micros)
    return Times(np.where(ok & filled, micros, 0), None, ok & filled, digits, cut)
