"""Where inference is, and what all columns it makes have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthloom.domain.errors import SchemaError
from synthloom.domain.event import Emit, Notice
from synthloom.domain.schema import Column, ColumnOverride, Kind, TextFormat
from synthloom.tables.cells import Cells, is_in
from synthloom.tables.raw import RawTable


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
    make: Callable[[], Column]


def gone_texts(cells: Cells, spot: Spot, among_values: bool) -> np.ndarray:
    """Texts that mean a missing cell: never a label a person listed. In frames only values have spelt ones."""
    if spot.spelt or among_values:
        gone = cells.missing(among_values, spot.override.missing)
    else:
        gone = is_in(cells.texts, spot.override.missing)
    return gone & ~is_in(cells.texts, spot.override.categories) if spot.override.categories else gone


def make_column(cells: Cells, gone: np.ndarray, spot: Spot, kind: Kind, reason: str, **facts: Any) -> Column:
    """A column with what all of them share: missing share, distinct count, missing spelling."""
    n = len(cells.codes)
    filled = int(cells.counts[~gone].sum())
    text: TextFormat = facts.pop("text", TextFormat())
    spellings = np.flatnonzero(gone & (cells.counts > 0))
    if len(spellings):
        spelt = cells.texts[int(spellings[np.argmax(cells.counts[spellings])])].as_py()
        marked = n - int(cells.counts.sum())  # cells of a frame that are null, not spelt
        text = text.model_copy(update={"missing": spelt if cells.counts[spellings].sum() > marked else ""})
        if len(spellings) > 1 and spot.spelt:
            ways = f"missing cells are spelt in {len(spellings)} ways; the most frequent is kept."
            spot.notice("missing_spellings", ways)
    if spot.override.missing:
        text = text.model_copy(update={"also_missing": spot.override.missing})
    facts.setdefault("n_unique", int((cells.counts[~gone] > 0).sum()))
    return Column(
        name=spot.name, kind=kind, reason=reason, missing_rate=(n - filled) / n if n else 0.0, dtype=spot.dtype,
        text=text, **facts,
    )
