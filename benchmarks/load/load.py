"""50 clients at a server with 10,000 queued runs: `python benchmarks/load/load.py [--seconds 60] [sqlite|postgres …]`.

The server is a process of its own (`synthloom serve --no-worker`, keys, JSON); the clients are tasks of this process,
each with a connection of its own, doing what pages and scripts do: mostly looking, now and then queueing and
cancelling. First each client pauses between two requests as a page does; then none does, which shows what the server
can do at most. Clients and server share the machine's processors. Writes Markdown to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from postgres_for_tests import running_postgres
from synthloom.domain.records import NewRun
from synthloom.domain.run import RunRequest
from synthloom.http.auth import create_key
from synthloom.settings import Settings
from synthloom.wiring import server_home

RUNS, CLIENTS, TENANT = 10_000, 50, "acme"
MIX = {  # of 100 requests
    "show a run": 35, "show it again (ETag)": 15, "list runs": 20, "second page of queued runs": 5,
    "events as JSON": 10, "queue a run": 10, "cancel a run": 5,
}
Answer = tuple[int, dict[str, str], bytes]


class Client:
    """One connection, kept open, that knows just enough HTTP."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Status, headers, body."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {self.key}",
                 f"Content-Length: {len(content)}", "Content-Type: application/json",
                 *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        got = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        rest = await self.reader.readexactly(int(got.get("content-length", 0)))
        return int(head[0].split()[1]), got, rest


class Mix:
    """What the clients do, and how long each answer took."""

    def __init__(self, port: int, key: str, dataset: str, runs: list[str], pause: float) -> None:
        self.port, self.key, self.dataset, self.runs, self.pause = port, key, dataset, runs, pause
        self.seconds: dict[str, list[float]] = collections.defaultdict(list)
        self.statuses: collections.Counter[int] = collections.Counter()

    async def run(self, seconds: float) -> None:
        """All clients at once, so long."""
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._client(number, until) for number in range(CLIENTS)))

    async def _client(self, number: int, until: float) -> None:
        draw, client, etags = random.Random(number), Client(self.port, self.key), {}
        await asyncio.sleep(draw.random() * max(self.pause, 0.1))
        while time.monotonic() < until:
            [what] = draw.choices(list(MIX), list(MIX.values()))
            await self._one(what, client, draw, etags)
            if self.pause:
                await asyncio.sleep(draw.uniform(0.5, 1.5) * self.pause)

    async def _timed(self, what: str, answer: Awaitable[Answer]) -> Answer:
        begun = time.perf_counter()
        got = await answer
        self.seconds[what].append(time.perf_counter() - begun)
        self.statuses[got[0]] += 1
        return got

    async def _one(self, what: str, client: Client, draw: random.Random, etags: dict[str, str]) -> None:
        run = draw.choice(self.runs)
        if what == "show a run":
            _, headers, _ = await self._timed(what, client.ask("GET", f"/v1/runs/{run}"))
            etags[run] = headers["etag"]
        elif what == "show it again (ETag)" and etags:
            run, etag = next(reversed(etags.items()))
            await self._timed(what, client.ask("GET", f"/v1/runs/{run}", If_None_Match=etag))
        elif what == "second page of queued runs":
            address = "/v1/runs?limit=20&status=queued"
            _, _, body = await self._timed("list runs", client.ask("GET", address))
            await self._timed(what, client.ask("GET", f"{address}&cursor={json.loads(body)['next']}"))
        elif what == "events as JSON":
            await self._timed(what, client.ask("GET", f"/v1/runs/{run}/events", Accept="application/json"))
        elif what == "queue a run":
            body = {"dataset_id": self.dataset, "method": "cart", "seed": draw.randrange(1 << 30)}
            await self._timed(what, client.ask("POST", "/v1/runs", body))
        elif what == "cancel a run":
            await self._timed(what, client.ask("POST", f"/v1/runs/{run}/cancel"))
        else:
            await self._timed("list runs", client.ask("GET", "/v1/runs?limit=20"))


