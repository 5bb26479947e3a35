"""Columns of text: what they mean, with the reason and the way they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthloom.domain.errors import SchemaError, TableError
from synthloom.domain.schema import Column, Kind, TextFormat
from synthloom.tables.cells import Cells, Texts, keep
from synthloom.tables.infer_values import durations_found, numbers_column, numbers_found, times_found
from synthloom.tables.infer_words import single_column, truth_column, words_column
from synthloom.tables.parse_numbers import guess_number_format, infinite, read_numbers, whole_values
from synthloom.tables.parse_times import guess_time_format
from synthloom.tables.spot import Found, Spot, gone_texts, make_column
from synthloom.tables.words import says_code, says_identifier, truth_labels

MIXED = 0.05
"""Up to this share of cells that break a column of numbers or times is an error; beyond it the column holds words."""


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
    if not cells.counts[~gone].any() and (spot.spelt or not cells.counts.any()):
        return make_column(cells, gone, spot, Kind.EMPTY, "no cell is filled")
    if not cells.counts[~gone].any():
        return words_column(cells, gone_texts(cells, spot, False), spot)
    if ordered or declared:
        if not ordered and (truth := truth_labels(declared)):
            return truth_column(cells, gone, spot, truth, "the two words are a known pair of no and yes")
        return words_column(cells, gone_texts(cells, spot, False), spot, declared=declared, ordered=ordered)
    texts = keep(cells.texts, ~gone)
    _refuse_infinite(cells, gone, texts, spot)
    if len(texts) == 1:
        words_gone = gone_texts(cells, spot, False)
        value = guess_number_format(texts) is not None or guess_time_format(texts) is not None
        if (words_gone == gone).all() or (spot.spelt and value):
            return single_column(cells, gone, spot)
        return words_column(cells, words_gone, spot)
    truth = truth_labels(texts.to_pylist()) if len(texts) == 2 else None
    if truth and not {t.strip() for t in truth} <= {"0", "1", "0.0", "1.0"}:
        return truth_column(cells, gone, spot, truth, "the two words are a known pair of no and yes")
    best: Found | None = None
    for attempt in (numbers_found, times_found, durations_found):
        found = attempt(cells, gone, spot)
        if found is not None and found.ok.all():
            return found.make()
        if found is not None and (best is None or found.ok.sum() > best.ok.sum()):
            best = found
    if best is not None:
        _refuse_mixed(cells, gone, spot, best)
    return words_column(cells, gone_texts(cells, spot, False), spot, mixed=best is not None)


def _refuse_infinite(cells: Cells, gone: np.ndarray, texts: Texts, spot: Spot) -> None:
    """Raise when infinities stand among numbers, or alone."""
    endless = infinite(texts)
    if not endless.any():
        return
    rest = keep(texts, ~endless)
    style = guess_number_format(rest, spot.raw.file.delimiter)
    if len(rest) == 0 or (style is not None and read_numbers(rest, style).ok.all()):
        bad = np.zeros(len(gone), dtype=bool)
        bad[np.flatnonzero(~gone)[endless]] = True
        raise _infinite_cell(cells, bad, spot)


def _infinite_cell(cells: Cells, bad: np.ndarray, spot: Spot) -> TableError:
    return TableError(
        "a cell is infinite.", where=spot.where(cells.first_row(bad)),
        do="Replace infinities by a number, or list their spelling under `missing` in the schema file.",
    )


def _refuse_mixed(cells: Cells, gone: np.ndarray, spot: Spot, best: Found) -> None:
    """Raise when nearly all cells are numbers (or times) and a few are not; say so when only most are."""
    counts = cells.counts[~gone]
    bad = np.zeros(len(gone), dtype=bool)
    bad[np.flatnonzero(~gone)[~best.ok]] = True
    share = float(counts[~best.ok].sum() / counts.sum())
    named_code = says_code(spot.name) or says_identifier(spot.name)
    if share <= MIXED and int(best.ok.sum()) >= 20 and not named_code:
        if best.what == "numbers" and infinite(keep(cells.texts, bad)).any():
            raise _infinite_cell(cells, bad, spot)
        raise TableError(
            f"this cell is none of the {best.what} that {1 - share:.2%} of the column's filled cells are.",
            where=spot.where(cells.first_row(bad)),
            do="Correct it, or in the schema file list its spelling under `missing` or write `kind: category`.",
        )
    if share <= 0.5 and "mixed" not in (spot.dtype or ""):
        spot.notice("mixed", f"{1 - share:.0%} of the cells are {best.what}, others are not; all are taken as words.")


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
    column = found.make()
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
        return truth_column(cells, gone, spot, (given[0], given[1]), "the schema file says so")
    labels = sorted(keep(cells.texts, ~gone).to_pylist())
    if len(labels) != 2:
        raise SchemaError(f"the schema file says boolean, but {len(labels)} different words occur.", where=spot.where(),
                          do="Write `kind: category`, or give the two labels (false, true) under `categories`.")
    return truth_column(cells, gone, spot, truth_labels(labels) or (labels[0], labels[1]), "the schema file says so")
