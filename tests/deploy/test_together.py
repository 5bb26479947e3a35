"""What compose.yaml starts works together: the same commands and settings, on PostgreSQL and a store that speaks S3."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import yaml
from deploy_for_tests import OURS, last, read_compose, read_stages

from synthloom.settings import variables

PROGRAM = str(Path(sys.executable).with_name("synthloom"))
PATIENCE = 120


class Services:
    """The containers' commands, with the containers' settings.

    Args:
        folder: For what they keep, which is to be nothing but logs.
        addresses: Settings that say where database, store and buckets are here.
    """

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self.folder = folder
        self.addresses = addresses
        self.compose = read_compose()["services"]
        self.stages = read_stages()

    def environment(self, service: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in variables()}
        told = {name: str(value) for name, value in self.compose[service]["environment"].items()}
        here = {name: value for name, value in self.addresses.items() if name in told}
        return kept | told | here | {"SYNTHLOOM_HOME": str(self.folder / service)}

    def words(self, service: str) -> list[str]:
        words: list[str] = yaml.safe_load(last(self.stages[service], "CMD"))
        here = {"0.0.0.0": "127.0.0.1"} | ({words[words.index("--port") + 1]: "0"} if "--port" in words else {})
        return [PROGRAM, *(here.get(word, word) for word in words)]

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[str]]:
        log = self.folder / f"{service}.log"
        with log.open("w", encoding="utf-8") as errors, subprocess.Popen(
            self.words(service), env=self.environment(service), stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                code = process.wait(60)
        assert code == 0, log.read_text(encoding="utf-8")

    def address(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        return found[0]


def table() -> bytes:
    rng = np.random.default_rng(0)
    age = rng.integers(18, 90, 300)
    frame = pd.DataFrame({"age": age, "smoker": np.where(rng.random(300) < 0.6 - age / 200, "yes", "no")})
    return frame.to_csv(index=False).encode()


def test_a_table_becomes_a_report(
    tmp_path: Path, postgres_database: str, s3_endpoint: str, s3_bucket: str
) -> None:
    artifacts = f"{s3_bucket}-artifacts"
    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{artifacts}", method="PUT")).close()
    services = Services(tmp_path, {
        "SYNTHLOOM_DATABASE_URL": postgres_database, "SYNTHLOOM_S3_ENDPOINT": s3_endpoint,
        "SYNTHLOOM_DATASETS_BUCKET": s3_bucket, "SYNTHLOOM_ARTIFACTS_BUCKET": artifacts,
    })
    made = subprocess.run(
        [PROGRAM, "keys", "create", "--name", "test", "--scopes", "read,write,metrics", "--json"],
        env=services.environment("web"), capture_output=True, text=True, check=True, timeout=PATIENCE,
    )
    key = json.loads(made.stdout)["result"]["secret"]
    with ExitStack() as stack:
        report = stack.enter_context(services.running("report"))
        stack.enter_context(services.running("worker"))
        services.addresses["SYNTHLOOM_REPORT_SERVICE"] = services.address(report)
        address = services.address(stack.enter_context(services.running("web")))
        assert httpx.get(f"{address}/v1/runs").status_code == 401
        client = stack.enter_context(httpx.Client(
            base_url=address, timeout=PATIENCE, headers={"Authorization": f"Bearer {key}"},
        ))
        assert client.get("/health/ready").status_code == 200
        uploaded = client.post("/v1/datasets", content=table(), headers={"Content-Type": "text/csv"})
        assert uploaded.status_code == 201, uploaded.text
        asked = {"dataset_id": uploaded.json()["dataset_id"], "method": "gaussian_copula", "max_attempts": 1}
        run = client.post("/v1/runs", json=asked).json()["run_id"]
        until = time.monotonic() + PATIENCE
        while client.get(f"/v1/runs/{run}").json()["status"] in ("queued", "running"):
            assert time.monotonic() < until, "the run does not end"
            time.sleep(0.2)
        ended = client.get(f"/v1/runs/{run}").json()
        assert ended["status"] == "succeeded", ended
        rows = client.get(f"/v1/runs/{run}/artifacts/synthetic.csv")
        assert rows.text.splitlines()[0] == "age,smoker"
        pdf = client.post(f"/v1/runs/{run}/report/pdf")
        assert pdf.content.startswith(b"%PDF")
        assert 'synthloom_runs{status="succeeded"} 1.0' in client.get("/metrics").text
        kept = [path for name in OURS for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert kept == [], "nothing is kept in a container"
    logs = "".join(path.read_text(encoding="utf-8") for path in tmp_path.glob("*.log"))
    assert run in logs
    assert key not in logs
    assert services.environment("web")["SYNTHLOOM_S3_SECRET_ACCESS_KEY"] not in logs
    assert "report service" not in (tmp_path / "web.log").read_text(encoding="utf-8").lower(), "it did not fall back"
