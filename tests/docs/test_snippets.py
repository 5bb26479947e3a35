"""What the pages tell a person to type works."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docs_for_tests import DOCS, ROOT, blocks, load_generator, people
from lifelines.datasets import load_gbsg2
from typer.main import get_command

import synthloom
from synthloom.cli.app import app, start
from synthloom.domain.schema import Kind
from synthloom.tables.codec import read_table
from synthloom.tables.infer import infer_schema
from synthloom.tables.schema_file import load_overrides

README, QUICKSTART = ROOT / "README.md", DOCS / "quickstart.md"
LINES = [
    (page, line) for page in load_generator().pages() for block in blocks(page, "sh") for line in block.splitlines()
]


def words_of(line: str) -> tuple[list[str], str | None]:
    """The words of a shell line, and the file it redirects into standard input."""
    words = shlex.split(line, comments=True)
    if "<" in words:
        return words[: words.index("<")], words[words.index("<") + 1]
    return words, None


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{p.name}: {line}" for p, line in LINES])
def test_every_shell_line_is_one_that_exists(page: Path, line: str) -> None:
    words, _ = words_of(line)
    if words[:1] == ["synthloom"]:
        command = get_command(app).commands[words[1]]  # type: ignore[attr-defined]
        command.make_context(words[1], words[2:])  # an unknown option or a missing argument raises
    elif words[:1] == ["make"]:
        targets = [word for word in words[1:] if "=" not in word]
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    else:
        assert words[:1] in (["git"], ["cd"], [".venv/bin/python"], []), line


def test_an_unknown_option_would_be_found() -> None:
    with pytest.raises(Exception, match=r"(?i)no such option"):
        get_command(app).commands["run"].make_context("run", ["my.csv", "--colour", "red"])  # type: ignore[attr-defined]


def is_a_repetition(words: list[str]) -> bool:
    """Runs that differ from others on the page by an option alone: that they parse is enough, a run takes seconds."""
    return "--require-verdicts" in words or "high" in words


def test_the_quickstart_works(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(QUICKSTART, "sh"):
        for line in block.splitlines():
            words, _ = words_of(line)
            if not is_a_repetition(words):
                assert start(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert (workplace / "results" / "my" / "report.html").exists()
    assert (workplace / "more.parquet").exists()


def test_conditions_as_in_the_copulas_page(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = workplace / "results" / "gbsg2"
    folder.mkdir(parents=True)
    synthloom.create_synthesizer("gaussian_copula").fit(load_gbsg2()).save(folder / "model.synthloom")
    for line in blocks(DOCS / "methods" / "gaussian_copula.md", "sh")[0].splitlines():
        assert start(words_of(line)[0][1:]) == 0
        rows = capsys.readouterr().out.splitlines()[1:]
        assert len(rows) == 3
        assert all(row.startswith("yes,") and ",Post," in row for row in rows)


@pytest.mark.parametrize("page", [README, QUICKSTART, DOCS / "python.md"], ids=lambda p: p.name)
def test_python_works(page: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    assert "synthloom" in names


def test_the_walks_through_a_method_and_a_metric_work(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = ModuleType("walk")
    monkeypatch.setitem(sys.modules, "walk", walk)
    for block in blocks(ROOT / "CONTRIBUTING.md", "python"):  # the last block of each walk is its conformance suite
        exec(compile(block, "CONTRIBUTING.md", "exec"), walk.__dict__)
    assert walk.Independent.info.name == "independent"
    assert walk.median_gap.info.key == "utility.median_gap"


def test_the_example_of_a_schema_file_fits_a_table(workplace: Path) -> None:
    path = workplace / "my.yaml"
    path.write_text(blocks(DOCS / "schema-file.md", "yaml")[0], encoding="utf-8")
    table = people(160, 1).assign(remarks="none")
    table["income"] = table["income"].astype(str)
    table.loc[3, "income"] = "-999"
    table.to_csv(workplace / "all.csv", index=False)
    overrides = load_overrides(path)
    schema = infer_schema(read_table(workplace / "all.csv", overrides=overrides), overrides)
    assert schema["grade"].kind is Kind.ORDERED
    assert schema["seen"].kind is Kind.DATE
    assert schema["income"].missing_rate == pytest.approx(1 / 160)
    assert schema.dropped == ("remarks",)
    assert schema["smoker"].sensitive
