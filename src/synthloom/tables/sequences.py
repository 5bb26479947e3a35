"""Rows that belong together: what a schema says of them, and which rows are one sequence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthloom.domain.errors import SchemaError
from synthloom.domain.event import Notice
from synthloom.domain.schema import ColumnOverride, Kind, Schema, SchemaOverrides

KEY_REASON = "it says which sequence a row belongs to"


def as_key(name: str, overrides: SchemaOverrides) -> ColumnOverride | None:
    """What is said about a column that is the sequence key: it is an identifier; None for other columns.

    Raises:
        SchemaError: the schema file gives it another kind.
    """
    if overrides.sequence is None or overrides.sequence.key != name:
        return None
    said = overrides.columns.get(name, ColumnOverride())
    if said.kind not in (None, Kind.IDENTIFIER):
        raise SchemaError(
            f"sequence.key is the column {name!r}, which the schema file says is {said.kind}.",
            where=f"column {name!r}", do="Take its kind out: a key is an identifier, whose cells are made afresh.",
        )
    return said.model_copy(update={"kind": Kind.IDENTIFIER})


def check_sequence(schema: Schema) -> None:
    """SchemaError where rows cannot be told apart into sequences, or not be put in order."""
    if schema.sequence is None:
        return
    key = schema[schema.sequence.key]
    if key.missing_rate:
        raise SchemaError(
            f"sequence.key has missing cells ({key.missing_rate:.1%}), so nobody knows whose those rows are.",
            where=f"column {key.name!r}", do="Leave these rows out of the table, or choose another column.",
        )
    if key.n_unique < 2:
        raise SchemaError(
            "sequence.key is the same in every row, so there is one sequence only, and nothing to keep back.",
            where=f"column {key.name!r}", do="Choose the column that tells sequences apart.",
        )
    if schema.sequence.order is None:
        return
    order = schema[schema.sequence.order]
    if not order.kind.is_numeric:
        raise SchemaError(
            f"sequence.order must be a number or a time, and it is {order.kind.value}.", where=f"column {order.name!r}",
            do="Choose the column that rows of a sequence are in order of, or give this one a kind (integer, decimal, "
            "date, timestamp, duration) in the schema file.",
        )
    if order.missing_rate:
        raise SchemaError(
            f"sequence.order has missing cells ({order.missing_rate:.1%}), so these rows have no place.",
            where=f"column {order.name!r}", do="Fill them, leave these rows out, or name no order: rows then count as "
            "they stand.",
        )


def sequence_codes(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """(n,) int64: the sequence of each row, numbered as they appear; a schema without a key has one for every row."""
    if schema.sequence is None:
        return np.arange(len(table), dtype="int64")
    codes, _ = pd.factorize(table[schema.sequence.key], use_na_sentinel=False)
    return np.asarray(codes, dtype="int64")


def rows_notice(method: str, schema: Schema) -> Notice:
    """What a person is told whose method does not learn sequences."""
    key = schema.sequence.key if schema.sequence else ""
    return Notice(
        code="sequence", column=key or None,
        message=f"{method} learns rows, not sequences: every row that it draws has a key of its own. Methods of "
        "backends learn whole sequences: synthcity:timegan, synthcity:timevae, synthcity:fflows, sdv:par.",
    )
