"""What a server's process takes: `python benchmarks/load/memory.py`, Markdown to standard output.

Once as it is, once with pandas loaded where modules import it (`put_off` does nothing then). Resident memory does not
depend on what else the machine does. Children, where tables are read and runs are done, are not counted.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil

START = "import sys; from synthloom.cli import main; main(sys.argv[1:])"
EAGER = "from synthloom.service import later; later.put_off = lambda package: None; " + START
TABLE = ("age,sex,dose\n" + "".join(f"{20 + i % 50},{'fm'[i % 2]},{i % 7}.{i % 3}\n" for i in range(300))).encode()
FORM = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="people.csv"\r\nContent-Type: text/csv\r\n\r\n'
        + TABLE + b"\r\n--x--\r\n")


def stages(code: str) -> Iterator[tuple[str, float]]:
    """What happens to a server, and its resident memory then, in MB."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-c", code, "serve", "--no-worker", "--port", "0"], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"SYNTHLOOM_HOME": home, "SYNTHLOOM_RATE_LIMIT": "1000000"}, stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            yield from _walk(found.group(0), psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()


def _walk(address: str, server: psutil.Process) -> Iterator[tuple[str, float]]:
    def ask(method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        asked = urllib.request.Request(address + path, data=body, method=method, headers={"Content-Type": kind})
        with urllib.request.urlopen(asked) as answer:
            read: bytes = answer.read()
            return read

    def now(what: str) -> tuple[str, float]:
        return what, server.memory_info().rss / 1e6

    def run(method: str) -> bytes:
        body = {"dataset_id": dataset, "method": method, "max_attempts": 1}
        return ask("POST", "/v1/runs", json.dumps(body).encode())

    time.sleep(2)
    yield now("started")
    ask("GET", "/health/ready")
    ask("GET", "/")
    yield now("page shown")
    dataset = json.loads(ask("POST", "/v1/datasets", FORM, "multipart/form-data; boundary=x"))["dataset_id"]
    yield now("table uploaded")
    run("cart")
    yield now("first run submitted")
    run("auto")
    ask("GET", "/v1/methods")
    yield now("second run submitted, methods listed")
    with ThreadPoolExecutor(50) as clients:
        for _ in range(40):
            list(clients.map(lambda _: ask("GET", "/v1/runs?limit=50"), range(50)))
        list(clients.map(lambda i: run(("cart", "autoregressive", "gaussian_copula")[i % 3]), range(300)))
    yield now("2,000 listings and 300 runs later, asked for by 50 clients")
    time.sleep(5)
    yield now("5 s of rest later")


def main() -> None:
    """Measure, and write a table."""
    small, large = dict(stages(START)), dict(stages(EAGER))
    lines = ["| after | as it is | with pandas loaded at the start |", "|---|---|---|"]
    lines += [f"| {what} | {mb:.0f} MB | {large[what]:.0f} MB |" for what, mb in small.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
