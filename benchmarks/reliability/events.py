"""Everything but kills: `python benchmarks/reliability/events.py [NAME...]`; without names, all of them in turn."""

# ruff: noqa: B023  # every look is asked before its loop goes on
from __future__ import annotations

import contextlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from pydantic import SecretStr
from shop import final, quantiles, say, shops, until

from synthloom.domain.records import NewRun
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.wiring import server_home

STEPS = ("read", "infer", "split", "plan", "fit", "sample", "refine", "measure", "verdict", "report", "store")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _pids(note: Path) -> list[int]:
    return [int(w) for w in until(lambda: note.exists() and note.read_text().split(), 120)]


def stopped(kind: str, times: int = 5) -> None:
    """SIGSTOP a worker past its lease, let another do the run, SIGCONT: everything late is refused."""
    refused, kept, undone = 0, 0, 0
    rescues = []
    for i in range(times):
        with shops(kind) as (shop, _), shop.home() as home:
            note = shop.folder / "note"
            dataset = shop.dataset(home)
            first = shop.worker()
            run_id = shop.enqueue(home, dataset, {"act": "slow", "seconds": 15.0, "note": str(note)}, max_deliveries=9)
            pid = _pids(note)[0]
            shop.worker()  # ready before the other one stands still: starting a process is not what is measured
            until(lambda: any(line["message"] == "worker started" for line in shop.log(1)), 120)
            if i % 2:  # its child too: it answers only after the other's
                os.kill(pid, signal.SIGSTOP)
            first.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            try:
                until(lambda: home.ledger.run("local", run_id).deliveries == 2, 90)
                rescues.append(time.monotonic() - began)
            except TimeoutError:
                say(f"not taken over: {home.ledger.run('local', run_id)}")
                say((shop.folder / "worker-1.log").read_text()[-1500:])
                raise
            if i % 2:
                final(home, run_id)
                os.kill(pid, signal.SIGCONT)
            first.send_signal(signal.SIGCONT)
            run = final(home, run_id)
            until(lambda: not _alive(pid), 10)
            until(lambda: any(line["message"] == "lease lost" for line in shop.log(0)), 20)
            refused += 1
            artifacts = home.ledger.artifacts("local", run_id)
            kept += all(a.key.startswith(f"{run_id}/2/") for a in artifacts) and len(artifacts) > 0
            undone += run.status is not RunStatus.SUCCEEDED
    say(f"{kind}: {times} workers stopped past their lease (every second time with the child): late writes refused "
        f"{refused}, the other worker's artifacts kept {kept}, runs not done {undone}; taken over after "
        f"{quantiles(rescues)}")


def restarted(times: int = 3) -> None:
    """PostgreSQL is stopped and started while a run is on its way."""
    backs, starts, again = [], [], 0
    for _ in range(times):
        with shops("postgres", worker_slots=2) as (shop, server), shop.home() as home:
            dataset = shop.dataset(home)
            shop.worker()
            run_id = shop.enqueue(home, dataset, {"act": "slow", "seconds": 6.0, "note": str(shop.folder / "n")})
            _pids(shop.folder / "n")
            server.crash()
            time.sleep(4)
            server.start()
            back = time.monotonic()
            until(lambda: any(line["message"] == "ledger back" for line in shop.log(0)), 60)
            backs.append(time.monotonic() - back)
            other = shop.enqueue(home, dataset, {"act": "fine"})
            until(lambda: home.ledger.run("local", other).deliveries, 60)
            starts.append(time.monotonic() - back)
            again += final(home, run_id).deliveries - 1
            final(home, other)
    say(f"postgres: {times} crashes of the database, 4 s long: workers back after {quantiles(backs)}; a new run "
        f"claimed after {quantiles(starts)} (3 s of which held back on purpose); runs begun again {again}")


