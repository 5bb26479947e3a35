"""Backends' plugins as methods, in a real second interpreter that runs the tests' own host."""

from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest

import synthloom
from backends_for_tests import city, desk, sdv
from synthloom.adapters.local_folder import LocalFolder
from synthloom.backends.desk import make_backends
from synthloom.backends.evaluators import EVALUATORS, synthcity_metrics
from synthloom.backends.sdv import Sdv
from synthloom.backends.specs import Limits
from synthloom.backends.synthcity import SynthCity
from synthloom.domain.errors import (
    BackendError,
    CancelledError,
    ContractError,
    FitError,
    ForbiddenError,
    ParamsError,
    ResourceError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Loss, Progress
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.domain.schema import SchemaOverrides
from synthloom.engine import execute_pipeline
from synthloom.metrics.contract import Tables
from synthloom.metrics.runner import measure
from synthloom.registry import create_synthesizer
from synthloom.service import Finished, Service
from synthloom.settings import Settings
from synthloom.tables.coerce import coerce
from synthloom.tables.dataset import Dataset
from synthloom.tables.infer import frame_to_raw, infer_schema


def people(n=300):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "age": pd.array(rng.integers(18, 90, n), dtype="Int64"), "income": rng.lognormal(10, 0.5, n).round(2),
        "grade": rng.choice(["low", "mid", "high"], n), "member": rng.random(n) < 0.4,
        "seen": pd.Timestamp("2021-01-01", tz="Europe/Berlin") + pd.to_timedelta(rng.integers(0, 9e6, n), unit="s"),
        "stay": pd.to_timedelta(rng.integers(60, 9000, n), unit="s"), "code": rng.integers(1, 5, n),
    })
    frame.loc[rng.random(n) < 0.2, ["age", "grade"]] = None
    frame.loc[rng.random(n) < 0.1, ["seen"]] = None
    return frame


def canonical(frame):
    raw = frame_to_raw(frame)
    schema = infer_schema(raw)
    return coerce(raw, schema), schema


def made(name="ctgan", params=None, backend="synthcity", **more):
    return create_synthesizer(name, params, backend=backend, backends=desk(), **more)


@pytest.fixture(scope="module")
def frame():
    return people()


@pytest.mark.parametrize(("name", "backend"), [("ctgan", "synthcity"), ("gc", "sdv")])
def test_rows_come_back_as_the_table_has_them(frame, name, backend):
    model = made(name, backend=backend, params={"mood": "floats"}).fit(frame, seed=1)
    rows = model.sample(500, seed=2)
    assert list(rows.columns) == list(frame.columns)
    assert rows.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
    assert len(rows) == 500
    assert 0.1 < rows["age"].isna().mean() < 0.3
    assert set(rows["grade"].dropna()) == {"low", "mid", "high"}
    assert rows["age"].dropna().between(18, 90).all()
    assert (rows["income"].round(2) == rows["income"]).all()
    assert model.sample(500, seed=2).equals(rows)
    assert not model.sample(500, seed=3).equals(rows)
    assert len(model.sample(0)) == 0
    model.close()
    with pytest.raises(UsageError, match="session has ended"):
        model.sample(5)


def test_progress_and_losses_are_heard(frame):
    heard = []
    made().fit(frame, emit=heard.append)
    assert [e.fraction for e in heard if isinstance(e, Progress)][-1] == 1
    assert [e.value for e in heard if isinstance(e, Loss)] == [1, 1 / 2, 1 / 3, 1 / 4]


@pytest.mark.parametrize("mood", ["few", "strange"])
def test_rows_that_lack_are_asked_for_again(frame, mood):
    assert len(made(params={"mood": mood}).fit(frame).sample(400)) == 400


def test_too_few_rows_after_all_tries_are_an_error(frame):
    model = made(params={"mood": "none"}).fit(frame)
    assert len(model.sample(10)) == 10
    with pytest.raises(BackendError, match="0 usable rows of 800 in 12 tries"):
        model.sample(800)


@pytest.mark.parametrize(("mood", "kind", "said"), [
    ("raises", BackendError, "ValueError: the plugin does not like this table"),
    ("crashes", BackendError, "ended without a result"),
])
def test_a_plugin_that_fails_says_how(frame, mood, kind, said):
    with pytest.raises(kind, match=said):
        made(params={"mood": mood}).fit(frame)


def test_wrong_columns_are_a_defect_of_the_backend(frame):
    with pytest.raises(ContractError, match="columns"):
        made(params={"mood": "wrong"}).fit(frame).sample(5)


def test_a_plugin_that_hangs_is_stopped_by_cancel_and_by_time(frame):
    stop = threading.Event()
    threading.Timer(0.6, stop.set).start()
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        made(params={"mood": "hangs"}).fit(frame, cancelled=stop.is_set)
    assert time.monotonic() - begun < 4
    short = desk(limits=Limits(backend_seconds=1.0))
    with pytest.raises(ResourceError, match="longer than the 1 seconds"):
        create_synthesizer("ctgan", {"mood": "hangs"}, backend="synthcity", backends=short).fit(frame)


