"""Columns of text that hold values: numbers, times, durations."""

from __future__ import annotations

from typing import Any

import numpy as np

from synthloom.domain.errors import SchemaError
from synthloom.domain.schema import Column, Kind, TextFormat
from synthloom.tables.cells import Cells, Texts, count_distinct, keep
from synthloom.tables.decide import decide_whole
from synthloom.tables.identifiers import pattern_of_whole
from synthloom.tables.infer_words import truth_column, words_column
from synthloom.tables.parse_numbers import (
    Numbers,
    decimal_places,
    exponent_mark,
    guess_number_format,
    mantissa_places,
    read_numbers,
    whole_values,
)
from synthloom.tables.parse_times import (
    DAY,
    Times,
    check_format,
    duration_units,
    guess_duration_style,
    guess_time_format,
    read_durations,
    read_times,
)
from synthloom.tables.spot import Found, Spot, make_column
from synthloom.tables.words import says_time, truth_labels


def numbers_found(cells: Cells, gone: np.ndarray, spot: Spot) -> Found | None:
    """The column read as numbers."""
    texts = keep(cells.texts, ~gone)
    style = guess_number_format(texts, spot.raw.file.delimiter)
    if style is None:
        return None
    numbers = read_numbers(texts, style)
    if not numbers.ok.any() or (numbers.leading_zeros and not style.prefix.strip() + style.suffix.strip()):
        return None
    if numbers.whole is None and not numbers.fraction.any() and not numbers.exponent.any():
        return None  # whole numbers too long to be amounts: words, or an identifier
    return Found("numbers", numbers.ok, lambda: numbers_column(cells, gone, spot, numbers, style))


def numbers_column(
    cells: Cells, gone: np.ndarray, spot: Spot, numbers: Numbers, style: TextFormat, *, kind: Kind | None = None
) -> Column:
    """An integer or decimal column (or what whole numbers turn out to mean)."""
    texts = keep(cells.texts, ~gone)
    precision, always = decimal_places(numbers)
    if numbers.leading_zeros and numbers.whole is not None:
        widths = {len(t.strip()) for t in texts.to_pylist()}
        style = style.model_copy(update={"zero_pad": max(widths)})
    text = style.model_copy(update={
        "decimals": always, "exponent": bool(numbers.exponent.any()), "exponent_mark": exponent_mark(texts, numbers),
        "mantissa": mantissa_places(texts, numbers, style),
    })
    per_cell = np.zeros(len(gone), dtype="int64")
    per_cell[~gone] = np.arange(len(texts))
    filled = np.append(~gone, False)[cells.codes]
    whole = whole_values(numbers)
    rows = per_cell[cells.codes[filled]]
    n_unique = count_distinct(numbers.values)
    facts: dict[str, Any] = {"text": text, "n_unique": n_unique}
    if kind is None:
        if whole is None:
            reason = _decimal_reason(precision, style)
            return make_column(cells, gone, spot, Kind.DECIMAL, reason, precision=precision, **facts)
        kind, reason = decide_whole(spot.name, whole[rows], n_unique)
        if kind is Kind.INTEGER and numbers.whole is not None and not style.prefix and not style.suffix:
            dated = _packed_dates(cells, gone, spot, texts)
            if dated is not None:
                return dated
    else:
        reason = "the schema file says so"
    labels = n_unique == len(texts)
    plain = not (style.prefix or style.suffix or style.thousands_mark or always)
    if kind is Kind.BOOLEAN and labels and (truth := truth_labels(texts.to_pylist())):
        return truth_column(cells, gone, spot, truth, reason)
    if kind is Kind.IDENTIFIER and plain and whole is not None and not numbers.leading_zeros:
        return make_column(
            cells, gone, spot, kind, reason, identifier=pattern_of_whole(whole), label_type="integer", n_unique=n_unique
        )
    if kind is Kind.CATEGORY and plain:
        return words_column(cells, gone, spot, kind=kind).model_copy(update={"reason": reason, "label_type": "integer"})
    if kind is Kind.DECIMAL:
        return make_column(cells, gone, spot, kind, reason, precision=precision, **facts)
    return make_column(cells, gone, spot, Kind.INTEGER, "every filled cell is a whole number", **facts)




def _decimal_reason(precision: int | None, style: TextFormat) -> str:
    places = "" if precision is None else f" with up to {precision} decimal place{'' if precision == 1 else 's'}"
    marks = " and a decimal comma" if style.decimal_mark == "," else ""
    return f"every filled cell is a number{places}{marks}"


