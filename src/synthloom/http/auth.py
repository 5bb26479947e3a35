"""Who is asking, and what they may do. Everything the page and the API need of access is here.

`current_caller(request)` says who is asking; `require(scope)` makes a dependency of it. `csrf_token(request)` and
`check_form(request, token)` guard the page's forms; `log_in` and `log_out` open and close its sessions.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from synthloom.domain.errors import AuthError, ForbiddenError, ParamsError
from synthloom.domain.records import LOCAL_TENANT, ApiKey
from synthloom.http.limits import RateLimiter
from synthloom.http.sessions import SESSION_COOKIE, SESSION_SECONDS, Session, Sessions
from synthloom.http.tokens import TokenReader
from synthloom.ports import AccessBook
from synthloom.settings import Settings

Scope = Literal["read", "write", "admin", "metrics"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin", "metrics")
"""read: see and download · write: upload, run, cancel, delete · admin: keys and the audit log · metrics: /metrics.
Each stands for itself alone."""

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_KEY_PREFIX = "syn_"
_SHOWN = 8  # letters of a key that are kept to tell keys apart


@dataclass(frozen=True)
class Caller:
    """Who is asking.

    Attributes:
        tenant: Whose rows they see.
        actor: Who it is in the audit log: a key's id, a user's subject, or `local`.
        scopes: What they may do.
        door: How they came in.
    """

    tenant: str
    actor: str
    scopes: frozenset[str]
    door: Literal["open", "key", "token", "session"] = "open"

    def needs(self, scope: Scope) -> None:
        """ForbiddenError unless the caller has this scope."""
        if scope not in self.scopes:
            raise ForbiddenError(f"this needs the scope {scope}.", do="Ask for a key that has it.")


LOCAL_CALLER = Caller(LOCAL_TENANT, "local", frozenset(SCOPES))


class Gate:
    """Decides who comes in. One per server, at `app.state.gate`.

    Args:
        settings: The kind of access, and who makes tokens.
        access: API keys.
    """

    def __init__(self, settings: Settings, access: AccessBook) -> None:
        self.auth = settings.auth
        self.access = access
        secret = settings.session_secret
        self.sessions = Sessions(secret.get_secret_value() if secret else None)
        self.tokens = TokenReader(settings) if settings.auth == "jwt" else None
        self.limiter = RateLimiter(settings.rate_limit)

    @property
    def open(self) -> bool:
        """Whether nobody has to say who they are (loopback only)."""
        return self.auth == "none"

    def caller(self, request: Request) -> Caller:
        """Who is asking; counts the request against their rate. Blocks: call it in a thread.

        Raises:
            AuthError: nobody, or nobody we know. ForbiddenError: another site sent this. RateLimitError: too often.
        """
        if self.open:
            _refuse_other_sites(request)
            return LOCAL_CALLER
        address = f"address {request.client.host if request.client else ''}"
        self.limiter.check(address)
        try:
            caller = self._known(request)
        except AuthError:
            self.limiter.take(address)
            raise
        self.limiter.take(f"caller {caller.tenant} {caller.actor}")
        return caller

    def session(self, request: Request) -> Session | None:
        """The page's session of a request, if there is one."""
        return self.sessions.read(request.cookies.get(SESSION_COOKIE))

    def key(self, secret: str) -> tuple[ApiKey, str]:
        """The key of a secret, and the secret's digest.

        Raises:
            AuthError: there is none, or it is expired or revoked.
        """
        found, digest = None, ""
        if secret.startswith(_KEY_PREFIX):
            digest = digest_of(secret)
            found = self.access.key_by_digest(digest)
        if found is None:
            raise AuthError("the API key is not valid.", do="Check it; it may be expired or revoked.")
        return found, digest

    def _known(self, request: Request) -> Caller:
        given = request.headers.get("authorization")
        if given is not None:
            scheme, _, secret = given.partition(" ")
            if scheme.lower() != "bearer" or not secret.strip():
                raise AuthError("the header Authorization holds no bearer token.", do="Send `Bearer` and your API key.")
            return self._bearer(secret.strip())
        session = self.session(request)
        if session is None:
            raise AuthError(
                "this needs an API key or a token.", do="Send it in the header `Authorization: Bearer …`, or log in.",
            )
        key = self.access.key_by_digest(session.digest)
        if key is None:
            raise AuthError("the session's API key is expired or revoked.", do="Log in again.")
        if request.method not in SAFE_METHODS:
            _refuse_other_sites(request)
        return Caller(key.tenant, key.key_id, frozenset(key.scopes), "session")

    def _bearer(self, secret: str) -> Caller:
        if secret.startswith(_KEY_PREFIX) or self.tokens is None:
            key, _ = self.key(secret)
            return Caller(key.tenant, key.key_id, frozenset(key.scopes), "key")
        identity = self.tokens.read(secret)
        return Caller(identity.tenant, identity.subject, identity.scopes, "token")


