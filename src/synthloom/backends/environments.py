"""Interpreters for backends: made, looked at, checked and removed.

A backend's folder, `HOME/backends/NAME/`, holds interpreters `env-*/` and one file, `installed.json`, that names the
one in use. It is written last and at once, so an interpreter is either installed or not: what an interrupted
installation left is no interpreter, and the next one clears it away. What it has downloaded stays beside it, in
`downloads/`, until it is unpacked.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synthloom.backends import _pip
from synthloom.backends._manifest import (
    MANIFEST,
    Manifest,
    check_room,
    find_python,
    home,
    lock_digest,
    python_in,
    read_manifest,
    size_mb,
    write_manifest,
)
from synthloom.backends.specs import BACKENDS, BackendSettings, Limits, Spec, folder, spec
from synthloom.domain.errors import BackendError, ConflictError, MissingDependencyError, UsageError
from synthloom.domain.event import (
    Cancelled,
    Emit,
    Notice,
    Progress,
    StepFinished,
    StepStarted,
    ignore,
    never,
)

__all__ = [
    "BACKENDS", "STEPS", "EnvironmentStatus", "Spec", "catalogue", "check", "folder", "install", "interpreter",
    "remove", "status",
]

STEPS = ("environment", "download", "install", "check")
"""Steps of an installation."""
CHECK_SECONDS = 900
"""How long a check may take: the first import of such a mass of packages compiles all of them."""


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
        disk_mb: MB on disk; 0 where it is not installed.
    """

    name: str
    installed: bool
    reason: str | None = None
    python: Path | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    licence_accepted: bool = True
    disk_mb: int = 0


def status(name: str, settings: BackendSettings) -> EnvironmentStatus:
    """How a backend stands here. Quick: reads one file and starts nothing.

    Raises:
        UnknownNameError: no such backend.
    """
    known = spec(name)
    how = f"Install it with: synthloom backends install {name}"
    accepted = known.terms is None
    if os.name != "posix":
        return EnvironmentStatus(name, False, "it runs on Linux and macOS only.", licence_accepted=accepted)
    manifest = read_manifest(known, settings)
    if manifest is None:
        begun = any(home(known, settings).glob("env-*"))
        what = "its installation was not finished." if begun else "it is not installed."
        return EnvironmentStatus(name, False, f"{what} {how}", licence_accepted=accepted)
    accepted = accepted or manifest.licence_accepted is not None
    python = python_in(home(known, settings) / manifest.environment)
    if not os.access(python, os.X_OK):
        return EnvironmentStatus(name, False, f"its interpreter is gone. {how}", licence_accepted=accepted)
    if manifest.lock != lock_digest(known):
        reason = f"it was installed for another release of Synthloom. {how}"
        return EnvironmentStatus(name, False, reason, None, manifest.versions, accepted, manifest.disk_mb)
    return EnvironmentStatus(name, True, None, python, manifest.versions, accepted, manifest.disk_mb)


