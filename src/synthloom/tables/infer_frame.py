"""Columns of frames: what they mean, with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synthloom.domain.errors import SchemaError
from synthloom.domain.schema import Column, Kind, TextFormat
from synthloom.tables.cells import Cells, count_distinct
from synthloom.tables.decide import decide_whole
from synthloom.tables.identifiers import pattern_of_whole
from synthloom.tables.infer_text import forced_column, infer_text
from synthloom.tables.natives import Native, infinite_cell, labels_of
from synthloom.tables.parse_numbers import float_places
from synthloom.tables.parse_times import DAY
from synthloom.tables.spot import Spot
from synthloom.tables.words import scale_order

_LABEL_TYPES = {"integer": "integer", "float": "decimal", "boolean": "boolean"}
_WORD_KINDS = (Kind.CATEGORY, Kind.ORDERED, Kind.BOOLEAN, Kind.IDENTIFIER, Kind.TEXT, Kind.CONSTANT, Kind.EMPTY)


def infer_native(native: Native, spot: Spot) -> Column:
    """The column that a frame's column in plain form makes.

    Args:
        native: The column.
        spot: Where it stands; `spot.dtype` is `native.dtype`.
    """
    native = without_declared_missing(native, spot.override.missing)
    if native.form == "float" and not np.isfinite(native.values[~native.missing]).all():
        row = int(np.flatnonzero(~native.missing & np.isinf(native.values))[0])
        raise infinite_cell(spot.raw.where(spot.name), row)
    if native.form == "text" and native.cells is not None:
        if "mixed" in native.dtype:
            spot.notice("mixed", "its cells are objects of several types; all are taken as words.")
        return infer_text(native.cells, spot, native.declared, native.ordered)
    forced = spot.override.kind
    if native.form == "empty" or native.missing.all():
        if forced not in (None, Kind.EMPTY):
            spot.notice("empty", f"the schema file says {forced.value}, but no cell is filled.")
        return _made(native, spot, Kind.EMPTY, "no cell is filled")
    if forced is not None:
        return _forced(native, spot, forced)
    if native.declared:
        return _declared(native, spot)
    n_unique = count_distinct(native.values[~native.missing])
    if n_unique == 1:
        return _labelled(native, spot, Kind.CONSTANT, "every filled cell is the same")
    if native.form == "boolean":
        return _labelled(native, spot, Kind.BOOLEAN, "the frame says so")
    if native.form == "time":
        return _times(native, spot, "the frame says so")
    if native.form == "span":
        return _spans(native, spot, "the frame says so")
    return _numbers(native, spot, n_unique)


def without_declared_missing(native: Native, spellings: tuple[str, ...]) -> Native:
    """Numbers that a person declared to mean a missing cell (-999) made missing."""
    if not spellings or native.form not in ("integer", "float"):
        return native
    gone = np.zeros(len(native.missing), dtype=bool)
    for spelling in spellings:
        try:
            gone |= native.values == float(spelling)
        except ValueError:  # a word cannot stand in a column of numbers
            continue
    return Native(**{**native.__dict__, "missing": native.missing | gone})


def label_cells(native: Native) -> Cells:
    """Values as the texts of labels ("1", "2.5", "True"); text as it is."""
    if native.cells is not None:
        return native.cells
    filled = ~native.missing
    codes = np.full(len(filled), -1, dtype="int64")
    if not filled.any():
        return Cells(pa.array([], pa.large_string()), codes)
    distinct, inverse = np.unique(native.values[filled], return_inverse=True)
    codes[filled] = inverse
    return Cells(pa.array(labels_of(native, distinct), pa.large_string()), codes)


def _made(native: Native, spot: Spot, kind: Kind, reason: str, **facts: Any) -> Column:
    text = facts.pop("text", TextFormat()).model_copy(update={"also_missing": spot.override.missing})
    if "n_unique" not in facts:
        facts["n_unique"] = count_distinct(native.values[~native.missing]) if kind is not Kind.EMPTY else 0
    n = len(native.missing)
    return Column(
        name=spot.name, kind=kind, reason=reason, missing_rate=float(native.missing.mean()) if n else 0.0,
        dtype=native.dtype, text=text, **facts,
    )


def _labelled(native: Native, spot: Spot, kind: Kind, reason: str) -> Column:
    """A discrete, constant or identifier column out of values."""
    label_type = _LABEL_TYPES.get(native.form, "string")
    filled = native.values[~native.missing]
    if kind is Kind.IDENTIFIER:
        pattern = pattern_of_whole(_as_whole(filled))
        return _made(native, spot, kind, reason, identifier=pattern, label_type=label_type)
    if kind is Kind.BOOLEAN and native.form == "boolean":
        return _made(native, spot, kind, reason, categories=("False", "True"), label_type=label_type)
    labels = native.declared or labels_of(native, np.unique(filled))
    text = TextFormat(false_word=labels[0], true_word=labels[1]) if kind is Kind.BOOLEAN else TextFormat()
    return _made(native, spot, kind, reason, categories=labels, label_type=label_type, text=text)


def _as_whole(values: np.ndarray) -> np.ndarray:
    """Whole floats as int64, so that 3.0 is called "3"."""
    if values.dtype.kind == "f" and (values == np.rint(values)).all() and (np.abs(values) < 2**53).all():
        return values.astype("int64")
    return values


def _declared(native: Native, spot: Spot) -> Column:
    if native.ordered:
        return _labelled(native, spot, Kind.ORDERED, "the frame declares ordered categories")
    return _labelled(native, spot, Kind.CATEGORY, "the frame declares categories")


def _numbers(native: Native, spot: Spot, n_unique: int) -> Column:
    filled = native.values[~native.missing]
    whole = _as_whole(filled)
    facts: dict[str, Any] = {"n_unique": n_unique}
    if whole.dtype.kind == "i" and not native.places:
        kind, reason = decide_whole(spot.name, whole, n_unique)
        if kind is not Kind.INTEGER:
            return _labelled(native, spot, kind, reason)
        return _made(native, spot, kind, reason, **facts)
    return _made(native, spot, Kind.DECIMAL, "its cells are numbers with fractions", precision=_places(native), **facts)


def _places(native: Native) -> int | None:
    """Decimal places of a column of numbers; None: full precision."""
    if native.places is not None:
        return native.places
    return float_places(pd.unique(native.values[~native.missing]), native.single)


def _times(native: Native, spot: Spot, reason: str) -> Column:
    if native.cut:
        spot.notice("nanoseconds", "digits below a microsecond are cut.")
    filled = native.values[~native.missing]
    zone = spot.override.timezone or native.zone
    if zone is None and bool((filled % DAY == 0).all()) and spot.override.kind is not Kind.TIMESTAMP:
        return _made(native, spot, Kind.DATE, f"{reason}, and no cell has a time of day")
    return _made(
        native, spot, Kind.TIMESTAMP, reason, timezone=zone, text=TextFormat(fraction_digits=_second_digits(filled))
    )


def _second_digits(micros: np.ndarray) -> int:
    """Digits of a second's fraction that keep every value."""
    for digits in range(6):
        if (micros % 10 ** (6 - digits) == 0).all():
            return digits
    return 6


