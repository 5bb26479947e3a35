"""Methods side by side: one split, the same measurements, a recommendation with its reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backends_for_tests import desk
from methods_for_tests import KNOWN
from synthloom.cli.app import start
from synthloom.domain.errors import MissingDependencyError, ParamsError, UnknownNameError, UsageError
from synthloom.domain.event import StepFinished
from synthloom.domain.run import RunRequest
from synthloom.engine.compare import compare
from synthloom.registry import Backends, metrics
from synthloom.reports.comparison import to_html, to_json
from synthloom.service.memory import MemoryGauge
from synthloom.tables.dataset import Dataset
from synthloom.testing.example_tables import mixed

QUICK = ("utility.c2st", "utility.shape", "privacy.mia_auc", "privacy.dcr_share", "privacy.dup_rate")
CHOSEN = tuple(m for m in metrics() if m.info.key in QUICK)


def put(methods, makers=("native",), *, request=None, rows=240, **options):
    example = mixed(rows)
    return compare(
        Dataset(example.table, example.schema, "people.csv", "0" * 64), methods, makers,
        request or RunRequest(), np.random.default_rng(4), metrics=options.pop("metrics", CHOSEN), **options,
    )


@pytest.fixture(scope="module")
def found():
    heard = []
    result = put(
        ["im", "ctgan"], ["native", "synthcity", "sdv"], backends=desk(), seeds=2, emit=heard.append, known=KNOWN,
        request=RunRequest(params={"epochs": 3, "blur": 0.1}), meter=MemoryGauge,
    )
    return result, heard


def test_each_backend_makes_each_method_that_it_has_on_the_same_rows(found):
    result, heard = found
    measured = {(s.method, s.backend): s for s in result.standings if s.state == "measured"}
    assert measured.keys() == {("marginals", "native"), ("ctgan", "synthcity"), ("ctgan", "sdv")}
    assert all(s.seeds == 2 and s.fit_seconds and s.memory_mb is not None for s in measured.values())
    assert all(set(s.figures) >= {"utility.c2st", "privacy.mia_auc"} for s in measured.values())
    absent = {(s.method, s.backend): s.reason for s in result.standings if s.state == "absent"}
    assert absent.keys() == {("ctgan", "native"), ("marginals", "synthcity"), ("marginals", "sdv")}
    assert "has no method 'marginals'" in absent["marginals", "sdv"]
    assert (result.n_real, result.seeds, result.n_train + result.n_holdout) == (240, 2, 240)
    assert sum(isinstance(e, StepFinished) and e.step == "fit" for e in heard) == 6


def test_parameters_go_to_those_who_have_them(found):
    params = {(s.method, s.backend): s.params for s in found[0].standings}
    assert params["ctgan", "synthcity"] == {"min_shared": 10, "n_iter": 3}
    assert params["marginals", "native"] == {"min_support": 5, "blur": 0.1}
    with pytest.raises(ParamsError, match="n_itr"):
        put(["ctgan", "cart"], request=RunRequest(params={"n_itr": 3}))


def test_the_recommended_one_comes_first_and_says_why(found):
    result, _ = found
    first = next(s for s in result.standings if s.place == 1)
    assert (result.recommendation.method, result.recommendation.backend) == (first.method, first.backend)
    assert first.label in result.recommendation.reason
    assert "area of" in result.recommendation.reason
    places = [s.place for s in result.standings if s.place]
    assert places == list(range(1, len(places) + 1))
    insides = [s.inside for s in result.standings if s.place]
    assert insides == sorted(insides, reverse=True)


def test_copies_of_rows_are_no_recommendation_however_alike(found):
    # the tests' host draws the rows that it was given
    copied = next(s for s in found[0].standings if (s.method, s.backend) == ("ctgan", "synthcity"))
    assert copied.inside is False
    assert copied.reason
    assert found[0].recommendation.backend == "native"


def test_the_page_and_the_json_say_the_same(found):
    page = to_html(found[0])
    assert "recommended" in page
    assert "ctgan (synthcity)" in page
    assert "<script" not in page
    assert json.loads(to_json(found[0]))["recommendation"]["backend"] == "native"
    assert to_html(found[0]) == page


def test_a_contender_that_fails_stops_nobody():
    result = put(["im", "ctgan"], ["native", "synthcity"], backends=desk(), known=KNOWN,
                 request=RunRequest(params={"mood": "crashes"}))
    states = {(s.method, s.backend): (s.state, s.reason) for s in result.standings}
    assert states["marginals", "native"][0] == "measured"
    assert states["ctgan", "synthcity"][0] == "failed"
    assert "ended without a result" in states["ctgan", "synthcity"][1]


def test_nobody_to_compare_is_an_error_with_the_first_reason():
    with pytest.raises(UnknownNameError, match="no method is called 'nothing'"):
        put(["nothing"])
    with pytest.raises(UsageError, match="nothing to compare"):
        put([])
    missing = Backends(order=("native",), others={})
    with pytest.raises(UnknownNameError, match="'sdv'"):
        put(["cart"], ["sdv"], backends=missing)


def test_a_named_backend_that_is_absent_stands_in_its_own_row(tmp_path):
    from synthloom.backends.desk import make_backends
    from synthloom.settings import Settings

    nowhere = make_backends(Settings.from_environment({"SYNTHLOOM_HOME": str(tmp_path)}))
    result = put(["im", "ctgan"], ["native", "synthcity"], backends=nowhere, known=KNOWN)
    reasons = {(s.method, s.backend): s.reason for s in result.standings}
    assert "backends install synthcity" in reasons["ctgan", "synthcity"]
    with pytest.raises(MissingDependencyError):
        put(["ctgan"], ["synthcity"], backends=nowhere, known=KNOWN)


def test_the_command_leaves_both_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    lines = [f"{rng.integers(18, 90)},{rng.choice(['a', 'b'])},{rng.random():.3f}" for _ in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["age,word,x", *lines]))
    monkeypatch.setenv("SYNTHLOOM_HOME", str(tmp_path / "home"))
    assert start(["compare", "t.csv", "--methods", "gc,cart", "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)
    result = answer["result"]
    standings = result["comparison"]["standings"]
    assert {s["method"] for s in standings} == {"gaussian_copula", "cart"}
    folder = tmp_path / "results" / "t-comparison"
    assert {p.name for p in folder.iterdir()} == {"comparison.json", "comparison.html"}
    assert result["comparison"]["command"].startswith("synthloom compare t.csv --methods gc,cart")
