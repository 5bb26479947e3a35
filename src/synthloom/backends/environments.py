"""Interpreters for backends: made, looked at, checked and removed.

A backend's folder, `HOME/backends/NAME/`, holds interpreters `env-*/` and one file, `installed.json`, that names the
one in use. It is written last and at once, so an interpreter is either installed or not: what an interrupted
installation left is no interpreter, and the next one clears it away. What it has downloaded stays in pip's cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthloom.backends.specs import BACKENDS, BackendSettings, Spec, folder
from synthloom.domain.event import Cancelled, Emit, ignore, never

__all__ = ["BACKENDS", "EnvironmentStatus", "Spec", "catalogue", "check", "folder", "install", "remove", "status"]


@dataclass(frozen=True)
class EnvironmentStatus:
    """How a backend stands on this machine.

    Attributes:
        name: The backend.
        installed: Whether it can be used.
        reason: Why it cannot, and what to do; None where it can.
        python: Its interpreter; None where there is none.
        versions: Package name → version, for the packages that matter, and `python`.
        licence_accepted: Whether its terms were accepted, or it has none that must be.
    """

    name: str
    installed: bool
    reason: str | None = None
    python: Path | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    licence_accepted: bool = True


def status(name: str, settings: BackendSettings) -> EnvironmentStatus:
    """How a backend stands here. Quick: reads one file and starts nothing.

    Raises:
        UnknownNameError: no such backend.
    """
    raise NotImplementedError


def catalogue(name: str, settings: BackendSettings) -> dict[str, Any]:
    """What a backend's interpreter can do, as found when it was installed: quick, starts nothing.

    Returns:
        `{"plugins": [{"name": "ctgan", "kind": "generic", "params": [{"name": "n_iter", "default": 2000, "type":
        "integer", "low": 100, "high": 1000, "choices": None}, …]}, …], "broken": {"great": "why it does not load"}}`.
        `kind` is `generic`, `privacy`, `survival_analysis`, `time_series` or `domain_adaptation` for synthcity, and
        `single_table` or `sequential` for sdv. `type` is integer, number, boolean, string, array, object or any.
        `low`, `high` and `choices` are what the plugin proposes to search, not hard bounds; None where it says nothing.
        A plugin's parameter not in `params` is refused by `fit`.

    Raises:
        BackendError: not installed.
    """
    raise NotImplementedError


def install(
    name: str, settings: BackendSettings, *, python: str | Path | None = None, accept_licence: bool = False,
    emit: Emit = ignore, cancelled: Cancelled = never,
) -> EnvironmentStatus:
    """Make a backend's interpreter, or make it anew; the former stays in use until the new one has passed its check.

    Args:
        name: The backend.
        settings: Says where.
        python: An interpreter to build with, a path or a command; None: the best that is found.
        accept_licence: Whether the person agrees to the backend's terms.
        emit: Hears of the steps `environment`, `download`, `install` and `check`, with progress.
        cancelled: Asked often; when true, what was begun is removed and CancelledError raised.

    Raises:
        UsageError: the terms are not accepted, or `python` is none that the backend runs on.
        BackendError: no fitting interpreter, too little room on the disk, no network, or the check failed.
        ConflictError: somebody else is installing it.
    """
    raise NotImplementedError


def check(
    name: str, settings: BackendSettings, emit: Emit = ignore, cancelled: Cancelled = never
) -> dict[str, Any]:
    """Let a backend's interpreter learn a tiny table and draw from it.

    Returns:
        `{"seconds": 12.3, "versions": {...}, "plugins": 21}`.

    Raises:
        BackendError: not installed, or it does not work, with what it said.
    """
    raise NotImplementedError


def remove(name: str, settings: BackendSettings) -> bool:
    """Remove a backend's interpreter, or what is left of one; whether there was anything.

    Raises:
        ConflictError: somebody is installing it.
    """
    raise NotImplementedError
