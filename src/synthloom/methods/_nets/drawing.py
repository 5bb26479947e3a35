"""Drawing rows from an any-order net, and putting its margins right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from synthloom.methods._nets.autoregressive import AutoregressiveNet
from synthloom.methods._nets.products import quick_products
from synthloom.methods._nets.training import Course

_ROUNDS = 3
"""Steps of a margin's calibration."""
_BELOW_ONE = np.float32(1 - 2**-24)
"""The largest uniform number: rounded up to 1 it would draw the last code, were it as unlikely as can be."""
_BLOCK = 2048
"""Kinds of rows that go through the net at a time: so many hidden layers stay in the cache."""


class Drawer:
    """Draws rows cell after cell. Rows that are alike so far are carried once.

    Args:
        net: The net, in eval mode.
        n: Rows.
        temperature: Below 1 likely values become likelier, above 1 rarer ones do.
        fixed: (n, columns) int64 codes of cells that stand already, -1 elsewhere; None: there are none.
    """

    def __init__(
        self, net: AutoregressiveNet, n: int, temperature: float = 1.0, fixed: np.ndarray | None = None
    ) -> None:
        self._net, self._temperature = net, temperature
        device = net.start.device
        self._shifted = fixed is None
        # (kinds, columns) codes of each kind's cells, -1 of those not seen; relatives are measured from them
        self._codes = torch.full((1, len(net.sizes)), -1, device=device) if net.ties is not None else None
        if fixed is None:
            self._kind = np.zeros(n, dtype=np.int64)  # which of `_h` each row has
            self._h = net.start[None, :]
            return
        known, self._kind = np.unique(fixed, axis=0, return_inverse=True)
        self._kind = self._kind.reshape(-1)
        if self._codes is not None:
            self._codes = torch.from_numpy(known.astype(np.int64)).to(device)
        places = torch.from_numpy(np.maximum(known, 0) + np.array(net.edges[:-1])).to(device)
        self._h = net.first(places, torch.from_numpy((known >= 0).astype(np.float32)).to(device))

    @quick_products()
    @torch.inference_mode()
    def logits(self, column: int, kinds: torch.Tensor | None = None) -> torch.Tensor:
        """(kinds, codes) logits of a column for each kind of row, or for some kinds."""
        chosen = slice(None) if kinds is None else kinds
        blocks = torch.split(self._h[chosen], _BLOCK)
        seen = [None] * len(blocks) if self._codes is None else torch.split(self._codes[chosen], _BLOCK)
        logits = torch.cat([self._net.logits(h, column, c).float() for h, c in zip(blocks, seen, strict=True)])
        if self._shifted:
            logits += self._net.shift[self._net.edges[column] : self._net.edges[column + 1]]
        return logits / self._temperature

    @torch.inference_mode()
    def draw(
        self, column: int, uniforms: np.ndarray, *, rows: np.ndarray | None = None, without: int | None = None
    ) -> np.ndarray:
        """Codes of a column.

        Args:
            column: The column.
            uniforms: (n,) in [0, 1).
            rows: (n,) bool: rows to draw for; None: all.
            without: A code that may not be drawn.

        Returns:
            (n,) int32; 0 in rows that were not to be drawn for.
        """
        where = slice(None) if rows is None else rows
        kinds, which = np.unique(self._kind[where], return_inverse=True)
        drawn = np.zeros(len(uniforms), dtype=np.int32)
        if not len(kinds):
            return drawn
        every = len(kinds) == len(self._h)
        logits = self.logits(column, None if every else torch.from_numpy(kinds).to(self._h.device))
        if without is not None:
            logits[:, without] = -torch.inf
        cumulated = logits.softmax(1).cumsum(1).cpu().numpy()
        cumulated /= cumulated[:, -1:]
        below = cumulated[which.reshape(-1)] <= np.minimum(uniforms[where, None].astype(np.float32), _BELOW_ONE)
        drawn[where] = np.minimum(below.sum(1), cumulated.shape[1] - 1)
        return drawn

    def shares(self, column: int, bias: torch.Tensor) -> torch.Tensor:
        """(codes,) mean probability of each code over the rows, with a bias (codes,) on the logits."""
        weights = torch.from_numpy(np.bincount(self._kind, minlength=len(self._h))).to(self._h.device).float()
        return (weights / weights.sum()) @ (self.logits(column) + bias).softmax(1)

    @torch.inference_mode()
    def see(self, column: int, codes: np.ndarray, where: np.ndarray | None = None) -> None:
        """Take in a column's cells.

        Args:
            column: The column.
            codes: (n,) codes.
            where: (n,) bool: rows whose cell was not seen yet; None: all.
        """
        size = self._net.sizes[column] + 1  # the last code: nothing new
        news = codes.astype(np.int64) if where is None else np.where(where, codes, size - 1)
        keys, kind = np.unique(self._kind * size + news, return_inverse=True)
        self._kind = kind.reshape(-1)
        parents, cells = (torch.from_numpy(part).to(self._h.device) for part in np.divmod(keys, size))
        low, high = self._net.edges[column], self._net.edges[column + 1]
        table = torch.cat([self._net.cells[low:high], torch.zeros_like(self._net.cells[:1])])
        seen = torch.empty(len(keys), table.shape[1], dtype=self._h.dtype, device=self._h.device)
        for part in range(0, len(keys), _BLOCK):  # a block at a time stays in the cache
            block = slice(part, part + _BLOCK)
            torch.index_select(self._h, 0, parents[block], out=seen[block])
            seen[block] += table[cells[block]]
        self._h = seen
        if self._codes is not None:
            self._codes = self._codes[parents]
            new = cells < size - 1
            self._codes[new, column] = cells[new]


