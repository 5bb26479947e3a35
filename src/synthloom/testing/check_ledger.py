"""The conformance suite for ledgers: every `RunLedger` with its `AccessBook`, ours or another package's, passes it.

    from synthloom.testing.check_ledger import check_ledger
    check_ledger(lambda: MyLedger(...))

or, one test for each promise:

    @pytest.mark.parametrize("check", LEDGER_CHECKS, ids=lambda check: check.name)
    def test_my_ledger(check):
        check.run(lambda: MyLedger(...))

`make_ledger` gives a fresh, empty ledger each time; it may be used from many threads. Leases here run out by waiting,
since a ledger goes by its own clock: the whole suite takes some seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from synthloom.domain.errors import ConflictError, UnknownNameError, UsageError
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.records import NewRun
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.domain.schema import ColumnOverride, Kind, SchemaOverrides
from synthloom.testing._desk import (
    FAILURE,
    LONG,
    A,
    B,
    Desk,
    LedgerCheck,
    MakeLedger,
    artifact,
    at_once,
    ledger_promises,
    refused,
    stamped,
    success,
)
from synthloom.testing._ledger_queue import QUEUE
from synthloom.testing._suite import expect, hold

_OWN = ledger_promises()
_ODD_TEXT = "Über 😀 \u202egnp.exe <b>'; DROP TABLE runs;-- \x00 end"
_PRIVACY: PrivacyLevel = "high"


def check_ledger(make_ledger: MakeLedger) -> None:
    """Hold a ledger to every promise, each with a fresh one.

    Raises:
        ContractError: names every promise that is not kept, with what was found.
    """
    hold(LEDGER_CHECKS, lambda check: check.run(make_ledger))


# datasets ------------------------------------------------------------------------------------------------------------


@_OWN("a dataset comes back as it was added, under an id of 32 hex digits and a time with a zone.")
def _keeps_datasets(desk: Desk) -> None:
    made = desk.dataset(filename="Ärzte 2026.csv", rows=None, columns=None)
    expect(re.fullmatch("[0-9a-f]{32}", made.dataset_id), "the id is not 32 hex digits")
    expect(made.created_at.tzinfo is not None, "the time has no zone")
    expect((made.tenant, made.filename, made.size, made.rows) == (A, "Ärzte 2026.csv", 1200, None), "facts are changed")
    expect(desk.ledger.dataset(A, made.dataset_id) == made, "another record is read than was written")


@_OWN("the same bytes are one dataset of a tenant, however often and at once they are added, and another tenant's own.")
def _keeps_same_bytes_once(desk: Desk) -> None:
    made = at_once(8, lambda _: desk.dataset(number=7))
    expect(len({d.dataset_id for d in made}) == 1, "the same bytes are kept twice")
    again = desk.dataset(number=7, filename="copy.csv")
    expect(again == made[0], "adding bytes again changes the record")
    other = desk.dataset(B, number=7)
    expect(other.dataset_id != again.dataset_id and other.tenant == B, "two tenants share a record")
    expect(len(desk.ledger.datasets(A)) == 1, "the list holds it twice")


@_OWN("datasets are listed newest first, in pages that continue after a dataset of the tenant.")
def _lists_datasets(desk: Desk) -> None:
    made = [desk.dataset() for _ in range(5)]
    other = desk.dataset(B)
    newest = tuple(reversed(made))
    expect(desk.ledger.datasets(A) == newest, "the list is not the tenant's, newest first")
    expect(desk.ledger.datasets(A, limit=2) == newest[:2], "the first page is wrong")
    expect(desk.ledger.datasets(A, limit=2, after=newest[1].dataset_id) == newest[2:4], "the second page is wrong")
    expect(desk.ledger.datasets(A, after=made[0].dataset_id) == (), "something comes after the oldest")
    for unknown in (other.dataset_id, "0" * 32):
        refused(UnknownNameError, "an unknown place is taken", desk.ledger.datasets, A, after=unknown)
    refused(UsageError, "a limit of 0 is taken", desk.ledger.datasets, A, limit=0)


@_OWN("a dataset can be forgotten once no run of it is queued or running; its finished runs stay.")
def _forgets_datasets(desk: Desk) -> None:
    ledger, data = desk.ledger, desk.dataset()
    run = desk.queue(dataset=data)
    refused(ConflictError, "the dataset of a queued run goes", ledger.delete_dataset, A, data.dataset_id)
    lease = desk.take().lease
    refused(ConflictError, "the dataset of a running run goes", ledger.delete_dataset, A, data.dataset_id)
    ledger.settle(lease, success(run.run_id))
    expect(ledger.delete_dataset(A, data.dataset_id) == data, "deleting answers with another record")
    refused(UnknownNameError, "a deleted dataset is read", ledger.dataset, A, data.dataset_id)
    refused(UnknownNameError, "it can be deleted twice", ledger.delete_dataset, A, data.dataset_id)
    refused(UnknownNameError, "a run of a deleted dataset is queued", desk.queue, dataset=data)
    expect(desk.now(run).dataset_id == data.dataset_id, "the finished run does not stay as it was")


# tenants -------------------------------------------------------------------------------------------------------------


@_OWN("another tenant's object is an UnknownNameError, as is one that does not exist or cannot.")
def _keeps_tenants_apart(desk: Desk) -> None:
    ledger, data = desk.ledger, desk.dataset()
    run = desk.running(dataset=data).run
    key = ledger.add_key(A, name="k", digest="d" * 64, prefix="sl_d", scopes=["read"], expires_at=None)
    known = (data.dataset_id, run.run_id, key.key_id)
    impossible = ("x\x00", "z" * 10_000, "")
    for tenant, names in ((B, known), (A, ("0" * 32,) * 3), *((A, (odd,) * 3) for odd in impossible)):
        for act, which in (
            (ledger.dataset, 0), (ledger.delete_dataset, 0), (ledger.run, 1), (ledger.request_cancel, 1),
            (ledger.delete_run, 1), (ledger.events, 1), (ledger.artifacts, 1), (ledger.revoke_key, 2),
        ):
            refused(UnknownNameError, "another tenant's or no object is found", act, tenant, names[which])
        asked = NewRun(tenant=tenant, dataset_id=names[0], request=RunRequest())
        refused(UnknownNameError, "a run of another tenant's or no dataset is queued", ledger.enqueue, asked)
    expect(desk.now(run) == run, "another tenant's calls change a run")
    expect(ledger.runs(B).runs == () and ledger.datasets(B) == () and ledger.keys(B) == (), "lists are not apart")
    for odd in ("", "t\x00", "t" * 300):
        refused(UsageError, "a tenant whom nothing can be kept for is taken", desk.dataset, odd)


# asking for runs -----------------------------------------------------------------------------------------------------


@_OWN("a queued run is what was asked for, begun by nobody, with the ledger's times.")
def _queues_runs(desk: Desk) -> None:
    request = RunRequest(method="cart", params={"b": 1, "a": {"deep": [1, 2.5, None, "x"]}}, rows=9, privacy=_PRIVACY)
    overrides = SchemaOverrides(columns={"age": ColumnOverride(kind=Kind.INTEGER)})
    asked = desk.new(
        name="First try", request=request, overrides=overrides, priority=7, max_deliveries=2, reuse_model=False,
        parent="f" * 32,
    )
    run = desk.ledger.enqueue(asked)
    same = NewRun(**{name: getattr(run, name) for name in NewRun.model_fields}) == asked
    expect(same, "it is not what was asked for")
    expect(list(run.request.params) == ["b", "a"], "parameters are in another order")
    expect(re.fullmatch("[0-9a-f]{32}", run.run_id), "the id is not 32 hex digits")
    expect(run.status is RunStatus.QUEUED and run.deliveries == 0, "it is not queued and unbegun")
    untouched = (run.started_at, run.finished_at, run.cancel_requested_at, run.worker, run.lease_until, run.step)
    expect(untouched == (None,) * 6, "something has happened to it")
    expect(run.created_at.tzinfo is not None and run.not_before <= run.created_at, "its times are odd")
    expect(desk.now(run) == run, "another record is read than was answered")


@_OWN("an idempotency key stands for one run of its tenant, whatever becomes of it; for another request it is refused.")
def _keeps_idempotency_keys(desk: Desk) -> None:
    ledger, data = desk.ledger, desk.dataset()
    asked = desk.new(dataset=data, name="one")
    run = ledger.enqueue(asked, idempotency_key="key-1")
    expect(ledger.enqueue(asked, idempotency_key="key-1") == run, "the same request makes a second run")
    other = asked.model_copy(update={"name": "two"})
    refused(ConflictError, "a used key takes another request", ledger.enqueue, other, idempotency_key="key-1")
    expect(ledger.enqueue(other, idempotency_key="key-2").run_id != run.run_id, "another key gives the same run")
    foreign = ledger.enqueue(desk.new(B, name="one"), idempotency_key="key-1")
    expect(foreign.tenant == B, "a key reaches across tenants")
    expect(ledger.enqueue(asked).run_id != ledger.enqueue(asked).run_id, "without a key two requests are one run")
    ledger.settle(desk.take().lease, success(run.run_id))
    again = ledger.enqueue(asked, idempotency_key="key-1")
    expect(again == desk.now(run) and again.final, "the key of a finished run gives another record")
    for odd in ("", "k\x00", "k" * 300):
        refused(UsageError, "a key that cannot be kept is taken", ledger.enqueue, asked, idempotency_key=odd)


@_OWN("an idempotency key used many times at once makes one run.")
def _keeps_idempotency_keys_at_once(desk: Desk) -> None:
    asked = desk.new()
    made = at_once(16, lambda _: desk.ledger.enqueue(asked, idempotency_key="same"))
    expect({run.run_id for run in made} == {made[0].run_id}, "one key made several runs")
    expect(len(desk.ledger.runs(A).runs) == 1, "the list holds several runs")


# reading runs --------------------------------------------------------------------------------------------------------


@_OWN("runs are listed newest first, by status and dataset, in pages that leave none out and repeat none.")
def _lists_runs(desk: Desk) -> None:
    ledger, data = desk.ledger, desk.dataset()
    made = [desk.queue(dataset=data if number % 2 else None) for number in range(7)]
    desk.queue(B)
    newest = [run.run_id for run in reversed(made)]
    pages, cursor = list[str](), None
    for number in range(10):
        page = ledger.runs(A, limit=3, cursor=cursor)
        pages += [run.run_id for run in page.runs]
        cursor = page.next
        if number == 0:
            desk.queue()  # what comes meanwhile stands before the first page
        if cursor is None:
            break
    expect(pages == newest, "the pages are not the runs, newest first, each once")
    exact = ledger.runs(A, limit=8)
    expect(len(exact.runs) == 8 and exact.next is None, "a full last page tells of another one")
    own = ledger.runs(A, dataset_id=data.dataset_id)
    expect([r.run_id for r in own.runs] == newest[1::2], "the runs of a dataset are wrong")
    ledger.request_cancel(A, made[3].run_id)
    expect([r.run_id for r in ledger.runs(A, status=RunStatus.CANCELLED).runs] == [made[3].run_id], "status is ignored")
    both = ledger.runs(A, status=RunStatus.QUEUED, dataset_id=data.dataset_id)
    expect([r.run_id for r in both.runs] == [made[5].run_id, made[1].run_id], "two filters are not both kept to")
    refused(UsageError, "a limit of 0 is taken", ledger.runs, A, limit=0)


@_OWN("a cursor that the ledger did not make for this listing is a UsageError.")
def _refuses_foreign_cursors(desk: Desk) -> None:
    for tenant in (A, A, A, B, B, B):
        desk.queue(tenant)
    cursor = desk.ledger.runs(A, limit=1).next
    expect(cursor, "there is no cursor though there are more runs")
    for bad in ("", "x", "0", "9.", "\x00", f"{cursor}0", "'; --", "9" * 400, "1.0123456789abcdef"):
        refused(UsageError, "a made-up cursor is taken", desk.ledger.runs, A, cursor=bad)
    refused(UsageError, "another tenant's cursor is taken", desk.ledger.runs, B, cursor=cursor)
    refused(UsageError, "another listing's is taken", desk.ledger.runs, A, status=RunStatus.QUEUED, cursor=cursor)


@_OWN("runs are counted by status over all tenants, and the longest wait of a run that may be claimed is told.")
def _counts(desk: Desk) -> None:
    ledger = desk.ledger
    expect(dict(ledger.counts()) == dict.fromkeys(RunStatus, 0), "an empty ledger does not count 0 of each status")
    expect(ledger.oldest_wait() == 0, "something waits in an empty ledger")
    first = desk.running().run
    desk.queue()
    desk.queue(B)
    count = ledger.counts()
    expect(count[RunStatus.QUEUED] == 2 and count[RunStatus.RUNNING] == 1, "the counts are wrong")
    waited = ledger.oldest_wait()
    expect(0 <= waited < LONG, f"a run just queued has waited {waited} s")
    expect(ledger.oldest_wait() >= waited, "a wait becomes shorter")
    for _ in range(2):
        ledger.settle(desk.take().lease, FAILURE)
    expect(ledger.counts()[RunStatus.FAILED] == 2 and desk.status(first) is RunStatus.RUNNING, "the counts are wrong")
    expect(ledger.oldest_wait() == 0, "something waits though all runs are running or over")


@_OWN("a queued run is cancelled at once, a running one is marked once and hears it, a final one stays.")
def _cancels(desk: Desk) -> None:
    ledger, queued = desk.ledger, desk.queue()
    gone = ledger.request_cancel(A, queued.run_id)
    expect(gone.status is RunStatus.CANCELLED and gone.finished_at and gone.cancel_requested_at, "it is not cancelled")
    expect(ledger.request_cancel(A, queued.run_id) == gone == desk.now(queued), "cancelling twice changes it")
    expect(ledger.claim("worker-1", LONG) is None, "a cancelled run is given to a worker")
    claim = desk.running()
    expect(not ledger.heartbeat(claim.lease, LONG).cancel_requested, "a cancel is told that nobody asked for")
    marked = ledger.request_cancel(A, claim.run.run_id)
    expect(marked.status is RunStatus.RUNNING and marked.cancel_requested_at, "the running run is not marked")
    expect(ledger.request_cancel(A, claim.run.run_id) == marked, "asking twice changes the mark")
    expect(ledger.heartbeat(claim.lease, LONG).cancel_requested, "the worker does not hear of the cancel")
    done = ledger.settle(claim.lease, success(claim.run.run_id))
    expect(done.status is RunStatus.SUCCEEDED, "a run that was done may not succeed")
    expect(ledger.request_cancel(A, claim.run.run_id) == done, "a final run does not stay as it is")


@_OWN("a final run can be forgotten with all that hangs on it; what stood in the store is told.")
def _forgets_runs(desk: Desk) -> None:
    ledger, claim = desk.ledger, desk.running()
    run_id = claim.run.run_id
    refused(ConflictError, "a running run is forgotten", ledger.delete_run, A, run_id)
    queued = desk.queue()
    refused(ConflictError, "a queued run is forgotten", ledger.delete_run, A, queued.run_id)
    ledger.append_events(claim.lease, [stamped("one")])
    ledger.settle(claim.lease, success(run_id, "synthetic.csv", "report.json"))
    left = ledger.delete_run(A, run_id)
    expect(left == (artifact(run_id, "synthetic.csv"), artifact(run_id, "report.json")), "other artifacts are told")
    for act in (ledger.run, ledger.events, ledger.artifacts, ledger.delete_run):
        refused(UnknownNameError, "a forgotten run is known", act, A, run_id)
    ledger.request_cancel(A, queued.run_id)
    expect(ledger.delete_run(A, queued.run_id) == (), "a run without artifacts leaves some")


@_OWN("of any keys, those that a dataset or an artifact of any tenant points to are told, and unfinished runs'.")
def _tells_what_is_pointed_to(desk: Desk) -> None:
    ledger, data, other = desk.ledger, desk.dataset(), desk.dataset(B)
    expect(ledger.pointed_to(()) == frozenset(), "something among no keys is pointed to")
    claim = desk.running(dataset=data)
    run_id = claim.run.run_id
    kept, late = f"{run_id}/synthetic.csv", f"{run_id}/2/synthetic.csv"
    strange = (f"{data.key}.more", "0" * 32, f"{'0' * 32}/report.json", "odd \ud800", "\x00", "k" * 512, "a/../b")
    keys = (data.key, other.key, kept, late, *strange)
    expect(ledger.pointed_to(keys) == {data.key, other.key, kept, late}, "a running run's are free, or others taken")
    ledger.settle(claim.lease, success(run_id, "synthetic.csv"))
    queued = desk.queue(B, other)
    waiting = f"{queued.run_id}/model.synthloom"
    expect(
        ledger.pointed_to((*keys, waiting)) == {data.key, other.key, kept, waiting},
        "a settled run's key is free, what it does not point to is taken, or a queued run's is free",
    )
    many = [f"{number:032x}/report.json" for number in range(2500)]
    expect(ledger.pointed_to([*many, kept]) == {kept}, "among many keys others are told")
    ledger.delete_run(A, run_id)
    ledger.delete_dataset(A, data.dataset_id)
    expect(ledger.pointed_to(keys) == {other.key}, "what was forgotten is pointed to")


@_OWN("a model is found by the key of the newest run of the tenant that succeeded under it and left one.")
def _finds_models(desk: Desk) -> None:
    ledger, made = desk.ledger, list[str]()
    for number, (tenant, names, status, key) in enumerate((
        (A, ["model.synthloom"], RunStatus.SUCCEEDED, "k1"), (A, ["model.synthloom"], RunStatus.SUCCEEDED, "k1"),
        (A, ["synthetic.csv"], RunStatus.SUCCEEDED, "k1"), (A, ["model.synthloom"], RunStatus.FAILED, "k1"),
        (A, ["model.synthloom"], RunStatus.SUCCEEDED, "k2"), (B, ["model.synthloom"], RunStatus.SUCCEEDED, "k1"),
    )):
        claim = desk.running(tenant, name=str(number))
        done = success(claim.run.run_id, *names, status=status, model_key=key)
        made.append(ledger.settle(claim.lease, done).run_id)

    def found(tenant: str, key: str) -> str | None:
        run = ledger.find_model(tenant, key)
        return None if run is None else run.run_id

    expect((found(A, "k1"), found(A, "k2"), found(B, "k1")) == (made[1], made[4], made[5]), "another run's is found")
    expect(found(A, "k3") is None and found(B, "k2") is None, "a model is found where there is none")
    ledger.delete_run(A, made[1])
    expect(found(A, "k1") == made[0], "a forgotten run's model is found, or not the one before it")


@_OWN("any text can be told: names, parameters, errors and messages with NUL, half characters or markup harm nothing.")
def _keeps_odd_texts(desk: Desk) -> None:
    ledger = desk.ledger
    data = desk.dataset(filename=_ODD_TEXT)
    expect("\x00" not in data.filename and data.filename.startswith("Über 😀"), "the name is not kept for showing")
    halves = {_ODD_TEXT: [_ODD_TEXT, "half of a pair: \ud800"]}
    asked = desk.new(dataset=data, name=_ODD_TEXT, request=RunRequest(params=halves))
    run = ledger.enqueue(asked, idempotency_key="Ω")
    expect(desk.now(run).request == asked.request, "parameters come back changed")
    expect(ledger.enqueue(asked, idempotency_key="Ω").run_id == run.run_id, "the same request is another one")
    lease = desk.take().lease
    ledger.append_events(lease, [stamped(_ODD_TEXT)])
    expect(ledger.events(A, run.run_id)[0].event == stamped(_ODD_TEXT)[1], "a message comes back changed")
    error = FAILURE.error and FAILURE.error.model_copy(update={"what": _ODD_TEXT})
    ledger.settle(lease, FAILURE.model_copy(update={"error": error}))
    expect(desk.now(run).error == error, "the error comes back changed")
    ledger.note(A, _ODD_TEXT, "run.create", _ODD_TEXT, {_ODD_TEXT: _ODD_TEXT})
    expect(ledger.audit(A)[0].detail == {_ODD_TEXT: _ODD_TEXT}, "the audit log changes what it is told")


# access --------------------------------------------------------------------------------------------------------------


@_OWN("a key is known by its digest until it expires or is revoked, and its use is noted.")
def _keeps_keys(desk: Desk) -> None:
    ledger, now = desk.ledger, datetime.now(UTC)
    key = ledger.add_key(A, name="ci", digest="1" * 64, prefix="sl_1", scopes=["runs:read", "a"], expires_at=None)
    expect((key.tenant, key.name, key.prefix, key.scopes) == (A, "ci", "sl_1", ("runs:read", "a")), "facts are changed")
    expect(key.last_used_at is None and ledger.keys(A) == (key,), "a new key was used, or is not listed")
    found = ledger.key_by_digest("1" * 64)
    expect(found is not None and found.key_id == key.key_id, "the key is not found by its digest")
    expect(ledger.keys(A)[0].last_used_at is not None, "its use is not noted")
    expect([ledger.key_by_digest(d) for d in ("2" * 64, "\x00", "")] == [None] * 3, "an unknown digest is a key")
    again = {"name": "x", "digest": "1" * 64, "prefix": "p", "scopes": ["a"], "expires_at": None}
    refused(ConflictError, "one secret is kept for two keys", ledger.add_key, B, **again)
    past, future = now - timedelta(hours=3), now + timedelta(hours=3)
    ledger.add_key(A, name="old", digest="3" * 64, prefix="sl_3", scopes=[], expires_at=past)
    later = ledger.add_key(A, name="new", digest="4" * 64, prefix="sl_4", scopes=[], expires_at=future)
    expect(later.expires_at == future, "its end is changed")
    expect(ledger.key_by_digest("3" * 64) is None, "an expired key opens")
    expect(ledger.key_by_digest("4" * 64) is not None, "a key that expires later does not open")
    revoked = ledger.revoke_key(A, key.key_id)
    expect(revoked.revoked_at is not None and ledger.key_by_digest("1" * 64) is None, "a revoked key opens")
    expect(ledger.revoke_key(A, key.key_id).revoked_at == revoked.revoked_at, "revoking twice moves the time")
    expect([k.name for k in ledger.keys(A)] == ["ci", "old", "new"], "keys are not listed in the order they were made")


@_OWN("the audit log gives a tenant's entries, newest first, under numbers that grow, in pages.")
def _keeps_the_audit_log(desk: Desk) -> None:
    ledger = desk.ledger
    for number in range(5):
        ledger.note(A, "local", "run.create", f"run-{number}", {"number": number, "deep": {"list": [1, None, "x"]}})
    ledger.note(B, "worker", "run.settle")
    entries = ledger.audit(A)
    expect([e.target for e in entries] == [f"run-{n}" for n in (4, 3, 2, 1, 0)], "entries are not newest first")
    expect(entries[0].detail == {"number": 4, "deep": {"list": [1, None, "x"]}}, "details are changed")
    numbers = [e.number for e in entries]
    expect(numbers == sorted(numbers, reverse=True) and len(set(numbers)) == 5, "numbers do not grow")
    expect(ledger.audit(A, limit=2) == entries[:2], "the first page is wrong")
    expect(ledger.audit(A, limit=2, before=numbers[1]) == entries[2:4], "the second page is wrong")
    other = ledger.audit(B)
    said = [(e.actor, e.action, e.target, e.detail) for e in other]
    expect(said == [("worker", "run.settle", "", {})], "tenants mix, or an entry is changed")


LEDGER_CHECKS: tuple[LedgerCheck, ...] = (*_OWN.checks, *QUEUE.checks)
"""Every promise, in the order they are tested."""
