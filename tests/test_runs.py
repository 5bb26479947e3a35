"""The door to runs: uploads of strangers, requests nobody could do, retries, comparisons, PDFs drawn in a child."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthloom.adapters.ledger_memory import MemoryLedger
from synthloom.adapters.memory import MemoryStore
from synthloom.domain.errors import (
    ConflictError,
    InputError,
    ParamsError,
    PrivacyError,
    ResourceError,
    SchemaError,
    SynthloomError,
    TableError,
    TooLargeError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Fallback, never
from synthloom.domain.records import RunError, Settlement
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.domain.schema import ColumnOverride, SchemaOverrides
from synthloom.service.limited import Bounds, call_limited
from synthloom.service.runs import Limits, RunService
from synthloom.service.uploads import clean_filename

REQUEST = RunRequest(method="gaussian_copula", max_attempts=1, thresholds=())


def people(n: int = 80) -> bytes:
    rng = np.random.default_rng(1)
    return pd.DataFrame({
        "age": rng.integers(20, 80, n), "sex": rng.choice(["f", "m"], n), "dose": rng.normal(size=n).round(2),
    }).to_csv(index=False).encode()


def make(**limits) -> RunService:
    return RunService(MemoryLedger(), MemoryStore(), MemoryStore(), Limits(**limits))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A service with a dataset and two finished runs of it."""
    service = make(run_pdf=False)
    dataset = service.upload("local", io.BytesIO(people()), "people.csv")
    runs = []
    for seed in (1, 2):
        run = service.submit("local", dataset.dataset_id, REQUEST.model_copy(update={"seed": seed}), name=f"run {seed}")
        claim = service.ledger.claim("worker", 60)
        settlement = service.execute(claim, tmp_path_factory.mktemp("run"), lambda _: None, never)
        service.ledger.settle(claim.lease, settlement)
        runs.append(run.run_id)
    return service, dataset, runs


def test_an_upload_is_read_and_known_by_its_bytes(shop):
    service, dataset, _ = shop
    assert (dataset.rows, dataset.columns, dataset.media_type, dataset.filename) == (80, 3, "text/csv", "people.csv")
    stored = set(service.datasets.list())
    again = service.upload("local", io.BytesIO(people()), "other.csv")
    assert again.dataset_id == dataset.dataset_id
    assert set(service.datasets.list()) == stored
    assert service.upload("another", io.BytesIO(people()), "people.csv").dataset_id != dataset.dataset_id


@pytest.mark.parametrize(("given", "shown"), [
    ("../../etc/passwd", "passwd"), ("C:\\x\\t.csv", "t.csv"), ("a\x00b\x1b[31m\u202egnp.csv", "ab[31mgnp.csv"),
    ("", "table"), ("..", "table"), ("x" * 500 + ".parquet", "x" * 192 + ".parquet"),
])
def test_a_filename_is_only_ever_shown(given, shown):
    assert clean_filename(given) == shown


def _zip_bomb() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"a,b\n" + b"1,2\n" * 80_000_000)
    return sink.getvalue()


