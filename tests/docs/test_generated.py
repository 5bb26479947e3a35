"""Generated tables and schemas are what the code says, and every link leads somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import yaml
from docs_for_tests import DOCS, ROOT, load_generator

PAGES = load_generator().pages()
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def test_nothing_generated_is_stale(generator: ModuleType) -> None:
    assert [str(p.relative_to(ROOT)) for p in generator.stale()] == [], "run `make docs`"


def test_the_generator_says_when_it_has_nothing_to_do(
    generator: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generator.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_stale_page_is_found_and_made_anew(generator: ModuleType) -> None:
    before = "a\n<!-- generated: thresholds -->\nstale\n<!-- end -->\nb\n"
    new = generator.render(before)
    assert "stale" not in new
    assert "`KS_MAX`" in new
    assert new.startswith("a\n")
    assert new.endswith("<!-- end -->\nb\n")
    assert generator.render(new) == new


def test_the_schema_file_in_the_docs_fits_its_published_schema() -> None:
    page = (DOCS / "schema-file.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example
    schema = json.loads((DOCS / "schemas" / "schema-file.json").read_text(encoding="utf-8"))
    content = yaml.load(example[1], Loader=yaml.BaseLoader)  # all scalars as text, as Synthloom takes them
    content["version"] = 1
    for column in content["columns"].values():
        for key, kind in (("drop", bool), ("sensitive", bool), ("precision", int)):
            if key in column:
                column[key] = kind(column[key])
    jsonschema.Draft202012Validator(schema).validate(content)


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return {slug(line.lstrip("#")) for line in text.splitlines() if re.match(r"#+ ", line)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def test_every_page_is_reached_from_the_index() -> None:
    seen, ahead = set(), [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page not in PAGES:
            continue
        seen.add(page)
        for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", target):
                ahead.append((page.parent / path).resolve())
    assert {p for p in PAGES if p.is_relative_to(DOCS)} <= seen


def test_the_picture_is_small() -> None:
    assert (DOCS / "images" / "report.png").stat().st_size < 200_000
