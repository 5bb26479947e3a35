"""What a run's page shows of its events."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from synthloom.domain import event as ev
from synthloom.domain.records import RunRecord, StampedEvent
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.http.page.live import Live, LiveBook, thinned

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def stamped(events: Iterable[ev.Event], *, first: int = 1, delivery: int = 1) -> list[StampedEvent]:
    return [
        StampedEvent(number=first + i, delivery=delivery, at=BEGAN + timedelta(seconds=2 * i), event=event)
        for i, event in enumerate(events)
    ]


class Shelf:
    """Events of one run, given out in pages."""

    def __init__(self, events: list[StampedEvent]) -> None:
        self.kept = events
        self.asked: list[int] = []

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        self.asked.append(after)
        return tuple([e for e in self.kept if e.number > after][:limit])


def run(status: RunStatus = RunStatus.RUNNING) -> RunRecord:
    return RunRecord(
        dataset_id="d", run_id="r", request=RunRequest(), created_at=BEGAN, not_before=BEGAN, status=status,
    )


LEARNING: tuple[ev.Event, ...] = (
    ev.StepStarted(step="read"), ev.StepFinished(step="read"), ev.StepStarted(step="plan"),
    ev.Notice(code="x", message="told", column="age"), ev.StepFinished(step="plan", message="cart"),
    ev.StepStarted(step="fit"), ev.Progress(step="fit", fraction=0.5, message="half"),
    ev.Loss(name="train", iteration=1, value=3.0),
)


def test_steps_progress_losses_and_log() -> None:
    live = LiveBook().look(Shelf(stamped(LEARNING)), run())
    assert [live.steps[s].state for s in ("read", "plan", "fit", "sample")] == ["done", "done", "active", "waiting"]
    assert live.steps["read"].seconds == 2
    assert (live.title, live.message) == ("Learning", "half")
    assert 0 < live.fraction < 1
    assert live.left(BEGAN + timedelta(seconds=60)) is not None
    assert [(line.look, line.text, line.column) for line in live.log] == [
        ("step", "Reading the table", None), ("notice", "told", "age"), ("step", "Choosing a method: cart", None),
    ]
    assert len(live.charts()) == 1


def test_a_chart_for_narrow_screens_is_narrower_and_its_ids_are_its_own() -> None:
    live = LiveBook().look(Shelf(stamped(LEARNING)), run())
    [wide], [narrow] = live.charts(), live.charts(narrow=True)
    widths = [float(re.search(r'viewBox="0 0 ([0-9.]+)', chart).group(1)) for chart in (wide, narrow)]
    assert widths[1] < 340 < widths[0]
    ids = [set(re.findall(r'id="([^"]+)"', chart)) for chart in (wide, narrow)]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]


def test_a_look_reads_only_what_is_new_and_changes_no_earlier_one() -> None:
    shelf, book = Shelf(stamped(LEARNING)), LiveBook()
    before = book.look(shelf, run())
    shelf.kept += stamped([ev.StepFinished(step="fit"), ev.StepStarted(step="sample")], first=9)
    after = book.look(shelf, run())
    assert shelf.asked == [0, 8]
    assert (before.steps["fit"].state, after.steps["fit"].state) == ("active", "done")
    assert after.fraction > before.fraction
    assert len(before.log) < len(after.log)


def test_more_events_than_a_page_are_all_taken() -> None:
    losses: list[ev.Event] = [ev.Loss(name="train", iteration=i, value=1.0) for i in range(2500)]
    shelf = Shelf(stamped([ev.StepStarted(step="fit"), *losses]))
    live = LiveBook().look(shelf, run())
    assert live.last == 2501
    shown = thinned(live.losses)
    assert len(shown) <= 241
    assert shown[-1].iteration == 2499


def test_another_attempt_begins_its_steps_anew() -> None:
    again: tuple[ev.Event, ...] = (ev.StepFinished(step="fit"), ev.StepStarted(step="fit", attempt=2))
    live = LiveBook().look(Shelf(stamped((*LEARNING, *again))), run())
    assert live.title == "Learning (attempt 2)"
    assert live.steps["fit"].state == "active"
    assert live.steps["plan"].state == "done"
    assert live.losses == []


def test_another_worker_begins_everything_anew_and_the_log_says_so() -> None:
    events = stamped(LEARNING) + stamped([ev.StepStarted(step="read")], first=9, delivery=2)
    live = LiveBook().look(Shelf(events), run())
    assert live.steps["plan"].state == "waiting"
    assert live.log[-1].look == "worker"
    assert live.losses == []


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_what_was_going_on_stops_with_the_run(status: RunStatus) -> None:
    assert LiveBook().look(Shelf(stamped(LEARNING)), run(status)).steps["fit"].state == "stopped"


def test_only_so_many_runs_are_held() -> None:
    book, shelf = LiveBook(most=2), Shelf(stamped(LEARNING))
    for run_id in ("a", "b", "c", "a"):
        book.look(shelf, run().model_copy(update={"run_id": run_id}))
    assert shelf.asked == [0, 0, 0, 0]
    book.look(shelf, run().model_copy(update={"run_id": "a"}))
    assert shelf.asked[-1] == 8


def test_nothing_has_happened_yet() -> None:
    live = Live()
    assert (live.title, live.message, live.fraction) == ("Starting", "", 0)
    assert live.charts() == []
