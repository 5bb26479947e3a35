"""The public API: small, pinned, and quick to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

import synthloom

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
