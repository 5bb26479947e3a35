"""What the reliability benchmarks share: a ledger on SQLite or a real PostgreSQL, stores, runs, worker processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "worker")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(ROOT / "tests"), str(ROOT / "tests" / "worker")])

from postgres_for_tests import Postgres, running_postgres  # noqa: E402
from synthloom.domain.records import NewRun, RunRecord  # noqa: E402
from synthloom.domain.run import RunRequest  # noqa: E402
from synthloom.service.uploads import Looked, Received, keep  # noqa: E402
from synthloom.settings import Settings  # noqa: E402
from synthloom.wiring import ServerHome, server_home  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that worker processes are ended, stopped ones too

TABLE = ("age,sex,dose\n" + "".join(f"{20 + i % 50},{'fm'[i % 2]},{i % 7}.{i % 3}\n" for i in range(60))).encode()


class Shop:
    """Ledger and stores, and what a benchmark does with them."""

    def __init__(self, folder: Path, url: str | None, **more: Any) -> None:
        values = {"home": str(folder), "database_url": url, "run_pdf": False, "poll_seconds": 0.5,
                  "lease_seconds": 3.0, "worker_warm": False, **more}
        self.settings = Settings(**values)
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []

    @contextlib.contextmanager
    def home(self) -> Iterator[ServerHome]:
        """Connections for a moment: nothing stays open over a fork."""
        home = server_home(self.settings, migrate=False)
        try:
            yield home
        finally:
            home.close()

    def open(self) -> None:
        """Make the tables."""
        server_home(self.settings).close()

    def dataset(self, home: ServerHome) -> str:
        """Id of a stored table."""
        path = self.folder / "given.csv"
        path.write_bytes(TABLE)
        received = Received(path, hashlib.sha256(TABLE).hexdigest(), len(TABLE))
        key = keep(home.service.datasets, "local", received, Looked(60, ("age", "sex", "dose"), "text/csv"))
        return home.ledger.add_dataset(
            "local", sha256=received.sha256, key=key, filename="people.csv", media_type="text/csv", size=len(TABLE),
        ).dataset_id

    def enqueue(self, home: ServerHome, dataset: str, params: dict[str, Any], method: str = "odd", **more: Any) -> str:
        """Queue a run; its id."""
        request = RunRequest(method=method, params=params, max_attempts=1, thresholds=())
        return home.ledger.enqueue(NewRun(dataset_id=dataset, request=request, **more)).run_id

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a process of this shop."""
        said = {k: v for k, v in self.settings.model_dump(mode="json", by_alias=True).items() if v is not None}
        if self.settings.database_url is not None:
            said["SYNTHLOOM_DATABASE_URL"] = self.settings.database_url.get_secret_value()
        return os.environ | {k: str(v) for k, v in (said | more).items()}

    def worker(self, *before: str, **more: str) -> subprocess.Popen[bytes]:
        """A worker process with the tests' misbehaving method; `before` stands before its command."""
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [*before, sys.executable, str(ROOT / "tests" / "worker" / "process_for_tests.py")], stderr=log,
                env=self.environment(**more), start_new_session=True,
            )
        self.workers.append(process)
        return process

    def log(self, number: int) -> list[dict[str, Any]]:
        """What a worker has logged."""
        text = (self.folder / f"worker-{number}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def close(self) -> None:
        """End the worker processes."""
        for process in self.workers:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()


def until(look: Callable[[], Any], seconds: float, pause: float = 0.05) -> Any:
    """What `look()` gives once that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(pause)
    return found


def final(home: ServerHome, run_id: str, seconds: float = 120.0) -> RunRecord:
    """The run once it is final."""
    return until(lambda: (run := home.ledger.run("local", run_id)).final and run, seconds)


@contextlib.contextmanager
def shops(kind: str, **more: Any) -> Iterator[tuple[Shop, Postgres | None]]:
    """A shop on `sqlite` or `postgres`, with its server in the second case."""
    with tempfile.TemporaryDirectory(prefix="synthloom-reliability-") as folder, contextlib.ExitStack() as stack:
        server = stack.enter_context(running_postgres()) if kind == "postgres" else None
        shop = Shop(Path(folder), server.new_database() if server is not None else None, **more)
        shop.open()
        stack.callback(shop.close)
        yield shop, server


def say(line: str) -> None:
    """A line of the result, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def quantiles(values: list[float]) -> str:
    """Median, 95th percentile and largest."""
    if not values:
        return "none"
    ordered = sorted(values)
    at = lambda q: ordered[min(int(q * len(ordered)), len(ordered) - 1)]  # noqa: E731
    return f"median {at(0.5):.2f} s, p95 {at(0.95):.2f} s, most {ordered[-1]:.2f} s"
