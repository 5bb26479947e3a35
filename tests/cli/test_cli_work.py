"""Work in a thread: results and errors come back, a person can stop it, and progress tells the truth."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rich.console import Console

from synthloom.cli.progress import LineDisplay, LiveDisplay, NoDisplay, Tracker, estimate, make_display
from synthloom.cli.work import perform
from synthloom.domain.errors import FitError
from synthloom.domain.event import STEPS, Cancelled, Emit, Fallback, Notice, Progress, StepFinished, StepStarted

LIMIT = 1.0
"""Seconds in which Ctrl-C must have ended the process."""


def walk(steps: tuple[str, ...] = STEPS) -> list[StepStarted | Progress | StepFinished]:
    return [
        event for step in steps
        for event in (StepStarted(step=step), Progress(step=step, fraction=0.5), StepFinished(step=step))
    ]


def test_the_result_comes_back_and_events_are_shown() -> None:
    class Keeping(NoDisplay):
        def __init__(self) -> None:
            self.events: list[object] = []

        def show(self, event: object) -> None:
            self.events.append(event)

    def job(emit: Emit, cancelled: Cancelled) -> int:
        assert not cancelled()
        for event in walk():
            emit(event)
        return 42

    display = Keeping()
    assert perform(job, display) == 42
    assert display.events == walk()


def test_an_error_comes_back_as_it_is() -> None:
    def job(_emit: Emit, _cancelled: Cancelled) -> None:
        raise FitError("no.")

    with pytest.raises(FitError, match="no"):
        perform(job, NoDisplay())


CHILD = """
    import hashlib, sys, time
    from pathlib import Path
    from synthloom.adapters.local_folder import LocalFolder
    from synthloom.cli import app
    from synthloom.cli.progress import NoDisplay
    from synthloom.cli.work import perform

    mode, folder = sys.argv[1:]
    store = LocalFolder(Path(folder))

    def write(sink):
        sink.write(b"half")
        sink.flush()
        print("writing", flush=True)
        time.sleep(30)

    def job(emit, cancelled):
        if mode == "polite":
            print("working", flush=True)
            while not cancelled():
                time.sleep(0.01)
            from synthloom.domain.errors import CancelledError
            raise CancelledError("stopped.")
        if mode == "c_code":
            print("working", flush=True)
            hashlib.pbkdf2_hmac("sha512", b"x", b"y", 50_000_000)  # half a minute outside Python
        store.put("run/synthetic.csv", write)

    @app.app.command("work")
    def work() -> None:
        perform(job, NoDisplay(), store.close)

    sys.exit(app.start(["work"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("mode", ["polite", "c_code", "writing"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_within_a_second_and_leaves_nothing(tmp_path: Path, mode: str, number: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), mode, str(tmp_path)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline()
    sent = time.monotonic()
    child.send_signal(number)
    _out, err = child.communicate(timeout=20)
    assert time.monotonic() - sent <= LIMIT
    assert child.returncode == 130, err
    assert "cancelled" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_whole_never_goes_back_and_ends_at_one() -> None:
    tracker = Tracker()
    seen = []
    for event in walk():
        tracker.take(event)
        seen.append(tracker.fraction)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_steps_may_be_skipped() -> None:
    tracker = Tracker()
    for event in walk(tuple(s for s in STEPS if s != "refine")):
        tracker.take(event)
    assert tracker.fraction == pytest.approx(1.0)


def test_a_second_attempt_starts_the_loop_again() -> None:
    tracker = Tracker()
    for event in walk(STEPS[: STEPS.index("report")]):
        tracker.take(event)
    before = tracker.fraction
    tracker.take(StepStarted(step="fit", attempt=2))
    assert tracker.fraction < before
    for step in ("sample", "measure", "verdict", "report", "store"):
        tracker.take(StepStarted(step=step, attempt=2 if step not in ("report", "store") else 1))
        tracker.take(StepFinished(step=step))
    assert tracker.fraction == pytest.approx(1.0)


def test_the_estimate_follows_the_clock() -> None:
    now = [0.0]
    tracker = Tracker(("fit",), clock=lambda: now[0])
    assert tracker.left is None
    tracker.take(StepStarted(step="fit"))
    tracker.take(Progress(step="fit", fraction=0.25))
    now[0] = 10.0
    assert tracker.left == pytest.approx(30.0)
    assert estimate(tracker) == ", about 30 s left"
    now[0] = 100.0
    assert estimate(tracker) == ", about 5 min left"


def test_a_step_that_crawls_is_estimated_by_what_it_says_of_itself() -> None:
    now = [0.0]
    tracker = Tracker(clock=lambda: now[0])
    tracker.take(StepStarted(step="fit"))
    said = ((0.0, 0.0), (1.0, 0.1), (7.0, 0.1006), (13.0, 0.1012))  # columns are encoded quickly: no sign of the rest
    for now[0], fraction in said:
        tracker.take(Progress(step="fit", fraction=fraction))
    assert tracker.left == pytest.approx(10_000 * (1 - 0.1012))
    tracker.take(StepFinished(step="fit"))
    tracker.take(StepStarted(step="sample"))
    assert tracker.left is not None
    assert tracker.left < 1000


def test_without_a_terminal_there_are_plain_lines() -> None:
    text = io.StringIO()
    display = LineDisplay(Console(file=text), Tracker())
    with display:
        for event in [
            *walk(("read", "fit")), Notice(code="x", message="dropped [red]markup[/red].", column="a"),
            Fallback(wanted="synthcity", used="native", reason="it is not installed."),
        ]:
            display.show(event)
            display.tick()
    lines = text.getvalue().splitlines()
    assert "Reading the table" in lines[0]
    assert "Learning" in lines[1]
    assert "a: dropped [red]markup[/red]." in lines[2]
    assert "native instead of synthcity" in lines[3]
    assert "\x1b" not in text.getvalue()


def test_on_a_terminal_there_is_a_bar() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    display = make_display(quiet=False, console=console)
    assert isinstance(display, LiveDisplay)
    with display:
        for event in walk(("read", "fit")):
            display.show(event)
            display.tick()
    assert "Learning" in text.getvalue()
    assert "━" in text.getvalue()


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    display = make_display(quiet=True)
    with display:
        for event in walk():
            display.show(event)
            display.tick()
    assert capsys.readouterr() == ("", "")
