"""What the routes share: the home behind the server, blocking work in threads, audit entries, ETags, pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast
from urllib.parse import urlencode

import anyio.to_thread
from fastapi import Depends, Header
from starlette.requests import Request
from starlette.responses import Response

from synthloom.http.auth import Caller, require
from synthloom.service.runs import RunService

if TYPE_CHECKING:
    from synthloom.wiring import ServerHome

T = TypeVar("T")

Reader = Annotated[Caller, Depends(require("read"))]
Writer = Annotated[Caller, Depends(require("write"))]
Admin = Annotated[Caller, Depends(require("admin"))]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$",
        description="Chosen by the client; the same key again gives the run that was made the first time.",
    ),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="ETag the client has.")]


def home_of(request: Request) -> ServerHome:
    """What stands behind the server."""
    return cast("ServerHome", request.app.state.home)


def service_of(request: Request) -> RunService:
    """The door to runs."""
    return home_of(request).service


async def _service(request: Request) -> RunService:
    return service_of(request)  # nothing here blocks, and a plain function would cost a thread each time


Runs = Annotated[RunService, Depends(_service)]


async def in_child(request: Request, work: Callable[..., T], *arguments: Any) -> T:
    """Do blocking work that starts a child process, in a thread; only a few at once, the others wait."""
    return await anyio.to_thread.run_sync(lambda: work(*arguments), limiter=request.app.state.children)


async def in_thread(work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Do blocking work in a thread."""
    return await anyio.to_thread.run_sync(lambda: work(*arguments, **named))


def note(request: Request, caller: Caller, action: str, target: str, **detail: Any) -> None:
    """Write what a caller did into the audit log."""
    home_of(request).access.note(caller.tenant, caller.actor, action, target, detail)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has what `etag` names (weak comparison)."""
    if if_none_match is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def link_next(request: Request, response: Response, **changes: Any) -> None:
    """Name the next page in a Link header."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name not in changes]
    query = urlencode([*given, *changes.items()])
    response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
