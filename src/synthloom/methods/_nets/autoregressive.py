"""Any-order autoregressive net over codes, and its training; `drawing.py` draws from it.

One net predicts every column from any set of others: it sees some cells of a row and is asked for the rest (Uria,
Murray & Larochelle 2014, "A deep and tractable density estimator"; Hoogeboom et al. 2022, "Autoregressive diffusion
models"; for tables Tiwald et al. 2025, "TabularARGN"). Training asks most of all for the next column of the order in
which rows are drawn, and for the rest of the time for any column given any others, so that conditions may be set on
whatever columns.

    h   = b + sum over seen columns j of E[j, code_j]      (rows, width): adding a cell is adding one row of E
    h   = h + B(relu(A(norm(h))))  for each block          residual MLP
    out = W relu(norm(h)) + c                              (rows, all columns' codes)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # the name all of torch's users know

from synthloom.methods._nets.opening import Suspect
from synthloom.methods._nets.training import Average, Course, Patience, one_cycle, set_rate

_NEXT = 0.7
"""Weight of the next column's loss, against the mean of all columns not seen, where a row is seen in drawing order."""
_IN_ORDER = 0.8
"""Share of rows that are seen in drawing order; the others are seen in any."""
_LOOKS = 16
"""Looks at the validation rows, and losses told, per training."""
_VALIDATION_DRAWS = 4


@dataclass(frozen=True)
class Settings:
    """How to train."""

    epochs: int
    batch_size: int
    learning_rate: float
    width: int
    blocks: int
    dropout: float
    in_order: float = _IN_ORDER
    weight_decay: float = 0.01
    average: float = 0.995
    patience: int = 4


