"""What of a schema may leave the house: the labels and shares of missing cells that enough records stand behind.

A schema knows every label of the table, also those that one record alone holds, and it travels with the model and with
every categorical frame. So a method learns under a *working* schema, in which rare labels stand as numbered
placeholders in their places, and people see the *released* schema, without them. Which method it is does not matter:
what it never draws, it can have under any name.

How many cells are missing is told of the rows learnt from, and only where enough of them lack a cell; how many values a
column has is told roughly, as it counts the rare ones too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from synthloom.domain.errors import ContractError
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import canonical_dtype, labels_to_codes

Hidden = dict[str, tuple[int, ...]]
"""Column name → positions of placeholders among its labels in the working schema."""

_OPEN_KINDS = (Kind.CATEGORY, Kind.ORDERED)  # of a boolean both words are known beforehand


def hide_rare_labels(table: pd.DataFrame, schema: Schema, min_support: int) -> tuple[pd.DataFrame, Schema, Hidden]:
    """A table and its schema with placeholders for labels that fewer than `min_support` rows hold, and rough counts.

    Args:
        table: Canonical for `schema`; not changed.
        schema: What its columns are.
        min_support: Fewest rows behind a label that may be seen. A constant of fewer rows makes its column empty.

    Returns:
        The table and the working schema it is canonical for, and where the placeholders stand.
    """
    columns, hidden, changed = [], Hidden(), {}
    for column in schema:
        series = table[column.name]
        column = column.model_copy(update={  # noqa: PLW2901
            "missing_rate": _missing_rate(series, min_support), "n_unique": rounded(column.n_unique),
        })
        if column.kind in _OPEN_KINDS:
            codes = labels_to_codes(series)
            counts = np.bincount(codes[codes >= 0], minlength=len(column.categories))
            rare = tuple(int(k) for k in np.flatnonzero(counts < min_support))
            if rare and min_support > 1:
                hidden[column.name] = rare
                column = column.model_copy(update={"categories": _with_placeholders(column, rare)})  # noqa: PLW2901
                changed[column.name] = pd.Series(pd.Categorical.from_codes(codes, dtype=canonical_dtype(column)))
        elif column.kind is Kind.CONSTANT and series.notna().sum() < min_support:
            reason = f"Fewer than {min_support} filled cells, so its one value is not released."
            column = column.model_copy(update={  # noqa: PLW2901
                "kind": Kind.EMPTY, "categories": (), "missing_rate": 1.0, "n_unique": 0, "reason": reason,
            })
            changed[column.name] = pd.Series([None] * len(table), dtype=object)
        columns.append(column)
    return _with_columns(table, changed), schema.model_copy(update={"columns": tuple(columns)}), hidden


def _missing_rate(series: pd.Series, min_support: int) -> float:
    """Share of missing cells to three digits; none when fewer than `min_support` are, all when fewer are filled."""
    n, missing = len(series), int(series.isna().sum())
    if missing < min(min_support, n):
        return 0.0
    return 1.0 if n - missing < min_support else float(f"{missing / n:.3g}")


def rounded(count: int) -> int:
    """A count to two digits: 17 stays, 12,345 becomes 12,000."""
    return int(float(f"{count:.2g}"))


def _with_columns(table: pd.DataFrame, changed: Mapping[str, pd.Series]) -> pd.DataFrame:
    """The table with some columns replaced and the memory of the others shared."""
    if not changed:
        return table
    out = table.copy(deep=False)
    for name, series in changed.items():
        out[name] = series
    return out


def _with_placeholders(column: Column, rare: Sequence[int]) -> tuple[str, ...]:
    """Labels with the rare ones replaced; placeholders of number labels are numbers beyond all that are kept."""
    labels = list(column.categories)
    kept = set(labels) - {labels[k] for k in rare}
    numeric = column.label_type in ("integer", "decimal")
    first = max((int(abs(float(label))) for label in kept), default=0) + 1 if numeric else 1
    for number, position in enumerate(rare, start=first):
        label = str(number) if numeric else f"rare label {number}"
        while label in kept:
            label += "\u200b"
        labels[position] = label
    return tuple(labels)


def released_schema(working: Schema, hidden: Mapping[str, Sequence[int]]) -> Schema:
    """The schema people see: the working schema without placeholders."""
    columns = []
    for column in working:
        gone = set(hidden.get(column.name, ()))
        labels = tuple(label for k, label in enumerate(column.categories) if k not in gone)
        columns.append(column.model_copy(update={"categories": labels}) if gone else column)
    return working.model_copy(update={"columns": tuple(columns)})


def recast(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The same cells under a schema that differs in the labels it knows, and in which columns it takes for empty.

    Args:
        table: Canonical for another schema of the same columns, or of a part of them.
        schema: The schema wanted.

    Raises:
        ContractError: a cell holds what the schema does not know.
    """
    changed = {}
    for name in table.columns:
        column, series = schema[name], table[name]
        want = canonical_dtype(column)
        if series.dtype == want:
            continue
        if isinstance(want, pd.CategoricalDtype) and isinstance(series.dtype, pd.CategoricalDtype):
            cast = series.cat.set_categories(want.categories, ordered=want.ordered)
        else:
            cast = pd.Series([None] * len(series), index=series.index, dtype=want)
        lost = int((cast.isna() & series.notna()).sum())
        if lost:
            raise ContractError(f"{lost} cells hold a label that is not released.", where=f"column {name!r}")
        changed[name] = cast
    return _with_columns(table, changed)
