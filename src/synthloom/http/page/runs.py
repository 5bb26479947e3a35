"""Pages of runs: the list, one that goes on, what it left, several side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.budget import budget_text
from synthloom.domain.errors import SynthloomError
from synthloom.domain.records import RunRecord
from synthloom.domain.report import Report
from synthloom.domain.run import RunStatus
from synthloom.http.auth import Caller
from synthloom.http.page.datasets import dataset_names, dataset_of
from synthloom.http.page.door import Doer, Fields, ItemId, PageRoute, Seer, check, go, is_htmx
from synthloom.http.page.live import Live, LiveBook
from synthloom.http.page.look import form_key, method_title, render, span_text, status_words
from synthloom.http.page.params import typed
from synthloom.http.parts import in_child, note, service_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FILE_WORDS = {
    "synthetic.csv": "The rows, spelt as in your table.", "synthetic.parquet": "The rows, with their types.",
    "model.synthloom": "The model; draws more rows. Keep it like the table.",
    "report.json": "Everything measured, for programs.", "report.html": "The report as one file.",
    "report.pdf": "The report to print and sign.",
}
_PATIENCE = 12.0  # seconds that a run may wait before the page asks whether there is a worker
_SAID_STEPS = 10  # of the progress in percent that is said aloud


@router.get("/runs")
def runs(
    request: Request, caller: Seer, status: str = "", dataset: str = "", cursor: str | None = None
) -> Response:
    """Runs, newest first."""
    wanted = next((s for s in RunStatus if s.value == status), None)
    page = service_of(request).runs(
        caller.tenant, status=wanted, dataset_id=dataset or None, limit=50, cursor=cursor or None,
    )
    return render(
        request, "runs.html.j2", caller, found=page.runs, next=page.next,
        names=dataset_names(request, caller, page.runs), wanted=wanted.value if wanted else "",
        statuses=[s.value for s in RunStatus],
        dataset=dataset_of(request, caller, dataset) if dataset else None,
    )


@router.get("/runs/{run_id}")
def run(request: Request, caller: Seer, run_id: ItemId) -> Response:
    """One run."""
    found = service_of(request).show(caller.tenant, run_id)
    return render(request, "run.html.j2", caller, **_body(request, caller, found))


@router.get("/runs/{run_id}/live")
def live(request: Request, caller: Seer, run_id: ItemId) -> Response:
    """What has changed on a run's page; the whole of it once the run has ended."""
    return _news(request, caller, service_of(request).show(caller.tenant, run_id))


def _news(request: Request, caller: Caller, found: RunRecord) -> Response:
    if found.final:
        response = render(request, "run_body.html.j2", caller, swap=True, **_body(request, caller, found))
        response.headers["HX-Retarget"] = "#run"
        response.headers["HX-Reswap"] = "outerHTML"
        return response
    return render(request, "live_part.html.j2", caller, oob=True, **_going(request, found))


@router.post("/runs/{run_id}/cancel")
def cancel(request: Request, caller: Doer, run_id: ItemId, form: Fields) -> Response:
    """Ask a run to stop."""
    check(request, form)
    found = service_of(request).cancel(caller.tenant, run_id)
    note(request, caller, "run.cancel", run_id)
    return _news(request, caller, found) if is_htmx(request) else go(request, f"/runs/{run_id}")


@router.post("/runs/{run_id}/retry")
def retry(request: Request, caller: Doer, run_id: ItemId, form: Fields) -> Response:
    """The same once more."""
    check(request, form)
    once = form.text("once")
    made = service_of(request).retry(caller.tenant, run_id, idempotency_key=f"page-{once}" if once else None)
    note(request, caller, "run.retry", made.run_id, parent=run_id)
    return go(request, f"/runs/{made.run_id}")


@router.post("/runs/{run_id}/delete")
def delete(request: Request, caller: Doer, run_id: ItemId, form: Fields) -> Response:
    """Forget a run and its files."""
    check(request, form)
    service_of(request).delete_run(caller.tenant, run_id)
    note(request, caller, "run.delete", run_id)
    return go(request, "/runs")


@router.post("/runs/{run_id}/pdf")
async def pdf(request: Request, caller: Seer, run_id: ItemId, form: Fields) -> Response:
    """The report as a PDF, drawn now."""
    check(request, form)
    drawn = await in_child(request, service_of(request).render_pdf, caller.tenant, run_id)
    return Response(drawn, media_type="application/pdf", headers={
        "Content-Disposition": f'attachment; filename="{run_id[:8]}-report.pdf"',
    })


@router.get("/runs/{run_id}/evidence")
def evidence(request: Request, caller: Seer, run_id: ItemId) -> Response:
    """A run's charts and measurements."""
    from synthloom.reports.view import view

    report = service_of(request).report(caller.tenant, run_id)
    return render(request, "evidence_part.html.j2", caller, **view(report))


@router.get("/compare")
def compare(request: Request, caller: Seer) -> Response:
    """Two to ten runs side by side."""
    chosen = request.query_params.getlist("run")
    found = service_of(request).compare(caller.tenant, chosen)
    titles = {m["key"]: m["title"] for m in found["metrics"]}
    rows = [m | {"best": _best(m), "better": _better(m)} for m in found["metrics"]]
    order = {"fidelity": 0, "utility": 1, "privacy": 2, "fairness": 3}
    rows.sort(key=lambda m: order.get(m["chapter"], 9))
    return render(
        request, "compare.html.j2", caller, runs=found["runs"], datasets=len({r["dataset_id"] for r in found["runs"]}),
        verdicts=[v | {"title": titles.get(v["key"], v["key"])} for v in found["verdicts"]],
        chapters={chapter: list(group) for chapter, group in groupby(rows, key=lambda m: m["chapter"])},
    )


