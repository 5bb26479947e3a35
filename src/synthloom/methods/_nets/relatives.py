"""Columns that lie near one another: the distance to a relative's cell, as a bias on the logits.

Amounts of neighbouring months, or a bill and what was paid of it, tie a cell to another one within a hair. A net of
some hundred units says well what a row is like, but not which of a hundred codes goes with which of a hundred others:
that is a diagonal, and takes as many directions as it has codes. Told as a distance it takes a few:

    logits of code j of column a  +=  R_ab(h)[class of the distance between j's number and that of b's cell]

for each relative b whose cell is seen. A distance is a difference or a ratio, in classes that hold about equally many
records. R depends on the last hidden layer h, so a relation may hold in some rows and not in others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the name all of torch's users know

CLASSES = 32
"""Classes of a distance at most."""
_FEWEST_CLASSES = 8
_FEWEST_CODES = 24
"""Codes below which the net needs no help to tell which goes with which."""
_MOST = 3
"""Relatives of a column at most."""
_NEAR = 0.85
"""Nats by which the distances to a column's nearest relative must differ from those of cells that do not belong
together. Weaker ties are learnt well enough without: there the net with trees beside it is better."""
_KIN = 0.25
"""Nats for each further relative of such a column."""
_LEAST_SHARE = 0.2
"""Of the rows, in which a distance must be defined."""
_ROWS = 20_000
"""Rows that are looked at."""

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Relative:
    """That a column lies near another one.

    Attributes:
        column: The column.
        other: Its relative.
        classes: (codes of other, codes of column) uint8: the class of their distance; CLASSES where there is none.
    """

    column: int
    other: int
    classes: np.ndarray

    def checked(self, sizes: Sequence[int]) -> Relative:
        """Itself; a ValueError where it is not one of columns with so many codes."""
        if self.classes.shape != (sizes[self.other], sizes[self.column]) or self.classes.max(initial=0) > CLASSES:
            raise ValueError("the relatives are not this table's.")
        return self


def find_relatives(codes: np.ndarray, numbers: Sequence[np.ndarray | None], min_support: int) -> tuple[Relative, ...]:
    """The relatives of each column: those whose distance says most beyond the two columns' own distributions.

    No randomness: distances in rows are compared with distances to the cell half a table further on.

    Args:
        codes: (n, columns).
        numbers: For each column on a line the number that each code stands for, NaN where it stands for none; None
            for other columns.
        min_support: Fewest records in a class.
    """
    rows = codes[np.linspace(0, len(codes) - 1, min(len(codes), _ROWS)).astype(np.int64)] if len(codes) else codes
    lined = {
        j: own for j, own in enumerate(numbers) if own is not None and np.isfinite(own).sum() >= _FEWEST_CODES
    }
    cells = {j: own[rows[:, j]] for j, own in lined.items()}
    found: list[Relative] = []
    for column, own in lined.items():
        near: list[tuple[float, Relative]] = []
        for other in lined.keys() - {column}:
            for distance in (_difference, _ratio):
                gain, edges = _gain(cells[column], cells[other], distance, min_support)
                if gain >= _KIN:
                    classes = _classes(distance(own[None, :], lined[other][:, None]), edges)
                    near.append((gain, Relative(column, other, classes)))
        near.sort(key=lambda pair: (-pair[0], pair[1].other))
        if near and near[0][0] >= _NEAR:
            found += [relative for _, relative in near[:_MOST]]
    return tuple(found)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    difference: np.ndarray = a - b
    return difference


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The logarithm of a / b, NaN unless both are above 0."""
    logs: np.ndarray = np.log(np.where(a > 0, a, np.nan)) - np.log(np.where(b > 0, b, np.nan))
    return logs


def _classes(distance: np.ndarray, edges: np.ndarray) -> np.ndarray:
    found = np.searchsorted(edges, np.nan_to_num(distance), side="right")
    return np.where(np.isfinite(distance), found, CLASSES).astype(np.uint8)


