"""The canonical table → a polars frame in the source's own dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from synthloom.domain.errors import MissingDependencyError
from synthloom.domain.schema import Kind, Schema
from synthloom.tables.restore import restore

if TYPE_CHECKING:
    import polars


def restore_polars(table: pd.DataFrame, schema: Schema) -> polars.DataFrame:
    """A canonical table as polars, for a schema that was inferred from a polars frame.

    Raises:
        MissingDependencyError: polars is not installed.
    """
    try:
        import polars
    except ImportError as error:
        raise MissingDependencyError(
            "this was learnt from a polars frame, and polars is not installed.", do="pip install 'synthloom[polars]'"
        ) from error
    frame = polars.from_pandas(restore(table, schema))
    casts: dict[Any, Any] = {}
    for column in schema:  # what pandas has no dtype for
        if column.kind is Kind.ORDERED and (column.dtype or "").startswith("category"):
            casts[column.name] = polars.Enum(column.categories)
        elif column.kind is Kind.EMPTY and (column.dtype or "").startswith("object"):
            casts[column.name] = polars.Null
    return frame.cast(casts) if casts else frame
