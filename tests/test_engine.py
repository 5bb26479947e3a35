"""The engine: stages in order, the same bytes for the same seed, cancel everywhere, the best attempt delivered."""

from __future__ import annotations

import os
import random
import time

import numpy as np
import pandas as pd
import pytest

from methods_for_tests import KNOWN, IndependentMarginals
from synthloom.domain.errors import CancelledError, FitError, PrivacyError, TableError
from synthloom.domain.event import STEPS, Fallback, Notice, Progress, StepFinished, StepStarted
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.measurement import Measured, Threshold, Undefined
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.domain.schema import Kind
from synthloom.engine import MIN_ROWS, REFINE_KEYS, evaluate, execute_pipeline
from synthloom.registry import metrics
from synthloom.tables.canonical import check_canonical
from synthloom.tables.dataset import Dataset
from synthloom.testing.example_tables import example, mixed

LOOSE = (Threshold(name="KS_MAX", key="utility.ks_mean", limit=1.0),)
QUICK = tuple(m for m in metrics() if m.info.key in (*REFINE_KEYS, "privacy.mia_auc"))
STRICT_KS = (Threshold(name="KS_MAX", key="utility.ks_mean", limit=0.0),)


def dataset(rows=400, seed=1):
    case = mixed(rows, seed)
    return Dataset(case.table, case.schema, "people.csv", "0" * 64)


def run(data=None, *, rng=3, emit=lambda event: None, cancelled=lambda: False, known=KNOWN, chosen=QUICK, **request):
    request = {"thresholds": LOOSE, **request}
    return execute_pipeline(
        dataset() if data is None else data, RunRequest(**request), np.random.default_rng(rng), emit, cancelled,
        known=known, metrics=chosen,
    )


@pytest.fixture(scope="module")
def once():
    heard = []
    data = dataset()
    return run(data, emit=heard.append, refinements=("quantile_matching", "categorical_marginals")), heard, data


def test_a_run_delivers_rows_a_model_and_a_report(once):
    result, _, data = once
    check_canonical(result.data, result.synthesizer.schema)
    assert len(result.data) == len(data.frame)
    assert result.report.outcome == "passed"
    assert result.report.meta.model == "marginals"
    assert (result.report.meta.n_real, result.report.meta.n_train + result.report.meta.n_holdout) == (400, 400)
    assert result.report.meta.data_hash == data.sha256
    assert result.report.protection.min_support == 5
    assert result.report.protection.settings == {"min_support": 5}
    assert result.report.attempts == result.attempts
    again = result.synthesizer.sample_canonical(10, np.random.default_rng(1))
    assert len(again) == 10


def test_measurements_describe_what_is_delivered(once):
    result, _, _ = once
    effects = result.report.refinements
    assert [e.step for e in effects] == ["quantile_matching", "categorical_marginals"]
    assert effects[-1].before == effects[0].after
    delivered = {m.info.key: m.value for m in result.report.measurements}
    for key in REFINE_KEYS:
        assert effects[-1].after[key] == delivered[key]
    assert effects[0].after["utility.ks_mean"] < effects[0].before["utility.ks_mean"]


def test_every_stage_starts_tells_its_progress_and_finishes_in_order(once):
    _, heard, _ = once
    started = [e.step for e in heard if isinstance(e, StepStarted)]
    assert started == ["split", "plan", "fit", "sample", "refine", "measure", "verdict", "report"]
    assert [e.step for e in heard if isinstance(e, StepFinished)] == started
    assert set(started) < set(STEPS)
    running = None
    for event in heard:
        if isinstance(event, StepStarted):
            assert running is None
            running, reached = event.step, -1.0
        elif isinstance(event, Progress):
            assert event.step == running
            assert event.fraction >= reached
            reached = event.fraction
        elif isinstance(event, StepFinished):
            assert (event.step, reached) == (running, 1.0)
            running = None
    assert running is None
    assert sum(isinstance(e, Progress) and e.step == "fit" for e in heard) > 5


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(once):
    result, _, _ = once
    again = run(refinements=("quantile_matching", "categorical_marginals"))
    pd.testing.assert_frame_equal(again.data, result.data)
    assert again.report.model_dump_json() == result.report.model_dump_json()
    assert again.synthesizer.to_bytes() == result.synthesizer.to_bytes()
    assert not run(rng=4, refinements=("quantile_matching", "categorical_marginals")).data.equals(result.data)


