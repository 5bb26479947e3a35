"""The generator, and a folder to try commands in."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from docs_for_tests import load_generator, people


@pytest.fixture
def generator() -> ModuleType:
    return load_generator()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with my.csv, theirs.csv and unseen.csv, entered."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("my.csv", 1), ("theirs.csv", 2), ("unseen.csv", 3)):
        people(160, seed).to_csv(name, index=False)
    return tmp_path
