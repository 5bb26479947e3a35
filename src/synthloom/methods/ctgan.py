"""`ctgan`: a conditional generative adversarial network for tables (Xu et al. 2019).

A generator makes rows out of noise and a condition, a critic tells packs of them from packs of real rows. Numbers are
encoded by modes (`_nets/modes.py`); within a mode they are spread as the column's own values are. Training rows are
drawn by the log frequency of a label or mode, so that rare ones are learnt too. See `_nets/ctgan.py`. A third net then
draws each made-up cell anew by what the others call for (`_nets/mending.py`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods._nets.modes import TableModes
from synthloom.methods._nets.params import NeuralParams, require_torch
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo, MethodParams
from synthloom.tables.conditions import put_in
from synthloom.tables.encode import TableCodec, assemble, stop_if

if TYPE_CHECKING:
    from synthloom.methods._nets.ctgan import Settings, Twin


class CtganParams(NeuralParams):
    """Parameters of `ctgan`."""

    noise: int = Field(64, ge=1, le=4096, description="Dimensions of the noise that rows are made of.")
    width: int = Field(256, ge=4, le=8192, description="Width of the hidden layers of both nets.")
    max_modes: int = Field(64, ge=2, le=1000, description="Modes that a column of numbers or times is cut into, about.")
    dropout: float = Field(
        0.05, ge=0, lt=1, description="Share of the critic's units left out in each training step; of the mender's, a "
        "fifth at least."
    )
    pack: int = Field(10, ge=1, le=100, description="Rows that the critic judges together (PacGAN).")
    loss: Literal["relativistic", "wasserstein"] = Field(
        "relativistic", description="What the nets play for: relativistic compares real and made-up rows under the "
        "same conditions; wasserstein is the paper's and needs many more epochs."
    )
    penalty_every: int = Field(
        4, ge=1, le=100, description="Steps of the critic from one gradient penalty to the next; 1 in the paper."
    )
    sweeps: int = Field(
        1, ge=0, le=100, description="Times that each cell of a made-up row is drawn anew by what the row's others "
        "call for; 0, never, in the paper."
    )


class Ctgan(Method[CtganParams]):
    """Conditional GAN over modes."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ctgan",
        title="Conditional GAN",
        summary="A generator that learns from a critic, and a mender; conditions on any columns; for many labels.",
        paper="Xu et al. 2019 (CTGAN); Lin et al. 2018 (PacGAN); Jolicoeur-Martineau 2019 (relativistic pairing); "
        "Heckerman et al. 2000 (mending)",
        aliases=("gan",),
        conditional=True,
        needs="neural",
    )
    Params: ClassVar[type[MethodParams]] = CtganParams

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """The support and the critic's dropout of each level."""
        return {
            "low": {"min_support": 5, "dropout": 0.0},
            "default": {"min_support": 15, "dropout": 0.05},
            "high": {"min_support": 30, "dropout": 0.3},
        }[level]

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Train generator and critic against each other.

        Raises:
            FitError: the table has no rows, or a loss was infinite or not a number.
            MissingDependencyError: torch is not installed.
        """
        require_torch(self.info.name)
        from synthloom.methods._nets.ctgan import train
        from synthloom.methods._nets.layout import Layout, find_gaps
        from synthloom.methods._nets.opening import open_table
        from synthloom.methods._nets.training import choose_device, seeded, time_to_train

        began = time.monotonic()
        device = choose_device(self.params.device, self.info.name)
        self._modes, cells = open_table(
            table, schema, rng, min_support=self.params.min_support, max_modes=self.params.max_modes,
            emit=emit, cancelled=cancelled,
        )
        self._gaps = find_gaps(self._modes, cells[0])
        self._twin: Twin | None = None
        if self._modes.columns:
            with seeded(rng, device):
                layout = Layout(self._modes, self._gaps, device)
                seconds = time_to_train(self.params.max_seconds, began)
                settings = replace(_settings(self.params), max_seconds=seconds)
                self._twin, late = train(layout, cells, settings, emit=emit, cancelled=cancelled)
            if late:
                emit(Notice(code="budget", message=late))
        emit(Progress(step="fit", fraction=1.0))
        return self

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw rows; given labels and the modes of given numbers go into the condition that the generator knows."""
        require_torch(self.info.name)
        if self._twin is None:
            rows = assemble({}, self._modes.codec.schema, n, rng)
        else:
            asked = n if conditions is None else self._asked(conditions, rng, cancelled)
            modes, places = self._twin.draw(asked, rng, emit, cancelled)
            rows = self._modes.decode(modes, places, rng, cancelled)
        emit(Progress(step="sample", fraction=1.0))
        if conditions is None:
            return rows
        return put_in(rows, conditions)

    def _asked(
        self, conditions: Conditions, rng: np.random.Generator, cancelled: Cancelled
    ) -> tuple[np.ndarray, np.ndarray]:
        """Modes and which of them are given, (n, columns) both; a cell that no mode stands for is not."""
        shape = (len(conditions), len(self._modes.columns))
        modes, given = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        for j, column in enumerate(self._modes.columns):
            stop_if(cancelled)
            name = column.codec.column.name
            if name in conditions:
                cells = conditions[name].reset_index(drop=True)
                level = column.codec.level_of(cells)
                given[:, j] = (level >= 0) | (level == -2) & (column.missing_mode >= 0)
                if given[:, j].any():
                    modes[:, j] = np.where(given[:, j], column.encode(cells, rng)[0], 0)
        for j, leader in self._gaps:  # what is always missing together is missing together here too
            follows = given[:, j] & (modes[:, j] == self._modes.columns[j].missing_mode) & ~given[:, leader]
            modes[follows, leader] = self._modes.columns[leader].missing_mode
            given[follows, leader] = True
        return modes, given

    def guarantee(self) -> NoGuarantee:
        """No formal promise; the rules it keeps."""
        k = self.params.min_support
        return NoGuarantee(rules=(
            f"A value that fewer than {k} records share is never released: numbers are drawn inside intervals of at "
            f"least {k} records, rarer labels are replaced by commoner ones.",
            f"The smallest and largest values released are means of {k} records each.",
            "The generator never sees a row, only what the critic makes of packs of rows; the critic is not kept.",
            *((
                "The net that mends made-up rows learns from rows with cells hidden and units left out, and stays as "
                "it was when it did best on rows held back.",
            ) if self.params.sweeps else ()),
        ))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The codec's levels and the generator's weights."""
        arrays, meta = self._modes.codec.state()
        if self._twin is not None:
            arrays |= self._twin.arrays()
        return arrays, meta | {"gaps": self._gaps}

    @classmethod
    def from_state(cls, params: CtganParams, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state, on the device that `params` names or, where it is not there, the CPU."""
        require_torch(cls.info.name)
        from synthloom.methods._nets.ctgan import Twin
        from synthloom.methods._nets.layout import Layout
        from synthloom.methods._nets.opening import fitting_modes, usable_device
        from synthloom.methods._nets.training import seeded

        method = cls(params)
        codec = TableCodec.from_state(schema, arrays, meta)
        method._modes = TableModes.of(codec, fitting_modes(params.max_modes, len(codec.columns)))
        method._gaps = [[int(j) for j in pair] for pair in meta["gaps"]]
        method._twin = None
        if codec.columns:
            device = usable_device(params.device, cls.info.name)
            with seeded(np.random.default_rng(0), device):  # fresh weights are drawn only to be replaced
                layout = Layout(method._modes, method._gaps, device)
                method._twin = Twin.new(layout, _settings(params)).load(arrays)
        return method


def _settings(params: CtganParams) -> Settings:
    from synthloom.methods._nets.ctgan import Settings

    return Settings(
        params.noise, params.width, params.dropout, params.pack, params.penalty_every, params.loss == "relativistic",
        params.sweeps, params.epochs, params.batch_size, params.learning_rate, params.max_seconds,
    )
