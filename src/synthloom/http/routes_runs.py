"""Runs: create, list, show, cancel, retry, clone, compare, delete, and what happened in them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import StringConstraints

from synthloom.domain.records import RunRecord, StampedEvent
from synthloom.domain.run import RunStatus
from synthloom.http.auth import Caller
from synthloom.http.parts import (
    IdempotencyKey,
    IfNoneMatch,
    Reader,
    Runs,
    Writer,
    home_of,
    in_thread,
    link_next,
    matches,
    note,
)
from synthloom.http.problems import COMMON, responses
from synthloom.http.shapes import ID, Comparison, EventList, PageSize, RunClone, RunCreate, RunId, RunList, RunView
from synthloom.http.sse import EVENT_STREAM, parse_last_id, run_stream

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=COMMON)

_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Unchanged."}}
SomeId = Annotated[str, StringConstraints(pattern=ID)]
_RUN_IDS = Query(min_length=2, max_length=10, description="Two to ten runs.")


@router.post("", status_code=201, responses=responses(400, 404, 409, 501))
def create_run(
    request: Request, response: Response, caller: Writer, service: Runs, body: RunCreate,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Queue a run of a dataset."""
    if body.priority > 0:
        caller.needs("admin")
    made = service.submit(
        caller.tenant, body.dataset_id, body.request(home_of(request).settings), name=body.name,
        overrides=body.overrides, priority=body.priority, reuse_model=body.reuse_model,
        idempotency_key=idempotency_key,
    )
    return _made(request, response, caller, "run.create", made)


def _made(request: Request, response: Response, caller: Caller, action: str, run: RunRecord) -> RunView:
    note(request, caller, action, run.run_id, **({"parent": run.parent} if run.parent else {}))
    request.state.made_run_id = run.run_id  # for the request's line in the log
    response.headers["Location"] = f"/v1/runs/{run.run_id}"
    response.headers["ETag"] = _etag(run)
    return RunView.of(run)


def _etag(run: RunRecord) -> str:
    return f'W/"{run.run_id}-{run.version}"'


@router.get("")
def list_runs(
    request: Request, response: Response, caller: Reader, service: Runs,
    status: Annotated[RunStatus | None, Query(description="Only runs that stand there.")] = None,
    dataset_id: Annotated[str | None, Query(pattern=ID, description="Only runs of this dataset.")] = None,
    limit: PageSize = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> RunList:
    """Runs, newest first."""
    page = service.runs(caller.tenant, status=status, dataset_id=dataset_id, limit=limit, cursor=cursor)
    if page.next:
        link_next(request, response, cursor=page.next)
    return RunList(runs=tuple(RunView.of(run) for run in page.runs), next=page.next)


@router.get("/compare", responses=responses(404, 409))
def compare_runs(caller: Reader, service: Runs, run: Annotated[list[SomeId], _RUN_IDS]) -> Comparison:
    """Measurements and verdicts of two to ten runs side by side."""
    return Comparison.model_validate(service.compare(caller.tenant, run))


@router.get("/{run_id:id}", response_model=RunView, responses={**responses(404), **_NOT_MODIFIED})
def show_run(
    response: Response, run_id: RunId, caller: Reader, service: Runs, if_none_match: IfNoneMatch = None
) -> RunView | Response:
    """One run; its ETag changes whenever it does."""
    run = service.show(caller.tenant, run_id)
    headers = {"ETag": _etag(run), "Cache-Control": "private, no-cache"}
    if matches(if_none_match, _etag(run)):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return RunView.of(run)


@router.delete("/{run_id:id}", status_code=204, responses=responses(404, 409))
def delete_run(request: Request, run_id: RunId, caller: Writer, service: Runs) -> None:
    """Forget a run that has ended, and what it left."""
    service.delete_run(caller.tenant, run_id)
    note(request, caller, "run.delete", run_id)


@router.post("/{run_id:id}/cancel", responses=responses(404))
def cancel_run(request: Request, run_id: RunId, caller: Writer, service: Runs) -> RunView:
    """Ask a run to stop; a queued one is cancelled at once, one that has ended stays as it is."""
    run = service.cancel(caller.tenant, run_id)
    note(request, caller, "run.cancel", run_id)
    return RunView.of(run)


@router.post("/{run_id:id}/retry", status_code=201, responses=responses(404, 409, 501))
def retry_run(
    request: Request, response: Response, run_id: RunId, caller: Writer, service: Runs,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Queue a run that failed or was cancelled once more, as a new run."""
    made = service.retry(caller.tenant, run_id, idempotency_key=idempotency_key)
    return _made(request, response, caller, "run.retry", made)


@router.post("/{run_id:id}/clone", status_code=201, responses=responses(400, 404, 409, 501))
def clone_run(
    request: Request, response: Response, run_id: RunId, caller: Writer, service: Runs, body: RunClone,
    idempotency_key: IdempotencyKey = None,
) -> RunView:
    """Queue a new run with the request of any run, some of its fields changed."""
    if body.changes.priority > 0:
        caller.needs("admin")
    made = service.clone(caller.tenant, run_id, body.changes.said(), idempotency_key=idempotency_key)
    return _made(request, response, caller, "run.clone", made)


@router.get("/{run_id:id}/events", response_model=EventList, responses={
    **responses(404),
    200: {
        "description": "Events, as JSON or as a stream that ends with the run.",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    },
    204: {"description": "Everything has been told: the run has ended, and `Last-Event-ID` is its end."},
})
async def run_events(
    request: Request, run_id: RunId, caller: Reader, service: Runs,
    after: Annotated[int, Query(ge=0, le=2**53, description="Number of the last event known.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most events of a JSON answer.")] = 1000,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Where a stream that broke off goes on."),
    ] = None,
) -> EventList | Response:
    """What happened in a run: as Server-Sent Events, or as JSON when `Accept` is application/json.

    Stream: each event has its number as `id`, its type as `event` and itself as `data`; `event: run` carries the run
    whenever it has changed, and `event: end` comes last.
    """
    if EVENT_STREAM not in request.headers.get("accept", "").lower():
        return await in_thread(_event_list, service, caller.tenant, run_id, after, limit)
    told = parse_last_id(last_event_id)
    return await run_stream(request, service, caller, run_id, told if told is not None else (after, False))


def _event_list(service: Runs, tenant: str, run_id: str, after: int, limit: int) -> EventList:
    run = service.show(tenant, run_id)
    found: tuple[StampedEvent, ...] = service.events(tenant, run_id, after=after, limit=limit)
    return EventList(events=found, final=run.final and len(found) < limit)
