"""The commands on a real table, from the words to the files."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from synthloom import create_synthesizer, registry
from synthloom.cli.app import start
from synthloom.cli.run import _command
from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.errors import MissingDependencyError
from synthloom.domain.run import RunRequest
from synthloom.methods.cart import Cart
from synthloom.reports import render

MAIN = [sys.executable, "-c", "from synthloom.cli import main; main()"]


def write_table(path: Path, n: int = 100) -> Path:
    rng = np.random.default_rng(5)
    time_, event = rng.exponential(300, n).astype(int) + 1, rng.integers(0, 2, n)
    pd.DataFrame({
        "patient": [f"P{i:05d}" for i in range(n)], "age": rng.integers(20, 80, n),
        "grade": rng.choice(["I", "II", "III"], n), "size": np.round(rng.gamma(2, 10, n), 1),
        "time": time_, "cens": event,
    }).to_csv(path, index=False)
    return path


def document(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    code = start([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == code
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("in") / "patients.csv")


@pytest.fixture(scope="module")
def done(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("out") / "run"
    finished = subprocess.run(
        [*MAIN, "run", str(table), "--survival", "time,cens", "--out", str(out), "--rows", "60", "--seed", "4"],
        capture_output=True, text=True, check=False,
    )
    return out, finished


def test_run_writes_everything_and_shows_the_scorecard(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, finished = done
    assert finished.returncode == 0, finished.stderr
    assert {p.name for p in out.iterdir()} == set(ARTIFACT_NAMES)
    assert len(pd.read_csv(out / "synthetic.csv")) == 60
    assert "Membership attack" in finished.stdout
    assert str(out) in finished.stdout
    for title in ("Reading the table", "Understanding the columns", "Learning", "Measuring", "Writing files"):
        assert title in finished.stderr
    assert "\x1b" not in finished.stdout + finished.stderr


def test_the_report_tells_how_to_do_it_again(
    done: tuple[Path, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str],
) -> None:
    out, _ = done
    report = json.loads((out / "report.json").read_text())
    assert report["meta"]["command"].startswith("synthloom run ")
    assert "--survival time,cens" in report["meta"]["command"]
    assert "--rows 60" in report["meta"]["command"]
    published = document(["schema", "report"], capsys)["result"]["json_schema"]
    jsonschema.validate(report, published)


def test_identifiers_are_never_copied(table: Path, done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert not set(pd.read_csv(done[0] / "synthetic.csv")["patient"]) & set(pd.read_csv(table)["patient"])


def test_json_quiet_and_standard_input(table: Path, tmp_path: Path) -> None:
    finished = subprocess.run(
        [*MAIN, "run", "-", "--rows", "30", "--json", "--quiet", "--require-verdicts", "--out", str(tmp_path / "o")],
        input=table.read_bytes(), capture_output=True, check=False, env=os.environ | {"CORR_MAX": "0"},
    )
    found = json.loads(finished.stdout)
    assert finished.stderr == b""
    assert finished.returncode == found["exit_code"] == 4
    assert found["error"]["code"] == "verdict"
    assert "CORR_MAX" in found["error"]["what"]
    assert found["result"]["outcome"] == "failed"
    assert {a["key"] for a in found["result"]["artifacts"]} == {f"o/{name}" for name in ARTIFACT_NAMES}
    assert found["result"]["meta"]["n_synth"] == 30
    assert set(found["result"]["privacy"]) >= {"mia_auc", "dup_rate", "dp_requested"}


def test_a_foreign_folder_is_refused_before_any_work(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "thesis.tex").touch()
    found = document(["run", str(table), "--out", str(tmp_path)], capsys)
    assert found["exit_code"] == 8
    assert "thesis.tex" in found["error"]["what"]
    assert "--overwrite" in found["error"]["do"]


def test_inspect_tells_kinds_and_writes_a_schema_file_that_works(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "schema.yaml"
    words = ["inspect", str(table), "--survival", "time,cens"]
    found = document([*words, "--write-schema", str(file)], capsys)
    kinds = {c["name"]: c["kind"] for c in found["result"]["schema"]["columns"]}
    assert kinds["patient"] == "identifier"
    assert kinds["size"] == "decimal"
    assert found["result"]["plan"]["reason"]
    again = document(["inspect", str(table), "--schema", str(file)], capsys)
    assert {c["name"]: c["kind"] for c in again["result"]["schema"]["columns"]} == kinds
    assert start(words) == 0
    shown = capsys.readouterr()
    assert "identifier" in shown.out
    assert "A run would begin with" in shown.out


def test_a_column_s_name_cannot_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\x1b[31mred,[bold]b\n" + "".join(f"{i % 9},x{i % 3}\n" for i in range(60)))
    assert start(["inspect", str(path)]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "[bold]b" in shown.out


def test_sample_draws_to_standard_output_and_to_files(
    done: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    model = str(done[0] / "model.synthloom")
    piped = subprocess.run([*MAIN, "sample", model, "--rows", "7"], capture_output=True, check=False)
    assert piped.returncode == 0, piped.stderr
    assert piped.stderr == b""
    assert len(pd.read_csv(io.BytesIO(piped.stdout))) == 7
    found = document(["sample", str(done[0]), "--rows", "7", "--out", str(tmp_path / "x.parquet")], capsys)
    assert found["result"]["rows"] == 7
    assert len(pd.read_parquet(tmp_path / "x.parquet")) == 7
    assert document(["sample", model, "--rows", "1", "--out", str(tmp_path / "x.pdf")], capsys)["exit_code"] == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.parquet"]


def test_sample_fixes_cells(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = tmp_path / "m.synthloom", tmp_path / "x.csv"
    create_synthesizer("gaussian_copula").fit(pd.read_csv(table)).save(model)
    words = ["sample", str(model), "--rows", "7", "--out", str(out)]
    assert document([*words, "--where", "grade=II", "--where", "age=50"], capsys)["exit_code"] == 0
    made = pd.read_csv(out)
    assert made["grade"].tolist() == ["II"] * 7
    assert made["age"].tolist() == [50] * 7
    assert document([*words, "--where", "no_such=1"], capsys)["exit_code"] == 2


def test_a_file_that_is_no_model_is_three(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(["sample", str(table), "--rows", "1", "--out", "x.csv"], capsys)
    assert (found["exit_code"], found["error"]["code"]) == (3, "model_file")


def test_evaluate_measures_what_another_tool_made(
    table: Path, done: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["evaluate", str(table), str(done[0] / "synthetic.csv")]
    found = document([*words, "--out", str(tmp_path / "e")], capsys)
    assert found["exit_code"] == 0
    assert found["result"]["plan"] is None
    assert {p.name for p in (tmp_path / "e").iterdir()} == {"report.json", "report.html", "report.pdf"}
    assert start(words) == 0
    assert "Likeness of single columns" in capsys.readouterr().out


def test_a_run_takes_rows_to_measure_against_from_a_file(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    rows, beside, other = pd.read_csv(table), tmp_path / "unseen.csv", tmp_path / "other.csv"
    unseen = rows.assign(size=rows["size"] + 1000, grade="IV")  # a label that the table itself does not have
    pd.concat([unseen, rows.iloc[:10]]).to_csv(beside, index=False)
    words = ["run", str(table), "--holdout", str(beside), "--budget", "none", "--out", str(tmp_path / "out"), "--quiet"]
    found = document(words, capsys)
    meta = found["result"]["meta"]
    assert (meta["n_train"], meta["n_holdout"], meta["n_synth"]) == (100, 100, 100)
    assert f"--holdout {beside}" in meta["command"]
    assert "new_labels" in [n["code"] for n in found["notices"]]
    assert set(pd.read_csv(tmp_path / "out" / "synthetic.csv")["grade"]) <= {"I", "II", "III"}
    rows.drop(columns="size").to_csv(other, index=False)
    lacking = document([*words[:3], str(other), "--out", str(tmp_path / "none"), "--quiet"], capsys)
    assert lacking["exit_code"] == 3
    assert "size" in lacking["error"]["what"]
    assert not (tmp_path / "none").exists()


def test_evaluate_reads_one_table_from_standard_input(
    table: Path, done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    words = [*MAIN, "evaluate", str(table), "-", "--json", "--quiet"]
    made = (done[0] / "synthetic.csv").read_bytes()
    found = json.loads(subprocess.run(words, input=made, capture_output=True, check=True).stdout)
    assert found["result"]["meta"]["n_synth"] == 60
    twice = subprocess.run([*words, "--holdout", "-"], input=made, capture_output=True, check=False)
    assert twice.returncode == 2
    assert "only once" in json.loads(twice.stdout)["error"]["what"]


def test_report_draws_again(
    done: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, _ = done
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    found = document(["report", str(out), "--html"], capsys)
    assert found["exit_code"] == 0
    assert (out / "report.html").read_bytes() == page

    def missing(_report: Any) -> bytes:
        raise MissingDependencyError("Pango is missing.", do="Install it.")

    monkeypatch.setattr(render, "to_pdf", missing)
    alone = document(["report", str(out), "--pdf"], capsys)
    assert (alone["exit_code"], alone["error"]["code"]) == (5, "missing_dependency")
    both = document(["report", str(out)], capsys)
    assert both["exit_code"] == 0
    assert [n["code"] for n in both["notices"]] == ["pdf_missing"]


def test_report_of_a_folder_without_one_is_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(["report", str(tmp_path)], capsys)["exit_code"] == 3


def test_methods_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(["methods"], capsys)["result"]["methods"]
    assert found
    for method in found:
        assert {"name", "title", "summary", "params", "privacy_levels"} <= set(method)
        assert all(p["description"] for p in method["params"])
    assert start(["methods", found[0]["name"]]) == 0
    assert found[0]["title"] in capsys.readouterr().out
    assert document(["methods", "no_such"], capsys)["exit_code"] == 2


def test_a_method_that_lacks_a_package_is_listed_with_how_to_add_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, table: Path
) -> None:
    class Needy(Cart):
        info = replace(Cart.info, name="needy", aliases=(), needs="neural")

    monkeypatch.setattr(registry, "EXTRAS", {"neural": "no_such_package_at_all"})
    monkeypatch.setattr(registry, "_found", lambda: registry._Found({"needy": Needy}, {}))
    result = document(["methods"], capsys)["result"]
    assert [m["available"] for m in result["methods"]] == [False]
    assert "pip install 'synthloom[neural]'" in result["unavailable"]["needy"]
    assert start(["methods"]) == 0
    assert "Not available here" in capsys.readouterr().out
    error = document(["run", str(table), "--method", "needy"], capsys)["error"]
    assert (error["code"], error["do"]) == ("missing_dependency", "Install it with: pip install 'synthloom[neural]'")


@pytest.mark.parametrize("words", [["--budget", "soon"], ["--device", "tpu"]])
def test_a_budget_that_is_no_time_and_a_device_that_is_none_are_refused(
    words: list[str], table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(["run", str(table), *words], capsys)
    assert (found["exit_code"], found["error"]["code"]) == (2, "usage")
    assert words[1] in found["error"]["what"]


def test_the_command_in_the_report_says_the_budget_whatever_the_environment_says() -> None:
    def said(**request: Any) -> str:
        return _command(
            "my.csv", RunRequest(**request), Path("out"), target=None, survival=None, sequence=("patient", "visit"),
            schema=None, holdout=None, drop_text=False,
        )

    assert "--budget 1m30s" in said(budget=90)
    assert "--sequence patient,visit" in said()
    assert "--budget none" in said()
    assert "--budget" not in said(method="cart")
    assert "--method cart" in said(method="cart", budget=60, device="cpu")
    assert "--budget 1m --device cpu" in said(method="cart", budget=60, device="cpu")


def test_the_schema_file_s_schema_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["schema"]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("begun", ["Reading the table", "Understanding the columns", "Drawing rows", "Drawing figures"])
def test_ctrl_c_stops_a_real_run_within_a_second(tmp_path: Path, begun: str) -> None:
    table = write_table(tmp_path / "t.csv", 3000)
    child = subprocess.Popen(
        [*MAIN, "run", str(table), "--out", str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    for line in child.stderr:
        if begun in line:
            break
    sent = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert time.monotonic() - sent <= 1.0
    assert child.returncode == 130, err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