def test_the_source_table_and_the_world_stay_as_they_are(once, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, data = once
    pd.testing.assert_frame_equal(data.frame, dataset().frame)
    before, numpy_before, environment = random.getstate(), np.random.get_state()[1].copy(), dict(os.environ)
    run()
    assert list(tmp_path.iterdir()) == []
    assert random.getstate() == before
    assert np.array_equal(np.random.get_state()[1], numpy_before)
    assert dict(os.environ) == environment


def test_nothing_about_the_rows_is_written_to_the_log(caplog):
    caplog.set_level(0)
    run()
    cells = set(dataset().frame["id"])
    assert not any(cell in record.getMessage() for record in caplog.records for cell in cells)


@pytest.mark.parametrize("step", ["split", "plan", "fit", "sample", "refine", "measure", "verdict", "report"])
def test_a_cancel_in_any_stage_is_noticed_within_a_second(step):
    def seconds():
        since = []

        def emit(event):
            if isinstance(event, StepStarted) and event.step == step:
                since.append(time.perf_counter())

        with pytest.raises(CancelledError):
            run(
                dataset(2000), emit=emit, cancelled=lambda: bool(since), refinements=("quantile_matching",),
                chosen=None if step == "measure" else QUICK,
            )
        return time.perf_counter() - since[0]

    assert min(seconds() for _ in range(2)) < 1.0  # twice: a busy machine has pauses of its own


def cancel_at(point: int) -> None:
    """Cancel a run at a call of `cancelled`, and see it end.

    While metrics are measured in lanes, how often it is asked depends on the machine: where a run ends before the call
    is reached, it is cancelled at an earlier one.
    """
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) >= point

    try:
        run(cancelled=cancelled, refinements=("jitter",))
    except CancelledError:
        return
    assert 0 < len(asked) < point, f"the run went on to its end although it was cancelled at call {point}"
    cancel_at((len(asked) + 1) // 2)


def test_a_cancel_at_any_moment_ends_the_run():
    calls = []
    run(cancelled=lambda: bool(calls.append(1)), refinements=("jitter",))
    for point in np.linspace(1, len(calls), 12).astype(int):
        cancel_at(int(point))


def test_a_cancel_before_the_first_stage_is_noticed():
    with pytest.raises(CancelledError):
        run(cancelled=lambda: True)


def test_an_attempt_that_fails_is_followed_by_another_plan():
    heard = []
    result = run(emit=heard.append, thresholds=STRICT_KS, max_attempts=2)
    assert len(result.attempts) == 2
    assert result.attempts[0].plan.refinements == ()
    assert result.attempts[1].plan.refinements == ("quantile_matching", "categorical_marginals")
    assert "utility.ks_mean did not pass" in result.attempts[1].plan.reason
    assert [e.attempt for e in heard if isinstance(e, StepStarted) and e.step == "fit"] == [1, 2]
    assert result.report.outcome == "failed"
    assert any(isinstance(e, Notice) and e.code == "not_passed" for e in heard)
    assert any(n.code == "not_passed" for n in result.report.notices)


def test_every_attempt_has_the_floors_of_real_against_real():
    result = run(thresholds=STRICT_KS, max_attempts=2)
    floors = [{m.info.key: m.floor for m in a.measurements} for a in result.attempts]
    assert floors[0] == floors[1]
    assert any(isinstance(f, Measured) for f in floors[0].values())


def test_the_attempt_with_the_fewest_failed_privacy_verdicts_is_delivered():
    """No attempt can have a KS of 0; the second comes closer, so it is delivered, described by its own numbers."""
    result = run(thresholds=STRICT_KS, max_attempts=2)
    assert result.report.meta.attempt == 2
    assert result.report.measurements == result.attempts[1].measurements
    assert result.report.plan == result.attempts[1].plan
    values = [a.verdicts[0].value for a in result.attempts]
    assert values[1] < values[0]


def test_by_default_everything_is_measured():
    result = run(dataset(120), chosen=None)
    assert [m.info.key for m in result.report.measurements] == [m.info.key for m in metrics()]


def test_passing_ends_the_attempts():
    assert len(run(max_attempts=5).attempts) == 1


class CannotFit(IndependentMarginals):
    info = IndependentMarginals.info.__class__(name="cart", title="x", summary="x", paper="x")

    def fit(self, *args, **more):
        raise FitError("this method learns nothing.")


def test_a_method_chosen_by_auto_that_cannot_learn_is_a_visible_step_down():
    heard = []
    result = run(emit=heard.append, known={"cart": CannotFit} | KNOWN)
    assert result.report.meta.model == "marginals"
    [fallback] = [e for e in heard if isinstance(e, Fallback)]
    assert (fallback.wanted, fallback.used) == ("cart", "marginals")
    assert result.report.fallbacks == (fallback,)


def test_a_method_named_by_a_person_that_cannot_learn_is_an_error():
    with pytest.raises(FitError, match="learns nothing"):
        run(method="cart", known={"cart": CannotFit} | KNOWN)
    with pytest.raises(FitError, match="learns nothing"):
        run(known={"cart": CannotFit})


class PickyAtHighPrivacy(IndependentMarginals):
    def fit(self, *args, **more):
        if self.params.min_support > 5:
            raise FitError("too few records for so much privacy.")
        return super().fit(*args, **more)


def test_a_later_attempt_that_cannot_learn_leaves_the_earlier_one_and_says_so():
    hopeless = (Threshold(name="MIA_MAX", key="privacy.mia_auc", limit=0.0),)
    result = run(thresholds=hopeless, known={"marginals": PickyAtHighPrivacy})
    assert [a.number for a in result.attempts] == [1]
    assert any(n.code == "unfit" and "so much privacy" in n.message for n in result.report.notices)


def test_rows_can_be_asked_for():
    assert len(run(rows=77).data) == 77


def test_tables_too_small_or_with_nothing_to_learn_are_refused_with_what_to_do():
    with pytest.raises(TableError, match=rf"people\.csv: {MIN_ROWS - 1} rows are too few.*at least {MIN_ROWS}"):
        run(dataset(MIN_ROWS - 1))
    assert len(run(dataset(MIN_ROWS), thresholds=()).data) == MIN_ROWS
    ids = [f"a{k}" for k in range(50)]
    case = example("x", {"id": (Kind.IDENTIFIER, ids), "c": (Kind.CONSTANT, ["k"] * 50)})
    with pytest.raises(TableError, match="no column holds anything to learn"):
        run(Dataset(case.table, case.schema, "ids.csv", "0" * 64))


def test_a_table_whose_rows_are_all_copies_has_no_holdout_and_says_so():
    case = example("x", {"a": (Kind.CATEGORY, ["u", "v"] * 50)})
    result = run(Dataset(case.table, case.schema, "two.csv", "0" * 64), thresholds=())
    assert result.report.meta.n_holdout == 0
    assert any(n.code == "no_holdout" for n in result.report.notices)
    assert result.report.privacy["mia_auc"] is None
    assert result.report.outcome == "not_judged"


def test_rows_to_measure_against_may_come_beside_the_table():
    case, beside = mixed(300, 1), mixed(100, 2).table
    own = pd.concat([beside, case.table.iloc[:40]], ignore_index=True)
    seen = []

    class Watched(IndependentMarginals):
        def fit(self, table, schema, rng, emit=lambda event: None, cancelled=lambda: False):
            seen.append(table)
            return super().fit(table, schema, rng, emit, cancelled)

    data = Dataset(case.table, case.schema, "people.csv", "0" * 64, holdout=own)
    result = run(data, known={"marginals": Watched}, method="marginals")
    pd.testing.assert_frame_equal(seen[0], case.table)
    meta = result.report.meta
    assert (meta.n_real, meta.n_train, meta.n_holdout, meta.n_synth) == (440, 300, 100, 300)
    assert result.report.privacy["mia_auc"] is not None


def test_differential_privacy_is_refused_or_visibly_not_given_and_never_refined():
    with pytest.raises(PrivacyError):
        run(dp=DPRequest(epsilon=1))
    with pytest.raises(PrivacyError, match="refinements"):
        run(dp=DPRequest(epsilon=1, strict=False), refinements=("jitter",))
    result = run(dp=DPRequest(epsilon=1, strict=False))
    assert result.report.privacy["dp_requested"] is True
    assert result.report.privacy["dp_effective"] is False
    assert result.report.fallbacks[0].used == "no formal guarantee"


def test_data_made_elsewhere_is_measured_with_a_holdout():
    case, held = mixed(300, 1), mixed(100, 2)
    heard = []
    made = mixed(200, 3).table
    report = evaluate(case.table, made, held.table, case.schema, seed=5, emit=heard.append, metrics=QUICK)
    assert report.guarantee == NoGuarantee()
    assert report.plan is None
    assert (report.meta.n_train, report.meta.n_holdout, report.meta.n_synth) == (300, 100, 200)
    assert report.privacy["mia_auc"] is not None
    assert [e.step for e in heard if isinstance(e, StepStarted)] == ["measure", "verdict", "report"]
    again = evaluate(case.table, made, held.table, case.schema, seed=5, metrics=QUICK)
    assert again.model_dump_json() == report.model_dump_json()


def test_without_a_holdout_what_needs_unseen_rows_is_undefined():
    case = mixed(300, 1)
    report = evaluate(case.table, mixed(200, 3).table, None, case.schema, metrics=QUICK)
    outcomes = {m.info.key: m.outcome for m in report.measurements}
    assert isinstance(outcomes["privacy.mia_auc"], Undefined)
    assert isinstance(outcomes["utility.ks_mean"], Measured)
    assert all(m.floor is None for m in report.measurements)
    with pytest.raises(TableError, match="synthetic table: there are no rows"):
        evaluate(case.table, case.table.iloc[:0], None, case.schema)
