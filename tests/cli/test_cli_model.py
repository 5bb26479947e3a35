"""What the command line does with a model: rebalance, change the temperature, fill a table's missing cells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from synthloom import create_synthesizer
from synthloom.cli.app import start
from synthloom.tables.codec import read_table

MAIN = [sys.executable, "-c", "from synthloom.cli import main; main()"]
SMALL = {"epochs": 3, "width": 16, "trees": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, a model of it, and a table with gaps in the same spelling."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    lines = ["id;day;size;place;stage"]
    for k in range(300):
        size = f"{rng.normal(170, 10):.1f}".replace(".", ",")
        day = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1990, 2020)}"
        town = ["Graz", "=Ulm", '"Bern; CH"'][k % 3]
        lines.append(f"P{k:05d};{day};{size};{town};{'I' * (k % 2 + 1)}")
    (folder / "train.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig") + b"\r\n")
    model = create_synthesizer("autoregressive", SMALL).fit(read_table(folder / "train.csv"))
    model.save(folder / "model.synthloom")
    gaps = ["id;more;day;size;place;stage", "P1;=1+1;01.02.2003;;Graz;I", ";x;;171,25;Wien;", "P3;;31.12.1999;1;NA;II"]
    (folder / "gaps.csv").write_bytes("\r\n".join(gaps).encode("utf-8-sig") + b"\r\n")
    torch.set_num_threads(before)
    return folder


def document(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    code = start([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == code
    return found


def test_impute_fills_a_text_table_and_leaves_all_else_as_it_is_spelt(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "filled.csv"
    words = ["impute", str(place), str(place / "gaps.csv"), "--out", str(out)]
    found = document(words, capsys)
    assert found["ok"]
    assert found["command"] == "impute"
    assert found["result"]["filled"] == {"day": 1, "size": 1, "place": 1, "stage": 1}
    assert found["result"]["left"] == {}
    assert found["result"]["rows"] == 3
    data = out.read_bytes()
    assert found["result"]["bytes"] == len(data)
    assert data.startswith(b"\xef\xbb\xbf")
    given = (place / "gaps.csv").read_bytes().decode("utf-8-sig").split("\r\n")
    filled = data.decode("utf-8-sig").split("\r\n")
    assert len(filled) == len(given)
    assert filled[0] == given[0]
    first, second, third = (pd.Series(line.replace('"Bern; CH"', "Bern").split(";")) for line in filled[1:4])
    assert [*first[:3], *first[4:]] == ["P1", "=1+1", "01.02.2003", "Graz", "I"]
    assert pd.to_numeric(first[3].replace(",", ".")) > 100
    assert "," in first[3] or "." not in first[3]
    assert [second[0], second[1], second[3], second[4]] == ["", "x", "171,25", "Wien"]
    assert pd.to_datetime(second[2], format="%d.%m.%Y").year >= 1989
    assert second[5] in ("I", "II")
    assert [*third[:4], third[5]] == ["P3", "", "31.12.1999", "1", "II"]
    assert third[4] in ("Graz", "=Ulm", "Bern")
    before = data
    assert document(words, capsys)["ok"]
    assert out.read_bytes() == before
    assert document([*words, "--seed", "1"], capsys)["ok"]
    assert out.read_bytes() != before


def test_impute_writes_to_standard_output_and_says_what_it_did(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    with (place / "gaps.csv").open("rb") as table:
        piped = subprocess.run([*MAIN, "impute", str(place), "-"], stdin=table, capture_output=True, check=False)
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout.decode("utf-8-sig").startswith("id;more;day;size;place;stage\r\nP1;=1+1;01.02.2003;")
    assert piped.stderr == b""
    assert start(["impute", str(place), str(place / "gaps.csv"), "-o", str(tmp_path / "x.tsv")]) == 0
    assert "4 cells filled in 4 columns" in capsys.readouterr().out


def test_impute_keeps_parquet_parquet(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({
        "day": pd.to_datetime(["2003-02-01", None, "1999-12-31"]), "size": np.array([np.nan, 171.25, 1], "float32"),
        "place": pd.Categorical(["Graz", "Wien", None]), "stage": ["I", None, "II"], "more": [1, 2, 3],
    })
    frame.to_parquet(tmp_path / "gaps.parquet")
    words = ["impute", str(place), str(tmp_path / "gaps.parquet")]
    assert document([*words, "--out", str(tmp_path / "x.parquet")], capsys)["ok"]
    filled = pd.read_parquet(tmp_path / "x.parquet")
    assert filled.drop(columns="place").dtypes.to_dict() == frame.drop(columns="place").dtypes.to_dict()
    assert filled.notna().all(axis=None)
    assert filled["place"].tolist()[:2] == ["Graz", "Wien"]
    assert filled["size"].tolist()[1:] == [171.25, 1]
    found = document([*words, "--out", str(tmp_path / "x.csv")], capsys)
    assert (found["exit_code"], found["error"]["code"]) == (8, "output")
    assert start(words) == 2
    assert "--out FILE.parquet" in capsys.readouterr().err


def test_impute_says_what_it_cannot_do(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gaps, out = str(place / "gaps.csv"), ["--out", str(tmp_path / "x.csv")]
    create_synthesizer("cart").fit(read_table(place / "train.csv")).save(tmp_path / "cart.synthloom")
    found = document(["impute", str(tmp_path / "cart.synthloom"), gaps, *out], capsys)
    assert (found["exit_code"], found["error"]["code"]) == (2, "params")
    assert "cannot fill missing cells" in found["error"]["what"]
    (tmp_path / "short.csv").write_text("day,size\n01.02.2003,3\n")
    found = document(["impute", str(place), str(tmp_path / "short.csv"), *out], capsys)
    assert (found["exit_code"], found["error"]["code"]) == (3, "table")
    assert "'place'" in found["error"]["what"]
    (tmp_path / "odd.csv").write_text("day,size,place,stage\n01.02.2003,tall,Graz,I\n")
    found = document(["impute", str(place), str(tmp_path / "odd.csv"), *out], capsys)
    assert (found["exit_code"], found["error"]["where"]) == (3, "odd.csv, column 'size', line 2")
    assert document(["impute", gaps, gaps, *out], capsys)["error"]["code"] == "model_file"
    assert document(["impute", str(place), gaps], capsys)["exit_code"] == 2
    assert not (tmp_path / "x.csv").exists()


def test_sample_rebalances(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.parquet"
    words = ["sample", str(place), "--rows", "100", "--out", str(out)]
    assert document([*words, "--share", "stage=I:0.9,II:0.1", "--share", 'place="Bern; CH":0.5,=Ulm:0.5'], capsys)["ok"]
    made = pd.read_parquet(out)
    assert made["stage"].value_counts().to_dict() == {"I": 90, "II": 10}
    assert made["place"].astype(str).value_counts().to_dict() == {"Bern; CH": 50, "=Ulm": 50}
    for share, code in (("stage=I:0.9", 2), ("stage=I", 2), ("nothing=a:1", 2), ("stage", 2), ("stage=V:1", 2)):
        assert document([*words, "--share", share], capsys)["exit_code"] == code


def test_sample_takes_a_temperature(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sample", str(place), "--rows", "40", "--out", str(tmp_path / "x.csv")]
    assert document(words, capsys)["ok"]
    warm = (tmp_path / "x.csv").read_bytes()
    assert document([*words, "--temperature", "0.3"], capsys)["ok"]
    assert (tmp_path / "x.csv").read_bytes() != warm
    found = document([*words, "--temperature", "-1"], capsys)
    assert (found["exit_code"], found["error"]["code"]) == (2, "params")
    create_synthesizer("cart").fit(read_table(place / "train.csv")).save(tmp_path / "cart.synthloom")
    found = document(["sample", str(tmp_path / "cart.synthloom"), *words[2:], "--temperature", "1"], capsys)
    assert "no temperature" in found["error"]["what"]
