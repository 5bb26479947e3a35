"""The worker's parent: claims runs, hands each to a child, drains when it is asked to end."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from synthloom.domain.errors import StorageUnavailableError, SynthloomError
from synthloom.domain.records import Claim
from synthloom.service.logs import Bound
from synthloom.service.processes import has_ended, kill_group
from synthloom.settings import Settings
from synthloom.worker.delivery import Delivery, Terms
from synthloom.worker.pipe import CHILD, Child

if TYPE_CHECKING:
    from synthloom.wiring import ServerHome

_WARM_SECONDS = 60.0
"""How long a child is kept ready after the last run: it takes memory, and saves a second or two."""
_PAUSE_SECONDS = 1.0  # after the ledger could not be reached
_HOLD_SECONDS = 3.0
"""How long nothing is claimed once the ledger is back, so that leases which ended meanwhile can be extended before they
are taken: longer than the pauses between heartbeats while it is away."""
_GIVE_UP_SECONDS = 10.0  # for telling the ledger, once all children are gone
_STALE_SECONDS = 600.0
_WITHHELD = frozenset({"SYNTHLOOM_JWKS_URL", "SYNTHLOOM_JWT_ISSUER"})


class Worker:
    """Claims and does runs until it is told to stop. Several may live in one process, and many on one ledger.

    Args:
        home: Ledger, stores, settings.
        name: Who it is, for people; default: host, process and a random part.
        child: The module of its children.
        backoff: Seconds before a run whose child crashed is claimed again; doubled with each delivery.
    """

    def __init__(
        self, home: ServerHome, *, name: str | None = None, child: str = CHILD, backoff: float = 1.0,
    ) -> None:
        self._home, self._module = home, child
        settings = home.settings
        self._settings = settings
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._terms = Terms(
            settings.lease_seconds, settings.run_memory_mb, settings.run_seconds, backoff, for_child(settings),
        )
        self._log = Bound(logging.getLogger("synthloom.worker"), {"worker": self.name})
        self._deliveries: list[Delivery] = []
        self._spare: Child | None = None
        self._active = time.monotonic()
        self._troubled = float("-inf")
        self._stirred = threading.Event()
        self._stopping = threading.Event()
        self._hurried = threading.Event()

    def stop(self) -> None:
        """Claim nothing more, let runs go on for the grace period, then give them back. A second call cuts it short."""
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()
        self._stirred.set()

    def run(self) -> None:
        """Work until `stop` is called and all is given back. Children end when the thread that calls this does."""
        remove_stale_folders()
        self._log.info("worker started", extra={"slots": self._settings.worker_slots})
        waiter = threading.Thread(target=self._wait, name="worker-wait", daemon=True)
        waiter.start()
        try:
            while not self._stopping.is_set():
                self._turn()
            self._drain()
        finally:
            self._stopping.set()
            for delivery in self._deliveries:
                delivery.expel()
            self._drop_spare()
        self._log.info("worker ended")

    def _turn(self) -> None:
        self._reap()
        full = len(self._deliveries) >= self._settings.worker_slots
        if not full and self._take_one():
            return
        self._settle_spare()
        self._stirred.wait(min(self._settings.poll_seconds, 1.0 if self._spare is not None else 3600.0))
        self._stirred.clear()

    def _note_trouble(self) -> None:
        self._troubled = time.monotonic()

    def _is_holding(self) -> bool:
        """Whether the ledger was away a moment ago; asks whether it still is."""
        if time.monotonic() - self._troubled >= _HOLD_SECONDS:
            return False
        self._home.ledger.oldest_wait()
        self._stopping.wait(0.2)
        return True

    def _take_one(self) -> bool:
        try:
            if self._is_holding():
                return True
            claim = self._home.ledger.claim(
                self.name, self._settings.lease_seconds, tenant_limit=self._settings.tenant_runs,
            )
        except StorageUnavailableError as error:
            self._note_trouble()
            self._log.warning("ledger out of reach", extra={"reason": error.what})
            self._stopping.wait(_PAUSE_SECONDS)
            return True
        if claim is None:
            return False
        self._begin(claim)
        return True

    def _begin(self, claim: Claim) -> None:
        log = Bound(logging.getLogger("synthloom.worker"), {"worker": self.name, "run_id": claim.run.run_id})
        log.info("run claimed", extra={"delivery": claim.run.deliveries, "method": claim.run.request.method})
        child, self._spare = self._ready_spare() or Child(self._module), None
        delivery = Delivery(
            self._home.ledger, self._home.service.artifacts, claim, child, terms=self._terms,
            model=self._offer(claim, log), log=log,
            on_end=self._stirred.set, on_trouble=self._note_trouble,
        )
        self._deliveries.append(delivery)
        delivery.start()
        self._active = time.monotonic()

    def _offer(self, claim: Claim, log: Bound) -> dict[str, Any] | None:
        try:
            offer = self._home.service.model_offer(claim)
        except StorageUnavailableError as error:
            log.warning("no earlier model looked for", extra={"reason": error.what})
            return None
        return None if offer is None else offer.model_dump(mode="json")

    def _reap(self) -> None:
        going = [d for d in self._deliveries if not d.is_over]
        if len(going) < len(self._deliveries):
            self._active = time.monotonic()
        self._deliveries = going

    def _wait(self) -> None:
        """Turn the ledger's hints into looks at the queue, and at wishes to cancel."""
        while not self._stopping.is_set():
            try:
                hinted = self._home.ledger.wait(self._settings.poll_seconds)
            except StorageUnavailableError:
                self._note_trouble()
                self._stopping.wait(_PAUSE_SECONDS)
                continue
            if hinted:
                for delivery in list(self._deliveries):
                    delivery.scribe.poke()
                self._stirred.set()

    # children kept ready

    def _ready_spare(self) -> Child | None:
        spare = self._spare
        if spare is not None and has_ended(spare.process):
            self._drop_spare()
            return None
        return spare

    def _settle_spare(self) -> None:
        wanted = self._settings.worker_warm and (
            bool(self._deliveries) or time.monotonic() - self._active < _WARM_SECONDS
        )
        if not wanted:
            self._drop_spare()
        elif self._ready_spare() is None:
            self._spare = Child(self._module)

    def _drop_spare(self) -> None:
        if self._spare is not None:
            kill_group(self._spare.process)
            self._spare = None

    def _drain(self) -> None:
        self._drop_spare()
        self._reap()
        if self._deliveries:
            self._log.info("draining", extra={"runs": len(self._deliveries), "grace": self._settings.drain_seconds})
        until = time.monotonic() + self._settings.drain_seconds
        while self._deliveries and time.monotonic() < until and not self._hurried.is_set():
            self._stirred.wait(0.1)
            self._stirred.clear()
            self._reap()
        for delivery in self._deliveries:
            delivery.expel()
        until = time.monotonic() + _GIVE_UP_SECONDS
        while self._deliveries:
            time.sleep(0.05)
            self._reap()
            if time.monotonic() > until:
                for delivery in self._deliveries:
                    delivery.give_up()


