"""A table ready for the engine: canonical cells, their schema, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from synthloom.domain.schema import Schema
from synthloom.tables.frames import Library


@dataclass(frozen=True)
class Dataset:
    """A canonical table with its schema.

    Attributes:
        frame: Canonical table (see `tables/canonical.py`).
        schema: What its columns are.
        name: A name for people, such as the file's.
        sha256: Hash of the bytes it was read from, or of its content when it came as a frame.
        library: Whose frames its rows are to come back as.
        holdout: Rows of the same source to measure against and never to learn from, canonical for `schema`; None: a run
            keeps some of `frame` back.
    """

    frame: pd.DataFrame
    schema: Schema
    name: str
    sha256: str
    library: Library = "pandas"
    holdout: pd.DataFrame | None = None
