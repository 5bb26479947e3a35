"""What nobody points to is found, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from synthloom.adapters.local_folder import LocalFolder
from synthloom.domain.errors import UsageError
from synthloom.service.orphans import sweep


def test_old_files_that_nothing_points_to_are_swept(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    for key in ("run1/report.json", "run1/2/report.json", "run2/report.json", "run3/report.json"):
        store.put(key, b"{}")
        if not key.startswith("run3"):
            os.utime(tmp_path / key, (0, 0))

    def known(keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key == "run1/2/report.json"]

    assert sweep(store, known) == ("run1/report.json", "run2/report.json")
    assert len(store.list()) == 4, "only looked at"
    assert sweep(store, known, remove=True) == ("run1/report.json", "run2/report.json")
    assert store.list() == ("run1/2/report.json", "run3/report.json"), "what is pointed to or young stays"
    assert sweep(store, known, remove=True) == ()


def test_many_files_are_asked_for_in_parts(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    for number in range(1001):
        (tmp_path / "r").mkdir(exist_ok=True)
        (tmp_path / f"r/{number:04}").touch()
        os.utime(tmp_path / f"r/{number:04}", (0, 0))
    sizes: list[int] = []

    def known(keys: Sequence[str]) -> Sequence[str]:
        sizes.append(len(keys))
        return keys

    assert sweep(store, known) == ()
    assert sizes == [500, 500, 1]


def test_young_files_are_never_swept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="may still be needed"):
        sweep(LocalFolder(tmp_path), lambda keys: [], seconds=60)
