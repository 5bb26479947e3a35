"""Around every request: its id, the headers that keep browsers strict, its latency, its line in the log, the last net
for errors nobody foresaw; and, where nobody has to say who they are, that it was meant for this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthloom.domain.errors import ForbiddenError
from synthloom.http.metrics import Metrics
from synthloom.http.problems import problem_response, unexpected
from synthloom.service.traces import crash_text

log = logging.getLogger("synthloom.http")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all browsers send forms with the Origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Frame:
    """ASGI middleware, outermost.

    Args:
        app: What is behind it.
        metrics: Hears of each request.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0
        request_id = secrets.token_hex(8)

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
                self._metrics.answered(scope["method"], _route(scope), status, time.perf_counter() - begun)
            await send(message)

        try:
            await self._app(scope, receive, framed)
        except ClientDisconnect:  # whoever asked has gone: nobody is left to answer
            status = status or 499
        except Exception as error:
            log.error("unexpected error", extra={"request_id": request_id, "trace": crash_text(error)})
            if status:
                raise  # half an answer is out: only breaking off tells the client
            await unexpected()(scope, receive, framed)
        finally:
            _write_line(scope, status, time.perf_counter() - begun, request_id)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", "none"))


def _write_line(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    route = _route(scope)
    level = logging.DEBUG if route.startswith(("/health", "/metrics", "/static")) else logging.INFO
    fields = {
        "request_id": request_id, "method": scope["method"], "route": route, "status": status,
        "milliseconds": round(seconds * 1000, 1),
    }
    named, made = scope.get("path_params", {}).get("run_id"), scope.get("state", {}).get("made_run_id")
    if named or made:
        fields["run_id"] = named or made
    if named and made:  # out of another one
        fields["made"] = made
    log.log(level, "request", extra=fields)


class _EnoughError(OSError):
    """Nobody wants the body; an OSError, as of a client that has gone, is what ends a stream."""


class Heads:
    """ASGI middleware: HEAD is answered as GET is, without the body; what streams ends before its first byte."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope.update((key, asked[key]) for key in ("route", "path_params") if key in asked)
                await send(message)
                await send({"type": "http.response.body", "body": b""})
            elif message.get("more_body"):
                raise _EnoughError

        with contextlib.suppress(_EnoughError, ClientDisconnect):
            await self._app(asked, receive, headed)


class LoopbackOnly:
    """ASGI middleware for a server without access control: only this machine, under a name of this machine.

    A web site whose name an attacker points at 127.0.0.1 (DNS rebinding) sends that name as the Host.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out a request, or refuse it."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            client = scope.get("client")
            if not is_loopback(host_name(host)) or (client and _is_elsewhere(client[0])):
                error = ForbiddenError(
                    "this server answers its own machine only.",
                    do="Open it as http://127.0.0.1, or have it started with SYNTHLOOM_AUTH=keys.",
                )
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_loopback(name: str) -> bool:
    """Whether a host's name or address means this machine, whoever answers for names."""
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_elsewhere(client: str) -> bool:
    try:
        return not ipaddress.ip_address(client).is_loopback
    except ValueError:  # no address: a test client, or a socket of this machine
        return False
