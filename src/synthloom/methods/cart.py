"""`cart`: sequential trees. Each column is drawn given those before it, out of honest, shrunken trees.

The idea of drawing column after column from the leaves of classification and regression trees is Reiter's (2005,
"Using CART to generate partially synthetic public use microdata") and synthpop's (Nowok, Raab & Dibben 2016). Ours
differs in what it guards: leaves are filled with rows that did not shape them, every leaf is shrunk towards its
parents as far as chance explains the difference, several trees share the work, and nothing drawn rests on fewer than
`leaf_floor` rows or shows a value that fewer than `min_support` records share. See `_forest.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field

from synthloom.domain.errors import ParamsError
from synthloom.domain.event import Cancelled, Emit, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods._forest import Settings
from synthloom.methods._opening import open_codec
from synthloom.methods._trees import TreeSequence, drawing_order, scaled
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo, MethodParams
from synthloom.tables.encode import TableCodec, stop_if

_CHUNK = 100_000
"""Rows sampled between two looks at `cancelled`."""



class CartParams(MethodParams):
    """Parameters of `cart`."""

    min_support: int = Field(10, ge=2, le=1000, description="No released value rests on fewer records (k).")
    leaf_floor: int = Field(10, ge=2, le=100_000, description="No value is drawn from a leaf of fewer records.")
    shrinkage: float = Field(
        1.0, ge=0, le=4, description="How strongly leaves are pulled to their parents where chance explains them; up "
        "to 2.5 times as strongly in tables of fewer than 20,000 rows."
    )
    trees: int = Field(5, ge=1, le=200, description="Trees per column; each row is drawn from one of them.")
    order: Literal["cardinality"] | tuple[str, ...] = Field(
        "cardinality", description="Order of the columns: fewest distinct values first, or the columns' names in order."
    )


class Cart(Method[CartParams]):
    """Sequential honest trees with James-Stein shrinkage."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cart",
        title="Sequential trees",
        summary="Draws column after column from honest decision trees; the best fidelity within seconds on a CPU.",
        paper="Reiter 2005; Nowok, Raab & Dibben 2016 (synthpop); Hausser & Strimmer 2009 (shrinkage)",
        aliases=("trees", "synthpop"),
    )
    Params: ClassVar[type[MethodParams]] = CartParams

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """The leaf floor, shrinkage and support of each level."""
        return {
            "low": {"min_support": 5, "leaf_floor": 5, "shrinkage": 0.6},
            "default": {"min_support": 10, "leaf_floor": 10, "shrinkage": 1.0},
            "high": {"min_support": 25, "leaf_floor": 50, "shrinkage": 1.6},
        }[level]

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Learn each column given those before it; trees grow in two threads, every one from a seed of its own."""
        params = self.params
        self._codec = open_codec(
            table, schema, min_support=params.min_support, max_codes=256, emit=emit, cancelled=cancelled
        )
        codes = self._codec.encode(table, cancelled)
        emit(Progress(step="fit", fraction=0.1, message="columns encoded"))
        order = drawing_order(self._codec, schema, params.order, "cart")
        self._settings = scaled(Settings(params.trees, params.leaf_floor, params.shrinkage), len(table))

        def tell(done: int, of: int) -> None:
            emit(Progress(step="fit", fraction=0.1 + 0.85 * done / of, message=f"{done} of {of} forests grown"))

        self._trees = TreeSequence.grow(
            self._codec, codes, order, self._settings, rng=rng, cancelled=cancelled, tell=tell
        )
        emit(Progress(step="fit", fraction=1.0))
        return self

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw rows, column after column."""
        if conditions is not None:
            raise ParamsError("cart cannot sample under conditions.", do="Use gaussian_copula for that.")
        columns = len(self._trees.order)
        codes = np.empty((n, columns), dtype=np.int32, order="F")
        for first in range(0, n, _CHUNK):
            last = min(first + _CHUNK, n)
            drawn: list[np.ndarray] = []
            for place, j in enumerate(self._trees.order):
                stop_if(cancelled)
                drawn.append(self._trees.draw(place, drawn, last - first, rng))
                codes[first:last, j] = drawn[-1]
                done = (first + (last - first) * len(drawn) / columns) / n
                emit(Progress(step="sample", fraction=0.9 * min(done, 1.0)))
        rows = self._codec.decode(codes, rng, cancelled)
        emit(Progress(step="sample", fraction=1.0))
        return rows

    def guarantee(self) -> NoGuarantee:
        """No formal promise; the rules it keeps."""
        p = self.params
        return NoGuarantee(rules=(
            f"A value that fewer than {p.min_support} records share is never released: numbers are drawn inside "
            f"intervals of at least {p.min_support} records, rarer labels are replaced by commoner ones.",
            f"The smallest and largest values released are means of {p.min_support} records each.",
            f"No value is drawn from a leaf of fewer than {p.leaf_floor} records.",
            "Leaves hold records that did not shape them, and are pulled to their parents as far as chance explains "
            "the difference.",
        ))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The codec's levels and each column's forest."""
        arrays, meta = self._codec.state()
        own, values = self._trees.state()
        return arrays | own, meta | values | {"shrinkage": self._settings.shrinkage}

    @classmethod
    def from_state(cls, params: CartParams, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:
        """A fitted method out of its state."""
        method = cls(params)
        method._codec = TableCodec.from_state(schema, arrays, meta)
        method._settings = Settings(params.trees, params.leaf_floor, float(meta["shrinkage"]))
        method._trees = TreeSequence.from_state(arrays, meta)
        return method
