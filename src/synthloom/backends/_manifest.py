"""What is written down about an installed interpreter, and what is found out about one that is offered."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthloom.backends.specs import BackendSettings, Spec, folder
from synthloom.domain.errors import BackendError, UsageError

MANIFEST = "installed.json"


@dataclass(frozen=True)
class Manifest:
    """`installed.json`.

    Attributes:
        environment: Name of the interpreter's folder, beside the file.
        lock: Digest of the requirements it was made of.
        versions: Package name → version, and `python`.
        catalogue: What `environments.catalogue` describes.
        licence_accepted: When the terms were accepted, UTC in ISO form; None where there are none.
        disk_mb: MB on disk.
    """

    environment: str
    lock: str
    versions: Mapping[str, str]
    catalogue: Mapping[str, Any] = field(default_factory=dict)
    licence_accepted: str | None = None
    disk_mb: int = 0


def home(spec: Spec, settings: BackendSettings) -> Path:
    """A backend's folder."""
    return folder(settings) / spec.name


def lock_digest(spec: Spec) -> str:
    """Digest of a backend's requirements."""
    return hashlib.sha256(spec.lock.read_bytes()).hexdigest()


def read_manifest(spec: Spec, settings: BackendSettings) -> Manifest | None:
    """What is written down about a backend; None where nothing is, or nothing that can be read."""
    try:
        found = json.loads((home(spec, settings) / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**found)
    except (OSError, ValueError, TypeError):  # not installed, or written by another release or hand
        return None
    return manifest if Path(manifest.environment).name == manifest.environment else None


def write_manifest(spec: Spec, settings: BackendSettings, manifest: Manifest) -> None:
    """Write it whole or not at all."""
    target = home(spec, settings) / MANIFEST
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as file:
        json.dump(manifest.__dict__, file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(target)


def python_in(environment: Path) -> Path:
    """The interpreter in a virtual environment."""
    return environment / "bin" / "python"


def find_python(spec: Spec, wanted: str | Path | None) -> Path:
    """An interpreter to build with.

    Args:
        spec: The backend.
        wanted: A path or a command; None: our own where it fits, else the best on the PATH.

    Raises:
        UsageError: `wanted` is none, or of a version that the backend does not run on.
        BackendError: none was found.
    """
    needs = " or ".join(f"{a}.{b}" for a, b in spec.pythons)
    if wanted is not None:
        path = shutil.which(str(Path(wanted).expanduser()))
        version = _version(path) if path is not None else None
        if path is None or version is None:
            raise UsageError(
                f"{str(wanted)!r} is no Python that can make a virtual environment.", where="--python",
                do=f"Give the path of Python {needs} with its modules venv and ensurepip.",
            )
        if version not in spec.pythons:
            raise UsageError(
                f"{wanted} is Python {version[0]}.{version[1]}; {spec.title} {spec.version} runs on {needs}.",
                where="--python", do="Give another one.",
            )
        return Path(path)
    for path in _offers(spec):
        if _version(path) in spec.pythons:
            return Path(path)
    raise BackendError(
        f"{spec.title} {spec.version} runs on Python {needs}, and none was found here.", where=f"backend {spec.name}",
        do="Install one with its modules venv and ensurepip (Debian: python3.11-venv), and name it with --python if it "
        "is not on the PATH.",
    )


def _offers(spec: Spec) -> list[str]:
    named = [shutil.which(f"python{major}.{minor}") for major, minor in spec.pythons]
    own = [sys.executable] if sys.version_info[:2] in spec.pythons else []
    return own + [path for path in named if path is not None]


def _version(path: str | None) -> tuple[int, int] | None:
    """Version of an interpreter that can make virtual environments; None where it cannot."""
    script = "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])"
    if path is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603  # an interpreter that the person named or has on the PATH
            [path, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60
        ).stdout.split()
        return int(said[0]), int(said[1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):  # no Python, or one without venv
        return None


def size_mb(folder: Path) -> int:
    """MB of files in a folder."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # removed meanwhile
                total += os.lstat(os.path.join(path, name)).st_size
    return round(total / 1e6)


def check_room(spec: Spec, at: Path) -> None:
    """See that the disk has room for an installation.

    Raises:
        BackendError: it has not, with how much is needed and how much there is.
    """
    place = next(p for p in (at, *at.parents) if p.exists())
    free = shutil.disk_usage(place).free / 1e6
    needed = spec.disk_mb + spec.download_mb
    if free < needed:
        raise BackendError(
            f"{spec.title} needs about {needed / 1000:.1f} GB of disk while it is installed ({spec.disk_mb / 1000:.1f} "
            f"GB afterwards), and {free / 1000:.1f} GB are free.", where=str(place),
            do="Make room, or let SYNTHLOOM_HOME name a folder on a larger disk.",
        )
