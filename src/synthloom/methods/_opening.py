"""What methods over codes do first: the table to codes, and what the person should know of it."""

from __future__ import annotations

import pandas as pd

from synthloom.domain.errors import FitError
from synthloom.domain.event import Cancelled, Emit, Notice
from synthloom.domain.schema import Schema
from synthloom.tables.encode import TableCodec


def open_codec(
    table: pd.DataFrame, schema: Schema, *, min_support: int, max_codes: int, emit: Emit, cancelled: Cancelled
) -> TableCodec:
    """A table's codec (`TableCodec.fit`); columns of which no value may be released are told.

    Raises:
        FitError: it has no rows.
    """
    if not len(table):
        raise FitError("the table has no rows.", do="Give at least one row.")
    codec = TableCodec.fit(table, schema, min_support=min_support, max_codes=max_codes, cancelled=cancelled)
    for name in codec.suppressed:
        emit(Notice(
            code="suppressed", column=name,
            message=f"No value of {name!r} is shared by {min_support} records; its cells are left empty.",
        ))
    return codec
