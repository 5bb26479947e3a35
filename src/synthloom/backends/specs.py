"""Which backends there are, what their interpreters need, and where these lie."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synthloom.domain.errors import UnknownNameError

HERE = Path(__file__).parent


class BackendSettings(Protocol):
    """What of `settings.Settings` a backend goes by; a `Settings` is one."""

    @property
    def home(self) -> str | None:
        """Folder of all that is kept; None: `synthloom/` in the user's data folder."""

    @property
    def backend_seconds(self) -> float:
        """Seconds that one session, which is one attempt, may take."""

    @property
    def backend_memory_mb(self) -> int | None:
        """Memory that a session's processes may use together, in MB; None: no limit."""


@dataclass(frozen=True)
class Limits:
    """A `BackendSettings` of its own, for callers without a `Settings`."""

    home: str | None = None
    backend_seconds: float = 3600
    backend_memory_mb: int | None = None


@dataclass(frozen=True)
class Spec:
    """A backend, and what makes its interpreter.

    Attributes:
        name: What it is called here.
        title: What it is called by its authors.
        version: The release that is installed.
        licence: SPDX name of its licence.
        terms: What the licence means for people who use it, where they must agree first; None: they need not.
        pythons: Versions of Python it runs on, the best first.
        download_mb: MB to download, about.
        disk_mb: MB on disk once installed, about.
        packages: Packages whose versions stand in `synthloom backends list` and in reports.
        base: Folder of `locks/` and `hosts/`.
    """

    name: str
    title: str
    version: str
    licence: str
    terms: str | None
    pythons: tuple[tuple[int, int], ...]
    download_mb: int
    disk_mb: int
    packages: tuple[str, ...]
    base: Path = HERE

    @property
    def lock(self) -> Path:
        """Its requirements with their hashes, for every Python in `pythons` and every platform."""
        return self.base / "locks" / f"{self.name}.txt"

    @property
    def installer(self) -> Path:
        """The pip that installs them, with its hashes."""
        return self.base / "locks" / "pip.txt"

    @property
    def host(self) -> Path:
        """The script that its interpreter runs."""
        return self.base / "hosts" / f"{self.name}_host.py"


BACKENDS = {
    "synthcity": Spec(
        name="synthcity", title="SynthCity", version="0.2.12", licence="Apache-2.0", terms=None,
        pythons=((3, 11), (3, 10)), download_mb=3400, disk_mb=7100,
        packages=("synthcity", "torch", "opacus", "numpy", "pandas", "scikit-learn"),
    ),
    "sdv": Spec(
        name="sdv", title="SDV", version="2.0.0", licence="BUSL-1.1",
        terms=(
            "SDV 2.0.0 and CTGAN 0.12.1 are under the Business Source License 1.1, which is no open-source licence. "
            "You may use them for your own purposes, but not to offer a service that makes synthetic data for third "
            "parties; that needs a commercial licence from DataCebo. Each release becomes MIT four years after it came "
            "out. Synthloom itself neither contains nor needs them."
        ),
        pythons=((3, 11), (3, 12), (3, 13), (3, 10)), download_mb=2900, disk_mb=6400,
        packages=("sdv", "ctgan", "copulas", "rdt", "torch", "numpy", "pandas"),
    ),
}
"""Every backend that runs in an interpreter of its own, by name."""


def spec(name: str) -> Spec:
    """A backend by its name; UnknownNameError with the closest names."""
    if name in BACKENDS:
        return BACKENDS[name]
    close = difflib.get_close_matches(name, BACKENDS, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UnknownNameError(f"no backend is called {name!r}.", do=f"{hint}Backends: {', '.join(BACKENDS)}.")


def data_folder() -> Path:
    """`synthloom/` in the folder where this user's programs keep their data."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "synthloom"


def folder(settings: BackendSettings) -> Path:
    """The folder of all backends' interpreters; it need not exist."""
    home = Path(settings.home).expanduser() if settings.home else data_folder()
    return home.absolute() / "backends"
