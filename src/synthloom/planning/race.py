"""A race between methods: measure, then choose.

Candidates learn a part of the training rows and are measured against another part. In the first round all of them get
few rows and little time; the better half goes on with more of both (successive halving, Jamieson and Talwalkar 2016).
Whoever is hardest to tell from real rows among those inside the privacy limits wins, and learns all rows in what is
left of the budget.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import pandas as pd

from synthloom.domain.budget import budget_text
from synthloom.domain.errors import CancelledError
from synthloom.domain.event import Cancelled, Emit, Event, Notice, Progress
from synthloom.domain.plan import Plan
from synthloom.domain.race import Heat, Placing, Race
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import Schema
from synthloom.planning.heats import C2ST, CLOSENESS, UTILITY, Stream, Track, Watch, lay_out, run_heat
from synthloom.planning.heuristics import SMALL, candidates, first_plan, plan_for, within_budget
from synthloom.registry import AnyMethod, lacking, methods, resolve_method

FEWEST_ROWS = 250
"""Training rows below which nothing is measured: the rows kept apart would be too few to tell methods apart."""
FEWEST_SECONDS = 10.0
"""Shortest budget that is worth a race."""
SHARE = 0.45
"""Part of the budget that a race plans for; the rest is the winner's."""
ORDER = ("gaussian_copula", "cart", "autoregressive", "ddpm", "tvae", "ctgan")
"""Who runs first: the cheap ones, then those that have measured best; others follow by name."""
FIRST_ROWS = 5000
"""Rows that candidates learn in the first of two rounds at most; half of what there is in smaller tables."""
HALVED_ROWS = 1000
"""Rows to learn from below which there is one round only: half of them would say too little."""
_FIRST_SHARE = 0.35  # of the race's time, for the first of two rounds
_CAUTION = 0.7  # of the rows that the time left would allow if learning took time in proportion to rows
_GRACE = 0.15  # of the budget, by which a candidate may overrun the race's time
_LEAST = 1.0  # seconds that a candidate needs to show anything
_FULL = 20.0  # seconds that a candidate of the last round should have, if it is one that uses all the time it is given
_HALF = 12.0  # seconds that each of several should have there, where the first round could not tell them apart
_APART = 2.0  # standard errors of a difference, from which on the first round can
_WORTH = 3.0  # seconds of learning worth a heat: where there are fewer for each, those who start later get none
_LIKE = 0.005
"""By how much two nets' likeness (the sum of what `CLOSENESS` names) differs by chance at most: two standard deviations
of the difference between rows drawn anew from the same two fits, 6,000 rows against 4,000 of census."""
_Z = 2 * NormalDist().inv_cdf(0.975)


