"""Methods that race, and a clock to time them by."""

from __future__ import annotations

import time

import pandas as pd
from pydantic import Field

from methods_for_tests import IndependentMarginals, MarginalsParams
from synthloom import registry
from synthloom.domain.errors import CancelledError, FitError
from synthloom.domain.event import Loss, Notice
from synthloom.domain.run import RunRequest
from synthloom.planning import heats
from synthloom.planning.race import Stopwatch, run_race
from synthloom.tables.dataset import Dataset
from synthloom.tables.rng import child
from synthloom.testing.example_tables import mixed

QUICK = tuple(m for m in registry.metrics() if m.info.key in ("utility.ks_mean", "privacy.mia_auc", "privacy.dup_rate"))


def kind(name, base=IndependentMarginals, **more):
    """A method class of its own name."""
    info = base.info.__class__(name=name, title=name, summary=name, paper="none", needs=more.pop("needs", None))
    return type(name, (base,), {"info": info, **more})


class Even(IndependentMarginals):
    """Draws labels evenly: easy to tell from real rows."""

    def sample(self, n, rng, conditions=None, emit=lambda e: None, cancelled=lambda: False):
        self.params = self.params.model_copy(update={"blur": 1.0})
        return super().sample(n, rng, conditions, emit, cancelled)


class Partly(IndependentMarginals):
    """Draws new rows of the very table, but a share of them with columns that know nothing of each other."""

    off = 0.0

    def sample(self, n, rng, conditions=None, emit=lambda e: None, cancelled=lambda: False):
        rows = mixed(n, int(rng.integers(2**31))).table
        loose = super().sample(n, rng, conditions, emit, cancelled)
        where = rng.random(n) < self.off
        return pd.DataFrame({name: rows[name].where(~where, loose[name]).astype(loose[name].dtype) for name in loose})


class CannotLearn(IndependentMarginals):
    def fit(self, *args, **more):
        raise FitError("this method learns nothing.")


class Broken(IndependentMarginals):
    def fit(self, *args, **more):
        raise ZeroDivisionError("-".join(["secret", "cell"]))


class Copier(IndependentMarginals):
    """Hands out the rows it was given: nobody can tell them from real ones, and everybody is in them."""

    def fit(self, table, *args, **more):
        self._rows = table
        return self

    def sample(self, n, rng, *args, **more):
        return self._rows.iloc[rng.integers(len(self._rows), size=n)].reset_index(drop=True)


class Clock:
    """A clock that methods turn."""

    now = 0.0

    def __call__(self):
        return self.now


class TimedParams(MarginalsParams):
    max_seconds: float | None = Field(None, gt=0, description="Seconds.")
    device: str = Field("auto", description="Where.")


def timed(name, clock, needs=None, seconds=None, seen=None):
    """A method that plans its time: it takes all it is given, and a loss for each second of it."""

    class Timed(IndependentMarginals):
        Params = TimedParams

        def fit(self, table, schema, rng, emit=lambda e: None, cancelled=lambda: False):
            if seen is not None:
                seen.append((len(table), self.params.max_seconds))
            clock.now += self.params.max_seconds or 0.0 if seconds is None else seconds
            if cancelled():
                raise CancelledError("cancelled.")
            emit(Loss(name="train", iteration=1, value=1.0))
            emit(Notice(code="suppressed", message="a rule was applied"))
            return super().fit(table, schema, rng, emit, cancelled)

    return kind(name, Timed, needs=needs, Params=TimedParams)


def dataset(rows=500, seed=1):
    case = mixed(rows, seed)
    return Dataset(case.table, case.schema, "people.csv", "0" * 64)


def hold(known, rows=420, *, clock=None, emit=lambda e: None, cancelled=lambda: False, seed=7, **request):
    data = dataset(rows)
    request = RunRequest(**{"budget": 120.0, **request})
    watch = Stopwatch(request.budget, clock or time.monotonic)
    return run_race(
        data.frame, data.schema, request, watch, stream=lambda *names: child(seed, *names), emit=emit,
        cancelled=cancelled, known=known,
    )


GOOD, EVEN = kind("gaussian_copula"), kind("cart", Even)
TWO = {"gaussian_copula": GOOD, "cart": EVEN}


class Heavy(IndependentMarginals):
    """Takes a second for 40 rows, and cannot plan its time."""

    clock = None

    def fit(self, table, *args, **more):
        type(self).clock.now += len(table) / 40
        return super().fit(table, *args, **more)


def few_rows(monkeypatch):
    monkeypatch.setattr(heats, "LEARNT_ROWS", 600)
    monkeypatch.setattr(heats, "VALIDATION_ROWS", 400)
