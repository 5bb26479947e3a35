"""A table's modes and places as tensors, in the order of `Blocks`.

Shapes: n or b rows, C columns, L of them with places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthloom.methods._nets.blocks import NEVER, Blocks
from synthloom.methods._nets.modes import TableModes


@dataclass(frozen=True)
class Rows:
    """Training rows: modes (n, C) int32 and places (n, L) float32, 0 to 1."""

    modes: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.modes)

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Modes, int64, and places of some rows."""
        return self.modes[rows].long(), self.places[rows]


Gaps = list[list[int]]
"""Pairs of a table's columns: a column, and an earlier one together with which it is always missing."""


def find_gaps(modes: TableModes, coded: np.ndarray) -> Gaps:
    """Columns that are missing in the very same rows, of modes (n, columns)."""
    first: dict[bytes, int] = {}
    found = []
    for j, column in enumerate(modes.columns):
        if column.missing_mode > 0:
            leader = first.setdefault(np.packbits(coded[:, j] == column.missing_mode).tobytes(), j)
            if leader != j:
                found.append([j, leader])
    return found


class Layout:
    """What nets know of the columns.

    Attributes:
        blocks: Where each column's modes lie.
        names: (C,) columns' names.
        column: (W,) int64 column of each logit.
        line: (L,) int64 columns that have places.
        placed: (W,) float32 1 for modes within which a place says more, else 0.
        shares: (W,) float32 of the records behind each mode among its column's; 0 in padding.
        drawing: (W,) float32 to add to logits before drawing: padding, and what only follows another column.
    """

    def __init__(self, modes: TableModes, gaps: Gaps, device: torch.device) -> None:
        self.blocks = Blocks([c.size for c in modes.columns], device)
        placed, shares = np.zeros((2, self.blocks.width), dtype=np.float32)
        line = []
        for at, j in enumerate(self.blocks.order):
            has_place = modes.columns[j].has_place
            first = int(self.blocks.first[at])
            placed[first : first + len(has_place)] = has_place
            counts = modes.columns[j].counts + 0.5
            shares[first : first + len(counts)] = counts / counts.sum()
            if has_place.any():
                line.append(at)
        self.column = torch.tensor(
            np.repeat(np.arange(len(self.blocks.order)), list(self.blocks.sizes)), dtype=torch.int64, device=device
        )
        self.names = [modes.columns[j].codec.column.name for j in self.blocks.order]
        self.line = torch.tensor(line, dtype=torch.int64, device=device)
        self.placed, self.shares = torch.tensor(placed, device=device), torch.tensor(shares, device=device)

        place = np.argsort(self.blocks.order)  # from a table's column to the blocks'
        pairs = [(place[j], place[k], modes.columns[j].missing_mode, modes.columns[k].missing_mode) for j, k in gaps]
        self._gaps = torch.tensor(np.array(pairs, dtype=np.int64).reshape(-1, 4).T, device=device)
        self.drawing = self.blocks.padding.clone()
        self.drawing[self.blocks.first[self._gaps[0]] + self._gaps[2]] = NEVER

    def draw(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """Modes (b, C) drawn from logits (b, W), without padding; columns always missing together stay so.

        Such a column never draws a missing cell itself: it follows the first of them.
        """
        drawn = self.blocks.draw(logits + self.drawing, uniforms)
        own, leader, missing, leader_missing = self._gaps
        if len(own):
            drawn[:, own] = torch.where(drawn[:, leader] == leader_missing, missing, drawn[:, own])
        return drawn

    def keep_filled(self, logits: Tensor, modes: Tensor, given: Tensor) -> None:
        """Forbid, in logits (b, W), a missing cell where one always missing with it is given (b, C) and filled."""
        for own, leader, missing, leader_missing in self._gaps.T.tolist():
            filled = given[:, own] & (modes[:, own] != missing)
            logits[filled, int(self.blocks.first[leader]) + leader_missing] = NEVER

    def missing_together(self) -> dict[int, int]:
        """The missing mode of each column, counted as in `blocks`, that is always missing together with another."""
        own, leader, missing, leader_missing = self._gaps.tolist()
        return dict(zip(own + leader, missing + leader_missing, strict=True))

    def arranged(self, modes: np.ndarray, places: np.ndarray) -> Rows:
        """A table's modes and places (n, columns) as the nets take them."""
        device, line = self.placed.device, self.line.cpu().numpy()
        at = self.blocks.order[line]
        return Rows(
            torch.tensor(modes[:, self.blocks.order], dtype=torch.int32, device=device),
            torch.tensor(places[:, at], device=device),
        )

    def table(self, modes: Tensor, places: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Modes (n, C) and places (n, L) as a table's modes and places, (n, columns) both."""
        order = self.blocks.order
        made, where = np.empty(modes.shape, dtype=np.int64), np.full(modes.shape, 0.5, dtype=np.float32)
        made[:, order] = modes.cpu().numpy()
        where[:, order[self.line.cpu().numpy()]] = places.cpu().numpy()
        return made, where

    def mode_at(self, modes: Tensor) -> Tensor:
        """(b, L) where the modes (b, C) of columns on a line stand among all."""
        return modes[:, self.line] + self.blocks.first[self.line]


def batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of rows without end, shuffled anew for each pass; a last short one is left out."""
    while True:
        shuffled = rows[torch.randperm(len(rows), device=rows.device)]
        for first in range(0, len(rows) - size + 1, size):
            yield shuffled[first : first + size]