@dataclass
class Stopwatch:
    """A budget running out.

    Attributes:
        seconds: The budget.
        clock: Seconds.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def spent(self) -> float:
        """Seconds gone."""
        return self.clock() - self.began

    @property
    def left(self) -> float:
        """Seconds left, 0 at least."""
        return max(self.seconds - self.spent, 0.0)


@dataclass(frozen=True)
class Result:
    """What a race gives.

    Attributes:
        plan: The winner's; None where nobody could be measured.
        race: How it came about.
        ranking: All who were measured, best first.
        rows: Training rows that the winner is to learn, where all of them would take longer than is left; else None.
        seconds: How long all of them would take, estimated.
    """

    plan: Plan | None
    race: Race
    ranking: tuple[str, ...]
    rows: int | None = None
    seconds: float = 0.0


def contest(
    schema: Schema, n_rows: int, request: RunRequest, known: Mapping[str, AnyMethod] | None = None
) -> tuple[list[str], str]:
    """Who would race, in the order of starting; or nobody, and a sentence on why.

    Args:
        schema: What the columns are.
        n_rows: Training rows.
        request: What is asked for.
        known: Methods to choose from in place of the installed ones.
    """
    if request.method != "auto" or request.budget is None:
        return [], ""
    if request.dp is not None:
        return [], "Nothing was measured beforehand: that would void differential privacy."
    if n_rows < FEWEST_ROWS:
        return [], f"Nothing was measured beforehand: fewer than {FEWEST_ROWS} training rows cannot tell methods apart."
    if request.budget < FEWEST_SECONDS:
        return [], f"Nothing was measured beforehand: a budget below {FEWEST_SECONDS:g} s is too short."
    usable = methods(known)
    names = [n for n in candidates(schema, n_rows, request, known)[0] if n_rows >= SMALL or not usable[n].info.needs]
    if len(names) < 2:
        return [], ""
    return sorted(names, key=lambda n: (bool(usable[n].info.needs), _place(n), n)), ""


def outlook(
    schema: Schema, n_rows: int, request: RunRequest, known: Mapping[str, AnyMethod] | None = None
) -> Plan:
    """The plan that a run would begin with without measuring, and in its reason who would race before that."""
    plan = first_plan(schema, n_rows, request, known=known)
    names, why = contest(schema, n_rows, request, known)
    if request.budget is not None and names:
        why = f"A run measures {', '.join(names)} first, within {budget_text(request.budget)}, and takes the best. "
        return plan.model_copy(update={"reason": f"{why}Without measuring: {plan.reason}"})
    return plan.model_copy(update={"reason": f"{plan.reason} {why}".strip()})


def absent(
    n_rows: int, known: Mapping[str, AnyMethod] | None = None
) -> tuple[dict[str, str], Notice | None]:
    """Methods that would race if what they need were installed, each with what to do, and one notice on them all."""
    found = {n: error for n, m in methods(known).items() if (error := lacking(m)) is not None}
    if not found or n_rows < SMALL:
        return {}, None
    names = sorted(found, key=lambda n: (_place(n), n))
    how = "; ".join(dict.fromkeys(str(e.do) for e in found.values()))
    return {n: str(found[n].do) for n in names}, Notice(
        code="absent", message=f"Not measured, as what they need is not installed: {', '.join(names)}. {how}",
    )


def run_race(
    train: pd.DataFrame, schema: Schema, request: RunRequest, watch: Stopwatch, *, stream: Stream,
    emit: Emit, cancelled: Cancelled, known: Mapping[str, AnyMethod] | None = None,
) -> Result | None:
    """Let methods race.

    The same seed gives the same splits and the same starts; how far a method with a limit on its time comes, and
    whether there is time for all, depends on the machine.

    Args:
        train: Canonical training rows, `contest` of which named somebody.
        schema: Their schema.
        request: What is asked for.
        watch: The budget; a race takes about half of it at most.
        stream: Randomness by purpose.
        emit: Hears of progress, as step `plan`, and of every heat (Notice `heat`).
        cancelled: Asked often; when true, CancelledError is raised within a second.
        known: Methods to choose from in place of the installed ones.

    Returns:
        The result; its plan is None where nobody could be measured. None where the rows are too alike to keep some
        apart that were not learnt.

    Raises:
        CancelledError: cancelled.
    """
    names, _ = contest(schema, len(train), request, known)
    track = lay_out(train, schema, request, stream, known)
    if track is None:
        return None
    lost, notice = absent(len(train), known)
    if notice is not None:
        emit(notice)
    course = _Course(track, request, watch, emit, cancelled)
    course.run(names)
    return _settle(course, len(train), lost)


@dataclass
class _Course:
    """A race under way."""

    track: Track
    request: RunRequest
    watch: Stopwatch
    emit: Emit
    cancelled: Cancelled
    heats: list[Heat] = field(default_factory=list)
    ranked: list[Heat] = field(default_factory=list)
    past: int = 0
    turns: int = 1
    told: float = 0.0
    overhead: float = 2.0  # seconds to measure, learnt as it goes

    @property
    def time(self) -> float:
        """Seconds the race may take."""
        return SHARE * self.watch.seconds

    def run(self, names: Sequence[str]) -> None:
        """Both rounds, or the one where that is enough."""
        size = self.track.size
        two = len(names) > 2 and size >= HALVED_ROWS
        rounds = [min(FIRST_ROWS, size // 2), size] if two else [size]
        running = list(names)
        self.turns = len(names) + (math.ceil(len(names) / 2) if two else 0)
        for number, rows in enumerate(rounds, 1):
            last = number == len(rounds)
            until = self.time * (1.0 if last else _FIRST_SHARE)
            done = []
            running.sort(key=self._timed)
            for k, name in enumerate(running):
                ahead = until - self.watch.spent
                share = max(ahead / (len(running) - k), min(ahead, self.overhead + _WORTH))
                done.append(self._heat(name, number, rows, share, rough=not last))
            ranked = rank([h for h in done if h.scores])
            ranked = by_record(ranked, self._timed) if last else ranked
            running = [] if last else self._ahead(ranked, done)
            self.heats += [placed(h, "ahead") if h.method in running and h.inside else h for h in done]
            newer = {h.method for h in ranked}
            merged = ranked + [h for h in self.ranked if h.method not in newer]
            self.ranked = sorted(merged, key=lambda h: not h.inside)
            if not running:
                return

    def _ahead(self, ranked: Sequence[Heat], started: Sequence[Heat]) -> list[str]:
        """Who goes on, best first: the better half of those that are done with learning, and of those that are not.

        They are halved apart, as a few seconds of a training say little of its end against one that has ended. Of
        those that use all the time they are given, as many go on as get enough; those that the first round cannot tell
        from their best are content with less, and whoever has measured best elsewhere stands first among them.
        """
        done, timed = (self._half(ranked, started, timed=t) for t in (False, True))
        level = [h for h in timed if not _clearly_behind(h, timed[0])]
        level.sort(key=lambda h: _place(h.method))
        left = self.time - self.watch.spent - self.overhead * len(done)
        many = max(int(left / _FULL), min(len(level), int(left / _HALF)), 1)
        kept = [*level, *(h for h in timed if h not in level)][:many]
        return [h.method for h in (*done, *kept)]

    def _half(self, ranked: Sequence[Heat], started: Sequence[Heat], *, timed: bool) -> list[Heat]:
        many = math.ceil(sum(self._timed(h.method) == timed for h in started) / 2)
        return [h for h in ranked if self._timed(h.method) == timed][:many]

    def _timed(self, name: str) -> bool:
        """Whether a method uses all the time it is given."""
        return bool(resolve_method(name, self.track.known).budget_params(1.0))

    def _heat(self, name: str, number: int, rows: int, share: float, *, rough: bool) -> Heat:
        """One candidate's turn, told as it goes and when it is done."""
        if self.cancelled():
            raise CancelledError("the run was cancelled.")
        rows, repeats = min(rows, self.track.size), len(self.track.splits)
        if share < _LEAST:
            reason = "There was no time left for it."
            heat = Heat(round=number, method=name, rows=rows, placing="late", reason=reason)
        else:
            plan = plan_for(resolve_method(name, self.track.known), self.request, "")
            seconds = max((share - self.overhead) / repeats, _LEAST)
            plan = within_budget(plan, self.request, seconds, self.track.known)
            began = self.watch.spent
            most = min(max(2 * share, (self.time - began) / 2), self.time - began + _GRACE * self.watch.seconds)
            watch = Watch(self.cancelled, self.watch.clock, self.watch.clock() + most)
            heat = run_heat(self.track, plan, number, rows, watch=watch, emit=self._relay(name), rough=rough)
            if heat.scores:  # what a heat takes beyond the learning that a method plans for
                planned = min(float(plan.params.get("max_seconds", math.inf)), heat.seconds)
                self.overhead = max(0.2, self.watch.spent - began - planned * repeats)
        self.past += 1
        self._tell(self.past / self.turns, f"{name} measured")
        self.emit(Notice(code="heat", message=heat_text(heat)))
        return heat

    def _relay(self, name: str) -> Emit:
        """What a candidate says of itself becomes the race's progress; its notices and losses are not the run's."""
        parts = {"fit": (0.0, 0.6, "learns"), "sample": (0.6, 0.1, "draws"), "measure": (0.7, 0.3, "is measured")}
        repeats = len(self.track.splits)
        begun: list[str] = []  # each split runs through all parts

        def relay(event: Event) -> None:
            if not isinstance(event, Progress) or event.step not in parts:
                return
            if not begun or (event.step == "fit" and begun[-1] != "fit"):
                begun.append("")
            begun[-1] = event.step
            base, width, verb = parts[event.step]
            within = (min(len(begun), repeats) - 1 + base + width * event.fraction) / repeats
            self._tell((self.past + within) / self.turns, f"{name} {verb}")

        return relay

    def _tell(self, fraction: float, message: str) -> None:
        self.told = max(self.told, min(fraction, 1.0))
        self.emit(Progress(step="plan", fraction=self.told, message=message))


