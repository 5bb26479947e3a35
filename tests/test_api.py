"""The public API: small, pinned, and quick to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synthloom
from synthloom.domain.artifact import ARTIFACT_NAMES

PUBLIC = [
    "Kind", "Report", "Schema", "SchemaOverrides", "Synthesis", "Synthesizer", "SynthloomError", "__version__",
    "create_synthesizer", "evaluate", "load", "synthesize",
]


def test_the_public_names_are_these() -> None:
    assert synthloom.__all__ == PUBLIC
    assert dir(synthloom) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(synthloom, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="synthesise"):
        synthloom.synthesise  # noqa: B018


def test_import_loads_nothing_heavy_and_is_quick() -> None:
    code = """
import sys, time
began = time.perf_counter()
import synthloom
spent = time.perf_counter() - began
heavy = {"torch", "sklearn", "matplotlib", "pandas", "numpy", "weasyprint", "lifelines", "pydantic"} & set(sys.modules)
assert not heavy, heavy
assert spent < 0.3, spent
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_line_opens_without_the_heavy_packages() -> None:
    code = """
import sys
from synthloom.cli import main
try:
    main(["run", "--help"])
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "sklearn", "matplotlib", "pandas", "numpy", "weasyprint", "lifelines"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def table(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    age = rng.integers(20, 80, n)
    return pd.DataFrame({
        "age": age.astype("int32"), "sex": pd.Categorical(rng.choice(["f", "m"], n)), "dose": age / 10 + rng.random(n),
    })


@pytest.fixture(scope="module")
def twin() -> synthloom.Synthesis:
    return synthloom.synthesize(table(), seed=1)


def test_a_bare_frame_is_enough(twin: synthloom.Synthesis) -> None:
    assert list(twin.data) == ["age", "sex", "dose"]
    assert twin.data.dtypes.to_dict() == table().dtypes.to_dict()
    assert len(twin.data) == 80
    assert isinstance(twin.report, synthloom.Report)
    assert len(twin.model.sample(5)) == 5


def test_the_command_repeats_the_run(twin: synthloom.Synthesis) -> None:
    command = twin.report.meta.command
    assert command is not None
    again = eval(command, {"synthloom": synthloom, "df": table()})
    pd.testing.assert_frame_equal(again.data, twin.data)


def test_a_notebook_shows_the_scorecard(twin: synthloom.Synthesis) -> None:
    page = twin.report._repr_html_()
    assert "Membership" in page
    assert twin._repr_html_() == page
    assert "<script" not in page
    assert twin.report.outcome in repr(twin)


def test_elsewhere_a_report_is_one_line(twin: synthloom.Synthesis) -> None:
    for shown in (repr(twin.report), str(twin.report)):
        assert "\n" not in shown
        assert len(shown) < 200
        assert "4 checks" in shown
        assert "80 rows by" in shown
    measured = repr(synthloom.evaluate(table(), table(60)))
    assert "60 rows: " in measured
    assert "unknown" not in measured


def test_saving_writes_every_artifact(twin: synthloom.Synthesis, tmp_path: Path) -> None:
    folder = twin.save(tmp_path / "twin")
    assert {p.name for p in folder.iterdir()} == set(ARTIFACT_NAMES)
    model = synthloom.load(folder / "model.synthloom")
    pd.testing.assert_frame_equal(model.sample(5, seed=2), twin.model.sample(5, seed=2))


def test_polars_in_polars_out(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    source = polars.from_pandas(table()).with_columns(
        rank=polars.col("sex").cast(polars.Enum(["m", "f"])), nothing=polars.lit(None), whole=polars.col("age") % 7,
    )
    twin = synthloom.synthesize(source, rows=30)
    assert twin.data.shape == (30, 6)
    loaded = synthloom.load(twin.model.save(tmp_path / "m.synthloom"))
    lazily = synthloom.synthesize(source.lazy(), rows=30).data
    for made in (twin.data, twin.model.sample(4), loaded.sample(4), lazily):
        assert isinstance(made, polars.DataFrame)
        assert made.schema == source.schema


def test_the_command_names_everything_that_changes_the_result(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("columns: {age: {lower: 18}}")
    said = synthloom.synthesize(table(), schema=file, holdout=0.3, drop_text=True, rows=20).report.meta.command
    assert said is not None
    assert f"schema={str(file)!r}" in said
    assert "holdout=0.3" in said
    assert "drop_text=True" in said
    beside = synthloom.synthesize(table(), holdout=table(30), rows=20).report.meta
    assert beside.command is not None
    assert "holdout=holdout" in beside.command
    assert beside.n_train == len(table())
    mapping = {"columns": {"age": {"upper": 83}}}
    command = synthloom.synthesize(table(), schema=mapping, rows=20).report.meta.command
    assert command is not None
    assert "schema=schema" in command
    assert "83" not in command


def test_evaluate_drops_free_text_when_told() -> None:
    texts = table().assign(note=[f"On day {k} the patient said that it was {k * 7} times better." for k in range(80)])
    with pytest.raises(synthloom.SynthloomError, match="free text"):
        synthloom.evaluate(texts, texts)
    report = synthloom.evaluate(texts, texts, drop_text=True)
    assert report.dropped == ("note",)
    assert report.meta.command is not None
    assert "drop_text=True" in report.meta.command


def test_a_file_is_a_table_too(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table().to_csv(path, index=False)
    assert synthloom.synthesize(path, rows=10).report.meta.dataset == "t.csv"


def test_what_is_said_about_columns_is_kept() -> None:
    made = synthloom.synthesize(
        table(), target="sex", schema={"columns": {"age": {"kind": "integer", "lower": 18}, "dose": {"drop": True}}},
    )
    assert list(made.data) == ["age", "sex"]
    assert made.model.schema.target == "sex"
    assert made.model.schema["age"].lower == 18


def test_evaluate_gives_a_report_with_a_picture() -> None:
    report = synthloom.evaluate(table(), table(60), holdout=table(40).sample(frac=1, random_state=0))
    assert isinstance(report, synthloom.Report)
    assert "Membership" in report._repr_html_()
    assert synthloom.Report.model_validate_json(report.model_dump_json()).meta == report.meta


@pytest.mark.parametrize(
    "options",
    [{"method": "no_such"}, {"rows": 0}, {"privacy": "medium"}, {"seed": -1}, {"target": "height"},
     {"params": {"no_such": 1}}, {"refinements": ["polish"]}, {"schema": 7}],
)
def test_wrong_use_is_an_error_of_ours(options: dict[str, Any]) -> None:
    with pytest.raises(synthloom.SynthloomError):
        synthloom.synthesize(table(), **options)


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="row"):
        synthloom.synthesize(table(), row=5)


def test_thresholds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KS_MAX", "0")
    report = synthloom.evaluate(table(), table(70))
    assert {v.threshold.name: v.threshold.limit for v in report.verdicts}["KS_MAX"] == 0
