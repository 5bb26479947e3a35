"""What both recipes of `ddpm` share: rows as tensors, the trunk of the nets, and one training for all their parts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synthloom.domain.event import Notice
from synthloom.methods._nets.blocks import Blocks
from synthloom.methods._nets.layers import Smooth
from synthloom.methods._nets.modes import TableModes
from synthloom.methods._nets.products import quick_products
from synthloom.methods._nets.training import Average, Course, Patience, one_cycle, set_rate

_EDGE = 1e-4
"""Places this near 0 or 1 are taken as that far from them: beyond, a normal score says nothing more."""
WAVES = 8
"""Pairs of sine and cosine that tell a net the time."""
_VALIDATION, _MOST_VALIDATION = 0.1, 2500
_LEAST_FOR_VALIDATION = 100
"""Rows below which none are kept back: a validation loss of ten rows or fewer says nothing."""
_TELL_STEPS = 20
"""Steps between two training losses told."""
_LOOKS, _PATIENCE = 40, 8
"""Looks at the validation loss in a whole course; so many in a row without a gain end it early."""
_HARDEST = 1.0
"""Norm at which gradients are cut."""


@dataclass(frozen=True)
class Settings:
    """How a net is built and trained; everything chosen, nothing left open."""

    width: int
    depth: int
    dropout: float
    epochs: int
    batch_size: int
    learning_rate: float
    average: float = 0.995
    weight_decay: float = 0.02


@dataclass(frozen=True)
class Rows:
    """Rows as a net sees them.

    Attributes:
        modes: (rows, columns) int64, columns in the blocks' order.
        scores: (rows, lines) float32 normal scores of the places of columns on a line.
        within: (rows, lines) float32, 1 where the row's mode has places, else 0.
    """

    modes: Tensor
    scores: Tensor
    within: Tensor

    def __len__(self) -> int:
        return len(self.modes)

    def take(self, index: Tensor) -> Rows:
        """Some rows."""
        return Rows(*(cells.index_select(0, index) for cells in (self.modes, self.scores, self.within)))


class Layout:
    """Where columns lie for the nets, and table modes and places as `Rows` and back.

    Attributes:
        blocks: The columns' modes among logits.
        sizes: (columns,) modes of each column, in the blocks' order.
        on_line: Columns on a line, counted in the blocks' order, of three levels' modes or more.
        ranked: (columns,) modes of each column that stand for levels, from low to high on a line.
        lines: Columns with places, counted in the blocks' order.
        links: (linked,) int64 columns whose cells are always missing together with another's, blocks' order.
        groups: (linked,) int64 which of them go together, from 0.
        gone: (columns,) int64 each column's mode of missing cells; -1: none.
    """

    def __init__(self, modes: TableModes, together: Sequence[Sequence[int]], device: torch.device) -> None:
        own = [column.size for column in modes.columns]
        self.device = device
        self.blocks = Blocks(own, device)
        self.names: list[str] = [modes.columns[j].codec.column.name for j in self.blocks.order]
        self.sizes = [own[j] for j in self.blocks.order]
        self.ranked = [modes.columns[j].n_level_modes for j in self.blocks.order]
        self.on_line = [
            place for place, j in enumerate(self.blocks.order)
            if modes.columns[j].codec.column.kind.is_numeric and self.ranked[place] > 2
        ]
        places = [modes.columns[j].has_place for j in self.blocks.order]
        self.lines = [j for j, has in enumerate(places) if has.any()]
        place = np.argsort(self.blocks.order)
        self.links = torch.tensor([place[j] for group in together for j in group], dtype=torch.int64, device=device)
        which = [g for g, group in enumerate(together) for _ in group]
        self.groups = torch.tensor(which, dtype=torch.int64, device=device)
        gone = [modes.columns[j].missing_mode for j in self.blocks.order]
        self.gone = torch.tensor(gone, dtype=torch.int64, device=device)
        size = max((self.sizes[j] for j in self.lines), default=0)
        has_place = np.zeros((len(self.lines), size), dtype=np.float32)
        for line, j in enumerate(self.lines):
            has_place[line, : self.sizes[j]] = places[j]
        self._has_place = torch.from_numpy(has_place).to(device)
        self._order = torch.from_numpy(self.blocks.order).to(device)
        self._lines = torch.tensor(self.lines, dtype=torch.int64, device=device)

    def within(self, modes: Tensor) -> Tensor:
        """(rows, lines) float32: 1 where modes (rows, columns), in the blocks' order, have places."""
        return self._has_place.T.gather(0, modes[:, self._lines]) if self.lines else modes[:, :0].float()

    def rows(self, modes: np.ndarray, places: np.ndarray) -> Rows:
        """Rows of table modes and places (rows, columns), the table's order."""
        ordered = torch.from_numpy(modes).to(self.device)[:, self._order]
        near = torch.from_numpy(places).to(self.device)[:, self._order[self._lines]]
        scores = torch.special.ndtri(near.clamp(_EDGE, 1 - _EDGE))
        return Rows(ordered, scores, self.within(ordered))

    def table(self, modes: Tensor, scores: Tensor, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Table modes and places (rows, columns) of drawn modes (blocks' order) and scores."""
        places = torch.rand(modes.shape, generator=generator, device=self.device)
        places[:, self._lines] = torch.special.ndtr(scores)
        back = torch.argsort(self._order)
        return modes[:, back].cpu().numpy(), places[:, back].cpu().numpy()


def missing_together(codes: np.ndarray, missing: Sequence[int]) -> list[list[int]]:
    """Groups of columns that are missing in the same rows, of two columns or more.

    Args:
        codes: (rows, columns) modes.
        missing: (columns,) each one's mode of missing cells; -1: none.
    """
    found: dict[bytes, list[int]] = {}
    for j, mode in enumerate(missing):
        if mode >= 0:
            found.setdefault(np.packbits(codes[:, j] == mode).tobytes(), []).append(j)
    return [group for group in found.values() if len(group) > 1]


class Cells(nn.Module):
    """The sum of one vector per cell: (rows, columns) modes → (rows, width); `spare` more modes for each column."""

    first: Tensor

    def __init__(self, layout: Layout, width: int, spare: int = 0) -> None:
        super().__init__()
        counts = np.asarray(layout.sizes, dtype=np.int64) + spare
        first = np.cumsum(counts) - counts
        self.register_buffer("first", torch.from_numpy(first), persistent=False)
        begin, many = [int(first[j]) for j in layout.on_line], [layout.ranked[j] for j in layout.on_line]
        scale = 1 / math.sqrt(max(len(counts), 1))
        self.vectors = Smooth(begin, many, int(counts.sum()), width, scale)

    def forward(self, modes: Tensor) -> Tensor:
        """Vectors of the cells, added up."""
        return nn.functional.embedding_bag(modes + self.first, self.vectors(), mode="sum")


def waves(time: Tensor) -> Tensor:
    """(rows, 16) sines and cosines of times (rows, 1) in 0 to 1."""
    angles = time * (torch.arange(1, WAVES + 1, device=time.device) * (math.pi / 2))
    return torch.cat([angles.cos(), angles.sin()], 1)


class Part(nn.Module, ABC):
    """A net that learns one thing about rows."""

    what: str

    @abstractmethod
    def losses(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """(columns,) or (lines,) mean loss of each column, with noise drawn from `generator`."""

    @abstractmethod
    def column(self, index: int) -> int:
        """The column (blocks' order) of a loss."""


class _Learner:
    """One part in training."""

    def __init__(self, part: Part, settings: Settings, device: torch.device) -> None:
        self.part = part
        self._weights = list(part.parameters())
        self.optimizer = torch.optim.AdamW(
            self._weights, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay,
            fused=device.type != "mps",
        )
        self.average = Average(part, settings.average)
        self.patience = Patience(_PATIENCE)
        self.told = torch.zeros(0)
        self.before = math.inf
        self.tired = False
        self._half = device.type

    def step(self, rows: Rows, rate: float, generator: torch.Generator) -> None:
        set_rate(self.optimizer, rate)
        with torch.autocast(self._half, dtype=torch.bfloat16, enabled=self._half == "cuda"):
            losses = self.part.losses(rows, generator)
        self.optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights, _HARDEST, foreach=self._half != "mps")
        self.optimizer.step()
        self.average.update(self.part)
        self.told = losses.detach()

    @torch.inference_mode()
    def validate(self, rows: Rows, generator: torch.Generator, look: Callable[[], None]) -> float:
        """Mean loss of the averaged weights; takes note of it."""
        self.average.swap(self.part)
        self.part.eval()
        total = 0.0
        for index in torch.split(torch.arange(len(rows), device=rows.modes.device), 1024):
            look()
            total += float(self.part.losses(rows.take(index), generator).mean()) * len(index)
        self.before = self.patience.best
        self.tired = self.patience.look(total / len(rows), self.part)
        self.part.train()
        self.average.swap(self.part)
        return total / len(rows)

    def finish(self) -> None:
        """Put the best averaged weights in; where there was no validation, the last ones."""
        self.average.swap(self.part)
        self.patience.restore(self.part)
        self.part.eval()
        self.part.requires_grad_(requires_grad=False)


@quick_products()
def train(
    parts: Sequence[Part], rows: Rows, layout: Layout, settings: Settings, *, course: Course,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Train parts side by side on the same batches, with averaged weights and early stopping on rows kept back.

    Args:
        parts: Nets on the layout's device.
        rows: All training rows; a tenth of them, 2,500 at most, are kept back for validation.
        layout: Names columns.
        settings: The training's.
        course: Its way through the steps (`steps_of`).
        generator: On the layout's device.

    Returns:
        What happened: steps, best validation losses.

    Raises:
        FitError: a loss is infinite or not a number.
    """
    n = len(rows)
    shuffled = torch.randperm(n, generator=generator, device=layout.device)
    kept, used = shuffled[: validation_rows(n)], shuffled[validation_rows(n) :]
    validation = rows.take(kept)
    learners = [_Learner(part.train(), settings, layout.device) for part in parts]
    seed = int(torch.randint(2**31, (1,), generator=generator, device=layout.device))
    per_epoch = batches(n, settings)
    every = max(1, course.steps // _LOOKS)
    for step in course:
        at = step % per_epoch
        if at == 0:
            order = used[torch.randperm(len(used), generator=generator, device=layout.device)]
        batch = rows.take(order[at * settings.batch_size : (at + 1) * settings.batch_size])
        rate = settings.learning_rate * one_cycle(course.fraction)
        for learner in learners:
            learner.step(batch, rate, generator)
        if step % _TELL_STEPS == 0 or step == course.steps - 1:
            _tell(learners, course, rows, layout)
        if len(kept) and (step + 1) % every == 0:
            same = torch.Generator(device=layout.device).manual_seed(seed)
            for learner in learners:
                course.loss(f"validation ({learner.part.what})", learner.validate(validation, same, course.look))
            if all(learner.tired for learner in learners):
                course.stop()
    if course.out_of_time:
        course.emit(Notice(code="budget", message=_what_more_would_buy(learners, course)))
    for learner in learners:
        learner.finish()
    return {"steps": course.step, "validation": {x.part.what: x.patience.best for x in learners if x.patience.weights}}


def _tell(learners: list[_Learner], course: Course, rows: Rows, layout: Layout) -> None:
    """Tell the training loss of each part; a loss gone wrong names the column that most likely did it."""
    for learner in learners:
        told = learner.told

        def suspect(part: Part = learner.part, told: Tensor = told) -> str | None:
            odd = ~torch.isfinite(rows.scores).all(0)
            if odd.any():
                return layout.names[layout.lines[int(odd.nonzero()[0])]]
            bad = torch.nan_to_num(told, nan=math.inf, posinf=math.inf)
            return layout.names[part.column(int(bad.argmax()))]

        course.loss(f"train ({learner.part.what})", float(told.mean()) if len(told) else 0.0, suspect)


def _what_more_would_buy(learners: list[_Learner], course: Course) -> str:
    done = f"Training ended with its time, after {course.step} of {course.steps} steps"
    falling = [
        f"{x.before - x.patience.best:.4f} ({x.part.what})" for x in learners
        if math.isfinite(x.before) and not x.patience.bad
    ]
    if not falling:
        return f"{done}. The whole course would take about {course.seconds * course.steps / max(course.step, 1):.0f} s."
    return (
        f"{done}; the validation loss was still falling, by {' and '.join(falling)} from one look to the next. The "
        f"whole course would take about {course.seconds * course.steps / max(course.step, 1):.0f} s."
    )


def validation_rows(n: int) -> int:
    """Rows kept back for validation out of n."""
    return min(int(n * _VALIDATION), _MOST_VALIDATION) if n >= _LEAST_FOR_VALIDATION else 0


def batches(n: int, settings: Settings) -> int:
    """Batches of an epoch over n rows, those kept back left out."""
    return max(1, (n - validation_rows(n)) // settings.batch_size)


def steps_of(n: int, settings: Settings) -> int:
    """Steps of a training on n rows."""
    return settings.epochs * batches(n, settings)
