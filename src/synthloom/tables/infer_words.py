"""Columns of words: labels, truth values, identifiers, free text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from synthloom.domain.errors import SchemaError
from synthloom.domain.schema import Column, Kind, TextFormat
from synthloom.tables.cells import Cells, keep
from synthloom.tables.decide import decide_words
from synthloom.tables.identifiers import pattern_of
from synthloom.tables.parse_numbers import guess_number_format, read_numbers
from synthloom.tables.spot import Spot, gone_texts, make_column
from synthloom.tables.words import scale_order

LabelType = Literal["string", "integer", "decimal", "boolean"]


def single_column(cells: Cells, gone: np.ndarray, spot: Spot) -> Column:
    """A constant column."""
    texts = keep(cells.texts, ~gone)
    style = guess_number_format(texts)
    numbers = read_numbers(texts, TextFormat()) if style is not None else None
    plain = spot.spelt and numbers is not None and bool(numbers.ok.all()) and not numbers.leading_zeros
    label_type: LabelType = "string"
    if plain and numbers is not None:
        label_type = "integer" if numbers.whole is not None and not numbers.fraction.any() else "decimal"
    label = texts[0].as_py()
    return make_column(
        cells, gone, spot, Kind.CONSTANT, "every filled cell is the same", categories=(label,), label_type=label_type
    )


def truth_column(cells: Cells, gone: np.ndarray, spot: Spot, labels: tuple[str, str], reason: str) -> Column:
    """A boolean column of two labels (false, true) as spelt."""
    words = {label.strip() for label in labels}
    label_type: LabelType = "string"
    if not spot.spelt:
        label_type = "string"  # strings of a frame stay strings
    elif words <= {"0", "1"}:
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
        return make_column(cells, gone, spot, kind, reason, identifier=pattern_of(keep(cells.texts, ~gone)))
    if kind is Kind.ORDERED and not (declared or given):
        _check_order(used.to_pylist(), spot)
    labels = tuple(declared) or tuple(sorted(used.to_pylist(), key=_label_key))
    scale = scale_order(labels) if kind in (Kind.CATEGORY, Kind.ORDERED) and not ordered else None
    if scale is not None and spot.override.kind is None and len(scale) <= 30:
        kind, reason, labels = Kind.ORDERED, "its words are the steps of a well-known scale", scale
    elif scale is not None and kind is Kind.ORDERED:
        labels = scale
    return make_column(
        cells, gone, spot, kind, reason, categories=labels, label_type=label_type_of(labels) if spot.spelt else "string"
    )


def _check_order(labels: list[str], spot: Spot) -> None:
    """Raise unless the order of labels is plain: numbers, or a scale everybody knows."""
    if scale_order(labels) is None and any(_label_key(label)[0] == float("inf") for label in labels):
        raise SchemaError(
            "the schema file says ordered, but not in which order.", where=spot.where(),
            do="List the labels under `categories`, from the lowest to the highest.",
        )


def _label_key(label: str) -> tuple[float, str]:
    try:
        number = float(label)
    except ValueError:
        return float("inf"), label
    return (number if np.isfinite(number) else float("inf")), label


def label_type_of(labels: Sequence[str]) -> LabelType:
    """What labels of a text file would be read back as: integer, decimal, boolean or string."""
    plain = [label.strip() for label in labels]
    if all(p.removeprefix("-").isdigit() and (p in ("0", "-0") or p.removeprefix("-")[0] != "0") for p in plain):
        return "integer" if all(len(p) <= 18 for p in plain) else "string"
    if set(plain) <= {"True", "False"}:
        return "boolean"
    return "string"
