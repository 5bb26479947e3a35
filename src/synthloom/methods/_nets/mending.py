"""A second look at rows that another net made: cell by cell, what do the others call for?

A *dependency network* (Heckerman et al. 2000): one net that tells a cell's distribution from those of the row's other
cells that it is shown. It has learnt by cross-entropy from rows some of whose cells were hidden. A made-up row is
mended by drawing its cells anew, one after the other, each by what the others are now (Gibbs sampling): what the row
gets right stays likely, what does not fit is replaced.

Shapes: b rows of a batch, C columns in the order of `Blocks`, W logits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthloom.methods._nets.blocks import NEVER
from synthloom.methods._nets.layers import Trunk
from synthloom.methods._nets.layout import Layout, Rows
from synthloom.methods._nets.opening import split_rows
from synthloom.methods._nets.training import Average, Course, Patience, one_cycle, set_rate

_RATE = 2e-3
"""Peak of the learning rate."""
_DEPTH = 2
"""Residual blocks."""
_DROPOUT = 0.2
"""Share of units left out in a training step, at least."""
_HIDDEN = 0.5
"""Most of a row's cells hidden in training, as a share; from row to row anything up to it."""
_PASSES, _FEWEST = 12, 900
"""Passes over the rows that a mender learns for, but as many steps at least; never more steps than the other net."""
_MOST = 64
"""Most columns drawn anew in one sweep over some rows; of wider tables, others for other rows."""
_STEER = 0.7
"""How much of the way to the right share a mode's logit is shifted at once."""


class Mender(nn.Module):
    """The other cells of a row to the logits of all modes."""

    def __init__(self, layout: Layout, width: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(layout.blocks.width, width)
        self.trunk = Trunk(width, _DEPTH, max(dropout, _DROPOUT))
        self.leave = nn.Linear(width, layout.blocks.width)
        with torch.no_grad():  # to begin with, each column's own distribution
            self.leave.bias.copy_(layout.shares.clamp_min(1e-9).log())
            self.leave.weight.mul_(0.1)

    def nats(self, layout: Layout, modes: Tensor, hidden: Tensor) -> Tensor:
        """Nats that the hidden cells (b, C) bool of rows' modes (b, C) cost, as a mean."""
        shown = layout.blocks.one_hot(modes) * ~hidden[:, layout.column]
        logits = self.leave(self.trunk(self.enter(shown))) + layout.blocks.padding
        costs: Tensor = layout.blocks.cross_entropy(logits, modes)
        return (costs * hidden).sum() / hidden.sum().clamp_min(1)

    @torch.no_grad()
    def sweep(
        self, layout: Layout, modes: Tensor, given: Tensor, rng: np.random.Generator, *, steer: bool = False
    ) -> None:
        """Draw cells of rows anew, in place, the columns in random order; in very wide tables, some of them.

        What is always missing together stays missing or filled.

        Args:
            layout: The columns.
            modes: (b, C) int64.
            given: (b, C) bool, cells that are to stay.
            rng: Draws everything.
            steer: Whether to shift each mode's logit first by the logarithm of its share in the table over that which
                it would have in these rows. Else what a generator gets wrong shifts the columns' shares.
        """
        order = rng.permutation(modes.shape[1])[:_MOST]
        uniforms = torch.tensor(rng.random((len(order), len(modes)), dtype=np.float32), device=modes.device)
        vectors, blocks, tied = self.enter.weight.t().contiguous(), layout.blocks, layout.missing_together()
        row = self.enter.bias + functional.embedding_bag(modes + blocks.first, vectors, mode="sum")
        for column, uniform in zip(order.tolist(), uniforms, strict=True):
            first = int(blocks.first[column])
            own = slice(first, first + int(blocks.sizes[column]))
            before, stay = modes[:, column].clone(), given[:, column]
            row = row - vectors[own][before]
            logits = functional.linear(self.trunk(row), self.leave.weight[own], self.leave.bias[own])
            logits = logits + blocks.padding[own]
            if column in tied:
                logits[:, tied[column]] = NEVER
                stay = stay | (before == tied[column])
            elif steer:
                wanted, found = layout.shares[own], logits.softmax(1).mean(0)
                shift = torch.where(wanted > 0, (wanted / found.clamp_min(1e-9)).log(), 0.0).clamp_(-1, 1)
                self.leave.bias[own] += _STEER * shift
                logits = logits + _STEER * shift
            risen = logits.softmax(1).cumsum(1)
            drawn = (risen <= uniform[:, None] * risen[:, -1:]).sum(1).clamp_(max=logits.shape[1] - 1)
            modes[:, column] = torch.where(stay, before, drawn)
            row = row + vectors[own][modes[:, column]]


class Learning:
    """A mender's training, a step at a time beside another net's.

    Attributes:
        looks: Nats that a hidden cell of the rows held back cost, look after look.
    """

    def __init__(self, mender: Mender, layout: Layout, rows: Rows, batch: int) -> None:
        self.mender, self._layout, self._rows, self._batch = mender, layout, rows, batch
        self._learnt, self._held = split_rows(len(rows), rows.modes.device)
        self._optimizer = torch.optim.AdamW(mender.parameters(), lr=_RATE, weight_decay=1e-3, fused=True)
        self._average, self._patience = Average(mender, 0.99), Patience(10**9)
        self._steps, self._done = max(_PASSES * len(rows) // batch, _FEWEST), 0
        self.looks: list[float] = []
        generator = torch.Generator(device=rows.modes.device).manual_seed(0)
        self._hidden = self._hide(len(self._held), generator)

    def _hide(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, C) bool: in each row a random share of the cells, at least one."""
        device, columns = self._rows.modes.device, len(self._layout.blocks.order)
        share = _HIDDEN * torch.rand(n, 1, device=device, generator=generator)
        hidden = torch.rand(n, columns, device=device, generator=generator) < share
        one = torch.randint(columns, (n, 1), device=device, generator=generator)
        return hidden.scatter_(1, one, True)

    def keep_up(self, course: Course) -> None:
        """Learn from one batch, if as much of the mender's steps is not yet done as of the course."""
        if self._done < course.fraction * self._steps:
            self._done += 1
            self._step(course)

    def _step(self, course: Course) -> None:
        set_rate(self._optimizer, _RATE * one_cycle(course.fraction))
        self.mender.train()
        at = self._learnt[torch.randint(len(self._learnt), (self._batch,), device=self._learnt.device)]
        loss = self.mender.nats(self._layout, self._rows.modes[at].long(), self._hide(self._batch))
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        self._average.update(self.mender)

    @torch.no_grad()
    def look(self, course: Course, suspect: Callable[[], str | None]) -> None:
        """See what rows held back cost the averaged weights, which are kept if none were better."""
        if not len(self._held):
            return
        self.mender.eval()
        self._average.swap(self.mender)
        self.looks.append(self.mender.nats(self._layout, self._rows.modes[self._held].long(), self._hidden).item())
        course.loss("validation", self.looks[-1], suspect)
        self._patience.look(self.looks[-1], self.mender)
        self._average.swap(self.mender)

    def end(self, course: Course, suspect: Callable[[], str | None]) -> None:
        """Leave the best weights in the mender; without rows held back, the averaged ones."""
        self.look(course, suspect)
        if self._patience.weights:
            self._patience.restore(self.mender)
        else:
            self._average.swap(self.mender)
        self.mender.eval()
