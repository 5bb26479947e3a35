"""Missing cells of a table: what a method is to know of the others, and the table with what it has drawn put in.

Nothing but missing cells is ever written: what a person gives stays as it is spelt, to its last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synthloom.domain.errors import TableError
from synthloom.domain.event import Cancelled
from synthloom.domain.schema import Column, FileFormat, Kind, Schema
from synthloom.tables.archive import Limits
from synthloom.tables.canonical import canonical_dtype
from synthloom.tables.coerce import coerce_column, unknown_labels
from synthloom.tables.encode import stop_if
from synthloom.tables.frames import check_frame
from synthloom.tables.natives import read_native
from synthloom.tables.raw import RawTable
from synthloom.tables.relabel import relabelled
from synthloom.tables.release import recast
from synthloom.tables.restore import restore
from synthloom.tables.spelling import spell

if TYPE_CHECKING:
    import polars

ANY_ROWS = Limits(min_rows=0)
"""Limits of a table that nothing is to be learnt from."""


@dataclass(frozen=True)
class Gaps:
    """A table with missing cells.

    Attributes:
        raw: The table as given.
        table: What a method sees of it: canonical for the working schema, without what is not modelled.
        missing: Modelled column with missing cells → (n,) bool, which they are.
        given: The same columns' cells as they were read, under what the columns are with all their labels.
    """

    raw: RawTable
    table: pd.DataFrame
    missing: dict[str, np.ndarray]
    given: dict[str, tuple[Column, pd.Series]]


@dataclass(frozen=True)
class Filled:
    """A table with its missing cells filled.

    Attributes:
        raw: The table, in the form it was given in.
        cells: Column → (n,) bool, which cells were filled.
        left: Column → cells that stay missing, as no value of the column may be released.
    """

    raw: RawTable
    cells: dict[str, np.ndarray]
    left: dict[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """Column → how many cells were filled."""
        return {name: int(cells.sum()) for name, cells in self.cells.items()}


def frame_as_given(frame: pd.DataFrame) -> RawTable:
    """A frame of any number of rows as a raw table.

    Raises:
        TableError: It is no plain table.
    """
    check_frame(frame, limits=ANY_ROWS)
    return RawTable(frame.reset_index(drop=True), FileFormat(container="frame"), "the frame", "")


def find_gaps(
    raw: RawTable, schema: Schema, working: Schema, hidden: Mapping[str, Sequence[int]], cancelled: Cancelled
) -> Gaps:
    """Read a table's modelled columns and say which of their cells are missing.

    Args:
        raw: A table with the modelled columns of the schema; others are passed over.
        schema: As released.
        working: As the method knows it.
        hidden: Where placeholders stand in the working schema.
        cancelled: Asked between columns.

    Raises:
        TableError: A column is missing, or a cell cannot be read as what its column is.
    """
    n = len(raw.frame)
    for column in schema.modelled:
        if column.name not in raw.frame.columns:
            raise TableError(
                f"the table lacks the column {column.name!r}.", where=raw.name or None,
                do="Give a table with the columns that the model has learnt; leave cells empty that are not known.",
            )
    told = relabelled(raw, schema)
    seen: dict[str, pd.Series] = {}
    missing: dict[str, np.ndarray] = {}
    given: dict[str, tuple[Column, pd.Series]] = {}
    for column in working:
        stop_if(cancelled)
        name = column.name
        if not column.kind.is_modelled:
            seen[name] = pd.Series([None] * n, dtype=canonical_dtype(column))
            continue
        wide = _with_unknown(told, schema[name])
        cells = coerce_column(told, wide)
        gaps = cells.isna().to_numpy(dtype=bool)
        if gaps.any():
            missing[name], given[name] = gaps, (wide, cells)
        seen[name] = _as_known(cells, column, hidden.get(name, ())) if column.kind.is_discrete else cells
    return Gaps(raw, pd.DataFrame(seen, index=pd.RangeIndex(n), columns=list(working.names)), missing, given)


def _with_unknown(raw: RawTable, column: Column) -> Column:
    """The column with labels that the model does not know: its cells stand, whatever they hold."""
    unknown = unknown_labels(raw, column) if column.kind.is_discrete else ()
    if not unknown:
        return column
    kind = Kind.CATEGORY if column.kind is Kind.BOOLEAN else column.kind
    return column.model_copy(update={"kind": kind, "categories": (*column.categories, *unknown)})


def _as_known(cells: pd.Series, column: Column, hidden: Sequence[int]) -> pd.Series:
    """Cells in the working schema's labels: one that it does not know is a rare one to the method.

    Where the column has no rare ones, it is as good as missing to the method, which draws one; it is not used.
    """
    rare = hidden[0] if hidden else -1
    place = {label: k for k, label in enumerate(column.categories) if k not in set(hidden)}
    codes = np.array([*(place.get(label, rare) for label in cells.cat.categories), -1], dtype=np.int64)
    return pd.Series(pd.Categorical.from_codes(codes[cells.cat.codes.to_numpy()], dtype=canonical_dtype(column)))


def fill_gaps(gaps: Gaps, drawn: pd.DataFrame, schema: Schema) -> Filled:
    """The table with drawn cells in its gaps.

    Args:
        gaps: The table.
        drawn: Canonical for the working schema, as many rows.
        schema: As released.

    Raises:
        ContractError: a label was drawn that is not released.
    """
    frame, filled, left = gaps.raw.frame.copy(deep=False), {}, {}
    for name, gap in gaps.missing.items():
        got = gap & drawn[name].notna().to_numpy(dtype=bool)
        if (gap & ~got).any():
            left[name] = int((gap & ~got).sum())
        if not got.any():
            continue
        cells = recast(drawn.loc[got, [name]].reset_index(drop=True), schema)[name]
        put = _put_words if gaps.raw.is_text else _put_values
        frame[name] = put(gaps, schema[name], cells, np.flatnonzero(got))
        filled[name] = got
    return Filled(RawTable(frame, gaps.raw.file, gaps.raw.name, gaps.raw.sha256), filled, left)


def _put_words(gaps: Gaps, column: Column, cells: pd.Series, places: np.ndarray) -> pd.Series:
    series = gaps.raw.frame[column.name].copy()
    series.iloc[places] = spell(cells, column).to_pylist()
    return series


def _put_values(gaps: Gaps, column: Column, cells: pd.Series, places: np.ndarray) -> pd.Series:
    """The column in its own dtype where that can hold what was drawn, else in the dtype the model's table had."""
    series = gaps.raw.frame[column.name]
    native = read_native(series, gaps.raw.where(column.name))
    own = _in_dtype(cells, column, native.dtype) if native.form != "empty" else None
    if own is None and series.dtype == np.dtype(object) and native.form != "empty":
        own = restore(cells.to_frame(column.name), Schema(columns=(column,)))[column.name].astype(object)
    if own is not None and isinstance(series.dtype, pd.CategoricalDtype):
        return _put_categories(series, own, places)
    if own is not None and own.dtype == series.dtype:
        series = series.copy()
        series.iloc[places] = own.array
        return series
    wide, given = gaps.given[column.name]
    whole = given.copy()
    whole.iloc[places] = cells.astype(given.dtype).array if column.kind.is_discrete else cells.array
    return restore(whole.to_frame(column.name), Schema(columns=(wide,)))[column.name]