class Block(nn.Module):
    """Residual MLP block; begins as the identity."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = dropout
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        inner = F.dropout(F.relu(self.inner(self.norm(h))), self.dropout, self.training)
        return h + self.outer(inner)  # type: ignore[no-any-return]


class AutoregressiveNet(nn.Module):
    """Logits of every column's codes given the cells seen.

    Args:
        sizes: Codes of each column.
        width: Width of the hidden layers.
        blocks: Residual blocks.
        dropout: Share of hidden units dropped in training.
    """

    def __init__(self, sizes: Sequence[int], width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.edges = np.r_[0, np.cumsum(self.sizes)].tolist()
        self.dropout = dropout
        total = self.edges[-1]
        self.cells = nn.Parameter(torch.randn(total, width) * 0.05)  # E
        self.start = nn.Parameter(torch.zeros(width))  # b
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, total)
        nn.init.zeros_(self.out.weight)

    def trunk(self, h: torch.Tensor) -> torch.Tensor:
        """(rows, width) last hidden layer out of the first."""
        for block in self.blocks:
            h = block(h)
        return F.dropout(F.relu(self.norm(h)), self.dropout, self.training)

    def forward(self, places: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(rows, all codes) logits.

        Args:
            places: (rows, columns) int64: each cell's row of `cells`.
            seen: (rows, columns) float32: 1 for the cells the net may see.
        """
        return self.out(self.trunk(self.first(places, seen)))  # type: ignore[no-any-return]

    def first(self, places: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """(rows, width) first hidden layer."""
        return self.start + F.embedding_bag(places, self.cells, mode="sum", per_sample_weights=seen)

    def logits(self, h: torch.Tensor, column: int) -> torch.Tensor:
        """(rows, codes of one column) out of the first hidden layer."""
        low, high = self.edges[column], self.edges[column + 1]
        return F.linear(self.trunk(h), self.out.weight[low:high], self.out.bias[low:high])

    def losses(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """(rows, columns) negative log-likelihood of each cell."""
        parts = [
            F.cross_entropy(logits[:, self.edges[j] : self.edges[j + 1]], codes[:, j], reduction="none")
            for j in range(len(self.sizes))
        ]
        return torch.stack(parts, 1)


class _Asker:
    """Decides which cells a row shows and how much each hidden one counts."""

    def __init__(self, order: Sequence[int], in_order: float, generator: torch.Generator) -> None:
        device = generator.device
        self._columns = len(order)
        self._in_order = in_order
        self._generator = generator
        self._rank = torch.empty(self._columns, dtype=torch.long, device=device)
        self._rank[torch.tensor(list(order), device=device)] = torch.arange(self._columns, device=device)

    def ask(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Seen cells and weights of the losses, both (rows, columns) float32; a row's weights sum to 1."""
        c, g = self._columns, self._generator
        shown = torch.randint(0, c, (rows, 1), generator=g, device=g.device)
        any_order = torch.rand(rows, c, generator=g, device=g.device).argsort(1)
        ordered = torch.rand(rows, 1, generator=g, device=g.device) < self._in_order
        rank = torch.where(ordered, self._rank.expand(rows, c), any_order)
        seen = (rank < shown).float()
        hidden = (1 - seen) / (c - shown)
        following = _NEXT * (rank == shown).float() + (1 - _NEXT) * hidden
        return seen, torch.where(ordered, following, hidden)


def train(
    codes: np.ndarray, sizes: Sequence[int], order: Sequence[int], settings: Settings, *, names: Sequence[str],
    course: Course, generator: torch.Generator,
) -> tuple[AutoregressiveNet, list[float]]:
    """Train a net on rows of codes; the caller has seeded torch (`seeded`).

    Args:
        codes: (n, columns) codes.
        sizes: Codes of each column.
        order: Columns in drawing order.
        names: Columns' names, for an error.
        settings: How.
        course: Its steps are `steps(n, settings)`.
        generator: On the device to train on.

    Returns:
        The net with averaged weights, the best ones on a tenth of the rows that training did not use; and the losses
        on those rows, in order.
    """
    device = generator.device
    rows = torch.from_numpy(codes.astype(np.int64)).to(device)
    rows = rows[torch.randperm(len(rows), generator=generator, device=device)]
    n_validation = validation_rows(len(rows))
    validation, rows = rows[:n_validation], rows[n_validation:]
    net = AutoregressiveNet(sizes, settings.width, settings.blocks, settings.dropout).to(device)
    _start_at_shares(net, rows)
    asker = _Asker(order, settings.in_order, generator)
    looker = _Looker(net, validation, asker)
    average, patience = Average(net, settings.average), Patience(settings.patience)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    low = torch.tensor(net.edges[:-1], device=device)
    size = min(settings.batch_size, len(rows))
    told_every = max(course.steps // _LOOKS, 1)
    suspect, found_all = Suspect(names), list[float]()
    batches = torch.empty(0, dtype=torch.long, device=device)
    for step in course:
        if len(batches) < size:
            batches = torch.randperm(len(rows), generator=generator, device=device)
        batch, batches = rows[batches[:size]], batches[size:]
        set_rate(optimizer, settings.learning_rate * one_cycle(course.fraction))
        seen, weights = asker.ask(size)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = net(batch + low, seen)
        losses = net.losses(logits.float(), batch)
        loss = (losses * weights).sum(1).mean()
        if step % told_every == 0 or not torch.isfinite(loss):
            suspect.look(losses)
            course.loss("train", loss.item(), suspect.name)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update(net)
        if n_validation and step % told_every == told_every - 1:
            average.swap(net)
            found = looker.look(low)
            found_all.append(found)
            course.loss("validation", found)
            over = patience.look(found, net)
            average.swap(net)
            if over:
                course.stop()
    average.swap(net)
    patience.restore(net)
    return net.eval(), found_all


def validation_rows(n: int) -> int:
    """Rows kept out of training to look at: a tenth, at most 2,000; none of a table of fewer than 100."""
    return min(n // 10, 2000) if n >= 100 else 0


def steps(n: int, settings: Settings) -> int:
    """Steps of a whole training on n rows."""
    used = n - validation_rows(n)
    return max(settings.epochs * (used // min(settings.batch_size, used)), 1)


class _Looker:
    """The loss on rows kept back, always asked the same questions."""

    def __init__(self, net: AutoregressiveNet, rows: torch.Tensor, asker: _Asker) -> None:
        self._net, self._rows = net, rows.repeat(_VALIDATION_DRAWS, 1)
        self._seen, self._weights = asker.ask(len(self._rows))

    @torch.inference_mode()
    def look(self, low: torch.Tensor) -> float:
        self._net.eval()
        total = 0.0
        for first in range(0, len(self._rows), 1024):
            part = slice(first, first + 1024)
            losses = self._net.losses(self._net(self._rows[part] + low, self._seen[part]), self._rows[part])
            total += float((losses * self._weights[part]).sum())
        self._net.train()
        return total / len(self._rows)


@torch.no_grad()
def _start_at_shares(net: AutoregressiveNet, rows: torch.Tensor) -> None:
    for j, size in enumerate(net.sizes):
        share = (torch.bincount(rows[:, j], minlength=size).float() + 0.5) / (len(rows) + 0.5 * size)
        net.out.bias[net.edges[j] : net.edges[j + 1]] = share.log()
