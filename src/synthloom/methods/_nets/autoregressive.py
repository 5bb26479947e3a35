"""Any-order autoregressive net over codes, and its training; `drawing.py` draws from it.

One net predicts every column from any set of others: it sees some cells of a row and is asked for the rest (Uria,
Murray & Larochelle 2014, "A deep and tractable density estimator"; Hoogeboom et al. 2022, "Autoregressive diffusion
models"; for tables Tiwald et al. 2025, "TabularARGN"). Training asks most of all for the next column of the order in
which rows are drawn, and for the rest of the time for any column given any others, so that conditions may be set on
whatever columns.

    h   = b + sum over seen columns j of E[j, code_j]      (rows, width): adding a cell is adding one row of E
    h   = h + B(silu(A(norm(h))))  for each block          residual MLP
    out = W silu(norm(h)) + c                              (rows, all columns' codes)
    out = out + what relatives say (`relatives.py`)        for columns that lie near another one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the name all of torch's users know

from synthloom.methods._nets.layers import Smooth, Trunk
from synthloom.methods._nets.opening import Suspect, validation_rows
from synthloom.methods._nets.products import quick_products
from synthloom.methods._nets.relatives import Relative, Ties
from synthloom.methods._nets.training import Average, Course, Patience, one_cycle, set_rate

_NEXT = 0.7
"""Weight of the next column's loss, against the mean of all columns not seen, where a row is seen in drawing order."""
_LOOKS = 16
"""Looks at the validation rows, and losses told, per training."""
_VALIDATION_DRAWS = 4
_COOLING = 2  # times the steps between two looks, in which a training that is over early comes down


@dataclass(frozen=True)
class Settings:
    """How to train."""

    epochs: int
    batch_size: int
    learning_rate: float
    width: int
    blocks: int
    dropout: float
    in_order: float
    weight_decay: float = 0.01
    average: float = 0.995
    patience: int = 3


