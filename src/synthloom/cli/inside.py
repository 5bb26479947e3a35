"""The worker inside `synthloom serve`: a child process, started again when it ends unasked, ended with the server."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time

from synthloom.settings import Settings

log = logging.getLogger("synthloom.serve")

_COMMAND = (
    "import sys; from synthloom.service.processes import end_with_parent; end_with_parent(sys.stdin.buffer); "
    "from synthloom.cli import main; main(['worker'])"
)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_STEADY_SECONDS = 60.0  # a worker that lived so long begins again with the first pause
_TICK = 0.1
_END_SECONDS = 8.0


class InsideWorker:
    """Keeps one `synthloom worker` running.

    Args:
        settings: For how its log is written.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="inside-worker", daemon=True)

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._thread.start()

    def stop(self) -> None:
        """End it: its runs go back to the queue."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS + 5)

    def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            begun = time.monotonic()
            code = self._one()
            if self._stop.is_set():
                return
            if time.monotonic() - begun >= _STEADY_SECONDS:
                pause = _FIRST_PAUSE
            log.warning("worker ended", extra={"exit_code": code, "again_in_seconds": pause})
            self._stop.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _one(self) -> int:
        """One worker's life; this thread starts it, as the child ends with the thread that started it."""
        from synthloom.service.processes import kill_group

        environment = dict(os.environ) | {
            "SYNTHLOOM_DRAIN_SECONDS": "1",  # runs go back to the queue, and on at the next start
            "SYNTHLOOM_LOG_FORMAT": _form(self._settings), "SYNTHLOOM_LOG_LEVEL": _level(self._settings),
        }
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and command
            [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, env=environment, start_new_session=True,
        )
        asked: float | None = None
        while process.poll() is None:
            if self._stop.wait(_TICK):
                time.sleep(_TICK)
                if asked is None:
                    asked = time.monotonic()
                    process.terminate()  # it alone: its children end at its word, and their runs go back uncounted
                elif time.monotonic() - asked > _END_SECONDS:
                    break
        return kill_group(process)


def _form(settings: Settings) -> str:
    return settings.log_format if "log_format" in settings.model_fields_set or not sys.stderr.isatty() else "text"


def _level(settings: Settings) -> str:
    return settings.log_level if "log_level" in settings.model_fields_set or not sys.stderr.isatty() else "warning"
