"""Another table's labels in the words of ours: tools rewrite them while they read and write.

pandas turns TRUE into True, 007 into 7 and, with a missing cell beside it, into 7.0; our own writer puts ' before words
that a spreadsheet would run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.cells import text_cells
from synthloom.tables.infer_frame import label_cells
from synthloom.tables.natives import read_native
from synthloom.tables.raw import RawTable
from synthloom.tables.words import MISSING_AMONG_VALUES, truth_value

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def relabelled(raw: RawTable, schema: Schema) -> RawTable:
    """The table with labels respelt as the schema's columns spell them; what means nothing there stays as it is.

    Args:
        raw: A table that another tool has written; columns it lacks are passed over.
        schema: The columns of the table it is held against.
    """
    changed = {}
    for column in schema:
        if (column.kind.is_discrete or column.kind is Kind.CONSTANT) and column.name in raw.frame.columns:
            series = _respelt(raw, column)
            if series is not None:
                changed[column.name] = series
    return replace(raw, frame=raw.frame.assign(**changed)) if changed else raw


def means_missing(label: str, column: Column) -> bool:
    """Whether a label that the column does not have is a way it spells a missing cell."""
    if label in (column.text.missing, *column.text.also_missing):
        return True
    return column.kind is Kind.BOOLEAN and label.strip().lower() in MISSING_AMONG_VALUES


def _respelt(raw: RawTable, column: Column) -> pd.Series | None:
    """The column with its cells respelt, or None when nothing changes."""
    series = raw.frame[column.name]
    cells = text_cells(series) if raw.is_text else label_cells(read_native(series, raw.where(column.name)))
    texts = cells.texts.to_pylist()
    words = _translated(texts, column)
    if words == texts:
        return None
    spread = np.array([*words, None], dtype=object)[cells.codes]
    return pd.Series(spread, index=series.index, dtype=pd.StringDtype("pyarrow") if raw.is_text else object)


def _translated(texts: Sequence[str], column: Column) -> list[str]:
    known = set(column.categories)
    numbers = _by_number(column)
    out = []
    for text in texts:
        word = text
        if text not in known and not means_missing(text, column):
            if text[:1] == "'" and text[1:] in known and text[1:].startswith(_FORMULA_STARTS):
                word = text[1:]
            elif column.kind is Kind.BOOLEAN and (truth := truth_value(text)) is not None:
                word = column.categories[int(truth)]
            else:
                word = numbers.get(_number(text), text)
        out.append(word)
    return out


def _by_number(column: Column) -> dict[float | None, str]:
    """Labels by what they are as numbers, when all are numbers and no two the same."""
    numbers = {_number(label): label for label in column.categories}
    return numbers if None not in numbers and len(numbers) == len(column.categories) else {}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
