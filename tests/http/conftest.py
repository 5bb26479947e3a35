"""A server on a real ledger and real folders, with runs that were really made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_for_tests import Server, make_home, open_server

from synthloom.wiring import ServerHome


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ServerHome]:
    """Nobody has to say who they are."""
    made = make_home(tmp_path)
    yield made
    made.close()


@pytest.fixture
def server(home: ServerHome) -> Iterator[Server]:
    opened = open_server(home)
    yield opened
    opened.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers with access control; keyword arguments are settings."""
    closing: list[Any] = []

    def make(**settings: Any) -> Server:
        made = make_home(tmp_path, **({"auth": "keys"} | settings))
        opened = open_server(made)
        closing.extend((made, opened))
        return opened

    yield make
    for item in reversed(closing):
        item.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str]]]:
    """A server with two runs that have succeeded, to be read only."""
    folder = tmp_path_factory.mktemp("archive")
    made = make_home(folder)
    opened = open_server(made)
    try:
        first = opened.queue()["run_id"]
        opened.work(folder / "first")
        second = opened.client.post(f"/v1/runs/{first}/clone", json={"changes": {"seed": 2}}).json()["run_id"]
        opened.work(folder / "second")
        yield opened, [first, second]
    finally:
        opened.close()
        made.close()
