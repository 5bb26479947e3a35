"""What operators are given fits the code: compose.yaml, the images, the systemd units, the page about operating."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_for_tests import DEPLOY, OURS, PASSWORDS, ROOT, VARIABLE, last, read_compose, read_stages
from typer.main import get_command

from synthloom.cli.app import app
from synthloom.settings import Settings, variables
from synthloom.wiring import migrate_database

FOREIGN = {"FORWARDED_ALLOW_IPS": "uvicorn's", "OMP_NUM_THREADS": "NumPy's"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture(scope="module")
def stages() -> dict[str, list[tuple[str, str]]]:
    return read_stages()


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def megabytes(service: dict[str, Any]) -> int:
    text = service["deploy"]["resources"]["limits"]["memory"]
    assert text.endswith("g")
    return int(text[:-1]) * 1024


def parses(words: list[str]) -> None:
    """A command line that the command line takes: an unknown command or option raises."""
    command: Any = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("synthloom", words)


# compose.yaml --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", OURS)
def test_compose_sets_only_settings_that_exist_to_values_they_take(compose: dict[str, Any], service: str) -> None:
    environment = {name: str(value) for name, value in compose["services"][service]["environment"].items()}
    assert set(environment) <= set(variables()) | set(FOREIGN)
    Settings.from_environment(environment)


def test_compose_gives_all_processes_the_same_database_and_store(compose: dict[str, Any]) -> None:
    web, worker = (compose["services"][name]["environment"] for name in ("web", "worker"))
    for name in variables():
        if name in web and name in worker:
            assert web[name] == worker[name], name
    assert web["SYNTHLOOM_REPORT_TOKEN"] == compose["services"]["report"]["environment"]["SYNTHLOOM_REPORT_TOKEN"]
    store = compose["services"]["store"]["environment"]
    assert worker["SYNTHLOOM_S3_ACCESS_KEY_ID"] == store["ROOT_ACCESS_KEY_ID"]
    assert worker["SYNTHLOOM_S3_SECRET_ACCESS_KEY"] == store["ROOT_SECRET_ACCESS_KEY"]
    assert worker["SYNTHLOOM_S3_REGION"] == store["VGW_REGION"]
    assert worker["SYNTHLOOM_S3_ENDPOINT"].endswith(store["VGW_PORT"])
    for bucket in ("SYNTHLOOM_DATASETS_BUCKET", "SYNTHLOOM_ARTIFACTS_BUCKET"):
        assert f"/data/{worker[bucket]}" in compose["services"]["store-folders"]["entrypoint"][-1]
    database = compose["services"]["database"]["environment"]
    assert worker["SYNTHLOOM_DATABASE_URL"] == (
        f"postgresql://{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}@database/{database['POSTGRES_DB']}"
    )


def test_every_variable_of_compose_is_in_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    example = (DEPLOY / "env.example").read_text(encoding="utf-8")
    for name in {found[1] for found in VARIABLE.finditer(text)}:
        if not name.startswith("SYNTHLOOM_JWT") or name == "SYNTHLOOM_JWT_ISSUER":
            assert name in example, name
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == set(PASSWORDS), "what must be set, and only that"


def test_containers_have_few_rights(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not {"privileged", "pid", "ipc", "devices"} & set(service), name
        if name == "store-folders":
            assert service["network_mode"] == "none"
            assert service["cap_add"] == ["CHOWN"]
            assert service["restart"] == "no"
            continue
        assert "cap_add" not in service, name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        if name not in OURS:
            assert service["user"].split(":")[0] not in {"0", "root"}, name
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert re.search(r":v?\d", service["image"]), f"{name}: a version, not whatever is latest"


def test_only_the_page_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    assert compose["networks"]["back"]["internal"] is True
    for name, service in compose["services"].items():
        assert ("ports" in service) == (name == "web")
        assert name == "web" or service.get("networks", ["back"]) == ["back"], name
    assert compose["services"]["web"]["ports"] == ["127.0.0.1:8000:8000"]
    assert compose["services"]["web"]["environment"]["SYNTHLOOM_AUTH"] == "keys"


def test_a_worker_has_time_to_drain_and_memory_for_its_runs(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert seconds(worker["stop_grace_period"]) > int(worker["environment"]["SYNTHLOOM_DRAIN_SECONDS"])
    slots = int(worker["environment"]["SYNTHLOOM_WORKER_SLOTS"])
    assert megabytes(worker) > slots * int(worker["environment"]["SYNTHLOOM_RUN_MEMORY_MB"])


def test_what_reads_strangers_files_fits_its_container(compose: dict[str, Any]) -> None:
    for name in ("web", "report"):
        service = compose["services"][name]
        assert megabytes(service) > int(service["environment"]["SYNTHLOOM_READ_MEMORY_MB"]), name


# images --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_images_run_as_nobody_in_particular_and_tell_how_they_are(
    compose: dict[str, Any], stages: dict[str, list[tuple[str, str]]], name: str
) -> None:
    build = compose["services"][name]["build"]
    assert (ROOT / build["dockerfile"]).is_file()
    stage = stages[build["target"]]
    user = last(stage, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that it can be seen not to be root's"
    assert all(f"uid={user.split(':')[0]}" in mount for mount in compose["services"][name]["tmpfs"] if "uid" in mount)
    assert "/opt/health.py" in last(stage, "HEALTHCHECK")
    words = yaml.safe_load(last(stage, "CMD"))
    assert yaml.safe_load(last(stage, "ENTRYPOINT")) == ["synthloom"]
    parses(words)
    if "--port" in words:
        port = words[words.index("--port") + 1]
        assert last(stage, "EXPOSE") == port
        assert f"127.0.0.1:{port}/health/" in last(stage, "HEALTHCHECK")
    if name == "report":
        assert compose["services"]["web"]["environment"]["SYNTHLOOM_REPORT_SERVICE"] == f"http://report:{port}"


def test_images_are_made_of_what_is_there(stages: dict[str, list[tuple[str, str]]]) -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    instructions = [item for stage in stages.values() for item in stage]
    for word, rest in instructions:
        if word == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.removeprefix('./')}\n" in allowed, f"{source} does not reach the builder"
        for found in re.findall(r'"\.\[([\w,]+)\]"', rest):
            assert set(found.split(",")) <= set(extras)
    assert not any("latest" in rest for word, rest in instructions if word == "FROM")


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 503)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def healthy_server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def health(what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in variables()}
    command = [sys.executable, str(DEPLOY / "health.py"), what]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_health_check_hears_a_server(healthy_server: str) -> None:
    assert health(f"{healthy_server}/health/ready").returncode == 0
    assert health(f"{healthy_server}/health/starting").returncode == 1
    assert health("http://127.0.0.1:1/health/ready").returncode == 1


def test_the_health_check_of_a_worker_asks_database_and_stores(
    tmp_path: Path, s3_endpoint: str, s3_bucket: str
) -> None:
    home = {"SYNTHLOOM_HOME": str(tmp_path)}
    migrate_database(Settings.from_environment(home))
    store = {
        "SYNTHLOOM_STORE": "s3", "SYNTHLOOM_S3_ENDPOINT": s3_endpoint, "SYNTHLOOM_DATASETS_BUCKET": s3_bucket,
        "SYNTHLOOM_S3_ACCESS_KEY_ID": "key", "SYNTHLOOM_S3_SECRET_ACCESS_KEY": "very-secret",
    }
    assert health("worker", **home, **store, SYNTHLOOM_ARTIFACTS_BUCKET=s3_bucket).returncode == 0
    sick = health("worker", **home, **store, SYNTHLOOM_ARTIFACTS_BUCKET="nobody-made-me")
    assert sick.returncode == 1
    assert "there is no such bucket" in sick.stderr
    assert "very-secret" not in sick.stderr


# systemd -------------------------------------------------------------------------------------------------------------

UNITS = sorted(DEPLOY.glob("*.service"))


def values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_what_exists_with_settings_that_exist(unit: Path) -> None:
    (line,) = values(unit, "ExecStart")
    words = shlex.split(line.replace("%H-%i", "host-1"))
    assert words[0] == "/opt/synthloom/bin/synthloom"
    parses(words[1:])
    for name in re.findall(r"(\w+)=", " ".join(values(unit, "Environment"))):
        assert name in variables() or name in {"MPLCONFIGDIR", "XDG_CACHE_HOME"}, name
    assert values(unit, "DynamicUser") == ["yes"]
    assert values(unit, "KillMode") == ["mixed"], "children are ended by the worker, in order"
    assert int(values(unit, "TimeoutStopSec")[0]) > Settings().drain_seconds


def test_settings_of_units_exist() -> None:
    text = (DEPLOY / "env.systemd").read_text(encoding="utf-8")
    named = dict(re.findall(r"^(?:# )?([A-Z_0-9]+)=(.*)$", text, re.MULTILINE))
    assert set(named) <= set(variables())
    Settings.from_environment({name: value for name, value in named.items() if " " not in value})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).resolve()
    text = unit.read_text(encoding="utf-8").replace("/opt/synthloom/bin/synthloom", str(program))
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text, encoding="utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False, timeout=60,
    )
    about_it = [line for line in found.stderr.splitlines() if copy.name in line]
    assert not about_it, found.stderr
    assert found.returncode == 0, found.stderr


# the page ------------------------------------------------------------------------------------------------------------


def test_the_page_names_what_exists() -> None:
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`(SYNTHLOOM_\w+|USE_\w+|POLL_SECONDS)", page)):
        assert name in variables(), name
    for path in re.findall(r"\]\(\.\./([\w/@.]+)\)", page):
        assert (ROOT / path).exists(), path
    for line in re.findall(r"`synthloom ([^`]+)`|^docker compose run --rm web (.+?)(?:  .*)?$", page, re.MULTILINE):
        words = shlex.split(line[0] or line[1], comments=True)
        if not {"keys list", "keys revoke"} & {" ".join(words[:2])}:
            parses(words)


def test_the_page_names_the_metrics_there_are() -> None:
    from synthloom.http.metrics import Metrics

    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    told = {family.name for family in Metrics()._registry.collect()}
    assert told == set(re.findall(r"^\| `(synthloom_\w+)", page, re.MULTILINE))
