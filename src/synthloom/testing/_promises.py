"""What the conformance checks of methods are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import ContractError
from synthloom.domain.schema import Kind, Schema
from synthloom.methods.contract import Method
from synthloom.registry import check_params
from synthloom.tables.canonical import check_canonical, to_float
from synthloom.testing._suite import Broken, Promises, expect
from synthloom.testing.example_tables import Example

AnyMethod = type[Method[Any]]


@dataclass(frozen=True)
class Subject:
    """A method under test, with the parameters to test it with."""

    method: AnyMethod
    params: Mapping[str, Any] = field(default_factory=dict)

    def new(self) -> Method[Any]:
        """A fresh, unfitted one."""
        return self.method(check_params(self.method, self.params))

    def fit(self, example: Example, seed: int = 5, **more: Any) -> Method[Any]:
        """One fitted on an example."""
        return self.new().fit(example.table, example.schema, np.random.default_rng(seed), **more)


@dataclass(frozen=True)
class Check:
    """One promise, and the test that a method keeps it.

    Attributes:
        name: Short and stable.
        promise: What is promised, one sentence.
    """

    name: str
    promise: str
    test: Callable[[Subject], None]

    def run(self, method: AnyMethod, params: Mapping[str, Any] | None = None) -> None:
        """Raise ContractError, with the promise and what was found, unless the method keeps it."""
        try:
            self.test(Subject(method, dict(params or {})))
        except Broken as broken:
            raise ContractError(
                f"{broken}. Promised: {self.promise}", where=f"method {method.info.name}, check {self.name}"
            ) from None


def promises() -> Promises[Subject, Check]:
    """A decorator for promises of methods."""
    return Promises(Check)


def equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables have the same columns, dtypes and cells."""
    return list(one.columns) == list(other.columns) and all(
        one[c].dtype == other[c].dtype and one[c].equals(other[c]) for c in one
    )


def check_rows(rows: pd.DataFrame, schema: Schema, n: int, *, suppressed: bool = False) -> None:
    """Hold rows to a schema; with `suppressed`, cells may be missing where the table has none missing."""
    try:
        check_canonical(rows, schema)
    except ContractError as error:
        raise Broken(error.text()) from None
    expect(len(rows) == n, f"{len(rows)} rows in place of {n}")
    expect(rows.index.equals(pd.RangeIndex(n)), "the index is no RangeIndex from 0")
    for column in schema:
        cells, where = rows[column.name], f"column {column.name!r}"
        if column.missing_rate == 0 and not suppressed:
            expect(not cells.isna().any(), f"{where} is never missing in the table, but in the rows")
        if column.kind is Kind.EMPTY:
            expect(cells.isna().all(), f"{where} is empty in the table, but not in the rows")
        if column.kind is Kind.IDENTIFIER:
            expect(cells.dropna().is_unique, f"{where}: identifiers stand twice")
        if column.kind.is_numeric:
            values = to_float(cells, column.kind)
            values = values[~np.isnan(values)]
            expect(np.isfinite(values).all(), f"{where} holds an infinity")
            if column.lower is not None and column.upper is not None:
                expect(((values >= column.lower) & (values <= column.upper)).all(), f"{where} leaves its bounds")
            if column.precision is not None:
                expect(np.array_equal(values, values.round(column.precision)), f"{where} has too many decimal places")
            if column.kind is Kind.DATE:
                expect((values % 86400 == 0).all(), f"{where} holds a time of day")