def worker_loop(home: ServerHome, stop: threading.Event, **options: Any) -> None:
    """Work until `stop` is set, then drain; for a thread of a server that lives as long as the worker."""
    worker = Worker(home, **options)

    def heed() -> None:
        stop.wait()
        worker.stop()

    threading.Thread(target=heed, name="worker-stop", daemon=True).start()
    worker.run()


def for_child(settings: Settings) -> dict[str, Any]:
    """The settings as a child may know them: no database, no door; as variables' names with JSON-safe values."""
    hidden = {name for name, value in settings if isinstance(value, SecretStr)}  # written as JSON, they are stars
    said = settings.model_dump(mode="json", by_alias=True, exclude=hidden)
    if settings.s3_secret_access_key is not None:
        said["SYNTHLOOM_S3_SECRET_ACCESS_KEY"] = settings.s3_secret_access_key.get_secret_value()
    return {name: value for name, value in said.items() if value is not None and name not in _WITHHELD}


def remove_stale_folders() -> None:
    """Remove what workers that were killed have left in the temporary folder: it may hold tables."""
    import psutil

    for folder in Path(tempfile.gettempdir()).glob("synthloom-run-*"):
        found = re.match(r"synthloom-run-(\d+)-", folder.name)
        with contextlib.suppress(OSError, SynthloomError):  # another worker removes it, or it is somebody else's
            old = time.time() - folder.stat().st_mtime > _STALE_SECONDS
            if found and old and not psutil.pid_exists(int(found.group(1))):
                shutil.rmtree(folder, ignore_errors=True)