def _parquet_bomb() -> bytes:
    sink = io.BytesIO()
    words = pa.array(["x" * 1000]).take(pa.array(np.zeros(400_000, dtype="int32")))
    pq.write_table(pa.table({"s": words.dictionary_encode(), "t": pa.array(range(400_000))}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("bomb", [
    lambda: b",".join(b"c%d" % i for i in range(1_000_000)) + b"\n1\n2\n", _parquet_bomb,
    lambda: gzip.compress(b"a,b\n" + b"1,2\n" * 80_000_000, 1), _zip_bomb,
    lambda: b"a,b\n" + b"1,2\n" * 200_001,
], ids=["a million columns", "parquet", "gzip", "zip", "cells"])
def test_a_bomb_is_refused_and_nothing_is_kept(bomb):
    service = make(table_cells=400_000)
    with pytest.raises(TooLargeError):
        service.upload("local", io.BytesIO(bomb()), "bomb")
    assert service.datasets.list() == ()
    assert service.ledger.datasets("local") == ()


def test_bytes_beyond_the_limit_are_not_read():
    source = io.BytesIO(b"a,b\n" * 2_000_000)
    with pytest.raises(TooLargeError, match="larger than 1 MB"):
        make(upload_bytes=1 << 20).upload("local", source, "large.csv")
    assert source.tell() <= 2 << 20


def test_what_is_no_table_says_what_to_do():
    with pytest.raises(TableError, match=r"notes\.pdf: PDF files are not read"):
        make().upload("local", io.BytesIO(b"%PDF-1.7 nothing"), "notes.pdf")


def test_inspecting_tells_kinds_and_the_plan(shop):
    service, dataset, _ = shop
    found = service.inspect("local", dataset.dataset_id)
    assert [c["kind"] for c in found["schema"]["columns"]] == ["integer", "category", "decimal"]
    assert found["plan"]["method"] == "gaussian_copula"
    said = SchemaOverrides(columns={"age": ColumnOverride(kind="category")})
    found = service.inspect("local", dataset.dataset_id, said)
    assert found["schema"]["columns"][0]["kind"] == "category"
    with pytest.raises(UnknownNameError):
        service.inspect("another", dataset.dataset_id)


@pytest.mark.parametrize(("request_", "error"), [
    (RunRequest(method="nobody"), UnknownNameError), (RunRequest(method="cart", params={"tree": 1}), ParamsError),
    (RunRequest(params={"no_method_has_this": 1}), ParamsError),
    (RunRequest(method="cart", dp={"epsilon": 1}), PrivacyError),
    (RunRequest(dp={"epsilon": 1, "strict": False}, refinements=("jitter",)), PrivacyError),
    (RunRequest(rows=10**9), TooLargeError),
])
def test_what_no_worker_could_do_is_not_queued(shop, request_, error):
    service, dataset, runs = shop
    with pytest.raises(error):
        service.submit("local", dataset.dataset_id, request_)
    assert len(service.runs("local").runs) >= len(runs)


def test_overrides_of_columns_that_are_not_there_are_refused(shop):
    service, dataset, _ = shop
    for said in (SchemaOverrides(target="nothing"), SchemaOverrides(columns={"nothing": ColumnOverride(drop=True)})):
        with pytest.raises(SchemaError, match="'nothing', which the table does not have"):
            service.submit("local", dataset.dataset_id, REQUEST, overrides=said)


def test_a_run_leaves_its_artifacts_and_report(shop):
    service, dataset, (run_id, _) = shop
    assert service.show("local", run_id).status is RunStatus.SUCCEEDED
    artifact = service.artifact("local", run_id, "synthetic.csv")
    assert b"".join(service.open(artifact)).startswith(b"age,sex,dose")
    assert service.report("local", run_id).meta.data_hash == dataset.sha256
    with pytest.raises(UnknownNameError, match="no artifact"):
        service.artifact("local", run_id, "nothing.csv")
    with pytest.raises(UnknownNameError):
        service.report("another", run_id)


def test_runs_are_compared_side_by_side(shop):
    service, _, runs = shop
    found = service.compare("local", runs)
    assert [r["run_id"] for r in found["runs"]] == runs
    assert all(len(metric["values"]) == 2 for metric in found["metrics"])
    assert {m["key"] for m in found["metrics"]} >= {"utility.ks_mean", "privacy.mia_auc"}
    json.dumps(found)
    for bad in (runs[:1], [runs[0]] * 2, runs * 6):
        with pytest.raises(UsageError):
            service.compare("local", bad)


def test_a_failed_run_is_tried_again_and_any_run_cloned(shop):
    service, dataset, runs = shop
    with pytest.raises(ConflictError, match="succeeded"):
        service.retry("local", runs[0])
    run = service.submit("local", dataset.dataset_id, REQUEST, name="mine", priority=3)
    claim = service.ledger.claim("worker", 60)
    service.ledger.settle(claim.lease, Settlement(status=RunStatus.FAILED, error=RunError(code="fit", what="no.")))
    again = service.retry("local", run.run_id)
    assert (again.request, again.name, again.priority, again.parent) == (REQUEST, "mine", 3, run.run_id)
    copy = service.clone("local", run.run_id, {"seed": 9, "name": "other"})
    assert (copy.request.seed, copy.name, copy.parent) == (9, "other", run.run_id)
    for bad in ({"sed": 1}, {"seed": -1}, {"method": "nobody"}, {"overrides": {"x": 1}}):
        with pytest.raises(UsageError):
            service.clone("local", run.run_id, bad)
    for left in (again, copy):
        assert service.cancel("local", left.run_id).status is RunStatus.CANCELLED
        service.delete_run("local", left.run_id)
    service.delete_run("local", run.run_id)


def test_a_pdf_is_drawn_in_a_child_and_a_service_that_fails_is_told_of(shop):
    service, _, (run_id, _) = shop
    said: list = []
    away = RunService(service.ledger, service.datasets, service.artifacts, report_service="http://127.0.0.1:9")
    assert away.render_pdf("local", run_id, said.append).startswith(b"%PDF-")
    assert isinstance(said[0], Fallback)
    assert said[0].wanted == "report service"


def test_a_report_service_is_asked_first(shop):
    service, _, (run_id, _) = shop
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Authorization"], json.loads(body)["version"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"%PDF-1.7 from afar")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        near = RunService(
            service.ledger, service.datasets, service.artifacts, report_service=address, report_token="a-token",
        )
        assert near.render_pdf("local", run_id) == b"%PDF-1.7 from afar"
    assert asked == [("/v1/report/pdf", "Bearer a-token", 2)]


def test_deleting_forgets_the_bytes():
    service = make()
    dataset = service.upload("local", io.BytesIO(people()), "people.csv")
    service.delete_dataset("local", dataset.dataset_id)
    assert service.datasets.list() == ()
    with pytest.raises(UnknownNameError):
        service.submit("local", dataset.dataset_id, REQUEST)


# calls in a child with limits


def test_a_call_answers_and_raises_what_was_raised():
    assert call_limited("json:loads", {"s": "[1, 2]"}, Bounds()) == [1, 2]
    with pytest.raises(InputError, match="not JSON"):
        call_limited("synthloom.service.tasks:draw_pdf", {"report": os.devnull, "target": os.devnull}, Bounds())
    with pytest.raises(SynthloomError, match=r"unexpected went wrong \(JSONDecodeError\)"):
        call_limited("json:loads", {"s": "secret"}, Bounds())


def test_a_call_that_takes_too_long_is_killed():
    began = time.monotonic()
    with pytest.raises(ResourceError, match=r"longer than 0\.5 s"):
        call_limited("subprocess:call", {"args": ["sleep", "60"]}, Bounds(seconds=0.5))
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.name != "posix", reason="memory is limited through POSIX")
def test_a_call_that_takes_too_much_memory_is_killed():
    with pytest.raises(ResourceError, match="300 MB of memory"):
        call_limited("numpy:ones", {"shape": 2_000_000_000}, Bounds(memory_mb=300))


def test_a_child_knows_no_secrets(monkeypatch):
    monkeypatch.setenv("SYNTHLOOM_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert call_limited("os:getenv", {"key": "SYNTHLOOM_DATABASE_URL"}, Bounds()) is None
    assert call_limited("os:getenv", {"key": "AWS_SECRET_ACCESS_KEY"}, Bounds()) is None
