"""SynthCity's and SDV's methods and metrics, the real ones, through every door: `make test-backends`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synthloom
from synthloom.backends.desk import make_backends
from synthloom.backends.domains import DOMAINS
from synthloom.backends.environments import catalogue, status
from synthloom.backends.evaluators import EVALUATORS, synthcity_metrics
from synthloom.backends.names import PLUGINS, UNSERVED
from synthloom.backends.series import SERIES
from synthloom.backends.synthcity import SynthCity
from synthloom.domain.errors import ParamsError
from synthloom.domain.measurement import Failed, Measured
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import SchemaOverrides, SequenceColumns
from synthloom.metrics.contract import Tables
from synthloom.metrics.runner import measure
from synthloom.service import run
from synthloom.service.compare import compare
from synthloom.settings import Settings
from synthloom.tables.coerce import coerce
from synthloom.tables.infer import frame_to_raw, infer_schema

pytestmark = [pytest.mark.backends, pytest.mark.timeout(1800)]

REPORTED = json.loads((Path(__file__).parents[2] / "docs" / "data" / "backend-parameters.json").read_text("utf-8"))
FEW = {
    "n_iter": 20, "n_iter_baseline": 20, "n_iter_min": 5, "num_timesteps": 50, "max_iters": 2, "epochs": 3,
    "struct_learning_n_iter": 10, "n_teachers": 3, "num_trees": 10,
    "K": 1,  # privbayes that chooses its degree itself takes more than 5 GB for this table
}
LEFT_OUT = {"great": "it downloads a language model", "aim": "it takes minutes on the smallest table"}
ALL = [
    (backend, name) for backend, plugins in REPORTED.items() for name, part in plugins.items()
    if part["kind"] not in (*UNSERVED, *SERIES) and name not in LEFT_OUT
]
SEQUENCES = [
    (backend, name) for backend, plugins in REPORTED.items() for name, part in plugins.items()
    if part["kind"] in SERIES
]


def people(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    age = rng.integers(20, 80, n)
    frame = pd.DataFrame({
        "age": pd.array(age, dtype="Int64"), "income": rng.lognormal(10, 0.5, n).round(2),
        "grade": rng.choice(["low", "mid", "high"], n), "member": rng.random(n) < age / 100,
        "seen": pd.Timestamp("2021-01-01", tz="Europe/Berlin") + pd.to_timedelta(rng.integers(0, 9e6, n), unit="s"),
        "time": rng.exponential(100, n).round(1), "died": rng.choice(["yes", "no"], n),
    })
    frame.loc[rng.random(n) < 0.2, ["age", "grade"]] = None
    return frame


OVERRIDES = SchemaOverrides.model_validate({"target": "member", "survival": {"time": "time", "event": "died"}})


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    for name in PLUGINS:
        stands = status(name, Settings.from_environment())
        if not stands.installed:
            pytest.fail(f"{name} cannot be used: {stands.reason}")


@pytest.mark.parametrize("backend", PLUGINS)
def test_the_documented_parameters_are_those_of_the_installed_release(backend: str) -> None:
    found = {
        part["name"]: {"kind": part["kind"], "params": [p["name"] for p in part["params"]]}
        for part in catalogue(backend, Settings.from_environment())["plugins"]
    }
    assert found == REPORTED[backend]


@pytest.mark.parametrize(("backend", "name"), ALL)
def test_every_plugin_gives_rows_as_the_table_has_them(backend: str, name: str) -> None:
    frame = people()
    fields = REPORTED[backend][name]["params"]
    params = {k: v for k, v in FEW.items() if k in fields}
    params |= {"domain": "died"} if REPORTED[backend][name]["kind"] == DOMAINS else {}
    model = synthloom.create_synthesizer(name, params, backend=backend).fit(frame, overrides=OVERRIDES, seed=1)
    rows = model.sample(333, seed=2)
    model.close()
    assert len(rows) == 333
    assert list(rows.columns) == list(frame.columns)
    assert rows.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
    assert set(rows["grade"].dropna()) <= {"low", "mid", "high"}
    assert rows["age"].dropna().between(20, 80).all()


def visits() -> pd.DataFrame:
    """Visits of 40 patients, of different numbers, with missing cells; the rows in no order."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(4, 9, 40)
    n = int(lengths.sum())
    frame = pd.DataFrame({
        "patient": np.repeat([f"P-{k:04d}" for k in range(40)], lengths),
        "seen": pd.Timestamp("2021-01-01", tz="UTC") + pd.to_timedelta(
            np.concatenate([np.sort(rng.choice(300, k, replace=False)) for k in lengths]), unit="D"
        ),
        "dose": rng.normal(10, 2, n).round(1), "state": rng.choice(["well", "ill", "unsure"], n),
        "sex": np.repeat(rng.choice(["f", "m"], 40), lengths), "weight": np.repeat(rng.integers(50, 99, 40), lengths),
    })
    frame.loc[rng.random(n) < 0.3, ["dose", "state"]] = None
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


