"""Nearest neighbours among rows of mixed columns.

The distance is Gower's: per column the difference of ranks (numbers) or 0/1 for equal/unequal labels, 1 where only one
of the two cells is missing; then the mean over columns. Candidates are found by exact brute-force search in a Euclidean
space that imitates it (a label is a unit vector; a rank is laid on waves whose squared distance is the Fourier series
of its difference), because that is matrix multiplication; the true distance then decides among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.schema import Column
from synthloom.metrics._threads import one_openmp_thread
from synthloom.metrics._views import codes, held_out, numbers, pick
from synthloom.metrics.contract import Tables

MAX_COLUMNS = 200  # of a wider table a random sample is compared
MAX_WIDTH = 800  # dimensions of the search space
LEVELS = 50  # labels of a column with a dimension of their own
RANK_ROWS = 10_000
CANDIDATES = 4
CHUNK = 1_000
PAIRS = 400_000_000  # distances one search may take


def budget(queries: int, references: int, fewest: int) -> tuple[int, int]:
    """How many queries and references a search can afford: fewer queries first, down to `fewest`, then references."""
    asked = min(queries, max(fewest, PAIRS // max(1, references)))
    return asked, min(references, PAIRS // max(1, asked))


@dataclass(frozen=True)
class Points:
    """Rows laid out: `waves` (n, width), `ranks` (n, numeric columns), `labels` (n, discrete columns)."""

    waves: np.ndarray
    ranks: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.waves)

    def take(self, rows: np.ndarray) -> Points:
        """Some of the rows."""
        return Points(self.waves[rows], self.ranks[rows], self.labels[rows])


class Space:
    """Lays rows out. Scales come from equal parts of train and holdout, so that neither is favoured."""

    def __init__(self, tables: Tables) -> None:
        rng = tables.rng("space")
        columns = tables.schema.modelled
        self.columns = [columns[i] for i in pick(len(columns), MAX_COLUMNS, rng)]
        self._check_cancelled = tables.check_cancelled
        real, other = tables.train, held_out(tables)
        n = min(len(real), len(other), RANK_ROWS)
        self._frame = pd.concat([f.iloc[pick(len(f), n, rng)] for f in (real, other)], ignore_index=True)
        per_column = MAX_WIDTH // max(1, len(self.columns))
        self._harmonics = 2 * np.arange(max(1, min(4, per_column // 2 - 1))) + 1
        self._levels = max(2, min(LEVELS, per_column - 2))
        self._sorted: dict[str, np.ndarray] = {}
        self._places: dict[str, tuple[np.ndarray, int]] = {}
        for column in self.columns:
            if column.kind.is_discrete:
                self._places[column.name] = self._level_places(column)
            else:
                values = numbers(self._frame, column)
                self._sorted[column.name] = np.sort(values[~np.isnan(values)])
        del self._frame

    def _level_places(self, column: Column) -> tuple[np.ndarray, int]:
        """Dimension of each label: the frequent ones have their own, the others share one, missing cells have one."""
        raw = codes(self._frame, column)
        counts = np.bincount(raw[raw >= 0], minlength=len(column.categories))
        kept = np.argsort(-counts, kind="stable")[: self._levels]
        places = np.full(len(counts) + 1, len(kept))
        places[kept] = np.arange(len(kept))
        places[-1] = len(kept) + 1  # where a missing cell's -1 points
        return places, len(kept) + 2

    def place(self, frame: pd.DataFrame) -> Points:
        """Rows of a canonical table as points."""
        waves: list[np.ndarray] = []
        ranks: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        for column in self.columns:
            self._check_cancelled()
            if column.kind.is_discrete:
                raw = codes(frame, column)
                places, width = self._places[column.name]
                units = np.zeros((len(frame), width), dtype=np.float32)
                units[np.arange(len(frame)), places[raw]] = np.sqrt(0.5)
                waves.append(units)
                labels.append(raw)
            else:
                rank = self._rank(numbers(frame, column), self._sorted[column.name])
                waves.append(_on_waves(rank, self._harmonics))
                ranks.append(rank.astype(np.float32))
        n = len(frame)
        return Points(
            np.concatenate(waves, axis=1) if waves else np.empty((n, 0), np.float32),
            np.column_stack(ranks) if ranks else np.empty((n, 0), np.float32),
            np.column_stack(labels) if labels else np.empty((n, 0), np.int32),
        )

    @staticmethod
    def _rank(values: np.ndarray, known: np.ndarray) -> np.ndarray:
        if not len(known):
            return np.where(np.isnan(values), np.nan, 0.5)
        middle = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / (2 * len(known))
        return np.where(np.isnan(values), np.nan, middle)


def _on_waves(rank: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    """|t| = sum over odd k of 4/(pi k)^2 (1 - cos(k pi t)) for |t| <= 1; a missing cell is at distance 1 from all."""
    missing = np.isnan(rank)
    angles = np.where(missing, 0.0, rank)[:, None] * (np.pi * harmonics)
    amplitude = np.sqrt(2.0) / (np.pi * harmonics)
    waves = np.concatenate([np.cos(angles) * amplitude, np.sin(angles) * amplitude], axis=1)
    waves[missing] = 0.0
    return np.column_stack([waves, missing * np.sqrt(0.75)]).astype(np.float32)


def space(tables: Tables) -> Space:
    """The one space of these tables."""
    return tables.shared("space", lambda: Space(tables))


def nearest(tables: Tables, queries: Points, references: Points, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest references of each query.

    Args:
        tables: Whose `cancelled` is asked between chunks.
        queries, references: Points of one space; at least k references.
        k: Neighbours wanted.

    Returns:
        Gower distances (0 to 1) and reference positions, both of shape (n, k), nearest first. Distances are rounded to
        six digits, so that equal ones compare equal.
    """
    from sklearn.neighbors import NearestNeighbors

    wanted = min(len(references), k + CANDIDATES - 1)
    search: Any = NearestNeighbors(n_neighbors=wanted, algorithm="brute", metric="sqeuclidean").fit(references.waves)
    chunk = max(50, min(CHUNK, 20_000_000 // max(1, len(references))))
    distances, positions = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), chunk):
        tables.check_cancelled()
        part = slice(start, start + chunk)
        with one_openmp_thread():
            found = search.kneighbors(queries.waves[part], return_distance=False)
        true = _gower(queries, part, references, found)
        order = np.argsort(true, axis=1, kind="stable")[:, :k]
        distances[part] = np.take_along_axis(true, order, axis=1)
        positions[part] = np.take_along_axis(found, order, axis=1)
    return distances, positions


def _gower(queries: Points, part: slice, references: Points, found: np.ndarray) -> np.ndarray:
    total = np.zeros(found.shape)
    for j in range(queries.ranks.shape[1]):
        a, b = queries.ranks[part, j][:, None], references.ranks[:, j][found]
        gap = np.abs(a - b)
        total += np.where(np.isnan(gap), np.isnan(a) != np.isnan(b), gap)
    for j in range(queries.labels.shape[1]):
        total += queries.labels[part, j][:, None] != references.labels[:, j][found]
    columns = queries.ranks.shape[1] + queries.labels.shape[1]
    return np.asarray(np.round(total / max(1, columns), 6))
