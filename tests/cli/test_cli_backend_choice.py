"""Backends at the command line and in Python: what is asked for, what is listed, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthloom
from synthloom.cli.app import start
from synthloom.domain.errors import MissingDependencyError, UsageError


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small table, in a folder of its own, on a machine without backends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHLOOM_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(1)
    pd.DataFrame({"age": rng.integers(18, 90, 80), "word": rng.choice(["a", "b"], 80)}).to_csv("t.csv", index=False)
    return tmp_path / "t.csv"


def answer(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_a_backend_that_is_not_installed_says_how_to_get_it(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["run", str(table), "--method", "ctgan", "--backend", "synthcity", "--json"]) == 5
    assert "synthloom backends install synthcity" in answer(capsys)["error"]["do"]
    assert start(["inspect", str(table), "--method", "synthcity:adsgan", "--json"]) == 5
    assert "SynthCity is not installed" in answer(capsys)["error"]["what"]
    assert start(["inspect", str(table), "--method", "cart", "--backend", "sinthcity", "--json"]) == 2
    assert "Did you mean synthcity?" in answer(capsys)["error"]["do"]


def test_a_step_down_of_an_order_is_told(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["inspect", str(table), "--method", "gc", "--backend", "synthcity,native", "--json", "--quiet"]) == 0
    plan = answer(capsys)["result"]["plan"]
    assert plan["backend"] == "native"
    assert "SynthCity is not installed" in plan["reason"]


def test_only_synthcity_may_be_allowed(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USE_SYNTHCITY_ONLY", "1")
    for method in ("ctgan", "auto"):
        assert start(["inspect", str(table), "--method", method, "--json"]) == 5
        assert "not installed" in answer(capsys)["error"]["what"]
    assert start(["inspect", str(table), "--method", "cart", "--backend", "native", "--json"]) == 2
    assert answer(capsys)["error"]["where"] == "USE_SYNTHCITY_ONLY"


def test_methods_are_listed_with_their_makers(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["methods", "--json"]) == 0
    listed = answer(capsys)["result"]
    ctgan = next(m for m in listed["methods"] if m["name"] == "ctgan")
    assert [(who["backend"], who["available"]) for who in ctgan["backends"]] == [
        ("synthcity", False), ("native", True), ("sdv", False),
    ]
    assert [b["name"] for b in listed["backends"]] == ["synthcity", "native", "sdv"]
    adsgan = next(m for m in listed["others"] if m["name"] == "adsgan")
    assert (adsgan["backend"], adsgan["available"]) == ("synthcity", False)
    assert "not installed" in adsgan["reason"]
    assert start(["methods", "adsgan", "--json"]) == 5
    assert "backends install synthcity" in answer(capsys)["error"]["do"]


def test_python_asks_for_a_backend_too(table: Path) -> None:
    frame = pd.read_csv(table)
    with pytest.raises(MissingDependencyError, match="SDV is not installed"):
        synthloom.synthesize(frame, method="gc", backend="sdv")
    with pytest.raises(MissingDependencyError, match="SDV is not installed"):
        synthloom.create_synthesizer("sdv:gc")
    with pytest.raises(UsageError, match="no backend"):
        synthloom.create_synthesizer("gc", backend="nobody")
    assert synthloom.create_synthesizer("gc", backend="native").backend == "native"