def test_parameters_go_by_their_names_in_any_package():
    method = made(params={
        "epochs": 9, "learning_rate": 0.1, "embedding_dim": 32, "batch_size": 64,
    }, name="tvae")
    assert method.params.model_dump(exclude_unset=True) == {
        "n_iter": 9, "lr": 0.1, "n_units_embedding": 32, "batch_size": 64, "min_shared": 10,
    }
    both = made(params={"width": 77})
    assert (both.params.generator_n_units_hidden, both.params.discriminator_n_units_hidden) == (77, 77)


@pytest.mark.parametrize(("params", "said"), [
    ({"n_itr": 3}, "Did you mean n_iter"), ({"epoch": 3}, "Did you mean epochs"),
    ({"n_iter": "many"}, "n_iter='many'"), ({"epochs": 3, "n_iter": 4}, "same parameter"),
    ({"random_state": 1}, "the run's seed sets it"), ({"cuda": True}, "give device"),
])
def test_parameters_that_the_plugin_does_not_take_are_told(params, said):
    with pytest.raises(ParamsError, match=said):
        made(params=params)


def test_a_parameter_without_a_counterpart_is_explained():
    with pytest.raises(ParamsError, match="its layers are all alike: give generator_n_units_hidden"):
        made("adsgan", {"generator_dim": [256, 256]})


def test_every_plugin_that_loads_is_reached_and_others_say_why_not():
    assert create_synthesizer("synthcity:adsgan", backends=desk()).backend == "synthcity"
    assert create_synthesizer("sdv:gc", backends=desk()).method == "gaussian_copula"
    for name, kind, why in (
        ("great", BackendError, "does not load: No module named 'great'"),
        ("adsgn", UnknownNameError, "Did you mean adsgan"),
    ):
        with pytest.raises(kind, match=why):
            made(name)
    usable, others = city().listed()
    assert {"ctgan", "adsgan", "survival_gan", "timegan"} <= usable.keys()
    assert {"great"} == others.keys()


def test_survival_plugins_learn_survival_tables(frame):
    table = pd.DataFrame({
        "time": np.random.default_rng(1).exponential(100, 200).round(1), "died": ["yes", "no"] * 100,
        "age": np.arange(200) % 50,
    })
    table.loc[:4, "died"] = None
    model = made("survival_gan").fit(
        table, overrides=SchemaOverrides.model_validate({"survival": {"time": "time", "event": "died"}})
    )
    assert set(model.sample(50)["died"]) == {"yes", "no"}
    with pytest.raises(FitError, match="no time and event column"):
        made("survival_gan").fit(frame)


def test_plugins_for_several_sources_need_a_column_that_names_them(frame, tmp_path, monkeypatch):
    for params, said in (({}, "no column names"), ({"domain": "income"}, "'income' is no column of labels")):
        with pytest.raises(FitError, match=said) as caught:
            made("radialgan", params).fit(frame)
        assert "grade" in str(caught.value.do)
    model = made("radialgan", {"domain": "grade", "n_iter": 3}).fit(frame)
    asked = model._method._session.call("asked").result
    assert asked["domain"] in asked["columns"]
    assert asked["columns"][asked["domain"]]["kind"] == "category"
    assert asked["params"] == {"n_iter": 3}
    assert set(model.sample(200)["grade"].dropna()) == {"low", "mid", "high"}


def test_what_a_maker_states_of_privacy_is_no_guarantee(frame):
    model = made("dpgan", dp=DPRequest(epsilon=3, strict=False)).fit(frame)
    promise = model.guarantee
    assert isinstance(promise, NoGuarantee)
    assert promise.stated_epsilon == 3
    assert "generator also trains on real rows" in promise.why


def test_a_model_of_a_backend_cannot_be_saved(frame, tmp_path):
    model = made().fit(frame)
    assert not model.savable
    with pytest.raises(UsageError, match="pickle"):
        model.save(tmp_path / "model.synthloom")


def test_the_interpreter_ends_with_the_model(frame):
    model = made().fit(frame)
    session = model._method._session
    process = session._child
    del model
    assert session._child is None
    assert process is not None


def test_a_run_with_a_backend_leaves_everything_but_the_model(tmp_path):
    request = RunRequest(method="ctgan", thresholds=(), max_attempts=1)
    dataset = Dataset(*canonical(people(60)[["age", "grade", "income"]]), "t", "0")
    result = execute_pipeline(dataset, request, np.random.default_rng(1), metrics=(), backends=desk())
    done = Service(LocalFolder(tmp_path)).keep("r", Finished(result.report, result))
    assert done.report.meta.backend == "synthcity"
    assert {a.key for a in done.artifacts} == {
        f"r/{n}" for n in ("synthetic.csv", "synthetic.parquet", "report.json", "report.html", "report.pdf")
    }
    assert [n.code for n in done.notices] == ["model_not_kept"]
    assert "backend" in {n.code for n in done.report.notices}


