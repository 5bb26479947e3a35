"""One delivery of a run: a child process does it; a thread of the parent watches it, another talks to the ledger."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from synthloom.domain.errors import LeaseLostError, ResourceError, SynthloomError
from synthloom.domain.event import Event, StepStarted
from synthloom.domain.records import Claim, RunError, Settlement
from synthloom.domain.run import RunStatus
from synthloom.ports import ArtifactStore, RunLedger
from synthloom.service.logs import Bound, log_event
from synthloom.service.processes import Scales, ask_group, has_ended, how_it_ended, kernel_kills, kill_group
from synthloom.worker.errors import out_of_memory
from synthloom.worker.pipe import Child
from synthloom.worker.scribe import Ending, Scribe, tidy

FOLDER_PREFIX = f"synthloom-run-{os.getpid()}-"
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_TICK = 0.05
_WEIGH_SECONDS = 0.2
_POLITE_SECONDS, _FIRM_SECONDS = 1.5, 1.0  # to stop by itself; to heed SIGTERM
_LEAVE_SECONDS = 5.0  # to end after the last word
_LONGEST_BACKOFF = 60.0


@dataclass(frozen=True)
class Terms:
    """What every delivery of a worker is held to.

    Attributes:
        lease_seconds: Life of a lease without a heartbeat.
        memory_mb: Memory of the child with its descendants; None: no limit.
        seconds: Wall-clock time; None: no limit.
        backoff: Seconds before a run whose child crashed is claimed again; doubled with each delivery.
        settings: The settings for the child, as variables.
    """

    lease_seconds: float
    memory_mb: int | None
    seconds: float | None
    backoff: float
    settings: dict[str, Any]


class Delivery:
    """Runs in two threads from `start` until `is_over`.

    Args:
        ledger: The ledger.
        artifacts: The store of artifacts, to tidy up.
        claim: The run.
        child: A child that waits for one.
        terms: What it is held to.
        model: What the child may take instead of training, as JSON.
        log: With the run's id.
        on_end: Called when it is over.
        on_trouble: Called when the ledger cannot be reached.
    """

    def __init__(
        self, ledger: RunLedger, artifacts: ArtifactStore, claim: Claim, child: Child, *, terms: Terms,
        model: dict[str, Any] | None, log: Bound, on_end: Callable[[], None], on_trouble: Callable[[], None],
    ) -> None:
        self._ledger, self._artifacts, self._claim, self._child = ledger, artifacts, claim, child
        self._terms, self._model, self._log, self._on_end = terms, model, log, on_end
        self.scribe = Scribe(ledger, claim, terms.lease_seconds, time.monotonic(), log=log, on_trouble=on_trouble)
        self._expelled = threading.Event()
        self._giving_up = threading.Event()
        self._watched = threading.Event()
        self._ending = Ending("abandon")
        self._last: dict[str, Any] | None = None
        self._step: str | None = None
        self._folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
        self._threads = [
            threading.Thread(target=self._watch, name="delivery-watch", daemon=True),
            threading.Thread(target=self._keep, name="delivery-ledger", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    @property
    def is_over(self) -> bool:
        """Whether the child is gone and the ledger knows."""
        return not any(thread.is_alive() for thread in self._threads)

    def expel(self) -> None:
        """Kill the child and give the run back to the queue, without counting the delivery."""
        self._expelled.set()

    def give_up(self) -> None:
        """Wait no longer for a ledger out of reach."""
        self._giving_up.set()

    # the child's side

    def _watch(self) -> None:
        try:
            self._child.fields = {"run_id": self._claim.run.run_id}
            self._ending = self._supervise()
        except Exception as error:  # noqa: BLE001  # the run must not be lost to a defect of ours
            self._log.exception("supervision broke", exc_info=error)
            self._ending = Ending("release", error=_told(error), delay=self._delay())
        finally:
            kill_group(self._child.process)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._watched.set()
            self.scribe.stir()

    def _supervise(self) -> Ending:
        child, kernel = self._child, kernel_kills()
        child.send({
            "do": "run", "claim": self._claim.model_dump(mode="json"), "folder": self._folder,
            "settings": self._terms.settings, "memory_mb": self._terms.memory_mb, "model": self._model,
        })
        stopped = self._until_it_ends()
        code = kill_group(child.process)
        child.hear_out(2.0)
        self._drain_answers()
        if self.scribe.lost.is_set():
            return Ending("abandon")
        if self._last is not None:
            return self._ending_of(self._last)
        if stopped is not None:
            return stopped
        if self.scribe.cancel_asked.is_set():
            return Ending("settle", Settlement(status=RunStatus.CANCELLED))
        if code < 0 and kernel_kills() > kernel:
            return _failed(out_of_memory(None))
        how = how_it_ended(code)
        self._log.error("child ended unexpectedly", extra={"ended": how, "step": self._step})
        return Ending("release", delay=self._delay(), error=RunError(
            code="crashed", what=f"the run's process ended unexpectedly ({how}).", where=self._step,
            do="Try again; if it stays so, give fewer rows or columns or choose another method, and tell the operator.",
        ))

    def _until_it_ends(self) -> Ending | None:
        """Watch the child until it ends or is to be killed; in that case, how the run ends."""
        clock = _Clock(self._terms.seconds)
        scales, heard_all = Scales(self._child.process.pid), False
        while True:
            heard_all = self._hear() or heard_all
            if has_ended(self._child.process) or self.scribe.lost.is_set():
                return None
            now = time.monotonic()
            if self._last is not None:
                if clock.since_last_word(now) > _LEAVE_SECONDS:
                    return None
                continue
            if self._expelled.is_set():
                return Ending("release", count=False)
            if clock.is_late(now):
                return _failed(ResourceError(
                    f"the run took longer than {self._terms.seconds:g} s.",
                    do="Give fewer rows or columns, choose a faster method such as cart, or ask the operator for more.",
                ))
            if self.scribe.cancel_asked.is_set() and not self._stop(clock, now):
                return Ending("settle", Settlement(status=RunStatus.CANCELLED))
            if self._terms.memory_mb is not None and clock.is_weighing(now) and (
                scales.resident() > self._terms.memory_mb << 20
            ):
                return _failed(out_of_memory(self._terms.memory_mb))
            if heard_all:
                time.sleep(_TICK)

    def _stop(self, clock: _Clock, now: float) -> bool:
        """Make the child stop: by a word, then a signal; False when only killing is left."""
        if clock.asked is None:
            clock.asked = now
            self._log.info("cancelling", extra={"step": self._step})
            self._child.send({"do": "cancel"})
        elif now - clock.asked > _POLITE_SECONDS and not clock.signalled:
            clock.signalled = True
            ask_group(self._child.process)
        return now - clock.asked < _POLITE_SECONDS + _FIRM_SECONDS

    def _hear(self) -> bool:
        """Take one answer, waiting a little; True when there will be none any more."""
        try:
            answer = self._child.answers.get(timeout=_TICK)
        except queue.Empty:
            return False
        if answer is None:
            return True
        self._take(answer)
        return False

    def _drain_answers(self) -> None:
        while True:
            try:
                answer = self._child.answers.get_nowait()
            except queue.Empty:
                return
            if answer is not None:
                self._take(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        if "event" not in answer:
            self._last = answer
            return
        event = _EVENT.validate_python(answer["event"])
        if isinstance(event, StepStarted):
            self._step = event.step
        log_event(self._log, event)
        self.scribe.add(answer["at"], event)

    def _ending_of(self, answer: dict[str, Any]) -> Ending:
        if "settlement" in answer:
            return Ending("settle", Settlement.model_validate(answer["settlement"]))
        if "cancelled" in answer:
            if not self.scribe.cancel_asked.is_set():  # nobody asked: a defect, but never a lost run
                return Ending("release", error=_told(RuntimeError()), delay=self._delay())
            return Ending("settle", Settlement(status=RunStatus.CANCELLED))
        if "retry" in answer:
            return Ending("release", error=RunError.model_validate(answer["retry"]), delay=self._delay())
        return Ending("settle", Settlement(
            status=RunStatus.FAILED, error=RunError.model_validate(answer["failed"]),
        ))

    def _delay(self) -> float:
        return min(self._terms.backoff * 2.0 ** max(self._claim.run.deliveries - 1, 0), _LONGEST_BACKOFF)

    # the ledger's side

    def _keep(self) -> None:
        try:
            self.scribe.attend(self._watched.is_set)
            self._watched.wait()
            self._conclude()
        except LeaseLostError:
            self._log.warning("lease lost")
        except Exception as error:  # noqa: BLE001  # left to the lease's end: deliveries are counted, so it comes to one
            self._log.exception("the ledger cannot be told", exc_info=error)
            self.scribe.lost.set()
            self._watched.wait()
        finally:
            self._on_end()

    def _conclude(self) -> None:
        ending = self._ending
        run = None if ending.how == "abandon" else self.scribe.finish(ending, self._giving_up.is_set)
        if run is None:
            if self.scribe.lost.is_set():
                self._forget(ending)
            return
        said = ending.settlement
        error = run.error or (said.error if said is not None else ending.error)
        self._log.info("delivery ended", extra={
            "status": str(run.status), "method": run.method, "backend": run.backend, "outcome": run.outcome,
            "error": error.code if error is not None else None, "delivery": self._claim.run.deliveries,
        })
        if run.final:
            tidy(self._artifacts, self._ledger, run, self._log)

    def _forget(self, ending: Ending) -> None:
        """Remove what this delivery has stored, unless the ledger does point to it: its answer may have been lost."""
        if ending.settlement is None or not ending.settlement.artifacts:
            return
        try:
            kept = {a.key for a in self._ledger.artifacts(self._claim.run.tenant, self._claim.run.run_id)}
            for artifact in ending.settlement.artifacts:
                if artifact.key not in kept:
                    self._artifacts.delete(artifact.key)
        except SynthloomError as error:  # the run may be deleted meanwhile; the store may be away
            self._log.warning("leftovers not removed", extra={"kind": error.code})


class _Clock:
    """When things happened to a child."""

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._weighed = 0.0
        self._last_word: float | None = None
        self.asked: float | None = None
        self.signalled = False

    def is_late(self, now: float) -> bool:
        return self._until is not None and now > self._until

    def is_weighing(self, now: float) -> bool:
        if now - self._weighed < _WEIGH_SECONDS:
            return False
        self._weighed = now
        return True

    def since_last_word(self, now: float) -> float:
        self._last_word = self._last_word or now
        return now - self._last_word


def _failed(error: SynthloomError) -> Ending:
    return Ending("settle", Settlement(status=RunStatus.FAILED, error=RunError.model_validate(error.as_dict())))


def _told(error: Exception) -> RunError:
    return RunError(
        code="internal", what=f"the worker met something unexpected ({type(error).__name__}).",
        do="The operator finds the place in the worker's log, under this run's id.",
    )
