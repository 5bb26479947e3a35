"""How much memory a piece of work in this process takes."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Self

from synthloom.engine.compare import Gauge

_TICK = 0.05
_MB = 1024 * 1024


class MemoryGauge(Gauge):
    """The most memory that this process holds while the gauge is entered, beyond what it held before, in MB.

    Read from the operating system 20 times a second, so what lives shorter than that may be missed. On Linux it is
    what the process holds now; elsewhere only the growth of its largest size ever can be told.
    """

    def __init__(self) -> None:
        self.mb: float | None = None
        self._before = self._most = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="synthloom-memory", daemon=True)

    def __enter__(self) -> Self:
        self._before = self._most = held_mb()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.mb = max(max(self._most, held_mb()) - self._before, 0.0)

    def _watch(self) -> None:
        while not self._done.wait(_TICK):
            self._most = max(self._most, held_mb())


def held_mb() -> float:
    """MB that this process holds; its largest size ever where the system tells nothing else."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MB
    except OSError:
        return _largest_mb()


def _largest_mb() -> float:
    if sys.platform == "win32":
        return 0.0
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / _MB if sys.platform == "darwin" else size / 1024
