"""Nothing is lost and nothing is done twice when a worker is killed, stopped, asked to end, or loses its database."""

from __future__ import annotations

import os
import signal
import time

import pytest
from shop_for_tests import gone, pid_from

from synthloom.domain.run import RunStatus

LEASE = 2.0


def test_a_killed_worker_takes_its_child_along_and_its_run_is_done_elsewhere(empty_shop, tmp_path):
    shop, note = empty_shop, tmp_path / "note"
    first = shop.process()
    run_id = shop.enqueue("slow", seconds=1.5, note=str(note))
    pid, = pid_from(note)
    note.unlink()
    first.kill()
    killed = time.monotonic()
    assert gone(pid, 1.0)
    second = shop.process()
    shop.until(run_id, lambda run: run.deliveries == 2)
    assert time.monotonic() - killed < LEASE + 5
    run = shop.finished(run_id)
    assert (run.status, run.deliveries) == (RunStatus.SUCCEEDED, 2)
    keys = [a.key for a in shop.ledger.artifacts("local", run_id)]
    assert all(key.startswith(f"{run_id}/2/") for key in keys)
    assert sorted(keys) == sorted(shop.service.artifacts.list(f"{run_id}/"))
    second.send_signal(signal.SIGTERM)
    assert second.wait(15) == 0


def test_a_worker_that_stood_still_past_its_lease_writes_nothing(empty_shop, tmp_path):
    shop, note = empty_shop, tmp_path / "note"
    first = shop.process()
    run_id = shop.enqueue("slow", seconds=4.0, note=str(note))
    pid, = pid_from(note)
    shop.fitting(run_id)
    first.send_signal(signal.SIGSTOP)
    second = shop.process()
    shop.until(run_id, lambda run: run.deliveries == 2)
    first.send_signal(signal.SIGCONT)
    assert gone(pid, 3.0)
    run = shop.finished(run_id)
    assert (run.status, run.deliveries) == (RunStatus.SUCCEEDED, 2)
    assert {e.delivery for e in shop.ledger.events("local", run_id)} == {1, 2}
    assert all(a.key.startswith(f"{run_id}/2/") for a in shop.ledger.artifacts("local", run_id))
    assert any(line["message"] == "lease lost" for line in shop.log(0))
    assert second.poll() is None


@pytest.mark.parametrize("empty_shop", ["sqlite"], indirect=True)
def test_a_worker_that_is_asked_to_end_lets_short_runs_finish_and_gives_long_ones_back(empty_shop, tmp_path):
    shop = empty_shop
    worker = shop.process(SYNTHLOOM_DRAIN_SECONDS="3")
    short = shop.enqueue("slow", seconds=1.0, note=str(tmp_path / "short"))
    long = shop.enqueue("slow", note=str(tmp_path / "long"))
    pid_from(tmp_path / "short")
    pid, = pid_from(tmp_path / "long")
    waiting = shop.enqueue()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert shop.show(short).status is RunStatus.SUCCEEDED
    run = shop.show(long)
    assert (run.status, run.deliveries, run.worker, run.error) == (RunStatus.QUEUED, 0, None, None)
    assert shop.show(waiting).deliveries == 0
    assert gone(pid, 0.5)


@pytest.mark.parametrize("empty_shop", ["postgres"], indirect=True)
def test_a_run_outlives_a_restart_of_the_database(empty_shop, postgres, tmp_path):
    shop = empty_shop
    shop.process()
    run_id = shop.enqueue("slow", seconds=3.0, note=str(tmp_path / "note"))
    pid_from(tmp_path / "note")
    postgres.stop()
    time.sleep(2.5)
    postgres.start()
    run = shop.finished(run_id)
    assert (run.status, run.deliveries) == (RunStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("empty_shop", ["sqlite"], indirect=True)
def test_a_killed_child_is_replaced(empty_shop, tmp_path):
    shop, note = empty_shop, tmp_path / "note"
    shop.process()
    run_id = shop.enqueue("slow", seconds=1.0, note=str(note))
    pid, = pid_from(note)
    os.kill(pid, signal.SIGKILL)
    run = shop.finished(run_id)
    assert (run.status, run.deliveries) == (RunStatus.SUCCEEDED, 2)
