"""SIGKILL at named points, a run for each: `kills.py [--engine light|real] sqlite|postgres [KILLS]`.

Every run is killed once, in its first delivery: its worker before or after it talks to the ledger, its child in each of
its steps, or the server before or after it has queued the run (then the client posts again under the same key). All of
them must succeed, each once, with whole artifacts; a run whose worker died must be begun again within lease + 5 s.
Workers and servers are processes forked from one that has loaded everything; children are started as always. Between
the points stands a stand-in for the engine, or with `--engine real` the engine itself, fitting cart to a small table.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import os
import random
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, NoReturn

import light_child
from shop import Shop, quantiles, say, shops, until

from synthloom.domain.errors import StorageUnavailableError
from synthloom.domain.records import Claim, NewRun
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.wiring import server_home
from synthloom.worker import Worker

WORKERS = 4
CHILDREN = {"light": "light_child", "real": "marked_child"}
POINTS = {  # share of the kills
    "worker:claimed": 3, "worker:events": 2, "worker:beat": 1, "worker:settling": 3, "worker:settled": 2,
    "child:read": 1.5, "child:fit": 1.5, "child:store": 1.5, "child:stored": 2, "child:answered": 1,
    "server:enqueueing": 1, "server:enqueued": 1,
}


class DyingLedger:
    """A ledger whose process is killed at the point that the run at hand names."""

    def __init__(self, ledger: Any, folder: str) -> None:
        self._ledger, self._folder = ledger, folder
        self._claims: dict[str, Claim] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def _die(self, point: str, run_id: str) -> None:
        light_child.die(self._folder, point, self._claims[run_id])

    def claim(self, *given: Any, **more: Any) -> Any:
        claim = self._ledger.claim(*given, **more)
        if claim is not None:
            self._claims[claim.run.run_id] = claim
            light_child.note(self._folder, "claim", claim)
            self._die("worker:claimed", claim.run.run_id)
        return claim

    def append_events(self, lease: Any, events: Any) -> Any:
        last = self._ledger.append_events(lease, events)
        self._die("worker:events", lease.run_id)
        return last

    def heartbeat(self, lease: Any, seconds: float) -> Any:
        beat = self._ledger.heartbeat(lease, seconds)
        self._die("worker:beat", lease.run_id)
        return beat

    def settle(self, lease: Any, settlement: Any) -> Any:
        self._die("worker:settling", lease.run_id)
        run = self._ledger.settle(lease, settlement)
        light_child.note(self._folder, "settled", self._claims[lease.run_id])
        self._die("worker:settled", lease.run_id)
        return run

    def enqueue(self, new: NewRun, *, idempotency_key: str | None = None) -> Any:
        point = ""
        marker = os.path.join(self._folder, f"once-{idempotency_key}")
        if new.name.startswith("server:") and not os.path.exists(marker):
            point = new.name
            with open(marker, "wb"):
                pass
        if point == "server:enqueueing":
            os.kill(os.getpid(), signal.SIGKILL)
        run = self._ledger.enqueue(new, idempotency_key=idempotency_key)
        if point == "server:enqueued":
            os.kill(os.getpid(), signal.SIGKILL)
        return run


def dying_home(shop: Shop) -> Any:
    """A home whose ledger kills."""
    from dataclasses import replace

    home = server_home(shop.settings, migrate=False)
    ledger = DyingLedger(home.ledger, str(shop.folder))
    home.service.ledger = ledger  # type: ignore[assignment]
    return replace(home, ledger=ledger)


def work(shop: Shop, child: str) -> None:
    worker = Worker(dying_home(shop), child=child, backoff=0.2)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    worker.run()


def serve(shop: Shop, port: int) -> None:
    import uvicorn

    from synthloom.http.app import create_app

    uvicorn.run(create_app(dying_home(shop)), host="127.0.0.1", port=port, log_level="critical")


class Nursery:
    """A process that has loaded everything, opened nothing, and keeps forked processes alive."""

    def __init__(self, jobs: list[Callable[[], None]]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            self._keep(jobs)

    def _keep(self, jobs: list[Callable[[], None]]) -> NoReturn:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
        going: dict[int, Callable[[], None]] = {}

        def end(*_: Any) -> None:
            for pid in going:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os._exit(0)

        signal.signal(signal.SIGTERM, end)
        for job in jobs:
            going[self._start(job)] = job
        while True:
            pid, _ = os.wait()
            job = going.pop(pid)
            going[self._start(job)] = job

    @staticmethod
    def _start(job: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                job()
            finally:
                os._exit(1)
        return pid

    def close(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def plan(kills: int, rng: random.Random) -> list[str]:
    """So many points in their shares, shuffled."""
    whole = sum(POINTS.values())
    points = [p for p, share in POINTS.items() for _ in range(round(kills * share / whole))]
    points += rng.choices(list(POINTS), k=max(kills - len(points), 0))
    rng.shuffle(points)
    return points[:kills]


def post(port: int, dataset: str, name: str, key: str) -> str:
    """Queue a run over HTTP, as often as the server dies meanwhile; the id."""
    import json

    body = json.dumps({
        "dataset_id": dataset, "name": name, "method": "cart", "max_attempts": 1, "reuse_model": False,
    }).encode()
    end = time.monotonic() + 60
    while True:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/runs", data=body, method="POST",
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
        )
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return str(json.load(answer)["run_id"])
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code} {error.read()[:500]!r}") from None
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def queue(shop: Shop, dataset: str, point: str, key: str) -> str:
    """Queue a run that is to be killed at a point."""
    request = RunRequest(method="cart", max_attempts=1, thresholds=())
    with shop.home() as home:
        new = NewRun(dataset_id=dataset, request=request, name=point, max_deliveries=20, reuse_model=False)
        return home.ledger.enqueue(new, idempotency_key=key).run_id


def going(shop: Shop) -> int:
    """Runs that are queued or running."""
    with shop.home() as home:
        return sum(n for status, n in home.ledger.counts().items() if status in ("queued", "running"))


def patient(ask: Callable[[], Any]) -> Any:
    """What a door answers to a client that asks again when it is told that the database is away."""
    for _ in range(60):
        try:
            return ask()
        except StorageUnavailableError:
            time.sleep(1)
    raise TimeoutError


def main(kind: str, kills: int, engine: str) -> None:
    began = time.monotonic()
    points = plan(kills, random.Random(7))
    with shops(kind) as (shop, _), contextlib.ExitStack() as stack:
        import uvicorn  # noqa: F401

        import synthloom.http.app
        import synthloom.registry

        synthloom.registry.methods()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with shop.home() as home:
            dataset = shop.dataset(home)
        nursery = Nursery([lambda: work(shop, CHILDREN[engine])] * WORKERS + [lambda: serve(shop, port)])
        stack.callback(nursery.close)
        expected: dict[str, str] = {}
        for i, point in enumerate(points):
            if engine == "real":  # a worker is free for each that is lost, else their waiting for one is measured
                until(lambda: patient(lambda: going(shop)) < WORKERS // 2, 300, 0.2)
            if point.startswith("server:"):
                expected[post(port, dataset, point, f"key-{i}")] = point
            else:
                expected[patient(lambda i=i, point=point: queue(shop, dataset, point, f"key-{i}"))] = point
        until(lambda: patient(lambda: going(shop)) == 0, 40 * kills + 60, 2.0)
        with shop.home() as home:
            judge(shop, home, expected, f"{kind}, {engine} engine", time.monotonic() - began)


def judge(shop: Shop, home: Any, expected: dict[str, str], kind: str, seconds: float) -> None:
    lines = [line.split() for line in (shop.folder / "notes").read_text().splitlines()]
    killed = {run: (float(at), what[5:]) for at, what, run, _ in lines if what.startswith("kill:")}
    claims: dict[str, list[float]] = collections.defaultdict(list)
    settled = collections.Counter(run for _, what, run, _ in lines if what == "settled")
    for at, what, run, _ in lines:
        if what == "claim":
            claims[run].append(float(at))
    lost, twice, torn, rescues, again = [], [], [], [], 0
    total = sum(home.ledger.counts().values())
    for run_id, point in expected.items():
        run = home.ledger.run("local", run_id)
        if run.status is not RunStatus.SUCCEEDED:
            lost.append((point, run.status, run.error))
            continue
        if settled[run_id] != 1:
            twice.append((point, settled[run_id]))
        for artifact in home.ledger.artifacts("local", run_id):
            data = home.service.artifacts.get(artifact.key)
            if hashlib.sha256(data).hexdigest() != artifact.sha256:
                torn.append(artifact.key)
        if point.startswith("worker:") and point != "worker:settled":
            later = [at for at in claims[run_id] if at > killed[run_id][0]]
            rescues.append(min(later) - killed[run_id][0])
        again += run.deliveries > 2
    by_point = collections.Counter(expected.values())
    by_server = sum(n for p, n in by_point.items() if p.startswith("server:"))
    say(f"{kind}: {len(killed) + by_server} kills, {len(expected)} runs, {seconds:.0f} s, {WORKERS} workers, lease "
        f"{shop.settings.lease_seconds:g} s")
    say(f"  at: {', '.join(f'{p} {n}' for p, n in sorted(by_point.items()))}")
    say(f"  lost {len(lost)}, settled twice {len(twice)}, runs too many {total - len(expected)}, damaged artifacts "
        f"{len(torn)}, begun more often than twice {again}")
    say(f"  from a worker's death to the next claim of its run: {quantiles(rescues)}; "
        f"later than lease + 5 s: {sum(r > shop.settings.lease_seconds + 5 for r in rescues)}")
    for what in (lost, twice, torn):
        for one in what[:5]:
            say(f"  ! {one}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgres"))
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("--engine", choices=tuple(CHILDREN), default="light")
    asked = parser.parse_args()
    main(asked.database, asked.kills, asked.engine)
