"""A text column as its distinct cells: all inference and parsing works on these, never cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synthloom.tables.words import MISSING_ALWAYS, MISSING_AMONG_VALUES

Texts = Any
"""A pyarrow array of large_string without nulls."""


@dataclass(frozen=True)
class Cells:
    """Distinct texts of a column.

    Attributes:
        texts: Distinct texts as spelt, shape (u,).
        codes: Position of each cell's text, shape (n,); -1 for a cell that has none.
    """

    texts: Texts
    codes: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """Cells of each distinct text, shape (u,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    @cached_property
    def trimmed(self) -> Texts:
        """The texts without white space around them."""
        return pc.utf8_trim_whitespace(self.texts)

    def missing(self, among_values: bool, extra: Iterable[str] = ()) -> np.ndarray:
        """Which texts are spellings of a missing cell, shape (u,).

        Args:
            among_values: Whether the column holds values (numbers, times …), where "?" and "-" mean missing too.
            extra: Further spellings, exact.
        """
        words = MISSING_ALWAYS | MISSING_AMONG_VALUES if among_values else MISSING_ALWAYS
        mask = is_in(pc.utf8_lower(self.trimmed), words)
        extra = list(extra)
        return mask | is_in(self.texts, extra) if extra else mask

    def first_row(self, mask: np.ndarray) -> int:
        """The first row whose text is among the masked ones (at least one is)."""
        return int(np.flatnonzero(np.append(mask, False)[self.codes])[0])

    def spread(self, values: np.ndarray, missing: Any) -> np.ndarray:
        """Values per text, shape (u,), spread to cells, shape (n,); `missing` where a cell has no text."""
        padded: np.ndarray = np.append(values, np.array([missing], dtype=values.dtype))
        spread: np.ndarray = padded[self.codes]
        return spread


def text_cells(series: pd.Series) -> Cells:
    """The distinct texts of a column of strings (any pandas dtype); nulls get code -1."""
    array = pa.array(series, from_pandas=True)
    chunked = pa.chunked_array([array]) if isinstance(array, pa.Array) else array
    encoded = chunked.cast(pa.large_string()).dictionary_encode().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], pa.large_string()).dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype("int64")
    return Cells(encoded.dictionary, codes)


def is_in(texts: Texts, words: Iterable[str]) -> np.ndarray:
    """Membership of each text, shape (u,), bool."""
    return to_bool(pc.is_in(texts, value_set=pa.array(sorted(words), pa.large_string())))


def to_bool(array: Any) -> np.ndarray:
    """A pyarrow boolean array as numpy, null as false."""
    return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def matches(texts: Texts, regex: str) -> np.ndarray:
    """Which texts match a whole RE2 pattern, shape (u,), bool."""
    return to_bool(pc.match_substring_regex(texts, f"^(?:{regex})$"))


def some(texts: Texts, n: int = 400) -> list[str]:
    """Up to `n` texts spread evenly over the array."""
    if len(texts) <= n:
        return list(texts.to_pylist())
    return list(texts.take(pa.array(np.linspace(0, len(texts) - 1, n).astype("int64"))).to_pylist())


def keep(texts: Texts, mask: np.ndarray) -> Texts:
    """The masked texts."""
    return texts.filter(pa.array(mask))


def count_distinct(values: np.ndarray) -> int:
    """How many different numbers there are."""
    return len(pd.unique(values))