def half_open(times: int = 3) -> None:
    """Packets of all connections that exist are dropped, so that no side hears that they are gone; new ones work."""
    backs, again = [], 0
    for _ in range(times):
        with shops("postgres", worker_slots=2) as (shop, server), shop.home() as home:
            dataset = shop.dataset(home)
            worker = shop.worker()
            run_id = shop.enqueue(home, dataset, {"act": "slow", "seconds": 20.0, "note": str(shop.folder / "n")})
            _pids(shop.folder / "n")
            ports = {c.laddr.port for c in psutil.Process(worker.pid).net_connections() if c.raddr
                     and c.raddr.port == server.port}
            rules = [["-p", "tcp", f"--{a}", str(port), f"--{b}", str(server.port), "-j", "DROP"]
                     for port in ports for a, b in (("sport", "dport"),)]
            rules += [["-p", "tcp", "--sport", str(server.port), "--dport", str(port), "-j", "DROP"] for port in ports]
            cut = time.monotonic()
            try:
                for rule in rules:
                    subprocess.run(["iptables", "-I", "INPUT", "-i", "lo", *rule], check=True)
                before = home.ledger.run("local", run_id).lease_until
                other = shop.enqueue(home, dataset, {"act": "fine"})
                until(lambda: (run := home.ledger.run("local", run_id)).final or run.lease_until > before, 90)
                until(lambda: home.ledger.run("local", other).deliveries, 90)
                backs.append(time.monotonic() - cut)
            finally:
                for rule in rules:
                    subprocess.run(["iptables", "-D", "INPUT", "-i", "lo", *rule], check=True)
            again += final(home, run_id).deliveries - 1
    say(f"postgres: {times} times all {len(ports)} connections of a worker half-open: heartbeats and claims again "
        f"after {quantiles(backs)}; runs begun again {again}")


def full_disk() -> None:
    """The store on a tmpfs of 64 kB; then the database on one of 16 MB that is filled up."""
    _full_store()
    _full_database()


def _full_store() -> None:
    with shops("sqlite") as (shop, _):
        files = shop.folder / "small"
        files.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(files)], check=True)
        try:
            with shop.home() as home:
                dataset = shop.dataset(home)
            shop.settings = shop.settings.model_copy(update={"artifacts_bucket": str(files)})
            with shop.home() as home:
                shop.worker()
                run = final(home, shop.enqueue(home, dataset, {"act": "fine"}))
                say(f"store full: {run.status}, {run.error.code if run.error else None}: "
                    f"{run.error.what if run.error else ''} {run.error.do if run.error else ''}; "
                    f"left behind {len(home.service.artifacts.list(f'{run.run_id}/'))}")
                subprocess.run(["mount", "-o", "remount,size=64m", str(files)], check=True)
                run = final(home, shop.enqueue(home, dataset, {"act": "fine"}))
                say(f"  with room again: {run.status}")
        finally:
            shop.close()
            subprocess.run(["umount", "-l", str(files)], check=True)


def _full_database() -> None:
    with shops("sqlite") as (shop, _):
        small = shop.folder / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(small)], check=True)
        try:
            shop.settings = shop.settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{small}/runs.db")})
            shop.open()
            with shop.home() as home:
                dataset = shop.dataset(home)
                shop.worker()
                run_id = shop.enqueue(home, dataset, {"act": "slow", "seconds": 3.0, "note": str(shop.folder / "n")})
                _pids(shop.folder / "n")
                filler = small / "filler"
                handle = os.open(filler, os.O_CREAT | os.O_WRONLY)
                with contextlib.suppress(OSError):
                    while os.write(handle, b"x" * 4096):
                        pass
                os.close(handle)
                time.sleep(6)
                filler.unlink()
                run = final(home, run_id)
                heard = [line["message"] for line in shop.log(0) if line["message"].startswith("ledger")]
            with sqlite3.connect(small / "runs.db") as connection:
                whole = connection.execute("pragma integrity_check").fetchone()[0]
            say(f"database full for 6 s: the run {run.status} in delivery {run.deliveries}; integrity check: {whole}; "
                f"the worker said: {', '.join(heard)}")
        finally:
            shop.close()
            subprocess.run(["umount", "-l", str(small)], check=True)


