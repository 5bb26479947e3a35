"""One candidate of a race, measured: learn some rows, draw, and look at what came out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthloom.domain.errors import CancelledError, ContractError, SynthloomError, UsageError
from synthloom.domain.event import Cancelled, Emit
from synthloom.domain.measurement import Failed, Interval, Measured, Measurement, Threshold, Undefined
from synthloom.domain.plan import Plan
from synthloom.domain.race import Heat, Score
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import Schema
from synthloom.metrics.contract import Metric, Tables
from synthloom.metrics.runner import measure
from synthloom.registry import AnyMethod, create_synthesizer, resolve_method
from synthloom.registry import metrics as all_metrics
from synthloom.reports.build import judge
from synthloom.tables.release import recast
from synthloom.tables.split import split_holdout

C2ST = "utility.c2st"
UTILITY = ("utility.auroc", "utility.r2", "utility.c_index")
CLOSENESS = ("utility.shape", "utility.trend", *UTILITY)
"""What decides between candidates that a detector tells apart equally well: higher is better."""
LEAKS = {"privacy.dcr_share": 0.52, "privacy.mia_auc": 0.515}
"""Where the 95% interval of a leak's measure may begin at most; .5 is no leak.

The lines are what methods at the default privacy level stand at themselves, a little. With a line nearer to .5 one that
keeps what is promised of it fell out by chance in a third of the races, as the rows kept apart are few, and a method
that had hardly begun to learn won for want of another.
"""
VALIDATION_SHARE, VALIDATION_ROWS = 0.2, 4000
SMALL_SHARE, SMALL_ROWS, SMALL_REPEATS = 0.3, 2000, 3
"""Below so many rows more of them are kept apart, and several splits are measured, as one says little."""
LEARNT_ROWS = 20_000
"""Rows that a candidate learns from at most, so that a table of a million rows is decided on in minutes."""
DRAWN_ROWS = 6000
ROUGH_ROWS = 1500
FEWEST_VALIDATION_ROWS = 60
_log = logging.getLogger(__name__)

Stream = Callable[..., np.random.Generator]
"""Names of a purpose → its random generator."""


@dataclass(frozen=True)
class Track:
    """What candidates run on.

    Attributes:
        splits: Rows to learn from, shuffled, and rows to measure against, once or several times.
        schema: Their schema.
        thresholds: Limits on privacy that were asked for.
        metrics: What is measured.
        stream: Randomness by purpose.
        known: Methods to choose from in place of the installed ones.
    """

    splits: tuple[tuple[pd.DataFrame, pd.DataFrame], ...]
    schema: Schema
    thresholds: tuple[Threshold, ...]
    metrics: tuple[Metric, ...]
    stream: Stream
    known: Mapping[str, AnyMethod] | None

    @property
    def size(self) -> int:
        """Rows there are to learn from."""
        return min(len(learn) for learn, _ in self.splits)

    @property
    def kept(self) -> int:
        """Rows there are to measure against."""
        return min(len(kept) for _, kept in self.splits)


def lay_out(
    train: pd.DataFrame, schema: Schema, request: RunRequest, stream: Stream, known: Mapping[str, AnyMethod] | None
) -> Track | None:
    """A race track out of training rows; None where too few rows are left to measure against."""
    small = len(train) < SMALL_ROWS
    share = SMALL_SHARE if small else VALIDATION_SHARE
    most = LEARNT_ROWS + VALIDATION_ROWS
    splits = []
    for k in range(SMALL_REPEATS if small else 1):
        rng = stream("race", "split", k)
        rows = train if len(train) <= most else train.iloc[rng.permutation(len(train))[:most]].reset_index(drop=True)
        learn, kept = split_holdout(rows, schema, min(share, VALIDATION_ROWS / len(rows)), rng)
        if len(kept) < FEWEST_VALIDATION_ROWS:
            return None
        splits.append((_shuffled(learn, rng), _shuffled(kept, rng)))
    limits = tuple(t for t in request.thresholds if t.key.startswith("privacy."))
    wanted = {C2ST, *CLOSENESS, *LEAKS, *(t.key for t in limits)}
    chosen = tuple(m for m in all_metrics() if m.info.key in wanted)
    return Track(tuple(splits), schema, limits, chosen, stream, known)


def _shuffled(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True)


@dataclass
class Watch:
    """Tells a candidate to stop: when the run is cancelled, or when its own time is over."""

    cancelled: Cancelled
    clock: Callable[[], float]
    until: float
    late: bool = False

    def __call__(self) -> bool:
        """Whether to stop."""
        if self.cancelled():
            return True
        self.late = self.late or self.clock() > self.until
        return self.late


def run_heat(
    track: Track, plan: Plan, number: int, rows: int, *, watch: Watch, emit: Emit, rough: bool = False
) -> Heat:
    """Let a candidate learn, draw and be measured.

    Args:
        track: Where.
        plan: The candidate.
        number: Of the round.
        rows: Rows to learn from.
        watch: Tells it to stop.
        emit: Hears of progress.
        rough: Measure on a part of the rows kept apart: enough to see who is far behind, in less time.

    Returns:
        Its heat, with placing `behind` until somebody ranks it; `late` or `failed` where it was not measured.
    """
    start = watch.clock()
    heat = Heat(round=number, method=plan.method, rows=min(rows, track.size), placing="failed")
    found: list[tuple[Measurement, ...]] = []
    spent, seed = 0.0, int(track.stream("race", "measure").integers(2**31))
    try:
        for k, (learn, kept) in enumerate(track.splits):
            began = watch.clock()
            part = learn.iloc[:rows].reset_index(drop=True)
            held = kept.iloc[:ROUGH_ROWS].reset_index(drop=True) if rough else kept
            names = ("race", number, plan.method, k)
            synthesizer = create_synthesizer(resolve_method(plan.method, track.known), plan.params)
            synthesizer.fit_canonical(part, track.schema, track.stream(*names, "fit"), emit, watch)
            n = max(len(held), min(len(part), 2 * len(held) if rough else DRAWN_ROWS))
            drawn = synthesizer.sample_canonical(n, track.stream(*names, "sample"), None, emit, watch)
            data = recast(drawn, track.schema)
            spent += watch.clock() - began
            support = getattr(synthesizer.params, "min_support", None)
            tables = Tables(
                part, held, data, track.schema, seed=seed, cancelled=watch.cancelled, quick=True,
                min_support=support if isinstance(support, int) else 5,
            )
            found.append(measure(tables, track.metrics, emit, floors=False))
    except CancelledError:
        if not watch.late:
            raise
        reason = f"It was not done after {watch.clock() - start:.0f} s."
        return heat.model_copy(update={"placing": "late", "reason": reason, "seconds": round(spent, 2)})
    except UsageError:
        raise
    except SynthloomError as error:
        what = "It broke its contract" if isinstance(error, ContractError) else "It could not learn these rows"
        return heat.model_copy(update={"reason": f"{what}: {error.text()}"})
    except Exception as error:  # noqa: BLE001  # a defect of one candidate must not end the others' race
        # A foreign error's message may quote a cell: the log gets where it happened and what it was, not what it said.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.error("candidate %s broke: %s\n%s", plan.method, type(error).__name__, frames)
        return heat.model_copy(update={"reason": f"It broke ({type(error).__name__}); the log has the traceback."})
    return _scored(heat, averaged(found), track, spent / len(track.splits))


def averaged(found: Sequence[tuple[Measurement, ...]]) -> dict[str, Measurement]:
    """Over splits: the mean of the values and, for the interval, of its ends, where all splits have a value."""
    means: dict[str, Measurement] = {}
    for repeats in zip(*found, strict=True):
        outcomes = [m.outcome for m in repeats]
        measured = [o for o in outcomes if isinstance(o, Measured)]
        if len(measured) < len(outcomes):
            means[repeats[0].info.key] = next(m for m in repeats if not isinstance(m.outcome, Measured))
            continue
        ends = [o.interval for o in measured if o.interval is not None]
        interval = Interval(
            low=float(np.mean([e.low for e in ends])), high=float(np.mean([e.high for e in ends])),
        ) if len(ends) == len(measured) else None
        value = float(np.mean([o.value for o in measured]))
        means[repeats[0].info.key] = Measurement(info=repeats[0].info, outcome=Measured(value=value, interval=interval))
    return means


def _scored(heat: Heat, means: Mapping[str, Measurement], track: Track, seconds: float) -> Heat:
    scores = scores_of(means)
    said = against(means, track.thresholds)
    return heat.model_copy(update={
        "scores": scores, "inside": not said, "placing": "behind" if not said else "outside",
        "reason": " ".join(said), "seconds": round(seconds, 2),
    })


def scores_of(means: Mapping[str, Measurement]) -> dict[str, Score]:
    """Values with their intervals, of what could be measured."""
    scores = {}
    for key, m in means.items():
        if isinstance(m.outcome, Measured):
            ends = m.outcome.interval
            scores[key] = Score(
                value=m.outcome.value, low=ends.low if ends else None, high=ends.high if ends else None
            )
    return scores


def against(means: Mapping[str, Measurement], thresholds: Sequence[Threshold]) -> list[str]:
    """What speaks against a candidate's privacy, a sentence each; what is undefined here the run itself will judge."""
    there = {k: m for k, m in means.items() if not isinstance(m.outcome, Undefined)}
    limits = [t for t in thresholds if t.key in there]
    said = [
        f"{v.threshold.name}: {v.reason}" for v in judge(tuple(there.values()), limits) if not v.passed
    ]
    for key, line in LEAKS.items():
        m = there.get(key)
        if m is None or isinstance(m.outcome, Failed):
            said += [f"{m.info.title}: the measurement failed."] if m and key not in {t.key for t in limits} else []
        elif isinstance(m.outcome, Measured) and m.outcome.interval and m.outcome.interval.low > line:
            said.append(
                f"{m.info.title}: {m.outcome.value:.3f}, with an interval from {m.outcome.interval.low:.3f} on, is "
                "more than chance explains."
            )
    return said
