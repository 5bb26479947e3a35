"""Every error is a problem of one shape, and tells nothing of the server's inside."""

from __future__ import annotations

import logging

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
    assert server.client.put("/v1/runs").headers["Allow"] == "GET, POST"


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
