"""TabDDPM as published (Kotelnikov et al. 2023): Gaussian diffusion of numbers, multinomial diffusion of labels.

Numbers are the normal scores of their quantiles; the net predicts their noise (Ho et al. 2020) under the cosine
schedule (Nichol & Dhariwal 2021). Labels are one-hot and are resampled from all labels with the same schedule
(Hoogeboom et al. 2021); the net predicts the first ones, and learns by the divergence of one step's posterior. A
missing number is a label of its own. Sampling takes every step, as published, or few: DPM-Solver++ of second order (Lu
et al. 2022) for numbers, and the exact posterior of a longer step for labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from synthloom.methods._nets.diffusion import WAVES, Layout, Part, Rows, Settings, waves
from synthloom.methods._nets.layers import Dropout
from synthloom.methods._nets.products import quick_products

_FEW = 50
"""Steps that sampling takes unless told."""
_TIME_WIDTH = 64
"""Units that read the time."""
_TINY = 1e-30
Tick = Callable[[float], None]


class Classic(Part):
    """One net for both diffusions."""

    what = "noise and labels"
    kept: Tensor
    size: Tensor
    member: Tensor
    even: Tensor

    def __init__(self, layout: Layout, settings: Settings, timesteps: int) -> None:
        super().__init__()
        self.layout = layout
        self._timesteps = timesteps
        self._lines, blocks = len(layout.lines), layout.blocks
        width = settings.width
        self.enter = nn.Linear(self._lines + blocks.width, width)
        self.time = nn.Sequential(nn.Linear(2 * WAVES, _TIME_WIDTH), nn.SiLU(), nn.Linear(_TIME_WIDTH, width))
        layers: list[nn.Module] = []
        for _ in range(settings.depth - 1):
            layers += [nn.ReLU(), Dropout(settings.dropout), nn.Linear(width, width)]
        self.middle = nn.Sequential(*layers, nn.ReLU(), Dropout(settings.dropout))
        self.leave = nn.Linear(width, self._lines + blocks.width)
        self.register_buffer("kept", torch.from_numpy(cosine_schedule(timesteps)).float(), persistent=False)
        widths = torch.tensor(layout.sizes, dtype=torch.float32)
        self.register_buffer("size", widths, persistent=False)
        each = torch.tensor(layout.blocks.sizes.tolist(), dtype=torch.int64)
        owner = torch.arange(len(each)).repeat_interleave(each)
        member = nn.functional.one_hot(owner, len(each)).float()
        real = (layout.blocks.padding == 0).float().cpu()
        self.register_buffer("even", 1 / widths[owner], persistent=False)  # of each logit, among its column's labels
        self.register_buffer("member", member * real[:, None], persistent=False)  # (width, columns): whose it is

    @property
    def parts(self) -> list[Part]:
        """What is to be trained."""
        return [self]

    def column(self, index: int) -> int:
        """Losses of numbers come first, then those of labels."""
        return self.layout.lines[index] if index < self._lines else index - self._lines

    def forward(self, scores: Tensor, modes: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Noise (rows, lines) and logits of first labels (rows, width), from noisy ones at `step` (rows,)."""
        n, lines, blocks = len(scores), self._lines, self.layout.blocks
        seen = torch.zeros(n, lines + blocks.width, device=scores.device)
        seen[:, :lines] = scores
        seen.scatter_(1, modes + (blocks.first + lines), 1.0)
        time = self.time(waves(step[:, None] / self._timesteps))
        never = nn.functional.pad(blocks.padding, (lines, 0))
        last = nn.functional.linear(self.middle(self.enter(seen) + time), self.leave.weight, self.leave.bias + never)
        made, logits = torch.split(last.float(), [lines, blocks.width], 1)
        return made, logits

    def losses(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """(lines + columns,) squared error of the noise; nats between one step's true and predicted posterior."""
        n, device = len(rows), rows.modes.device
        step = torch.randint(1, self._timesteps + 1, (n,), generator=generator, device=device)
        kept = self.kept[step][:, None]
        noise = torch.randn(rows.scores.shape, generator=generator, device=device)
        noisy = kept.sqrt() * rows.scores + (1 - kept).sqrt() * noise
        modes = self._resample(rows.modes, kept, generator)
        made, logits = self(noisy, modes, step)
        errors = ((made - noise) ** 2).mean(0)
        before = self.kept[step - 1][:, None]
        probabilities = torch.cat([part.softmax(2).flatten(1) for part in self.layout.blocks.parts(logits)], 1)
        nats = self.divergence(probabilities, rows.modes, modes, before, kept / before)
        return torch.cat([errors, nats.mean(0)])

    def divergence(self, first: Tensor, true: Tensor, now: Tensor, before: Tensor, kept: Tensor) -> Tensor:
        """(rows, columns) nats between one step's posterior under the true first labels and under `first`.

        A posterior weight is a prior's, `before` · [first label] + u, times a likelihood, `kept` · [label now] + v,
        where u and v are the shares drawn evenly from all labels. The true posterior differs from an even one in two
        labels only and the likelihoods cancel in the ratio, so that one sum over all labels is enough. At the first
        step the true posterior is the label itself, and the divergence its cross-entropy.

        Args:
            first: (rows, width) probabilities of first labels.
            true, now: (rows, columns) labels, the first ones and those at this step.
            before: (rows, 1) share of first labels kept up to the earlier step.
            kept: (rows, 1) share kept from there to this step.
        """
        blocks = self.layout.blocks
        u, v = (1 - before) / self.size, (1 - kept) / self.size
        log = (before * first + (1 - before) * self.even).clamp_min(_TINY).log()
        every = log @ self.member
        at_true, at_now = log.gather(1, torch.cat([true + blocks.first, now + blocks.first], 1)).chunk(2, 1)
        same = (true == now).float()
        high, low = (before + u).log(), u.clamp_min(_TINY).log()  # the true prior's at the first label, and elsewhere
        weight, seen = v + kept * (before * same + u), v + kept * at_now.exp()  # of all labels: true, predicted
        apart = (
            u * v * ((self.size - 1) * low + high - every)
            + before * (v + kept * same) * (high - at_true)
            + kept * u * (torch.where(true == now, high, low) - at_now)
        )
        return apart / weight + (seen / weight).log()

    def _resample(self, modes: Tensor, kept: Tensor, generator: torch.Generator) -> Tensor:
        """Labels (rows, columns) after noise: each stays with probability `kept` (rows, 1), else any one is drawn."""
        stays = torch.rand(modes.shape, generator=generator, device=modes.device) < kept
        other = torch.rand(modes.shape, generator=generator, device=modes.device) * self.size
        return torch.where(stays, modes, torch.minimum(other, self.size - 1).long())

    @quick_products()
    @torch.inference_mode()
    def draw(
        self, rows: Rows, known: Tensor, steps: int | None, generator: torch.Generator, tick: Tick
    ) -> tuple[Tensor, Tensor]:
        """Modes (rows, columns) and scores (rows, lines), both in the blocks' order; as `Cascade.draw`.

        With as many steps as there are timesteps, this is the published ancestral sampling; with fewer, a solver.
        Known cells are put in at every step, with that step's noise (Lugmayr et al. 2022).
        """
        n, device = len(rows), rows.modes.device
        steps = min(steps or _FEW, self._timesteps)
        ancestral = steps == self._timesteps
        times = np.linspace(self._timesteps, 0, steps + 1).round().astype(int).tolist()
        held = known[:, self.layout.lines]
        x = torch.randn(rows.scores.shape, generator=generator, device=device)
        modes = self._resample(rows.modes, torch.zeros(n, 1, device=device), generator)
        previous, span_before = x, 0.0
        for time, after in pairwise(times):
            tick(1 - time / self._timesteps)
            kept, left = self.kept[time], self.kept[after]
            level = left.expand(n, 1)
            noise = torch.randn(x.shape, generator=generator, device=device)
            x = torch.where(held, kept.sqrt() * rows.scores + (1 - kept).sqrt() * noise, x)
            modes = torch.where(known, self._resample(rows.modes, kept.expand(n, 1), generator), modes)
            made, logits = self(x, modes, torch.full((n,), time, device=device))
            first = ((x - (1 - kept).sqrt() * made) / kept.sqrt()).clamp(-4, 4)
            if ancestral:
                fresh = torch.randn(x.shape, generator=generator, device=device)
                x = _ancestral(x, first, kept, left, fresh)
            else:
                span = _log_ratio(left) - _log_ratio(kept)
                bend = span / span_before / 2 if span_before and after else 0.0
                ahead = first + bend * (first - previous)
                shrink = ((1 - left) / (1 - kept)).sqrt()
                x = shrink * x + (left.sqrt() - shrink * kept.sqrt()) * ahead
                previous, span_before = first, span
            modes = self._step_back(logits, modes, level, kept / left, generator)
        modes = torch.minimum(modes, self.size.long() - 1)
        modes = torch.where(known, rows.modes, self._missing_together(modes))
        return modes, torch.where(held, rows.scores, x)

    def _missing_together(self, modes: Tensor) -> Tensor:
        """Where columns are always missing together, all are what the first is; each number has a value to show."""
        modes = modes.clone()
        leader: dict[int, int] = {}
        for column, group in zip(self.layout.links.tolist(), self.layout.groups.tolist(), strict=True):
            first = leader.setdefault(group, column)
            gone = modes[:, first] == self.layout.gone[first]
            filled = torch.zeros_like(modes[:, 0]) if column in self.layout.lines else modes[:, column]
            own = torch.where(modes[:, column] == self.layout.gone[column], filled, modes[:, column])
            modes[:, column] = torch.where(gone, self.layout.gone[column], own)
        return modes

    def _step_back(
        self, logits: Tensor, modes: Tensor, left: Tensor, kept: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Labels one step (of any length) earlier, drawn from the posterior under the predicted first labels."""
        blocks = self.layout.blocks
        drawn = []
        for span, part in zip(blocks.spans, blocks.parts(logits), strict=True):
            size, now = self.size[span.columns][None, :, None], modes[:, span.columns]
            real = blocks.padding[span.logits].view(1, -1, span.size) == 0
            risen = (_posterior(part.softmax(2), now, left[..., None], kept, size) * real).cumsum(2)
            uniforms = torch.rand(now.shape, generator=generator, device=logits.device)[..., None]
            drawn.append((risen <= uniforms * risen[..., -1:]).sum(2).clamp_(max=span.size - 1))
        return torch.cat(drawn, 1)


def _posterior(first: Tensor, now: Tensor, before: Tensor, kept: Tensor | float, size: Tensor) -> Tensor:
    """(rows, columns, labels) weights of the label one step earlier (Hoogeboom et al. 2021, eq. 13).

    Args:
        first: (rows, columns, labels) probabilities of the first label.
        now: (rows, columns) label at this step.
        before: Share of first labels kept up to the earlier step.
        kept: Share kept from there to this step.
        size: (1, columns, 1) labels of each column.
    """
    prior = before * first + (1 - before) / size
    step = (1 - kept) / size
    likely = step.expand(*first.shape).scatter_add(
        2, now[..., None], torch.as_tensor(kept, device=first.device).expand(*now.shape, 1).to(first.dtype)
    )
    return prior * likely


def _ancestral(x: Tensor, first: Tensor, kept: Tensor, left: Tensor, noise: Tensor) -> Tensor:
    """One step of Ho et al. (2020), eq. 7, from share `kept` to share `left`."""
    step = kept / left
    mean = left.sqrt() * (1 - step) / (1 - kept) * first + step.sqrt() * (1 - left) / (1 - kept) * x
    return mean + ((1 - step) * (1 - left) / (1 - kept)).clamp_min(0).sqrt() * noise


def _log_ratio(kept: Tensor) -> float:
    """Half the logarithm of signal to noise; infinite without noise."""
    share = float(kept)
    return math.inf if share >= 1 else 0.5 * math.log(share / (1 - share))


def cosine_schedule(timesteps: int) -> np.ndarray:
    """(timesteps + 1,) share of the signal's variance that is kept after each step, from 1 down."""
    at = np.arange(timesteps + 1) / timesteps
    wanted = np.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2
    lost = np.clip(1 - wanted[1:] / wanted[:-1], 0, 0.999)
    return np.asarray(np.r_[1.0, np.cumprod(1 - lost)])
