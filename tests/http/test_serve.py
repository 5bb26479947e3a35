"""`synthloom serve`, `keys` and `report-service`, as processes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pypdf
import pytest
from http_for_tests import Server, make_home, open_server, people

from synthloom.domain.errors import BackendError, UsageError
from synthloom.domain.event import Event, Fallback
from synthloom.http.server import check_exposure
from synthloom.service.pdf import Remote, remote_pdf

COMMAND = [sys.executable, "-c", "import sys; from synthloom.cli import main; main(sys.argv[1:])"]

Start = Callable[..., "Process"]


class Process:
    """A command that serves, once it has said where."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.child = subprocess.Popen(
            [*COMMAND, *words], env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        assert self.child.stdout is not None
        self.said = self.child.stdout.readline()
        found = re.search(r"http://\S+", self.said)
        assert found, f"{self.said}{self.child.communicate(timeout=20)[1]}"
        self.client = httpx.Client(base_url=found.group(0), timeout=60)

    def workers(self) -> list[psutil.Process]:
        """The worker inside, if it is there."""
        def words(process: psutil.Process) -> str:
            try:
                return " ".join(process.cmdline())
            except psutil.Error:  # it has just ended
                return ""

        return [p for p in psutil.Process(self.child.pid).children() if "['worker']" in words(p)]

    def end(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Its exit code, and the seconds it took to end."""
        begun = time.monotonic()
        self.child.send_signal(number)
        self.child.communicate(timeout=60)
        return self.child.returncode, time.monotonic() - begun


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command on a home of its own; keyword arguments are variables."""
    made: list[Process] = []

    def begin(*words: str, **environment: str) -> Process:
        variables = {"SYNTHLOOM_HOME": str(tmp_path / "home"), "POLL_SECONDS": "0.2"} | environment
        made.append(Process([*words, "--port", "0"], variables))
        return made[-1]

    yield begin
    for process in made:
        process.client.close()
        process.child.kill()
        process.child.communicate()


def wait_for(happened: Callable[[], object], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_one_command_from_a_table_to_its_twin(start: Start) -> None:
    server = start("serve")
    assert "Ctrl-C" in server.said
    client = server.client
    dataset = client.post("/v1/datasets", files={"file": ("people.csv", people(), "text/csv")}).json()["dataset_id"]
    run = client.post("/v1/runs", json={"dataset_id": dataset, "method": "gaussian_copula", "budget": None}).json()
    with client.stream(
        "GET", f"/v1/runs/{run['run_id']}/events", headers={"Accept": "text/event-stream"}
    ) as stream:
        assert "event: end" in list(stream.iter_lines())
    assert client.get(f"/v1/runs/{run['run_id']}").json()["status"] == "succeeded"
    assert client.get(f"/v1/runs/{run['run_id']}/artifacts/synthetic.csv").status_code == 200
    waiting = [worker.pid for worker in server.workers()]
    code, seconds = server.end()
    assert (code, seconds < 10) == (0, True)
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in waiting)


def test_ending_the_server_counts_no_delivery_of_a_run(start: Start) -> None:
    server = start("serve")
    client = server.client
    dataset = client.post("/v1/datasets", files={"file": ("people.csv", people(), "text/csv")}).json()["dataset_id"]
    asked = {"dataset_id": dataset, "method": "ctgan", "params": {"epochs": 100_000}}
    address = f"/v1/runs/{client.post('/v1/runs', json=asked).json()['run_id']}"
    wait_for(lambda: client.get(address).json()["step"] == "fit")
    assert server.end(signal.SIGTERM)[0] == 0
    run = start("serve", "--no-worker").client.get(address).json()
    assert (run["status"], run["deliveries"], run["error"]) == ("queued", 0, None)


def test_a_worker_that_dies_is_started_again(start: Start) -> None:
    server = start("serve")
    wait_for(server.workers)
    first = server.workers()[0]
    first.kill()
    wait_for(lambda: [w for w in server.workers() if w.pid != first.pid])


def test_an_idle_server_is_small_and_loads_no_learning_package(start: Start) -> None:
    server = start("serve", "--no-worker")
    assert server.client.get("/").status_code == 200
    assert server.client.get("/health/ready").status_code == 200
    child = psutil.Process(server.child.pid)
    assert child.memory_info().rss < 200e6
    assert server.workers() == []
    if hasattr(child, "memory_maps"):
        loaded = " ".join(m.path for m in child.memory_maps())
        assert not [name for name in ("/torch/", "/sklearn/", "/scipy/", "/matplotlib/") if name in loaded]


def test_a_server_stays_small_once_runs_were_submitted(start: Start) -> None:
    server = start("serve", "--no-worker")
    client, child = server.client, psutil.Process(server.child.pid)
    dataset = client.post("/v1/datasets", files={"file": ("people.csv", people(), "text/csv")}).json()["dataset_id"]
    assert client.post(f"/v1/datasets/{dataset}/inspect", json={}).status_code == 200
    for method in ("cart", "gaussian_copula", "auto"):
        asked = {"dataset_id": dataset, "method": method, "params": {}}
        assert client.post("/v1/runs", json=asked).status_code == 201
    assert client.get("/v1/methods").status_code == 200
    assert child.memory_info().rss < 190e6
    if hasattr(child, "memory_maps"):
        loaded = " ".join(m.path for m in child.memory_maps())
        assert not [name for name in ("/torch/", "/sklearn/", "/pandas/", "/matplotlib/") if name in loaded]


def test_a_port_in_use_and_an_open_door_are_one_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, code, said in (
            (["--port", port], "usage", "another program listens there"), (["--host", "0.0.0.0"], "usage", "everybody"),
        ):
            done = subprocess.run(
                [*COMMAND, "serve", *words, "--json"], env=os.environ | {"SYNTHLOOM_HOME": str(tmp_path)},
                capture_output=True, text=True, timeout=60, check=False,
            )
            error = json.loads(done.stdout)["error"]
            assert (done.returncode, error["code"]) == (2, code)
            assert said in error["what"]
    assert not list(tmp_path.iterdir()), "nothing was begun"


@pytest.mark.parametrize("words", [["serve"], ["report-service"], ["keys", "create", "--name", "x"]])
def test_without_the_extra_it_says_what_to_install(words: list[str], tmp_path: Path) -> None:
    program = "import sys; sys.modules['fastapi'] = None; from synthloom.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--json"], env=os.environ | {"SYNTHLOOM_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (5, "missing_dependency")
    assert "pip install 'synthloom[server]'" in error["do"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.4", "example.org", "127.0.0.1.example.org"])
def test_an_open_door_to_elsewhere_is_refused(host: str) -> None:
    with pytest.raises(UsageError):
        check_exposure(host, guarded=False, do="")
    check_exposure(host, guarded=True, do="")
    for near in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check_exposure(near, guarded=False, do="")


def test_keys_are_made_listed_and_revoked(start: Start, tmp_path: Path) -> None:
    def keys(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [*COMMAND, "keys", *words, "--json"], env=os.environ | {"SYNTHLOOM_HOME": str(tmp_path / "home")},
            capture_output=True, text=True, timeout=60, check=False,
        )
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)["result"]

    made = keys("create", "--name", "alice", "--scopes", "read,admin", "--days", "7")
    server = start("serve", "--no-worker", SYNTHLOOM_AUTH="keys")
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert server.client.get("/v1/me").status_code == 401
    assert server.client.get("/v1/me", headers=headers).json()["scopes"] == ["admin", "read"]
    [listed] = keys("list")["keys"]
    assert (listed["name"], listed["key_id"]) == ("alice", made["key"]["key_id"])
    assert made["secret"] not in json.dumps(listed)
    keys("revoke", listed["key_id"])
    assert server.client.get("/v1/me", headers=headers).status_code == 401


def test_a_report_service_draws_for_a_server_that_shows_its_token(
    start: Start, archive: tuple[Server, list[str]]
) -> None:
    server, (run_id, _) = archive
    report = server.client.get(f"/v1/runs/{run_id}/artifacts/report.json").content
    service = start("report-service", SYNTHLOOM_REPORT_TOKEN="a token of sixteen")
    address = str(service.client.base_url)
    with pytest.raises(BackendError, match="401"):
        remote_pdf(report, Remote(address, "another of sixteen"), 60)
    wrong = service.client.post(
        "/v1/report/pdf", content=b"{}", headers={"Authorization": "Bearer a token of sixteen"}
    )
    assert (wrong.status_code, wrong.json()["code"]) == (422, "input")
    drawn = remote_pdf(report, Remote(address, "a token of sixteen"), 60)
    assert len(pypdf.PdfReader(io.BytesIO(drawn)).pages) > 2


def test_without_its_report_service_a_server_draws_itself_and_says_so(
    tmp_path: Path, archive: tuple[Server, list[str]]
) -> None:
    full, (run_id, _) = archive
    report = full.client.get(f"/v1/runs/{run_id}/artifacts/report.json").content
    home = make_home(tmp_path, report_service="http://127.0.0.1:9")
    server = open_server(home)
    events: list[Event] = []
    try:
        other = server.queue()["run_id"]
        server.settle({"report.json": report})
        drawn = home.service.render_pdf("local", other, events.append)
    finally:
        server.close()
        home.close()
    assert drawn.startswith(b"%PDF-")
    [fallback] = events
    assert isinstance(fallback, Fallback)
    assert fallback.wanted == "report service"
