"""Errors as problem+json (RFC 9457): one shape for our own, the framework's, and those nobody foresaw."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from synthloom.domain.errors import AuthError, StorageUnavailableError, SynthloomError

MEDIA_TYPE = "application/problem+json"

_TITLES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
"""What RFC 9110 calls them; Python's own words for them have changed with its versions."""

_JSON = ("application/json", "+json")


class FieldProblem(BaseModel):
    """What is wrong with one part of a request."""

    model_config = ConfigDict(extra="forbid")

    where: str = Field(description="Part of the request, such as body.seed.")
    what: str


class Problem(BaseModel):
    """Why a request was not done (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="urn:synthloom:problem: and the code.")
    title: str
    status: int
    detail: str = Field(description="What was wrong, and what to do.")
    code: str = Field(description="Stable name of the kind of error.")
    where: str | None = Field(None, description="File, column, row or setting it concerns.")
    do: str | None = Field(None, description="What to do about it.")
    errors: list[FieldProblem] | None = Field(None, description="Each part that does not fit.")


def problem(
    status: int, code: str, what: str, *, where: str | None = None, do: str | None = None,
    errors: list[FieldProblem] | None = None,
) -> Problem:
    """A problem; its title is the status in words."""
    return Problem(
        type=f"urn:synthloom:problem:{code}", title=_TITLES.get(status) or HTTPStatus(status).phrase, status=status,
        detail=" ".join(part for part in (f"{where}: {what}" if where else what, do) if part), code=code, where=where,
        do=do, errors=errors,
    )


def answer(found: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as a response."""
    return JSONResponse(
        found.model_dump(exclude_none=True), found.status, headers=dict(headers or {}), media_type=MEDIA_TYPE,
    )


def problem_response(error: SynthloomError) -> JSONResponse:
    """One of our errors as a response."""
    headers = {}
    if isinstance(error, AuthError):
        headers["WWW-Authenticate"] = 'Bearer realm="synthloom"'
    retry_after = getattr(error, "retry_after", 5 if isinstance(error, StorageUnavailableError) else None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return answer(problem(error.http_status, error.code, error.what, where=error.where, do=error.do), headers)


def unexpected() -> JSONResponse:
    """What is said of an error that nobody foresaw: nothing of its inside."""
    return answer(problem(
        500, "internal", "something unexpected went wrong here.", do="Try again; if it stays, tell the operator.",
    ))


def add_problems(app: FastAPI) -> None:
    """Let `app` answer every error as a problem."""
    app.add_exception_handler(SynthloomError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)


async def _ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, SynthloomError)  # noqa: S101  # starlette chooses the handler by this class
    return problem_response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # as above
    errors = [
        FieldProblem(where=".".join(str(part) for part in found["loc"]), what=str(found["msg"]))
        for found in error.errors()[:20]
    ]
    do = "See the API's description."
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if any(found.where == "body" for found in errors) and kind and not kind.endswith(_JSON):  # as curl --data does
        do = f"Send JSON with the header Content-Type: application/json; this was sent as {kind[:80]}."
    return answer(problem(422, "usage", "the request does not fit.", do=do, errors=errors))


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # as above
    words: dict[int, tuple[str, str]] = {
        400: ("usage", "the request cannot be read."), 404: ("unknown_name", "there is nothing at this address."),
        405: ("method_not_allowed", "this address does not take that method."),
        413: ("too_large", "the request is too large."), 415: ("usage", "this media type is not taken here."),
    }
    code, what = words.get(error.status_code, ("usage", HTTPStatus(error.status_code).phrase))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return answer(problem(error.status_code, code, what), headers)


def _allowed(request: Request) -> list[str]:
    """The methods that some route takes at an address: the framework names those of one route only."""
    def taken(method: str) -> bool:
        scope = dict(request.scope) | {"method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT") if taken(method)]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declarations of problems for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


COMMON = responses(401, 403, 422, 429, 503)
"""What any address of the API may answer."""
