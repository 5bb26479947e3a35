"""Where each column's modes lie among a net's outputs: blocks of like width side by side, so that no step loops over
columns.

A net for C columns ends in one layer with a logit for every mode of every column. Columns of like size are padded to
the same width and stand together in a *span*, so that softmax, loss and draw take one operation per span: 500 columns
are a dozen operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_GROWTH = 1.25
"""How much wider the widest column of a span may be than the narrowest."""
NEVER = -1e9
"""Logit of what is never drawn."""


@dataclass(frozen=True)
class Span:
    """Neighbouring columns of one width.

    Attributes:
        columns: The columns, counted in the blocks' order.
        logits: Their logits among all.
        size: Logits of each.
    """

    columns: slice
    logits: slice
    size: int


class Blocks:
    """The layout of all columns' modes.

    Attributes:
        order: (columns,) int64 the table's columns in the order of the blocks, narrow ones first.
        first: (columns,) int64 where each block begins.
        sizes: (columns,) int64 logits of each block, padding included.
        width: Logits in all, padding included.
        spans: Runs of blocks of one width.
        padding: (width,) float32 to add to logits: 0, or far below where no mode is.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        self.order = np.argsort(np.asarray(sizes, dtype=np.int64), kind="stable")
        ordered = [int(sizes[j]) for j in self.order]
        first: list[int] = []
        spans: list[Span] = []
        mask: list[np.ndarray] = []
        at = width = 0
        while at < len(ordered):
            end = at
            while end < len(ordered) and ordered[end] <= max(ordered[at] * _GROWTH, ordered[at] + 2):
                end += 1
            size = ordered[end - 1]
            spans.append(Span(slice(at, end), slice(width, width + (end - at) * size), size))
            for own in ordered[at:end]:
                first.append(width)
                mask.append(np.arange(size) >= own)
                width += size
            at = end
        self.width, self.spans = width, tuple(spans)
        self.sizes = np.diff(np.array([*first, width], dtype=np.int64))
        self.first = torch.tensor(first, dtype=torch.int64, device=device)
        gone = np.concatenate(mask) if mask else np.zeros(0, dtype=bool)
        self.padding = torch.tensor(np.where(gone, NEVER, 0.0), dtype=torch.float32, device=device)

    def one_hot(self, modes: Tensor) -> Tensor:
        """(rows, width) 0 or 1 of modes (rows, columns)."""
        hot = torch.zeros(len(modes), self.width, device=modes.device)
        return hot.scatter_(1, modes + self.first, 1.0)

    def parts(self, logits: Tensor) -> list[Tensor]:
        """(rows, columns, size) of each span; views of logits (rows, width)."""
        n, widths = len(logits), [s.logits.stop - s.logits.start for s in self.spans]
        found = torch.split(logits, widths, 1)  # one operation forwards and backwards, where slices are one each
        return [part.view(n, -1, s.size) for part, s in zip(found, self.spans, strict=True)]

    def cross_entropy(self, logits: Tensor, modes: Tensor) -> Tensor:
        """(rows, columns) nats of modes (rows, columns) under logits (rows, width), padding added."""
        logs = torch.cat([part.log_softmax(2).flatten(1) for part in self.parts(logits)], 1)
        return -logs.gather(1, modes + self.first)

    def soften(self, logits: Tensor, heat: float) -> Tensor:
        """(rows, width) one-hot draws from logits, padding added, that pass gradients on.

        Straight-through Gumbel softmax (Jang et al. 2017): one-hot forwards, soft backwards.

        Args:
            logits: (rows, width).
            heat: Temperature of the soft draw.
        """
        noise = -torch.empty_like(logits).exponential_().clamp_min_(1e-20).log_()
        soft, hard = [], []
        for part in self.parts((logits + noise) / heat):
            own = part.softmax(2)
            soft.append(own.flatten(1))
            hard.append(torch.zeros_like(own).scatter_(2, own.argmax(2, keepdim=True), 1.0).flatten(1))
        passing = torch.cat(soft, 1)
        return torch.cat(hard, 1) + passing - passing.detach()

    def draw(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """(rows, columns) modes drawn from logits (rows, width), padding added, by uniforms (rows, columns)."""
        found = []
        for span, part in zip(self.spans, self.parts(logits), strict=True):
            risen = part.softmax(2).cumsum(2)
            risen = risen / risen[:, :, -1:]
            found.append((risen <= uniforms[:, span.columns, None]).sum(2).clamp_(max=span.size - 1))
        return torch.cat(found, 1)
