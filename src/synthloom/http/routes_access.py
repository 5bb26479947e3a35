"""Keys and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from synthloom.http import auth
from synthloom.http.parts import Admin, Reader, home_of, link_next, note
from synthloom.http.problems import COMMON, responses
from synthloom.http.shapes import AuditList, KeyCreate, KeyList, KeyView, NewKey, PageSize

router = APIRouter(prefix="/v1", tags=["access"], responses=COMMON)


@router.get("/me")
def who_am_i(caller: Reader) -> dict[str, str | list[str]]:
    """Who the server takes the caller for."""
    return {"tenant": caller.tenant, "actor": caller.actor, "scopes": sorted(caller.scopes)}


@router.post("/keys", status_code=201, responses=responses(400))
def create_key(request: Request, response: Response, caller: Admin, body: KeyCreate) -> NewKey:
    """Make a key of the caller's tenant. Its secret is in this answer and nowhere else."""
    for scope in body.scopes:
        caller.needs(scope)  # nobody gives away what they do not have
    expires_at = datetime.now(UTC) + timedelta(days=body.expires_days) if body.expires_days else None
    key, secret = auth.create_key(home_of(request).access, caller.tenant, body.name, body.scopes, expires_at)
    note(request, caller, "key.create", key.key_id, scopes=list(key.scopes))
    response.headers["Cache-Control"] = "no-store"
    return NewKey(key=KeyView.of(key), secret=secret)


@router.get("/keys")
def list_keys(request: Request, caller: Admin) -> KeyList:
    """The tenant's keys, revoked and expired ones among them."""
    return KeyList(keys=tuple(KeyView.of(key) for key in home_of(request).access.keys(caller.tenant)))


@router.delete("/keys/{key_id}", responses=responses(404))
def revoke_key(
    request: Request, caller: Admin, key_id: Annotated[str, Path(pattern="^[0-9a-f]{8,64}$", description="A key's id.")]
) -> KeyView:
    """Revoke a key: it opens nothing from now on, and sessions opened with it are over."""
    key = home_of(request).access.revoke_key(caller.tenant, key_id)
    note(request, caller, "key.revoke", key_id)
    return KeyView.of(key)


@router.get("/audit")
def audit_log(
    request: Request, response: Response, caller: Admin, limit: PageSize = 100,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="Only entries numbered below.")] = None,
) -> AuditList:
    """Who did what, newest first."""
    entries = home_of(request).access.audit(caller.tenant, limit=limit, before=before)
    found = AuditList.of(entries, limit)
    if found.next:
        link_next(request, response, before=found.next)
    return found