def interpreter(name: str, settings: BackendSettings) -> Path:
    """A backend's interpreter.

    Raises:
        UnknownNameError: no such backend.
        MissingDependencyError: not installed; says how to.
    """
    found = status(name, settings)
    if not found.installed or found.python is None:
        raise MissingDependencyError(
            f"the backend {name} cannot be used: {(found.reason or '').split(' Install it')[0]}",
            where=f"backend {name}", do=f"Install it with: synthloom backends install {name}",
        )
    return found.python


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
        MissingDependencyError: not installed.
    """
    interpreter(name, settings)
    manifest = read_manifest(spec(name), settings)
    return dict(manifest.catalogue) if manifest is not None else {"plugins": [], "broken": {}}


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
    known = spec(name)
    _check_platform(known)
    if known.terms is not None and not accept_licence:
        raise UsageError(
            f"{known.title} is under {known.licence}, and its terms were not accepted. {known.terms}",
            where=f"backend {name}", do="To agree and install it, give --accept-licence.",
        )
    base = find_python(known, python)
    with _alone(known, settings) as place:
        _clear(known, settings)
        check_room(known, place)
        environment = place / f"env-{secrets.token_hex(4)}"
        try:
            found = _build(known, base, environment, _Steps(emit), cancelled)
            write_manifest(known, settings, Manifest(
                environment=environment.name, lock=lock_digest(known), versions=found["versions"],
                catalogue=found["catalogue"], disk_mb=size_mb(environment),
                licence_accepted=datetime.now(UTC).isoformat(timespec="seconds") if known.terms is not None else None,
            ))
        except BaseException:  # raised again: a half-made interpreter never stays, whatever stopped it
            shutil.rmtree(environment, ignore_errors=True)
            raise
        _clear(known, settings)
    return status(name, settings)


def check(
    name: str, settings: BackendSettings, emit: Emit = ignore, cancelled: Cancelled = never
) -> dict[str, Any]:
    """Let a backend's interpreter learn a tiny table and draw from it, and write down anew what it can do.

    Returns:
        `{"seconds": 12.3, "versions": {...}, "plugins": 25, "broken": {"goggle": "why it does not load"}}`.

    Raises:
        MissingDependencyError: not installed.
        BackendError: it does not work, with what it said.
    """
    known = spec(name)
    steps = _Steps(emit)
    steps.begin("check")
    found = _checked(known, interpreter(name, settings), steps, cancelled)
    before = read_manifest(known, settings)
    if before is not None and (before.catalogue, before.versions) != (found["catalogue"], found["versions"]):
        with _alone(known, settings):
            after = replace(before, catalogue=found["catalogue"], versions=found["versions"])
            write_manifest(known, settings, after)
    steps.end(f"{known.title} {known.version} learnt a tiny table and drew from it.")
    listed = found["catalogue"]
    return {
        "seconds": found["seconds"], "versions": found["versions"], "plugins": len(listed["plugins"]),
        "broken": listed["broken"],
    }


def remove(name: str, settings: BackendSettings) -> bool:
    """Remove a backend's interpreter, or what is left of one; whether there was anything.

    Raises:
        ConflictError: somebody is installing it.
        BackendError: it cannot be removed.
    """
    known = spec(name)
    place = home(known, settings)
    if not place.exists():
        return False
    with _alone(known, settings):
        there = any(place.iterdir())
        try:
            (place / MANIFEST).unlink(missing_ok=True)  # first: from here on it is not installed
            shutil.rmtree(place)
        except OSError as error:
            raise BackendError(
                f"it cannot be removed: {error.strerror or error}.", where=str(place), do="See who may write there.",
            ) from error
    return there


# --- building --------------------------------------------------------------------------------------------------------


class _Steps:
    """Tells of steps, each begun and ended once."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._running: str | None = None

    def begin(self, step: str) -> None:
        """A step begins; the one before it ends."""
        if self._running != step:
            self.end()
            self._running = step
            self.emit(StepStarted(step=step))

    def tell(self, step: str, fraction: float, message: str) -> None:
        """How far a step is; it begins with that."""
        self.begin(step)
        self.emit(Progress(step=step, fraction=fraction, message=message))

    def end(self, message: str = "") -> None:
        """The running step ends."""
        if self._running is not None:
            self.emit(StepFinished(step=self._running, message=message))
        self._running = None


def _check_platform(known: Spec) -> None:
    if os.name != "posix":
        raise BackendError(
            f"{known.title} runs on Linux and macOS only.", where=f"backend {known.name}",
            do="On Windows, install Synthloom under WSL, or use the backend native.",
        )


@contextmanager
def _alone(known: Spec, settings: BackendSettings) -> Iterator[Path]:
    """A backend's folder, with nobody else installing or removing there. The kernel lets go when we end, however."""
    import fcntl

    place = home(known, settings)
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.parent / f"{known.name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise BackendError(
            f"the folder cannot be made: {error.strerror or error}.", where=str(place),
            do="Let SYNTHLOOM_HOME name a folder that you may write to.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield place
    except BlockingIOError:
        raise ConflictError(
            f"somebody is installing or removing {known.title} already.", where=str(place),
            do="Wait until they are done.",
        ) from None
    finally:
        os.close(lock)