def _in_dtype(cells: pd.Series, column: Column, dtype: str) -> pd.Series | None:
    """Canonical cells in a frame's dtype; None where it cannot hold them."""
    as_given = Schema(columns=(column.model_copy(update={"dtype": dtype}),))
    try:
        return restore(cells.to_frame(column.name), as_given)[column.name]
    except (TypeError, ValueError, AttributeError, pa.ArrowInvalid):  # a number in a column of dates and the like
        return None


def _put_categories(series: pd.Series, cells: pd.Series, places: np.ndarray) -> pd.Series:
    """The categorical column, with categories for what was drawn."""
    own = list(series.cat.categories)
    new = cells.cat.categories if series.cat.ordered else cells.dropna().unique()  # an order needs all of its labels
    more = [label for label in new if label not in set(own)]
    if more and series.cat.ordered:
        series = series.cat.set_categories([*new, *(label for label in own if label not in set(new))])
    series = series.cat.add_categories(more) if more and not series.cat.ordered else series.copy()
    series.iloc[places] = cells.astype(series.dtype).array
    return series


def filled_polars(frame: polars.DataFrame, filled: Filled) -> polars.DataFrame:
    """The polars frame that a table came as, with the cells that were filled."""
    import polars

    changed = []
    for name, cells in filled.cells.items():
        old = frame[name]
        new = polars.from_pandas(filled.raw.frame[[name]])[name]
        if isinstance(old.dtype, polars.Enum):
            labels = old.dtype.categories
            more = [label for label in new.unique(maintain_order=True).drop_nulls() if label not in set(labels)]
            old, new = (part.cast(polars.String).cast(polars.Enum([*labels, *more])) for part in (old, new))
        elif old.dtype not in (polars.Null, new.dtype):
            new, old = _alike(new, old)
        mask = polars.Series(cells)
        changed.append(new.zip_with(mask, old) if new.dtype == old.dtype else new)
    return frame.with_columns(changed)


def _alike(new: polars.Series, old: polars.Series) -> tuple[polars.Series, polars.Series]:
    """Both in the dtype of the old one where that can hold the new one, else in the new one's."""
    import polars

    try:
        cast = new.cast(old.dtype)
    except polars.exceptions.PolarsError:
        return new, old
    if cast.cast(new.dtype, strict=False).equals(new):
        return cast, old
    return new, old


def as_any(frame: Any) -> Any:
    """A lazy frame as the frame it stands for; all else as it is."""
    return frame.collect() if type(frame).__name__ == "LazyFrame" else frame
