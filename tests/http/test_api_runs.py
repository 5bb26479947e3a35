"""Runs over HTTP: from an upload to downloads, events, comparison, and what is refused."""

from __future__ import annotations

import hashlib
import json
import threading

from http_for_tests import Server, people

Archive = tuple[Server, list[str]]


def test_a_table_goes_in_and_is_found_again(server: Server) -> None:
    sent = server.client.post("/v1/datasets", files={"file": ("people.csv", people(), "text/csv")})
    assert sent.status_code == 201
    made = sent.json()
    assert (made["filename"], made["rows"], made["columns"]) == ("people.csv", 160, 3)
    assert made["sha256"] == hashlib.sha256(people()).hexdigest()
    assert sent.headers["Location"] == f"/v1/datasets/{made['dataset_id']}"
    assert server.upload()["dataset_id"] == made["dataset_id"], "the same bytes are one dataset"
    assert server.client.get(sent.headers["Location"]).json() == made
    assert server.client.get("/v1/datasets").json() == {"datasets": [made], "next": None}


def test_lists_go_on_where_the_page_before_ended(server: Server) -> None:
    made = [server.store(people(seed=seed)) for seed in range(3)]
    first = server.client.get("/v1/datasets?limit=2")
    assert first.headers["Link"] == f'</v1/datasets?limit=2&after={made[1]}>; rel="next"'
    rest = server.client.get(first.links["next"]["url"])
    assert [d["dataset_id"] for d in first.json()["datasets"] + rest.json()["datasets"]] == made[::-1]
    assert "Link" not in rest.headers
    for seed in range(3):
        server.client.post("/v1/runs", json={"dataset_id": made[0], "method": "cart", "seed": seed})
    page = server.client.get("/v1/runs?limit=2")
    rest = server.client.get(page.links["next"]["url"])
    assert [r["request"]["seed"] for r in page.json()["runs"] + rest.json()["runs"]] == [2, 1, 0]


def test_an_inspection_tells_columns_and_plan(server: Server) -> None:
    dataset = server.store(people())
    found = server.client.post(
        f"/v1/datasets/{dataset}/inspect",
        json={"overrides": {"columns": {"age": {"sensitive": True}}}, "method": "cart"},
    ).json()
    age = found["schema"]["columns"][0]
    assert (age["name"], age["kind"], age["sensitive"]) == ("age", "integer", True)
    assert found["plan"]["method"] == "cart"


def test_a_run_takes_the_servers_defaults_for_what_is_not_said(server: Server) -> None:
    run = server.queue(name="first", seed=3, priority=-1)
    assert (run["status"], run["name"], run["priority"]) == ("queued", "first", -1)
    assert run["request"]["max_attempts"] == 1, "as the settings say"
    assert run["request"]["seed"] == 3
    assert not {"tenant", "worker", "lease_until", "model_key"} & run.keys()


