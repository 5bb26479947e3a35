"""`gaussian_copula`: each column keeps its own distribution, one normal correlation ties them together.

Every column is a monotone function of a standard normal variable: atoms, labels and intervals of its levels
(`tables/levels.py`) each own a slice of the normal line as wide as their share. Where a column has missing cells, a
second variable says when. Labels without an order are put in the order that lets the columns correlate most
(from homogeneity analysis, Gifi 1990, to SSQCOR, Kettenring 1971), so that one dimension carries what they say.

Scores of sliced variables correlate less than the variables themselves. By Mehler's formula the covariance of two
scores is a power series in the latent correlation, with the scores' Hermite coefficients (Lancaster 1957); each pair's
series is inverted, which gives the latent correlation itself. The matrix of all pairs is projected onto the nearest
correlation matrix (Higham 2002) and shrunk a little, so that it is positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import ndtr, ndtri

from synthloom.domain.event import Cancelled, Emit, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Kind, Schema
from synthloom.methods._latent import (
    TERMS,
    conditional_normal,
    latent_correlations,
    nearest_correlation,
    principal_order,
    slice_scores,
    truncated_normal,
)
from synthloom.methods._opening import open_codec
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo, MethodParams
from synthloom.tables.conditions import put_in
from synthloom.tables.encode import ColumnCodec, TableCodec, assemble, stop_if

_CHUNK = 100_000
_MOST_CODES = 1024


class GaussianCopulaParams(MethodParams):
    """Parameters of `gaussian_copula`."""

    min_support: int = Field(10, ge=2, le=1000, description="No released value rests on fewer records (k).")
    shrinkage: float = Field(
        0.001, gt=0, le=1, description="Weight of the identity matrix mixed into the correlations; 1: independence."
    )


@dataclass(frozen=True)
class _Slices:
    """How one column lies on the normal line.

    Attributes:
        order: (L,) levels from left to right.
        cuts: (L + 1,) latent borders of the slices, from -inf to inf.
        variable: Place of its latent variable.
        gap_variable: Place of the variable that says when it is missing; -1: never.
        gap_cut: Latent border above which it is missing.
    """

    order: np.ndarray
    cuts: np.ndarray
    variable: int
    gap_variable: int
    gap_cut: float


class GaussianCopula(Method[GaussianCopulaParams]):
    """Empirical margins tied by a latent normal correlation; exact conditioning on any columns."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="gaussian_copula",
        title="Gaussian copula",
        summary="Exact margins, pairwise dependence; instant, hardly able to memorise, conditions on any columns.",
        paper="Nelsen 2006, ch. 2-3; Lancaster 1957 (Mehler's series); Higham 2002 (nearest correlation matrix)",
        aliases=("gc", "copula"),
        conditional=True,
    )
    Params: ClassVar[type[MethodParams]] = GaussianCopulaParams

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """The support of each level."""
        return {"min_support": {"low": 5, "default": 10, "high": 25}[level]}

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,  # noqa: ARG002  # nothing is drawn
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Learn margins and correlations; `rng` is not needed, nothing is drawn."""
        self._schema = schema
        self._codec = open_codec(
            table, schema, min_support=self.params.min_support, max_codes=_MOST_CODES, emit=emit, cancelled=cancelled
        )
        emit(Progress(step="fit", fraction=0.3, message="margins learnt"))
        codes = self._codec.encode(table, cancelled)
        emit(Progress(step="fit", fraction=0.6, message="columns encoded"))
        self._learn(codes, cancelled)
        emit(Progress(step="fit", fraction=1.0))
        return self

    def _learn(self, codes: np.ndarray, cancelled: Cancelled) -> None:
        columns = self._codec.columns
        free = [c.column.kind in (Kind.CATEGORY, Kind.BOOLEAN) for c in columns]
        filled = [codes[:, j] < c.n_level_codes for j, c in enumerate(columns)]
        axis = principal_order(codes, [c.code_counts for c in columns], filled, free, cancelled)
        gaps, patterns = self._gap_patterns(codes)
        scores = np.zeros((len(codes), len(columns) + len(patterns)))
        known = np.ones(scores.shape, dtype=np.float32)
        series, self._slices = [], []
        for j, codec in enumerate(columns):
            stop_if(cancelled)
            order = np.argsort(axis[j], kind="stable") if free[j] else np.arange(codec.n_level_codes)
            shares = codec.code_counts[: codec.n_level_codes][order]
            score, coefficients, _ = slice_scores(shares)
            by_code = np.zeros(codec.n_codes)
            by_code[order] = score
            scores[:, j], known[:, j] = by_code[codes[:, j]], filled[j]
            series.append(coefficients)
            self._slices.append(_column_slices(codec, order, j, gap=gaps[j], n_columns=len(columns), n_rows=len(codes)))
        for g, pattern in enumerate(patterns):
            score, coefficients, _ = slice_scores(np.array([(~pattern).sum(), pattern.sum()]))
            scores[:, len(columns) + g] = score[pattern.astype(np.intp)]
            series.append(coefficients)
        stop_if(cancelled)
        together = known.T @ known
        covariance = (scores.T @ scores) / np.maximum(together, 1)
        correlation = latent_correlations(covariance, np.array(series).reshape(len(series), TERMS), cancelled)
        correlation[together < self.params.min_support] = 0
        np.fill_diagonal(correlation, 1)
        near = nearest_correlation(correlation, cancelled=cancelled)
        self._correlation = (1 - self.params.shrinkage) * near + self.params.shrinkage * np.eye(len(near))

    def _gap_patterns(self, codes: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
        """Which missingness variable each column has (-1: none); columns always missing together share one."""
        found: dict[bytes, int] = {}
        patterns: list[np.ndarray] = []
        place: list[int] = []
        for j, codec in enumerate(self._codec.columns):
            if not codec.missing or not codec.n_level_codes:
                place.append(-1)
                continue
            missing = codes[:, j] == codec.missing_code
            key = np.packbits(missing).tobytes()
            if key not in found:
                found[key] = len(patterns)
                patterns.append(missing)
            place.append(found[key])
        return place, patterns

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw rows; under conditions, from the exact conditional distribution of the fitted copula.

        Conditions become slices of the normal line. One of them is drawn from directly, several by Gibbs sampling
        (Geweke 1991) started from a sequential draw; a number between two levels becomes a point.
        """
        latent = np.empty((n, len(self._correlation)), order="F")
        root = np.linalg.cholesky(self._correlation)
        bounds = None if conditions is None else self._bounds(conditions)
        for first in range(0, n, _CHUNK):
            stop_if(cancelled)
            rows = slice(first, min(first + _CHUNK, n))
            if bounds is None:
                latent[rows] = rng.standard_normal((rows.stop - first, len(root))) @ root.T
            else:
                latent[rows] = self._draw_bounded(bounds[0][rows], bounds[1][rows], rng, cancelled)
            emit(Progress(step="sample", fraction=0.5 * rows.stop / n))
        made = {}
        for j, (codec, slices) in enumerate(zip(self._codec.columns, self._slices, strict=True)):
            stop_if(cancelled)
            made[codec.column.name] = _column_at(codec, slices, latent)
            emit(Progress(step="sample", fraction=0.5 + 0.5 * (j + 1) / len(self._slices)))
        rows_made = assemble(made, self._schema, n, rng)
        emit(Progress(step="sample", fraction=1.0))
        return rows_made if conditions is None else put_in(rows_made, conditions)

    def _bounds(self, conditions: Conditions) -> tuple[np.ndarray, np.ndarray]:
        """(n, variables) lower and upper latent bounds that the fixed cells set; equal: a point."""
        n, v = len(conditions), len(self._correlation)
        low, high = np.full((n, v), -np.inf), np.full((n, v), np.inf)
        for codec, slices in zip(self._codec.columns, self._slices, strict=True):
            name = codec.column.name
            if name not in conditions:
                continue
            cells = conditions[name].reset_index(drop=True)
            if slices.gap_variable >= 0:
                missing = cells.isna().to_numpy()
                low[missing, slices.gap_variable] = slices.gap_cut
                high[~missing, slices.gap_variable] = slices.gap_cut
            if codec.n_level_codes:
                low[:, slices.variable], high[:, slices.variable] = _slice_bounds(codec, slices, cells)
        return low, high

    def _draw_bounded(
        self, low: np.ndarray, high: np.ndarray, rng: np.random.Generator, cancelled: Cancelled
    ) -> np.ndarray:
        fixed = np.isfinite(low).any(axis=0) | np.isfinite(high).any(axis=0)
        latent = np.empty(low.shape)
        inside = self._correlation[np.ix_(fixed, fixed)]
        latent[:, fixed] = truncated_normal(inside, low[:, fixed], high[:, fixed], rng, cancelled)
        latent[:, ~fixed] = conditional_normal(self._correlation, fixed, latent[:, fixed], rng)
        return latent

    def guarantee(self) -> NoGuarantee:
        """No formal promise; the rules it keeps."""
        k = self.params.min_support
        return NoGuarantee(rules=(
            f"A value that fewer than {k} records share is never released: numbers are drawn inside intervals of at "
            f"least {k} records, rarer labels are replaced by commoner ones.",
            f"The smallest and largest values released are means of {k} records each.",
            "Besides each column's own distribution, only one correlation for each pair of columns is kept.",
        ))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Levels, slices and the correlation matrix."""
        arrays, meta = self._codec.state()
        arrays["correlation"] = self._correlation
        gaps = []
        for j, s in enumerate(self._slices):
            arrays |= {f"slices.{j}.order": s.order, f"slices.{j}.cuts": s.cuts[1:-1]}
            gaps.append([s.gap_variable, s.gap_cut])
        return arrays, meta | {"gaps": gaps}

    @classmethod
    def from_state(cls, params: GaussianCopulaParams, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state."""
        method = cls(params)
        method._schema = schema
        method._codec = TableCodec.from_state(schema, arrays, meta)
        method._correlation = arrays["correlation"]
        method._slices = [
            _Slices(arrays[f"slices.{j}.order"], _closed(arrays[f"slices.{j}.cuts"]), j, int(gap), float(cut))
            for j, (gap, cut) in enumerate(meta["gaps"])
        ]
        return method


