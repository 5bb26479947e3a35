"""The application: routes, access, limits, errors, one description of it all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from synthloom.http import routes_access, routes_artifacts, routes_datasets, routes_runs, routes_server
from synthloom.http.auth import Gate
from synthloom.http.frame import Frame, Heads, LoopbackOnly
from synthloom.http.limits import BodyLimit
from synthloom.http.metrics import Metrics
from synthloom.http.page.routes import UPLOAD_PATHS, add_page
from synthloom.http.problems import Problem, add_problems

if TYPE_CHECKING:
    from synthloom.wiring import ServerHome

_PLAIN_BYTES = 4 << 20  # a schema of many columns is the largest thing sent that is no table
_ENVELOPE_BYTES = 64 << 10  # what a form adds to its file
_CHILDREN = 4  # uploads, inspections and PDFs at once; each is a process

ROUTERS = tuple(
    routes.router for routes in (routes_datasets, routes_runs, routes_artifacts, routes_access, routes_server)
)
"""The API; the page comes beside it."""

_ABOUT = "A synthetic twin of a table, the model that made it, and the evidence that lets somebody else trust it."


def create_app(home: ServerHome) -> FastAPI:
    """The application on what `wiring.server_home` made.

    Raises:
        UsageError: the settings of access contradict themselves.
    """
    app = FastAPI(
        title="Synthloom", description=_ABOUT, docs_url=None, redoc_url=None, redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.home = home
    app.state.gate = Gate(home.settings, home.access)
    app.state.metrics = Metrics()
    app.state.children = anyio.CapacityLimiter(_CHILDREN)
    app.state.streams = Counter()
    app.state.stopping = False
    add_problems(app)
    for routes in ROUTERS:
        app.include_router(routes)
    add_page(app, home)
    app.add_middleware(
        BodyLimit, plain=_PLAIN_BYTES, uploads=(home.settings.upload_mb << 20) + _ENVELOPE_BYTES,
        upload_paths=frozenset({"/v1/datasets"}) | UPLOAD_PATHS,
    )
    if app.state.gate.open:
        app.add_middleware(LoopbackOnly)
    app.add_middleware(Heads)
    app.add_middleware(Frame, metrics=app.state.metrics)  # added last: outermost
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]  # FastAPI's own way to say more
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """OpenAPI with the shape of problems and the ways to say who one is."""
    if app.openapi_schema:
        return app.openapi_schema
    from importlib.metadata import version

    schema = get_openapi(title=app.title, version=version("synthloom"), description=_ABOUT, routes=app.routes)
    parts = schema.setdefault("components", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts.setdefault("schemas", {}).update(problem.pop("$defs", {}) | {"Problem": problem})
    parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a token."}}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if not path.startswith("/health"):
                operation["security"] = [{"bearer": []}]
    app.openapi_schema = schema
    return schema
