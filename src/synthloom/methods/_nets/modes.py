"""Columns as *modes* and places, for nets that draw a category and then a number within it.

Mode-specific encoding (Xu et al. 2019, sec. 4.2) with the column's own shape in place of fitted Gaussians: a discrete
column's modes are its codes; a column on a line is cut into at most `max_modes` modes of like weight, where every value
that a larger share of the records has in common is a mode of its own, and a cell's place says how far up its mode's
records it lies, evenly spread over 0 to 1 whatever the values' distribution. Missing and pooled cells are modes too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthloom.domain.event import Cancelled, never
from synthloom.tables.encode import ColumnCodec, TableCodec, assemble, stop_if


@dataclass(frozen=True)
class ColumnModes:
    """One column's modes.

    Attributes:
        codec: Its codes.
        starts: (modes of levels + 1,) int64; mode m stands for the codes from starts[m] up to starts[m + 1].
        counts: (size,) int64 records behind each mode; those of levels, then pooled and missing where there are any.
    """

    codec: ColumnCodec
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, codec: ColumnCodec, max_modes: int) -> ColumnModes:
        """Group a column's codes into modes; labels stay as they are."""
        counts = codec.code_counts
        n = codec.n_level_codes
        most = n if codec.column.kind.is_discrete else max_modes
        starts = _evenly(counts[:n], max(most, 1))
        cumulated = np.r_[0, np.cumsum(counts[:n])]
        extra = [c for c in (codec.pooled, codec.missing) if c]
        return cls(codec, starts, np.r_[np.diff(cumulated[starts]), extra].astype(np.int64))

    @property
    def size(self) -> int:
        """Modes in all."""
        return len(self.counts)

    @property
    def n_level_modes(self) -> int:
        """Modes that stand for levels."""
        return len(self.starts) - 1

    @property
    def pool_mode(self) -> int:
        """The mode of pooled cells; none where no cell is pooled: -1."""
        return self.n_level_modes if self.codec.pooled else -1

    @property
    def missing_mode(self) -> int:
        """The mode of missing cells; none where no cell is missing: -1."""
        return self.size - 1 if self.codec.missing else -1

    @property
    def has_place(self) -> np.ndarray:
        """(size,) bool: modes within which a place says more."""
        several = np.zeros(self.size, dtype=bool)
        if not self.codec.column.kind.is_discrete:
            levels = self.codec.levels
            first = self.codec.starts[self.starts]
            alone = np.diff(first) == 1
            atom = levels.low[first[:-1]] == levels.high[first[:-1]] if len(first) > 1 else alone
            several[: self.n_level_modes] = ~(alone & atom)
        return several

    @property
    def edges(self) -> np.ndarray:
        """(modes of levels + 1,) float64 records below each mode."""
        return np.asarray(np.r_[0, np.cumsum(self.counts[: self.n_level_modes])], dtype=np.float64)

    def encode(self, series: pd.Series, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Modes (n,) int64 and places (n,) float32 in 0 to 1 of a canonical column.

        Where a value leaves its place open (an atom among others of its mode, a rounded number), one is drawn.
        """
        codec = self.codec
        level = codec.level_of(series)
        mode_of = np.repeat(np.arange(self.n_level_modes), np.diff(codec.starts[self.starts]))
        pool = max(self.pool_mode, 0)
        missing = self.missing_mode if codec.missing else pool
        modes = np.r_[mode_of, missing, pool][level]
        places = rng.random(len(series))
        if not codec.column.kind.is_discrete and self.n_level_modes:
            low, high = codec.part_of_level(series, level)
            cumulated = np.r_[0, np.cumsum(codec.levels.counts)].astype(np.float64)
            at = np.where(level >= 0, level, 0)
            counts, atom = codec.levels.counts[at], codec.levels.low[at] == codec.levels.high[at]
            inside = np.where(atom, places, low + places * (high - low))
            below = self.edges[np.minimum(modes, self.n_level_modes)]
            own = (cumulated[at] + inside * counts - below) / np.maximum(self.counts[modes], 1)
            places = np.where(level >= 0, np.clip(own, 0, 1), places)
        return modes.astype(np.int64), places.astype(np.float32)

    def decode(self, modes: np.ndarray, places: np.ndarray) -> pd.Series:
        """A canonical column out of modes (n,) and places (n,) in 0 to 1."""
        edges = self.edges
        total = edges[-1]
        at = np.minimum(modes, max(self.n_level_modes - 1, 0))
        width = np.r_[np.diff(edges), 0.0][at]
        where = edges[at] + np.clip(places.astype(np.float64), 0, 1 - 1e-9) * width
        where = np.where(modes == self.pool_mode, places * total, where)
        empty = np.asarray((modes == self.missing_mode) | (total == 0))
        return self.codec.at(where, empty)


@dataclass(frozen=True)
class TableModes:
    """All modelled columns' modes."""

    codec: TableCodec
    columns: tuple[ColumnModes, ...]

    @classmethod
    def of(cls, codec: TableCodec, max_modes: int) -> TableModes:
        """Modes of a fitted codec's columns: at most `max_modes` for levels of a column on a line."""
        return cls(codec, tuple(ColumnModes.of(c, max_modes) for c in codec.columns))

    def encode(
        self, table: pd.DataFrame, rng: np.random.Generator, cancelled: Cancelled = never
    ) -> tuple[np.ndarray, np.ndarray]:
        """Modes (n, columns) int64 and places (n, columns) float32 of a canonical table."""
        modes = np.empty((len(table), len(self.columns)), dtype=np.int64)
        places = np.empty((len(table), len(self.columns)), dtype=np.float32)
        for j, column in enumerate(self.columns):
            stop_if(cancelled)
            modes[:, j], places[:, j] = column.encode(table[column.codec.column.name], rng)
        return modes, places

    def decode(
        self, modes: np.ndarray, places: np.ndarray, rng: np.random.Generator, cancelled: Cancelled = never
    ) -> pd.DataFrame:
        """A canonical table out of modes and places; pooled cells and columns that are not modelled are drawn."""
        made = {}
        for j, column in enumerate(self.columns):
            stop_if(cancelled)
            made[column.codec.column.name] = column.decode(modes[:, j], places[:, j])
        return assemble(made, self.codec.schema, len(modes), rng)


def _evenly(counts: np.ndarray, most: int) -> np.ndarray:
    """Cut codes into about `most` groups of neighbours: heavy ones alone, the others in groups of like weight.

    Args:
        counts: (codes,) records behind each.
        most: Groups wanted; heavy codes that part neighbours may make it up to twice as many.

    Returns:
        (groups + 1,) int64 first code of each group, and the number of codes at the end.
    """
    n = len(counts)
    if n <= most:
        return np.arange(n + 1, dtype=np.int64)
    heavy = np.zeros(n, dtype=bool)
    while True:
        room = max(most - int(heavy.sum()), 1)
        share = counts[~heavy].sum() / room
        more = ~heavy & (counts > share)
        if not more.any() or room == 1:
            break
        heavy |= more
    starts, weight = [0], 0
    for code, count in enumerate(counts.tolist()):
        if code > starts[-1] and (heavy[code] or heavy[code - 1] or weight + count > 1.5 * share):
            starts.append(code)
            weight = 0
        weight += count
    return np.array([*starts, n], dtype=np.int64)
