"""The page, added to the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Path
from starlette.responses import Response

from synthloom.domain.errors import UnknownNameError
from synthloom.http.page import datasets, keys, runs
from synthloom.http.page.assets import TYPES, assets
from synthloom.http.page.live import LiveBook

if TYPE_CHECKING:
    from synthloom.wiring import ServerHome

UPLOAD_PATHS = frozenset({datasets.UPLOAD_PATH})
"""Where the page takes tables: bodies may be large there."""

router = APIRouter(include_in_schema=False)


def add_page(app: FastAPI, home: ServerHome) -> None:  # noqa: ARG001  # routes find it behind the application
    """Add the page's routes: everything that is not `/v1`, `/health` and `/metrics`."""
    app.state.live_book = LiveBook()
    for routes in (router, datasets.router, runs.router, keys.router):
        app.include_router(routes)


@router.get("/static/{name}")
def static(name: str = Path(max_length=60)) -> Response:
    """A style sheet, a script, a picture. Their addresses change with their content, so browsers may keep them."""
    content = assets().get(name)
    if content is None:
        raise UnknownNameError("there is nothing at this address.")
    kind = TYPES[name[name.rindex("."):]]
    return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"})
