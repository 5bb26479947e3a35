"""The conformance suite for methods finds what it is meant to find, and passes an honest method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from methods_for_tests import IndependentMarginals
from synthloom.domain.errors import ContractError
from synthloom.domain.event import ignore, never
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


class Imputes(IndependentMarginals):
    info = replace(IndependentMarginals.info, imputes=True)

    def impute(self, table, rng, emit=ignore, cancelled=never):
        drawn = self.sample(len(table), rng, None, emit, cancelled)
        filled = table.copy()
        for column in self._schema.modelled:
            gaps, own = table[column.name].isna(), drawn[column.name].set_axis(table.index)
            own = own.fillna(own.mode().iloc[0]) if len(own) else own  # what was drawn as missing
            filled[column.name] = table[column.name].where(~gaps, own)
        return filled


class ImputesUnasked(Imputes):
    info = IndependentMarginals.info


class SaysItImputes(IndependentMarginals):
    info = replace(IndependentMarginals.info, imputes=True)

    def impute(self, table, *_rest):
        return table.copy()


class ImputesTooMuch(Imputes):
    def impute(self, table, rng, *rest):
        filled = super().impute(table, rng, *rest)
        return filled.assign(income=filled["income"].sample(frac=1, random_state=np.random.RandomState(1)).to_numpy())


class ImputesInPlace(Imputes):
    def impute(self, table, rng, *rest):
        filled = super().impute(table, rng, *rest)
        table["age"] = filled["age"]
        return filled


class ImputesAtRandom(Imputes):
    def impute(self, table, _rng, *rest):
        return super().impute(table, np.random.default_rng(), *rest)


class ImputesDeaf(Imputes):
    def impute(self, table, rng, emit=ignore, _cancelled=never):
        return super().impute(table, rng, emit)


def test_a_method_that_imputes_passes():
    CHECKS["imputes"].run(Imputes)


@pytest.mark.parametrize(("method", "told"), [
    (ImputesUnasked, "not marked"), (SaysItImputes, "still missing"), (ImputesTooMuch, "'income'.*have changed"),
    (ImputesInPlace, "the table itself"), (ImputesAtRandom, "same seed"), (ImputesDeaf, "cancelled"),
])
def test_imputing_is_held_to_its_promise(method, told):
    with pytest.raises(ContractError, match=told):
        CHECKS["imputes"].run(method)


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


CHEAP = sorted(name for name, method in methods().items() if method.info.needs is None)
"""The others train for minutes as they stand: their own tests hold them to the contract, with fewer steps."""


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", CHEAP)
def test_every_installed_method_keeps_its_promises(name, check):
    check.run(methods()[name])


@pytest.mark.parametrize("name", sorted(set(methods()) - set(CHEAP)))
def test_every_other_method_is_held_to_the_contract_by_its_own_tests(name):
    text = (Path(__file__).parent / "methods" / f"test_{name}.py").read_text(encoding="utf-8")
    assert "METHOD_CHECKS" in text
