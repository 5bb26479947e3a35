"""Races: who runs, who wins and why, what a budget ends, and that one bad candidate stops nobody."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from methods_for_tests import IndependentMarginals
from race_for_tests import (
    EVEN,
    GOOD,
    TWO,
    Broken,
    CannotLearn,
    Clock,
    Copier,
    Heavy,
    Partly,
    TimedParams,
    dataset,
    few_rows,
    hold,
    kind,
    timed,
)
from synthloom import registry
from synthloom.domain.errors import CancelledError, MissingDependencyError
from synthloom.domain.event import Notice, Progress
from synthloom.domain.measurement import Interval, Measured, Measurement
from synthloom.domain.race import Heat, Score
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.planning import heats, race
from synthloom.planning.heuristics import first_plan
from synthloom.planning.race import by_record, contest, outlook, rank


@pytest.fixture(scope="module")
def once():
    heard = []
    return hold(TWO, emit=heard.append), heard


def test_the_candidate_that_is_hardest_to_tell_from_real_rows_wins(once):
    result, _ = once
    assert (result.plan.method, result.plan.decided_by) == ("gaussian_copula", "race")
    assert result.ranking == ("gaussian_copula", "cart")
    assert result.race.winner == "gaussian_copula"
    assert [(h.method, h.placing, h.inside) for h in result.race.heats] == [
        ("gaussian_copula", "won", True), ("cart", "behind", True)
    ]
    own, other = (h.scores["utility.c2st"].value for h in result.race.heats)
    assert own < other
    assert f"gaussian_copula {own:.3f}, cart {other:.3f}" in result.plan.reason
    assert {"utility.shape", "privacy.dcr_share", "privacy.mia_auc", "privacy.dup_rate"} <= set(
        result.race.heats[0].scores
    )


def test_every_heat_is_told_and_progress_goes_one_way(once):
    _, heard = once
    told = [e.message for e in heard if isinstance(e, Notice)]
    assert [t.split()[0] for t in told] == ["gaussian_copula", "cart"]
    assert all("area of" in t and "inside the privacy limits" in t for t in told)
    progress = [e for e in heard if isinstance(e, Progress)]
    assert {e.step for e in progress} == {"plan"}
    fractions = [e.fraction for e in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_the_same_seed_gives_the_same_race(once):
    def scores(result):
        return [h.model_dump(exclude={"seconds"}) for h in result.race.heats]

    assert scores(hold(TWO)) == scores(once[0])
    assert scores(hold(TWO, seed=8)) != scores(once[0])


def test_one_that_cannot_learn_and_one_that_breaks_stop_nobody(caplog):
    result = hold(TWO | {"broken": kind("broken", Broken), "unfit": kind("unfit", CannotLearn)})
    failed = {h.method: h.reason for h in result.race.heats if h.placing == "failed"}
    assert result.plan.method == "gaussian_copula"
    assert "learns nothing" in failed["unfit"]
    assert "ZeroDivisionError" in failed["broken"]
    assert "secret-cell" not in failed["broken"] + caplog.text
    assert "candidate broken broke" in caplog.text


def test_one_outside_the_privacy_limits_does_not_win_however_alike():
    result = hold(TWO | {"copier": kind("copier", Copier)})
    copier = next(h for h in result.race.heats if h.method == "copier")
    assert (copier.placing, copier.inside) == ("outside", False)
    assert "DUP_MAX" in copier.reason
    assert "chance explains" in copier.reason
    assert result.plan.method == "gaussian_copula"


def test_without_anybody_inside_the_limits_the_reason_says_so():
    result = hold({"one": kind("one", Copier), "two": kind("two", Copier)})
    assert result.plan is not None
    assert "no candidate kept every privacy limit" in result.plan.reason


def test_one_that_does_not_come_to_an_end_is_stopped():
    clock = Clock()
    result = hold(TWO | {"slow": timed("slow", clock, seconds=1000.0)}, clock=clock)
    slow = next(h for h in result.race.heats if h.method == "slow")
    assert slow.placing == "late"
    assert "not done after 1000 s" in slow.reason
    assert result.plan.method == "gaussian_copula"


def test_methods_that_plan_their_time_get_their_share_of_half_the_budget():
    clock, seen = Clock(), []
    hold({"gaussian_copula": GOOD, "one": timed("one", clock, seen=seen), "two": timed("two", clock, seen=seen)},
         clock=clock)
    assert len(seen) == 6  # a small table is split three times
    assert all(seconds >= 1 for _, seconds in seen)
    assert clock.now <= race.SHARE * 120


def test_the_better_half_goes_on_with_more_rows(monkeypatch):
    monkeypatch.setattr(race, "HALVED_ROWS", 200)
    known = TWO | {"third": kind("third"), "unfit": kind("unfit", CannotLearn)}
    result = hold(known)
    rounds = {n: [(h.method, h.rows, h.placing) for h in result.race.heats if h.round == n] for n in (1, 2)}
    assert [p for _, _, p in rounds[1]] == ["ahead", "behind", "ahead", "failed"]
    assert {m for m, _, _ in rounds[2]} == {"gaussian_copula", "third"}
    assert {r for _, r, _ in rounds[1]} == {147}
    assert {r for _, r, _ in rounds[2]} == {294}


def trained(name, clock, *, soon, late, seen=None):
    """A method that takes all the time it is given: `soon` is what it gets wrong in less than ten seconds."""

    class Trained(Partly):
        Params = TimedParams

        def fit(self, table, schema, rng, emit=lambda e: None, cancelled=lambda: False):
            seconds = self.params.max_seconds
            clock.now += seconds
            if seen is not None:
                seen.append((name, seconds))
            self.off = late if seconds >= 10 else soon
            return super().fit(table, schema, rng, emit, cancelled)

    return kind(name, Trained, Params=TimedParams)


def last_round(result):
    return [h.method for h in result.race.heats if h.round == 2]


@pytest.mark.parametrize("better", ["ddpm", "autoregressive"])
def test_trainings_that_the_first_round_cannot_tell_apart_meet_again_with_more_time(better):
    clock, seen = Clock(), []
    known = {
        n: trained(n, clock, soon=0.5, late=0.0 if n == better else 0.3, seen=seen) for n in ("ddpm", "autoregressive")
    }
    result = hold(known | {"tvae": trained("tvae", clock, soon=1.0, late=1.0)}, rows=2000, clock=clock)
    assert last_round(result) == ["autoregressive", "ddpm"]
    assert result.plan.method == better
    assert all(seconds >= 10 for _, seconds in seen[2:])
    assert clock.now <= race.SHARE * 120


def test_a_training_that_is_clearly_behind_leaves_the_time_to_the_one_ahead():
    clock, seen = Clock(), []
    known = {
        "autoregressive": trained("autoregressive", clock, soon=1.0, late=0.0, seen=seen),
        "ddpm": trained("ddpm", clock, soon=0.5, late=0.5, seen=seen), "cart": EVEN,
    }
    result = hold(known, rows=2000, clock=clock, budget=50)
    assert last_round(result) == ["cart", "ddpm"]
    name, seconds = seen[-1]
    assert name == "ddpm"
    assert seconds > 12


def test_a_training_that_has_only_begun_is_not_put_out_by_methods_that_are_done():
    clock = Clock()
    known = {
        "autoregressive": trained("autoregressive", clock, soon=1.0, late=0.0),
        "cart": kind("cart", Partly, off=0.4), "gaussian_copula": kind("gaussian_copula", Partly, off=0.5),
    }
    result = hold(known, rows=2000, clock=clock, budget=50)
    first = {h.method: h.scores["utility.c2st"].value for h in result.race.heats if h.round == 1}
    assert max(first, key=first.get) == "autoregressive"
    assert result.plan.method == "autoregressive"


def test_where_time_is_short_the_one_that_measured_best_elsewhere_goes_first_among_equals():
    clock = Clock()
    known = {n: trained(n, clock, soon=0.3, late=0.3) for n in ("ddpm", "autoregressive", "tvae")}
    assert last_round(hold(known, rows=2000, clock=clock, budget=40)) == ["autoregressive"]


def test_a_winner_that_would_take_too_long_learns_as_many_rows_as_there_is_time_for(monkeypatch):
    few_rows(monkeypatch)
    clock = Clock()
    known = {"gaussian_copula": kind("gaussian_copula", Heavy, clock=clock), "cart": EVEN}
    result = hold(known, rows=2000, clock=clock, budget=50)
    assert result.plan.method == "gaussian_copula"
    assert result.seconds == pytest.approx(50)
    assert 800 <= result.rows < 2000
    enough = hold(known, rows=2000, clock=Clock(), budget=600)
    assert enough.rows is None


def test_a_cancel_inside_a_heat_is_noticed_within_a_second():
    since = []

    class Endless(IndependentMarginals):
        def fit(self, table, schema, rng, emit=lambda e: None, cancelled=lambda: False):
            since.append(time.perf_counter())
            while not cancelled():
                time.sleep(0.01)
            raise CancelledError("cancelled.")

    with pytest.raises(CancelledError):
        hold(TWO | {"endless": kind("endless", Endless)}, cancelled=lambda: bool(since))
    assert time.perf_counter() - since[0] < 1.0


def test_a_cancel_while_a_candidate_is_measured_ends_the_race():
    heard = []
    with pytest.raises(CancelledError):
        hold(TWO, emit=heard.append, cancelled=lambda: any("measured" in e.message for e in heard))


def test_nobody_who_could_be_measured_leaves_it_to_the_rules():
    clock = Clock()
    known = {"cart": timed("cart", clock, seconds=1000.0), "gaussian_copula": kind("gaussian_copula", CannotLearn)}
    result = hold(known, clock=clock)
    assert (result.plan, result.race.winner, result.ranking) == (None, None, ())
    assert {h.placing for h in result.race.heats} == {"failed", "late"}


def lap(method, area, *, inside=True, shape=0.9, error=0.01):
    scores = {
        "utility.c2st": Score(value=area, low=area - 1.96 * error, high=area + 1.96 * error),
        "utility.shape": Score(value=shape),
    }
    return Heat(round=1, method=method, scores=scores, inside=inside, placing="behind")


def test_privacy_comes_first_then_the_detector_then_what_decides_between_equals():
    laps = [
        lap("leaks", 0.5, inside=False), lap("far", 0.8), lap("near", 0.55, shape=0.9),
        lap("equal", 0.558, shape=0.95), lap("next", 0.58, shape=0.99),
    ]
    assert [h.method for h in rank(laps)] == ["equal", "near", "next", "far", "leaks"]
    below_chance = [lap("a", 0.47, shape=0.9), lap("b", 0.505, shape=0.95)]
    assert [h.method for h in rank(below_chance)] == ["b", "a"]


@pytest.mark.parametrize(("area", "shape", "inside", "first"), [
    (0.52, 0.9, True, "autoregressive"),  # level, and no less like the table
    (0.52, 0.897, True, "autoregressive"),  # less like the table by no more than chance explains
    (0.52, 0.89, True, "ddpm"),  # less like the table
    (0.54, 0.9, True, "ddpm"),  # clearly behind
    (0.51, 0.9, False, "ddpm"),  # outside the privacy limits
])
def test_a_net_first_by_chance_gives_way_to_one_that_measured_best_elsewhere(area, shape, inside, first):
    other = lap("autoregressive", area, shape=shape, inside=inside)
    ranked = by_record([lap("ddpm", 0.505), other, lap("cart", 0.53, shape=0.99)], lambda name: name != "cart")
    assert [h.method for h in ranked] == [first, "ddpm" if first != "ddpm" else "autoregressive", "cart"]
    done = [lap("cart", 0.5), lap("autoregressive", 0.505)]
    assert by_record(done, lambda name: name != "cart") == done


def test_the_reason_says_why_the_nearest_net_was_not_taken(monkeypatch):
    areas, clock = {"autoregressive": 0.52, "ddpm": 0.505, "tvae": 0.7}, Clock()

    def measured(track, plan, number, rows, **_):
        return lap(plan.method, areas[plan.method]).model_copy(update={"round": number, "rows": rows})

    monkeypatch.setattr(race, "run_heat", measured)
    result = hold({n: trained(n, clock, soon=0.0, late=0.0) for n in areas}, rows=2000, clock=clock)
    assert result.plan.method == "autoregressive"
    assert "autoregressive is taken, as ddpm is nearer by less than chance explains" in result.plan.reason


@pytest.mark.parametrize(("key", "low", "inside"), [
    ("privacy.dcr_share", 0.512, True), ("privacy.dcr_share", 0.525, False),
    ("privacy.mia_auc", 0.512, True), ("privacy.mia_auc", 0.518, False),
])
def test_a_leak_speaks_against_a_candidate_only_where_its_interval_begins_beyond_what_methods_stand_at(
    key, low, inside
):
    info = next(m.info for m in registry.metrics() if m.info.key == key)
    outcome = Measured(value=low + 0.02, interval=Interval(low=low, high=low + 0.04))
    said = heats.against({key: Measurement(info=info, outcome=outcome)}, ())
    assert bool(said) != inside


# Who races ------------------------------------------------------------------------------------------------------------


def test_cheap_ones_start_first_and_small_tables_leave_the_heavy_ones_out():
    clock = Clock()
    known = {n: timed(n, clock, needs="neural") for n in ("ctgan", "ddpm", "autoregressive")} | TWO
    request, schema = RunRequest(budget=120), dataset().schema
    assert contest(schema, 1000, request, known)[0] == ["gaussian_copula", "cart", "autoregressive", "ddpm", "ctgan"]
    assert contest(schema, 999, request, known)[0] == ["gaussian_copula", "cart"]


@pytest.mark.parametrize(("rows", "request_", "word"), [
    (5000, RunRequest(), ""), (5000, RunRequest(method="cart", budget=60), ""),
    (5000, RunRequest(budget=120, dp=DPRequest(epsilon=1, strict=False)), "void differential privacy"),
    (249, RunRequest(budget=120), "fewer than 250"), (5000, RunRequest(budget=5), "too short"),
])
def test_when_nothing_is_measured_the_reason_says_why(rows, request_, word):
    names, why = contest(dataset().schema, rows, request_, TWO)
    assert names == []
    assert word in why
    assert why in outlook(dataset().schema, rows, request_, TWO).reason


def test_the_outlook_names_who_would_race():
    plan = outlook(dataset().schema, 5000, RunRequest(budget=90), TWO)
    assert plan.decided_by == "heuristics"
    assert "A run measures gaussian_copula, cart first, within 1m30s" in plan.reason


def test_methods_that_lack_a_package_are_told_once_and_take_no_part(monkeypatch):
    monkeypatch.setattr(registry, "EXTRAS", {"neural": "no_such_package_at_all"})
    clock, heard = Clock(), []
    known = TWO | {n: timed(n, clock, needs="neural") for n in ("ctgan", "ddpm")}
    result = hold(known, rows=1300, emit=heard.append)
    assert [h.method for h in result.race.heats if h.placing == "absent"] == ["ddpm", "ctgan"]
    [notice] = [e for e in heard if isinstance(e, Notice) and e.code == "absent"]
    assert "ddpm, ctgan" in notice.message
    assert "pip install 'synthloom[neural]'" in notice.message
    assert {h.method for h in result.race.heats if h.scores} == set(TWO)


def test_a_method_that_lacks_a_package_is_refused_with_how_to_add_it(monkeypatch):
    monkeypatch.setattr(registry, "EXTRAS", {"neural": "no_such_package_at_all"})
    known = TWO | {"ctgan": timed("ctgan", Clock(), needs="neural")}
    for ask in (
        lambda: registry.create_synthesizer("ctgan", known=known),
        lambda: first_plan(dataset().schema, 5000, RunRequest(method="ctgan"), known=known),
    ):
        with pytest.raises(MissingDependencyError, match=r"needs no_such_package_at_all.*synthloom\[neural\]"):
            ask()
    known = {"tvae": timed("tvae", Clock(), needs="neural")} | TWO
    plan = first_plan(dataset().schema, 5000, RunRequest(), known=known)
    assert plan.method == "cart"
    assert "tvae would come first but is not usable here (Install it with: pip install" in plan.reason


def test_asking_what_a_method_lacks_imports_no_torch():
    ask = "import sys, synthloom.registry as r; [r.lacking(m) for m in r.methods().values()]"
    code = f"{ask}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Budgets --------------------------------------------------------------------------------------------------------------
