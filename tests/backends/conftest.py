"""A second interpreter, made for these tests: real, and without any package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from synthloom.backends.bridge import Session
from synthloom.backends.specs import Limits

HOST = Path(__file__).with_name("mischief_host.py")
Open = Callable[..., Session]


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of its own with nothing installed, not even pip."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.fixture
def open_session(bare_python: Path, tmp_path: Path) -> Iterator[Open]:
    """Opens sessions with the mischievous host; they are closed at the end."""
    with ExitStack() as stack:
        def make(*, python: Path = bare_python, host: Path = HOST, **limits: Any) -> Session:
            place = tmp_path / "private"
            place.mkdir(exist_ok=True)
            return stack.enter_context(Session("sdv", Limits(**limits), folder=place, python=python, host=host))

        yield make
