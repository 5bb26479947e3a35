"""What ledgers promise to workers: order, leases, fencing, events, settlement."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from synthloom.domain.errors import LeaseLostError, UsageError
from synthloom.domain.event import Fallback, Loss, Progress, StepFinished, StepStarted
from synthloom.domain.records import Claim, RunError
from synthloom.domain.run import RunStatus
from synthloom.testing._desk import (
    FAILURE,
    LONG,
    SHORT,
    A,
    B,
    Desk,
    artifact,
    at_once,
    ledger_promises,
    outlast,
    refused,
    stamped,
    success,
)
from synthloom.testing._suite import Broken, expect

QUEUE = ledger_promises()
"""The promises that workers rely on."""


# claiming ------------------------------------------------------------------------------------------------------------


@QUEUE("a claim gives the run, running and begun once more, its dataset, and a lease of the seconds asked for.")
def _gives_a_claim(desk: Desk) -> None:
    ledger, data = desk.ledger, desk.dataset()
    expect(ledger.claim("worker-1", LONG) is None, "an empty queue gives a run")
    run = desk.queue(dataset=data)
    claim = desk.take("worker-7", LONG)
    lease, now = claim.lease, claim.run
    expect(now.run_id == run.run_id == lease.run_id and lease.tenant == A, "it is another run")
    expect(claim.dataset == data, "the dataset is another one")
    expect(now.status is RunStatus.RUNNING and now.deliveries == 1, "it is not running for the first time")
    expect(now.worker == lease.worker == "worker-7" and now.lease_until == lease.until, "the lease is not on the run")
    expect(now.started_at is not None and now.started_at >= run.created_at, "it started before it was made")
    length = (lease.until - (now.started_at or now.created_at)).total_seconds()
    expect(abs(length - LONG) < 1, f"a lease of {LONG} s lasts {length} s")
    expect(desk.now(run) == now, "another record is read than was claimed")
    expect(ledger.claim("worker-2", LONG) is None, "a run is given twice")
    for odd in (-1.0, float("nan"), float("inf")):
        refused(UsageError, "a lease of no time is given", ledger.claim, "worker-1", odd)


@QUEUE("the highest priority comes first, and of equal ones the oldest.")
def _keeps_the_order(desk: Desk) -> None:
    data = desk.dataset()
    made = {p: [desk.queue(dataset=data, priority=p).run_id for _ in range(2)] for p in (0, 5, -100, 100)}
    made[0].append(desk.queue(B).run_id)
    given = [desk.take().run.run_id for _ in range(9)]
    expect(given == [*made[100], *made[5], *made[0], *made[-100]], "runs are given in another order")


@QUEUE("many workers at once get each run once.")
def _gives_each_run_once(desk: Desk) -> None:
    data = desk.dataset()
    made = {desk.queue(dataset=data).run_id for _ in range(24)}

    def work(number: int) -> list[str]:
        mine = list[str]()
        for _ in range(3):
            claim = desk.ledger.claim(f"worker-{number}", LONG)
            if claim is not None:
                mine.append(claim.run.run_id)
        return mine

    given = [run_id for mine in at_once(8, work) for run_id in mine]
    expect(len(given) == len(set(given)), "a run is given to two workers")
    expect(set(given) == made, "a run is given to nobody though workers asked often enough")


@QUEUE("a run that was given back is not claimed before its delay is over, and holds nobody else up.")
def _keeps_backoff(desk: Desk) -> None:
    ledger, first = desk.ledger, desk.running(priority=9)
    back = ledger.release(first.lease, delay=2 * SHORT)
    expect(back.status is RunStatus.QUEUED and back.deliveries == 1, "it is not queued again")
    expect(back.worker is None and back.lease_until is None, "somebody still holds it")
    expect(back.not_before > back.created_at, "it is not to be claimed later")
    expect(ledger.claim("worker-1", LONG) is None, "it is given before its delay is over")
    other = desk.queue()
    expect(desk.take().run.run_id == other.run_id, "a run in its delay holds others up")
    outlast(2 * SHORT)
    again = desk.take()
    expect(again.run.run_id == first.run.run_id and again.run.deliveries == 2, "it is not given after its delay")
    expect(again.run.started_at == first.run.started_at, "it has started anew")
    expect(again.lease.token > first.lease.token, "the token does not grow")


@QUEUE("a tenant never has more running runs than the limit, workers asking at once included, and holds up no other.")
def _keeps_the_tenant_limit(desk: Desk) -> None:
    ledger = desk.ledger
    datasets = {tenant: desk.dataset(tenant) for tenant in (A, B)}
    for tenant, count in ((A, 12), (B, 1)):
        for _ in range(count):
            desk.queue(tenant, datasets[tenant], priority=5 if tenant == A else 0)
    claims = [c for c in at_once(10, lambda n: ledger.claim(f"w{n}", LONG, tenant_limit=2)) if c is not None]
    tenants = sorted(claim.lease.tenant for claim in claims)
    expect(tenants == [A, A, B], f"with a limit of 2 these tenants run: {tenants}")
    expect(ledger.claim("worker-1", LONG, tenant_limit=2) is None, "the limit is passed")
    ledger.settle(next(c for c in claims if c.lease.tenant == A).lease, FAILURE)
    expect(desk.take(tenant_limit=2).lease.tenant == A, "a place that became free is not given")
    expect(desk.take().lease.tenant == A, "without a limit nothing is given")


# leases --------------------------------------------------------------------------------------------------------------


@QUEUE("a run whose lease is over goes to the next worker under a greater token, and the first is refused everything.")
def _rescues_and_fences(desk: Desk) -> None:
    first = desk.lost()
    expect(desk.status(first.run) is RunStatus.RUNNING, "it is not running until somebody claims it")
    second = desk.take("worker-2")
    expect(second.run.run_id == first.run.run_id and second.run.deliveries == 2, "the lost run is not given")
    expect(second.lease.token > first.lease.token, "the token does not grow")
    desk.refuses_all(first.lease, "after a takeover")
    done = desk.ledger.settle(second.lease, success(second.run.run_id))
    expect(done.status is RunStatus.SUCCEEDED, "the second worker cannot end it")


@QUEUE("heartbeats keep a run, and a late one keeps it too where nobody has claimed it since.")
def _keeps_what_lives(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running(seconds=2 * SHORT)
    for _ in range(3):
        time.sleep(SHORT)
        beat = ledger.heartbeat(claim.lease, 2 * SHORT)
        expect(beat.lease.until > claim.lease.until, "a heartbeat does not extend the lease")
        expect(beat.lease.token == claim.lease.token, "a heartbeat changes the token")
        expect(ledger.claim("worker-2", LONG) is None, "a run is taken from a worker that lives")
    outlast(2 * SHORT)
    ledger.heartbeat(claim.lease, LONG)
    expect(ledger.claim("worker-2", LONG) is None, "a run is taken after a late heartbeat")
    done = ledger.settle(claim.lease, success(claim.run.run_id))
    expect(done.status is RunStatus.SUCCEEDED, "the run cannot be ended")


@QUEUE("a worker whose lease is over may still append, settle and release while nobody has claimed the run.")
def _takes_late_work_of_the_owner(desk: Desk) -> None:
    ledger, one = desk.ledger, desk.lost()
    expect(ledger.append_events(one.lease, [stamped("late")]) == 1, "an event of the owner is refused")
    expect(ledger.settle(one.lease, success(one.run.run_id)).final, "the owner cannot settle")
    two = desk.lost()
    expect(ledger.release(two.lease, delay=LONG).status is RunStatus.QUEUED, "the owner cannot give it back")


@QUEUE("a lost run is given in its old place: among queued ones by priority, then age.")
def _keeps_the_place_of_lost_runs(desk: Desk) -> None:
    data = desk.dataset()
    old = desk.running(dataset=data, seconds=SHORT)
    high = desk.queue(dataset=data, priority=1)
    young = desk.queue(dataset=data)
    outlast(SHORT)
    given = [desk.take().run.run_id for _ in range(3)]
    expect(given == [high.run_id, old.run.run_id, young.run_id], "runs are given in another order")


@QUEUE("a run whose deliveries are spent is failed as worker_lost when its last lease is over.")
def _fails_what_loses_workers(desk: Desk) -> None:
    first = desk.lost(max_deliveries=2)
    second = desk.take("worker-2", SHORT)
    outlast(SHORT)
    expect(desk.ledger.claim("worker-3", LONG) is None, "a run without deliveries is given")
    run = desk.now(first.run)
    expect(run.status is RunStatus.FAILED and run.deliveries == 2, "it is not failed after two deliveries")
    expect(run.error is not None and run.error.code == "worker_lost", "the error is not worker_lost")
    expect(run.finished_at and run.worker is None and run.lease_until is None, "it is not over")
    desk.refuses_all(first.lease, "after the run failed")
    desk.refuses_all(second.lease, "after the run failed")


@QUEUE("a lost run that was asked to cancel is cancelled, deliveries left or not, and not given again.")
def _cancels_what_is_lost(desk: Desk) -> None:
    for deliveries in (1, 3):
        claim = desk.running(seconds=SHORT, max_deliveries=deliveries)
        desk.ledger.request_cancel(A, claim.run.run_id)
        outlast(SHORT)
        expect(desk.ledger.claim("worker-2", LONG) is None, "a run that was asked to cancel is given")
        run = desk.now(claim.run)
        expect(run.status is RunStatus.CANCELLED and run.finished_at, f"it is {run.status.value}, not cancelled")
        desk.refuses_all(claim.lease, "after the cancel")


@QUEUE("a lost run does not count as one of its tenant's running runs, and waits as a queued one does.")
def _does_not_count_the_lost(desk: Desk) -> None:
    claim = desk.lost()
    expect(desk.ledger.oldest_wait() > 0, "the lost run does not count as waiting")
    again = desk.take("worker-2", tenant_limit=1)
    expect(again.run.run_id == claim.run.run_id, "the lost run holds its own place")


@QUEUE("no write is taken under a lease with another token, of another tenant or run, or of a run that is over.")
def _fences_every_write(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running()
    lease, other = claim.lease, desk.running(B)
    desk.refuses_all(lease.model_copy(update={"token": lease.token + 1}), "under a token to come")
    for change in ({"tenant": B}, {"run_id": other.run.run_id, "token": 99}, {"run_id": "0" * 32}, {"run_id": "\x00"}):
        forged = lease.model_copy(update=change)
        for write in desk.late_writes(forged):
            refused(LeaseLostError, "a write under a forged lease is taken", write)
    expect(desk.now(claim.run) == claim.run and desk.now(other.run) == other.run, "a refused write changes a run")
    ledger.settle(lease, FAILURE)
    desk.refuses_all(lease, "after the run is over")
    back = ledger.release(other.lease, delay=0)
    expect(back.status is RunStatus.QUEUED, "the run is not given back")
    desk.refuses_all(other.lease, "after the run was given back")


# events --------------------------------------------------------------------------------------------------------------


@QUEUE("events are numbered from 1 without gap, keep what they say and when, and go on in the next delivery.")
def _numbers_events(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running(seconds=SHORT)
    run_id = claim.run.run_id
    told = [stamped("one"), stamped("two"), stamped("three")]
    told[2] = (told[2][0] + timedelta(seconds=5), Loss(name="train", iteration=3, value=0.25))
    expect(ledger.events(A, run_id) == (), "a run just begun has events")
    expect(ledger.append_events(claim.lease, []) == 0, "nothing appended has a number")
    expect(ledger.append_events(claim.lease, told[:2]) == 2, "the last number is not 2")
    expect(ledger.append_events(claim.lease, told[2:]) == 3, "the last number is not 3")
    kept = ledger.events(A, run_id)
    expect([(e.at, e.event) for e in kept] == told, "events come back changed")
    expect([(e.number, e.delivery) for e in kept] == [(1, 1), (2, 1), (3, 1)], "numbers or deliveries are wrong")
    expect(ledger.events(A, run_id, after=1) == kept[1:], "`after` is not kept to")
    expect(ledger.events(A, run_id, after=1, limit=1) == kept[1:2], "`limit` is not kept to")
    expect(ledger.events(A, run_id, after=3) == (), "something comes after the last")
    outlast(SHORT)
    again = desk.take()
    expect(ledger.append_events(again.lease, [stamped("four")]) == 4, "numbers begin anew in the next delivery")
    expect([e.delivery for e in ledger.events(A, run_id)] == [1, 1, 1, 2], "the delivery is not told")


@QUEUE("events appended at once by several threads of a worker have different numbers, and none is lost.")
def _numbers_events_at_once(desk: Desk) -> None:
    claim = desk.running()
    last = at_once(6, lambda n: [desk.ledger.append_events(claim.lease, [stamped(f"{n}-{k}")] * 2) for k in range(3)])
    expect(len({number for mine in last for number in mine}) == 18, "two calls end at the same number")
    numbers = [e.number for e in desk.ledger.events(A, claim.run.run_id)]
    expect(numbers == list(range(1, 37)), "numbers have gaps, repeats or another order")


@QUEUE("progress moves the run's step and progress, and is dropped when the run is settled; everything else stays.")
def _follows_progress(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running()
    at = stamped("")[0]
    started = ledger.append_events(claim.lease, [(at, StepStarted(step="fit"))])
    ledger.append_events(claim.lease, [
        (at, Progress(step="fit", fraction=0.2)), (at, Progress(step="fit", fraction=0.4, message="epoch 2")),
        (at, Loss(name="train", iteration=2, value=float("nan"))),
    ])
    run = desk.now(claim.run)
    expect((run.step, run.progress) == ("fit", 0.4), f"the run stands at {run.step} {run.progress}")
    expect(run.version > claim.run.version, "the version does not grow")
    last = ledger.append_events(claim.lease, [
        (at, StepFinished(step="fit")), (at, StepStarted(step="sample")),
        (at, Fallback(wanted="synthcity", used="native", reason="It is not installed.")),
    ])
    expect(desk.now(claim.run).step == "sample", "a step that starts is not the run's")
    expect(len(ledger.events(A, claim.run.run_id)) == 7, "progress is dropped too early")
    ledger.settle(claim.lease, success(claim.run.run_id))
    kept = ledger.events(A, claim.run.run_id)
    expect([e.number for e in kept] == [started, 4, 5, 6, last], "other events than progress are dropped or renumbered")
    value = kept[1].event.value if isinstance(kept[1].event, Loss) else None
    expect(value is not None and value != value, "a loss that is no number comes back as one")  # noqa: PLR0124


@QUEUE("a run that is claimed again or given back stands at no step.")
def _begins_anew(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running(seconds=SHORT)
    half = [(stamped("")[0], Progress(step="fit", fraction=0.5))]
    ledger.append_events(claim.lease, half)
    outlast(SHORT)
    again = desk.take()
    expect((again.run.step, again.run.progress) == (None, None), "the next delivery begins in the middle")
    ledger.append_events(again.lease, half)
    back = ledger.release(again.lease, delay=0)
    expect((back.step, back.progress) == (None, None), "a queued run stands at a step")


# ending --------------------------------------------------------------------------------------------------------------


@QUEUE("a settled run keeps how it ended, and points to its artifacts.")
def _settles(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running()
    run_id = claim.run.run_id
    expect(ledger.artifacts(A, run_id) == (), "a running run points to artifacts")
    done = ledger.settle(claim.lease, success(run_id, "synthetic.csv", "model.synthloom", model_key="m" * 64))
    said = (done.status, done.outcome, done.method, done.backend, done.model_key, done.error)
    expect(said == (RunStatus.SUCCEEDED, "passed", "cart", "native", "m" * 64, None), "it ended otherwise")
    expect(done.finished_at is not None and done.finished_at >= claim.run.created_at, "it has no end")
    expect(done.worker is None and done.lease_until is None, "somebody still holds it")
    expect(done.version > claim.run.version, "the version does not grow")
    expect(desk.now(claim.run) == done, "another record is read than was answered")
    expected = (artifact(run_id, "synthetic.csv"), artifact(run_id, "model.synthloom"))
    expect(ledger.artifacts(A, run_id) == expected, "it points to other artifacts, or in another order")
    failed = desk.running()
    expect(ledger.settle(failed.lease, FAILURE).error == FAILURE.error, "the error is changed")
    cancelled = FAILURE.model_copy(update={"status": RunStatus.CANCELLED, "error": None})
    expect(ledger.settle(desk.running().lease, cancelled).status is RunStatus.CANCELLED, "it is not cancelled")


@QUEUE("a run given back without a delivery left is failed with the error, and cancelled where that was asked.")
def _ends_what_is_given_back(desk: Desk) -> None:
    ledger, error = desk.ledger, RunError(code="resource", what="it ran out of memory.")
    for given in (error, None):
        claim = desk.running(max_deliveries=1)
        over = ledger.release(claim.lease, delay=0, error=given)
        expect(over.status is RunStatus.FAILED and over.finished_at, "it is not failed")
        expect(over.error == error if given else over.error is not None, "it has another error, or none")
    claim = desk.running(max_deliveries=1)
    ledger.request_cancel(A, claim.run.run_id)
    over = ledger.release(claim.lease, delay=0, error=error)
    expect(over.status is RunStatus.CANCELLED and over.error is None, "it is not cancelled")
    claim = desk.running(max_deliveries=2)
    back = ledger.release(claim.lease, delay=0, error=error)
    expect(back.status is RunStatus.QUEUED and back.error is None, "a run with a delivery left is not queued")


@QUEUE("a delivery that was given back does not count.")
def _gives_deliveries_back(desk: Desk) -> None:
    claim = desk.running(max_deliveries=1)
    for _ in range(3):
        back = desk.ledger.release(claim.lease, delay=0, count=False)
        expect(back.status is RunStatus.QUEUED and back.deliveries == 0, "the delivery is not given back")
        following = desk.take()
        expect(following.lease.token > claim.lease.token, "the token does not grow")
        claim = following
    expect(claim.run.deliveries == 1, "it was begun more than once by count")
    for odd in (-1.0, float("nan")):
        refused(UsageError, "a delay of no time is taken", desk.ledger.release, claim.lease, delay=odd)


@QUEUE("every change of a run makes its version greater, and reading it does not.")
def _versions_grow(desk: Desk) -> None:
    ledger, run = desk.ledger, desk.queue()
    versions = [run.version]
    claim = desk.take()
    versions.append(claim.run.version)
    versions.append(ledger.request_cancel(A, run.run_id).version)
    expect(desk.now(run).version == versions[-1] == desk.now(run).version, "reading changes the version")
    versions.append(ledger.settle(claim.lease, FAILURE).version)
    expect(versions == sorted(set(versions)), f"versions were {versions}")


@QUEUE("waiting ends after the seconds asked for, or sooner; a run queued meanwhile is there to be claimed then.")
def _waits(desk: Desk) -> None:
    ledger, got = desk.ledger, list[Claim | None]()
    for _ in range(3):
        ledger.wait(0)
    begun = time.monotonic()
    ledger.wait(0.1)
    expect(time.monotonic() - begun < 2, "waiting 0.1 s takes longer than 2 s")

    def worker() -> None:
        until = time.monotonic() + 10
        while not got and time.monotonic() < until:
            claim = ledger.claim("worker-1", LONG)
            if claim is not None:
                got.append(claim)
            else:
                ledger.wait(0.5)

    waiting = threading.Thread(target=worker)
    waiting.start()
    run = desk.queue()
    waiting.join()
    if not got or got[0] is None or got[0].run.run_id != run.run_id:
        raise Broken("a worker that waits does not get the run")