def test_one_idempotency_key_is_one_run(server: Server) -> None:
    dataset = server.store(people())
    answers: list[str] = []

    def post() -> None:
        sent = server.client.post(
            "/v1/runs", json={"dataset_id": dataset, "method": "cart"}, headers={"Idempotency-Key": "k1"}
        )
        answers.append(sent.json()["run_id"])

    threads = [threading.Thread(target=post) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
    assert len(set(answers)) == 1
    other = server.client.post(
        "/v1/runs", json={"dataset_id": dataset, "method": "cart", "seed": 9}, headers={"Idempotency-Key": "k1"}
    )
    assert other.status_code == 409


def test_a_run_that_has_not_changed_is_not_sent_again(server: Server) -> None:
    run_id = server.queue()["run_id"]
    first = server.client.get(f"/v1/runs/{run_id}")
    again = server.client.get(f"/v1/runs/{run_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    cancelled = server.client.post(f"/v1/runs/{run_id}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    changed = server.client.get(f"/v1/runs/{run_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


def test_retry_and_clone_make_new_runs(server: Server) -> None:
    run_id = server.queue(seed=5)["run_id"]
    assert server.client.post(f"/v1/runs/{run_id}/retry").status_code == 409, "it is still queued"
    server.client.post(f"/v1/runs/{run_id}/cancel")
    retried = server.client.post(f"/v1/runs/{run_id}/retry")
    assert retried.status_code == 201
    assert (retried.json()["parent"], retried.json()["request"]["seed"]) == (run_id, 5)
    cloned = server.client.post(f"/v1/runs/{run_id}/clone", json={"changes": {"seed": 6, "method": "cart"}}).json()
    assert (cloned["parent"], cloned["request"]["seed"], cloned["request"]["method"]) == (run_id, 6, "cart")
    for wrong in ({"sede": 6}, {"priority": "first"}, {"name": 7}, {"overrides": {"columns": 3}}):
        assert server.client.post(f"/v1/runs/{run_id}/clone", json={"changes": wrong}).status_code == 422


def test_what_cannot_work_is_refused_at_once(server: Server) -> None:
    dataset = server.store(people())

    def code(**fields: object) -> tuple[int, str]:
        sent = server.client.post("/v1/runs", json={"dataset_id": dataset} | fields)
        assert sent.headers["Content-Type"] == "application/problem+json"
        return sent.status_code, sent.json()["code"]

    assert code(method="nobody") == (404, "unknown_name")
    assert code(method="cart", params={"leef": 3}) == (422, "params")
    assert code(method="cart", dp={"epsilon": 1}) == (422, "privacy")
    assert code(sede=3) == (422, "usage")
    assert code(dataset_id="0" * 32) == (404, "unknown_name")


def test_a_stream_tells_everything_once_and_ends(archive: Archive) -> None:
    server, (run_id, _) = archive
    address = f"/v1/runs/{run_id}/events"
    listed = server.client.get(address).json()
    assert listed["final"]
    numbers = [e["number"] for e in listed["events"]]
    assert numbers == sorted(numbers)
    assert {"step_started", "step_finished"} <= {e["event"]["type"] for e in listed["events"]}
    sent = server.client.get(address, headers={"Accept": "text/event-stream"})
    assert sent.headers["Content-Type"].startswith("text/event-stream")
    messages = read_stream(sent.text)
    assert [int(m["id"]) for m in messages if m["event"] not in ("run", "end")] == numbers
    assert messages[-1] == {"id": f"{numbers[-1]}.end", "event": "end", "data": {"status": "succeeded"}}
    later = server.client.get(address, headers={"Accept": "text/event-stream", "Last-Event-ID": str(numbers[-2])})
    assert [m["id"] for m in read_stream(later.text) if m["event"] != "run"] == [str(numbers[-1]), f"{numbers[-1]}.end"]
    over = server.client.get(address, headers={"Accept": "text/event-stream", "Last-Event-ID": messages[-1]["id"]})
    assert over.status_code == 204, "which tells a browser not to come again"
    odd = server.client.get(address, headers={"Accept": "text/event-stream", "Last-Event-ID": "seven"})
    assert odd.status_code == 422


def read_stream(text: str) -> list[dict[str, object]]:
    messages = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines:
            messages.append({**({"id": lines["id"]} if "id" in lines else {}), "event": lines["event"],
                             "data": json.loads(lines["data"])})
    return messages


def test_a_stream_hears_what_happens_later(server: Server) -> None:
    run_id = server.queue()["run_id"]
    with server.client.stream("GET", f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"}) as stream:
        lines = stream.iter_lines()
        assert any("event: run" in line for line in lines)
        server.client.post(f"/v1/runs/{run_id}/cancel")
        rest = list(lines)
    assert '"status":"cancelled"' in "".join(rest)
    assert "event: end" in rest


def test_downloads_are_whole_or_in_parts(archive: Archive) -> None:
    server, (run_id, _) = archive
    listed = server.client.get(f"/v1/runs/{run_id}/artifacts").json()["artifacts"]
    assert {a["name"] for a in listed} == {
        "synthetic.csv", "synthetic.parquet", "model.synthloom", "report.json", "report.html", "report.pdf",
    }
    for artifact in listed:
        sent = server.client.get(artifact["url"])
        assert hashlib.sha256(sent.content).hexdigest() == artifact["sha256"] == sent.headers["ETag"].strip('"')
        assert len(sent.content) == artifact["size"] == int(sent.headers["Content-Length"])
        disposition = f'attachment; filename="{run_id[:8]}-{artifact["name"]}"'
        assert sent.headers["Content-Disposition"] == disposition
    whole = server.client.get(listed[0]["url"])
    for asked, expected in (("0-9", whole.content[:10]), ("10-", whole.content[10:]), ("-5", whole.content[-5:])):
        part = server.client.get(listed[0]["url"], headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, expected)
    size = listed[0]["size"]
    assert part.headers["Content-Range"] == f"bytes {size - 5}-{size - 1}/{size}"
    beyond = server.client.get(listed[0]["url"], headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    stale = server.client.get(listed[0]["url"], headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, whole.content)
    known = server.client.get(listed[0]["url"], headers={"If-None-Match": whole.headers["ETag"]})
    assert known.status_code == 304
    assert server.client.get(listed[0]["url"] + "?signed=true").status_code == 200, "a folder has no addresses"


def test_a_file_that_the_store_has_lost_is_said_to_be_missing(server: Server) -> None:
    run_id = server.queue()["run_id"]
    server.settle({"synthetic.csv": b"age\n3\n"})
    server.home.service.artifacts.delete(f"{run_id}/synthetic.csv")
    sent = server.client.get(f"/v1/runs/{run_id}/artifacts/synthetic.csv")
    assert (sent.status_code, sent.json()["code"]) == (404, "unknown_name")


def test_a_report_comes_as_json_and_is_drawn_as_pdf(archive: Archive) -> None:
    server, (run_id, _) = archive
    report = server.client.get(f"/v1/runs/{run_id}/report").json()
    assert report["meta"]["model"] == "gaussian_copula"
    drawn = server.client.post(f"/v1/runs/{run_id}/report/pdf")
    assert drawn.headers["Content-Type"] == "application/pdf"
    assert drawn.content.startswith(b"%PDF-")


def test_a_run_that_has_not_ended_has_no_report(server: Server) -> None:
    waiting = server.queue()["run_id"]
    assert server.client.get(f"/v1/runs/{waiting}/report").status_code == 404
    assert server.client.get(f"/v1/runs/{waiting}/artifacts").json() == {"artifacts": []}


def test_runs_stand_side_by_side(archive: Archive) -> None:
    server, (run_id, other) = archive
    found = server.client.get(f"/v1/runs/compare?run={run_id}&run={other}").json()
    assert [r["run_id"] for r in found["runs"]] == [run_id, other]
    assert all(len(metric["values"]) == 2 for metric in found["metrics"])
    assert server.client.get(f"/v1/runs/compare?run={other}").status_code == 422


def test_a_run_is_forgotten_with_what_it_left(server: Server) -> None:
    run_id = server.queue()["run_id"]
    address = f"/v1/runs/{run_id}"
    assert server.client.delete(address).status_code == 409, "it is queued"
    server.settle({"synthetic.csv": b"age\n3\n"})
    assert server.client.get(f"{address}/artifacts/synthetic.csv").content == b"age\n3\n"
    assert server.client.delete(address).status_code == 204
    assert server.client.get(address).status_code == 404
    assert server.home.service.artifacts.list(run_id) == ()


def test_the_rest_of_the_server_answers(server: Server) -> None:
    methods = server.client.get("/v1/methods").json()
    assert {"cart", "gaussian_copula"} <= {m["name"] for m in methods["methods"]}
    assert [m["name"] for m in server.client.get("/v1/methods/gc").json()["methods"]] == ["gaussian_copula"]
    ctgan = next(m for m in methods["methods"] if m["name"] == "ctgan")
    assert [(who["backend"], who["available"]) for who in ctgan["backends"]] == [
        ("synthcity", False), ("native", True), ("sdv", False),
    ]
    others = {(m["backend"], m["name"]): m for m in methods["others"]}
    assert "not installed" in others["synthcity", "adsgan"]["reason"]
    assert "forbids offering it as a service" in others["sdv", "copulagan"]["reason"]  # whether it is installed or not
    assert server.client.get("/v1/methods/synthcity:adsgan").status_code == 501
    assert server.client.get("/v1/methods/sdv:copulagan").status_code == 403
    assert server.client.get("/v1/methods/nobody").status_code == 404
    assert "native" in {b["name"] for b in server.client.get("/v1/backends").json()["backends"]}
    assert server.client.get("/health/live").json()["status"] == "ok"
    assert server.client.get("/health/ready").json()["status"] == "ok"


def test_metrics_count_runs_and_requests_and_name_nobody(server: Server) -> None:
    run_id = server.queue()["run_id"]
    server.client.get(f"/v1/runs/{run_id}")
    text = server.client.get("/metrics").text
    assert 'synthloom_runs{status="queued"} 1.0' in text
    assert "synthloom_oldest_wait_seconds" in text
    assert 'synthloom_request_seconds_count{method="GET",route="/v1/runs/{run_id}",status="200"} 1.0' in text
    assert run_id not in text
    assert "local" not in text
