"""Layers that several nets are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

_COSINES = 8
"""Cosines of a mode's rank on a line that its vector is made of."""
_FIXES = 0.1
"""How small a mode's own correction starts, against vectors of labels."""


class Dropout(nn.Module):
    """Dropout whose mask comes out of random bytes: on a CPU drawing a number for each unit costs as much as a layer.

    The share left out is a whole number of 256ths; what is kept grows by just as much.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._dropped = min(round(share * 256), 255)

    def forward(self, h: Tensor) -> Tensor:
        """(rows, width) → (rows, width)."""
        if not self.training or not self._dropped:
            return h
        drawn = torch.empty((h.numel() + 7) // 8, dtype=torch.int64, device=h.device).random_(-(2**63), None)
        kept = torch.empty(h.shape, dtype=h.dtype, device=h.device)
        # into numbers at once: a mask of truth values costs eight times as much to make and to turn into numbers
        torch.ge(drawn.view(torch.uint8)[: h.numel()].view(h.shape), self._dropped, out=kept)
        return h * kept.mul_(256 / (256 - self._dropped))


class Trunk(nn.Module):
    """Residual blocks, each: norm, wider view, dropout, back."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), Dropout(dropout), nn.Linear(width, width)
            )
            for _ in range(depth)
        )
        self.last = nn.LayerNorm(width)

    def forward(self, h: Tensor) -> Tensor:
        """(rows, width) → (rows, width)."""
        for block in self.blocks:
            h = h + block(h)
        return nn.functional.silu(self.last(h))


class Smooth(nn.Module):
    """One vector for each mode, (modes, width), where neighbours on a line begin alike.

    A column on a line has a few cosines of the mode's rank, each with a vector of its own, and a correction for each
    mode that starts at 0: what holds for a stretch of numbers is learnt from all of them and not mode by mode. Labels
    have corrections only.
    """

    basis: Tensor
    place: Tensor

    def __init__(self, firsts: Sequence[int], sizes: Sequence[int], total: int, width: int, scale: float) -> None:
        """Vectors for `total` modes in all.

        Args:
            firsts, sizes: Of each column on a line, its first mode among all and how many it has.
            total, width: The shape.
            scale: Standard deviation at the start.
        """
        super().__init__()
        longest = max(sizes, default=1)
        basis, place = np.zeros((len(sizes), longest, _COSINES)), []
        fixes = torch.randn(total, width) * scale
        waves = np.arange(1, _COSINES + 1)
        for line, (first, size) in enumerate(zip(firsts, sizes, strict=True)):
            rank = (np.arange(size) + 0.5) / size
            basis[line, :size] = np.cos(np.pi * rank[:, None] * waves) * np.sqrt(2 / waves / (1 / waves).sum())
            place.append(line * longest + np.arange(size))
            fixes[first : first + size] *= _FIXES
        at = [np.arange(first, first + size) for first, size in zip(firsts, sizes, strict=True)]
        self.register_buffer("basis", torch.from_numpy(basis).float(), persistent=False)
        for name, index in (("place", place), ("at", at)):
            joined = np.concatenate(index) if index else np.zeros(0, dtype=np.int64)
            self.register_buffer(name, torch.from_numpy(joined), persistent=False)
        self.at: Tensor
        self.fixes = nn.Parameter(fixes)
        self.vectors = nn.Parameter(torch.randn(len(sizes), _COSINES, width) * scale)

    def forward(self) -> Tensor:
        """(modes, width)."""
        if not len(self.at):
            return self.fixes
        smooth = torch.bmm(self.basis, self.vectors).flatten(0, 1)
        return self.fixes.index_add(0, self.at, smooth.index_select(0, self.place))