def _spans(native: Native, spot: Spot, reason: str) -> Column:
    if native.cut:
        spot.notice("nanoseconds", "digits below a microsecond are cut.")
    text = TextFormat(
        fraction_digits=_second_digits(native.values[~native.missing]),
        duration_style="clock" if "time]" in native.dtype or "time," in native.dtype else "days_clock",
    )
    return _made(native, spot, Kind.DURATION, reason, text=text)


def _forced(native: Native, spot: Spot, kind: Kind) -> Column:
    """The column in the kind the schema file names."""
    said = "the schema file says so"
    filled = native.values[~native.missing]
    if kind is Kind.IDENTIFIER:
        if native.form not in ("integer", "float") or _as_whole(filled).dtype.kind != "i":
            raise SchemaError(
                f"the schema file says identifier, which cells of dtype {native.dtype} cannot be.", where=spot.where(),
                do="Identifiers are text or whole numbers: convert the column first, or drop it.",
            )
        return _labelled(native, spot, kind, said)
    if kind in _WORD_KINDS:
        column = forced_column(label_cells(native), spot, kind, native.declared)
        categories = column.categories
        if kind is Kind.ORDERED and not native.declared and not scale_order(categories):
            categories = labels_of(native, np.unique(filled))
        return column.model_copy(
            update={"label_type": _LABEL_TYPES.get(native.form, "string"), "categories": categories}
        )
    if kind is Kind.DECIMAL and native.form in ("integer", "float"):
        return _made(native, spot, kind, said, precision=0 if native.form == "integer" else _places(native))
    if kind is Kind.INTEGER and native.form in ("integer", "float"):
        broken = ~native.missing & (native.values != np.rint(native.values))
        if broken.any():
            raise spot.refuse(kind, int(np.flatnonzero(broken)[0]), "this cell is no whole number")
        return _made(native, spot, kind, said)
    if kind in (Kind.DATE, Kind.TIMESTAMP) and native.form == "time":
        column = _times(native, spot, said)
        if kind is Kind.DATE and column.kind is not kind:
            broken = ~native.missing & (native.values % DAY != 0)
            row = int(np.flatnonzero(broken)[0]) if broken.any() else 0
            raise spot.refuse(kind, row, "this cell has a time of day or a zone")
        return column.model_copy(update={"reason": said})
    if kind is Kind.DURATION and native.form == "span":
        return _spans(native, spot, said)
    raise SchemaError(
        f"the schema file says {kind.value}, which cells of dtype {native.dtype} cannot be.", where=spot.where(),
        do="Choose another kind or convert the column first.",
    )
