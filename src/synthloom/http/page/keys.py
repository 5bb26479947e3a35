"""Pages of access: log in with a key, and look after keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from synthloom.domain.errors import AuthError, ForbiddenError, ParamsError, RateLimitError
from synthloom.http.auth import SCOPES, Caller, create_key, gate_of, log_in, log_out
from synthloom.http.page.door import Fields, ItemId, Keeper, PageRoute, check, go
from synthloom.http.page.forms import RunForm
from synthloom.http.page.look import render
from synthloom.http.page.params import read_number
from synthloom.http.parts import home_of, note

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SCOPE_WORDS = {
    "read": "See datasets, runs and reports, and download.", "write": "Upload, run, cancel, delete.",
    "admin": "Make and revoke keys, read the audit log.", "metrics": "Read /metrics.",
}
_MOST_DAYS = 3650


@router.get("/login")
def login_page(request: Request, next: str = "/") -> Response:
    """Ask for a key."""
    if gate_of(request).open:
        return go(request, "/")
    return render(request, "login.html.j2", next=_local(next), error="")


@router.post("/login")
def login(request: Request, form: Fields) -> Response:
    """Open a session."""
    back = _local(form.text("next"))
    response = go(request, back)
    try:
        check(request, form)
        log_in(request, response, form.text("key"))
    except ForbiddenError as error:
        told = f"{error.what} Send it again.".capitalize()
        return render(request, "login.html.j2", status=403, next=back, error=told)
    except RateLimitError as error:
        return render(request, "login.html.j2", status=429, next=back, error=error.text().capitalize())
    except AuthError:
        told = "This key is not valid. It may be mistyped, expired or revoked."
        return render(request, "login.html.j2", status=401, next=back, error=told)
    return response


@router.post("/logout")
def logout(request: Request, form: Fields) -> Response:
    """Close the session."""
    check(request, form)
    response = go(request, "/login")
    log_out(response)
    return response


def _local(path: str) -> str:
    """A path of this server; anything else is the start page."""
    fine = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if fine else "/"


@router.get("/keys")
def keys(request: Request, caller: Keeper) -> Response:
    """The tenant's keys."""
    return _keys(request, caller, RunForm({"scopes": ["read", "write"]}))


@router.post("/keys")
def make(request: Request, caller: Keeper, form: Fields) -> Response:
    """Make a key, and show it this once."""
    check(request, form)
    name, scopes = form.text("name").strip(), form.values.get("scopes", [])
    if not 1 <= len(name) <= 100:
        form.errors["name"] = "Give it a name of 1 to 100 characters."
    expires = _expiry(form)
    for scope in SCOPES:
        if scope in scopes and scope not in caller.scopes:
            form.errors["scopes"] = f"Your own key may not {scope}, so it cannot give that away."
    if not scopes:
        form.errors["scopes"] = "Tick one at least."
    if form.errors:
        return _keys(request, caller, form, status=422)
    try:
        key, secret = create_key(home_of(request).access, caller.tenant, name, scopes, expires)
    except ParamsError as error:
        form.errors["scopes"] = error.text()
        return _keys(request, caller, form, status=422)
    note(request, caller, "key.create", key.key_id, scopes=list(key.scopes))
    return _keys(request, caller, RunForm({"scopes": ["read", "write"]}), secret=secret)


@router.post("/keys/{key_id}/revoke")
def revoke(request: Request, caller: Keeper, key_id: ItemId, form: Fields) -> Response:
    """Revoke a key."""
    check(request, form)
    home_of(request).access.revoke_key(caller.tenant, key_id)
    note(request, caller, "key.revoke", key_id)
    return go(request, "/keys")


def _expiry(form: RunForm) -> datetime | None:
    text = form.text("days").strip()
    if not text:
        return None
    try:
        days = read_number(text, whole=True)
    except ValueError as error:
        form.errors["days"] = str(error)
        return None
    if not 1 <= days <= _MOST_DAYS:
        form.errors["days"] = f"It must be 1 to {_MOST_DAYS:,} days."
        return None
    return datetime.now(UTC) + timedelta(days=days)


def _keys(request: Request, caller: Caller, form: RunForm, *, status: int = 200, secret: str = "") -> Response:
    found = home_of(request).access.keys(caller.tenant)
    return render(
        request, "keys.html.j2", caller, status=status, keys=found, form=form, secret=secret, now=datetime.now(UTC),
        scopes={scope: SCOPE_WORDS[scope] for scope in SCOPES},
    )