@pytest.mark.parametrize(("backend", "name"), SEQUENCES)
def test_a_plugin_for_sequences_gives_whole_ones(backend: str, name: str) -> None:
    frame = visits()
    fields = REPORTED[backend][name]["params"]
    model = synthloom.create_synthesizer(
        name, {k: v for k, v in FEW.items() if k in fields}, backend=backend,
    ).fit(frame, overrides=SchemaOverrides(sequence=SequenceColumns(key="patient", order="seen")), seed=1)
    rows = model.sample(333, seed=2)
    model.close()
    assert len(rows) == 333
    assert rows.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
    assert not set(rows["patient"]) & set(frame["patient"])
    by = rows.groupby("patient", sort=False)
    assert by.size().max() <= 8
    assert (by[["sex", "weight"]].nunique() == 1).all().all()
    assert (by["seen"].diff().dropna() > pd.Timedelta(0)).all(), "in order, and no two visits of a patient on one day"
    assert rows["seen"].between(frame["seen"].min(), frame["seen"].max()).all()
    assert set(rows["state"].dropna()) <= {"well", "ill", "unsure"}
    assert rows["dose"].dropna().between(frame["dose"].min(), frame["dose"].max()).all()


@pytest.mark.parametrize("backend", PLUGINS)
def test_a_run_by_a_backend_is_measured_and_says_who_made_it(backend: str) -> None:
    request = RunRequest(method="tvae", backend=backend, params={"epochs": 5}, max_attempts=1)
    done = run(people(), request, overrides=OVERRIDES, backends=make_backends(Settings.from_environment()))
    assert (done.report.meta.model, done.report.meta.backend) == ("tvae", backend)
    assert not [m.info.key for m in done.report.measurements if isinstance(m.outcome, Failed)]


def test_a_parameter_that_a_plugin_does_not_take_is_told_before_anything_is_learnt() -> None:
    with pytest.raises(ParamsError, match="Did you mean n_iter"):
        synthloom.create_synthesizer("ctgan", {"n_itr": 3}, backend="synthcity")


def test_synthcitys_metrics_measure_the_real_ones_and_say_why_they_cannot() -> None:
    frame = people(400).drop(columns=["time", "died"])
    overrides = SchemaOverrides.model_validate({"target": "member", "columns": {"grade": {"sensitive": True}}})
    schema = infer_schema(frame_to_raw(frame), overrides)
    table = coerce(frame_to_raw(frame), schema)
    parts = [table.iloc[a:b].reset_index(drop=True) for a, b in ((0, 200), (200, 300), (200, 400))]
    found = measure(
        Tables(*parts, schema, seed=1), synthcity_metrics(SynthCity(Settings.from_environment())), floors=False
    )
    told: dict[str, Any] = {m.info.key: m.outcome for m in found}
    assert [k for k, outcome in told.items() if isinstance(outcome, Failed)] == []
    undefined = {k for k, outcome in told.items() if not isinstance(outcome, Measured)}
    # the one has no survival data, the other no inverse of a small table's covariance
    may = {"synthcity.stats.survival_km_distance", "synthcity.privacy.DomiasMIA_prior"}
    assert undefined <= may, {k: told[k].reason for k in undefined}
    assert len(told) == len(EVALUATORS)
    assert told["synthcity.stats.ks_test"].value > 0.8


def test_backends_stand_side_by_side() -> None:
    found = compare(
        people(), ["tvae"], ["synthcity", "sdv"], RunRequest(params={"epochs": 3}), overrides=OVERRIDES,
        backends=make_backends(Settings.from_environment()),
    )
    assert {(s.backend, s.state) for s in found.standings} == {("synthcity", "measured"), ("sdv", "measured")}
    assert all(s.memory_mb and s.fit_seconds for s in found.standings)
