"""A small server that draws PDFs, for servers that should not: report.json in, report.pdf out. It keeps nothing."""

from __future__ import annotations

import hmac
from typing import Any

import anyio
from fastapi import FastAPI, Request
from starlette.responses import Response

from synthloom.domain.errors import AuthError
from synthloom.http.frame import Frame, Heads, LoopbackOnly
from synthloom.http.limits import BodyLimit
from synthloom.http.metrics import Metrics
from synthloom.http.parts import in_child
from synthloom.http.problems import add_problems, responses
from synthloom.service.limited import Bounds
from synthloom.service.pdf import ROUTE, local_pdf
from synthloom.settings import Settings

_REPORT_BYTES = 64 << 20
_CHILDREN = 2

_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}


def create_report_app(settings: Settings) -> FastAPI:
    """The application.

    Args:
        settings: The token that callers must show, and what drawing may use.
    """
    app = FastAPI(title="Synthloom report service", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.children = anyio.CapacityLimiter(_CHILDREN)
    app.state.stopping = False
    add_problems(app)
    bounds = Bounds(settings.read_memory_mb, settings.read_seconds)
    token = settings.report_token.get_secret_value() if settings.report_token else None

    @app.get("/health/live")
    def health_live() -> dict[str, str]:
        """Whether the server answers at all."""
        return {"status": "ok"}

    @app.post(ROUTE, response_class=Response, response_model=None, openapi_extra=_BODY, responses={
        **responses(401, 413, 422, 501), 200: {"description": "The PDF.", "content": {"application/pdf": {}}},
    })
    async def draw(request: Request) -> Response:
        """Draw a report.json as a PDF, in a child with limits on memory and time."""
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token is not None and not hmac.compare_digest(shown.encode(), token.encode()):
            raise AuthError("the token is not the one that is set here.", do="Set SYNTHLOOM_REPORT_TOKEN in both.")
        drawn = await in_child(request, local_pdf, await request.body(), bounds)
        return Response(drawn, media_type="application/pdf")

    app.add_middleware(BodyLimit, plain=_REPORT_BYTES, uploads=_REPORT_BYTES, upload_paths=frozenset())
    if token is None:
        app.add_middleware(LoopbackOnly)
    app.add_middleware(Heads)
    app.add_middleware(Frame, metrics=Metrics())
    return app
