"""Plans and their reasons."""

from __future__ import annotations

import numpy as np
import pytest

from methods_for_tests import IndependentMarginals
from synthloom.domain.errors import ParamsError, PrivacyError, UnknownNameError
from synthloom.domain.measurement import Threshold, Verdict
from synthloom.domain.plan import Plan
from synthloom.domain.run import Attempt, DPRequest, RunRequest
from synthloom.domain.schema import Kind
from synthloom.planning.heuristics import fallback_plan, first_plan, next_plan, situation
from synthloom.testing.example_tables import example, mixed


def named(name):
    return type(name, (IndependentMarginals,), {"info": IndependentMarginals.info.__class__(
        name=name, title=name, summary=name, paper="none", dp=name == "private")})


CART, COPULA, CTGAN, PRIVATE = (named(n) for n in ("cart", "gaussian_copula", "ctgan", "private"))
TWO = {"cart": CART, "gaussian_copula": COPULA}
SCHEMA = mixed(300).schema


def schema_of(numeric=0, discrete=0):
    cells = {f"n{k}": (Kind.DECIMAL, np.arange(5.0)) for k in range(numeric)}
    cells |= {f"d{k}": (Kind.CATEGORY, list("abcde")) for k in range(discrete)}
    return example("x", cells).schema


def attempt(plan, failed=(), number=1):
    verdicts = [
        Verdict(
            threshold=Threshold(name=k, key=k, limit=0.1), value=None if k.endswith("?") else 0.5, passed=False,
            reason="no",
        )
        for k in failed
    ]
    return Attempt(number=number, plan=plan, measurements=(), verdicts=tuple(verdicts))


@pytest.mark.parametrize(("schema", "rows", "expected"), [
    (schema_of(3, 3), 100, "small"), (schema_of(3, 3), 1000, "mixed"), (schema_of(1, 9), 1000, "categories"),
    (schema_of(9, 1), 1000, "numbers"), (schema_of(30, 30), 1000, "wide"),
])
def test_situations(schema, rows, expected):
    assert situation(schema, rows) == expected


def test_auto_takes_the_first_preference_there_is_and_says_what_it_passed_over():
    plan = first_plan(schema_of(1, 9), 1000, RunRequest(), known=TWO)
    assert plan.method == "cart"
    assert plan.decided_by == "heuristics"
    assert "ctgan would come first but is not installed" in plan.reason
    assert "9 categorical and 1 numeric" in plan.reason
    assert first_plan(schema_of(1, 9), 1000, RunRequest(), known=TWO | {"ctgan": CTGAN}).method == "ctgan"


def test_auto_takes_the_copula_for_small_tables():
    plan = first_plan(SCHEMA, 150, RunRequest(), known=TWO)
    assert plan.method == "gaussian_copula"
    assert "the table is small" in plan.reason


def test_methods_nobody_has_heard_of_are_taken_when_nothing_else_is_there():
    assert first_plan(SCHEMA, 1000, RunRequest(), known={"marginals": IndependentMarginals}).method == "marginals"


def test_a_method_named_by_a_person_is_taken():
    plan = first_plan(SCHEMA, 100, RunRequest(method="Gaussian-Copula", params={"blur": 0.1}), known=TWO)
    assert (plan.method, plan.decided_by) == ("gaussian_copula", "person")
    assert plan.params == {"min_support": 5, "blur": 0.1}
    with pytest.raises(UnknownNameError):
        first_plan(SCHEMA, 100, RunRequest(method="crt"), known=TWO)


def test_the_plan_holds_the_privacy_levels_settings_and_the_persons_own_over_them():
    assert first_plan(SCHEMA, 1000, RunRequest(privacy="high"), known=TWO).params == {"min_support": 20}
    request = RunRequest(privacy="high", params={"min_support": 7})
    assert first_plan(SCHEMA, 1000, request, known=TWO).params == {"min_support": 7}


def test_wrong_params_are_refused_before_anything_runs():
    with pytest.raises(ParamsError, match="min_suport"):
        first_plan(SCHEMA, 1000, RunRequest(params={"min_suport": 7}), known=TWO)


def test_differential_privacy_chooses_a_method_that_gives_it_or_is_refused():
    strict, lax = RunRequest(dp=DPRequest(epsilon=1)), RunRequest(dp=DPRequest(epsilon=1, strict=False))
    assert first_plan(SCHEMA, 1000, strict, known=TWO | {"private": PRIVATE}).method == "private"
    assert first_plan(SCHEMA, 1000, lax, known=TWO | {"private": PRIVATE}).method == "private"
    assert first_plan(SCHEMA, 1000, lax, known=TWO).method == "cart"
    with pytest.raises(PrivacyError, match="no installed method"):
        first_plan(SCHEMA, 1000, strict, known=TWO)


