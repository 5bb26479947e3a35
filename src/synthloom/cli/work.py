"""Long work under a person's eyes: a worker thread does it, the main thread shows progress and takes signals.

Python delivers signals to the main thread only, and only between two of its instructions. While the worker sits inside
C code (a tree being grown, a file being written) the main thread stays free, so Ctrl-C is always heard: the worker is
asked to stop, waited for briefly, and then left behind when the process ends.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

from synthloom.cli import heed
from synthloom.cli.progress import Display
from synthloom.domain.errors import CancelledError
from synthloom.domain.event import Cancelled, Emit, Event

T = TypeVar("T")

GRACE = 0.5
"""Seconds a worker gets to stop by itself."""

_TICK = 0.05

Job = Callable[[Emit, Cancelled], T]


class _Worker(Generic[T]):
    def __init__(self, job: Job[T]) -> None:
        self.done = threading.Event()
        self.stop = threading.Event()
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.value: list[T] = []
        self.error: BaseException | None = None
        self._job = job
        self._thread = threading.Thread(target=self._work, name="synthloom-work", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        try:
            self.value.append(self._job(self.events.put, self.stop.is_set))
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread, whatever it is
            self.error = error
        finally:
            self.done.set()


def perform(
    job: Job[T], display: Display, on_stop: Callable[[], None] = lambda: None, *, grace: float = GRACE
) -> T:
    """Do `job(emit, cancelled)` in a worker thread and show its events meanwhile.

    Args:
        job: The work.
        display: Shows events; entered before the work starts.
        on_stop: Called when the person stops the work, to remove what is unfinished; must not wait for the worker.
        grace: Seconds the work gets to stop by itself.

    Raises:
        CancelledError: the person stopped it. The worker may still be running: end the process.
    """
    worker = _Worker(job)
    asked = threading.Event()
    with _signals(asked), display:
        worker.start()
        while not worker.done.wait(_TICK) and not asked.is_set():
            _show(worker.events, display)
        if asked.is_set():
            worker.stop.set()
            worker.done.wait(grace)
        else:
            _show(worker.events, display)
    if asked.is_set() and not worker.value:
        on_stop()
        raise CancelledError("nothing unfinished was left behind.")
    if worker.error is not None:
        raise worker.error
    return worker.value[0]


def _show(events: queue.SimpleQueue[Event], display: Display) -> None:
    until = time.monotonic() + _TICK  # a flood of events must not keep signals waiting
    while time.monotonic() < until:
        try:
            display.show(events.get_nowait())
        except queue.Empty:
            break
    display.tick()


@contextmanager
def _signals(asked: threading.Event) -> Iterator[None]:
    """Let the signals that mean "stop" set a flag while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    before = heed(note)
    try:
        yield
    finally:
        if not asked.is_set():  # once stopped, nothing may interrupt the clearing up
            for number, handler in before.items():
                signal.signal(number, handler)
