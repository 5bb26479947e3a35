"""Trees in sequence: each column drawn given those before it, from a forest of its own (`_forest.py`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from synthloom.domain.errors import ParamsError
from synthloom.domain.event import Cancelled
from synthloom.domain.schema import Schema
from synthloom.methods._forest import Forest, ForestGrower, Settings, Variable, association
from synthloom.methods.contract import Arrays
from synthloom.tables.encode import TableCodec, stop_if
from synthloom.tables.levels import group_levels

_COARSE = 16
"""Groups of neighbouring codes that a long column on a line is drawn in before the code itself."""
_LONG = 2 * _COARSE
FULL_SIZE, _SIZE_POWER, _MOST_TIMES = 20_000, 0.75, 2.5
"""Rows from which `shrinkage` holds as it is. In a smaller table each record weighs more in what is drawn, so it grows,
up to 2.5 times: measured on 24,000 and 6,000 rows, where membership attacks then do equally badly."""
_MOST_PARENTS = 40
"""Columns that one may depend on, the most telling ones: so that time grows with columns and not their square."""

_Step = tuple[Variable, list[Variable], np.ndarray | None]
"""What is learnt, from what, and the groups of its codes where they are learnt before."""


def scaled(settings: Settings, n: int) -> Settings:
    """Settings for a table of n rows: the fewer they are, the stronger the shrinkage."""
    times = min(max(FULL_SIZE / n, 1.0) ** _SIZE_POWER, _MOST_TIMES)
    return replace(settings, shrinkage=settings.shrinkage * times)


def drawing_order(codec: TableCodec, schema: Schema, wanted: str | Sequence[str], method: str) -> list[int]:
    """Places of the modelled columns in the order in which they are drawn.

    Args:
        codec: The columns.
        schema: The table's.
        wanted: "cardinality" (fewest distinct values first) or every modelled column's name.
        method: Whose parameter it is, for an error.

    Raises:
        ParamsError: names that are not those of the columns.
    """
    names = [c.column.name for c in codec.columns]
    if wanted == "cardinality":
        distinct = [
            schema[name].n_unique or len(c.levels.counts) for name, c in zip(names, codec.columns, strict=True)
        ]
        return [int(j) for j in np.argsort(distinct, kind="stable")]
    if sorted(wanted) != sorted(names):
        raise ParamsError(
            "order must name every modelled column once.", where=f"method {method}",
            do=f"The columns are: {', '.join(names[:30])}.",
        )
    return [names.index(name) for name in wanted]


@dataclass(frozen=True)
class TreeSequence:
    """Forests in drawing order.

    Attributes:
        order: Columns in drawing order.
        parents: For each, places in the order of the earlier columns it depends on.
        coarse: For each, the (codes,) group of every code where groups are drawn first; else None.
        forests: One for each column, two where groups are drawn first.
    """

    order: list[int]
    parents: list[list[int]]
    coarse: list[np.ndarray | None]
    forests: list[Forest]

    @classmethod
    def grow(
        cls, codec: TableCodec, codes: np.ndarray, order: list[int], settings: Settings, *, rng: np.random.Generator,
        cancelled: Cancelled, tell: Callable[[int, int], None],
    ) -> Self:
        """Learn each column given those before it; trees grow in as many threads as there are cores.

        Args:
            codec: The columns' codes.
            codes: (n, columns) codes of the training rows.
            order: Columns in drawing order.
            settings: What shapes the forests.
            rng: Every tree has a seed of its own from it.
            cancelled: Asked between trees.
            tell: Hears how many forests are grown, and of how many.
        """
        coarse = [_coarse_of(codec, j) for j in order]
        steps, parents = _steps(codec, codes, order, coarse, cancelled)
        forests = []
        for forest in _grow(steps, settings, rng, cancelled):
            forests.append(forest)
            tell(len(forests), len(steps))
        return cls(order, parents, coarse, forests)

    def draw(
        self, place: int, drawn: Sequence[np.ndarray], n: int, rng: np.random.Generator,
        rows: np.ndarray | None = None,
    ) -> np.ndarray:
        """(n,) int32 codes of one column, or (rows,) of some rows.

        Args:
            place: The column's place in the order.
            drawn: (n,) codes of the columns before it, in order.
            n: Rows.
            rng: Source of randomness.
            rows: (rows,) int64 which of the n rows to draw for; None: all.
        """
        first = place + sum(coarse is not None for coarse in self.coarse[:place])
        before = [drawn[parent] if rows is None else drawn[parent][rows] for parent in self.parents[place]]
        n = n if rows is None else len(rows)
        if self.coarse[place] is None:
            return self.forests[first].draw(before, n, rng).astype(np.int32)
        before.append(self.forests[first].draw(before, n, rng).astype(np.int32))
        return self.forests[first + 1].draw(before, n, rng).astype(np.int32)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and JSON-safe values for a model file."""
        arrays: Arrays = {}
        for place, forest in enumerate(self.forests):
            arrays |= forest.arrays(f"forest.{place}.")
        for place, coarse in enumerate(self.coarse):
            if coarse is not None:
                arrays[f"coarse.{place}"] = coarse
        return arrays, {"order": self.order, "parents": self.parents, "forests": len(self.forests)}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """The inverse of `state`."""
        order = list(meta["order"])
        return cls(
            order, [list(places) for places in meta["parents"]],
            [arrays.get(f"coarse.{place}") for place in range(len(order))],
            [Forest.from_arrays(f"forest.{place}.", arrays) for place in range(meta["forests"])],
        )