def _packed_dates(cells: Cells, gone: np.ndarray, spot: Spot, texts: Texts) -> Column | None:
    """Whole numbers that are dates written YYYYMMDD: only when all are, from 1900 to 2100, and enough or so named."""
    times = read_times(texts, "%Y%m%d")
    years = times.micros.astype("M8[us]").astype("M8[Y]").astype("int64") + 1970
    plausible = bool(times.ok.all() and (years >= 1900).all() and (years <= 2100).all())
    if plausible and (len(texts) >= 20 or says_time(spot.name)):
        return times_column(cells, gone, spot, times, pattern="%Y%m%d",
                            reason="all whole numbers are dates written YYYYMMDD")
    return None


def times_found(cells: Cells, gone: np.ndarray, spot: Spot) -> Found | None:
    """The column read as dates or timestamps."""
    texts = keep(cells.texts, ~gone)
    if spot.override.format is not None:
        pattern, reason, order = spot.override.format, f"written as {spot.override.format}", "certain"
        if (why := check_format(pattern)) is not None:
            raise SchemaError(f"the format {pattern!r} cannot be used: {why}.", where=spot.where(),
                              do="Use strftime codes such as %d/%m/%Y %H:%M:%S.")
    else:
        guess = guess_time_format(texts)
        if guess is None:
            return None
        pattern, order = guess.format, guess.order
        reason = f"every filled cell is a date or time written {pattern}"
    times = read_times(texts, pattern)

    def make() -> Column:
        if order == "ambiguous" and times.ok.all():
            spot.notice(
                "ambiguous_date", f"day and month cannot be told apart; read as {pattern} (month first). "
                "Write `format: \"%d/%m/%Y\"` or the like in the schema file if the day comes first.",
            )
        doubt = {"ambiguous": "; day and month cannot be told apart, month first was taken",
                 "convention": "; day and month cannot be told apart, with dots the day comes first"}.get(order, "")
        return times_column(cells, gone, spot, times, pattern=pattern, reason=reason + doubt)

    return Found("dates or times", times.ok, make) if times.ok.any() else None


def times_column(cells: Cells, gone: np.ndarray, spot: Spot, times: Times, *, pattern: str, reason: str) -> Column:
    """A date column when no cell has a time of day or zone, else a timestamp column."""
    zone = spot.override.timezone
    if zone is None and times.offset is not None:
        offsets = np.unique(times.offset[times.ok])
        zone = zone_name(int(offsets[0])) if len(offsets) == 1 else "UTC"
        if len(offsets) > 1:
            spot.notice(
                "offsets", "its offsets from UTC vary, so times are kept and written in UTC. "
                "Write `timezone: Europe/Berlin` or the like in the schema file to keep local times.",
            )
    _notice_cut(times, spot)
    text = TextFormat(datetime_format=pattern, fraction_digits=min(times.fraction_digits, 6))
    midnight = bool((times.micros[times.ok] % DAY == 0).all())
    forced = spot.override.kind
    if zone is None and midnight and forced is not Kind.TIMESTAMP:
        text = text.model_copy(update={"fraction_digits": 0})
        return make_column(cells, gone, spot, Kind.DATE, reason, text=text, n_unique=count_distinct(times.micros))
    return make_column(
        cells, gone, spot, Kind.TIMESTAMP, reason, text=text, timezone=zone, n_unique=count_distinct(times.micros)
    )


def _notice_cut(times: Times, spot: Spot) -> None:
    if times.cut:
        spot.notice("nanoseconds", "digits below a microsecond are cut.")


def zone_name(minutes: int) -> str:
    """UTC or ±HH:MM for an offset in minutes."""
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"


_STYLES = {"clock": "HH:MM:SS", "clock_minutes": "HH:MM", "days_clock": "days and HH:MM:SS", "iso8601": "ISO 8601"}


def durations_found(cells: Cells, gone: np.ndarray, spot: Spot) -> Found | None:
    """The column read as durations."""
    texts = keep(cells.texts, ~gone)
    style = guess_duration_style(texts)
    if style is None:
        return None
    times = read_durations(texts, style)
    how = _STYLES[style]

    def make() -> Column:
        _notice_cut(times, spot)
        text = TextFormat(
            duration_style=style, fraction_digits=min(times.fraction_digits, 6),
            duration_units=duration_units(keep(texts, times.ok)) if style == "iso8601" else "",
        )
        reason = f"every filled cell is a duration written as {how}"
        return make_column(cells, gone, spot, Kind.DURATION, reason, text=text, n_unique=count_distinct(times.micros))

    return Found("durations", times.ok, make) if times.ok.any() else None


