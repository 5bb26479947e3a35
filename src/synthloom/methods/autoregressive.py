"""`autoregressive`: an any-order net over discretised columns, with honest trees beside it.

One net learns every column given any others (`_nets/autoregressive.py`), so it draws whole rows, rows under any
conditions, or only the missing cells of a row. What it draws cell after cell is accompanied by honest trees
(`_trees.py`): each cell of a free row comes from the trees with probability `tree_share`, else from a net. The two
err in different ways (trees are blunt but unbiased, nets smooth), so neither's errors add up along a row: the mixture
is harder to tell from real rows than either, and remembers no more than the net.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods._forest import Settings as TreeSettings
from synthloom.methods._nets.params import NeuralParams, require_torch
from synthloom.methods._opening import open_codec
from synthloom.methods._trees import FULL_SIZE, TreeSequence, drawing_order
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo, MethodParams
from synthloom.tables.conditions import put_in
from synthloom.tables.encode import TableCodec, stop_if

if TYPE_CHECKING:
    from synthloom.methods._nets.autoregressive import AutoregressiveNet, Settings
    from synthloom.methods._nets.drawing import Drawers
    from synthloom.methods._nets.relatives import Relative
    from synthloom.methods._nets.training import Course

_MOST_CODES, _LEAST_CODES, _WIDEST = 256, 24, 16_384
"""Codes of a column on a line: up to 256, fewer where all columns together would have more than 16,384."""
_CALIBRATED_ON = 20_000
_MOST_NETS = 4
"""Nets that are trained where time allows for more than one; further ones were not measured to help much."""
_FURTHER_DROPOUT = 0.5
"""Times `dropout`, what nets after the first have from `FULL_SIZE` rows on: what one of several has by heart, the
others outvote. In a smaller table each row weighs more and they have more of it, in one of 5,000 rows all. The first
has all of it always, as it may stay the only one."""
_WORTH, _WORTH_SHARED = 1.2, 0.7
"""Times what the longest net took: with less time left another is not begun, as one cut short gains little. Less where
a number of nets was asked for, which share the time."""
_TREE_SHARE, _TREE_SHARE_OF_SEVERAL = 0.5, 0.35
"""Share of cells that trees draw: several nets err in different ways already and need fewer blunt cells beside them."""
_MOST_CELLS = 2**24
"""Probabilities held at a time while drawing: 64 MB."""


class AutoregressiveParams(NeuralParams):
    """Parameters of `autoregressive`."""

    min_support: int = Field(10, ge=2, le=1000, description="No released value rests on fewer records (k).")
    width: int = Field(256, ge=8, le=8192, description="Width of the hidden layers.")
    blocks: int = Field(2, ge=0, le=32, description="Residual blocks.")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of hidden units left out in each training step; nets after the first leave "
        "out less, half of it from 20,000 rows on."
    )
    in_order: float = Field(
        0.5, ge=0, le=1, description="Share of training rows that are seen in drawing order, the others in any: lower "
        "is sharper under conditions and in imputing, higher in whole rows."
    )
    nets: int | None = Field(
        None, ge=1, le=20, description="Nets that share the drawing; none: one, or up to four as max_seconds allows."
    )
    temperature: float = Field(
        1.0, gt=0, le=10, description="Below 1 likely values become likelier, above 1 rarer ones do; unless it is 1, "
        "the net draws alone."
    )
    tree_share: float | None = Field(
        None, ge=0, le=1, description="Share of cells drawn by honest trees in place of the net; 0: the net alone; "
        "none: .5 beside one net, .35 beside several."
    )
    trees: int = Field(5, ge=1, le=200, description="Trees per column.")
    leaf_floor: int = Field(10, ge=2, le=100_000, description="No value is drawn from a leaf of fewer records.")
    shrinkage: float = Field(
        1.2, ge=0, le=4, description="How strongly leaves are pulled to their parents where chance explains them."
    )
    order: Literal["cardinality"] | tuple[str, ...] = Field(
        "cardinality", description="Drawing order: fewest distinct values first, or the columns' names in order."
    )


class Autoregressive(Method[AutoregressiveParams]):
    """Any-order net over codes, mixed with trees."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="autoregressive",
        title="Any-order autoregressive net",
        summary="One net for every column given any others, with trees beside it; the best fidelity measured, "
        "conditions on any columns, imputation.",
        paper="Uria, Murray & Larochelle 2014; Hoogeboom et al. 2022; Tiwald et al. 2025 (TabularARGN)",
        aliases=("transformer", "arn"),
        conditional=True,
        imputes=True,
        needs="neural",
    )
    Params: ClassVar[type[MethodParams]] = AutoregressiveParams

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """The support, leaf floor, shrinkage and dropout of each level."""
        return {
            "low": {"min_support": 5, "leaf_floor": 5, "shrinkage": 1.0, "dropout": 0.1},
            "default": {"min_support": 10, "leaf_floor": 10, "shrinkage": 1.2, "dropout": 0.2},
            "high": {"min_support": 25, "leaf_floor": 50, "shrinkage": 2.5, "dropout": 0.35},
        }[level]

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Grow the trees, train the net, put its margins right.

        Raises:
            FitError: the table has no rows, or a loss was infinite or not a number.
            ParamsError: `order` does not name the columns, or the device is not there.
            MissingDependencyError: torch is not installed.
        """
        require_torch(self.info.name)
        from synthloom.methods._nets.diffusion import missing_together
        from synthloom.methods._nets.relatives import find_relatives

        began = time.monotonic()
        params = self.params
        most = _WIDEST // max(len(schema.modelled), 1)
        self._codec = open_codec(
            table, schema, min_support=params.min_support, max_codes=min(max(most, _LEAST_CODES), _MOST_CODES),
            emit=emit, cancelled=cancelled,
        )
        self._order = drawing_order(self._codec, schema, params.order, self.info.name)
        self._nets: list[AutoregressiveNet] = []
        self._trees: TreeSequence | None = None
        self._together: list[list[int]] = []
        self._relatives: tuple[Relative, ...] = ()
        if not self._codec.columns:
            return self
        codes = self._codec.encode(table, cancelled)
        numbers = [None if c.column.kind.is_discrete else c.numbers() for c in self._codec.columns]
        self._relatives = find_relatives(codes, numbers, params.min_support)
        self._together = missing_together(codes, [c.missing_code if c.missing else -1 for c in self._codec.columns])
        emit(Progress(step="fit", fraction=0.05, message="columns encoded"))
        self._grow(codes, rng, emit, cancelled)
        self._train(codes, rng, began, emit, cancelled)
        emit(Progress(step="fit", fraction=1.0))
        return self

    def _grow(self, codes: np.ndarray, rng: np.random.Generator, emit: Emit, cancelled: Cancelled) -> None:
        params = self.params
        if params.tree_share == 0:
            return

        def tell(done: int, of: int) -> None:
            fraction = min(0.05 + 0.1 * done / of, 0.15)
            emit(Progress(step="fit", fraction=fraction, message=f"{done} of {of} forests grown"))

        settings = TreeSettings(params.trees, params.leaf_floor, params.shrinkage)
        self._trees = TreeSequence.grow(
            self._codec, codes, self._order, settings, rng=rng, cancelled=cancelled, tell=tell
        )

    def _train(
        self, codes: np.ndarray, rng: np.random.Generator, began: float, emit: Emit, cancelled: Cancelled
    ) -> None:
        """Train one net after the other: as many as were asked for, or as there is time for."""
        from synthloom.methods._nets.autoregressive import steps
        from synthloom.methods._nets.training import Course, time_to_train

        limit = self.params.max_seconds
        most = self.params.nets or (1 if limit is None else _MOST_NETS)
        worth = _WORTH if self.params.nets is None else _WORTH_SHARED
        longest, low = 0.0, 0.15
        for k in range(most):
            gone = time.monotonic() - began
            if limit is not None and k and limit - gone < worth * longest:
                return
            seconds = time_to_train(limit, began, most - k if self.params.nets else 1)
            high = low + (0.95 - low) * (1 / (most - k) if limit is None or k == most - 1 else 0.7)
            planned = steps(len(codes), self._net_settings(len(codes)))
            course = Course(planned, emit, cancelled, seconds, low=low, high=high)
            low = high  # progress never goes back, however many nets there will be time for
            validation = self._train_one(codes, rng, course)
            longest = max(longest, time.monotonic() - began - gone)
            if course.out_of_time and not k:
                emit(Notice(code="budget", message=_bought(course.step, course.steps, validation)))

    def _train_one(self, codes: np.ndarray, rng: np.random.Generator, course: Course) -> list[float]:
        """Train a net, put its margins right and keep it; its losses on the rows that training did not use."""
        from synthloom.methods._nets.autoregressive import train
        from synthloom.methods._nets.drawing import calibrate
        from synthloom.methods._nets.training import calibration_rows, choose_device, seeded

        columns = self._codec.columns
        on_line = [0 if c.column.kind.is_discrete else c.n_level_codes for c in columns]
        with seeded(rng, choose_device(self.params.device, self.info.name)) as generator:
            net, validation = train(
                codes, [c.n_codes for c in columns], on_line, self._order, settings=self._net_settings(len(codes)),
                names=[c.column.name for c in columns], relatives=self._relatives, course=course,
                generator=generator,
            )
        counts = [c.code_counts for c in columns]
        n = calibration_rows(min(len(codes), _CALIBRATED_ON), self.params.max_seconds)
        calibrate(net, self._order, counts, n=n, rng=rng, course=course)
        self._nets.append(net)
        return validation

    def _net_settings(self, n: int) -> Settings:
        """Settings for n rows: what the person gave, else what suits that many."""
        from synthloom.methods._nets.autoregressive import Settings

        params = self.params
        batch = params.batch_size or int(np.clip(2 ** np.floor(np.log2(max(n, 1) / 64)), 128, 1024))
        epochs = params.epochs or int(np.clip(np.ceil(24 * (25_000 / max(n, 1)) ** 0.5), 3, 48))
        rate = params.learning_rate or 2e-3 * min((batch / 256) ** 0.5, 1.0)
        further = min(_FURTHER_DROPOUT * max(FULL_SIZE / max(n, 1), 1.0) ** 0.5, 1.0)
        dropout = params.dropout * (further if self._nets else 1.0)
        return Settings(epochs, batch, rate, params.width, params.blocks, dropout, params.in_order)

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw rows, cell after cell; conditions stand in them as they are, and shape all other cells."""
        codec = self._codec
        codes = np.empty((n, len(codec.columns)), dtype=np.int32, order="F")
        fixed = None if conditions is None else self._fixed(conditions)
        chunk = max(1024, _MOST_CELLS // max((c.n_codes for c in codec.columns), default=1))
        for first in range(0, n, chunk):
            rows = slice(first, min(first + chunk, n))
            part = None if fixed is None else fixed[rows]
            for j, column in self._draw(rows.stop - first, rng, part).items():
                codes[rows, j] = column
            stop_if(cancelled)
            emit(Progress(step="sample", fraction=0.9 * rows.stop / n))
        made = codec.decode(codes, rng, cancelled)
        emit(Progress(step="sample", fraction=1.0))
        return made if conditions is None else put_in(made, conditions)

    def impute(
        self, table: pd.DataFrame, rng: np.random.Generator, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> pd.DataFrame:
        """The table with its missing cells drawn given the other cells of their rows; all else stays as it is.

        Args:
            table: (n, columns) canonical. A cell of a column that never lacks enough values to learn from is drawn too.
            rng: Source of all randomness.
            emit: Progress, in steps of `sample`.
            cancelled: Asked often; when true, CancelledError is raised.
        """
        modelled = [c.column.name for c in self._codec.columns]
        fixed = self._fixed(table[modelled])
        missing = table[modelled].isna().to_numpy(dtype=bool)
        fixed[missing] = -1
        codes = np.maximum(fixed, 0).astype(np.int32)
        rows = np.flatnonzero(missing.any(axis=1))
        for first in range(0, len(rows), 4096):
            stop_if(cancelled)
            part = rows[first : first + 4096]
            for j, column in self._draw(len(part), rng, fixed[part], fill=True).items():
                codes[part, j] = column
            emit(Progress(step="sample", fraction=0.9 * (first + len(part)) / len(rows)))
        drawn = self._codec.decode(codes, rng, cancelled)
        made = table.copy()
        for j, name in enumerate(modelled):
            gaps = missing[:, j]
            if gaps.any():
                made[name] = table[name].where(~gaps, drawn[name].set_axis(table.index)).astype(table[name].dtype)
        emit(Progress(step="sample", fraction=1.0))
        return made

    def _fixed(self, conditions: pd.DataFrame) -> np.ndarray:
        """(n, columns) int64 codes of given cells, -1 in columns that are not given."""
        fixed = np.full((len(conditions), len(self._codec.columns)), -1, dtype=np.int64)
        for j, codec in enumerate(self._codec.columns):
            if codec.column.name in conditions:
                fixed[:, j] = codec.encode(conditions[codec.column.name])
        return fixed

    def _draw(
        self, n: int, rng: np.random.Generator, fixed: np.ndarray | None, *, fill: bool = False
    ) -> dict[int, np.ndarray]:
        """Codes of n rows, column by column.

        Args:
            n: Rows.
            rng: Source of randomness.
            fixed: (n, columns) codes that stand, -1 for those to draw; None: all are to be drawn.
            fill: Whether drawn cells may not be missing.
        """
        if not self._nets:
            return {}
        from synthloom.methods._nets.drawing import Drawers

        params = self.params
        drawer = Drawers(self._nets, n, params.temperature, fixed)
        if fixed is None and self._trees is not None and params.temperature == 1:
            return self._draw_mixed(n, rng, drawer, self._trees)
        gone = self._gone(n, fixed)
        made: dict[int, np.ndarray] = {}
        for j in self._order:
            given = np.zeros(n, dtype=bool) if fixed is None else fixed[:, j] >= 0
            wanted = np.zeros(n, dtype=np.int64) if fixed is None else fixed[:, j]
            if given.all() and n:
                made[j] = wanted.astype(np.int32)
                continue
            if fill:
                drawn = drawer.draw(j, rng, rows=~given, without=self._codec.columns[j].missing_code)
            else:
                drawn = self._by_net(j, rng, drawer, ~given, gone)
            drawn = np.where(given, wanted, drawn).astype(np.int32)
            drawer.see(j, drawn, ~given if given.any() else None)
            made[j] = drawn
        return made

    def _gone(self, n: int, fixed: np.ndarray | None) -> dict[int, np.ndarray]:
        """Of columns that are missing together, whether a row's are: (n,) 1, 0, or -1 where that is still open.

        Columns of a group share the array.
        """
        gone: dict[int, np.ndarray] = {}
        for group in self._together:
            state = np.full(n, -1, dtype=np.int8)
            for j in group:
                if fixed is not None:
                    missing = fixed[:, j] == self._codec.columns[j].missing_code
                    state = np.where(fixed[:, j] >= 0, missing, state).astype(np.int8)
            gone |= dict.fromkeys(group, state)
        return gone

    def _by_net(
        self, j: int, rng: np.random.Generator, drawer: Drawers, rows: np.ndarray, gone: dict[int, np.ndarray]
    ) -> np.ndarray:
        """(n,) codes of a column from the nets for some rows; missing just where the columns of its group are."""
        if j not in gone:
            return drawer.draw(j, rng, rows=rows)
        state, missing = gone[j], self._codec.columns[j].missing_code
        drawn = drawer.draw(j, rng, rows=rows & (state < 0))
        drawn += drawer.draw(j, rng, rows=rows & (state == 0), without=missing)
        drawn[rows & (state == 1)] = missing
        still = rows & (state < 0)
        state[still] = drawn[still] == missing
        return drawn

    def _draw_mixed(
        self, n: int, rng: np.random.Generator, drawer: Drawers, trees: TreeSequence
    ) -> dict[int, np.ndarray]:
        """Codes of n free rows: each cell from the trees or the net, both given the cells before, whoever drew them."""
        gone = self._gone(n, None)
        related = {r.column for r in self._relatives}
        share = self.params.tree_share
        if share is None:
            share = _TREE_SHARE if len(self._nets) == 1 else _TREE_SHARE_OF_SEVERAL
        drawn: list[np.ndarray] = []
        tree_rng = np.random.default_rng(rng.integers(2**63))  # of its own: trees and net draw at the same time
        with ThreadPoolExecutor(1) as aside:
            for place, j in enumerate(trees.order):
                missing = self._codec.columns[j].missing_code
                by_net = (rng.random(n) >= share) | (j in related)
                rows = np.flatnonzero(~by_net)
                promised = aside.submit(trees.draw, place, drawn, n, tree_rng, rows)
                if j in gone:  # where other columns of its group say otherwise, the net is asked
                    told = gone[j][rows]
                    by_net[rows[(told >= 0) & (told != (promised.result() == missing))]] = True
                codes = self._by_net(j, rng, drawer, by_net, gone)
                codes[rows] = np.where(by_net[rows], codes[rows], promised.result())
                if j in gone:
                    gone[j][:] = codes == missing
                if place + 1 < len(trees.order):
                    drawer.see(j, codes)
                drawn.append(codes)
        return dict(zip(trees.order, drawn, strict=True))

    def guarantee(self) -> NoGuarantee:
        """No formal promise; the rules it keeps."""
        p = self.params
        return NoGuarantee(rules=(
            f"A value that fewer than {p.min_support} records share is never released: numbers are drawn inside "
            f"intervals of at least {p.min_support} records, rarer labels are replaced by commoner ones.",
            f"The smallest and largest values released are means of {p.min_support} records each.",
            "Training stops when rows that are held back are no longer learnt better, and leaves out a share of the "
            "net in each step, so that it does not learn single rows by heart.",
            f"No value is drawn from a leaf of fewer than {p.leaf_floor} records; leaves hold records that did not "
            "shape them.",
        ))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The codec's levels, the net's weights and the forests."""
        from synthloom.methods._nets.training import weights_to_arrays

        arrays, meta = self._codec.state()
        meta |= {"order": self._order, "together": self._together, "nets": len(self._nets), "trees": None}
        meta["relatives"] = [[r.column, r.other] for r in self._relatives]
        arrays |= {f"relative.{k}": r.classes for k, r in enumerate(self._relatives)}
        for k, net in enumerate(self._nets):
            arrays |= weights_to_arrays(net, f"net.{k}.")
        if self._trees is not None:
            own, meta["trees"] = self._trees.state()
            arrays |= own
        return arrays, meta

    @classmethod
    def from_state(cls, params: AutoregressiveParams, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state, on the device that `params` names or, where it is not there, the CPU."""
        require_torch(cls.info.name)
        from synthloom.methods._nets.autoregressive import AutoregressiveNet
        from synthloom.methods._nets.opening import usable_device
        from synthloom.methods._nets.relatives import Relative
        from synthloom.methods._nets.training import arrays_to_weights, seeded

        method = cls(params)
        method._codec = TableCodec.from_state(schema, arrays, meta)
        method._order = list(meta["order"])
        method._together = [list(group) for group in meta["together"]]
        method._nets = []
        method._trees = TreeSequence.from_state(arrays, meta["trees"]) if meta["trees"] else None
        device = usable_device(params.device, cls.info.name)
        sizes = [c.n_codes for c in method._codec.columns]
        method._relatives = tuple(
            Relative(column, other, arrays[f"relative.{k}"]).checked(sizes)
            for k, (column, other) in enumerate(meta.get("relatives", ()))
        )
        for k in range(meta["nets"]):
            with seeded(np.random.default_rng(0), device):  # fresh weights are drawn only to be replaced
                net = AutoregressiveNet(sizes, method._net_settings(0), method._relatives)
            method._nets.append(arrays_to_weights(net, f"net.{k}.", arrays).to(device))
        return method


def _bought(step: int, steps: int, validation: list[float]) -> str:
    """What the time was enough for, and what more of it would buy."""
    done = f"Time was up after {step:,} of {steps:,} steps"
    if len(validation) < 3:
        return f"{done}, too early to say what more would buy; more time would learn the table better."
    gained = validation[-3] - validation[-1]
    return (
        f"{done}. The last {2 / len(validation):.0%} of the time lowered the validation loss by {gained:.3f} to "
        f"{validation[-1]:.3f}: {'more time would lower it further' if gained > 0.002 else 'more would gain little'}."
    )