def _clear(known: Spec, settings: BackendSettings) -> None:
    """Remove interpreters that are not in use: former ones, and what an interrupted installation left but downloads."""
    manifest = read_manifest(known, settings)
    for environment in home(known, settings).glob("env-*"):
        if manifest is None or environment.name != manifest.environment:
            shutil.rmtree(environment, ignore_errors=True)


def _build(known: Spec, base: Path, environment: Path, steps: _Steps, cancelled: Cancelled) -> dict[str, Any]:
    """Make, fill and check an interpreter; what the check found."""
    where = f"backend {known.name}"
    steps.begin("environment")
    steps.emit(Notice(code="size", message=(
        f"{known.title} {known.version}: about {known.download_mb / 1000:.1f} GB to download, "
        f"{known.disk_mb / 1000:.1f} GB on disk in {environment.parent}."
    )))

    def quietly(_line: str | None) -> None:
        """What a step says that takes seconds is of interest only when it fails."""

    _pip.run([base, "-I", "-m", "venv", environment], quietly, cancelled, where=where)
    python = python_in(environment)
    pip: list[str | Path] = [python, "-I", "-m", "pip", "install", "--require-hashes", "--no-input"]
    _pip.run([*pip, "-r", known.installer], quietly, cancelled, where=where)
    steps.begin("download")
    site = next((environment / "lib").glob("python*")) / "site-packages"
    with _pip.downloads(environment.parent / "downloads") as kept:
        def tell(step: str, fraction: float, message: str) -> None:
            if step == "install":
                kept.unpacked()
            steps.tell(step, fraction, message)

        _pip.run(
            [*pip, "--no-deps", "--no-warn-script-location", *_pip.talkative(python), "-r", known.lock],
            _pip.Watch(_pip.pins(known.lock), site, tell), cancelled, where=where, environment=kept.environment,
        )
    steps.begin("check")
    found = _checked(known, python, steps, cancelled)
    steps.end(f"{len(found['catalogue']['plugins'])} plugins.")
    return found


def _checked(known: Spec, python: Path, steps: _Steps, cancelled: Cancelled) -> dict[str, Any]:
    """Learn a tiny table and list what there is; seconds, versions, catalogue."""
    from synthloom.backends.bridge import Session

    with Session(known.name, Limits(backend_seconds=CHECK_SECONDS), python=python) as session:
        steps.tell("check", 0.05, "looking for plugins")
        listed = session.call("list", emit=steps.emit, cancelled=cancelled)  # first: what is imported once is told once
        steps.tell("check", 0.5, "learning a tiny table")
        learnt = session.call("check", emit=steps.emit, cancelled=cancelled)
    versions = {"python": str(learnt.result["python"])} | _versions(known, python)
    return {"seconds": float(learnt.result["seconds"]), "versions": versions, "catalogue": listed.result}


def _versions(known: Spec, python: Path) -> dict[str, str]:
    """Versions of the packages that matter; one that is not there is left out."""
    script = (
        "import json, sys\nfrom importlib.metadata import distributions\n"
        "found = {d.metadata['Name'].lower(): d.version for d in distributions()}\n"
        "print(json.dumps({n: found[n] for n in sys.argv[1:] if n in found}))"
    )
    try:
        said = subprocess.run(  # noqa: S603  # the interpreter of an installed backend
            [python, "-I", "-c", script, *known.packages], capture_output=True, text=True, check=True, timeout=120
        ).stdout
        return dict(json.loads(said))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BackendError(
            "its interpreter does not tell which packages it has.", where=f"backend {known.name}",
            do=f"Install it again: synthloom backends install {known.name}",
        ) from error
