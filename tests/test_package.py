"""What a package that is installed, and not read where it was written, brings along."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "synthloom"


def test_every_file_that_is_no_module_is_packed() -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in said["synthloom"] for path in PACKAGE.glob(pattern)}
    there = {p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert {p.name for p in there} >= {"report.css", "page.css", "base.html.j2", "synthcity.txt", "py.typed"}
    assert not sorted(str(p.relative_to(PACKAGE)) for p in there - packed)


def test_every_folder_of_modules_is_a_package() -> None:
    """Or setuptools does not find it; scripts that other interpreters run are packed as files."""
    folders = {p.parent for p in PACKAGE.rglob("*.py")} - {PACKAGE / "backends" / "hosts"}
    assert not sorted(str(f.relative_to(PACKAGE)) for f in folders if not (f / "__init__.py").exists())
