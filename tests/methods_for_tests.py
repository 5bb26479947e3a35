"""A small honest method: every column on its own, missing cells by their joint pattern, the disclosure rule kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from synthloom.domain.errors import CancelledError, FitError
from synthloom.domain.event import Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.schema import Kind
from synthloom.methods.contract import Method, MethodInfo, MethodParams
from synthloom.refine import protected_quantiles
from synthloom.tables.canonical import (
    canonical_dtype,
    codes_to_labels,
    from_float,
    labels_to_codes,
    to_float,
)


class MarginalsParams(MethodParams):
    min_support: int = Field(5, ge=1, le=10_000, description="Fewest records behind a released value.")
    blur: float = Field(0.0, ge=0, le=1, description="Share of cells drawn evenly over all labels and quantiles.")


class IndependentMarginals(Method[MarginalsParams]):
    info = MethodInfo(
        name="marginals", title="Independent marginals", summary="Each column on its own.", paper="none",
        aliases=("im",), conditional=True,
    )
    Params = MarginalsParams

    @classmethod
    def privacy_params(cls, level):
        return {"min_support": {"low": 2, "default": 5, "high": 20}[level]}

    def fit(self, table, schema, rng, emit=ignore, cancelled=never):
        support = self.params.min_support
        if len(table) < support:
            raise FitError(f"{len(table)} rows are fewer than min_support.")
        self._schema, self._arrays = schema, {}
        for j, column in enumerate(schema):
            if cancelled():
                raise CancelledError("cancelled while fitting.")
            if column.kind.is_discrete:
                codes = labels_to_codes(table[column.name])
                counts = np.bincount(codes[codes >= 0], minlength=len(column.categories)).astype(float)
                self._arrays[f"{j}.counts"] = np.where(counts >= support, counts, 0)
            elif column.kind.is_numeric:
                values = to_float(table[column.name], column.kind)
                values = values[~np.isnan(values)]
                line = protected_quantiles(values, support) if len(values) >= support else None
                self._arrays[f"{j}.levels"] = line.levels if line else np.zeros(0)
                self._arrays[f"{j}.values"] = line.values if line else np.zeros(0)
            emit(Progress(step="fit", fraction=(j + 1) / len(schema)))
        gaps = table.isna().to_numpy()
        patterns, counts = np.unique(gaps, axis=0, return_counts=True)
        often = counts >= min(support, counts.max())
        self._arrays |= {"patterns": patterns[often], "pattern_counts": counts[often]}
        return self

    def sample(self, n, rng, conditions=None, emit=ignore, cancelled=never):
        arrays, schema = self._arrays, self._schema
        share = arrays["pattern_counts"] / arrays["pattern_counts"].sum()
        gaps = arrays["patterns"][rng.choice(len(share), n, p=share)]
        done = {}
        for j, column in enumerate(schema):
            if cancelled():
                raise CancelledError("cancelled while sampling.")
            if conditions is not None and column.name in conditions:
                done[column.name] = conditions[column.name].reset_index(drop=True)
            else:
                done[column.name] = self._column(j, column, gaps[:, j], rng)
            emit(Progress(step="sample", fraction=(j + 1) / len(schema)))
        return pd.DataFrame(done, index=pd.RangeIndex(n))

    def _column(self, j, column, gaps, rng):
        n = len(gaps)
        if column.kind.is_discrete:
            counts = self._arrays[f"{j}.counts"]
            if not counts.sum():
                return codes_to_labels(np.full(n, -1), column)
            even, blur = (counts > 0) / (counts > 0).sum(), self.params.blur
            share = counts / counts.sum() * (1 - blur) + blur * even
            return codes_to_labels(np.where(gaps, -1, rng.choice(len(counts), n, p=share)), column)
        if column.kind.is_numeric:
            levels, values = self._arrays[f"{j}.levels"], self._arrays[f"{j}.values"]
            drawn = np.interp(rng.random(n), levels, values) if len(levels) else np.full(n, np.nan)
            drawn = np.clip(drawn, column.lower, column.upper) if column.lower is not None else drawn
            return from_float(np.where(gaps, np.nan, drawn), column).astype(canonical_dtype(column))
        if column.kind is Kind.CONSTANT:
            return codes_to_labels(np.where(gaps, -1, 0), column)
        if column.kind is Kind.EMPTY:
            return pd.Series([None] * n, dtype=object)
        fresh = [f"new-{number:016x}" for number in rng.integers(2**63, size=n)]
        return pd.Series(np.where(gaps, None, np.array(fresh, dtype=object)), dtype=object)

    def guarantee(self):
        return NoGuarantee(rules=(f"No value rests on fewer than {self.params.min_support} records.",))

    def state(self):
        return dict(self._arrays), {"columns": len(self._schema)}

    @classmethod
    def from_state(cls, params, schema, arrays, meta):
        if meta["columns"] != len(schema):
            raise ValueError("the state is of another table")
        self = cls(params)
        self._schema, self._arrays = schema, dict(arrays)
        return self


KNOWN = {"marginals": IndependentMarginals}
