"""What a worker makes of a run: done, cancelled, crashed, too large, broken."""

from __future__ import annotations

import hashlib
import logging
import time

import pytest
from child_for_tests import SECRET
from shop_for_tests import TABLE, Inside, gone, pid_from

from synthloom.domain.event import STEPS, Loss, Progress, StepFinished
from synthloom.domain.run import RunStatus


def until(look, seconds=10.0):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.02)


sqlite_only = pytest.mark.parametrize("shop", ["sqlite"], indirect=True)


def test_a_run_is_done_and_all_of_it_is_told(shop, caplog):
    with caplog.at_level(logging.INFO, "synthloom"):
        run_id = shop.enqueue()
        run = shop.finished(run_id)
        until(lambda: any(r.getMessage() == "delivery ended" for r in caplog.records))
    assert (run.status, run.method, run.backend, run.outcome) == (RunStatus.SUCCEEDED, "odd", "native", "not_judged")
    assert (run.started_at - run.created_at).total_seconds() < 1.0
    events = shop.ledger.events("local", run_id)
    assert [e.number for e in events] == sorted(e.number for e in events)
    steps = [e.event.step for e in events if isinstance(e.event, StepFinished)]
    assert tuple(steps) == STEPS
    assert not any(isinstance(e.event, Progress) for e in events)
    assert all(run.started_at <= e.at <= run.finished_at for e in events)
    for artifact in shop.ledger.artifacts("local", run_id):
        data = shop.service.artifacts.get(artifact.key)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact.size, artifact.sha256)
    assert shop.service.report("local", run_id).meta.dataset == "people.csv"
    told = [r for r in caplog.records if getattr(r, "run_id", None) == run_id]
    assert {"run claimed", "step finished", "delivery ended"} <= {r.getMessage() for r in told}


@sqlite_only
def test_a_cancelled_run_stops_by_itself(shop, tmp_path):
    run_id = shop.enqueue("slow", note=str(tmp_path / "note"))
    pid, = pid_from(tmp_path / "note")
    began = time.monotonic()
    assert shop.service.cancel("local", run_id).cancel_requested_at is not None
    assert shop.finished(run_id).status is RunStatus.CANCELLED
    assert time.monotonic() - began < 2.5
    assert gone(pid, 1.0)


@sqlite_only
def test_a_run_that_hears_nothing_is_killed_with_all_it_started(shop, tmp_path):
    run_id = shop.enqueue("deaf", note=str(tmp_path / "note"))
    pid_from(tmp_path / "note")
    time.sleep(0.3)
    pids = pid_from(tmp_path / "note")
    assert len(pids) == 2
    began = time.monotonic()
    shop.service.cancel("local", run_id)
    assert shop.finished(run_id).status is RunStatus.CANCELLED
    assert all(gone(pid, 1.0) for pid in pids)
    assert time.monotonic() - began < 5.0


@sqlite_only
def test_a_crash_is_tried_again_until_deliveries_are_spent(shop):
    run_id = shop.enqueue("crash", max_deliveries=2)
    run = shop.finished(run_id)
    assert (run.status, run.deliveries, run.error.code) == (RunStatus.FAILED, 2, "crashed")
    assert "SIGSEGV" in run.error.what
    assert run.error.where == "fit"


@sqlite_only
def test_what_cannot_be_done_is_failed_at_once_with_what_to_do(shop):
    run = shop.finished(shop.enqueue(content=b"\n".join(TABLE.splitlines()[:9])))
    assert (run.status, run.deliveries, run.error.code) == (RunStatus.FAILED, 1, "table")
    assert "at least 20 rows" in run.error.do
    assert run.error.where == "people.csv"


@sqlite_only
def test_what_nobody_foresaw_is_failed_without_a_cell_told(shop, caplog):
    with caplog.at_level(logging.DEBUG, "synthloom"):
        run = shop.finished(shop.enqueue("broken"))
    assert (run.status, run.error.code) == (RunStatus.FAILED, "internal")
    assert "ValueError" in run.error.what
    assert SECRET not in run.error.model_dump_json()
    assert SECRET not in str([vars(r) for r in caplog.records])
    trace = next(r.trace for r in caplog.records if r.getMessage() == "run broke")
    assert "child_for_tests.py" in trace


@sqlite_only
def test_a_full_disk_is_told(shop):
    run = shop.finished(shop.enqueue("cramped"))
    assert (run.status, run.deliveries, run.error.code) == (RunStatus.FAILED, 1, "output")
    assert "File too large" in run.error.what
    assert shop.service.artifacts.list(f"{run.run_id}/") == ()


@sqlite_only
def test_a_flood_of_events_is_thinned_and_what_a_library_prints_is_not_logged(shop, caplog):
    with caplog.at_level(logging.DEBUG, "synthloom"):
        run_id = shop.enqueue("chatty")
        assert shop.finished(run_id).status is RunStatus.SUCCEEDED
    losses = [e for e in shop.ledger.events("local", run_id) if isinstance(e.event, Loss)]
    assert 1 <= len(losses) < 40
    assert SECRET not in str([vars(r) for r in caplog.records])


@sqlite_only
def test_one_out_of_memory_leaves_its_neighbour_alone(shop):
    hungry, neighbour = shop.enqueue("hungry"), shop.enqueue("slow", seconds=3.0)
    run = shop.finished(hungry)
    assert (run.status, run.deliveries, run.error.code) == (RunStatus.FAILED, 1, "resource")
    assert "900 MB" in run.error.what
    assert shop.finished(neighbour).status is RunStatus.SUCCEEDED


@sqlite_only
def test_the_model_of_an_equal_run_is_taken(shop):
    first = shop.finished(shop.enqueue(request={"seed": 5}))
    second = shop.finished(shop.enqueue(request={"seed": 5}))
    third = shop.finished(shop.enqueue(request={"seed": 5}, reuse_model=False))
    codes = [[n.code for n in shop.service.report("local", r.run_id).notices] for r in (first, second, third)]
    assert ["model_reused" in c for c in codes] == [False, True, False]
    keys = [shop.service.artifact("local", r.run_id, "synthetic.csv").sha256 for r in (first, second, third)]
    assert len(set(keys)) == 1
    assert len({r.model_key for r in (first, second, third)}) == 1


@pytest.mark.parametrize("empty_shop", ["sqlite"], indirect=True)
def test_a_run_takes_no_longer_than_it_may(empty_shop):
    with Inside(empty_shop, run_seconds=1.0):
        run = empty_shop.finished(empty_shop.enqueue("slow"))
    assert (run.status, run.error.code) == (RunStatus.FAILED, "resource")
    assert "longer than 1 s" in run.error.what
