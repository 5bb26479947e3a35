"""Several tables under one schema: real rows, rows that another tool has made, rows kept back."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from synthloom.domain.event import Cancelled, Notice, Progress, ignore
from synthloom.domain.schema import Column, ColumnOverride, Kind, Schema, SchemaOverrides
from synthloom.service.recorder import Recorder, check_cancelled
from synthloom.tables.coerce import coerce
from synthloom.tables.dataset import Dataset
from synthloom.tables.infer import infer_schema
from synthloom.tables.raw import RawTable
from synthloom.tables.relabel import means_missing, relabelled


def read_together(
    real: RawTable, others: Sequence[RawTable], overrides: SchemaOverrides | None, recorder: Recorder,
    cancelled: Cancelled,
) -> tuple[Dataset, list[pd.DataFrame]]:
    """Canonical tables of the schema inferred from `real`, its lists of labels widened by what the others hold.

    Args:
        real: The table that says what the columns are.
        others: Tables with the same columns, in any order.
        overrides: What a person says about the columns; declared categories are not widened.
        recorder: Hears of labels that the real table does not have.
        cancelled: Asked between tables.

    Raises:
        TableError: a table lacks a column, or a cell cannot be read as what its column is.
    """
    schema = infer_schema(real, overrides, recorder)
    check_cancelled(cancelled)
    declared = {name for name, said in overrides.columns.items() if said.categories is not None} if overrides else set()
    others = [relabelled(raw, schema) for raw in others]
    wide = _widened(schema, others, declared, recorder)
    frames = []
    for position, raw in enumerate((real, *others)):
        recorder(Progress(step="infer", fraction=0.5 + 0.5 * position / (1 + len(others)), message="converting cells"))
        frames.append(coerce(raw, wide))
        check_cancelled(cancelled)
    return Dataset(frames[0], wide, real.name, real.sha256), frames[1:]


def _widened(schema: Schema, others: Sequence[RawTable], declared: set[str], recorder: Recorder) -> Schema:
    names = [c.name for c in schema if (c.kind.is_discrete or c.kind is Kind.CONSTANT) and c.name not in declared]
    foreign: dict[str, list[str]] = {}
    for raw in others:
        for name, labels in _labels(raw, [n for n in names if n in raw.frame.columns]).items():
            foreign.setdefault(name, []).extend(labels)
    columns = tuple(_with_labels(c, foreign.get(c.name, [])) for c in schema)
    new = [c.name for c, old in zip(columns, schema, strict=True) if len(c.categories) > len(old.categories)]
    if new:
        recorder(Notice(
            code="new_labels", message=f"the real table lacks some labels of these columns: {', '.join(new[:20])}.",
        ))
    return schema.model_copy(update={"columns": columns})


def _labels(raw: RawTable, names: list[str]) -> dict[str, tuple[str, ...]]:
    """The labels of each column when it is read as a category; none where no cell is filled."""
    if not names:
        return {}
    said = SchemaOverrides(columns={name: ColumnOverride(kind=Kind.CATEGORY) for name in names})
    part = RawTable(raw.frame[names], raw.file, raw.name, raw.sha256, raw.first_line)
    return {column.name: column.categories for column in infer_schema(part, said, ignore)}


def _with_labels(column: Column, labels: Sequence[str]) -> Column:
    known = {_value(label, column) for label in column.categories}
    new = {
        _value(label, column): label
        for label in labels
        if _value(label, column) not in known and not means_missing(label, column)
    }
    if not new:
        return column
    kind = Kind.ORDERED if column.kind is Kind.ORDERED else Kind.CATEGORY
    return column.model_copy(update={"kind": kind, "categories": (*column.categories, *new.values())})


def _value(label: str, column: Column) -> str | float:
    """What a label means, so that 1 and 1.0 are one where labels are numbers."""
    if column.label_type == "string":
        return label
    try:
        return float(label)
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(label.strip().lower(), label)
