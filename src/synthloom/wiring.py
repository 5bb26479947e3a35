"""Which adapters stand behind the command line's service and the server's: the only place that chooses them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthloom.adapters.local_folder import LocalFolder
from synthloom.domain.errors import MissingDependencyError, OutputError, UsageError
from synthloom.ports import AccessBook, ArtifactStore, RunLedger
from synthloom.service import Service
from synthloom.settings import Settings

if TYPE_CHECKING:
    from synthloom.registry import Backends
    from synthloom.service.runs import RunService


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


def backends(settings: Settings, *, hosted: bool = False) -> Backends:
    """Who may implement methods beside this package.

    Args:
        settings: The environment's.
        hosted: Whether this is a service for others, which some licences forbid.
    """
    from synthloom.backends.desk import make_backends

    return make_backends(settings, hosted=hosted)


@dataclass(frozen=True)
class ServerHome:
    """What a server or a worker works with.

    Attributes:
        service: The door to runs.
        ledger: Datasets, runs and the queue.
        access: Keys and the audit log, in the same database.
        settings: The environment's settings.
        close: Lets go of connections.
    """

    service: RunService
    ledger: RunLedger
    access: AccessBook
    settings: Settings
    close: Callable[[], None]


def server_home(settings: Settings, *, migrate: bool = True) -> ServerHome:
    """The ledger and stores that the settings name.

    Args:
        settings: The environment's.
        migrate: Bring the database up to date first; several processes may do so at once.

    Raises:
        MissingDependencyError: the extra `server` (or `postgres`) is not installed.
        StorageUnavailableError: the database cannot be reached.
        UsageError: an address cannot be used.
    """
    from synthloom.service.limited import Bounds
    from synthloom.service.runs import Limits, RunService

    need_server()
    from synthloom.adapters.ledger_sql import SqlLedger

    ledger = SqlLedger(database_url(settings))
    if migrate:
        ledger.migrate()
    datasets, artifacts = stores(settings)
    limits = Limits(
        upload_bytes=settings.upload_mb << 20, table_cells=settings.table_cells, deliveries=settings.run_deliveries,
        model_cache=settings.model_cache, reading=Bounds(settings.read_memory_mb, settings.read_seconds),
        run_pdf=settings.run_pdf,
    )
    token = settings.report_token
    service = RunService(
        ledger, datasets, artifacts, limits, report_service=settings.report_service,
        circumstances=lambda: circumstances(settings),
        report_token=token.get_secret_value() if token is not None else None,
        backends=backends(settings, hosted=True),
    )
    return ServerHome(service, ledger, ledger, settings, ledger.close)


def circumstances(settings: Settings) -> dict[str, str]:
    """What a model depends on beside its run and this interpreter's packages: the backends asked and those there."""
    from synthloom.backends.environments import status
    from synthloom.registry import NATIVE

    names = [name.strip() for name in settings.backends.split(",") if name.strip() not in ("", NATIVE)]
    there = {f"backend {name}": str(sorted(status(name, settings).versions.items())) for name in names}
    return there | {"backends": settings.backends, "synthcity_only": str(settings.synthcity_only)}


def migrate_database(settings: Settings) -> str:
    """Bring the database up to date; which kind it is: sqlite or postgresql."""
    need_server()
    from synthloom.adapters.ledger_sql import SqlLedger

    url = database_url(settings)
    ledger = SqlLedger(url)
    try:
        ledger.migrate()
    finally:
        ledger.close()
    return "sqlite" if url.startswith("sqlite") else "postgresql"


def stores(settings: Settings) -> tuple[ArtifactStore, ArtifactStore]:
    """The stores of datasets and of artifacts."""
    if settings.store != "s3":
        root = Path(settings.store).expanduser() if settings.store else home_folder(settings) / "files"
        root = root.resolve()
        return LocalFolder(root / settings.datasets_bucket), LocalFolder(root / settings.artifacts_bucket)
    need_server()
    from synthloom.adapters.object_store import ObjectStore

    secret = settings.s3_secret_access_key

    def bucket(name: str) -> ArtifactStore:
        return ObjectStore.s3(
            name, endpoint=settings.s3_endpoint, region=settings.s3_region, access_key_id=settings.s3_access_key_id,
            secret_access_key=secret.get_secret_value() if secret is not None else None,
            public_endpoint=settings.s3_public_endpoint,
        )

    return bucket(settings.datasets_bucket), bucket(settings.artifacts_bucket)


def database_url(settings: Settings) -> str:
    """The database's address; a SQLite file in the home folder where none is set."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    folder = home_folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(
            f"the folder cannot be made ({error.strerror}).", where=str(folder),
            do="Set SYNTHLOOM_HOME to a folder that you may write to.",
        ) from None
    return f"sqlite:///{(folder / 'synthloom.db').as_posix()}"


def home_folder(settings: Settings) -> Path:
    """Where the server keeps what is not set otherwise: SYNTHLOOM_HOME, else a folder in the user's data folder."""
    if settings.home is not None:
        return Path(settings.home).expanduser().resolve()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "synthloom"


def need_server() -> None:
    """MissingDependencyError where the extra `server` is not installed."""
    for module in ("sqlalchemy", "alembic", "obstore", "psutil"):
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError(
                f"the server needs {module}, which is not installed.",
                do="Install it with: pip install 'synthloom[server]' (and [postgres] for PostgreSQL)",
            )