@contextlib.contextmanager
def database(kind: str) -> Iterator[dict[str, str]]:
    """Variables that name it."""
    if kind == "sqlite":
        yield {}
        return
    with running_postgres() as server:
        yield {"SYNTHLOOM_DATABASE_URL": server.new_database()}


def fill(environment: dict[str, str]) -> tuple[str, str, list[str]]:
    """A key, a dataset, and the ids of the queued runs."""
    home = server_home(Settings.from_environment(environment))
    try:
        _, secret = create_key(home.access, TENANT, "load", ["read", "write"])
        dataset = home.ledger.add_dataset(
            TENANT, sha256="0" * 64, key="none", filename="none.csv", media_type="text/csv", size=1, rows=1000,
            columns=5,
        ).dataset_id
        request = RunRequest(method="cart")

        def queue(_: int) -> str:
            return home.ledger.enqueue(NewRun(tenant=TENANT, dataset_id=dataset, request=request)).run_id

        with ThreadPoolExecutor(8) as threads:
            return secret, dataset, list(threads.map(queue, range(RUNS)))
    finally:
        home.close()


@contextlib.contextmanager
def served(environment: dict[str, str]) -> Iterator[tuple[int, psutil.Process]]:
    """A server's port and process."""
    program = "import sys; from synthloom.cli import main; main(sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--no-worker", "--port", "0"], env=os.environ | environment,
        stdout=subprocess.PIPE, text=True,
    )
    try:
        assert child.stdout is not None
        found = re.search(r":(\d+) ", child.stdout.readline())
        assert found
        yield int(found[1]), psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(30)


def quantile(values: list[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def measure(kind: str, seconds: float) -> None:
    """One database, with pauses and without."""
    with tempfile.TemporaryDirectory(prefix="synthloom-load-") as name, database(kind) as variables:
        environment = variables | {
            "SYNTHLOOM_HOME": f"{name}/home", "SYNTHLOOM_AUTH": "keys", "SYNTHLOOM_RATE_LIMIT": "1000000000",
            "SYNTHLOOM_LOG_LEVEL": "warning",
        }
        begun = time.monotonic()
        key, dataset, runs = fill(environment)
        say(f"\n## {kind}\n{RUNS:,} runs queued in {time.monotonic() - begun:.1f} s by one process.")
        with served(environment) as (port, process):
            idle = process.memory_info().rss / 1e6
            asyncio.run(Mix(port, key, dataset, runs, 0.2).run(5))  # what is loaded once at first use is no latency
            for pause in (1.0, 0.0):
                mix = Mix(port, key, dataset, runs, pause)
                before, load = process.cpu_times(), os.getloadavg()[0]
                asyncio.run(mix.run(seconds))
                after = process.cpu_times()
                report(mix, seconds, pause, (after.user + after.system - before.user - before.system) / seconds, load)
            afterwards = process.memory_info().rss / 1e6
            say(f"\nServer's memory: {idle:.0f} MB when it had started, {afterwards:.0f} MB afterwards.")


def report(mix: Mix, seconds: float, pause: float, processors: float, load: float) -> None:
    """A table."""
    every = [value for values in mix.seconds.values() for value in values]
    how = f"each with a pause of about {pause:g} s between requests" if pause else "without pauses"
    say(
        f"\n{CLIENTS} clients, {how}, {seconds:g} s: {len(every) / seconds:.0f} requests/s, statuses "
        f"{dict(sorted(mix.statuses.items()))}; the server used {processors:.2f} processors; load average before: "
        f"{load:.1f}.\n\n| request | n | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|---|"
    )
    for what, values in [*mix.seconds.items(), ("**all**", every)]:
        say(f"| {what} | {len(values)} | " + " | ".join(f"{quantile(values, q):.0f}" for q in (0.5, 0.95, 0.99)) + " |")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def main() -> None:
    """Read the command line, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgres"])
    given = parser.parse_args()
    say(
        f"# The API under load\n\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} processors, Python "
        f"{platform.python_version()}; `python {' '.join(sys.argv)}`."
    )
    for kind in given.databases:
        measure(kind, given.seconds)


if __name__ == "__main__":
    main()
