"""Every error is a problem of one shape, and tells nothing of the server's inside."""

from __future__ import annotations

import logging
import time

import pytest
from http_for_tests import Server

from synthloom.domain.errors import StorageUnavailableError


def test_errors_of_the_framework_have_the_one_shape(server: Server) -> None:
    for method, address, status, code in (
        ("GET", "/v1/nothing", 404, "unknown_name"), ("PUT", "/v1/runs", 405, "method_not_allowed"),
        ("GET", "/v1/runs?limit=none", 422, "usage"), ("POST", "/v1/runs", 422, "usage"),
    ):
        sent = server.client.request(method, address)
        found = sent.json()
        assert sent.headers["Content-Type"] == "application/problem+json"
        assert (sent.status_code, found["status"], found["code"]) == (status, status, code)
        assert found["type"] == f"urn:synthloom:problem:{code}"
    assert server.client.put("/v1/runs").headers["Allow"] == "GET, HEAD, POST"
    assert server.client.put("/v1/runs").json()["title"] == "Method Not Allowed"
    assert server.client.get("/v1/runs?limit=none").json()["title"] == "Unprocessable Content"


def test_a_body_that_is_not_said_to_be_json_is_told_how_to_be(server: Server) -> None:
    sent = server.client.post(
        "/v1/runs", content=b"dataset_id=secret-cell", headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert sent.status_code == 422
    assert "Content-Type: application/json" in sent.json()["do"]
    assert "secret-cell" not in sent.text


def test_a_part_that_does_not_fit_is_named_but_not_repeated(server: Server) -> None:
    sent = server.client.post("/v1/runs", json={"dataset_id": "0" * 32, "seed": "secret-cell"})
    assert sent.json()["errors"][0]["where"] == "body.seed"
    assert "secret-cell" not in sent.text


def test_what_nobody_foresaw_shows_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cell = "-".join(("secret", "cell"))

    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError(f"could not convert string to float: {cell!r}")

    monkeypatch.setattr(server.home.service, "show", break_down)
    with caplog.at_level(logging.INFO, logger="synthloom.http"):
        sent = server.client.get("/v1/runs/" + "0" * 32)
    assert (sent.status_code, sent.json()["code"]) == (500, "internal")
    assert "secret-cell" not in sent.text
    failure = next(r for r in caplog.records if r.getMessage() == "unexpected error")
    assert "break_down" in failure.__dict__["trace"]
    assert "secret-cell" not in failure.__dict__["trace"]
    assert failure.__dict__["request_id"] == sent.headers["X-Request-Id"]


def test_a_database_that_is_away_says_try_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StorageUnavailableError("the database cannot be reached.")

    monkeypatch.setattr(server.home.service, "show", away)
    sent = server.client.get("/v1/runs/" + "0" * 32)
    assert (sent.status_code, sent.headers["Retry-After"]) == (503, "5")
    monkeypatch.setattr(server.home.ledger, "counts", away)
    assert server.client.get("/health/ready").status_code == 503
    assert server.client.get("/health/live").status_code == 200


def test_the_log_tells_requests_by_their_route(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    run_id = server.queue()["run_id"]
    with caplog.at_level(logging.INFO, logger="synthloom.http"):
        server.client.get(f"/v1/runs/{run_id}?limit=secret")
    line = next(r.__dict__ for r in caplog.records if r.getMessage() == "request")
    assert (line["route"], line["status"], line["run_id"]) == ("/v1/runs/{run_id}", 200, run_id)
    assert not any("secret" in str(value) for value in line.values())


def test_the_line_of_a_request_that_makes_a_run_names_it(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="synthloom.http"):
        first = server.queue()["run_id"]
        second = server.client.post(f"/v1/runs/{first}/clone", json={"changes": {"seed": 3}}).json()["run_id"]
    made = [r.__dict__ for r in caplog.records if r.__dict__.get("route", "").startswith("/v1/runs")]
    assert [line["run_id"] for line in made] == [first, first]
    assert made[1]["made"] == second


def test_head_is_answered_as_get_without_the_body(server: Server, archive: tuple[Server, list[str]]) -> None:
    full, (run_id, _) = archive
    file = f"/v1/runs/{run_id}/artifacts/synthetic.csv"
    for address in ("/health/live", "/", "/v1/runs", f"/v1/runs/{run_id}", file):
        got, told = full.client.get(address), full.client.head(address)
        assert (told.status_code, told.content) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Content-Security-Policy"):
            assert told.headers.get(name) == got.headers.get(name), (address, name)
    stream = full.client.head(f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"})
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    until = time.monotonic() + 10
    while full.app.state.streams and time.monotonic() < until:  # the answer is out before the stream behind it is shut
        time.sleep(0.01)
    assert full.app.state.streams == {}
    missing = server.client.head("/v1/runs/" + "0" * 32)
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")
    assert server.client.head(f"/v1/runs/{'0' * 32}/cancel").status_code == 405
