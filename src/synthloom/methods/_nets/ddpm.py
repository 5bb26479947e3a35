"""The nets of `ddpm`'s cascade: masked diffusion over all columns' modes, then a flow for the places inside them.

Modes (Austin et al. 2021; Sahoo et al. 2024; Shi et al. 2024). The forward process hides cells one by one; a net that
sees the others says what a hidden cell was. Its bound on the likelihood is the mean cross-entropy over the hidden
cells of a row, with their number even from 1 to all. Backwards, cells are uncovered in an order drawn for every row.

Places (Lipman et al. 2023; Karras et al. 2022). Given its mode a cell's place is a normal score, so noise and data have
the same distribution column by column. With x = (1 - t) ε + t z the velocity is split into what holds for independent
columns and a remainder of variance 1 / q, q = t² + (1 - t)², which the net learns: a net that says nothing gives
places that are independent given the modes, and it need only learn what is left of dependence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from synthloom.methods._nets.diffusion import WAVES, Cells, Layout, Part, Rows, Settings, waves
from synthloom.methods._nets.layers import Smooth, Trunk
from synthloom.methods._nets.products import quick_products

_NARROW = 64
"""Columns up to which cells are uncovered one at a time; beyond, so many steps are taken, with several cells each."""
_FLOW_STEPS = 12
_FLOW_WIDTH, _FLOW_DEPTH, _FLOW_DROPOUT = 128, 1, 0.3
"""Smaller and more regular than the net of modes: places know less of one another, and more of them is noise."""
Tick = Callable[[float], None]


class MaskedModes(Part):
    """What each hidden cell's mode was, given the rest of the row."""

    what = "modes"

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__()
        self.layout = layout
        self.cells = Cells(layout, settings.width, spare=1)
        self.trunk = Trunk(settings.width, settings.depth, settings.dropout)
        first = layout.blocks.first.tolist()
        self.out = Smooth(
            [first[j] for j in layout.on_line], [layout.ranked[j] for j in layout.on_line], layout.blocks.width,
            settings.width, 0.01,
        )
        self.bias = nn.Parameter(torch.zeros(layout.blocks.width))
        self.register_buffer("hidden", torch.tensor(layout.sizes, dtype=torch.int64), persistent=False)
        self.hidden: Tensor

    def column(self, index: int) -> int:
        """Losses are one a column."""
        return index

    def read(self, modes: Tensor, hidden: Tensor) -> Tensor:
        """(rows, width) what is seen of modes (rows, columns) where `hidden` (rows, columns) covers some."""
        read: Tensor = self.trunk(self.cells(torch.where(hidden, self.hidden, modes)))
        return read

    def logits(self, modes: Tensor, hidden: Tensor) -> Tensor:
        """(rows, width of the blocks) of what every cell is."""
        bias = self.bias + self.layout.blocks.padding
        return nn.functional.linear(self.read(modes, hidden), self.out(), bias).float()

    def losses(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """(columns,) nats of each column's hidden cells; the mean over all is the bound over the columns' number."""
        n, columns = rows.modes.shape
        uniform = torch.rand(1, generator=generator, device=rows.modes.device)
        spread = (torch.arange(n, device=rows.modes.device) + uniform) / n
        many = (spread * columns).long().clamp_(max=columns - 1) + 1  # 1 to all, evenly, in every batch
        keys = torch.rand(n, columns, generator=generator, device=rows.modes.device)
        hidden = keys <= keys.sort(1).values.gather(1, many[:, None] - 1)
        logits = self.logits(rows.modes, hidden)
        nats = self.layout.blocks.cross_entropy(logits, rows.modes)
        return (nats * (hidden / many[:, None])).mean(0) * columns

    def draw(
        self, modes: Tensor, hidden: Tensor, steps: int | None, generator: torch.Generator, tick: Tick
    ) -> Tensor:
        """Uncover hidden cells, in an order of its own in each row.

        Args:
            modes: (rows, columns) what is known; anything where `hidden`.
            hidden: (rows, columns) bool.
            steps: Steps to uncover all columns in; None: one for each column, 64 at most.
            generator: Of all randomness.
            tick: Called with the share done before each step.
        """
        n, columns = modes.shape
        steps = min(steps or _NARROW, columns)
        keys = torch.rand(n, columns, generator=generator, device=modes.device)
        turn = keys.masked_fill(~hidden, 2.0).argsort(1).argsort(1)  # known cells come last, whatever their turn
        gaps = _Gaps(self.layout, modes, ~hidden, turn)
        step = 0
        while bool(hidden.any()):
            tick(min(step / steps, 1.0))
            step += 1
            now = hidden & (turn < step * columns // steps)
            logits = self.logits(modes, hidden)
            uniforms = torch.rand(n, columns, generator=generator, device=modes.device)
            drawn = self.layout.blocks.draw(gaps.heed(logits), uniforms)
            modes = torch.where(now, torch.minimum(drawn, self.hidden - 1), modes)
            hidden = hidden & ~gaps.settle(modes, now)
        return modes


class _Gaps:
    """Columns that are always missing together: what one of them is, missing or filled, the others of its group are.

    Groups of a row are undecided (0), filled (1) or missing (2); the first cell known or uncovered decides.
    """

    def __init__(self, layout: Layout, modes: Tensor, known: Tensor, turn: Tensor) -> None:
        self._links, self._groups, self._turn = layout.links, layout.groups, turn
        self._gone = layout.gone[layout.links]
        self._logit = layout.blocks.first[layout.links] + self._gone
        many = int(self._groups.max()) + 1 if len(self._groups) else 0
        self._state = torch.zeros(len(modes), many, dtype=torch.int64, device=modes.device)
        self.settle(modes, known)

    def heed(self, logits: Tensor) -> Tensor:
        """Logits (rows, width) that let cells of decided groups be only what their group is."""
        if len(self._links):
            decided = torch.tensor([0.0, -1e8, 1e8], device=logits.device)[self._state[:, self._groups]]
            logits[:, self._logit] += decided
        return logits

    def settle(self, modes: Tensor, now: Tensor) -> Tensor:
        """Let the cells uncovered `now` (rows, columns) decide their groups; returns those that may stand."""
        if not len(self._links):
            return now
        fresh, gone = now[:, self._links], modes[:, self._links] == self._gone
        late = now.shape[1]
        turn = torch.where(fresh, self._turn[:, self._links], late)
        group = self._groups.expand(len(now), -1)
        first = torch.full_like(self._state, late).scatter_reduce_(1, group, turn, "amin")
        decides = fresh & (turn == first.gather(1, group))
        missing = torch.zeros_like(self._state).scatter_add_(1, group, (decides & gone).long())
        self._state = torch.where((self._state == 0) & (first < late), 1 + missing.clamp_(max=1), self._state)
        fits = gone == (self._state[:, self._groups] == 2)
        return now.index_copy(1, self._links, fresh & fits)


class PlaceFlow(Part):
    """The velocity of places' normal scores from noise to data, given all modes."""

    what = "places"

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__()
        self.layout = layout
        width, lines = min(settings.width, _FLOW_WIDTH), len(layout.lines)
        self.cells = Cells(layout, width)
        self.scores = nn.Linear(lines, width)
        self.time = nn.Linear(2 * WAVES, width)
        self.trunk = Trunk(width, _FLOW_DEPTH, max(settings.dropout, _FLOW_DROPOUT) if settings.dropout else 0.0)
        self.out = nn.Linear(width, lines)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def column(self, index: int) -> int:
        """Losses are one a column on a line."""
        return self.layout.lines[index]

    def remainder(self, read: Tensor, scores: Tensor, time: Tensor) -> Tensor:
        """(rows, lines) what the velocity is beyond that of independent columns, of unit size."""
        seen = read + self.scores(scores) + self.time(waves(time))
        remainder: Tensor = self.out(self.trunk(seen))
        return remainder

    def losses(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """(lines,) squared error of the remainder, over the cells that have a place."""
        n = len(rows)
        uniform = torch.rand(1, generator=generator, device=rows.modes.device)
        time = ((torch.randperm(n, generator=generator, device=rows.modes.device) + uniform) / n)[:, None]
        noise = torch.randn(rows.scores.shape, generator=generator, device=rows.modes.device)
        x, q = (1 - time) * noise + time * rows.scores, time**2 + (1 - time) ** 2
        target = (rows.scores - noise - x * (2 * time - 1) / q) * q.sqrt()
        made = self.remainder(self.cells(rows.modes), x, time).float()
        return ((made - target) ** 2 * rows.within).sum(0) / max(n, 1)

    def draw(
        self, modes: Tensor, known: Tensor, scores: Tensor, steps: int | None, *, generator: torch.Generator, tick: Tick
    ) -> Tensor:
        """Normal scores of places by Heun's method.

        Args:
            modes: (rows, columns) all modes.
            known: (rows, lines) bool: cells whose score is given.
            scores: (rows, lines) those given; they are led along their own straight paths from noise.
            steps: Steps from noise to data; None: 12.
            generator: Of all randomness.
            tick: Called with the share done before each step.
        """
        within, read = self.layout.within(modes), self.cells(modes)
        noise = torch.randn(scores.shape, generator=generator, device=scores.device)
        x = noise
        times = np.linspace(0, 1, (steps or _FLOW_STEPS) + 1)

        def velocity(x: Tensor, at: float) -> Tensor:
            time = torch.full((len(x), 1), at, device=x.device)
            q = at**2 + (1 - at) ** 2
            moved: Tensor = x * ((2 * at - 1) / q) + self.remainder(read, x, time) * within / q**0.5
            return moved

        for before, after in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            tick(before)
            first = velocity(x, before)
            second = velocity(x + (after - before) * first, after)
            x = x + (after - before) / 2 * (first + second)
            x = torch.where(known, (1 - after) * noise + after * scores, x)
        return x


class Cascade(nn.Module):
    """Both nets together."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        super().__init__()
        self.modes = MaskedModes(layout, settings)
        self.places = PlaceFlow(layout, settings) if layout.lines else None

    @property
    def parts(self) -> list[Part]:
        """What is to be trained."""
        return [self.modes] if self.places is None else [self.modes, self.places]

    @quick_products()
    @torch.inference_mode()
    def draw(
        self, rows: Rows, known: Tensor, steps: int | None, generator: torch.Generator, tick: Tick
    ) -> tuple[Tensor, Tensor]:
        """Modes (rows, columns) and scores (rows, lines), both in the blocks' order.

        Args:
            rows: What is known.
            known: (rows, columns) bool: cells to keep.
            steps: Steps for modes and, at most, for places; None: chosen.
            generator: Of all randomness.
            tick: Called with the share done, often.
        """
        share = 0.7 if self.places else 1.0
        modes = self.modes.draw(rows.modes, ~known, steps, generator, lambda done: tick(share * done))
        if self.places is None:
            return modes, rows.scores
        held = known[:, self.places.layout.lines]
        flow = None if steps is None else min(steps, _FLOW_STEPS)
        scores = self.places.draw(
            modes, held, rows.scores, flow, generator=generator, tick=lambda done: tick(share + (1 - share) * done)
        )
        return modes, scores
