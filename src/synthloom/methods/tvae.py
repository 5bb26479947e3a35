"""`tvae`: a variational autoencoder for tables (Xu et al. 2019), with a learned prior.

An encoder writes each row as a point in a small latent space, a decoder reads the point back as a distribution over
every column. Numbers are encoded by mode and place (`_nets/modes.py`), drawn and not rounded to the likeliest. Where
the paper draws new points from a normal distribution, a second small net learns where rows lie (`_nets/tvae.py`):
that is most of the difference in fidelity; `prior="normal"` is the paper's.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from synthloom.domain.errors import ParamsError
from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods._nets.modes import TableModes
from synthloom.methods._nets.params import NeuralParams, require_torch
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo, MethodParams
from synthloom.tables.encode import TableCodec, assemble

if TYPE_CHECKING:
    from synthloom.methods._nets.tvae import Settings, Twin


class TvaeParams(NeuralParams):
    """Parameters of `tvae`."""

    latent: int = Field(24, ge=1, le=1024, description="Dimensions of the latent space.")
    width: int = Field(384, ge=4, le=8192, description="Width of the hidden layers.")
    max_modes: int = Field(64, ge=2, le=1000, description="Modes that a column of numbers or times is cut into, about.")
    kl_weight: float = Field(
        0.25, ge=0, le=100, description="Weight of the latents' cost: higher is smoother and tells less of single rows."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units left out in each training step.")
    prior: Literal["learned", "normal"] = Field(
        "learned", description="Where latents of new rows come from: a second net that learns it, or, as in the paper, "
        "the normal distribution."
    )


class Tvae(Method[TvaeParams]):
    """Variational autoencoder over modes and places."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="tvae",
        title="Variational autoencoder",
        summary="Rows as points of a latent space, drawn there by a second net; good on numbers, seconds to sample.",
        paper="Xu et al. 2019 (TVAE); Dai & Wipf 2019 (two-stage VAE); Lipman et al. 2023 (flow matching)",
        aliases=("vae",),
        needs="neural",
    )
    Params: ClassVar[type[MethodParams]] = TvaeParams

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """The support, latents' cost and dropout of each level."""
        return {
            "low": {"min_support": 5, "kl_weight": 0.1, "dropout": 0.0},
            "default": {"min_support": 15, "kl_weight": 0.25, "dropout": 0.0},
            "high": {"min_support": 30, "kl_weight": 0.5, "dropout": 0.1},
        }[level]

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Train the autoencoder, then the prior over its latents.

        Raises:
            FitError: the table has no rows, or a loss was infinite or not a number.
            MissingDependencyError: torch is not installed.
        """
        require_torch(self.info.name)
        from synthloom.methods._nets.layout import Layout, find_gaps
        from synthloom.methods._nets.opening import open_table
        from synthloom.methods._nets.training import choose_device, seeded, time_to_train
        from synthloom.methods._nets.tvae import train

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
                self._twin, cut = train(layout, cells, settings, emit=emit, cancelled=cancelled)
            if cut:
                emit(Notice(code="budget", message=" ".join(cut)))
        emit(Progress(step="fit", fraction=1.0))
        return self

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw latents from the prior, modes and places from the decoder."""
        if conditions is not None:
            raise ParamsError("tvae cannot sample under conditions.", do="Use ctgan or gaussian_copula for that.")
        if self._twin is None:
            rows = assemble({}, self._modes.codec.schema, n, rng)
        else:
            modes, places = self._twin.draw(n, rng, emit, cancelled)
            rows = self._modes.decode(modes, places, rng, cancelled)
        emit(Progress(step="sample", fraction=1.0))
        return rows

    def guarantee(self) -> NoGuarantee:
        """No formal promise; the rules it keeps."""
        k = self.params.min_support
        return NoGuarantee(rules=(
            f"A value that fewer than {k} records share is never released: numbers are drawn inside intervals of at "
            f"least {k} records, rarer labels are replaced by commoner ones.",
            f"The smallest and largest values released are means of {k} records each.",
            "Training stops when rows that are held back are no longer learnt better; no row is copied, every cell "
            "is drawn from a distribution.",
        ))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The codec's levels, and the weights of the decoder and the prior."""
        arrays, meta = self._modes.codec.state()
        if self._twin is not None:
            arrays |= self._twin.arrays()
        return arrays, meta | {"gaps": self._gaps}

    @classmethod
    def from_state(cls, params: TvaeParams, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state, on the device that `params` names or, where it is not there, the CPU."""
        require_torch(cls.info.name)
        from synthloom.methods._nets.opening import fitting_modes, usable_device
        from synthloom.methods._nets.training import seeded
        from synthloom.methods._nets.tvae import Twin

        method = cls(params)
        codec = TableCodec.from_state(schema, arrays, meta)
        method._modes = TableModes.of(codec, fitting_modes(params.max_modes, len(codec.columns)))
        method._gaps = [[int(j) for j in pair] for pair in meta["gaps"]]
        method._twin = None
        if codec.columns:
            device = usable_device(params.device, cls.info.name)
            with seeded(np.random.default_rng(0), device):  # fresh weights are drawn only to be replaced
                method._twin = Twin.new(method._modes, method._gaps, _settings(params), device).load(arrays)
        return method


def _settings(params: TvaeParams) -> Settings:
    from synthloom.methods._nets.tvae import Settings

    return Settings(
        params.latent, params.width, params.dropout, params.kl_weight, params.prior == "learned",
        params.epochs, params.batch_size, params.learning_rate, params.max_seconds,
    )