class Drawers:
    """Several nets that share the drawing: each cell is drawn by one of them, and seen by all.

    Nets that learnt from different beginnings err in different ways; in turns, neither's errors add up along a row.

    Args:
        nets: The nets, one or more.
        n, temperature, fixed: As in `Drawer`.
    """

    def __init__(
        self, nets: Sequence[AutoregressiveNet], n: int, temperature: float = 1.0, fixed: np.ndarray | None = None
    ) -> None:
        self._drawers = [Drawer(net, n, temperature, fixed) for net in nets]
        self._n = n

    def draw(
        self, column: int, rng: np.random.Generator, *, rows: np.ndarray, without: int | None = None
    ) -> np.ndarray:
        """(n,) int32 codes of a column for some rows (n,) bool, 0 in the others; `without` as in `Drawer.draw`."""
        turn = rng.integers(0, len(self._drawers), self._n) if len(self._drawers) > 1 else np.zeros(self._n, np.int64)
        uniforms = rng.random(self._n)
        drawn = np.zeros(self._n, dtype=np.int32)
        for k, drawer in enumerate(self._drawers):
            drawn += drawer.draw(column, uniforms, rows=rows & (turn == k), without=without)
        return drawn

    def see(self, column: int, codes: np.ndarray, where: np.ndarray | None = None) -> None:
        """Take in a column's cells; see `Drawer.see`."""
        for drawer in self._drawers:
            drawer.see(column, codes, where)


@torch.inference_mode()
def calibrate(
    net: AutoregressiveNet, order: Sequence[int], counts: Sequence[np.ndarray], *, n: int,
    rng: np.random.Generator, course: Course,
) -> None:
    """Find the shift of the logits with which rows drawn in order have the columns' own shares.

    What a net learns by stochastic steps is a little off in every margin, which a detector sees at once; the margins
    are known exactly (each code rests on `min_support` records), so they can be put right without looking at a row.
    The shift is for free rows: it answers for the net's errors on the way from nothing to a whole row, and would bend
    what a column is under conditions.

    Args:
        net: The net; changed.
        order: Columns in drawing order.
        counts: (codes,) records behind each code, of each column.
        n: Rows drawn on the way.
        rng: For drawing.
        course: Looked at for a cancel.
    """
    drawer = Drawer(net, n)
    for column in order:
        course.look()
        low, high = net.edges[column], net.edges[column + 1]
        wanted = torch.from_numpy(counts[column] / max(counts[column].sum(), 1)).float().to(net.start.device)
        bias = torch.zeros(high - low, device=net.start.device)
        for _ in range(_ROUNDS):
            now = drawer.shares(column, bias)
            possible = wanted > 0
            step = torch.where(possible, (wanted / now.clamp_min(1e-12)).log().clamp(-2, 2), -math.inf)
            bias = bias + step
        # A code without records stays as unlikely as it is: minus infinity would spoil sums.
        net.shift[low:high] = bias.nan_to_num(neginf=-30.0)
        drawer.see(column, drawer.draw(column, rng.random(n)))
