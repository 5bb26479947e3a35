"""The conformance suite for methods finds what it is meant to find, and passes an honest method."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from methods_for_tests import IndependentMarginals
from synthloom.domain.errors import ContractError
from synthloom.registry import methods
from synthloom.testing.check_method import METHOD_CHECKS, check_method

CHECKS = {check.name: check for check in METHOD_CHECKS}


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
def test_an_honest_method_passes(check):
    check.run(IndependentMarginals)


class KeepsTable(IndependentMarginals):
    def fit(self, table, *rest, **more):
        self._kept = table
        return super().fit(table, *rest, **more)


class KeepsColumn(IndependentMarginals):
    def fit(self, table, *rest, **more):
        self._kept = {"deep": [table["income"].to_numpy()]}
        return super().fit(table, *rest, **more)


class GlobalNoise(IndependentMarginals):
    def sample(self, n, rng, *rest, **more):
        return super().sample(n, np.random.default_rng(np.random.randint(1000)), *rest, **more)


class ChangesTable(IndependentMarginals):
    def fit(self, table, *rest, **more):
        table.iloc[:, -5:] = table.iloc[::-1, -5:].to_numpy()
        return super().fit(table, *rest, **more)


class NeverAsks(IndependentMarginals):
    def fit(self, table, schema, rng, emit=None, cancelled=None):
        return super().fit(table, schema, rng)


class Silent(IndependentMarginals):
    def sample(self, n, rng, conditions=None, emit=None, cancelled=lambda: False):
        return super().sample(n, rng, conditions, lambda event: None, cancelled)


class WrongDtype(IndependentMarginals):
    def sample(self, *args, **more):
        return super().sample(*args, **more).astype({"age": "float64"})


class CopiesRows(IndependentMarginals):
    def __init__(self, params):
        super().__init__(params.model_copy(update={"min_support": 1}))


class IgnoresConditions(IndependentMarginals):
    def sample(self, n, rng, conditions=None, *rest, **more):
        return super().sample(n, rng, None, *rest, **more)


class ForgetsGaps(IndependentMarginals):
    def fit(self, table, *rest, **more):
        super().fit(table, *rest, **more)
        self._arrays["patterns"] = self._arrays["patterns"] & False | pd.isna(table).all().to_numpy()
        return self


class ObjectState(IndependentMarginals):
    def state(self):
        arrays, meta = super().state()
        return arrays | {"words": np.array(["a", None], dtype=object)}, meta


class LosesState(IndependentMarginals):
    @classmethod
    def from_state(cls, params, schema, arrays, meta):
        return super().from_state(params, schema, arrays | {"1.values": arrays["1.values"] + 1}, meta)


@pytest.mark.parametrize(("name", "method"), [
    ("lets_the_data_go", KeepsTable), ("lets_the_data_go", KeepsColumn), ("leaves_global_randomness", GlobalNoise),
    ("repeats_by_seed", GlobalNoise), ("leaves_the_table_alone", ChangesTable), ("cancels", NeverAsks),
    ("tells_progress", Silent), ("keeps_the_schema", WrongDtype), ("protects_single_records", CopiesRows),
    ("keeps_conditions", IgnoresConditions), ("keeps_missingness", ForgetsGaps),
    ("survives_the_model_file", ObjectState), ("survives_the_model_file", LosesState),
])
def test_a_broken_promise_is_found(name, method):
    with pytest.raises(ContractError, match="Promised: "):
        CHECKS[name].run(method)


def test_all_broken_promises_are_told_at_once():
    class Bad(Silent, IgnoresConditions):
        pass

    with pytest.raises(ContractError) as caught:
        check_method(Bad)
    assert "tells_progress" in caught.value.text()
    assert "keeps_conditions" in caught.value.text()


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", sorted(methods()))
def test_every_installed_method_keeps_its_promises(name, check):
    check.run(methods()[name])
