"""The application on a port: who may reach it, how it starts, how it ends within seconds."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from synthloom.domain.errors import UsageError
from synthloom.http.frame import is_loopback

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE_SECONDS = 5
"""How long requests may go on once the server is asked to end."""


def check_exposure(host: str, *, guarded: bool, do: str) -> None:
    """Refuse to be reached from elsewhere where nobody has to say who they are.

    Args:
        host: Address to listen on.
        guarded: Whether callers have to say who they are.
        do: What to set.

    Raises:
        UsageError: it would be open to everybody.
    """
    if not guarded and not is_loopback(host):
        raise UsageError(
            f"listening on {host or 'every address'!r} would let everybody in who can reach this machine.",
            where="--host", do=do,
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises:
        UsageError: the port is in use, or the address is not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise UsageError(
            f"port {port} of {host} cannot be taken: {_reason(error)}.", where="--port",
            do="End what listens there, or choose another one, such as --port 8001.",
        ) from None


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program listens there"
    if isinstance(error, socket.gaierror):
        return "nothing has that name"
    return os.strerror(error.errno) if error.errno else type(error).__name__


def address_of(bound: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # it is compared, not listened on
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_server(app: FastAPI, bound: socket.socket, started: Callable[[], None], stop: threading.Event) -> None:
    """Serve until `stop` is set. Streams of events are told to end at once, other requests have `GRACE_SECONDS`.

    Args:
        app: The application.
        bound: Where to listen; closed at the end.
        started: Called once when the first request can be answered.
        stop: Set by whoever wants the end.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

        async def on_tick(self, counter: int) -> bool:
            if stop.is_set():
                app.state.stopping = True
                self.should_exit = True
            return await super().on_tick(counter)

        def install_signal_handlers(self) -> None:
            """The command hears signals."""

        def capture_signals(self) -> Any:
            from contextlib import nullcontext

            return nullcontext()

    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    try:
        Server(config).run(sockets=[bound])
    finally:
        bound.close()
