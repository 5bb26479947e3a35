"""Budgets of time, and what a run does with them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from methods_for_tests import IndependentMarginals
from race_for_tests import (
    EVEN,
    QUICK,
    TWO,
    Clock,
    Heavy,
    dataset,
    few_rows,
    kind,
    timed,
)
from synthloom.domain.budget import budget_text, read_budget
from synthloom.domain.errors import FitError, UsageError
from synthloom.domain.event import Fallback, Loss
from synthloom.domain.run import RunRequest
from synthloom.engine import execute_pipeline
from synthloom.planning.heuristics import first_plan, within_budget
from synthloom.service import choose_budget


@pytest.mark.parametrize(("text", "seconds"), [
    ("60s", 60), ("2m", 120), ("1h30m", 5400), ("90", 90), ("1.5h", 5400), (" 2 M ", 120), ("2.5", 2.5), (45, 45),
    ("none", None), ("0", None), (0, None),
])
def test_times_as_people_write_them(text, seconds):
    assert read_budget(text) == seconds
    if seconds:
        assert read_budget(budget_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3", "5d", "nan", "m", "1h30", "1e9", "inf", True])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"--budget: .* is no time.*1h30m"):
        read_budget(text, "--budget")


def test_the_setting_holds_for_auto_and_never_cuts_a_named_method_short():
    assert choose_budget(None, "auto", 120.0) == 120
    assert choose_budget(None, "ddpm", 120.0) is None
    assert choose_budget("30s", "ddpm", 120.0) == 30
    assert choose_budget("none", "auto", 120.0) is None


def test_a_budget_reaches_methods_that_can_plan_their_time_and_the_persons_own_value_stands():
    known = {"timed": timed("timed", Clock())} | TWO
    request = RunRequest(method="timed", budget=60)
    plan = first_plan(dataset().schema, 5000, request, known=known)
    assert within_budget(plan, request, 42.04, known).params["max_seconds"] == 42.0
    assert within_budget(plan, request, None, known) == plan
    own = RunRequest(method="timed", budget=60, params={"max_seconds": 7})
    plan = first_plan(dataset().schema, 5000, own, known=known)
    assert within_budget(plan, own, 42.0, known).params["max_seconds"] == 7
    cheap = RunRequest(method="cart", budget=60)
    plan = first_plan(dataset().schema, 5000, cheap, known=known)
    assert within_budget(plan, cheap, 42.0, known) == plan


# In the engine --------------------------------------------------------------------------------------------------------


def run(known, *, rows=500, clock=time.monotonic, emit=lambda e: None, **request):
    return execute_pipeline(
        dataset(rows), RunRequest(**{"budget": 120.0, **request}), np.random.default_rng(3), emit, known=known,
        metrics=QUICK, clock=clock,
    )


def test_the_winner_learns_all_training_rows_in_what_is_left_of_the_budget():
    clock, seen, heard = Clock(), [], []
    result = run({"cart": EVEN, "gaussian_copula": timed("gaussian_copula", clock, seen=seen)}, clock=clock,
                 emit=heard.append)
    plan, report = result.attempts[0].plan, result.report
    assert (plan.method, plan.decided_by) == ("gaussian_copula", "race")
    rows, seconds = seen[-1]
    assert rows == report.meta.n_train > max(r for r, _ in seen[:-1])
    assert seconds == plan.params["max_seconds"] == pytest.approx(120 - sum(s for _, s in seen[:-1]), abs=0.2)
    assert report.race.winner == "gaussian_copula"
    assert [loss.name for loss in report.losses] == ["train"]  # of the run's own learning, not of the heats
    assert sum(isinstance(e, Loss) for e in heard) == 1
    assert [n.code for n in report.notices].count("suppressed") == 1


def test_without_a_budget_rules_choose_and_no_clock_is_looked_at():
    def no_clock():
        raise AssertionError("the clock was looked at")

    result = run(TWO, budget=None, clock=no_clock)
    assert result.report.race is None
    assert result.attempts[0].plan.decided_by == "heuristics"


def test_a_run_on_fewer_rows_says_so_and_measures_against_those_it_has_learnt(monkeypatch):
    few_rows(monkeypatch)
    clock = Clock()
    known = {"gaussian_copula": kind("gaussian_copula", Heavy, clock=clock), "cart": EVEN}
    report = run(known, rows=2600, clock=clock, budget=60).report
    [notice] = [n.message for n in report.notices if n.code == "budget"]
    assert f"gaussian_copula learns {report.meta.n_train:,} of 2,080 training rows" in notice
    assert "would take about 52 s of a budget of 1m" in notice
    assert report.meta.n_train < 2080


def test_a_named_method_gets_the_whole_budget_and_no_race():
    clock, seen = Clock(), []
    result = run({"timed": timed("timed", clock, seen=seen)} | TWO, clock=clock, method="timed", budget=30)
    assert [seconds for _, seconds in seen] == [30.0]
    assert result.report.race is None


def test_a_winner_that_cannot_learn_all_rows_is_followed_by_the_second():
    class Picky(IndependentMarginals):
        def fit(self, table, *args, **more):
            if len(table) > 380:
                raise FitError("too many rows.")
            return super().fit(table, *args, **more)

    heard = []
    result = run({"gaussian_copula": kind("gaussian_copula", Picky), "cart": EVEN}, emit=heard.append)
    [fallback] = [e for e in heard if isinstance(e, Fallback)]
    assert (fallback.wanted, fallback.used) == ("gaussian_copula", "cart")
    assert result.report.race.winner == "gaussian_copula"
    assert result.report.meta.model == "cart"


def test_a_device_reaches_methods_that_know_it_and_others_say_so():
    known = {"timed": timed("timed", Clock())} | TWO
    plan = first_plan(dataset().schema, 5000, RunRequest(method="timed", device="cpu"), known=known)
    assert plan.params["device"] == "cpu"
    assert "device" not in first_plan(dataset().schema, 5000, RunRequest(method="timed"), known=known).params
    result = run(TWO, method="cart", device="cuda")
    assert [n.message for n in result.report.notices if n.code == "device"] == [
        "cart runs on the CPU; it has no use for device cuda."
    ]
