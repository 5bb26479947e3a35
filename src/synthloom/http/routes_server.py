"""What there is, and how the server fares: methods, backends, health, metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from synthloom.domain.errors import StorageUnavailableError, SynthloomError
from synthloom.http.auth import Caller, require
from synthloom.http.metrics import METRICS_TYPE
from synthloom.http.parts import Reader, home_of, service_of
from synthloom.http.problems import COMMON, responses
from synthloom.http.shapes import BackendList, Health, MethodList
from synthloom.service.catalog import all_methods, backend_list

router = APIRouter()

MethodName = Annotated[str, Path(max_length=100, description="Name or alias.")]


@router.get("/v1/methods", tags=["methods"], responses=COMMON)
def list_methods(request: Request, _caller: Reader) -> MethodList:
    """The methods, ours and backends', with their parameters, who makes them, and why one cannot be used here."""
    return MethodList.model_validate(all_methods(service_of(request).backends))


@router.get("/v1/methods/{name}", tags=["methods"], responses={**COMMON, **responses(404, 501, 502)})
def show_method(request: Request, _caller: Reader, name: MethodName) -> MethodList:
    """One method, by its name or an alias, or by backend and name: `synthcity:adsgan`."""
    return MethodList.model_validate(all_methods(service_of(request).backends, name))


@router.get("/v1/backends", tags=["methods"], responses=COMMON)
def list_backends(request: Request, _caller: Reader) -> BackendList:
    """The backends, in the order in which `auto` looks through them."""
    return BackendList(backends=tuple(backend_list(service_of(request).backends)))


@router.get("/health/live", tags=["server"])
async def health_live() -> Health:
    """Whether the server answers at all."""
    return _health()


@router.get("/health/ready", tags=["server"], responses=responses(503))
def health_ready(request: Request) -> Health:
    """Whether the database and the store can be reached."""
    service = service_of(request)
    try:
        service.ledger.counts()
        service.artifacts.exists("health/probe")
    except SynthloomError as error:
        raise StorageUnavailableError("the database or the store cannot be reached.", do="Try again later.") from error
    return _health()


def _health() -> Health:
    import synthloom

    return Health(version=synthloom.__version__)


@router.get("/metrics", tags=["server"], response_class=Response, response_model=None, responses={
    200: {"description": "Prometheus' text form.", "content": {METRICS_TYPE: {"schema": {"type": "string"}}}},
    **COMMON,
})
def show_metrics(request: Request, _caller: Annotated[Caller, Depends(require("metrics"))]) -> Response:
    """Runs by status, the oldest wait, requests and their latency. Nothing of any tenant."""
    return Response(request.app.state.metrics.text(home_of(request).ledger), media_type=METRICS_TYPE)
