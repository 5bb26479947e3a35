"""The nets of `tvae`: a variational autoencoder over modes and places, and a learned prior over its latent space.

Kingma & Welling 2014 for the autoencoder, Xu et al. 2019 for tables. A normal prior leaves holes: latents that no row
came from decode to rows nobody has seen. So a second, small net learns where rows lie (two-stage VAE, Dai & Wipf 2019),
by flow matching (Lipman et al. 2023): it tells the velocity of a path from noise to latents.

Shapes: b rows of a batch, C columns in the order of `Blocks`, L of them on a line, W logits, Z latents, S parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthloom.domain.event import Cancelled, Emit, Progress
from synthloom.methods._nets.layout import Gaps, Layout, Rows, batches
from synthloom.methods._nets.modes import TableModes
from synthloom.methods._nets.opening import Suspect, split_rows
from synthloom.methods._nets.products import quick_products
from synthloom.methods._nets.training import (
    Arrays,
    Average,
    Course,
    Patience,
    arrays_to_weights,
    calibration_rows,
    one_cycle,
    set_rate,
    weights_to_arrays,
)
from synthloom.tables.encode import stop_if

PARTS = 8
"""Parts of a mode in which places are told apart; within a part a place is spread evenly."""
_START, _MIDDLE, _END = 0.1, 0.6, 0.97
"""Where in the progress of a fit the autoencoder's training begins, the prior's begins, and both are over."""
_RATE = 4e-3
"""Peak of the learning rate, of both nets, at batches of 256; smaller ones get less, by the root."""
_STEPS = 900
"""Steps of the autoencoder, about: at this rate three times as many gain nothing that the detector sees."""
_WARM = 0.2
"""Share of the training in which the latents' cost rises to its weight: from the start it would silence them."""
_TELL = 50
"""Steps between two losses told."""
_PATIENCE = 8
"""Looks at the validation loss without a better one after which training ends."""
_SOLVER = 16
"""Steps of the solver (Heun) that draws latents."""
_CALIBRATIONS = 6
"""Times that the columns' shares are put right after training."""
_CHUNK = 4096
"""Rows drawn at once: small enough to stay in the processor's cache."""


@dataclass(frozen=True)
class Settings:
    """How the nets are built and trained.

    Attributes:
        latent, width: Sizes of the latent space and the hidden layers.
        dropout: Of both.
        kl_weight: Weight of the latents' cost against the cells'.
        learned_prior: Whether latents are drawn by a second net; else from the normal distribution.
        epochs, batch_size, learning_rate: As in `NeuralParams`.
        max_seconds: That training may take.
    """

    latent: int
    width: int
    dropout: float
    kl_weight: float
    learned_prior: bool
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    max_seconds: float | None = None

