"""Reports to look at: one in which all is well, one in which nothing is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from reports_for_tests import make_report, measurement

from synthloom.domain.event import Fallback, Loss, Notice
from synthloom.domain.measurement import Failed, Undefined
from synthloom.domain.plan import Plan
from synthloom.domain.report import RefinementEffect, Report
from synthloom.domain.run import DEFAULT_THRESHOLDS, Attempt, DPRequest
from synthloom.domain.schema import Kind
from synthloom.reports.build import judge

NASTY = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "عمر المريض", "🧬 gene 😀", "{{ 7*7 }}",
    "a&b<c>'\"",
    "line\nbreak\tand\x00nul",
    "an_endless_name_without_any_place_to_break_it_" * 3, " ", "年齢（歳）", "]]>", "</style>",
)


@pytest.fixture
def report() -> Report:
    """All checks passed."""
    return make_report()


@pytest.fixture
def troubled_report() -> Report:
    """Everything that can be wrong at once, with column names that try to break out of the page."""
    kinds = [Kind.INTEGER, Kind.CATEGORY, Kind.DATE, Kind.DECIMAL, Kind.BOOLEAN, Kind.ORDERED]
    measured = (
        measurement("utility.ks_mean", Failed(error="ValueError in fidelity.py, line 12 (ks_mean).")),
        measurement("utility.corr_delta", Undefined(reason="The table has fewer than two numeric columns.")),
        measurement("privacy.mia_auc", 0.71),
        measurement("privacy.dup_rate", Undefined(reason="No column can be compared.")),
    )
    verdicts = judge(measured, DEFAULT_THRESHOLDS)
    plan = Plan(method="gaussian_copula", reason="A first try.", refinements=("jitter",))
    return make_report(
        kinds=kinds * 2, names=list(NASTY), measurements=measured, verdicts=verdicts,
        attempts=(Attempt(number=1, plan=plan, measurements=measured, verdicts=verdicts),),
        refinements=(
            RefinementEffect(step="jitter", before={"utility.ks_mean": 0.03}, after={"utility.ks_mean": 0.04}),
        ),
        fallbacks=(Fallback(wanted="synthcity", used="native", reason="Its <environment> is not installed."),),
        notices=(Notice(code="merged", message="3 labels were merged.", column=NASTY[0]),),
        losses=[Loss(name="generator", iteration=i, value=1 / (i + 1)) for i in range(1000)],
        dp=DPRequest(epsilon=1.0, strict=False),
    )


@pytest.fixture
def make() -> Callable[..., Report]:
    """`make_report` for tests that change one thing."""
    return make_report
