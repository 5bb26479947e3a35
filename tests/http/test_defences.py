"""What strangers may send is refused, or made harmless."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pypdf
import pytest
from http_for_tests import Server, make_home, open_server, people

import synthloom
from synthloom.domain.errors import ModelFileError
from synthloom.reports import render

SCRIPT, IMAGE, FORMULA = "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', '=HYPERLINK("http://evil.test")'
LABELS = ("=1+1", "+cmd|' /C calc'!A0", "@SUM(1)", "<b>plain</b>")


def refused(server: Server, content: bytes, name: str, kind: str = "application/octet-stream") -> tuple[int, str]:
    sent = server.client.post(f"/v1/datasets?filename={name}", content=content, headers={"Content-Type": kind})
    assert sent.headers["Content-Type"] == "application/problem+json"
    assert server.home.ledger.datasets("local") == ()
    assert server.home.service.datasets.list() == ()
    return sent.status_code, sent.json()["code"]


# bombs


def test_a_zip_that_unpacks_into_more_than_is_taken(server: Server) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, \
            archive.open("table.csv", "w") as member:
        for _ in range(300):
            member.write(b"0,0\n" * (1 << 18))
    assert len(body.getvalue()) < 4 << 20
    assert refused(server, body.getvalue(), "table.zip") == (413, "too_large")


def test_a_gzip_that_unpacks_into_more_than_is_taken(server: Server) -> None:
    member = gzip.compress(b"0,0\n" * (1 << 20), compresslevel=1)
    assert refused(server, member * 75, "table.csv.gz") == (413, "too_large")


def test_a_parquet_file_that_says_it_is_small(server: Server) -> None:
    cell = "x" * 500_000
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, dtype=np.int32)), pa.array([cell]))
    body = io.BytesIO()
    pq.write_table(pa.table({"a": column.cast(pa.dictionary(pa.int32(), pa.string()))}), body, compression="zstd")
    assert len(body.getvalue()) < 1 << 20
    assert refused(server, body.getvalue(), "table.parquet") == (413, "too_large")


def test_a_million_columns(server: Server) -> None:
    names = ",".join(f"c{k}" for k in range(1_000_000)).encode()
    status, code = refused(server, names + b"\n" + b"," * 999_999 + b"\n" + b"," * 999_999 + b"\n", "wide.csv")
    assert status in (413, 422)
    assert code in ("too_large", "table")


def test_more_bytes_than_are_taken_end_where_they_are_counted(tmp_path: Path) -> None:
    home = make_home(tmp_path, upload_mb=1)
    server = open_server(home)
    sent_pieces = 0

    def pieces() -> Iterator[bytes]:  # without a Content-Length
        nonlocal sent_pieces
        for _ in range(64):
            sent_pieces += 1
            yield b"1,2\n" * (1 << 14)

    try:
        assert refused(server, b"1,2\n" * (1 << 19), "large.csv", "text/csv") == (413, "too_large")
        chunked = server.client.post("/v1/datasets", content=pieces(), headers={"Content-Type": "text/csv"})
        assert (chunked.status_code, chunked.json()["code"]) == (413, "too_large")
        form = server.client.post("/v1/datasets", files={"file": ("x.csv", b"1,2\n" * (1 << 19), "text/csv")})
        assert form.status_code == 413
        plain = server.client.post("/v1/runs", content=b" " * (5 << 20), headers={"Content-Type": "application/json"})
        assert plain.status_code == 413
    finally:
        server.close()
        home.close()


def test_what_is_no_table_is_not_taken(server: Server) -> None:
    assert refused(server, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 40, "x.csv")[0] == 422
    assert refused(server, pickle.dumps({"a": [1, 2]}), "x.parquet")[0] == 422
    sent = server.client.post("/v1/datasets", content=people(), headers={"Content-Type": "application/x-evil"})
    assert sent.status_code == 415


# paths


def test_a_files_name_is_never_a_path(server: Server) -> None:
    for seed, name in enumerate(("../../etc/passwd", "..\\..\\evil.csv", "x\x00.csv")):
        sent = server.client.post(
            "/v1/datasets", params={"filename": name}, content=people(seed=seed), headers={"Content-Type": "text/csv"}
        )
        assert sent.json()["filename"] == ("passwd", "evil.csv", "x.csv")[seed]
    home = Path(str(server.home.settings.home))
    inside = [path for path in home.rglob("*") if path.is_file()]
    assert not any("passwd" in path.name or "evil" in path.name for path in inside)
    assert not any(path.is_file() for path in home.parent.iterdir())


@pytest.mark.parametrize("address", [
    "/v1/runs/..%2f..%2fetc%2fpasswd", "/v1/runs/%2e%2e", "/v1/datasets/..%5c..",
    "/v1/runs/{run}/artifacts/..%2f..%2fx", "/v1/runs/{run}/artifacts/%2e%2e%2fsynthetic.csv",
    "/v1/runs/{run}/artifacts/%00", "/v1/runs/{run}/artifacts/C:%5cx",
    "/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py", "/v1/runs/{run}%00",
])
def test_an_address_leads_nowhere_else(archive: tuple[Server, list[str]], address: str) -> None:
    server, (run_id, _) = archive
    sent = server.client.get(address.replace("{run}", run_id))
    assert sent.status_code in (404, 422)
    assert "passwd" not in sent.text


# what stands in tables


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A run of a table that means ill, done."""
    folder = tmp_path_factory.mktemp("hostile")
    home = make_home(folder)
    server = open_server(home)
    rng = np.random.default_rng(1)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([SCRIPT, IMAGE, FORMULA, "age"])
    for k in range(160):
        writer.writerow([LABELS[k % 4], LABELS[(k + k // 4) % 4], f"{rng.normal():.2f}", rng.integers(18, 90)])
    try:
        dataset = server.client.post(
            "/v1/datasets", files={"file": ("<img src=x onerror=alert(2)>.csv", text.getvalue().encode(), "text/csv")}
        ).json()["dataset_id"]
        body = {"dataset_id": dataset, "method": "gaussian_copula", "name": "<i onclick=alert(3)>name</i>"}
        run_id = server.client.post("/v1/runs", json=body).json()["run_id"]
        server.work(folder / "work")
        yield server, run_id
    finally:
        server.close()
        home.close()


def test_formulas_are_words_in_a_spreadsheet(hostile: tuple[Server, str]) -> None:
    server, run_id = hostile
    text = server.client.get(f"/v1/runs/{run_id}/artifacts/synthetic.csv").text
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 161
    assert not [cell for row in rows for cell in (*row[:2], rows[0][2]) if cell[:1] in "=+@\t\r"]
    raw = pq.read_table(io.BytesIO(server.client.get(f"/v1/runs/{run_id}/artifacts/synthetic.parquet").content))
    assert set(raw.column(0).to_pylist()) <= set(LABELS), "Parquet holds them as they were"


def test_html_in_names_and_labels_is_text_everywhere(hostile: tuple[Server, str]) -> None:
    server, run_id = hostile
    dataset = server.client.get(f"/v1/runs/{run_id}").json()["dataset_id"]
    pages = [
        f"/v1/runs/{run_id}/artifacts/report.html?inline=true", "/", f"/runs/{run_id}", f"/datasets/{dataset}", "/runs",
        "/datasets",
    ]
    shown = ""
    for address in pages:
        sent = server.client.get(address, headers={"Accept": "text/html"})
        shown += sent.text
        for harm in ("<script>alert", "<img src=x", "<b>plain", "<i onclick"):
            assert harm not in sent.text, address
        assert not re.search(r"<[^>]*\son(error|click|load)=", sent.text), address
    assert "&lt;script&gt;alert(1)" in shown
    for address in (f"/v1/runs/{run_id}", f"/v1/runs/{run_id}/report", f"/v1/datasets/{dataset}"):
        kind = server.client.get(address).headers["Content-Type"]
        assert kind == "application/json", "no browser takes it for a page"


def test_a_pdf_of_such_a_run_holds_text(hostile: tuple[Server, str]) -> None:
    server, run_id = hostile
    drawn = pypdf.PdfReader(io.BytesIO(server.client.post(f"/v1/runs/{run_id}/report/pdf").content))
    words = "".join(page.extract_text() for page in drawn.pages)
    assert "alert(1)" in words
    assert not drawn.attachments


# model files


class Harm:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_model_file_with_a_pickle_is_refused(hostile: tuple[Server, str], tmp_path: Path) -> None:
    server, run_id = hostile
    model = server.client.get(f"/v1/runs/{run_id}/artifacts/model.synthloom").content
    assert synthloom.load(model).schema.names[0] == SCRIPT
    harm = pickle.dumps(Harm(tmp_path / "harm"))
    added = io.BytesIO(model)
    with zipfile.ZipFile(added, "a") as archive:
        archive.writestr("weights.pkl", harm)
    for content in (added.getvalue(), harm):
        with pytest.raises(ModelFileError):
            synthloom.load(content)
    assert not (tmp_path / "harm").exists()


# what a PDF may fetch


def test_a_pdf_fetches_neither_files_nor_addresses(
    hostile: tuple[Server, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import socket

    server, run_id = hostile
    report = render.from_json(server.client.get(f"/v1/runs/{run_id}/artifacts/report.json").content)
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret words")
    asked: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.1)
    stop = threading.Event()

    def listen() -> None:
        while not stop.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            asked.append(connection.recv(100))
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/x.png"
    monkeypatch.setattr(render, "to_html", lambda _report: f"""<html lang="en"><head><title>t</title>
        <link rel="attachment" href="{secret.as_uri()}"><link rel="stylesheet" href="{address}"></head><body>
        <img alt="a" src="{secret.as_uri()}"><img alt="b" src="{address}"><object data="{secret.as_uri()}"></object>
        <a rel="attachment" href="{secret.as_uri()}">words</a></body></html>""")
    try:
        drawn = render.to_pdf(report)
    finally:
        stop.set()
        thread.join()
        listening.close()
    reader = pypdf.PdfReader(io.BytesIO(drawn))
    assert asked == []
    assert not reader.attachments
    assert "secret words" not in "".join(page.extract_text() for page in reader.pages)


def test_a_report_that_is_none_is_not_drawn(server: Server) -> None:
    run_id = server.queue()["run_id"]
    server.settle({"report.json": json.dumps({"version": 2, "html": "<link href=file:///etc/passwd>"}).encode()})
    sent = server.client.post(f"/v1/runs/{run_id}/report/pdf")
    assert (sent.status_code, sent.json()["code"]) == (422, "input")
