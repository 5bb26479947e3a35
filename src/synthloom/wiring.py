"""Which adapters stand behind the command line's service: the only place that chooses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synthloom.adapters.local_folder import LocalFolder
from synthloom.domain.errors import UsageError
from synthloom.ports import ArtifactStore
from synthloom.service import Service
from synthloom.settings import Settings


@dataclass(frozen=True)
class Home:
    """A service that keeps one run's artifacts in one local folder.

    Attributes:
        service: The service.
        store: Its store.
        run_id: The folder's name, first part of every key.
        folder: The folder.
        close: Removes whatever is unfinished and stops all writing; for a process about to end.
    """

    service: Service
    store: ArtifactStore
    run_id: str
    folder: Path
    close: Callable[[], None]


def local_home(folder: Path) -> Home:
    """A home for one run's artifacts; the folder need not exist."""
    resolved = folder.expanduser().resolve()
    if not resolved.name:
        raise UsageError("the root of a file system cannot hold a run.", where=str(folder), do="Name a folder in it.")
    store = LocalFolder(resolved.parent)
    return Home(Service(store), store, resolved.name, resolved, store.close)


def settings() -> Settings:
    """The environment's settings."""
    return Settings.from_environment()