class Encoder(nn.Module):
    """Rows to the mean and log variance of their latents."""

    def __init__(self, layout: Layout, size: Settings) -> None:
        super().__init__()
        inputs = layout.blocks.width + len(layout.line)
        self.net = nn.Sequential(
            nn.Linear(inputs, size.width), nn.SiLU(), nn.Dropout(size.dropout),
            nn.Linear(size.width, size.width), nn.SiLU(), nn.Linear(size.width, 2 * size.latent),
        )

    def forward(self, hot: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """(b, Z) twice of one-hot modes (b, W) and places (b, L), -1 to 1, 0 where there is none."""
        mean, spread = self.net(torch.cat([hot, places], 1)).chunk(2, 1)
        return mean, spread.clamp(-12, 4)


class Decoder(nn.Module):
    """Latents to the distributions of modes and, given the mode, of the part of it that a place lies in."""

    def __init__(self, layout: Layout, size: Settings) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(size.latent, size.width), nn.SiLU(), nn.Linear(size.width, size.width), nn.SiLU(),
            nn.Dropout(size.dropout),
        )
        self.modes = nn.Linear(size.width, layout.blocks.width)
        with torch.no_grad():  # to begin with, each column's own distribution
            self.modes.bias.copy_(layout.shares.clamp_min(1e-9).log())
        self.parts = nn.Linear(size.width, max(len(layout.line), 1) * PARTS)
        self.by_mode = nn.Parameter(torch.zeros(layout.blocks.width, PARTS))
        self.layout = layout

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of modes (b, W), without padding, and of parts but for the mode's (b, L, PARTS), of latents (b, Z)."""
        hidden = self.trunk(z)
        parts = self.parts(hidden).view(len(z), -1, PARTS)[:, : len(self.layout.line)]
        return self.modes(hidden), parts

    def nats(self, z: Tensor, modes: Tensor, parts: Tensor) -> Tensor:
        """(b, C) nats that each column's cells cost: modes (b, C), parts (b, L)."""
        logits, part_logits = self(z)
        cost = self.layout.blocks.cross_entropy(logits + self.layout.blocks.padding, modes)
        if len(self.layout.line):
            at = self.layout.mode_at(modes)
            part_cost = functional.cross_entropy(
                (part_logits + self.by_mode[at]).permute(0, 2, 1), parts, reduction="none"
            )
            cost = cost.index_add(1, self.layout.line, part_cost * self.layout.placed[at])
        return cost


class Drift(nn.Module):
    """The learned prior: the velocity at a point of the path from noise (time 0) to latents (time 1)."""

    def __init__(self, latent: int, width: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(latent + 16, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))
            for _ in range(2)
        )
        self.leave = nn.Linear(width, latent)

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """(b, Z) velocity at z (b, Z) and time (b, 1)."""
        angle = time * math.pi * 2.0 ** torch.arange(-2, 6, device=z.device)
        hidden = self.enter(torch.cat([z, angle.sin(), angle.cos()], 1))
        for block in self.blocks:
            hidden = hidden + block(functional.silu(hidden))
        out: Tensor = self.leave(functional.silu(hidden))
        return out