def rank(heats: Sequence[Heat]) -> list[Heat]:
    """Best first: inside the privacy limits before outside; then by how hard they are to tell from real rows.

    Candidates within one standard error of the best are as good as equal to a detector; among them the likeness of
    columns and pairs, and what a predictor learns from the rows, decide.
    """
    ranked = []
    for inside in (True, False):
        left = [h for h in heats if bool(h.inside) is inside]
        while left:
            best = min(left, key=_told_apart)
            limit = _told_apart(best) + _error(best)
            level = [h for h in left if _told_apart(h) <= limit]
            by_likeness = sorted(zip(_likeness(level), level, strict=True), key=lambda pair: -pair[0])
            ranked += [h for _, h in by_likeness]
            left = [h for h in left if h not in level]
    return ranked


def by_record(ranked: Sequence[Heat], timed: Callable[[str], bool]) -> list[Heat]:
    """The last round's order: among nets that cannot be told from the best one, who has measured best elsewhere.

    So only where a net is first, and only for one that is no less like the table in columns, pairs and what a
    predictor learns, beyond what chance explains: then the order of the two is a matter of chance, and what other
    tables have shown is not.

    Args:
        ranked: Best first (`rank`).
        timed: Whether a method, by name, uses all the time it is given.
    """
    if not ranked or not timed(ranked[0].method):
        return list(ranked)
    like = _likeness(ranked)
    level = [
        h for h, likeness in zip(ranked, like, strict=True)
        if timed(h.method) and not _clearly_behind(h, ranked[0]) and likeness > like[0] - _LIKE
    ]
    first = min(level, key=lambda h: _place(h.method))
    return [first, *(h for h in ranked if h is not first)]


