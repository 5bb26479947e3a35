"""SynthCity and SDV themselves, in the interpreters that `synthloom backends install` makes: `make test-backends`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from synthloom.backends.bridge import AttemptError, Session
from synthloom.backends.environments import catalogue, check, status
from synthloom.backends.specs import BACKENDS
from synthloom.domain.errors import CancelledError, ResourceError
from synthloom.domain.event import Event, Loss, Progress
from synthloom.settings import Settings

pytestmark = [pytest.mark.backends, pytest.mark.timeout(1200)]

Open = Callable[..., Session]
FEW = {
    "n_iter": 20, "n_iter_baseline": 20, "n_iter_min": 5, "n_iter_print": 10, "num_timesteps": 50, "max_iters": 2,
    "struct_learning_n_iter": 10, "epochs": 3, "n_teachers": 3, "num_trees": 10, "degree": 1, "num_marginals": 2,
}
"""Parameters that make a plugin quick, where it has them."""
NEEDS_A_HUB = {"great"}
"""Plugins that download a language model from a hub, which the bridge does not let them reach."""
SLOW = {"aim"}
"""Plugins that take minutes on the smallest table."""


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend; it must be installed."""
    return installed(request.param)


def installed(name: str) -> str:
    """The name of an installed backend."""
    stands = status(name, Settings.from_environment())
    if not stands.installed:
        pytest.fail(f"{name} cannot be used: {stands.reason}")
    return name


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens sessions with one thread each; they are closed at the end."""
    with ExitStack() as stack:
        def make(name: str, **limits: Any) -> Session:
            settings = Settings.from_environment().model_copy(update=limits)
            return stack.enter_context(Session(installed(name), settings, threads=1))

        yield make


@pytest.fixture(scope="module")
def shared() -> Iterator[Open]:
    """One session for each backend, for tests that leave it as it was: its first import takes longer than most fits."""
    sessions: dict[str, Session] = {}
    with ExitStack() as stack:
        def get(name: str) -> Session:
            if name not in sessions:
                settings = Settings.from_environment()
                sessions[name] = stack.enter_context(Session(installed(name), settings, threads=1))
            return sessions[name]

        yield get


def table(rows: int, seed: int) -> pd.DataFrame:
    """Numbers, whole numbers and labels that hang together, as the translation hands them over."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["L000", "L001", "L002"], rows, p=[0.5, 0.3, 0.2])
    value = rng.normal(size=rows) + (group == "L001")
    return pd.DataFrame({
        "c0": value, "c1": rng.exponential(3, rows), "c2": rng.integers(18, 90, rows), "c3": group,
        "c4": np.where(value + rng.normal(size=rows) > 0, "L001", "L000"),
    })


COLUMNS = {
    "c0": {"kind": "number"}, "c1": {"kind": "number"}, "c2": {"kind": "integer"}, "c3": {"kind": "category"},
    "c4": {"kind": "category"},
}


def request_for(plugin: dict[str, Any]) -> tuple[dict[str, Any], pd.DataFrame]:
    """A quick `fit` of a plugin, and a table that it can learn."""
    params = {p["name"]: FEW[p["name"]] for p in plugin["params"] if p["name"] in FEW}
    payload = {"plugin": plugin["name"], "params": params, "seed": 1, "columns": COLUMNS, "device": "cpu"}
    payload |= {"target": "c4"}
    rows, rng = table(200, 0), np.random.default_rng(1)
    if plugin["kind"] == "survival_analysis":
        rows = rows.drop(columns="c4").assign(c5=rng.exponential(10, 200) + 0.1, c6=rng.integers(0, 2, 200))
        payload |= {"target": None, "time": "c5", "event": "c6"}
    if plugin["kind"] in ("time_series", "sequential"):
        rows = pd.DataFrame({
            "c0": np.repeat(np.arange(25), 8), "c1": np.tile(np.arange(8), 25), "c2": rng.normal(size=200).cumsum(),
            "c3": np.repeat(rng.choice(["L000", "L001"], 25), 8),
        })
        kinds = {"c0": "integer", "c1": "integer", "c2": "number", "c3": "category"}
        payload |= {"sequence": "c0", "order": "c1", "static": ["c3"], "target": None,
                    "columns": {name: {"kind": kind} for name, kind in kinds.items()}}
    if plugin["kind"] == "domain_adaptation":
        rows = rows.assign(c5=rng.integers(0, 2, 200))
        payload |= {"domain": "c5"}
    return payload, rows


def plugins(name: str) -> list[dict[str, Any]]:
    """What a backend has, where it is installed."""
    settings = Settings.from_environment()
    return catalogue(name, settings)["plugins"] if status(name, settings).installed else []


EVERY = [(name, plugin) for name in sorted(BACKENDS) for plugin in plugins(name)]


@pytest.mark.parametrize(("name", "plugin"), EVERY, ids=[f"{n}:{p['name']}" for n, p in EVERY])
def test_every_plugin_learns_and_draws_repeatably(shared: Open, name: str, plugin: dict[str, Any]) -> None:
    if plugin["name"] in SLOW:
        pytest.skip("it takes minutes on the smallest table")
    payload, rows = request_for(plugin)
    session = shared(name)
    if plugin["name"] in NEEDS_A_HUB:
        with pytest.raises(AttemptError):
            session.call("fit", payload, {"train": rows})
        return
    heard: list[Event] = []
    learnt = session.call("fit", payload, {"train": rows}, heard.append).result
    assert {k: learnt["params"][k] for k in payload["params"]} == payload["params"]
    assert [e.fraction for e in heard if isinstance(e, Progress)][-1] == 1.0
    drawn = [session.call("sample", {"n": 40, "seed": seed}).tables["synthetic"] for seed in (2, 2, 3)]
    assert list(drawn[0].columns) == list(rows.columns)
    series = plugin["kind"] in ("time_series", "sequential")  # they give whole sequences, of about as many rows
    assert 0 < len(drawn[0]) <= (80 if series else 40)
    for column in rows.select_dtypes(object):
        assert set(drawn[0][column]) <= set(rows[column])
    if plugin["kind"] != "debug":  # SynthCity's samplers draw from a generator of their own
        assert_frame_equal(drawn[0], drawn[1])
        assert not drawn[0].equals(drawn[2])


