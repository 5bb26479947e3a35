"""Columns of text: what they mean, with the reason and the way they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import SchemaError, TableError
from synthloom.domain.event import Emit, Notice
from synthloom.domain.schema import Column, ColumnOverride, Kind, TextFormat
from synthloom.tables.cells import Cells, Texts, keep
from synthloom.tables.decide import decide_whole, decide_words
from synthloom.tables.identifiers import infer_pattern
from synthloom.tables.parse_numbers import Numbers, decimal_places, guess_number_format, infinite, read_numbers
from synthloom.tables.parse_times import (
    DAY,
    Times,
    check_format,
    guess_duration_style,
    guess_time_format,
    read_durations,
    read_times,
)
from synthloom.tables.raw import RawTable
from synthloom.tables.words import says_time, scale_order, truth_labels

MIXED = 0.05
"""Up to this share of cells that break a column of numbers or times is an error; beyond it the column holds words."""


@dataclass(frozen=True)
class Spot:
    """Where inference is: the table, the column, what a person said about it, and who listens."""

    raw: RawTable
    name: str
    override: ColumnOverride
    emit: Emit
    dtype: str | None = None

    @property
    def spelt(self) -> bool:
        """Whether missing cells are spelt (text files) rather than marked (frames)."""
        return self.raw.is_text

    def where(self, row: int | None = None) -> str:
        """Words that locate the column or one of its cells."""
        return self.raw.where(self.name, row)

    def notice(self, code: str, message: str) -> None:
        """Tell the person something about this column."""
        self.emit(Notice(code=code, message=message, column=self.name))

    def refuse(self, kind: Kind, row: int, why: str) -> SchemaError:
        """The error for a kind a person chose that a cell cannot be read as."""
        return SchemaError(
            f"the schema file says {kind.value}, but {why}.", where=self.where(row),
            do="Correct the cell, choose another kind, or list its spelling under `missing` in the schema file.",
        )


@dataclass(frozen=True)
class Found:
    """A way of reading a column: which of the filled texts it explains, and how to make the column."""

    what: str
    ok: np.ndarray
    make: Any  # () -> Column


def infer_text(cells: Cells, spot: Spot, declared: Sequence[str] = (), ordered: bool = False) -> Column:
    """The column that texts make.

    Args:
        cells: The column's distinct texts.
        spot: Where it stands.
        declared: Categories declared by a categorical dtype; they make the column a category.
        ordered: Whether those are ordered.
    """
    gone = gone_texts(cells, spot, among_values=True)
    if spot.override.kind is not None:
        return forced_column(cells, spot, spot.override.kind, declared)
    if not cells.counts[~gone].any():
        return make_column(cells, gone, spot, Kind.EMPTY, "no cell is filled")
    if ordered or declared:
        if not ordered and (truth := truth_labels(declared)):
            return truth_column(cells, gone, spot, truth, "the two words are a known pair of no and yes")
        return words_column(cells, gone_texts(cells, spot, False), spot, declared=declared, ordered=ordered)
    texts = keep(cells.texts, ~gone)
    if len(texts) == 1:
        return _single(cells, gone, spot)
    truth = truth_labels(texts.to_pylist()) if len(texts) == 2 else None
    if truth and not {t.strip() for t in truth} <= {"0", "1", "0.0", "1.0"}:
        return truth_column(cells, gone, spot, truth, "the two words are a known pair of no and yes")
    best: Found | None = None
    for attempt in (numbers_found, times_found, durations_found):
        found = attempt(cells, gone, spot)
        if found is not None and found.ok.all():
            return found.make()  # type: ignore[no-any-return]
        if found is not None and (best is None or found.ok.sum() > best.ok.sum()):
            best = found
    if best is not None:
        _refuse_mixed(cells, gone, spot, best)
    return words_column(cells, gone_texts(cells, spot, False), spot, mixed=best is not None)


def gone_texts(cells: Cells, spot: Spot, among_values: bool) -> np.ndarray:
    """Texts that mean a missing cell. In frames only values have spelt ones; words stay as they are."""
    if spot.spelt or among_values:
        return cells.missing(among_values, spot.override.missing)
    return np.isin(np.array(cells.texts.to_pylist(), dtype=object), list(spot.override.missing))


def make_column(cells: Cells, gone: np.ndarray, spot: Spot, kind: Kind, reason: str, **facts: Any) -> Column:
    """A column with what all of them share: missing share, distinct count, missing spelling."""
    n = len(cells.codes)
    filled = int(cells.counts[~gone].sum())
    text: TextFormat = facts.pop("text", TextFormat())
    spellings = np.flatnonzero(gone & (cells.counts > 0))
    if len(spellings):
        spelt = cells.texts[int(spellings[np.argmax(cells.counts[spellings])])].as_py()
        text = text.model_copy(update={"missing": spelt})
        if len(spellings) > 1 and spot.spelt:
            ways = f"missing cells are spelt in {len(spellings)} ways; the most frequent is kept."
            spot.notice("missing_spellings", ways)
    if spot.override.missing:
        text = text.model_copy(update={"also_missing": spot.override.missing})
    facts.setdefault("n_unique", int((cells.counts[~gone] > 0).sum()))
    return Column(
        name=spot.name, kind=kind, reason=reason, missing_rate=1 - filled / n if n else 0.0, dtype=spot.dtype,
        text=text, **facts,
    )


def _refuse_mixed(cells: Cells, gone: np.ndarray, spot: Spot, best: Found) -> None:
    """Raise when nearly all cells are numbers (or times) and a few are not; say so when only most are."""
    counts = cells.counts[~gone]
    bad = np.zeros(len(gone), dtype=bool)
    bad[np.flatnonzero(~gone)[~best.ok]] = True
    share = float(counts[~best.ok].sum() / counts.sum())
    if share <= MIXED and int(best.ok.sum()) >= 20:
        if best.what == "numbers" and infinite(keep(cells.texts, bad)).any():
            raise TableError(
                "a cell is infinite.", where=spot.where(cells.first_row(bad)),
                do="Replace infinities by a number, or list their spelling under `missing` in the schema file.",
            )
        raise TableError(
            f"this cell is none of the {best.what} that {1 - share:.2%} of the column's filled cells are.",
            where=spot.where(cells.first_row(bad)),
            do="Correct it, or in the schema file list its spelling under `missing` or write `kind: category`.",
        )
    if share <= 0.5:
        spot.notice("mixed", f"{1 - share:.0%} of the cells are {best.what}, others are not; all are taken as words.")


# Single values and words --------------------------------------------------------------------------------------------


def _single(cells: Cells, gone: np.ndarray, spot: Spot) -> Column:
    texts = keep(cells.texts, ~gone)
    style = guess_number_format(texts)
    numbers = read_numbers(texts, TextFormat()) if style is not None else None
    plain = numbers is not None and bool(numbers.ok.all()) and not numbers.leading_zeros
    label_type = "string"
    if plain and numbers is not None:
        label_type = "integer" if numbers.whole is not None and not numbers.fraction.any() else "decimal"
    label = texts[0].as_py()
    return make_column(
        cells, gone, spot, Kind.CONSTANT, "every filled cell is the same", categories=(label,), label_type=label_type
    )


def truth_column(cells: Cells, gone: np.ndarray, spot: Spot, labels: tuple[str, str], reason: str) -> Column:
    """A boolean column of two labels (false, true) as spelt."""
    words = {label.strip() for label in labels}
    label_type = "string"
    if words <= {"0", "1"}:
        label_type = "integer"
    elif words <= {"0.0", "1.0"}:
        label_type = "decimal"
    elif words == {"True", "False"}:
        label_type = "boolean"
    text = TextFormat(false_word=labels[0], true_word=labels[1])
    return make_column(cells, gone, spot, Kind.BOOLEAN, reason, categories=labels, label_type=label_type, text=text)


def words_column(
    cells: Cells, gone: np.ndarray, spot: Spot, *, kind: Kind | None = None, declared: Sequence[str] = (),
    ordered: bool = False, mixed: bool = False,
) -> Column:
    """A column of words: category, ordered, identifier or text; `kind` settles it."""
    texts = keep(cells.texts, ~gone)
    used = keep(texts, cells.counts[~gone] > 0)
    if len(used) == 0:
        return make_column(cells, gone, spot, Kind.EMPTY, "no cell is filled")
    given = spot.override.categories
    filled = int(cells.counts[~gone].sum())
    reason = "the schema file says so"
    if kind is None and ordered:
        kind, reason = Kind.ORDERED, "the frame declares ordered categories"
    elif kind is None and len(used) == 1 and not declared:
        kind, reason = Kind.CONSTANT, "every filled cell is the same"
    elif kind is None:
        kind, reason = decide_words(spot.name, used, filled)
        reason += ", some of them numbers" if mixed else ""
        if kind is Kind.IDENTIFIER and given:
            kind, reason = Kind.CATEGORY, "the schema file lists its labels"
    if kind is Kind.TEXT:
        return make_column(cells, gone, spot, kind, reason)
    if kind is Kind.IDENTIFIER:
        gone = gone_texts(cells, spot, among_values=True)
        pattern = infer_pattern(pd.Series(keep(cells.texts, ~gone).to_pylist(), dtype=object))
        return make_column(cells, gone, spot, kind, reason, identifier=pattern)
    labels = tuple(declared) or tuple(sorted(used.to_pylist(), key=_label_key))
    scale = scale_order(labels) if kind in (Kind.CATEGORY, Kind.ORDERED) and not ordered else None
    if scale is not None and spot.override.kind is None and len(scale) <= 30:
        kind, reason, labels = Kind.ORDERED, "its words are the steps of a well-known scale", scale
    elif scale is not None and kind is Kind.ORDERED:
        labels = scale
    return make_column(
        cells, gone, spot, kind, reason, categories=labels, label_type=label_type_of(labels) if spot.spelt else "string"
    )


def _label_key(label: str) -> tuple[float, str]:
    try:
        number = float(label)
    except ValueError:
        return float("inf"), label
    return (number if np.isfinite(number) else float("inf")), label


def label_type_of(labels: Sequence[str]) -> str:
    """What labels of a text file would be read back as: integer, decimal, boolean or string."""
    plain = [label.strip() for label in labels]
    if all(p.removeprefix("-").isdigit() and (p in ("0", "-0") or p.removeprefix("-")[0] != "0") for p in plain):
        return "integer" if all(len(p) <= 18 for p in plain) else "string"
    if set(plain) <= {"True", "False"}:
        return "boolean"
    return "string"


# Numbers ------------------------------------------------------------------------------------------------------------


def numbers_found(cells: Cells, gone: np.ndarray, spot: Spot) -> Found | None:
    """The column read as numbers."""
    texts = keep(cells.texts, ~gone)
    style = guess_number_format(texts, spot.raw.file.delimiter)
    if style is None:
        return None
    numbers = read_numbers(texts, style)
    if not numbers.ok.any() or (numbers.leading_zeros and not style.prefix.strip() + style.suffix.strip()):
        return None
    if numbers.whole is None and not numbers.fraction.any() and not numbers.exponent:
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
    text = style.model_copy(update={"decimals": always})
    per_cell = np.zeros(len(gone), dtype="int64")
    per_cell[~gone] = np.arange(len(texts))
    filled = np.append(~gone, False)[cells.codes]
    whole = whole_values(numbers)
    rows = per_cell[cells.codes[filled]]
    n_unique = len(np.unique(numbers.values))
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
    if kind is Kind.BOOLEAN and labels and (truth := truth_labels(texts.to_pylist())):
        return truth_column(cells, gone, spot, truth, reason)
    if kind in (Kind.CATEGORY, Kind.IDENTIFIER) and numbers.whole is not None:
        return words_column(cells, gone, spot, kind=kind).model_copy(update={"reason": reason, "label_type": "integer"})
    if kind is Kind.DECIMAL:
        return make_column(cells, gone, spot, kind, reason, precision=precision, **facts)
    return make_column(cells, gone, spot, Kind.INTEGER, "every filled cell is a whole number", **facts)


def whole_values(numbers: Numbers) -> np.ndarray | None:
    """The numbers as int64 when all are whole (also when written 3.0), else None."""
    if numbers.whole is not None:
        return numbers.whole
    values = numbers.values[numbers.ok]
    if numbers.exponent or (np.abs(values) > 2**53).any() or (values != np.rint(values)).any():
        return None
    return np.where(numbers.ok, numbers.values, 0).astype("int64")


def _decimal_reason(precision: int | None, style: TextFormat) -> str:
    places = "" if precision is None else f" with up to {precision} decimal places"
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


# Times --------------------------------------------------------------------------------------------------------------


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
        return make_column(cells, gone, spot, Kind.DATE, reason, text=text, n_unique=len(np.unique(times.micros)))
    return make_column(
        cells, gone, spot, Kind.TIMESTAMP, reason, text=text, timezone=zone, n_unique=len(np.unique(times.micros))
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


def durations_found(cells: Cells, gone: np.ndarray, spot: Spot) -> Found | None:
    """The column read as durations."""
    texts = keep(cells.texts, ~gone)
    style = guess_duration_style(texts)
    if style is None:
        return None
    times = read_durations(texts, style)
    how = {"clock": "HH:MM:SS", "days_clock": "days and HH:MM:SS", "iso8601": "ISO 8601"}[style]

    def make() -> Column:
        _notice_cut(times, spot)
        text = TextFormat(duration_style=style, fraction_digits=min(times.fraction_digits, 6))
        reason = f"every filled cell is a duration written as {how}"
        return make_column(cells, gone, spot, Kind.DURATION, reason, text=text, n_unique=len(np.unique(times.micros)))

    return Found("durations", times.ok, make) if times.ok.any() else None


# Kinds a person chose -----------------------------------------------------------------------------------------------


def forced_column(cells: Cells, spot: Spot, kind: Kind, declared: Sequence[str] = ()) -> Column:
    """The column in the kind the schema file names, or an error that names the first line that cannot be read so."""
    gone = gone_texts(cells, spot, among_values=True)
    said = "the schema file says so"
    if kind is Kind.EMPTY:
        if cells.counts[~gone].any():
            raise spot.refuse(kind, cells.first_row(~gone), "this cell is filled")
        return make_column(cells, gone, spot, kind, said)
    if kind in (Kind.CATEGORY, Kind.ORDERED, Kind.IDENTIFIER, Kind.TEXT, Kind.CONSTANT):
        words_gone = gone_texts(cells, spot, False)
        if kind is Kind.CONSTANT and (cells.counts[~words_gone] > 0).sum() > 1:
            first = cells.codes[cells.codes >= 0][0]
            others = ~words_gone & (np.arange(len(gone)) != first)
            raise spot.refuse(kind, cells.first_row(others), "this cell differs from those above it")
        return words_column(cells, words_gone, spot, kind=kind, declared=declared)
    if not cells.counts[~gone].any():
        return make_column(cells, gone, spot, Kind.EMPTY, "no cell is filled")
    if kind is Kind.BOOLEAN:
        return _forced_truth(cells, gone, spot)
    attempt = {Kind.INTEGER: numbers_found, Kind.DECIMAL: numbers_found, Kind.DURATION: durations_found}
    if kind in (Kind.INTEGER, Kind.DECIMAL):
        return _forced_numbers(cells, gone, spot, kind)
    found = attempt.get(kind, times_found)(cells, gone, spot)
    if found is None or not found.ok.all():
        bad = ~gone
        if found is not None:
            bad[np.flatnonzero(~gone)[found.ok]] = False
        raise spot.refuse(kind, cells.first_row(bad), f"this cell cannot be read as a {kind.value}")
    column: Column = found.make()
    if column.kind is not kind:
        raise SchemaError(f"the schema file says {kind.value}, but its cells have a time of day or a zone.",
                          where=spot.where(), do="Write `kind: timestamp`.")
    return column.model_copy(update={"reason": said})


def _forced_numbers(cells: Cells, gone: np.ndarray, spot: Spot, kind: Kind) -> Column:
    texts = keep(cells.texts, ~gone)
    style = guess_number_format(texts, spot.raw.file.delimiter) or TextFormat()
    numbers = read_numbers(texts, style)
    bad = np.zeros(len(gone), dtype=bool)
    bad[np.flatnonzero(~gone)[~numbers.ok]] = True
    if bad.any():
        raise spot.refuse(kind, cells.first_row(bad), "this cell is no number")
    if kind is Kind.INTEGER and whole_values(numbers) is None:
        broken = (numbers.values != np.rint(numbers.values)) | (np.abs(numbers.values) > 2**53)
        bad[np.flatnonzero(~gone)[broken | numbers.ok & numbers.exponent]] = True
        raise spot.refuse(kind, cells.first_row(bad), "this cell is no whole number")
    return numbers_column(cells, gone, spot, numbers, style, kind=kind)


def _forced_truth(cells: Cells, gone: np.ndarray, spot: Spot) -> Column:
    given = spot.override.categories
    if given is not None and len(given) == 2:
        given_labels = (given[0], given[1])
        return truth_column(cells, gone_texts(cells, spot, False), spot, given_labels, "the schema file says so")
    labels = sorted(keep(cells.texts, ~gone).to_pylist())
    if len(labels) != 2:
        raise SchemaError(f"the schema file says boolean, but {len(labels)} different words occur.", where=spot.where(),
                          do="Write `kind: category`, or give the two labels (false, true) under `categories`.")
    return truth_column(cells, gone, spot, truth_labels(labels) or (labels[0], labels[1]), "the schema file says so")
