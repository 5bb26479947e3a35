"""What the page's routes share: who sees it, what a form sent, errors as pages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import parse_qs, quote

from fastapi import Depends, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse, Response

from synthloom.domain.errors import AuthError, SynthloomError, TooLargeError, UnknownNameError, UsageError
from synthloom.http.auth import CSRF_FIELD, CSRF_HEADER, Caller, Scope, check_form, current_caller
from synthloom.http.page.forms import RunForm
from synthloom.http.page.look import error_page

_MOST_FIELDS = 200_000

ItemId = Annotated[str, Path(pattern="^[0-9a-f]{8,64}$")]


class PageRoute(APIRoute):
    """A route that answers errors as pages, and sends those who are not known to the login."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with errors turned into pages."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except AuthError:
                return to_login(request)
            except RequestValidationError:
                return error_page(request, UnknownNameError("there is nothing at this address."), known(request))
            except SynthloomError as error:
                if is_htmx(request) or isinstance(error, TooLargeError):
                    raise  # as problem+json, which the page's script tells
                return error_page(request, error, known(request))

        return handled


def is_htmx(request: Request) -> bool:
    """Whether a script on the page asks, and not the browser itself."""
    return request.headers.get("hx-request") == "true"


def known(request: Request) -> Caller | None:
    """Who is asking, if that has been found out."""
    found: Caller | None = getattr(request.state, "caller", None)
    return found


def to_login(request: Request) -> Response:
    """The way to the login, and back afterwards."""
    back = request.url.path if request.method == "GET" and not is_htmx(request) else "/"
    return go(request, f"/login?next={quote(back)}")


def go(request: Request, where: str) -> Response:
    """Another page, for browsers and for htmx."""
    if is_htmx(request):
        return Response(status_code=204, headers={"HX-Redirect": where})
    return RedirectResponse(where, 303)


def _may(scope: Scope) -> Callable[[Request], Caller]:
    def dependency(request: Request) -> Caller:
        caller = current_caller(request)
        caller.needs(scope)
        return caller

    return dependency


Seer = Annotated[Caller, Depends(_may("read"))]
Doer = Annotated[Caller, Depends(_may("write"))]
Keeper = Annotated[Caller, Depends(_may("admin"))]


async def _fields(request: Request) -> RunForm:
    """The fields of a form that holds no file."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise UsageError("the page's forms are not sent like that.", do="Use the page, or /v1 for programs.")
    try:
        text = (await request.body()).decode()
        found = parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise UsageError("the form cannot be read.", do="Load the page again and repeat it.") from None
    return RunForm(found)


Fields = Annotated[RunForm, Depends(_fields)]


def check(request: Request, form: RunForm) -> None:
    """Refuse a form that another site sent, or that lacks its token (ForbiddenError)."""
    check_form(request, form.text(CSRF_FIELD) or request.headers.get(CSRF_HEADER))
