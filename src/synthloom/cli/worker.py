"""`synthloom worker` and `synthloom migrate`: what an operator starts beside, or before, servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from synthloom.cli import heed
from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.wiring import migrate_database, server_home, settings

if TYPE_CHECKING:
    from rich.console import Console

_TICK = 0.1


def worker(
    slots: Annotated[
        int | None,
        typer.Option("--slots", metavar="N", min=1, max=256, help="Runs at the same time; default: the setting's."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Its name in logs; default: host and process."),
    ] = None,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Claim runs and do them, until it is asked to end: then runs go on for SYNTHLOOM_DRAIN_SECONDS.

    SIGTERM or Ctrl-C asks; a second one cuts the time short. A run that is not done goes back to the queue.
    """
    from synthloom.service import logs
    from synthloom.service.later import put_off
    from synthloom.worker import Worker

    put_off("pandas")  # its children load it

    chosen = settings()
    if slots is not None:
        chosen = chosen.model_copy(update={"worker_slots": slots})
    logs.configure("error" if quiet else chosen.log_level, chosen.log_format)
    home = server_home(chosen)
    try:
        made = Worker(home, name=name)
        _work(made.run, made.stop)
        return Answer(result={"worker": made.name})
    finally:
        home.close()


def _work(run: Callable[[], None], stop: Callable[[], None]) -> None:
    """Run in a thread, so that this one hears signals and may take locks when it has heard one."""
    asked: list[int] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread, whatever it is
            failed.append(error)

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    heed(note)
    thread = threading.Thread(target=work, name="worker")
    thread.start()
    heard = 0
    while thread.is_alive():
        thread.join(_TICK)
        if len(asked) > heard:
            heard += 1
            stop()
    if failed:
        raise failed[0]


def migrate(
    json: opt.JsonOption = False, quiet: opt.QuietOption = False, debug: opt.DebugOption = False,
) -> Answer:
    """Make the database's tables, or bring them up to date. Servers and workers do so too when they start."""
    kind = migrate_database(settings())

    def show(console: Console) -> None:
        console.print(f"The {kind} database is up to date.")

    return Answer(result={"database": kind}, show=show)
