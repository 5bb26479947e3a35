"""`ddpm`: diffusion models of tables: a cascade of masked and flow diffusion, and TabDDPM as published.

The cascade first makes every column's mode (a label, a value that many share, a stretch of numbers) by masked discrete
diffusion, then the places inside the modes by a flow that starts from independence. The classic recipe is that of
Kotelnikov et al. (2023). The nets are in `_nets/ddpm.py` and `_nets/ddpm_classic.py`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from synthloom.domain.errors import FitError, ParamsError
from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods._nets.modes import TableModes
from synthloom.methods._nets.params import NeuralParams, require_torch
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo
from synthloom.tables.conditions import put_in
from synthloom.tables.encode import TableCodec, stop_if

if TYPE_CHECKING:
    import torch

    from synthloom.methods._nets.ddpm import Cascade
    from synthloom.methods._nets.ddpm_classic import Classic
    from synthloom.methods._nets.diffusion import Settings

_MOST_LOGITS = 16_384
"""About how many modes all columns together may have; with more columns, each has fewer."""
_MOST_CELLS = 65_536
"""Cells in a batch at most: wide tables take fewer rows at a time."""
_CHUNK, _CHUNK_LOGITS = 8192, 16_000_000
"""Rows drawn at a time, and their logits, at most."""
_DEFAULT_SIZE = {"cascade": (256, 2, 2e-3, 256), "classic": (256, 3, 1e-3, 1024)}
"""Width, depth, learning rate and largest batch of each recipe."""
_STEPS = {"cascade": 3000, "classic": 12_000}
"""Steps that a training is planned for."""
_MOST_EPOCHS = {"cascade": 60, "classic": 600}


class DdpmParams(NeuralParams):
    """Parameters of `ddpm`."""

    recipe: Literal["cascade", "classic"] = Field(
        "cascade", description="cascade: masked diffusion of modes, then a flow inside them; classic: TabDDPM as "
        "published, quantile-normal numbers with Gaussian noise and multinomial labels."
    )
    width: int | None = Field(None, ge=8, le=8192, description="Units of each layer; none: the recipe's (256).")
    depth: int | None = Field(
        None, ge=1, le=32, description="cascade: residual blocks; classic: layers. None: the recipe's (2; 3)."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of units left out in each training step.")
    max_modes: int = Field(
        64, ge=2, le=256, description="cascade: most modes of a column on a line, beside those of single shared values."
    )
    timesteps: int = Field(1000, ge=2, le=100_000, description="classic: steps of noise that the net is trained for.")
    sampling_steps: int | None = Field(
        None, ge=1, le=100_000, description="Steps to draw rows in. cascade: none for one a column, 64 at most; "
        "classic: none for 50; as many as `timesteps` for the published sampling of every step."
    )


class Ddpm(Method[DdpmParams]):
    """Diffusion over modes and places, or as published."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ddpm",
        title="Tabular diffusion",
        summary="Uncovers hidden cells one by one and lets numbers flow into place; high fidelity, hardly memorises, "
        "conditions on any columns.",
        paper="Kotelnikov et al. 2023 (TabDDPM); Austin et al. 2021, Sahoo et al. 2024 (masked diffusion); Lipman et "
        "al. 2023 (flow matching)",
        aliases=("tabddpm", "diffusion"),
        conditional=True,
        needs="neural",
    )
    Params: ClassVar[type[DdpmParams]] = DdpmParams

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """Support and dropout of each level."""
        return {
            "low": {"min_support": 5, "dropout": 0.1},
            "default": {"min_support": 15, "dropout": 0.3},
            "high": {"min_support": 30, "dropout": 0.35},
        }[level]

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Learn by gradient descent, with early stopping on a tenth of the rows."""
        require_torch("ddpm")
        from synthloom.methods._nets import diffusion
        from synthloom.methods._nets.training import Course, choose_device, seeded, time_to_train

        began = time.monotonic()
        if not len(table):
            raise FitError("the table has no rows.", do="Give at least one row.")
        params = self.params
        emit(Progress(step="fit", fraction=0.0, message="encoding columns"))
        share = max(_MOST_LOGITS // max(len(schema.modelled), 1), 16)
        self._codec = TableCodec.fit(
            table, schema, min_support=params.min_support, max_codes=min(256, share), cancelled=cancelled
        )
        for name in self._codec.suppressed:
            emit(Notice(
                code="suppressed", column=name,
                message=f"No value of {name!r} is shared by {params.min_support} records; its cells are left empty.",
            ))
        self._modes = self._make_modes()
        modes, places = self._modes.encode(table, rng, cancelled)
        emit(Progress(step="fit", fraction=0.1, message="columns encoded"))
        self._together = diffusion.missing_together(modes, [c.missing_mode for c in self._modes.columns])
        self._settings = self._choose(len(table))
        device = choose_device(params.device, "ddpm")
        with seeded(rng, device) as generator:
            self._build(device)
            if self._net is not None:
                rows = self._layout.rows(modes, places)
                steps = diffusion.steps_of(len(rows), self._settings)
                course = Course(steps, emit, cancelled, time_to_train(params.max_seconds, began, share=1))
                diffusion.train(self._net.parts, rows, self._layout, self._settings, course=course, generator=generator)
        emit(Progress(step="fit", fraction=1.0))
        return self

    def _make_modes(self) -> TableModes:
        """Modes of the columns; the classic recipe has one for all numbers."""
        if self.params.recipe == "classic":
            return TableModes.of(self._codec, 1)
        share = _MOST_LOGITS // max(len(self._codec.columns), 1)
        return TableModes.of(self._codec, min(self.params.max_modes, max(share, 8)))

    def _choose(self, n: int) -> Settings:
        """Sizes and lengths for n rows, where they are left open."""
        from synthloom.methods._nets.diffusion import Settings

        params = self.params
        width, depth, rate, most = _DEFAULT_SIZE[params.recipe]
        fitting = min(most, max(n // 40, 16), max(_MOST_CELLS // max(len(self._codec.columns), 1), 16))
        batch = params.batch_size or 2 ** int(np.log2(fitting))
        epochs = int(np.clip(_STEPS[params.recipe] * batch // n, 1, _MOST_EPOCHS[params.recipe]))
        return Settings(
            width=params.width or width, depth=params.depth or depth, dropout=params.dropout,
            epochs=params.epochs or epochs, batch_size=batch, learning_rate=params.learning_rate or rate,
        )

    def _build(self, device: torch.device) -> None:
        """Nets with fresh weights; none where no column is modelled."""
        from synthloom.methods._nets.ddpm import Cascade
        from synthloom.methods._nets.ddpm_classic import Classic
        from synthloom.methods._nets.diffusion import Layout

        self._device = device
        self._layout = Layout(self._modes, self._together, device)
        net: Cascade | Classic | None = None
        if self._modes.columns and self.params.recipe == "classic":
            net = Classic(self._layout, self._settings, self.params.timesteps).to(device)
        elif self._modes.columns:
            net = Cascade(self._layout, self._settings).to(device)
        self._net = net

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw rows; fixed cells are known from the first step on, and the others are drawn given them."""
        require_torch("ddpm")
        from synthloom.methods._nets.training import seeded

        modes, places, known = self._known(n, conditions, rng, cancelled)
        chunk = max(min(_CHUNK, _CHUNK_LOGITS // max(self._layout.blocks.width, 1)), 64)
        with seeded(rng, self._device) as generator:
            for first in range(0, n, chunk):
                part = slice(first, min(first + chunk, n))

                def tick(done: float, part: slice = part) -> None:
                    stop_if(cancelled)
                    share = (part.start + done * (part.stop - part.start)) / n
                    emit(Progress(step="sample", fraction=0.9 * share))

                tick(0.0)
                modes[part], places[part] = self._draw(modes[part], places[part], known[part], generator, tick)
        rows = self._modes.decode(modes, places, rng, cancelled)
        emit(Progress(step="sample", fraction=1.0))
        if conditions is None:
            return rows
        return put_in(rows, conditions)

    def _draw(
        self, modes: np.ndarray, places: np.ndarray, known: np.ndarray, generator: torch.Generator, tick: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        import torch

        if self._net is None:
            return modes, places
        seen = torch.from_numpy(known[:, self._layout.blocks.order]).to(self._device)
        rows = self._layout.rows(modes, places)
        made = self._net.draw(rows, seen, self.params.sampling_steps, generator, tick)
        return self._layout.table(*made, generator)

    def _known(
        self, n: int, conditions: Conditions | None, rng: np.random.Generator, cancelled: Cancelled
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Modes, places and which of them are fixed (n, columns); a fixed value the net has no mode for is not."""
        shape = (n, len(self._modes.columns))
        modes, places, known = np.zeros(shape, np.int64), np.full(shape, 0.5, np.float32), np.zeros(shape, bool)
        for j, column in enumerate(self._modes.columns):
            stop_if(cancelled)
            name = column.codec.column.name
            if conditions is not None and name in conditions:
                cells = conditions[name].reset_index(drop=True)
                level = column.codec.level_of(cells)
                none = ((level == -2) & (column.missing_mode < 0)) | ((level == -1) & (column.pool_mode < 0))
                if not none.all():
                    modes[:, j], places[:, j] = column.encode(cells, rng)
                known[:, j] = ~none
                modes[none, j] = 0
        return modes, places, known

    def guarantee(self) -> NoGuarantee:
        """No formal promise; the rules it keeps."""
        k = self.params.min_support
        return NoGuarantee(rules=(
            f"A value that fewer than {k} records share is never released: numbers are drawn inside intervals of at "
            f"least {k} records, rarer labels are replaced by commoner ones.",
            f"The smallest and largest values released are means of {k} records each.",
            f"Training leaves out {self.params.dropout:.0%} of the units at random and stops when records kept back "
            "are no longer predicted better.",
        ))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The codec's levels and the nets' weights."""
        from synthloom.methods._nets.training import weights_to_arrays

        arrays, meta = self._codec.state()
        if self._net is not None:
            arrays |= weights_to_arrays(self._net, "net.")
        own = {"width": self._settings.width, "depth": self._settings.depth, "together": self._together}
        return arrays, meta | own

    @classmethod
    def from_state(cls, params: DdpmParams, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state; on the CPU where the device it was trained on is not there."""
        require_torch("ddpm")
        from synthloom.methods._nets.diffusion import Settings
        from synthloom.methods._nets.training import arrays_to_weights, choose_device, seeded

        method = cls(params)
        method._codec = TableCodec.from_state(schema, arrays, meta)
        method._modes = method._make_modes()
        method._together = [list(group) for group in meta["together"]]
        method._settings = Settings(int(meta["width"]), int(meta["depth"]), params.dropout, 1, 1, 1e-3)
        try:
            device = choose_device(params.device, "ddpm")
        except ParamsError:
            device = choose_device("cpu", "ddpm")
        with seeded(np.random.default_rng(0), device):  # weights are drawn only to be replaced
            method._build(device)
        if method._net is not None:
            arrays_to_weights(method._net, "net.", arrays)
        return method
