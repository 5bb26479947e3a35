"""Post-processing of a synthetic table. Each step is pure, seeded, takes and returns canonical tables, and leaves
missing cells where they are.

Each step looks at the training rows once more, so none may follow a method with differential privacy: its promise
would be void. And each keeps the disclosure rule of the run: no value it writes rests on fewer than `min_support`
training records. What may be written is an atom, a value that many records share, or a number between the means of
neighbouring groups of that many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError, UnknownNameError
from synthloom.domain.event import Cancelled, never
from synthloom.domain.plan import Refinement
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import canonical_dtype, codes_to_labels, from_float, labels_to_codes, to_float

STEPS: tuple[Refinement, ...] = get_args(Refinement)
"""The steps by name."""

_EXACT = 2.0**53  # floats hold every integer up to here
_NEARLY_CONTINUOUS = 0.5  # largest share of records standing on atoms


def refine(
    table: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema, step: Refinement, rng: np.random.Generator, *,
    min_support: int = 5, cancelled: Cancelled = never,
) -> pd.DataFrame:
    """Apply one step.

    Args:
        table: Training rows, canonical.
        synthetic: Rows to refine, canonical; not changed.
        schema: The one schema of both.
        step: `quantile_matching` (numeric columns take the training rows' protected quantiles, ranks kept),
            `jitter` (values of nearly continuous columns are moved up to the next neighbour, range kept) or
            `categorical_marginals` (as few labels as possible are changed to match the training rows' shares).
        rng: Source of all randomness.
        min_support: No value written rests on fewer training records.
        cancelled: Asked before each column.

    Returns:
        A new canonical table with as many rows.

    Raises:
        UnknownNameError: no such step.
        CancelledError: cancelled.
    """
    if step not in STEPS:
        raise UnknownNameError(f"no refinement is called {step!r}.", do=f"Choose among: {', '.join(STEPS)}.")
    done = synthetic.copy()
    for column in schema.modelled:
        if cancelled():
            raise CancelledError("the run was cancelled while refining.")
        own = np.random.default_rng(rng.integers(2**63))  # a column's noise does not depend on the columns before it
        if column.kind.is_discrete and step == "categorical_marginals":
            done[column.name] = _match_labels(table[column.name], done[column.name], column, own, min_support)
        elif column.kind.is_numeric and step != "categorical_marginals":
            work = partial(_match_quantiles if step == "quantile_matching" else _jitter, column, own, min_support)
            done[column.name] = _on_a_line(table[column.name], done[column.name], column, work, min_support)
    return done


def _on_a_line(
    real: pd.Series, synthetic: pd.Series, column: Column, work: Callable[[np.ndarray, np.ndarray], np.ndarray],
    min_support: int,
) -> pd.Series:
    """Run `work` on a numeric column's filled cells; a column it cannot improve comes back as it is."""
    known, values = to_float(real, column.kind), to_float(synthetic, column.kind)
    known, filled = known[~np.isnan(known)], ~np.isnan(values)
    too_large = any(np.abs(v).max(initial=0) >= _EXACT for v in (known, values[filled]))
    if len(known) < min_support or not filled.any() or (column.kind is Kind.INTEGER and too_large):
        return synthetic
    values[filled] = work(known, values[filled])
    return from_float(_within(values, column), column).astype(canonical_dtype(column))


def _within(values: np.ndarray, column: Column) -> np.ndarray:
    low = -np.inf if column.lower is None else column.lower
    high = np.inf if column.upper is None else column.upper
    inside: np.ndarray = np.clip(values, low, high)
    return inside


@dataclass(frozen=True)
class ProtectedQuantiles:
    """A quantile function in which every knot rests on at least `min_support` records.

    Attributes:
        levels: Non-decreasing positions in 0..1, shape (k,). A jump has its position twice.
        values: Non-decreasing values there, shape (k,).
        atoms: The values that at least `min_support` records share, ascending.
        atom_share: Share of records standing on an atom.
    """

    levels: np.ndarray
    values: np.ndarray
    atoms: np.ndarray
    atom_share: float

    def at(self, levels: np.ndarray) -> np.ndarray:
        """Values at positions in 0..1; flat on atoms, straight between groups."""
        right = np.searchsorted(self.levels, levels, side="right").clip(1, len(self.levels) - 1)
        left = right - 1
        width = self.levels[right] - self.levels[left]
        share = np.divide(levels - self.levels[left], width, out=np.zeros_like(levels), where=width > 0).clip(0, 1)
        step = self.values[right] - self.values[left]
        return np.asarray(np.where(step == 0, self.values[left], self.values[left] + share * step))  # atoms stay exact


def protected_quantiles(known: np.ndarray, min_support: int) -> ProtectedQuantiles:
    """The protected quantile function of a column.

    Args:
        known: Filled cells as floats, at least `min_support` of them.
        min_support: Fewest records behind a knot.

    Atoms are flat stretches. The records between two atoms are cut into groups of at least `min_support`, each
    standing as its mean, and the function runs straight from mean to mean; fewer records than that join the
    nearest atom. So the ends of the range are means of groups too.
    """
    values, counts = np.unique(known, return_counts=True)
    is_atom = counts >= min_support
    edges = np.flatnonzero(np.diff(np.r_[True, is_atom, True].astype(int)))
    runs = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if counts[start:stop].sum() >= min_support:
            runs.append((start, stop))
        else:
            counts[_nearest_atom(values, start, stop)] += counts[start:stop].sum()
            counts[start:stop] = 0
    reach = np.cumsum(counts)  # in records, whole numbers, so that where one knot ends is exactly where the next begins
    total = reach[-1]
    levels, heights = [(reach - counts)[is_atom] / total, reach[is_atom] / total], [values[is_atom]] * 2
    for start, stop in runs:
        floor = values[start - 1] if start else None
        ceiling = values[stop] if stop < len(values) else None
        positions, means = _group_means(values[start:stop], counts[start:stop], min_support, floor, ceiling)
        levels.append((reach[start] - counts[start] + positions) / total)
        heights.append(means)
    order = np.lexsort((np.concatenate(heights), np.concatenate(levels)))
    return ProtectedQuantiles(
        np.concatenate(levels)[order], np.maximum.accumulate(np.concatenate(heights)[order]), values[is_atom],
        float(counts[is_atom].sum() / total),
    )


def _nearest_atom(values: np.ndarray, start: int, stop: int) -> int:
    """The atom next to a run of rare values: the closer one of the two."""
    if start == 0:
        return stop
    if stop == len(values):
        return start - 1
    return stop if values[stop] - values[stop - 1] < values[start] - values[start - 1] else start - 1


def _group_means(
    values: np.ndarray, counts: np.ndarray, min_support: int, floor: float | None, ceiling: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a run of records into groups; their middles (in records from the run's start) and means, and the run's ends.

    Beside an atom (`floor`, `ceiling`) the run's end is half a step beyond the outermost mean, but not beyond the atom;
    at the ends of the table's range it is the mean itself.
    """
    records = np.repeat(values, counts)
    pieces = max(1, len(records) // min_support)
    sizes = np.full(pieces, len(records) // pieces)
    sizes[: len(records) % pieces] += 1
    ends = np.cumsum(sizes)
    means = np.add.reduceat(records, ends - sizes) / sizes
    step = np.diff(means) / 2 if pieces > 1 else np.zeros(1)
    low = means[0] if floor is None else max(floor, means[0] - step[0])
    high = means[-1] if ceiling is None else min(ceiling, means[-1] + step[-1])
    return np.r_[0.0, ends - sizes / 2, len(records)], np.r_[low, means, high]


def _match_quantiles(
    _column: Column, rng: np.random.Generator, min_support: int, known: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Each value moves to the protected quantile of its own rank; ties are broken by chance."""
    rank = np.empty(len(values))
    rank[np.lexsort((rng.random(len(values)), values))] = np.arange(len(values))
    return protected_quantiles(known, min_support).at((rank + 0.5) / len(values))


def _jitter(
    column: Column, rng: np.random.Generator, min_support: int, known: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Uniform noise of up to the distance to a value's closer neighbour, but at least one step, for all but atoms.

    A column where most records share their value with `min_support` others is left alone: noise would only blur it.
    """
    line = protected_quantiles(known, min_support)
    distinct = np.unique(values)
    if line.atom_share > _NEARLY_CONTINUOUS or len(distinct) < 3:
        return values
    gap = np.diff(distinct)
    room = np.minimum(np.r_[gap[0], gap], np.r_[gap, gap[-1]])
    reach = np.maximum(room, _grid(column))[np.searchsorted(distinct, values)]
    moved = values + rng.uniform(-1, 1, len(values)) * reach
    low, high = min(line.values[0], values.min()), max(line.values[-1], values.max())
    return np.where(np.isin(values, line.atoms), values, np.clip(moved, low, high))


def _grid(column: Column) -> float:
    """The smallest step a column's values can take; 0 where there is none."""
    if column.kind is Kind.INTEGER:
        return 1.0
    if column.kind is Kind.DECIMAL:
        return 0.0 if column.precision is None else 10.0**-column.precision
    return 86400.0 if column.kind is Kind.DATE else 10.0 ** -min(column.text.fraction_digits, 6)


def _match_labels(
    real: pd.Series, synthetic: pd.Series, column: Column, rng: np.random.Generator, min_support: int
) -> pd.Series:
    """Move as few cells as possible from labels there are too many of to labels there are too few of.

    Labels on fewer than `min_support` training records are neither taken from nor given to.
    """
    known, codes = labels_to_codes(real), labels_to_codes(synthetic).copy()
    size = len(column.categories)
    counts = np.bincount(known[known >= 0], minlength=size)
    common = counts >= min_support
    mine = np.bincount(codes[codes >= 0], minlength=size)
    total = int(mine[common].sum())
    if not total or common.sum() < 2:
        return synthetic
    wanted = np.where(common, _apportion(np.where(common, counts, 0), total), mine)
    surplus, lacking = np.maximum(mine - wanted, 0), np.maximum(wanted - mine, 0)
    order = rng.permutation(len(codes))
    taken = [order[codes[order] == label][:count] for label, count in enumerate(surplus) if count]
    given = np.concatenate([order[:0], *taken])
    codes[rng.permutation(given)] = np.repeat(np.arange(size), lacking)
    return codes_to_labels(codes, column)


def _apportion(counts: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in the shares of `counts` that add up to `total` (largest remainders)."""
    exact = counts / counts.sum() * total
    whole = np.floor(exact).astype(int)
    missing = total - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return np.asarray(whole)