def _edges(found: np.ndarray, many: int, min_support: int) -> np.ndarray:
    """Edges of so many classes at most, each of which holds no distance or `min_support` and more.

    A distance that many rows share, such as none at all, is a class of its own.
    """
    quantiles, times = np.unique(np.quantile(found, np.linspace(0, 1, many + 1)[1:-1]), return_counts=True)
    edges = np.unique(np.r_[quantiles, np.nextafter(quantiles[times > 1], np.inf)])
    held = np.bincount(_classes(found, edges), minlength=len(edges) + 1)
    kept, gathered, left = [], 0, int(held.sum())
    for edge, own in zip(edges, held[:-1], strict=True):
        gathered += int(own)
        if all(part == 0 or part >= min_support for part in (gathered, left - gathered)):
            kept.append(edge)
            left, gathered = left - gathered, 0
    return np.array(kept)


def _gain(a: np.ndarray, b: np.ndarray, distance: Distance, min_support: int) -> tuple[float, np.ndarray]:
    """Kullback-Leibler divergence of the classes' shares from those of cells that do not belong together, times the
    share of rows with a distance; and the edges between the classes. 0 where there are too few of them."""
    found = distance(a, b)
    found = found[np.isfinite(found)]
    many = min(CLASSES, len(found) // max(min_support, 1))
    if many < _FEWEST_CLASSES or len(found) < _LEAST_SHARE * len(a):
        return 0.0, np.zeros(0)
    edges = _edges(found, many, min_support)
    apart = distance(a, np.roll(b, len(b) // 2))
    apart = apart[np.isfinite(apart)]
    p, q = (np.bincount(_classes(d, edges), minlength=len(edges) + 1) + 0.5 for d in (found, apart))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum() * len(found) / len(a)), edges


class Ties(nn.Module):
    """What relatives add to the logits.

    Args:
        relatives: One or more, those of a column side by side.
        width: Of the last hidden layer.
    """

    def __init__(self, relatives: Sequence[Relative], width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, len(relatives) * CLASSES)  # R
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)
        self._of: dict[int, list[tuple[int, int]]] = {}
        for k, relative in enumerate(relatives):
            self._of.setdefault(relative.column, []).append((k, relative.other))
            table = torch.from_numpy(relative.classes.astype(np.int64))
            self.register_buffer(f"classes_{k}", table, persistent=False)

    @property
    def columns(self) -> tuple[int, ...]:
        """Those that have relatives."""
        return tuple(self._of)

    def weights(self, last: Tensor, column: int | None = None) -> dict[int, Tensor]:
        """(rows, CLASSES + 1) of each relative, of one column or of all; the last class is none and has no weight.

        Args:
            last: (rows, width).
            column: The column; None: all.
        """
        chosen = [k for j, own in self._of.items() if column in (None, j) for k, _ in own]
        own = slice(chosen[0] * CLASSES, (chosen[-1] + 1) * CLASSES)  # a column's relatives follow one another
        parts = torch.split(F.linear(last, self.read.weight[own], self.read.bias[own]), CLASSES, 1)
        return {k: F.pad(part, (0, 1)) for k, part in zip(chosen, parts, strict=True)}

    def bias(self, column: int, weights: dict[int, Tensor], codes: Tensor, seen: Tensor) -> Tensor | None:
        """(rows, codes of a column) to add to its logits; None where it has no relatives.

        Args:
            column: The column.
            weights: Of `weights`.
            codes: (rows, columns) int64, anything valid where a cell is not seen.
            seen: (rows, columns) 1 where a cell is seen, else 0.
        """
        total: Tensor | None = None
        for k, other in self._of.get(column, ()):
            own = (weights[k] * seen[:, other, None]).gather(1, self.get_buffer(f"classes_{k}")[codes[:, other]])
            total = own if total is None else total + own
        return total