def test_a_plugin_that_fails_gives_way_to_the_next_backend_and_the_report_is_headed_by_it(frame):
    dataset = Dataset(*canonical(frame), "t", "0")
    request = RunRequest(method="ctgan", params={"mood": "raises"}, thresholds=(), max_attempts=1)
    with pytest.raises(BackendError, match="does not like"):  # our ctgan has no mood: nobody else can do this
        execute_pipeline(dataset, request, np.random.default_rng(1), metrics=(), backends=desk())
    request = RunRequest(method="gc", thresholds=(), max_attempts=1, params={"min_shared": 5})
    done = execute_pipeline(
        dataset, request, np.random.default_rng(1), metrics=(), backends=desk(("sdv", "native"), asked=True)
    )
    assert done.report.meta.backend == "sdv"


def test_sdv_is_refused_where_it_is_offered_to_others_without_a_licence():
    assert isinstance(Sdv(Limits(), hosted=True).unavailable(), ForbiddenError)
    assert not isinstance(Sdv(Limits(), hosted=True, licensed=True).unavailable(), ForbiddenError)
    assert sdv().unavailable() is None


def test_a_backend_that_is_not_installed_says_how_to_install_it(tmp_path):
    error = SynthCity(Limits(home=str(tmp_path))).unavailable()
    assert error is not None
    assert error.code == "missing_dependency"
    assert "synthloom backends install synthcity" in error.text()
    half = tmp_path / "backends" / "synthcity" / "env-1"
    half.mkdir(parents=True)
    assert SynthCity(Limits(home=str(tmp_path))).unavailable().code == "backend"


def test_the_package_is_not_importable_over_there():
    assert synthloom.__version__
    with city().session() as session:
        assert session.call("check").result["versions"]["python"]


def measured(frame, *, holdout=True, backend=None, **roles):
    schema = infer_schema(frame_to_raw(frame), SchemaOverrides.model_validate(roles))
    table = coerce(frame_to_raw(frame), schema)
    tables = Tables(
        table.iloc[:180].reset_index(drop=True), table.iloc[180:].reset_index(drop=True) if holdout else None,
        table.iloc[:100].reset_index(drop=True), schema, seed=1,
    )
    return {m.info.key: m for m in measure(tables, synthcity_metrics(backend or city()), floors=False)}


def test_synthcitys_metrics_get_each_table_where_it_belongs_and_those_that_vanish_say_why(frame):
    found = measured(frame, target="grade")
    assert found["synthcity.stats.ks_test"].value == 0.9
    assert found["synthcity.sanity.common_rows_proportion"].value == 180
    k = found["synthcity.privacy.k_anonymization"].outcome
    assert (k.value, k.details["parts"]["gt"]) == (100, 120)
    assert found["synthcity.privacy.DomiasMIA_prior"].value == 0.5
    survival = found["synthcity.stats.survival_km_distance"].outcome
    assert (survival.status, survival.reason[:24]) == ("undefined", "SynthCity gave no number")
    assert found["synthcity.performance.xgb"].outcome.reason == "SynthCity gave no number for it."
    assert "no target" in measured(frame)["synthcity.performance.xgb"].outcome.reason
    assert len(found) == len(EVALUATORS)


def test_synthcitys_metrics_without_holdout_or_synthcity_say_so_in_every_row(frame, tmp_path):
    assert {m.outcome.status for m in measured(frame, holdout=False).values()} == {"undefined"}
    absent = measured(frame, backend=SynthCity(Limits(home=str(tmp_path))))
    assert all("not installed" in m.outcome.reason for m in absent.values())


def test_the_settings_make_the_desk(tmp_path):
    settings = Settings.from_environment({
        "SYNTHLOOM_HOME": str(tmp_path), "SYNTHLOOM_BACKENDS": "sdv, native", "USE_SYNTHCITY_METRICS": "true",
        "USE_SYNTHCITY_ONLY": "1",
    })
    made_desk = make_backends(settings)
    assert (made_desk.order, made_desk.asked, made_desk.only) == (("sdv", "native"), True, "synthcity")
    assert len(made_desk.metrics) == len(EVALUATORS)
    plain = make_backends(Settings.from_environment({}))
    assert (plain.order, plain.asked, plain.only, plain.metrics) == (("synthcity", "native", "sdv"), False, None, ())
    with pytest.raises(UsageError, match="sinthcity is no backend"):
        make_backends(Settings.from_environment({"SYNTHLOOM_BACKENDS": "sinthcity"}))