class _Body(nn.Module):
    """What a net has beside the weights of single codes.

    Attributes:
        sizes: Codes of each column.
        edges: Where each column's codes begin among all, and how many there are in all.
    """

    def __init__(self, sizes: Sequence[int], settings: Settings, relatives: Sequence[Relative]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.edges: list[int] = np.r_[0, np.cumsum(self.sizes)].tolist()
        self.start = nn.Parameter(torch.zeros(settings.width))  # b
        self.trunk = Trunk(settings.width, settings.blocks, settings.dropout)  # (rows, width) → (rows, width)
        self.ties = Ties(relatives, settings.width) if relatives else None


class AutoregressiveNet(_Body):
    """Logits of a column's codes given the cells seen; what `train` gives.

    Attributes:
        shift: (all codes,) what free rows add to the logits so that their margins are right (`drawing.calibrate`).
    """

    def __init__(self, sizes: Sequence[int], settings: Settings, relatives: Sequence[Relative] = ()) -> None:
        super().__init__(sizes, settings, relatives)
        self.cells = nn.Parameter(torch.zeros(self.edges[-1], settings.width))  # E
        self.out = nn.Linear(settings.width, self.edges[-1])  # W, c
        self.shift: Tensor
        self.register_buffer("shift", torch.zeros(self.edges[-1]))

    def first(self, places: Tensor, seen: Tensor) -> Tensor:
        """(rows, width) first hidden layer.

        Args:
            places: (rows, columns) int64: each cell's row of `cells`.
            seen: (rows, columns) float32: 1 for the cells the net may see.
        """
        return self.start + F.embedding_bag(places, self.cells, mode="sum", per_sample_weights=seen)

    def logits(self, h: Tensor, column: int, codes: Tensor | None = None) -> Tensor:
        """(rows, codes of one column).

        Args:
            h: (rows, width) first hidden layer.
            column: The column.
            codes: (rows, columns) int64 of the cells seen, -1 of others; wanted where columns have relatives.
        """
        low, high = self.edges[column], self.edges[column + 1]
        last = self.trunk(h)
        logits = F.linear(last, self.out.weight[low:high], self.out.bias[low:high])
        if self.ties is None or codes is None or column not in self.ties.columns:
            return logits
        weights = self.ties.weights(last, column)
        bias = self.ties.bias(column, weights, codes.clamp_min(0), (codes >= 0).to(last.dtype))
        return logits if bias is None else logits + bias


class _Learner(_Body):
    """The net as it learns: weights of codes on a line have a part in common with their neighbours (`Smooth`).

    Args:
        sizes: Codes of each column.
        on_line: For each column on a line how many of its codes, the first ones, lie on it; 0 for others.
        settings: Shapes.
        relatives: Columns that lie near others.
    """

    def __init__(
        self, sizes: Sequence[int], on_line: Sequence[int], settings: Settings, relatives: Sequence[Relative]
    ) -> None:
        super().__init__(sizes, settings, relatives)
        self._relatives = relatives
        lined = [j for j, many in enumerate(on_line) if many > 2]
        firsts, many = [self.edges[j] for j in lined], [on_line[j] for j in lined]
        self.cells = Smooth(firsts, many, self.edges[-1], settings.width, 0.05)
        self.out = Smooth(firsts, many, self.edges[-1], settings.width, 0.0)
        self.bias = nn.Parameter(torch.zeros(self.edges[-1]))
        self.low: Tensor
        self.register_buffer("low", torch.tensor(self.edges[:-1]), persistent=False)

    def forward(self, codes: Tensor, seen: Tensor) -> Tensor:
        """(rows, all codes) logits.

        Args:
            codes: (rows, columns) int64.
            seen: (rows, columns) float32: 1 for the cells the net may see.
        """
        h = self.start + F.embedding_bag(codes + self.low, self.cells(), mode="sum", per_sample_weights=seen)
        last = self.trunk(h)
        logits = F.linear(last, self.out(), self.bias)
        if self.ties is None:
            return logits
        weights, parts = self.ties.weights(last), list(torch.split(logits, self.sizes, 1))
        for j in self.ties.columns:
            bias = self.ties.bias(j, weights, codes, seen)
            parts[j] = parts[j] if bias is None else parts[j] + bias
        return torch.cat(parts, 1)

    def losses(self, logits: Tensor, codes: Tensor) -> Tensor:
        """(rows, columns) negative log-likelihood of each cell."""
        parts = [
            F.cross_entropy(logits[:, self.edges[j] : self.edges[j + 1]], codes[:, j], reduction="none")
            for j in range(len(self.sizes))
        ]
        return torch.stack(parts, 1)

    @torch.no_grad()
    def settled(self, settings: Settings) -> AutoregressiveNet:
        """The net with the weights it has now."""
        net = AutoregressiveNet(self.sizes, settings, self._relatives).to(self.start.device)
        net.start.copy_(self.start)
        net.trunk.load_state_dict(self.trunk.state_dict())
        if self.ties is not None and net.ties is not None:
            net.ties.load_state_dict(self.ties.state_dict())
        net.cells.copy_(self.cells())
        net.out.weight.copy_(self.out())
        net.out.bias.copy_(self.bias)
        return net.eval()


class _Asker:
    """Decides which cells a row shows and how much each hidden one counts."""

    def __init__(self, order: Sequence[int], in_order: float, generator: torch.Generator) -> None:
        device = generator.device
        self._columns = len(order)
        self._in_order = in_order
        self._generator = generator
        self._rank = torch.empty(self._columns, dtype=torch.long, device=device)
        self._rank[torch.tensor(list(order), device=device)] = torch.arange(self._columns, device=device)

    def ask(self, rows: int) -> tuple[Tensor, Tensor]:
        """Seen cells and weights of the losses, both (rows, columns) float32; a row's weights sum to 1."""
        c, g = self._columns, self._generator
        ordered = torch.rand(rows, 1, generator=g, device=g.device) < self._in_order
        # In any order few cells are shown more often than many: conditions are mostly few, and sets of few differ most.
        even = torch.rand(rows, 1, generator=g, device=g.device)
        shown = torch.where(ordered, c * even, (c - 1) * even**2 + 1).long().clamp_max(c - 1)
        any_order = torch.rand(rows, c, generator=g, device=g.device).argsort(1)
        rank = torch.where(ordered, self._rank.expand(rows, c), any_order)
        seen = (rank < shown).float()
        hidden = (1 - seen) / (c - shown)
        following = _NEXT * (rank == shown).float() + (1 - _NEXT) * hidden
        return seen, torch.where(ordered, following, hidden)


@quick_products()
def train(
    codes: np.ndarray, sizes: Sequence[int], on_line: Sequence[int], order: Sequence[int], *,
    settings: Settings, names: Sequence[str], relatives: Sequence[Relative] = (),
    course: Course, generator: torch.Generator,
) -> tuple[AutoregressiveNet, list[float]]:
    """Train a net on rows of codes; the caller has seeded torch (`seeded`).

    Args:
        codes: (n, columns) codes.
        sizes: Codes of each column.
        on_line: For each column on a line how many of its codes, the first ones, lie on it; 0 for others.
        order: Columns in drawing order.
        names: Columns' names, for an error.
        relatives: Columns that lie near others.
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
    net = _Learner(sizes, on_line, settings, relatives).to(device)
    _start_at_shares(net, rows)
    asker = _Asker(order, settings.in_order, generator)
    looker = _Looker(net, validation, asker)
    average, patience = Average(net, settings.average), Patience(settings.patience)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    size = min(settings.batch_size, len(rows))
    told_every = max(course.steps // _LOOKS, 1)
    told: list[Tensor] = []
    schedule = _Schedule(_COOLING * told_every)
    suspect, found_all = Suspect(names), list[float]()
    batches = torch.empty(0, dtype=torch.long, device=device)
    for step in course:
        if len(batches) < size:
            batches = torch.randperm(len(rows), generator=generator, device=device)
        batch, batches = rows[batches[:size]], batches[size:]
        set_rate(optimizer, settings.learning_rate * schedule.at(course))
        seen, weights = asker.ask(size)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = net(batch, seen)
        losses = net.losses(logits.float(), batch)
        loss = (losses * weights).sum(1).mean()
        told.append(loss.detach())
        if step % told_every == 0 or not torch.isfinite(loss):
            suspect.look(losses)
            course.loss("train", torch.stack(told).mean().item(), suspect.name)  # of all steps since the last time
            told = []
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.update(net)
        if n_validation and step % told_every == told_every - 1:
            average.swap(net)
            found = looker.look()
            found_all.append(found)
            course.loss("validation", found)
            over = patience.look(found, net)
            average.swap(net)
            if over:
                schedule.end(course)
    average.swap(net)
    patience.restore(net)
    return net.settled(settings), found_all


def steps(n: int, settings: Settings) -> int:
    """Steps of a whole training on n rows."""
    used = n - validation_rows(n)
    return max(settings.epochs * (used // min(settings.batch_size, used)), 1)


class _Schedule:
    """The learning rate as a share of its peak: one cycle; or, once there is nothing more to gain, down at once.

    Weights that were still moving fast do better after the rate has come down, so a training that is over early gets
    its descent too.

    Args:
        descent: Steps of it.
    """

    def __init__(self, descent: int) -> None:
        self._descent = max(descent, 1)
        self._ended: tuple[int, float] | None = None

    def at(self, course: Course) -> float:
        """Share of the peak now; the course is stopped at the end of the descent."""
        if self._ended is None:
            return one_cycle(course.fraction)
        step, share = self._ended
        left = 1 - (course.step - step) / self._descent
        if left <= 1 / self._descent:
            course.stop()
        return share * max(left, 0.0)

    def end(self, course: Course) -> None:
        """Begin the descent, if it has not begun."""
        if self._ended is None:
            self._ended = course.step, one_cycle(course.fraction)


class _Looker:
    """The loss on rows kept back, always asked the same questions."""

    def __init__(self, net: _Learner, rows: Tensor, asker: _Asker) -> None:
        self._net, self._rows = net, rows.repeat(_VALIDATION_DRAWS, 1)
        self._seen, self._weights = asker.ask(len(self._rows))

    @torch.inference_mode()
    def look(self) -> float:
        self._net.eval()
        total = 0.0
        for first in range(0, len(self._rows), 1024):
            part = slice(first, first + 1024)
            losses = self._net.losses(self._net(self._rows[part], self._seen[part]), self._rows[part])
            total += float((losses * self._weights[part]).sum())
        self._net.train()
        return total / len(self._rows)


@torch.no_grad()
def _start_at_shares(net: _Learner, rows: Tensor) -> None:
    for j, size in enumerate(net.sizes):
        share = (torch.bincount(rows[:, j], minlength=size).float() + 0.5) / (len(rows) + 0.5 * size)
        net.bias[net.edges[j] : net.edges[j + 1]] = share.log()
