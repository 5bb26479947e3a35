"""Progress on standard error: a live bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from synthloom.cli.output import printable, stderr_console
from synthloom.domain import event as ev
from synthloom.service.tracker import LOOP, TITLES, Tracker

_HEARTBEAT = 10.0


class Display(Protocol):
    """Shows events while they happen."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: ev.Event) -> None:
        """Show one event."""

    def tick(self) -> None:
        """Called many times a second, whether or not something happened."""


class NoDisplay:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: ev.Event) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""


class LineDisplay:
    """One line per finished step, and a sign of life in long ones: for logs and pipes."""

    def __init__(self, console: Console, tracker: Tracker) -> None:
        self.console = console
        self.tracker = tracker
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: ev.Event) -> None:
        """Print what a person wants to keep of an event."""
        self.tracker.take(event)
        line = event_line(event, self.tracker)
        if line is not None:
            self.console.print(line)
            self._last = time.monotonic()

    def tick(self) -> None:
        """Say how far it is when nothing was printed for a while."""
        if time.monotonic() - self._last >= _HEARTBEAT and self.tracker.step:
            self._last = time.monotonic()
            self.console.print(f"  … {describe(self.tracker)}, {self.tracker.fraction:.0%}{estimate(self.tracker)}")


class LiveDisplay:
    """A bar that moves, with the finished steps above it."""

    def __init__(self, console: Console, tracker: Tracker) -> None:
        self.console = console
        self.tracker = tracker
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[left]}", style="dim", markup=False), console=console, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )
        self._task = self._bar.add_task("Starting", total=1.0, left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: ev.Event) -> None:
        """Print what a person wants to keep of an event, and move the bar."""
        self.tracker.take(event)
        line = event_line(event, self.tracker)
        if line is not None:
            self._bar.console.print(line)

    def tick(self) -> None:
        """Redraw the bar."""
        self._bar.update(
            self._task, completed=self.tracker.fraction, description=describe(self.tracker),
            left=estimate(self.tracker).removeprefix(", "),
        )


def make_display(
    *, quiet: bool, steps: Sequence[str] = ev.STEPS, console: Console | None = None,
    weights: Mapping[str, float] | None = None,
) -> Display:
    """The display that suits standard error."""
    if quiet:
        return NoDisplay()
    console = console or stderr_console()
    tracker = Tracker(steps, weights=weights)
    return LiveDisplay(console, tracker) if console.is_terminal else LineDisplay(console, tracker)


def event_line(event: ev.Event, tracker: Tracker) -> Text | None:
    """What is worth a line of its own: finished steps, notices, fallbacks."""
    if isinstance(event, ev.StepFinished):
        name = _title(event.step, event.attempt)
        note = f"  {event.message}" if event.message else ""
        return Text.assemble(("✓ ", "green"), f"{name:<28}{tracker.step_seconds:6.1f} s", (note, "dim"))
    if isinstance(event, ev.Fallback):
        return Text.assemble(("! ", "bold yellow"), f"{event.used} instead of {event.wanted}: {event.reason}")
    if isinstance(event, ev.Notice) and event.code == "heat":
        return Text(f"  · {event.message}", "dim")
    if isinstance(event, ev.Notice):
        with_place = f"{event.column}: {event.message}" if event.column else event.message
        return Text.assemble(("! ", "yellow"), with_place)
    return None


def describe(tracker: Tracker) -> str:
    """The running step in words."""
    if tracker.step is None:
        return "Starting"
    title = _title(tracker.step, tracker.attempt if tracker.step in LOOP else 1)
    return f"{title}: {printable(tracker.message)}" if tracker.message else title


def estimate(tracker: Tracker) -> str:
    """How long it will take in words, beginning with a comma; empty while unknown."""
    left = tracker.left
    if left is None:
        return ""
    if left < 90:
        return f", about {max(round(left), 1)} s left"
    if left < 5400:
        return f", about {round(left / 60)} min left"
    return f", about {left / 3600:.1f} h left"


def _title(step: str, attempt: int) -> str:
    title = TITLES.get(step, step)
    return f"{title} (attempt {attempt})" if attempt > 1 else title

