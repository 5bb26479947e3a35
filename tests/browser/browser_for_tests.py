"""A real server process, and what a browser is asked about a page."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SLOW = 60_000  # milliseconds that a run of the small table may take on a busy machine


def chromium() -> str | None:
    """The browser: CHROMIUM, or the first that is installed."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`synthloom serve` with its worker, on one port and one home; may be killed and started again."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = home / "server.log"
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SYNTHLOOM_")}, "SYNTHLOOM_HOME": str(home),
            "SYNTHLOOM_LEASE_SECONDS": "2", "POLL_SECONDS": "0.2", "OMP_NUM_THREADS": "1", **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", "--port", str(self.port)], env=self._environment, stdout=log, stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health/ready", timeout=2):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError(f"the server did not start:\n{self.log()}")

    def kill(self) -> None:
        """End it and all that it started at once, as a power cut would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it as a person would."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def command(self, *arguments: str) -> str:
        """What another command says on the same home."""
        done = subprocess.run(
            [self._program, *arguments], env=self._environment, capture_output=True, text=True, check=True,
        )
        return done.stdout

    def cancel_all(self) -> None:
        """Cancel whatever is queued or running."""
        with urllib.request.urlopen(f"{self.url}/v1/runs?limit=100", timeout=30) as answer:
            found = json.load(answer)["runs"]
        for run in found:
            if run["status"] in ("queued", "running"):
                asked = urllib.request.Request(f"{self.url}/v1/runs/{run['run_id']}/cancel", method="POST")
                with urllib.request.urlopen(asked, timeout=30):
                    pass

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def _program(self) -> str:
        return str(Path(sys.executable).with_name("synthloom"))


# what a person does


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def upload(page: Page, base: str, table: Path) -> str:
    """Give a table; the address of its page."""
    page.goto(base)
    page.set_input_files("#file", table)
    page.wait_for_url("**/datasets/*", timeout=SLOW)
    page.wait_for_selector("#method", timeout=SLOW)
    return page.url


def queue(page: Page, **fields: str) -> str:
    """Fill in fields of the run's form by their names and queue it; the address of the run."""
    method = fields.pop("method", "gaussian_copula")
    page.select_option("#method", method)
    for name in ("name", "seed"):
        if name in fields:
            page.fill(f"#{name}", fields.pop(name))
    if fields:
        with page.expect_response("**/check"):
            pass
        page.locator("#params summary").last.click()
        for name, value in fields.items():
            page.fill(f"#p-{name}", value)
    page.click("text=Queue the run")
    page.wait_for_url("**/runs/*")
    return page.url


def queue_endless(page: Page, name: str = "endless") -> str:
    """Queue a run that learns until it is stopped."""
    page.fill("#name", name)
    with page.expect_response("**/check"):
        page.select_option("#method", "ctgan")
    page.wait_for_selector("#p-epochs", state="attached")
    page.locator("#params summary").last.click()
    page.fill("#p-epochs", "100000")
    page.click("text=Queue the run")
    page.wait_for_url("**/runs/*")
    return page.url


def cancel(page: Page) -> None:
    """Cancel the run of the page and wait until it is."""
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".headline")).to_have_text("The run was cancelled.", timeout=SLOW)


AUDIT: str = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")


def audit(page: Page) -> list[str]:
    """What stands in the way of people who do not see, or see badly: names, labels, order, contrast."""
    found: list[str] = page.evaluate(AUDIT)
    return found


def wider(page: Page) -> dict[str, Any] | None:
    """By how much the page is wider than its window, and what sticks out; None where it fits."""
    found: dict[str, Any] | None = page.evaluate("""() => {
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return null;
        const out = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > width + 1);
        const scroll = document.documentElement.scrollWidth;
        return {scroll, width, out: out.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))};
    }""")
    return found
