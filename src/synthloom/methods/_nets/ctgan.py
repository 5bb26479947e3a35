"""The nets of `ctgan`: a generator under conditions, and a critic of packs of rows.

Xu et al. 2019: conditional vector, training by sampling, Gumbel softmax (Jang et al. 2017), PacGAN (Lin et al. 2018),
Wasserstein loss with gradient penalty (Gulrajani et al. 2017). Ours differs:

* Conditions may name any columns, several at once. Given cells are put into the row as they are, so that the critic
  judges whether the *rest* suits them, where the paper adds a cross-entropy that asks for them.
* A real pack and a made-up one under the same conditions are compared (relativistic pairing: Jolicoeur-Martineau 2019;
  with a gradient penalty around zero: Mescheder et al. 2018). It learns in hundreds of steps what the Wasserstein loss
  needs many thousands for, which is there as a parameter.
* The critic sees made-up rows as drawn, not softened: it would tell soft rows from real ones by that alone.
* After training the columns' shares are put right (`Twin.calibrate`).
* Beside the two nets a third learns to tell a cell from the row's others, and draws the cells of made-up rows anew
  (`_nets/mending.py`): what the critic has not yet taught the generator in its few thousand steps.

Shapes: b rows of a batch, C columns in the order of `Blocks`, W logits, P rows of a pack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthloom.domain.event import Cancelled, Emit, Progress
from synthloom.methods._nets.layout import Layout, Rows
from synthloom.methods._nets.mending import Learning, Mender
from synthloom.methods._nets.opening import Suspect
from synthloom.methods._nets.products import quick_products
from synthloom.methods._nets.training import (
    Arrays,
    Average,
    Course,
    arrays_to_weights,
    calibration_rows,
    one_cycle,
    set_rate,
    weights_to_arrays,
)
from synthloom.tables.encode import stop_if

_RATE = 3e-3
"""Peak of the critic's learning rate; the generator's is half of it (two time-scales: Heusel et al. 2017)."""
_HEAT = 0.7
"""Temperature of the Gumbel softmax that gradients take in place of the draw."""
_PENALTY, _FLATNESS = 10.0, 0.1
"""Weights of the critic's slope's distance from 1, and, in the relativistic game, of the slope itself."""
_SEVERAL = 0.5
"""Share of the training rows whose condition names more than one column."""
_INDEXED = 60_000_000
"""Most cells that are indexed by mode; of a larger table, a random part of the rows is learnt from."""
_TELL = 50
"""Steps between two losses told."""
_LOOK = 4
"""Losses told between two looks at the rows held back."""
_CALIBRATIONS = 6
"""Times that the columns' shares are put right after training."""
_STEERINGS = 2
"""Times that they are put right in the mender."""
_CHUNK = 8192
"""Rows drawn at once."""


