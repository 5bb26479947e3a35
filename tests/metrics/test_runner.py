"""The runner: progress, floors, failures, cancel."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from synthloom.domain.errors import CancelledError, TableError
from synthloom.domain.event import Progress
from synthloom.domain.measurement import Direction, Failed, Measured
from synthloom.metrics.catalog import ALL
from synthloom.metrics.contract import metric
from synthloom.metrics.runner import floor_tables, measure
from synthloom.testing.check_metric import population, population_tables


def declared(key: str, compute, **more):
    facts = {"title": key, "explanation": "e", "source": "s", "direction": Direction.LOWER, **more}
    return metric(key=key, **facts)(compute)


def test_everything_is_measured_in_order_with_floors() -> None:
    events: list[Progress] = []
    thread = threading.get_ident()
    threads = set()

    def emit(event) -> None:
        threads.add(threading.get_ident())
        events.append(event)

    found = measure(population_tables(500), ALL, emit)
    assert [m.info for m in found] == [m.info for m in ALL]
    for measurement, one in zip(found, ALL, strict=True):
        assert not isinstance(measurement.outcome, Failed)
        assert (measurement.floor is not None) == one.floored
    fractions = [e.fraction for e in events]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert {e.step for e in events} == {"measure"}
    assert threads == {thread}


def test_the_same_tables_give_the_same_measurements() -> None:
    assert measure(population_tables(300), ALL) == measure(population_tables(300), ALL)


def test_floors_halve_the_holdout_and_hide_nothing_else() -> None:
    tables = population_tables(301)
    halves = floor_tables(tables)
    assert halves is not None
    assert halves.floor
    assert halves.holdout is not None
    assert (len(halves.synthetic), len(halves.holdout)) == (150, 151)
    assert halves.train is tables.train
    assert floor_tables(replace(tables, holdout=None, _shared={})) is None
    assert all(m.floor is None for m in measure(tables, ALL[:3], floors=False))


def test_a_broken_metric_fails_loudly_and_alone(caplog) -> None:
    def breaks(_tables):
        raise ValueError("ecalevoL adA"[::-1])

    def objects(_tables):
        raise TableError("column is odd.", where="column 'x'")

    ok = declared("utility.fine", lambda _tables: Measured(value=1))
    found = measure(population_tables(50), [declared("utility.bad", breaks), declared("utility.odd", objects), ok])
    assert isinstance(found[0].outcome, Failed)
    assert "ValueError" in found[0].outcome.error
    assert "test_runner.py" in found[0].outcome.error
    assert isinstance(found[1].outcome, Failed)
    assert "column is odd" in found[1].outcome.error
    assert found[2].value == 1
    assert "utility.bad" in caplog.text
    assert "breaks" in caplog.text
    assert "Lovelace" not in caplog.text + found[0].outcome.error


def test_cancel_before_during_and_between() -> None:
    tables = population_tables(2_000)
    with pytest.raises(CancelledError):
        measure(replace(tables, cancelled=lambda: True), ALL)
    begun = time.perf_counter()
    with pytest.raises(CancelledError):
        measure(replace(tables, cancelled=lambda: time.perf_counter() - begun > 0.5, _shared={}), ALL)
    assert time.perf_counter() - begun < 2.5


def test_a_cancel_that_a_metric_raises_is_no_failure() -> None:
    def stops(_tables):
        raise CancelledError("stopped.")

    with pytest.raises(CancelledError):
        measure(population_tables(50), [declared("utility.stops", stops)])


def test_an_interrupt_while_telling_progress_stops_the_work() -> None:
    def interrupt(_event) -> None:
        raise KeyboardInterrupt

    begun = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        measure(population_tables(2_000), ALL, interrupt)
    assert time.perf_counter() - begun < 2.5


def test_warning_filters_come_back() -> None:
    import warnings

    before = list(warnings.filters)
    measure(population_tables(200, 1, population(200, 9)), ALL)
    assert list(warnings.filters) == before