def placed(heat: Heat, placing: Placing, reason: str | None = None) -> Heat:
    """A heat with its placing, and why, where there is more to say."""
    return heat.model_copy(update={"placing": placing} | ({} if reason is None else {"reason": reason}))


def heat_text(heat: Heat) -> str:
    """A heat in a sentence."""
    if not heat.scores:
        return f"{heat.method}: {heat.reason[0].lower()}{heat.reason[1:]}"
    names = {C2ST: "told from real rows with an area of", "utility.shape": "shape", "utility.trend": "trend"}
    names |= dict.fromkeys(UTILITY, "utility") | {"privacy.dcr_share": "DCR share", "privacy.mia_auc": "membership"}
    said = [f"{name} {heat.scores[k].value:.3f}" for k, name in names.items() if k in heat.scores]
    end = "inside the privacy limits" if heat.inside else f"outside the privacy limits. {heat.reason}"
    return f"{heat.method} after {heat.rows:,} rows in {heat.seconds:.1f} s: {', '.join(said)}; {end.rstrip('.')}."


def _settle(course: _Course, n_rows: int, lost: Mapping[str, str]) -> Result:
    """Who won, how many rows it is to learn, and the table of the race."""
    winner = course.ranked[0] if course.ranked else None
    heats = [placed(h, "won") if winner is not None and h == winner else h for h in course.heats]
    heats += [Heat(round=0, method=n, placing="absent", reason=do) for n, do in lost.items()]
    race = Race(
        budget=course.watch.seconds, seconds=round(course.watch.spent, 1), rows=course.track.kept,
        repeats=len(course.track.splits), heats=tuple(heats), winner=winner.method if winner else None,
    )
    ranking = tuple(h.method for h in course.ranked)
    if winner is None:
        return Result(None, race, ranking)
    plan = plan_for(resolve_method(winner.method, course.track.known), course.request, _reason(course, winner))
    plan = plan.model_copy(update={"decided_by": "race"})
    wait, left = _learning_time(course, winner, n_rows), max(course.watch.left, FEWEST_SECONDS)
    if wait <= left:
        return Result(plan, race, ranking)
    rows = max(winner.rows, int(_CAUTION * n_rows * left / wait))
    return Result(plan, race, ranking, min(rows, n_rows), wait)


