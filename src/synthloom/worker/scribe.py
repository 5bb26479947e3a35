"""The side of a delivery that talks to the ledger: events, heartbeats, the end. It waits out a lost database."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from synthloom.domain.errors import LeaseLostError, StorageUnavailableError, SynthloomError
from synthloom.domain.event import Event, Progress
from synthloom.domain.records import Claim, RunError, RunRecord, Settlement
from synthloom.ports import ArtifactStore, RunLedger
from synthloom.service.logs import Bound

_FLUSH_SECONDS = 0.4
_BEAT_SECONDS = 1.0
"""A heartbeat also brings the wish to cancel, so it is not as rare as the lease would allow."""
_POKED_SECONDS = 0.1
_LONGEST_PAUSE = 1.0
_MOST_EVENTS = 5_000  # kept while the ledger is away; progress is let go of first
_BATCH = 500


@dataclass(frozen=True)
class Ending:
    """How a delivery ended, and what the ledger is to be told.

    Attributes:
        how: settle with `settlement`; release to the queue, with `error` when it was a failure; or abandon, since the
            run is somebody else's now.
    """

    how: Literal["settle", "release", "abandon"]
    settlement: Settlement | None = None
    error: RunError | None = None
    delay: float = 0.0
    count: bool = True


class Scribe:
    """Writes down what happens in one delivery.

    Args:
        ledger: Where.
        claim: The delivery.
        lease_seconds: How long the lease is extended each time.
        claimed: The machine's monotonic clock when the claim came.
        log: With the run's id.
        on_trouble: Called when the ledger cannot be reached.

    Attributes:
        cancel_asked: Set when somebody has asked the run to stop.
        lost: Set when the run is no longer ours.
    """

    def __init__(
        self, ledger: RunLedger, claim: Claim, lease_seconds: float, claimed: float, *, log: Bound,
        on_trouble: Callable[[], None],
    ) -> None:
        self._ledger, self._claim, self._seconds, self._log = ledger, claim, lease_seconds, log
        # the ledger's clock, carried on by the machine's steady one: the worker's wall clock may be wrong
        self._began = (claimed, claim.lease.until - timedelta(seconds=lease_seconds))
        self._events: deque[tuple[datetime, Event]] = deque()
        self._lock = threading.Lock()
        self._stirred = threading.Event()
        self._poked = False
        self._troubled, self._on_trouble = 0, on_trouble
        self.cancel_asked = threading.Event()
        self.lost = threading.Event()
        if claim.run.cancel_requested_at is not None:
            self.cancel_asked.set()

    def add(self, at: float, event: Event) -> None:
        """Take an event down; it is written within half a second."""
        stamp = self._began[1] + timedelta(seconds=max(at - self._began[0], 0.0))
        with self._lock:
            if len(self._events) >= _MOST_EVENTS:
                kept = [e for e in self._events if not isinstance(e[1], Progress)]
                self._events = deque(kept[-_MOST_EVENTS + 1:])
            self._events.append((stamp, event))

    def poke(self) -> None:
        """Look for a wish to cancel now."""
        self._poked = True
        self._stirred.set()

    def stir(self) -> None:
        """Look at the conditions of `attend` now."""
        self._stirred.set()

    def attend(self, over: Callable[[], bool]) -> None:
        """Keep the lease and write events until `over()`, or until the lease is lost."""
        beat = min(_BEAT_SECONDS, self._seconds / 4)
        next_beat, next_flush = time.monotonic() + beat, 0.0
        while not over():
            self._stirred.wait(max(0.01, min(next_beat, max(next_flush, time.monotonic() + 0.05)) - time.monotonic()))
            self._stirred.clear()
            now = time.monotonic()
            try:
                if now >= next_flush:
                    self._flush()
                    next_flush = now + _FLUSH_SECONDS
                if now >= next_beat or (self._poked and now >= next_beat - beat + _POKED_SECONDS):
                    self._poked = False
                    next_beat = now + beat
                    answer = self._ledger.heartbeat(self._claim.lease, self._seconds)
                    if answer.cancel_requested:
                        self.cancel_asked.set()
                self._well()
            except LeaseLostError:
                self._log.warning("lease lost")
                self.lost.set()
                return
            except StorageUnavailableError as error:
                self._pause(error, over)

    def finish(self, ending: Ending, gives_up: Callable[[], bool]) -> RunRecord | None:
        """Tell the ledger how it ended, however long that takes; the run, or None when it was not ours any more.

        Args:
            ending: How it ended.
            gives_up: Whether to leave it to the lease's end, as this worker has to end.
        """
        lease = self._claim.lease
        while not self.lost.is_set():
            try:
                self._flush()
                if ending.how == "settle" and ending.settlement is not None:
                    run = self._ledger.settle(lease, ending.settlement)
                else:
                    run = self._ledger.release(lease, delay=ending.delay, error=ending.error, count=ending.count)
                self._well()
                return run
            except LeaseLostError:
                self.lost.set()
            except StorageUnavailableError as error:
                if gives_up():
                    self._log.error("ledger out of reach; the run is left to the end of its lease")
                    return None
                self._pause(error, gives_up)
        return None

    def _flush(self) -> None:
        while True:
            with self._lock:
                batch = [self._events[i] for i in range(min(len(self._events), _BATCH))]
            if not batch:
                return
            self._ledger.append_events(self._claim.lease, batch)
            with self._lock:
                written = {id(entry) for entry in batch}
                self._events = deque(entry for entry in self._events if id(entry) not in written)

    def _pause(self, error: SynthloomError, over: Callable[[], bool]) -> None:
        self._troubled += 1
        self._on_trouble()
        if self._troubled == 1:
            self._log.warning("ledger out of reach", extra={"reason": error.what})
        until = time.monotonic() + min(0.1 * 2 ** min(self._troubled, 8), _LONGEST_PAUSE)
        while time.monotonic() < until and not over():
            time.sleep(0.05)

    def _well(self) -> None:
        if self._troubled:
            self._log.info("ledger back", extra={"tries": self._troubled})
        self._troubled = 0


def tidy(artifacts: ArtifactStore, ledger: RunLedger, run: RunRecord, log: Bound) -> None:
    """Remove what lost or failed deliveries of a final run have left in the store."""
    try:
        kept = {a.key for a in ledger.artifacts(run.tenant, run.run_id)}
        for key in artifacts.list(f"{run.run_id}/"):
            if key not in kept:
                artifacts.delete(key)
    except SynthloomError as error:
        log.warning("leftovers not removed", extra={"kind": error.code})