@dataclass(frozen=True)
class Settings:
    """How the nets are built and trained.

    Attributes:
        noise, width: Sizes of the noise and the hidden layers.
        dropout: Of the critic, and of the mender if more than its own.
        pack: Rows that the critic judges together.
        penalty_every: Steps of the critic from one gradient penalty to the next.
        relativistic: Which of two games, the relativistic one or Wasserstein's.
        sweeps: Times that made-up rows are mended.
        epochs, batch_size, learning_rate: As in `NeuralParams`.
        max_seconds: That training may take.
    """

    noise: int
    width: int
    dropout: float
    pack: int
    penalty_every: int
    relativistic: bool
    sweeps: int
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    max_seconds: float | None = None

    def plan(self, n: int) -> tuple[int, int]:
        """Rows per step, whole packs, and steps for n rows: about 3,000, fewer where rows are few."""
        wanted = self.batch_size or min(max(1 << int(math.log2(max(n / 8, 1))), 32), 256)
        batch = max(wanted // self.pack, 1) * self.pack
        if self.epochs:
            return batch, max(n // batch, 1) * self.epochs
        return batch, max(min(3000, max(n // batch, 1) * 300), 3 * n // batch)


class Generator(nn.Module):
    """Noise and a condition to the logits of all modes."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.enter = nn.Linear(settings.noise + layout.blocks.width, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)
        )
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, layout.blocks.width)
        with torch.no_grad():  # to begin with, each column's own distribution
            self.leave.bias.copy_(layout.shares.clamp_min(1e-9).log())

    def trunk(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(b, width) hidden units of noise (b, noise) and a condition (b, W): one-hot in given columns, else 0."""
        hidden: Tensor = self.enter(torch.cat([noise, condition], 1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return functional.relu(self.norm(hidden))

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(b, W) logits, without padding."""
        logits: Tensor = self.leave(self.trunk(noise, condition))
        return logits


class Critic(nn.Module):
    """Packs of rows to a score: high for real ones.

    All rows of a pack pass through the same layer, then each is judged beside the pack's mean: what PacGAN asks for,
    rows judged together, without learning everything once for each place in a pack.
    """

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.pack = settings.pack
        self.row = nn.Sequential(
            nn.Linear(layout.blocks.width, width), nn.LeakyReLU(0.2), nn.Dropout(settings.dropout)
        )
        self.alone, self.together = nn.Linear(width, width), nn.Linear(width, width)
        self.judge = nn.Sequential(nn.LeakyReLU(0.2), nn.Dropout(settings.dropout), nn.Linear(width, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """(b / P, 1) scores of rows (b, W) of modes, one-hot or nearly so."""
        packs = self.row(rows).view(len(rows) // self.pack, self.pack, -1)
        hidden = self.alone(packs) + self.together(packs.mean(1, keepdim=True))
        score: Tensor = self.judge(hidden).mean(1)
        return score


class ByMode:
    """Training rows by mode of each column, to draw rows that meet a condition."""

    def __init__(self, rows: Rows, layout: Layout, cancelled: Cancelled) -> None:
        n, columns = rows.modes.shape
        device = rows.modes.device
        kept = torch.arange(n, device=device)
        if n * columns > _INDEXED:
            kept = torch.randperm(n, device=device)[: _INDEXED // columns]
        self._order = torch.empty(columns, len(kept), dtype=torch.int32, device=device)
        counts = torch.zeros(layout.blocks.width, device=device)
        for c in range(columns):
            stop_if(cancelled)
            own = rows.modes[kept, c].long()
            self._order[c] = kept[own.argsort(stable=True)].int()
            counts.scatter_add_(0, layout.blocks.first[c] + own, torch.ones_like(own, dtype=torch.float32))
        self._counts = counts
        self._blocks = layout.blocks
        starts = torch.cat([torch.zeros(1, device=device), counts.double().cumsum(0)])[:-1]
        base = torch.arange(columns, device=device) * len(kept)
        self._starts = (starts - base[layout.column]).long()
        # log frequencies, so that rare modes are seen too; one row of weights for all, cut up by column
        self._weights = torch.log1p(counts)

    def draw(self, columns: Tensor) -> Tensor:
        """(b,) int64 rows: for each of the columns (b,) a mode by its log frequency, then a row that has it."""
        logits = self._weights.clamp_min(1e-9).log()[None].expand(1, -1)
        shares = [part.softmax(2).cumsum(2)[0] for part in self._blocks.parts(logits.contiguous())]
        uniform = torch.rand(len(columns), device=columns.device)
        mode = torch.zeros_like(columns)
        for span, share in zip(self._blocks.spans, shares, strict=True):
            inside = (columns >= span.columns.start) & (columns < span.columns.stop)
            risen = share[columns[inside] - span.columns.start]
            mode[inside] = (risen <= uniform[inside, None] * risen[:, -1:]).sum(1).clamp_(max=span.size - 1)
        at = self._blocks.first[columns] + mode
        place = (torch.rand(len(columns), device=columns.device) * self._counts[at]).long()
        place = torch.minimum(place, (self._counts[at] - 1).clamp_min(0).long()) + self._starts[at]
        return self._order[columns, place].long()


@quick_products()
def train(
    layout: Layout, cells: tuple[np.ndarray, np.ndarray], settings: Settings, *, emit: Emit, cancelled: Cancelled
) -> tuple[Twin, str]:
    """Train on a table's modes and places (n, columns), torch being seeded.

    Returns:
        The trained twin, and a sentence where time and not the number of steps ended the training.
    """
    rows = layout.arranged(*cells)
    twin = Twin.new(layout, settings)
    batch, steps = settings.plan(len(rows))
    course = Course(steps, emit, cancelled, settings.max_seconds)
    learning = Learning(twin.mender, layout, rows, batch) if twin.mender is not None else None
    _Duel(twin, rows, settings, batch, cancelled).run(course, learning)
    late = _late(course, learning)
    twin.generator.eval()
    twin.calibrate(calibration_rows(min(max(len(rows), 512), _CHUNK), settings.max_seconds), cancelled)
    return twin, late


def _late(course: Course, learning: Learning | None) -> str:
    """A sentence, where time ended the training: how far it got and what more might buy."""
    if not course.out_of_time:
        return ""
    said = f"Time ended the training at step {course.step} of {course.steps}"
    looks = learning.looks if learning else []
    if len(looks) < 2:
        return said + "."
    gain = looks[-2] - looks[-1]
    more = f"still falling, by {gain:.2g} since the look before" if gain > 0 else "no longer falling"
    return f"{said}; its validation loss was {more}."


class _Duel:
    """Generator against critic."""

    def __init__(self, twin: Twin, rows: Rows, settings: Settings, batch: int, cancelled: Cancelled) -> None:
        self.twin, self.rows, self.settings, self.batch = twin, rows, settings, batch
        self.critic = Critic(twin.layout, settings).to(rows.modes.device)
        self.index = ByMode(rows, twin.layout, cancelled)
        self.layout = twin.layout

    def run(self, course: Course, learning: Learning | None) -> None:
        """Step after step, the critic first; the generator's averaged weights stay in the end.

        A mender's learning goes along.
        """
        rate = self.settings.learning_rate or _RATE
        generator = self.twin.generator
        first, second = (
            torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.5, 0.9), weight_decay=1e-6, fused=True)
            for net in (self.critic, generator)
        )
        average = Average(generator, 0.998)
        suspect = Suspect(self.layout.names)
        for step in course:
            cycle = one_cycle(course.fraction, warm=0.02, end=0.05)
            set_rate(first, rate * cycle)
            set_rate(second, 0.5 * rate * cycle)
            gap = self._teach_critic(first, step)
            score = self._teach_generator(second, suspect if step % _TELL == 0 else None)
            average.update(generator)
            if learning is not None:
                learning.keep_up(course)
            if step % _TELL == 0 or step == course.steps - 1:
                course.loss("critic", gap.item(), suspect.name)
                course.loss("generator", score.item(), suspect.name)
                if learning is not None and step % (_LOOK * _TELL) == 0:
                    learning.look(course, suspect.name)
        average.swap(generator)
        if learning is not None:
            learning.end(course, suspect.name)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Real rows (b, W) one-hot, and which of their cells are given to the generator (b, W) bool."""
        device, columns = self.rows.modes.device, len(self.layout.blocks.order)
        named = torch.randint(columns, (self.batch,), device=device)
        hot = self.layout.blocks.one_hot(self.rows.modes[self.index.draw(named)].long())
        several = torch.rand(self.batch, 1, device=device) < _SEVERAL
        given = (torch.rand(self.batch, columns, device=device) < torch.rand(self.batch, 1, device=device)) & several
        given.scatter_(1, named[:, None], True)
        return hot, given[:, self.layout.column]

    def _fake(self, hot: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Made-up rows (b, W) under the conditions, one-hot like real ones, and their logits."""
        noise = torch.randn(len(hot), self.settings.noise, device=hot.device)
        logits = self.twin.generator(noise, hot * given)
        drawn = self.layout.blocks.soften(logits + self.layout.blocks.padding, _HEAT)
        return torch.where(given, hot, drawn), logits

    def _teach_critic(self, optimizer: torch.optim.Optimizer, step: int) -> Tensor:
        self.critic.train()
        hot, given = self._batch()
        with torch.no_grad():
            fake, _ = self._fake(hot, given)
        real_score, fake_score = self.critic(torch.cat([hot, fake])).chunk(2)
        told = self._loss(fake_score - real_score)
        loss = told
        if step % self.settings.penalty_every == 0:
            loss = loss + self.settings.penalty_every * self._penalty(hot, fake)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        return told.detach()

    def _loss(self, wrong: Tensor) -> Tensor:
        """Of how much higher the wrong one of two packs under the same conditions scores."""
        return (functional.softplus(wrong) if self.settings.relativistic else wrong).mean()

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Of the critic's slope between packs of real and of made-up rows: it is to be 1, or, relativistic, small."""
        packs = len(real) // self.settings.pack
        mix = torch.rand(packs, 1, 1, device=real.device)
        shape = (packs, self.settings.pack, -1)
        between = torch.lerp(real.view(shape), fake.view(shape), mix).view(len(real), -1).requires_grad_()
        slope = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)[0].view(packs, -1)
        if self.settings.relativistic:
            flat: Tensor = _FLATNESS * slope.square().sum(1).mean()
            return flat
        steep: Tensor = _PENALTY * (slope.norm(dim=1) - 1).square().mean()
        return steep

    def _teach_generator(self, optimizer: torch.optim.Optimizer, suspect: Suspect | None) -> Tensor:
        hot, given = self._batch()
        fake, logits = self._fake(hot, given)
        if suspect is not None:
            found = [part.detach().sum(2) for part in self.layout.blocks.parts(logits)]
            suspect.look(torch.cat(found, 1))
        score = self.critic(fake)
        loss = self._loss(self.critic(hot) - score) if self.settings.relativistic else -score.mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=list(self.twin.generator.parameters()))
        optimizer.step()
        return loss.detach()


@dataclass
class Twin:
    """What is left of training: the generator, and what mends its rows, a number of times."""

    layout: Layout
    generator: Generator
    noise: int
    mender: Mender | None
    sweeps: int

    @classmethod
    def new(cls, layout: Layout, settings: Settings) -> Twin:
        """With fresh weights."""
        device = layout.placed.device
        mender = Mender(layout, settings.width, settings.dropout).to(device) if settings.sweeps else None
        return cls(layout, Generator(layout, settings).to(device), settings.noise, mender, settings.sweeps)

    def arrays(self) -> Arrays:
        """Weights for a model file."""
        mender = {} if self.mender is None else weights_to_arrays(self.mender, "mender.")
        return weights_to_arrays(self.generator, "generator.") | mender

    def load(self, arrays: Arrays) -> Twin:
        """Take the weights out of a model file."""
        arrays_to_weights(self.generator, "generator.", arrays)
        if self.mender is not None:
            arrays_to_weights(self.mender, "mender.", arrays)
        return self

    def _own_condition(self, named: Tensor, uniforms: Tensor) -> Tensor:
        """Conditions (b, W) that each name one column (b,), with a mode by its share: none was asked for."""
        logits = self.layout.shares.clamp_min(1e-30).log().expand(len(named), -1) + self.layout.drawing
        modes = self.layout.blocks.draw(logits, uniforms)
        given = torch.zeros_like(modes, dtype=torch.bool).scatter_(1, named[:, None], True)
        return self.layout.blocks.one_hot(modes) * given[:, self.layout.column]

    @torch.no_grad()
    def calibrate(self, n: int, cancelled: Cancelled) -> None:
        """Shift the modes' logits so that in new rows each column has its own distribution.

        A generator never quite finds the columns' shares. A mode's bias moves by the logarithm of what is wanted over
        what comes out, a few times over (iterative proportional fitting); then that of the mender, which begins from
        the generator's rows.

        Args:
            n: New rows that tell the shares.
        """
        device, blocks = self.layout.placed.device, self.layout.blocks
        named = torch.randint(len(blocks.order), (n,), device=device)
        condition = self._own_condition(named, torch.rand(n, len(blocks.order), device=device))
        hidden = self.generator.trunk(torch.randn(n, self.noise, device=device), condition)
        free = torch.ones(n, len(blocks.order), device=device).scatter_(1, named[:, None], 0.0)[:, self.layout.column]
        layer, wanted = self.generator.leave, self.layout.shares
        for _ in range(_CALIBRATIONS):
            stop_if(cancelled)
            logits = layer(hidden) + blocks.padding
            soft = torch.cat([part.softmax(2).flatten(1) for part in blocks.parts(logits)], 1)
            found = (soft * free).sum(0) / free.sum(0).clamp_min(1)
            shift = torch.where(wanted > 0, (wanted / found.clamp_min(1e-9)).log(), 0.0)
            layer.bias.add_(shift.clamp(-1, 1), alpha=0.7)
        if self.mender is not None:
            drawn = self._drawn(layer(hidden), condition, torch.rand(n, len(blocks.order), device=device))
            free_cells = torch.zeros_like(drawn, dtype=torch.bool)
            rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
            for _ in range(_STEERINGS):
                stop_if(cancelled)
                self.mender.sweep(self.layout, drawn.clone(), free_cells, rng, steer=True)

    def _drawn(self, logits: Tensor, condition: Tensor, uniforms: Tensor) -> Tensor:
        """Modes (b, C) drawn from logits (b, W), those named by a condition (b, W) as it says."""
        return self.layout.draw(torch.where(condition > 0, logits + 1e6, logits), uniforms)

    @quick_products()
    @torch.inference_mode()
    def draw(
        self, asked: tuple[np.ndarray, np.ndarray] | int, rng: np.random.Generator, emit: Emit, cancelled: Cancelled
    ) -> tuple[np.ndarray, np.ndarray]:
        """Modes (n, columns) and places (n, columns) of new rows.

        Args:
            asked: Rows, or modes (n, columns) and which of them are given (n, columns) bool.
            rng: Draws everything.
            emit, cancelled: The run's.
        """
        order, device = self.layout.blocks.order, self.layout.placed.device
        n = asked if isinstance(asked, int) else len(asked[0])
        modes = np.empty((n, len(order)), dtype=np.int64)
        for first in range(0, n, _CHUNK):
            stop_if(cancelled)
            last = min(first + _CHUNK, n)
            noise = torch.tensor(rng.standard_normal((last - first, self.noise), dtype=np.float32), device=device)
            uniforms = torch.tensor(rng.random((2, last - first, len(order)), dtype=np.float32), device=device)
            named = torch.tensor(rng.integers(len(order), size=last - first), device=device)
            condition = self._own_condition(named, uniforms[0])
            if not isinstance(asked, int):
                fixed = torch.tensor(asked[0][first:last, order], device=device)
                given = torch.tensor(asked[1][first:last, order], device=device)
                hot = self.layout.blocks.one_hot(fixed) * given[:, self.layout.column]
                condition = torch.where(given.any(1, keepdim=True), hot, condition)
            logits = self.generator(noise, condition)
            if not isinstance(asked, int):
                self.layout.keep_filled(logits, fixed, given)
            drawn = self._drawn(logits, condition, uniforms[1])
            if self.mender is not None:
                kept = torch.zeros_like(drawn, dtype=torch.bool) if isinstance(asked, int) else given
                for _ in range(self.sweeps):
                    stop_if(cancelled)
                    self.mender.sweep(self.layout, drawn, kept, rng)
            modes[first:last, order] = drawn.cpu().numpy()
            emit(Progress(step="sample", fraction=0.8 * last / n))
        return modes, rng.random(modes.shape, dtype=np.float32)
