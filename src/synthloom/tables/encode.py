"""Columns to codes and back, with the disclosure rule kept inside: no code's values rest on fewer than k records.

A modelled column becomes *levels*: values that at least k records share (atoms, labels), and, on a line, intervals
that hold at least k records each. Neighbouring light levels are grouped, so that a method sees at most `max_codes`
*codes*; within a code the share of each level is kept, so nothing is blurred. Two more codes may follow the levels':

* `pool`: cells whose value too few records share. They come back as a level drawn by its share.
* `missing`: missing cells, where at least k records have one.

Interval edges are rough numbers between neighbouring values and the outermost ones are means of the k most extreme
records, so no record's own value is stored, nor one it could be worked out from. Values on a grid (tens, half hours)
come back on that grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError
from synthloom.domain.event import Cancelled, never
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import canonical_dtype, codes_to_labels, from_float, labels_to_codes, to_float
from synthloom.tables.identifiers import fresh
from synthloom.tables.levels import Levels, group_levels, label_levels, line_levels

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ColumnCodec:
    """One column's codes.

    Attributes:
        column: The column.
        levels: What its codes stand for, in order (on a line: from low to high).
        starts: (n_level_codes + 1,) int64; code c stands for the levels from starts[c] up to starts[c + 1].
        pooled: Records whose value too few share.
        missing: Records whose cell is missing; 0 where fewer than k are.
    """

    column: Column
    levels: Levels
    starts: np.ndarray
    pooled: int
    missing: int

    @classmethod
    def fit(cls, series: pd.Series, column: Column, min_support: int, max_codes: int) -> ColumnCodec:
        """Learn one canonical column's levels.

        Args:
            series: The column, canonical, n cells.
            column: What it is.
            min_support: k, the fewest records behind any level.
            max_codes: Most codes for levels on a line, four times as many for labels, whose neighbours have less in
                common; neighbouring light levels are grouped beyond.
        """
        if column.kind.is_discrete:
            max_codes *= 4
            codes = labels_to_codes(series)
            levels = label_levels(codes[codes >= 0], len(column.categories), min_support)
            n_missing = int((codes < 0).sum())
        else:
            values = to_float(series, column.kind)
            filled = values[~np.isnan(values)]
            levels = line_levels(filled, min_support, _digits(column))
            n_missing = len(values) - len(filled)
        pooled = len(series) - n_missing - int(levels.counts.sum())
        kept = n_missing if n_missing >= min_support else 0
        return cls(column, levels, group_levels(levels.counts, max_codes), pooled + n_missing - kept, kept)

    @property
    def n_level_codes(self) -> int:
        """Codes that stand for levels."""
        return len(self.starts) - 1

    @property
    def pool_code(self) -> int:
        """The code of pooled cells, whether there are any or not."""
        return self.n_level_codes

    @property
    def missing_code(self) -> int:
        """The code of missing cells, whether there are any or not."""
        return self.n_level_codes + 1

    @property
    def n_codes(self) -> int:
        """All codes: levels', pool, missing."""
        return self.n_level_codes + 2

    @property
    def code_counts(self) -> np.ndarray:
        """(n_codes,) int64: records behind each code."""
        cumulated = np.r_[0, np.cumsum(self.levels.counts)]
        return np.asarray(np.r_[np.diff(cumulated[self.starts]), self.pooled, self.missing], dtype=np.int64)

    def level_of(self, series: pd.Series) -> np.ndarray:
        """(n,) int64 level of each cell; -1 where its value has none, -2 where it is missing."""
        if self.column.kind.is_discrete:
            codes = labels_to_codes(series)
            level = np.full(len(self.column.categories) + 1, -1, dtype=np.int64)
            level[self.levels.labels] = np.arange(len(self.levels.labels))
            level[-1] = -2
            return np.asarray(level[codes])
        values = to_float(series, self.column.kind)
        missing = np.isnan(values)
        return np.where(missing, -2, self.levels.find(np.where(missing, 0.0, values)))

    def part_of_level(self, series: pd.Series, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which part of its level each cell of a column on a line stands for.

        Args:
            series: The column, canonical.
            level: (n,) of `level_of`.

        Returns:
            Two (n,) arrays, from and to, in 0 to 1: all numbers that would be rounded to the cell's value; the same
            number twice where values lie on no grid. Meaningless where the cell has no level.
        """
        values = to_float(series, self.column.kind)
        at = np.where(level >= 0, level, 0)
        # Everything in halves: the width itself may be beyond what a float holds.
        low, width = self.levels.low[at] / 2, self.levels.high[at] / 2 - self.levels.low[at] / 2
        half, width = self.levels.step / 4, np.where(width > 0, width, 1.0)
        values = np.where(np.isnan(values), low, values / 2)
        return np.clip((values - low - half) / width, 0, 1), np.clip((values - low + half) / width, 0, 1)

    def encode(self, series: pd.Series) -> np.ndarray:
        """(n,) int32 codes of a canonical column."""
        level = self.level_of(series)
        code_of = np.empty(len(self.levels.counts) + 2, dtype=np.int32)
        code_of[:-2] = np.repeat(np.arange(self.n_level_codes, dtype=np.int32), np.diff(self.starts))
        code_of[-1] = self.pool_code
        code_of[-2] = self.missing_code if self.missing else self.pool_code
        return np.asarray(code_of[level])

    def decode(self, codes: np.ndarray, uniforms: np.ndarray) -> pd.Series:
        """A canonical column out of codes.

        Args:
            codes: (n,) codes.
            uniforms: (n,) numbers in [0, 1): where within the code each cell lies.
        """
        cumulated = np.r_[0, np.cumsum(self.levels.counts)].astype(np.float64)
        total = cumulated[-1]
        level_code = np.minimum(codes, self.n_level_codes - 1) if self.n_level_codes else np.zeros_like(codes)
        edges = cumulated[self.starts]
        if self.n_level_codes:
            where = edges[level_code] + uniforms * (edges[level_code + 1] - edges[level_code])
            where = np.where(codes == self.pool_code, uniforms * total, where)
        else:
            where = np.zeros(len(codes))
        empty = (codes == self.missing_code) | (total == 0)
        return self.at(where, empty)

    def numbers(self) -> np.ndarray:
        """(n_codes,) the number in the middle of each code of a column on a line; NaN for pool and missing."""
        cumulated = np.r_[0, np.cumsum(self.levels.counts)].astype(np.float64)
        middle = (cumulated[self.starts[:-1]] + cumulated[self.starts[1:]]) / 2
        cells = self.at(middle, np.zeros(len(middle), dtype=bool))
        return np.concatenate([to_float(cells, self.column.kind), [np.nan, np.nan]])

    def at(self, where: np.ndarray, empty: np.ndarray) -> pd.Series:
        """A canonical column out of positions among the filled records.

        Args:
            where: (n,) positions in [0, records behind levels): the column's empirical quantiles times that number.
            empty: (n,) bool: cells that are to be missing.
        """
        counts = self.levels.counts
        cumulated = np.r_[0, np.cumsum(counts)].astype(np.float64)
        level = np.clip(np.searchsorted(cumulated, where, side="right") - 1, 0, max(len(counts) - 1, 0))
        if self.column.kind.is_discrete:
            codes = np.full(len(where), -1, dtype=np.int64)
            codes[~empty] = self.levels.labels[level[~empty]]
            return codes_to_labels(codes, self.column)
        values = np.full(len(where), np.nan)
        chosen = level[~empty]
        inside = (where[~empty] - cumulated[chosen]) / np.maximum(counts[chosen], 1) if len(chosen) else np.zeros(0)
        values[~empty] = self.levels.place(chosen, np.clip(inside, 0.0, 1.0))
        if self.column.lower is not None or self.column.upper is not None:
            low = -np.inf if self.column.lower is None else self.column.lower
            high = np.inf if self.column.upper is None else self.column.upper
            values = np.clip(values, low, high)
        return from_float(values, self.column)

    def state(self, prefix: str) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-safe values for a model file."""
        arrays = self.levels.arrays(prefix) | {f"{prefix}starts": self.starts}
        return arrays, {"pooled": self.pooled, "missing": self.missing, "step": self.levels.step,
                        "offset": self.levels.offset}

    @classmethod
    def from_state(cls, column: Column, prefix: str, arrays: Arrays, meta: dict[str, Any]) -> ColumnCodec:
        """The inverse of `state`."""
        levels = Levels.from_arrays(prefix, arrays, meta["step"], meta["offset"])
        return cls(column, levels, arrays[f"{prefix}starts"], meta["pooled"], meta["missing"])


def _digits(column: Column) -> int | None:
    """Decimal places that values of a column on a line have; None where that is not known."""
    if column.kind is Kind.DECIMAL:
        return column.precision
    if column.kind in (Kind.TIMESTAMP, Kind.DURATION):
        return min(column.text.fraction_digits, 6)
    return 0


@dataclass(frozen=True)
class TableCodec:
    """All modelled columns' codes, and how to make the other columns."""

    schema: Schema
    columns: tuple[ColumnCodec, ...]

    @classmethod
    def fit(
        cls, table: pd.DataFrame, schema: Schema, *, min_support: int, max_codes: int = 256,
        cancelled: Cancelled = never,
    ) -> TableCodec:
        """Learn a canonical table's codes; see `ColumnCodec.fit`."""
        codecs = []
        for column in schema.modelled:
            stop_if(cancelled)
            codecs.append(ColumnCodec.fit(table[column.name], column, min_support, max_codes))
        return cls(schema, tuple(codecs))

    @property
    def suppressed(self) -> tuple[str, ...]:
        """Columns of which no value may be released: too few records share any."""
        return tuple(c.column.name for c in self.columns if not len(c.levels.counts))

    def encode(self, table: pd.DataFrame, cancelled: Cancelled = never) -> np.ndarray:
        """(n, modelled columns) int32 codes, column-major."""
        codes = np.empty((len(table), len(self.columns)), dtype=np.int32, order="F")
        for j, codec in enumerate(self.columns):
            stop_if(cancelled)
            codes[:, j] = codec.encode(table[codec.column.name])
        return codes

    def decode(self, codes: np.ndarray, rng: np.random.Generator, cancelled: Cancelled = never) -> pd.DataFrame:
        """A canonical table out of codes; where within a code each cell lies is drawn."""
        made = {}
        for j, codec in enumerate(self.columns):
            stop_if(cancelled)
            made[codec.column.name] = codec.decode(codes[:, j], rng.random(len(codes)))
        return assemble(made, self.schema, len(codes), rng)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-safe values for a model file."""
        arrays: Arrays = {}
        meta = []
        for j, codec in enumerate(self.columns):
            own, values = codec.state(f"codec.{j}.")
            arrays |= own
            meta.append(values)
        return arrays, {"codec": meta}

    @classmethod
    def from_state(cls, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> TableCodec:
        """The inverse of `state`."""
        codecs = [
            ColumnCodec.from_state(column, f"codec.{j}.", arrays, meta["codec"][j])
            for j, column in enumerate(schema.modelled)
        ]
        return cls(schema, tuple(codecs))


def assemble(made: dict[str, pd.Series], schema: Schema, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """A canonical table out of its modelled columns: the others are repeated, left empty or made afresh.

    Args:
        made: Canonical series of the modelled columns.
        schema: All columns.
        n: Rows.
        rng: Draws identifiers and which constant cells are missing.
    """
    columns = {c.name: made[c.name] if c.kind.is_modelled else _unmodelled(c, n, rng) for c in schema}
    return pd.DataFrame(columns, index=pd.RangeIndex(n), columns=list(schema.names))


def _unmodelled(column: Column, n: int, rng: np.random.Generator) -> pd.Series:
    missing = rng.random(n) < column.missing_rate
    if column.kind is Kind.CONSTANT:
        return pd.Series(pd.Categorical.from_codes(np.where(missing, -1, 0), dtype=canonical_dtype(column)))
    cells = np.full(n, None, dtype=object)
    if column.kind is Kind.IDENTIFIER and column.identifier is not None:
        cells[~missing] = fresh(column.identifier, int((~missing).sum()), rng)
    return pd.Series(cells, dtype=object)


def stop_if(cancelled: Cancelled) -> None:
    """Raise CancelledError when a run is to stop."""
    if cancelled():
        raise CancelledError("The run was cancelled.")
