"""`synthloom serve` and `synthloom report-service`: the server, and its small sister that draws PDFs."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
import threading
import webbrowser
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from synthloom.cli import heed
from synthloom.cli import options as opt
from synthloom.cli.output import Answer, stdout_console
from synthloom.domain.errors import MissingDependencyError
from synthloom.wiring import need_server, server_home, settings

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from synthloom.settings import Settings

_M_ARENA_MAX = -8  # malloc.h

HostOption = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port; 0: any that is free.")]


def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    workers_inside: Annotated[
        bool,
        typer.Option("--workers-inside/--no-worker", help="Whether a worker is started and ended with the server."),
    ] = True,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Serve the page and the API. With nothing set, for this machine alone: SQLite and files in SYNTHLOOM_HOME."""
    chosen = settings()
    need_web()
    _stay_small()
    from synthloom.http.server import check_exposure, listen

    check_exposure(
        host, guarded=chosen.auth != "none",
        do="Set SYNTHLOOM_AUTH=keys and make keys with `synthloom keys create`, or listen on 127.0.0.1.",
    )
    _log(chosen, quiet=quiet)
    bound = listen(host, port)  # before the database: a port in use is found at once
    from synthloom.cli.inside import InsideWorker
    from synthloom.http.app import create_app

    home = server_home(chosen)
    worker = InsideWorker(chosen) if workers_inside else None
    try:
        app = create_app(home)
        if worker is not None:
            worker.start()
        address = _serve(app, bound, "Synthloom", open_page=open_page, quiet=quiet or json)
    finally:
        if worker is not None:
            worker.stop()
        home.close()
    return Answer(result={"address": address})


def report_service(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8010,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Draw PDFs for servers that name this one in SYNTHLOOM_REPORT_SERVICE: report.json in, report.pdf out."""
    chosen = settings()
    need_web()
    from synthloom.http.report_service import create_report_app
    from synthloom.http.server import check_exposure, listen

    check_exposure(
        host, guarded=chosen.report_token is not None,
        do="Set SYNTHLOOM_REPORT_TOKEN here and in the servers, or listen on 127.0.0.1.",
    )
    _log(chosen, quiet=quiet)
    bound = listen(host, port)
    address = _serve(create_report_app(chosen), bound, "Report service", quiet=quiet or json)
    return Answer(result={"address": address})


def _serve(app: FastAPI, bound: socket.socket, title: str, *, quiet: bool, open_page: bool = False) -> str:
    """Serve until a signal; in a thread, so that this one hears signals at once."""
    from synthloom.http.server import address_of, run_server

    address = address_of(bound)
    stop = threading.Event()
    failed: list[BaseException] = []

    def started() -> None:
        if not quiet:
            stdout_console().print(f"{title}: {address}  (Ctrl-C ends it)")
            sys.stdout.flush()
        if open_page:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    def work() -> None:
        try:
            run_server(app, bound, started, stop)
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread, whatever it is
            failed.append(error)

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    heed(note)
    thread = threading.Thread(target=work, name="server")
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if failed:
        raise failed[0]
    return address


def _log(chosen: Settings, *, quiet: bool) -> None:
    """Log as set; for a person at a terminal who has set nothing, only what needs care, as text."""
    from synthloom.service import logs

    person = sys.stderr.isatty()
    form = "text" if person and "log_format" not in chosen.model_fields_set else chosen.log_format
    level = "warning" if person and "log_level" not in chosen.model_fields_set else chosen.log_level
    logs.configure("error" if quiet else level, form)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)


def _stay_small() -> None:
    """Leave out what children alone need, and keep memory that threads gave back from staying with each of them."""
    from synthloom.service.later import put_off

    put_off("pandas")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # another C library has no such thing, nor the trouble
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def need_web() -> None:
    """MissingDependencyError where the extra `server` is not installed, or not whole."""
    need_server()
    for module in ("fastapi", "uvicorn", "jwt", "prometheus_client", "python_multipart"):
        if importlib.util.find_spec(module) is None:
            raise MissingDependencyError(
                f"the server needs {module}, which is not installed.",
                do="Install it with: pip install 'synthloom[server]'",
            )