def _coarse_of(codec: TableCodec, j: int) -> np.ndarray | None:
    """(codes,) group of each code of a long column on a line; None for the others, which are drawn at once.

    A leaf of some dozen rows can tell roughly where a value lies, but not which of two hundred codes it is: the
    code within the group is learnt by trees of their own, and there shrinkage takes all that is noise.
    """
    column = codec.columns[j]
    if not column.column.kind.is_numeric or column.n_level_codes <= _LONG:
        return None
    counts = column.code_counts
    starts = group_levels(counts[: column.n_level_codes], _COARSE)
    groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return np.asarray(np.r_[groups, len(starts) - 1, len(starts)], dtype=np.int32)


def _steps(
    codec: TableCodec, codes: np.ndarray, order: list[int], coarse: list[np.ndarray | None], cancelled: Cancelled
) -> tuple[list[_Step], list[list[int]]]:
    """What is learnt from what, in order: a long column in two steps, first its groups, then its codes."""
    steps: list[_Step] = []
    earlier: list[Variable] = []
    parents = []
    for j, groups in zip(order, coarse, strict=True):
        column = codec.columns[j]
        fine = Variable(codes[:, j], column.n_codes, column.column.kind.is_numeric)
        parents.append(_most_telling(fine, earlier, cancelled))
        before = [earlier[place] for place in parents[-1]]
        if groups is None:
            steps.append((fine, before, None))
        else:
            rough = Variable(groups[codes[:, j]], int(groups[-1]) + 1, on_line=True)
            steps += [(rough, before, None), (fine, [*before, rough], groups)]
        earlier.append(fine)
    return steps, parents


def _grow(
    steps: list[_Step], settings: Settings, rng: np.random.Generator, cancelled: Cancelled
) -> Iterator[Forest]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    threads = max(1, min(cores, settings.trees))
    with ThreadPoolExecutor(threads) as pool:
        for target, before, groups in steps:
            grower = ForestGrower(target, before, settings, groups)
            seeds = [int(s) for s in rng.integers(2**63, size=settings.trees if before else 1)]
            trees = []
            for batch in range(0, len(seeds), threads):
                stop_if(cancelled)
                trees += list(pool.map(grower.grow, seeds[batch : batch + threads]))
            yield grower.join(trees)


def _most_telling(target: Variable, earlier: list[Variable], cancelled: Cancelled) -> list[int]:
    """Places of the earlier columns that say most of a column: all of them where they are few."""
    if len(earlier) <= _MOST_PARENTS:
        return list(range(len(earlier)))
    told = []
    for feature in earlier:
        stop_if(cancelled)
        told.append(association(target, feature))
    return sorted(int(place) for place in np.argsort(-np.array(told), kind="stable")[:_MOST_PARENTS])