def test_a_failed_privacy_verdict_raises_the_privacy_level():
    first = first_plan(SCHEMA, 1000, RunRequest(privacy="low"), known=TWO)
    second = next_plan(SCHEMA, 1000, RunRequest(privacy="low"), [attempt(first, ["privacy.mia_auc"])], known=TWO)
    assert (first.params["min_support"], second.params["min_support"]) == (2, 5)
    assert "privacy level default" in second.reason
    assert second.method == "cart"


def test_a_failed_ks_adds_the_refinements_that_fit_the_columns():
    def second(schema):
        first = first_plan(schema, 1000, RunRequest(), known=TWO)
        return next_plan(schema, 1000, RunRequest(), [attempt(first, ["utility.ks_mean"])], known=TWO)

    assert second(SCHEMA).refinements == ("quantile_matching", "categorical_marginals")
    assert second(schema_of(numeric=3)).refinements == ("quantile_matching",)
    assert second(schema_of(discrete=3)).refinements == ("categorical_marginals",)


def test_a_failed_correlation_tries_another_method():
    first = first_plan(SCHEMA, 1000, RunRequest(), known=TWO)
    tried = [attempt(first, ["utility.corr_delta"])]
    assert next_plan(SCHEMA, 1000, RunRequest(), tried, known=TWO).method == "gaussian_copula"


def all_plans(request, failed, known=TWO, schema=SCHEMA):
    attempts, plan = [], first_plan(schema, 1000, request, known=known)
    while plan is not None:
        attempts.append(attempt(plan, failed, len(attempts) + 1))
        assert len(attempts) < 30
        plan = next_plan(schema, 1000, request, attempts, known=known)
    return [a.plan for a in attempts]


@pytest.mark.parametrize("failed", [
    ["privacy.mia_auc"], ["privacy.dup_rate"], ["utility.ks_mean"], ["utility.corr_delta"],
    ["privacy.mia_auc", "utility.ks_mean"], ["privacy.dup_rate", "utility.corr_delta"], ["fairness.rare_coverage"],
])
@pytest.mark.parametrize("request_", [RunRequest(), RunRequest(method="cart"), RunRequest(params={"min_support": 6})])
def test_plans_are_never_repeated_and_come_to_an_end(failed, request_):
    plans = all_plans(request_, failed)
    assert len({p.model_dump_json(exclude={"reason", "decided_by"}) for p in plans}) == len(plans)
    if request_.method != "auto":
        assert {p.method for p in plans} == {"cart"}
    for name, value in request_.params.items():
        assert all(p.params[name] == value for p in plans)


def test_privacy_is_never_lowered():
    supports = [p.params["min_support"] for p in all_plans(RunRequest(), ["privacy.mia_auc", "utility.ks_mean"])]
    assert supports == sorted(supports)


def test_a_differentially_private_run_gets_no_refinements():
    request = RunRequest(dp=DPRequest(epsilon=1))
    plans = all_plans(request, ["privacy.dup_rate", "utility.ks_mean"], known={"private": PRIVATE} | TWO)
    assert {p.refinements for p in plans} == {()}
    assert {p.method for p in plans} == {"private"}


def test_a_verdict_without_a_value_is_not_worth_another_plan():
    plan = Plan(method="cart", params={"min_support": 5}, reason="x")
    assert next_plan(SCHEMA, 1000, RunRequest(), [attempt(plan, ["privacy.mia_auc?"])], known=TWO) is None
    assert next_plan(SCHEMA, 1000, RunRequest(), [attempt(plan)], known=TWO) is None


def test_methods_that_cannot_learn_the_table_are_passed_over():
    assert fallback_plan(SCHEMA, 1000, RunRequest(), ["cart"], known=TWO).method == "gaussian_copula"
    assert fallback_plan(SCHEMA, 1000, RunRequest(), ["cart", "gaussian_copula"], known=TWO) is None
    assert fallback_plan(SCHEMA, 1000, RunRequest(method="cart"), ["cart"], known=TWO) is None
    plan = Plan(method="cart", params={"min_support": 20}, reason="x")
    tried = [attempt(plan, ["utility.corr_delta"])]
    assert next_plan(SCHEMA, 1000, RunRequest(), tried, unfit=["gaussian_copula"], known=TWO) is None