def test_the_interpreter_is_whole(backend: str) -> None:
    found = check(backend, Settings.from_environment())
    assert found["versions"][backend] == BACKENDS[backend].version
    assert found["plugins"] == len(plugins(backend))


@pytest.mark.parametrize("name", ["synthcity:ctgan", "sdv:ctgan"])
def test_the_same_seed_gives_the_same_rows_in_another_process(opened: Open, name: str) -> None:
    who, plugin = name.split(":")
    payload, rows = request_for(next(p for p in plugins(who) if p["name"] == plugin))
    drawn = []
    for _ in range(2):
        session = opened(who)
        session.call("fit", payload, {"train": rows})
        drawn.append(session.call("sample", {"n": 50, "seed": 5}).tables["synthetic"])
        session.close()
    assert_frame_equal(drawn[0], drawn[1])


def test_losses_are_told(opened: Open) -> None:
    payload, rows = request_for(next(p for p in plugins("sdv") if p["name"] == "ctgan"))
    heard: list[Event] = []
    opened("sdv").call("fit", payload, {"train": rows}, heard.append)
    assert {e.name for e in heard if isinstance(e, Loss)} == {"gen", "discrim"}


def test_a_misspelt_parameter_is_refused_with_the_right_name(shared: Open, backend: str) -> None:
    payload, rows = request_for(next(p for p in plugins(backend) if p["name"] == "ctgan"))
    payload["params"] = {"batchsize": 100}
    with pytest.raises(AttemptError, match="Did you mean batch_size") as caught:
        shared(backend).call("fit", payload, {"train": rows})
    assert caught.value.kind == "params"


def test_cancelling_a_long_training_takes_a_second(opened: Open, backend: str) -> None:
    payload, rows = request_for(next(p for p in plugins(backend) if p["name"] == "ctgan"))
    payload["params"] = {}
    session = opened(backend)
    begun: list[float] = []

    def heard(event: Event) -> None:
        if not begun and isinstance(event, Progress) and event.step == "fit":
            begun.append(time.monotonic())

    with pytest.raises(CancelledError):
        session.call("fit", payload, {"train": rows}, heard, lambda: bool(begun))
    assert time.monotonic() - begun[0] < 1.5


def test_memory_beyond_the_limit_ends_the_attempt(opened: Open, backend: str) -> None:
    payload, rows = request_for(next(p for p in plugins(backend) if p["name"] == "tvae"))
    with pytest.raises(ResourceError, match=r"memory|MB"):
        opened(backend, backend_memory_mb=256).call("fit", payload, {"train": rows})


def test_missing_cells_are_an_error_of_synthcity_and_none_of_sdv(opened: Open) -> None:
    payload, rows = request_for(next(p for p in plugins("sdv") if p["name"] == "gaussian_copula"))
    rows.loc[::5, "c0"] = np.nan
    session = opened("sdv")
    session.call("fit", payload, {"train": rows})
    assert session.call("sample", {"n": 100, "seed": 1}).tables["synthetic"]["c0"].isna().any()


def evaluated(opened: Open, synthetic: pd.DataFrame, metrics: dict[str, list[str]]) -> dict[str, Any]:
    """SynthCity's metrics of synthetic rows beside the same rows to learn from and to hold back."""
    payload = {"metrics": metrics, "target": "c4", "sensitive": ["c3"], "task": "classification", "seed": 1}
    tables = {"train": table(300, 1), "holdout": table(200, 2), "synthetic": synthetic}
    return opened("synthcity").call("evaluate", payload, tables).result


def test_synthcitys_metrics_see_the_tables_the_right_way_round(opened: Open) -> None:
    wanted = {"sanity": ["common_rows_proportion"], "privacy": ["DomiasMIA_KDE"], "performance": ["xgb"],
              "stats": ["ks_test"]}
    copied = evaluated(opened, table(300, 1), wanted)
    fresh = evaluated(opened, table(300, 3), wanted)
    assert copied["undefined"] == fresh["undefined"] == {}
    assert copied["metrics"]["sanity.common_rows_proportion.score"] > 0.99
    assert fresh["metrics"]["sanity.common_rows_proportion.score"] < 0.01
    member = "privacy.DomiasMIA_KDE.aucroc"
    assert copied["metrics"][member] > fresh["metrics"][member]
    assert copied["directions"][member] == "minimize"
    # rows learnt from, used as synthetic ones, know themselves better than the rows held back
    assert copied["metrics"]["performance.xgb.syn_id"] > copied["metrics"]["performance.xgb.syn_ood"]
    json.dumps(copied, allow_nan=False)


def test_a_metric_that_cannot_be_measured_says_why(opened: Open) -> None:
    found = evaluated(opened, table(300, 3), {"stats": ["survival_km_distance", "ks_test"]})
    assert "stats.ks_test.marginal" in found["metrics"]
    assert found["undefined"]["stats.survival_km_distance"]
