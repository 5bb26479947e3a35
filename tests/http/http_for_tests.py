"""What the tests of the server share: a home in a folder, a client, a table, a run that is done."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from synthloom.domain.event import Event
from synthloom.domain.records import LOCAL_TENANT, Settlement
from synthloom.domain.run import RunStatus
from synthloom.http.app import create_app
from synthloom.http.auth import create_key
from synthloom.service import uploads
from synthloom.settings import Settings
from synthloom.wiring import ServerHome, server_home


@dataclass
class Server:
    """An application that really serves, on a port of this machine, with a client of it."""

    app: FastAPI
    home: ServerHome
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        config = uvicorn.Config(self.app, log_config=None, lifespan="off", access_log=False)
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        self.client = httpx.Client(base_url=self.address, timeout=60)

    def close(self) -> None:
        """Stop serving."""
        self.client.close()
        self.app.state.stopping = True
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()

    def key(self, *scopes: str, tenant: str = "acme") -> dict[str, str]:
        """Headers with a new key."""
        _, secret = create_key(self.home.access, tenant, "test", scopes or ("read", "write"))
        return {"Authorization": f"Bearer {secret}"}

    def upload(self, table: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Upload a table."""
        sent = self.client.post(
            "/v1/datasets?filename=people.csv", content=table or people(),
            headers={"Content-Type": "text/csv"} | (headers or {}),
        )
        assert sent.status_code == 201, sent.text
        return sent.json()

    def store(self, table: bytes, tenant: str = LOCAL_TENANT) -> str:
        """Store a table as an upload does, but for the look into it, which takes a child process; the dataset's id."""
        service = self.home.service
        with tempfile.TemporaryDirectory() as folder:
            received = uploads.receive(BytesIO(table), Path(folder), "people.csv", 1 << 20)
            columns = tuple(table.partition(b"\n")[0].decode().split(","))
            looked = uploads.Looked(table.count(b"\n") - 1, columns, "text/csv")
            key = uploads.keep(service.datasets, tenant, received, looked)
        return self.home.ledger.add_dataset(
            tenant, sha256=received.sha256, key=key, filename="people.csv", media_type="text/csv", size=len(table),
            rows=looked.rows, columns=len(columns),
        ).dataset_id

    def queue(self, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        """Queue a run, of a second, of a table that is there already."""
        tenant = self.client.get("/v1/me", headers=headers).json()["tenant"]
        body = {"dataset_id": self.store(people(), tenant), "method": "gaussian_copula"} | fields
        sent = self.client.post("/v1/runs", json=body, headers=headers)
        assert sent.status_code == 201, sent.text
        return sent.json()

    def work(self, folder: Path) -> None:
        """Do what a worker does with the next run, in this process."""
        ledger = self.home.ledger
        claim = ledger.claim("tests", 600)
        assert claim is not None
        folder.mkdir(exist_ok=True)
        events: list[tuple[datetime, Event]] = []

        def emit(event: Event) -> None:
            events.append((datetime.now(UTC), event))

        settlement = self.home.service.execute(claim, folder, emit, lambda: False)
        ledger.append_events(claim.lease, events)
        ledger.settle(claim.lease, settlement)

    def settle(self, files: dict[str, bytes]) -> None:
        """Let the next run have succeeded, with these files."""
        ledger, store = self.home.ledger, self.home.service.artifacts
        claim = ledger.claim("tests", 600)
        assert claim is not None
        artifacts = tuple(store.put(f"{claim.run.run_id}/{name}", content) for name, content in files.items())
        ledger.settle(claim.lease, Settlement(status=RunStatus.SUCCEEDED, artifacts=artifacts))


def make_home(folder: Path, **settings: Any) -> ServerHome:
    """A home in a folder: SQLite and files."""
    return server_home(Settings(home=str(folder / "home"), budget=None, max_attempts=1, **settings))


def open_server(home: ServerHome) -> Server:
    """An application on a home, serving."""
    return Server(create_app(home), home)


def people(n: int = 160, seed: int = 1) -> bytes:
    """A small table as CSV."""
    rng = np.random.default_rng(seed)
    lines = ["age,income,grade"]
    grades = rng.choice(["low", "mid", "high"], n)
    lines += [
        f"{age},{income:.2f},{grade}"
        for age, income, grade in zip(rng.integers(18, 90, n), rng.lognormal(10, 0.5, n), grades, strict=True)
    ]
    return "\n".join(lines).encode() + b"\n"