class Autoencoder(nn.Module):
    """Encoder and decoder together."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(layout, settings), Decoder(layout, settings)
        self.layout = layout

    def encode(self, modes: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (b, Z) of rows' latents."""
        has_place = self.layout.placed[self.layout.mode_at(modes)]
        encoded: tuple[Tensor, Tensor] = self.encoder(self.layout.blocks.one_hot(modes), (2 * places - 1) * has_place)
        return encoded

    def forward(self, modes: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Nats that each cell (b, C), and the latents of each row (b,), cost."""
        mean, spread = self.encode(modes, places)
        z = mean + torch.randn_like(mean) * (0.5 * spread).exp()
        latent = 0.5 * (mean.square() + spread.exp() - spread - 1).sum(1)
        parts = (places * PARTS).long().clamp_(max=PARTS - 1)
        return self.decoder.nats(z, modes, parts), latent


@dataclass
class Twin:
    """What is left of training: the decoder and the prior over its latents.

    Attributes:
        drift: The learned prior's net; none: latents are normal.
        centre, scale: (Z,) of the latents that `drift` knows in units of its own.
    """

    layout: Layout
    decoder: Decoder
    drift: Drift | None
    centre: Tensor
    scale: Tensor

    @classmethod
    def new(cls, modes: TableModes, gaps: Gaps, settings: Settings, device: torch.device) -> Twin:
        """Untrained, for weights out of a model file."""
        layout = Layout(modes, gaps, device)
        drift = _drift(settings).to(device) if settings.learned_prior else None
        still = torch.zeros(settings.latent, device=device)
        return cls(layout, Decoder(layout, settings).to(device), drift, still, still + 1)

    def arrays(self) -> Arrays:
        """Weights for a model file."""
        own = weights_to_arrays(self.decoder, "decoder.")
        own |= {"centre": self.centre.cpu().numpy(), "scale": self.scale.cpu().numpy()}
        return own | (weights_to_arrays(self.drift, "drift.") if self.drift else {})

    def load(self, arrays: Arrays) -> Twin:
        """Take the weights out of a model file."""
        arrays_to_weights(self.decoder, "decoder.", arrays)
        if self.drift:
            arrays_to_weights(self.drift, "drift.", arrays)
        device = self.centre.device
        self.centre, self.scale = (torch.tensor(arrays[name], device=device) for name in ("centre", "scale"))
        return self

    @torch.no_grad()
    def calibrate(self, n: int, cancelled: Cancelled) -> None:
        """Shift the modes' logits so that over new latents each column has its own distribution.

        The prior is never quite where the rows' latents are, and the columns' shares pay for it. A mode's bias moves
        by the logarithm of what is wanted over what comes out, a few times over (iterative proportional fitting).

        Args:
            n: Latents that tell the shares.
        """
        device = self.centre.device
        noise = torch.randn(n, len(self.centre), device=device)
        hidden = self.decoder.trunk(torch.cat([self._latents(part, cancelled) for part in torch.split(noise, _CHUNK)]))
        layer, blocks = self.decoder.modes, self.layout.blocks
        wanted = self.layout.shares
        for _ in range(_CALIBRATIONS):
            stop_if(cancelled)
            logits = layer(hidden) + blocks.padding
            found = torch.cat([part.softmax(2).mean(0).flatten() for part in blocks.parts(logits)])
            shift = torch.where(wanted > 0, (wanted / found.clamp_min(1e-9)).log(), 0.0)
            layer.bias.add_(shift.clamp(-1, 1), alpha=0.7)

    @quick_products()
    @torch.inference_mode()
    def draw(
        self, n: int, rng: np.random.Generator, emit: Emit, cancelled: Cancelled
    ) -> tuple[np.ndarray, np.ndarray]:
        """Modes (n, columns) and places (n, columns) of new rows."""
        columns, device = len(self.layout.blocks.order), self.centre.device
        modes, places = np.empty((n, columns), dtype=np.int64), np.empty((n, columns), dtype=np.float32)
        for first in range(0, n, _CHUNK):
            last = min(first + _CHUNK, n)

            def random(*shape: int, normal: bool = False, b: int = last - first) -> Tensor:
                draw = rng.standard_normal if normal else rng.random
                return torch.tensor(draw((b, *shape), dtype=np.float32), device=device)

            z = self._latents(random(len(self.centre), normal=True), cancelled)
            logits, part_logits = self.decoder(z)
            drawn = self.layout.draw(logits, random(columns))
            lines = len(self.layout.line)
            risen = (part_logits + self.decoder.by_mode[self.layout.mode_at(drawn)]).softmax(2).cumsum(2)
            part = (risen <= random(lines, 1) * risen[:, :, -1:]).sum(2).clamp_(max=PARTS - 1)
            modes[first:last], places[first:last] = self.layout.table(drawn, (part + random(lines)) / PARTS)
            emit(Progress(step="sample", fraction=0.8 * last / n))
        return modes, places

    def _latents(self, noise: Tensor, cancelled: Cancelled) -> Tensor:
        """Latents (b, Z) out of noise (b, Z): Heun's method along the learned path."""
        stop_if(cancelled)
        if self.drift is None:
            return noise
        z, b = noise, len(noise)
        times = torch.linspace(0, 1, _SOLVER + 1, device=z.device)
        for now, then in pairwise(times):
            stop_if(cancelled)
            step = then - now
            velocity = self.drift(z, now.expand(b, 1))
            z = z + 0.5 * step * (velocity + self.drift(z + step * velocity, then.expand(b, 1)))
        return z * self.scale + self.centre


def _drift(settings: Settings) -> Drift:
    return Drift(settings.latent, min(settings.width, 256), settings.dropout)


@dataclass(frozen=True)
class Job:
    """One fit: how, on which rows, and who listens.

    Attributes:
        learn, check: Rows to learn from and to check by.
        batch, steps: Rows of a step, and steps of the autoencoder.
    """

    settings: Settings
    learn: Tensor
    check: Tensor
    emit: Emit
    cancelled: Cancelled
    batch: int
    steps: int

    @classmethod
    def of(cls, n: int, settings: Settings, device: torch.device, emit: Emit, cancelled: Cancelled) -> Job:
        """Plan for a table of n rows: about `_STEPS`, but at least 4 passes and at most 300."""
        learn, check = split_rows(n, device)
        batch = min(settings.batch_size or min(max(1 << int(math.log2(max(n / 40, 1))), 16), 256), len(learn))
        per_pass = len(learn) // batch
        passes = settings.epochs or min(max(round(_STEPS / per_pass), 4), 300)
        return cls(settings, learn, check, emit, cancelled, batch, per_pass * passes)

    def course(self, note: str, low: float, high: float, times: float = 1.0) -> Course:
        """A training of that many times the steps, from `low` to `high` of the stage's progress and of its seconds."""
        most = self.settings.max_seconds
        seconds = None if most is None else most * (high - low) / (_END - _START)
        return Course(math.ceil(self.steps * times), self.emit, self.cancelled, seconds, low, high, note=note)

    @property
    def optimizer_rate(self) -> float:
        """Peak of the learning rate."""
        return self.settings.learning_rate or _RATE * min(self.batch / 256, 1.0) ** 0.5


@quick_products()
def train(
    layout: Layout, cells: tuple[np.ndarray, np.ndarray], settings: Settings, *,
    emit: Emit, cancelled: Cancelled,
) -> tuple[Twin, list[str]]:
    """Train on a table's modes and places (n, columns), torch being seeded.

    Returns:
        The trained twin, and a sentence for each training that time and not the number of steps ended.
    """
    rows, device = layout.arranged(*cells), layout.placed.device
    job = Job.of(len(rows), settings, device, emit, cancelled)
    both = Autoencoder(layout, settings).to(device)
    cut = [_train_autoencoder(both, rows, job)]
    drift, centre, scale = None, torch.zeros(settings.latent, device=device), torch.ones(settings.latent, device=device)
    if settings.learned_prior:
        mean, spread = _encode_all(both, rows, cancelled)
        centre = mean.mean(0)
        scale = (mean.var(0, unbiased=False) + spread.square().mean(0)).sqrt().clamp_min(1e-6)
        drift = _drift(settings).to(device)
        cut.append(_train_prior(drift, (mean - centre) / scale, spread / scale, job))
    twin = Twin(layout, both.decoder, drift, centre, scale)
    twin.calibrate(calibration_rows(min(max(len(rows), 512), 2 * _CHUNK), settings.max_seconds), cancelled)
    return twin, [sentence for sentence in cut if sentence]


@torch.inference_mode()
def _encode_all(both: Autoencoder, rows: Rows, cancelled: Cancelled) -> tuple[Tensor, Tensor]:
    """Mean and spread (n, Z) of all rows' latents."""
    means, spreads = [], []
    for first in range(0, len(rows), _CHUNK):
        stop_if(cancelled)
        some = torch.arange(first, min(first + _CHUNK, len(rows)), device=rows.modes.device)
        mean, spread = both.encode(*rows.at(some))
        means.append(mean)
        spreads.append((0.5 * spread).exp())
    return torch.cat(means), torch.cat(spreads)


def _train_autoencoder(both: Autoencoder, rows: Rows, job: Job) -> str:
    course = job.course(" of the autoencoder", _START, _MIDDLE if job.settings.learned_prior else _END)
    rate, check, weight = job.optimizer_rate, job.check, job.settings.kl_weight
    optimizer = torch.optim.AdamW(both.parameters(), lr=rate, weight_decay=1e-4, fused=True)
    patience, suspect = Patience(_PATIENCE), Suspect(both.layout.names)
    every = max(len(job.learn) // job.batch, 25)

    seen: list[float] = []

    def over() -> bool:
        value = _elbo(both, rows, check, weight, suspect)
        seen.append(value)
        course.loss("validation", value, suspect.name)
        return patience.look(value, both)

    both.train()
    for step, picked in zip(course, batches(job.learn, job.batch), strict=False):
        set_rate(optimizer, rate * one_cycle(course.fraction))
        cells, latent = both(*rows.at(picked))
        loss = cells.sum(1).mean() + weight * min(1.0, course.fraction / _WARM) * latent.mean()
        if step % _TELL == 0 or step == course.steps - 1:
            suspect.look(cells)
            course.loss("train", loss.item(), suspect.name)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        if len(check) and (step + 1) % every == 0 and over():
            course.stop()
    if len(check) and not course.stopped:
        over()
    patience.restore(both)
    both.eval()
    return _cut_short(course, "the autoencoder", seen)


@torch.no_grad()
def _elbo(both: Autoencoder, rows: Rows, check: Tensor, weight: float, suspect: Suspect) -> float:
    """Nats of the validation rows, their latents' weighted; the latents are drawn alike each time."""
    both.eval()
    with _same_draws(check.device):
        cells, latent = both(*rows.at(check))
    both.train()
    suspect.look(cells)
    return float(cells.sum(1).mean() + weight * latent.mean())


def _train_prior(drift: Drift, mean: Tensor, spread: Tensor, job: Job) -> str:
    course = job.course(" of the prior", _MIDDLE, _END, times=1.6)
    rate, check = job.optimizer_rate, job.check
    optimizer = torch.optim.AdamW(drift.parameters(), lr=rate, weight_decay=0.0, fused=True)
    average, patience = Average(drift, 0.999), Patience(_PATIENCE)
    every = max(len(job.learn) // job.batch, 100)
    seen: list[float] = []
    drift.train()
    for step, picked in zip(course, batches(job.learn, job.batch), strict=False):
        set_rate(optimizer, rate * one_cycle(course.fraction))
        loss = _miss(drift, mean[picked], spread[picked])
        if step % _TELL == 0:
            course.loss("train_prior", loss.item())
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        average.update(drift)
        if len(check) and (step + 1) % every == 0:
            average.swap(drift)
            value = _check_prior(drift, mean[check], spread[check])
            seen.append(value)
            course.loss("validation_prior", value)
            if patience.look(value, drift):
                course.stop()
            average.swap(drift)
    average.swap(drift)
    if course.stopped:
        patience.restore(drift)
    drift.eval()
    return _cut_short(course, "the prior", seen)


def _miss(drift: Drift, mean: Tensor, spread: Tensor) -> Tensor:
    """Mean squared error of the velocity, at times that are mostly halfway, where it is hardest to tell."""
    z, noise = mean + torch.randn_like(mean) * spread, torch.randn_like(mean)
    time = torch.sigmoid(torch.randn(len(z), 1, device=z.device))
    return functional.mse_loss(drift((1 - time) * noise + time * z, time), z - noise)


@torch.no_grad()
def _check_prior(drift: Drift, mean: Tensor, spread: Tensor) -> float:
    """`_miss` on validation rows, four times over, with the same draws each time."""
    drift.eval()
    with _same_draws(mean.device):
        value = float(_miss(drift, mean.repeat(4, 1), spread.repeat(4, 1)))
    drift.train()
    return value


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def _cut_short(course: Course, what: str, falling: Sequence[float]) -> str:
    """A sentence, where time ended a training: how far it got, and by how much the last look was still better."""
    if not course.out_of_time:
        return ""
    said = f"Time ended the training of {what} at step {course.step} of {course.steps}"
    if len(falling) < 2:
        return said + "."
    gain = falling[-2] - falling[-1]
    more = f"still falling, by {gain:.2g} since the look before" if gain > 0 else "no longer falling"
    return f"{said}; its validation loss was {more}."