def skewed(kind: str) -> None:
    """A worker whose clock is an hour ahead, and one whose is an hour behind (libfaketime): does anybody notice?"""
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    for skew in ("+3600", "-3600"):
        with shops(kind) as (shop, _), shop.home() as home:
            dataset = shop.dataset(home)
            shop.worker(LD_PRELOAD=str(library), FAKETIME=skew, FAKETIME_DONT_FAKE_MONOTONIC="1")
            shop.worker()
            runs = [shop.enqueue(home, dataset, {"act": "slow", "seconds": 5.0}) for _ in range(4)]
            done = [final(home, run_id) for run_id in runs]
            errors = {(r.error.code, r.error.what) for r in done if r.error is not None}
            off = max(
                abs((e.at - run.started_at).total_seconds())
                for run in done for e in home.ledger.events("local", run.run_id)
            )
            good = sum(r.status is RunStatus.SUCCEEDED for r in done)
            say(f"{kind}, a worker {skew} s off beside one that is right: {good} of 4 done, begun again "
                f"{sum(r.deliveries - 1 for r in done)}, an event's time at most {off:.0f} s after the "
                f"run's start; errors: {errors or 'none'}")


def same_key(kind: str) -> None:
    """A hundred posts of one idempotency key at once, over ten processes' worth of connections."""
    with shops(kind) as (shop, _), shop.home() as home:
        dataset = shop.dataset(home)
        new = NewRun(dataset_id=dataset, request=RunRequest(method="cart"))
        ids: list[str] = []
        errors: list[str] = []
        ledgers = [server_home(shop.settings, migrate=False) for _ in range(4)]
        gate = threading.Barrier(100)

        def post(i: int) -> None:
            gate.wait()
            try:
                ids.append(ledgers[i % 4].ledger.enqueue(new, idempotency_key="the key").run_id)
            except Exception as error:  # noqa: BLE001
                errors.append(type(error).__name__)

        threads = [threading.Thread(target=post, args=(i,)) for i in range(100)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        for one in ledgers:
            one.close()
        say(f"{kind}: 100 concurrent posts of one key over 4 connection pools: {len(set(ids))} run, {len(ids)} "
            f"answers, {len(errors)} errors, {sum(home.ledger.counts().values())} runs in the ledger, {took:.1f} s")


def cancelled(kind: str) -> None:
    """Cancel a real run just as each of its steps begins: acknowledged by the ledger, final, and its processes gone."""
    acks, ends, goes, missed = [], [], [], []
    with shops(kind, run_pdf=True) as (shop, _), shop.home() as home:
        rng = np.random.default_rng(0)
        table = pd.DataFrame({f"c{i}": rng.normal(size=100_000).round(3) for i in range(8)}
                             | {f"k{i}": rng.choice(list("abcdef"), 100_000) for i in range(6)})
        data = table.to_csv(index=False).encode()
        dataset = home.service.upload("local", io.BytesIO(data), "large.csv").dataset_id
        shop.worker(CHILD_FOR_TESTS="marked_child")
        for step in STEPS:
            run_id = home.ledger.enqueue(NewRun(
                dataset_id=dataset, reuse_model=False, name=f"halt:{step}", request=RunRequest(
                    method="cart", rows=200_000, max_attempts=1, refinements=("quantile_matching",)),
            )).run_id
            note = shop.folder / f"halted-{run_id}"
            until(lambda run_id=run_id, note=note: note.exists() or home.ledger.run("local", run_id).final, 300, 0.01)
            if not note.exists():
                missed.append(step)
                continue
            child = psutil.Process(_pids(note)[0])
            pids = [child.pid, *(c.pid for c in child.children(recursive=True))]
            began = time.monotonic()
            home.service.cancel("local", run_id)
            acks.append(time.monotonic() - began)
            run = until(lambda run_id=run_id: (r := home.ledger.run("local", run_id)).final and r, 120, 0.01)
            ends.append(time.monotonic() - began)
            until(lambda pids=pids: not any(_alive(p) for p in pids), 20, 0.01)
            goes.append(time.monotonic() - began)
            say(f"  {kind}, {step}: {run.status}, acknowledged in {acks[-1]:.3f} s, final in {ends[-1]:.2f} s, process "
                f"gone in {goes[-1]:.2f} s")
            if run.status is not RunStatus.CANCELLED:
                missed.append(f"{step} ({run.status})")
    say(f"{kind}: cancelled in {len(goes)} of {len(STEPS)} steps of a run on 100,000 rows: acknowledged in "
        f"{quantiles(acks)}; final in {quantiles(ends)}; process gone in {quantiles(goes)}; not caught: "
        f"{missed or 'none'}")
    deaf, afters = [], []
    with shops(kind) as (shop, _), shop.home() as home:
        dataset = shop.dataset(home)
        shop.worker()
        for i in range(3):
            note = shop.folder / f"n{i}"
            run_id = shop.enqueue(home, dataset, {"act": "deaf", "note": str(note)})
            _pids(note)
            time.sleep(0.5)
            pids = _pids(note)
            began = time.monotonic()
            home.service.cancel("local", run_id)
            until(lambda pids=pids: not any(_alive(p) for p in pids), 20, 0.01)
            deaf.append(time.monotonic() - began)
            final(home, run_id)
            afters.append(time.monotonic() - began)
    say(f"{kind}: 3 runs that ignore words and SIGTERM, each with a helper process: all gone in {quantiles(deaf)}, "
        f"final in {quantiles(afters)}")


def hungry() -> None:
    """One run that takes all the memory it can, beside three that do not."""
    with shops("sqlite", worker_slots=4, run_memory_mb=900) as (shop, _), shop.home() as home:
        dataset = shop.dataset(home)
        shop.worker()
        neighbours = [shop.enqueue(home, dataset, {"act": "slow", "seconds": 8.0}) for _ in range(3)]
        run = final(home, shop.enqueue(home, dataset, {"act": "hungry"}))
        error = run.error
        say(f"one of four runs takes 40 MB after 40 MB, of 900 MB allowed: {run.status} with "
            f"{error.code if error else None}, delivery {run.deliveries}: {error.what if error else ''} "
            f"Neighbours done: {sum(final(home, n).status is RunStatus.SUCCEEDED for n in neighbours)} of 3, begun "
            f"again {sum(home.ledger.run('local', n).deliveries - 1 for n in neighbours)}")


def started() -> None:
    """From enqueueing to the claim, one run at a time, on an idle PostgreSQL."""
    with shops("postgres", worker_slots=4, poll_seconds=30.0) as (shop, _), shop.home() as home:
        dataset = shop.dataset(home)
        shop.worker()
        time.sleep(5)
        waits = []
        for _ in range(40):
            run_id = shop.enqueue(home, dataset, {"act": "crash"}, max_deliveries=1)
            run = until(lambda run_id=run_id: (r := home.ledger.run("local", run_id)).started_at and r, 60, 0.01)
            waits.append((run.started_at - run.created_at).total_seconds())
            home.ledger.request_cancel("local", run_id)
            final(home, run_id)
        say(f"postgres: from enqueue to start, 40 runs, poll every 30 s, so by hints alone: {quantiles(waits)}")


ALL: dict[str, Callable[[], None]] = {
    "stopped": lambda: [stopped(k) for k in ("sqlite", "postgres")] and None,
    "restarted": restarted, "half-open": half_open, "full-disk": full_disk,
    "skewed": lambda: skewed("postgres"),  # on SQLite the host's clock is the database's
    "same-key": lambda: [same_key(k) for k in ("sqlite", "postgres")] and None,
    "cancelled": lambda: [cancelled(k) for k in ("sqlite", "postgres")] and None,
    "cancelled-sqlite": lambda: cancelled("sqlite"), "cancelled-postgres": lambda: cancelled("postgres"),
    "hungry": hungry, "started": started,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or [name for name in ALL if not name.startswith("cancelled-")]:
        ALL[name]()