def _best(metric: dict[str, Any]) -> list[int]:
    """Which values are the better end of a row; none where all are equal, or there is no better."""
    known = [(i, v) for i, v in enumerate(metric["values"]) if v is not None]
    ideal = metric["ideal"]
    if len(known) < 2 or metric["direction"] == "none" or (metric["direction"] == "target" and ideal is None):
        return []
    sign = {"lower": 1.0, "higher": -1.0}.get(metric["direction"])
    costs = [sign * v if sign is not None else abs(v - ideal) for _, v in known]
    return [] if min(costs) == max(costs) else [i for (i, _), c in zip(known, costs, strict=True) if c == min(costs)]


def _better(metric: dict[str, Any]) -> str:
    words = {"lower": "lower is better", "higher": "higher is better", "none": "a fact"}
    return words.get(metric["direction"]) or f"best at {metric['ideal']:g}" if metric["ideal"] is not None else (
        words.get(metric["direction"], "")
    )


# what the page of one run shows


def _body(request: Request, caller: Caller, found: RunRecord) -> dict[str, Any]:
    service = service_of(request)
    dataset = dataset_of(request, caller, found.dataset_id)
    context = _going(request, found) | {
        "dataset": dataset, "title": dataset.filename if dataset else "a table that is gone", "once": form_key(),
        "asked": _asked(found), "report": None, "trouble": "",
    }
    if found.status is RunStatus.SUCCEEDED:
        try:
            report = service.report(caller.tenant, found.run_id)
        except SynthloomError as error:
            context["trouble"] = error.text()
        else:
            context |= _result(request, caller, found, report)
    return context


def _going(request: Request, found: RunRecord) -> dict[str, Any]:
    book: LiveBook = request.app.state.live_book
    state = book.look(service_of(request), found)
    now = datetime.now(UTC)
    waited = (now - max(found.created_at, found.not_before)).total_seconds()
    return {
        "run": found, "live": state, "eta": _eta(state, found, now), "said": _said(state, found),
        "stale": found.status is RunStatus.QUEUED and waited > _PATIENCE,
    }


def _eta(state: Live, found: RunRecord, now: datetime) -> str:
    if found.status is not RunStatus.RUNNING or found.cancel_requested_at is not None:
        return ""
    left = state.left(now)
    if left is None:
        return ""
    grain = 1 if left < 10 else 5 if left < 90 else 30 if left < 5400 else 600
    rounded = max(round(left / grain) * grain, 1)
    return f"about {f'{rounded} s' if rounded < 60 else span_text(rounded)} left ·"


def _said(state: Live, found: RunRecord) -> str:
    """What is read aloud: each step, and every tenth of the whole."""
    if found.status is RunStatus.RUNNING and found.cancel_requested_at is None:
        return f"{state.title}, {int(state.fraction * 100) // _SAID_STEPS * _SAID_STEPS} percent"
    return status_words(found)[1].capitalize()


def _result(request: Request, caller: Caller, found: RunRecord, report: Report) -> dict[str, Any]:
    from synthloom.reports.view import verdict_view

    kept = service_of(request).ledger.artifacts(caller.tenant, found.run_id)
    order = {name: i for i, name in enumerate(ARTIFACT_NAMES)}
    files = [
        {
            "name": (name := PurePosixPath(a.key).name), "size": a.size, "sha256": a.sha256,
            "told": FILE_WORDS.get(name, ""), "href": f"/v1/runs/{found.run_id}/artifacts/{name}",
        }
        for a in kept
    ]
    files.sort(key=lambda f: order.get(str(f["name"]), len(order)))
    return {
        "report": report, "files": files, "has_pdf": any(f["name"] == "report.pdf" for f in files),
        **verdict_view(report),
    }


def _asked(found: RunRecord) -> list[tuple[str, str]]:
    """The request in words."""
    asked = found.request
    rows = [
        ("Method", method_title(asked.method)), ("Backend", asked.backend), ("Privacy level", asked.privacy),
        ("Rows", f"{asked.rows:,}" if asked.rows else "as many as the table"), ("Seed", str(asked.seed)),
        ("Time budget", budget_text(asked.budget) if asked.budget else "no limit"),
        ("Attempts", f"at most {asked.max_attempts}"),
    ]
    if asked.dp is not None:
        strict = "or fail" if asked.dp.strict else "if possible"
        rows.append(("Differential privacy", f"ε = {asked.dp.epsilon:g}, {strict}"))
    rows += [(name.replace("_", " ").capitalize(), typed(value)) for name, value in asked.params.items()]
    if asked.refinements:
        rows.append(("Refinements", ", ".join(asked.refinements).replace("_", " ")))
    said = found.overrides
    if said is not None:
        if said.target:
            rows.append(("Target", said.target))
        if said.survival:
            rows.append(("Survival", f"{said.survival.time}, {said.survival.event}"))
        if said.sequence:
            rows.append(("Sequences", ", in order of ".join(filter(None, (said.sequence.key, said.sequence.order)))))
        dropped = [name for name, c in said.columns.items() if c.drop]
        if dropped:
            rows.append(("Left out", ", ".join(dropped)))
        kinds = [f"{name} as {c.kind}" for name, c in said.columns.items() if c.kind is not None]
        if kinds:
            rows.append(("Changed kinds", ", ".join(kinds)))
    return rows
