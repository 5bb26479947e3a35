"""Contenders of a comparison, ranked as a race ranks candidates, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthloom.domain.comparison import Figure, Recommendation, Standing
from synthloom.domain.errors import SynthloomError
from synthloom.domain.guarantee import Guarantee, PrivacyGuarantee
from synthloom.domain.measurement import Failed, Measurement, Undefined
from synthloom.domain.race import Heat
from synthloom.domain.run import RunRequest
from synthloom.planning.heats import C2ST, against, averaged, scores_of
from synthloom.planning.race import rank
from synthloom.registry import AnyMethod
from synthloom.reports.build import judge

_QUICKER = 3.0  # times as fast, for an equal that is mentioned beside the recommended one
_LEAST_SECONDS = 1.0  # below which nobody waits


@dataclass
class Contender:
    """A method made by a backend, and what it has done so far.

    Attributes:
        name: The method.
        backend: The backend.
        method: The method's class; None where nobody could be asked.
        error: Why it is not asked (again).
        params: Parameters that it is given.
        found: Measurements, per fit.
        fits: Seconds to learn, per fit.
        draws: Seconds to draw, per fit.
        memory: MB, per fit, where it was measured.
        guarantee: What it promises.
        reason: The error, for people.
    """

    name: str
    backend: str
    method: AnyMethod | None = None
    error: SynthloomError | None = None
    params: dict[str, Any] = field(default_factory=dict)
    found: list[tuple[Measurement, ...]] = field(default_factory=list)
    fits: list[float] = field(default_factory=list)
    draws: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    guarantee: Guarantee | None = None
    reason: str = ""

    @property
    def label(self) -> str:
        """`ctgan by synthcity`."""
        return f"{self.name} by {self.backend}"


def standings_of(contenders: Sequence[Contender], request: RunRequest) -> tuple[Standing, ...]:
    """Best first, then those who were not measured."""
    made = {c.label: _standing(c, request) for c in contenders}
    heats = [_heat(c, made[c.label]) for c in contenders if made[c.label].state == "measured"]
    order = [h.method for h in rank(heats)]
    ranked = [made[label].model_copy(update={"place": place}) for place, label in enumerate(order, 1)]
    return (*ranked, *(s for label, s in made.items() if label not in order))


def _standing(c: Contender, request: RunRequest) -> Standing:
    base = Standing(
        method=c.name, backend=c.backend, state="absent" if c.method is None else "failed", reason=c.reason,
        params=dict(c.params), seeds=len(c.found),
    )
    if not c.found:
        return base
    means = averaged(c.found)
    limits = [t for t in request.thresholds if t.key in means]
    said = against(means, [t for t in limits if t.key.startswith("privacy.")])
    failed = tuple(v.threshold.name for v in judge(tuple(means.values()), limits) if not v.passed)
    unfinished = f"It was fitted {len(c.found)} times, then failed: {c.reason} " if c.reason else ""
    return base.model_copy(update={
        "state": "measured", "reason": f"{unfinished}{' '.join(said)}".strip(), "inside": not said,
        "figures": _figures(c.found, means), "undefined": _undefined(means), "failed_limits": failed,
        "fit_seconds": round(float(np.mean(c.fits)), 3), "sample_seconds": round(float(np.mean(c.draws)), 3),
        "memory_mb": round(max(c.memory), 1) if c.memory else None, "privacy": _promise(c.guarantee),
    })


def _figures(found: Sequence[tuple[Measurement, ...]], means: Mapping[str, Measurement]) -> dict[str, Figure]:
    values = {key: [m.value for trial in found for m in trial if m.info.key == key and m.value is not None]
              for key in means}
    return {
        key: Figure(mean=score.value, low=score.low, high=score.high, least=min(values[key]), most=max(values[key]))
        for key, score in scores_of(means).items()
    }


def _undefined(means: Mapping[str, Measurement]) -> dict[str, str]:
    reasons = {}
    for key, m in means.items():
        if isinstance(m.outcome, Undefined):
            reasons[key] = m.outcome.reason
        elif isinstance(m.outcome, Failed):
            reasons[key] = m.outcome.error
    return reasons


def _promise(guarantee: Guarantee | None) -> str:
    if isinstance(guarantee, PrivacyGuarantee):
        return f"ε = {guarantee.epsilon:g}, δ = {guarantee.delta:.3g} for one {guarantee.unit}"
    if guarantee is not None and guarantee.stated_epsilon is not None:
        return f"none (states ε = {guarantee.stated_epsilon:g}, which is not kept)"
    return "none"


def _heat(c: Contender, standing: Standing) -> Heat:
    """A contender as a race ranks it."""
    return Heat(
        round=1, method=c.label, seconds=standing.fit_seconds or 0.0, scores=scores_of(averaged(c.found)),
        inside=bool(standing.inside), placing="behind",
    )


def recommend(standings: Sequence[Standing]) -> Recommendation | None:
    """The first one, with what speaks for it in numbers, and an equal that is much quicker."""
    measured = [s for s in standings if s.state == "measured"]
    if not measured:
        return None
    best, rest = measured[0], measured[1:]
    area = best.figures.get(C2ST)
    told = "it ranks first"
    if area:
        told = f"its rows are told from real ones with an area of {area.mean:.3f} (0.5 is best)"
    limits = "inside the privacy limits" if best.inside else "but no contender kept every privacy limit"
    parts = [f"{best.label}: {told}, {limits}"]
    near = [s for s in rest if s.inside is best.inside and area and C2ST in s.figures and _level(s, best)]
    nearer = [s for s in rest if area and C2ST in s.figures and s.figures[C2ST].mean < area.mean and not s.inside]
    if rest and area and C2ST in rest[0].figures:
        parts.append(f"next is {rest[0].label} with {rest[0].figures[C2ST].mean:.3f}")
    if nearer and best.inside:
        parts.append(f"{', '.join(s.label for s in nearer)} came nearer, outside the privacy limits")
    if near:
        verb = "is" if len(near) == 1 else "are"
        names = ", ".join(s.label for s in near)
        parts.append(f"{names} {verb} as near within chance, so likeness and utility decided")
    if best.fit_seconds is not None:
        parts.append(f"it took {_seconds(best.fit_seconds)} to learn")
    quick = [s for s in near if s.fit_seconds is not None and best.fit_seconds is not None
             and best.fit_seconds > max(_QUICKER * s.fit_seconds, _LEAST_SECONDS)]
    if quick:
        parts.append(f"if time counts, {quick[0].label} took {_seconds(quick[0].fit_seconds or 0.0)}")
    return Recommendation(method=best.method, backend=best.backend, reason=f"{'; '.join(parts)}.")


def _level(one: Standing, best: Standing) -> bool:
    """Whether a contender's area lies within the best one's interval."""
    area, other = best.figures[C2ST], one.figures[C2ST]
    half = (area.high - area.low) / 4 if area.high is not None and area.low is not None else 0.0
    return max(other.mean, 0.5) <= max(area.mean, 0.5) + half


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
