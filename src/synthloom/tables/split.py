"""Train and holdout."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthloom.domain.errors import UsageError
from synthloom.domain.schema import Schema
from synthloom.tables.canonical import labels_to_codes, to_float
from synthloom.tables.sequences import sequence_codes

TARGET_BINS = 10
"""A numeric target is stratified by as many quantile bins."""


def split_holdout(
    table: pd.DataFrame, schema: Schema, fraction: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a canonical table into train and holdout.

    The holdout is drawn so that each level of the target (quantile bins of a numeric one; the event of a survival
    table without target) has its share in both. Rows of the holdout that equal a row of train in every modelled
    column are then left out, so that holdout rows are rows the method has not seen; on a table of few columns that
    can be all of them.

    Where the schema names a sequence key, whole sequences are drawn, so that none has rows in both; the share is then
    of sequences, each counted under its commonest stratum.

    Args:
        table: Canonical for `schema`, n rows.
        schema: Its schema.
        fraction: Share of rows for the holdout, 0 or more and below 1.
        rng: Source of randomness.

    Returns:
        (train, holdout), rows in the table's order, each with a RangeIndex.

    Raises:
        UsageError: `fraction` is out of range.
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"the holdout fraction is {fraction}.", do="Give a share of 0 or more and below 1.")
    codes, strata = sequence_codes(table, schema), _strata(table, schema)
    if schema.sequence is not None:
        strata = _commonest(strata, codes)
    n = len(strata)
    size = round(n * fraction)
    if fraction > 0:
        size = min(max(size, 1), n - 1) if n >= 2 else 0
    drawn = np.zeros(n, dtype=bool)
    drawn[_stratified(strata, size, rng)] = True
    chosen = drawn[codes]
    train = table[~chosen].reset_index(drop=True)
    holdout = table[chosen].reset_index(drop=True)
    return train, unseen(holdout, train, schema)


def unseen(holdout: pd.DataFrame, train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows of a holdout that equal no row of train in every modelled column, with a RangeIndex.

    Where the schema names a sequence key, rows of a sequence that train has too are left out as well.
    """
    seen = _seen(holdout, train, schema)
    if schema.sequence is not None:
        seen |= holdout[schema.sequence.key].isin(train[schema.sequence.key]).to_numpy()
    return holdout[~seen].reset_index(drop=True)


def _strata(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The stratum of each row, int64, shape (n,)."""
    name = schema.target or (schema.survival.event if schema.survival else None)
    if name is None:
        return np.zeros(len(table), dtype="int64")
    column = schema[name]
    if column.kind.is_discrete:
        return labels_to_codes(table[name]).astype("int64")
    if not column.kind.is_numeric:
        return np.zeros(len(table), dtype="int64")
    values = to_float(table[name], column.kind)
    filled = values[~np.isnan(values)]
    if len(filled) == 0:
        return np.zeros(len(table), dtype="int64")
    edges = np.unique(np.quantile(filled, np.linspace(0, 1, TARGET_BINS + 1)[1:-1]))
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))


def _commonest(strata: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The stratum that most rows of each sequence are in, int64, shape (sequences,)."""
    pairs, counts = np.unique(np.column_stack([codes, strata]), axis=0, return_counts=True)
    order = np.lexsort((-counts, pairs[:, 0]))
    _, first = np.unique(pairs[order, 0], return_index=True)
    return np.asarray(pairs[order, 1][first])


def _stratified(strata: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` rows, spread over the strata by their sizes: a systematic sample of the rows in stratum order, shuffled
    inside each stratum."""
    n = len(strata)
    if size == 0:
        return np.empty(0, dtype="int64")
    shuffled = rng.permutation(n)
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    picks = np.floor((np.arange(size) + rng.random()) * (n / size)).astype("int64").clip(0, n - 1)
    chosen: np.ndarray = order[picks]
    return chosen


def _seen(holdout: pd.DataFrame, train: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Which holdout rows equal a train row in every modelled column, shape (len(holdout),)."""
    names = [c.name for c in schema.modelled]
    if not names or holdout.empty:
        return np.zeros(len(holdout), dtype=bool)
    return np.isin(_row_hashes(holdout[names]), _row_hashes(train[names]))


def _row_hashes(table: pd.DataFrame) -> np.ndarray:
    """A 64-bit hash per row; categories hash by position (both tables share the schema's)."""
    coded = {
        k: table[name].cat.codes if isinstance(table[name].dtype, pd.CategoricalDtype) else table[name]
        for k, name in enumerate(table.columns)
    }
    hashes: np.ndarray = pd.util.hash_pandas_object(pd.DataFrame(coded), index=False).to_numpy(dtype="uint64")
    return hashes