def _closed(inner: np.ndarray) -> np.ndarray:
    return np.asarray(np.r_[-np.inf, inner, np.inf])


def _column_slices(
    codec: ColumnCodec, code_order: np.ndarray, variable: int, *, gap: int, n_columns: int, n_rows: int
) -> _Slices:
    """A column's levels on the normal line, code after code in the order given."""
    starts, counts = codec.starts, codec.levels.counts
    spans = [np.arange(starts[c], starts[c + 1]) for c in code_order]
    order = np.concatenate(spans) if spans else np.zeros(0, dtype=np.int64)
    shares = np.cumsum(counts[order])[:-1] / max(counts.sum(), 1)
    cut = float(ndtri(1 - codec.missing / n_rows)) if gap >= 0 else 0.0
    return _Slices(order.astype(np.int64), _closed(ndtri(shares)), variable, n_columns + gap if gap >= 0 else -1, cut)


def _column_at(codec: ColumnCodec, slices: _Slices, latent: np.ndarray) -> pd.Series:
    """A canonical column out of latent variables."""
    n = len(latent)
    if not len(slices.order):
        return codec.at(np.zeros(n), np.ones(n, dtype=bool))
    empty = latent[:, slices.gap_variable] > slices.gap_cut if slices.gap_variable >= 0 else np.zeros(n, dtype=bool)
    z = latent[:, slices.variable]
    if codec.column.kind.is_numeric:
        return codec.at(ndtr(z) * codec.levels.counts.sum(), empty)
    level = slices.order[np.clip(np.searchsorted(slices.cuts, z, side="right") - 1, 0, len(slices.order) - 1)]
    first = np.r_[0, np.cumsum(codec.levels.counts)[:-1]]
    return codec.at(first[level].astype(np.float64), empty)


def _slice_bounds(codec: ColumnCodec, slices: _Slices, cells: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(n,) latent bounds of a column's cells; unbounded where a cell is missing or its value has no level.

    A number beyond all levels lies as far out as one record among those behind the levels.
    """
    level = codec.level_of(cells)
    known = level >= 0
    place = np.empty(len(slices.order), dtype=np.int64)
    place[slices.order] = np.arange(len(slices.order))
    at = place[np.where(known, level, 0)]
    low = np.where(known, slices.cuts[at], -np.inf)
    high = np.where(known, slices.cuts[at + 1], np.inf)
    if codec.column.kind.is_numeric:
        part = codec.part_of_level(cells, level)
        share = (ndtr(low) + part[0] * (ndtr(high) - ndtr(low)), ndtr(low) + part[1] * (ndtr(high) - ndtr(low)))
        inside = known & (codec.levels.low[np.where(known, level, 0)] != codec.levels.high[np.where(known, level, 0)])
        least = 0.5 / codec.levels.counts.sum()
        borders = (ndtri(np.clip(part_share, least, 1 - least)) for part_share in share)
        low, high = (np.where(inside, border, end) for border, end in zip(borders, (low, high), strict=True))
    return low, high