def gate_of(request: Request) -> Gate:
    """The gate of the server that a request came to."""
    return cast(Gate, request.app.state.gate)


def current_caller(request: Request) -> Caller:
    """Who is asking; looked up and counted once per request. Blocks: call it in a thread (a `def` endpoint is one)."""
    caller = getattr(request.state, "caller", None)
    if caller is None:
        caller = request.state.caller = gate_of(request).caller(request)
    return cast(Caller, caller)


def require(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency for an endpoint of the API: the caller, who has the scope.

    A request that writes and comes with the page's session must carry the form's token in `X-CSRF-Token`.
    """
    def dependency(request: Request) -> Caller:
        caller = current_caller(request)
        if caller.door == "session" and request.method not in SAFE_METHODS:
            check_form(request, request.headers.get(CSRF_HEADER))
        caller.needs(scope)
        return caller

    dependency.scope = scope  # type: ignore[attr-defined]  # the documentation's table of routes reads it
    return dependency


# forms of the page


def csrf_token(request: Request) -> str:
    """What every form of the page must carry, as the field `csrf_token` or the header `X-CSRF-Token`."""
    gate = gate_of(request)
    return gate.sessions.form_token(gate.session(request))


def check_form(request: Request, token: str | None) -> None:
    """Refuse a form that another site sent, or that lacks its token.

    Args:
        request: The request.
        token: The field `csrf_token`, or the header.

    Raises:
        ForbiddenError: either.
    """
    _refuse_other_sites(request)
    gate = gate_of(request)
    if not gate.sessions.form_token_fits(gate.session(request), token):
        raise ForbiddenError("the form's token is missing or old.", do="Load the page again and repeat it.")


def log_in(request: Request, response: Response, secret: str) -> Caller:
    """Open a session of the page with an API key; sets the cookie on `response`. Blocks.

    Raises:
        AuthError: the key is not valid. RateLimitError: too many wrong ones from this address.
    """
    gate = gate_of(request)
    address = f"address {request.client.host if request.client else ''}"
    gate.limiter.check(address)
    try:
        key, digest = gate.key(secret.strip())
    except AuthError:
        gate.limiter.take(address)
        raise
    _, cookie = gate.sessions.begin(digest)
    response.set_cookie(
        SESSION_COOKIE, cookie, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )
    gate.access.note(key.tenant, key.key_id, "session.open")
    return Caller(key.tenant, key.key_id, frozenset(key.scopes), "session")


def log_out(response: Response) -> None:
    """Close the page's session."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


def _refuse_other_sites(request: Request) -> None:
    """A browser says where a request comes from; programs that are no browsers say nothing."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if request.method in SAFE_METHODS:
        return
    foreign = site is not None and site not in ("same-origin", "none")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        foreign = True
    if foreign:
        raise ForbiddenError("another web site sent this request.", do="Open Synthloom's own page and repeat it.")


# keys


def new_secret() -> str:
    """A new API key: `syn_` and 43 letters and digits (256 bits)."""
    return _KEY_PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of a key. It is random and long, so that a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    access: AccessBook, tenant: str, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown this once and kept nowhere.

    Raises:
        ParamsError: no scope, or one that does not exist.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"there is no scope {unknown[0]!r}." if unknown else "a key without a scope opens nothing."
        raise ParamsError(what, where="scopes", do=f"Choose among: {', '.join(SCOPES)}.")
    secret = new_secret()
    chosen = [scope for scope in SCOPES if scope in scopes]
    key = access.add_key(
        tenant, name=name, digest=digest_of(secret), prefix=secret[:_SHOWN], scopes=chosen, expires_at=expires_at,
    )
    return key, secret
