"""A small shop with a ledger, stores and workers, and what tests do with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from synthloom.domain.records import NewRun
from synthloom.domain.run import RunRequest
from synthloom.service.uploads import Received, keep
from synthloom.settings import Settings
from synthloom.wiring import server_home
from synthloom.worker import Worker

HERE = Path(__file__).parent
TABLE = ("age,sex,dose\n" + "".join(f"{20 + i % 50},{'fm'[i % 2]},{i % 7}.{i % 3}\n" for i in range(80))).encode()


class Shop:
    """Ledger and stores, and what a test does with them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = server_home(settings)
        self.service, self.ledger = self.home.service, self.home.ledger
        self.workers: list[subprocess.Popen[bytes]] = []

    def dataset(self, content: bytes = TABLE) -> str:
        """Id of a stored table."""
        import hashlib

        path = Path(self.settings.home) / "given.csv"
        path.write_bytes(content)
        received = Received(path, hashlib.sha256(content).hexdigest(), len(content))
        looked = type("Looked", (), {"columns": ("age", "sex", "dose")})
        key = keep(self.service.datasets, "local", received, looked)
        record = self.ledger.add_dataset(
            "local", sha256=received.sha256, key=key, filename="people.csv", media_type="text/csv", size=len(content),
        )
        return record.dataset_id

    def enqueue(self, act: str = "fine", content: bytes = TABLE, **more) -> str:
        """Queue a run of the odd method; its id."""
        params = {"act": act, **{k: more.pop(k) for k in ("seconds", "note") if k in more}}
        values = {"method": "odd", "params": params, "max_attempts": 1, "thresholds": (), **more.pop("request", {})}
        return self.ledger.enqueue(NewRun(
            dataset_id=self.dataset(content), request=RunRequest(**values), **more,
        )).run_id

    def show(self, run_id: str):
        return self.ledger.run("local", run_id)

    def until(self, run_id: str, wanted, seconds: float = 60.0):
        """The run once `wanted(run)`."""
        end = time.monotonic() + seconds
        while not wanted(run := self.show(run_id)):
            assert time.monotonic() < end, run
            time.sleep(0.03)
        return run

    def finished(self, run_id: str, seconds: float = 60.0):
        """The run once it is final."""
        return self.until(run_id, lambda run: run.final, seconds)

    def fitting(self, run_id: str):
        """The run once it is learning."""
        return self.until(run_id, lambda run: run.step == "fit")

    def process(self, **more: str) -> subprocess.Popen[bytes]:
        """A worker process; its log goes to a file beside the ledger."""
        said = {k: v for k, v in self.settings.model_dump(mode="json", by_alias=True).items() if v is not None}
        if self.settings.database_url is not None:
            said["SYNTHLOOM_DATABASE_URL"] = self.settings.database_url.get_secret_value()
        with open(Path(self.settings.home) / f"worker-{len(self.workers)}.log", "wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(HERE / "process_for_tests.py")], stderr=log, start_new_session=True,
                env=os.environ | {k: str(v) for k, v in (said | more).items()},
            )
        self.workers.append(worker)
        return worker

    def log(self, number: int = 0) -> list[dict]:
        """What a worker process has logged."""
        return [json.loads(x) for x in (Path(self.settings.home) / f"worker-{number}.log").read_text().splitlines()]

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()
        self.home.close()


class Inside:
    """A worker in a thread of the tests."""

    def __init__(self, shop: Shop, **changes) -> None:
        home = shop.home
        if changes:
            from dataclasses import replace

            home = replace(home, settings=home.settings.model_copy(update=changes))
        self.worker = Worker(home, child="child_for_tests", backoff=0.2)
        self._thread = threading.Thread(target=self.worker.run)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self.worker

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self.worker.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


def pid_from(note: Path, seconds: float = 60.0) -> list[int]:
    """The processes a run has written down."""
    end = time.monotonic() + seconds
    while not (note.exists() and note.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.05)
    return [int(word) for word in note.read_text().split()]


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends in so many seconds; a zombie has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def settings_for(folder: Path, url: str | None, **more) -> Settings:
    values = {
        "home": str(folder), "database_url": url, "run_pdf": False, "poll_seconds": 0.3, "lease_seconds": 2.0,
        "run_memory_mb": 900, "worker_slots": 2, "drain_seconds": 10.0, "worker_warm": False, **more,
    }
    return Settings(**values)
