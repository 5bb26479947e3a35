"""SynthCity as a backend: every plugin of it that loads and learns a table."""

from __future__ import annotations

from pathlib import Path

from synthloom.backends.outsider import Outsider
from synthloom.backends.specs import BackendSettings


class SynthCity(Outsider):
    """SynthCity's plugins. Missing cells go over as labels and marks, since it takes none."""

    def __init__(self, settings: BackendSettings, *, python: Path | None = None, host: Path | None = None) -> None:
        super().__init__("synthcity", settings, python=python, host=host)
