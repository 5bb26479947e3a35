"""What the conformance checks of ledgers are made of: a ledger under test with shorthands, and clocks that wait."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import ContractError, LeaseLostError, SynthloomError
from synthloom.domain.event import Event, Notice
from synthloom.domain.measurement import (
    Direction,
    Measured,
    Measurement,
    MetricInfo,
    Threshold,
    Undefined,
    Verdict,
)
from synthloom.domain.records import Claim, DatasetRecord, Lease, NewRun, RunError, RunRecord, Settlement
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.ports import AccessBook, RunLedger
from synthloom.testing._suite import Broken, Promises, expect

SHORT = 0.25
"""Seconds of a lease that is meant to run out."""
LONG = 60.0
"""Seconds of a lease that is not."""
A, B = "tenant-a", "tenant-b"


class Ledger(RunLedger, AccessBook, Protocol):
    """A ledger with its access book."""


MakeLedger = Callable[[], Ledger]


@dataclass
class Desk:
    """A fresh ledger under test, with shorthands."""

    ledger: Ledger
    _made: int = field(default=0)

    def dataset(self, tenant: str = A, number: int | None = None, **more: Any) -> DatasetRecord:
        """A dataset; those of equal numbers have the same bytes."""
        self._made += 1
        sha = f"{self._made + 1000 if number is None else number:064x}"
        facts: dict[str, Any] = {"filename": "people.csv", "media_type": "text/csv", "size": 1200, "rows": 40}
        return self.ledger.add_dataset(tenant, sha256=sha, key=f"{sha[-8:]}/table.csv", **facts | {"columns": 3} | more)

    def new(self, tenant: str = A, dataset: DatasetRecord | None = None, **more: Any) -> NewRun:
        """A run that could be asked for."""
        dataset_id = (dataset or self.dataset(tenant)).dataset_id
        return NewRun(**{"tenant": tenant, "dataset_id": dataset_id, "request": RunRequest(method="cart")} | more)

    def queue(self, tenant: str = A, dataset: DatasetRecord | None = None, **more: Any) -> RunRecord:
        """A queued run."""
        return self.ledger.enqueue(self.new(tenant, dataset, **more))

    def take(self, worker: str = "worker-1", seconds: float = LONG, **more: Any) -> Claim:
        """The next run, which must be there."""
        claim = self.ledger.claim(worker, seconds, **more)
        if claim is None:
            raise Broken("no run is given though one may be claimed")
        return claim

    def running(self, tenant: str = A, seconds: float = LONG, **more: Any) -> Claim:
        """A new run that is taken at once; nothing else may be claimable."""
        run = self.queue(tenant, **more)
        claim = self.take(seconds=seconds)
        expect(claim.run.run_id == run.run_id, "another run than the only queued one is given")
        return claim

    def lost(self, tenant: str = A, **more: Any) -> Claim:
        """A run whose lease is over."""
        claim = self.running(tenant, SHORT, **more)
        outlast(SHORT)
        return claim

    def status(self, run: RunRecord) -> RunStatus:
        """A run's status now."""
        return self.now(run).status

    def now(self, run: RunRecord) -> RunRecord:
        """A run as it is now."""
        return self.ledger.run(run.tenant, run.run_id)

    def late_writes(self, lease: Lease) -> tuple[Callable[[], object], ...]:
        """Every write that a lease permits."""
        ledger = self.ledger
        return (
            lambda: ledger.heartbeat(lease, LONG),
            lambda: ledger.append_events(lease, [stamped("late")]),
            lambda: ledger.settle(lease, success(lease.run_id)),
            lambda: ledger.release(lease, delay=0),
            lambda: ledger.release(lease, delay=0, count=False),
        )

    def refuses_all(self, lease: Lease, why: str) -> None:
        """Every write under this lease is refused and changes nothing."""
        run = self.ledger.run(lease.tenant, lease.run_id)
        kept = self.ledger.events(lease.tenant, lease.run_id), self.ledger.artifacts(lease.tenant, lease.run_id)
        for write in self.late_writes(lease):
            refused(LeaseLostError, f"a write {why} is taken", write)
        expect(self.ledger.run(lease.tenant, lease.run_id) == run, f"a refused write {why} changes the run")
        after = self.ledger.events(lease.tenant, lease.run_id), self.ledger.artifacts(lease.tenant, lease.run_id)
        expect(after == kept, f"a refused write {why} leaves events or artifacts")


def outlast(seconds: float) -> None:
    """Wait until so many seconds are surely over, by the ledger's clock too."""
    time.sleep(seconds + 0.05)


def stamped(message: str) -> tuple[datetime, Event]:
    """An event as a worker hands it in."""
    return datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), Notice(code="suppressed", message=message)


def artifact(run_id: str, name: str = "synthetic.csv") -> Artifact:
    """Something a run left."""
    return Artifact(key=f"{run_id}/{name}", media_type="text/csv", size=10, sha256="ab" * 32)


def success(run_id: str, *names: str, **more: Any) -> Settlement:
    """A settlement of a run that went well."""
    info = MetricInfo(
        key="utility.ks_mean", title="KS", explanation="Distance.", direction=Direction.LOWER, source="definition",
    )
    threshold = Threshold(name="KS_MAX", key=info.key, limit=0.1)
    fields: dict[str, Any] = {
        "status": RunStatus.SUCCEEDED, "outcome": "passed", "method": "cart", "backend": "native",
        "artifacts": tuple(artifact(run_id, name) for name in names),
        "measurements": (
            Measurement(info=info, outcome=Measured(value=0.05)),
            Measurement(info=info.model_copy(update={"key": "utility.c2st"}), outcome=Undefined(reason="Too few.")),
        ),
        "verdicts": (Verdict(threshold=threshold, value=0.05, passed=True, reason="It is below 0.1."),),
    }
    return Settlement(**fields | more)


FAILURE = Settlement(status=RunStatus.FAILED, error=RunError(code="fit", what="it did not learn.", where="column x"))


def refused(error: type[SynthloomError], found: str, act: Callable[..., object], *given: Any, **more: Any) -> None:
    """Expect an error of this kind from `act(*given, **more)`; otherwise say what was `found`."""
    try:
        act(*given, **more)
    except error:
        return
    except SynthloomError as other:
        raise Broken(f"{found}: {type(other).__name__} in place of {error.__name__}") from None
    raise Broken(f"{found}: no {error.__name__}")


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What `count` threads get that call `act(number)` at the same moment; the first error of any is raised."""
    start, results, errors = threading.Barrier(count), [None] * count, list[BaseException]()

    def one(number: int) -> None:
        start.wait()
        try:
            results[number] = act(number)
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread that tests
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@dataclass(frozen=True)
class LedgerCheck:
    """One promise of a ledger, and the test that it is kept.

    Attributes:
        name: Short and stable.
        promise: What is promised, one sentence.
    """

    name: str
    promise: str
    test: Callable[[Desk], None]

    def run(self, make_ledger: MakeLedger) -> None:
        """Raise ContractError, with the promise and what was found, unless a fresh, empty ledger keeps it."""
        ledger = make_ledger()
        with contextlib.closing(ledger):
            try:
                self.test(Desk(ledger))
            except (Broken, SynthloomError) as broken:
                raise ContractError(
                    f"{broken}. Promised: {self.promise}", where=f"{type(ledger).__name__}, check {self.name}"
                ) from broken


def ledger_promises() -> Promises[Desk, LedgerCheck]:
    """A decorator for promises of ledgers."""
    return Promises(LedgerCheck)