def _learning_time(course: _Course, heat: Heat, n_rows: int) -> float:
    """Seconds to learn all rows, estimated; nothing for methods that can plan their time."""
    if resolve_method(heat.method, course.track.known).budget_params(1.0):
        return 0.0
    return heat.seconds * n_rows / max(heat.rows, 1)


def _reason(course: _Course, winner: Heat) -> str:
    """The plan's reason: who was measured on what, how near they came, and why the nearest did not win if so."""
    measured = {h.method for h in course.heats if h.scores}
    repeats = f"{len(course.track.splits)} times " if len(course.track.splits) > 1 else ""
    head = (
        f"{len(measured)} method{'s were' if len(measured) > 1 else ' was'} measured on {repeats}"
        f"{course.track.kept:,} training rows kept apart, with a budget of {budget_text(course.watch.seconds)}"
    )
    others = [h for h in course.ranked if h.method != winner.method]
    areas = ", ".join(f"{h.method} {h.scores[C2ST].value:.3f}" for h in (winner, *others) if C2ST in h.scores)
    nearer = [h for h in others if _told_apart(h) < _told_apart(winner)]
    why = ", ".join(
        f"{h.method} is {'nearer by less than chance explains' if h.inside else 'outside the privacy limits'}"
        for h in nearer
    )
    place = f"is taken, as {why}" if nearer else "is hardest to tell from them"
    end = "" if winner.inside else "; no candidate kept every privacy limit"
    return f"{head}: {winner.method} {place}{f' (areas: {areas})' if areas else ''}{end}."


def _likeness(heats: Sequence[Heat]) -> list[float]:
    """How like the table each is in columns, pairs and what a predictor learns, by what all were measured on."""
    keys = [k for k in CLOSENESS if all(k in h.scores for h in heats)]
    return [sum(max(h.scores[k].value, 0.0) for k in keys) for h in heats]


def _told_apart(heat: Heat) -> float:
    return max(heat.scores[C2ST].value, 0.5) if C2ST in heat.scores else 2.0


def _clearly_behind(heat: Heat, other: Heat) -> bool:
    """Whether another is nearer to real rows by more than chance explains, or inside the privacy limits alone."""
    if heat.inside != other.inside:
        return bool(other.inside)
    return _told_apart(heat) - _told_apart(other) > _APART * math.hypot(_error(heat), _error(other))


def _error(heat: Heat) -> float:
    """Standard error of the detector's area."""
    score = heat.scores.get(C2ST)
    if score is None or score.low is None or score.high is None:
        return 0.0
    return (score.high - score.low) / _Z


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
