"""SynthCity's metrics beside ours, under `synthcity.*`: what they call themselves, which way is better, what they say.

All of them are asked for at once, in SynthCity's interpreter, over the rows learnt from, the rows kept back and the
rows drawn, each where it belongs. A metric that SynthCity lets vanish is `Undefined` with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.backends.bridge import Session
from synthloom.backends.outsider import Outsider
from synthloom.backends.translate import Translation
from synthloom.domain.errors import CancelledError, SynthloomError
from synthloom.domain.measurement import Chapter, Direction, Measured, Undefined
from synthloom.metrics.contract import Metric, Tables, metric

ROWS = 2000
"""Rows of each table that are looked at, at most: several of these metrics compare every row with every other."""
SOURCE = "SynthCity 0.2.12 (Qian et al. 2023, arXiv 2301.07573)"
_HIGHER, _LOWER, _FACT = Direction.HIGHER, Direction.LOWER, Direction.NONE


@dataclass(frozen=True)
class Evaluator:
    """One of SynthCity's metrics.

    Attributes:
        name: Kind and name there, such as stats.ks_test.
        value: The part of its answer that stands as the number; the others stand in the details.
        title: A person's name for it.
        explanation: What it says.
        direction: Which way is better.
        chapter: Where reports show it.
    """

    name: str
    value: tuple[str, ...]
    title: str
    explanation: str
    direction: Direction
    chapter: Chapter

    @property
    def key(self) -> str:
        """Its key here."""
        return "synthcity." + self.name.replace(" ", "_").replace("-", "_")


def _sanity(name: str, title: str, explanation: str, direction: Direction, value: str = "score") -> Evaluator:
    return Evaluator(f"sanity.{name}", (value, "mean"), title, explanation, direction, "fidelity")


def _stats(
    name: str, title: str, explanation: str, direction: Direction, value: tuple[str, ...] = ("marginal", "joint")
) -> Evaluator:
    return Evaluator(f"stats.{name}", value, title, explanation, direction, "fidelity")


def _performance(name: str, what: str) -> Evaluator:
    return Evaluator(
        f"performance.{name}", ("syn_ood", "syn_ood.c_index"), f"{what} trained on synthetic rows",
        f"How well {what.lower()} that learnt the target from synthetic rows predicts it in rows kept back. The "
        "details hold the same for one that learnt from real rows (gt) and on the rows learnt from (syn_id).",
        _HIGHER, "utility",
    )


def _detection(name: str, what: str) -> Evaluator:
    return Evaluator(
        f"detection.{name}", ("mean", "score"), f"Detection by {what}",
        f"The area under the curve of {what} that tells real rows from synthetic ones; .5 is a guess.", _LOWER,
        "fidelity",
    )


def _privacy(
    name: str, title: str, explanation: str, direction: Direction, value: tuple[str, ...] = ("score",)
) -> Evaluator:
    return Evaluator(f"privacy.{name}", value, title, explanation, direction, "privacy")


EVALUATORS = (
    _sanity("data_mismatch", "Data types that differ", "Share of columns whose type is not the real one.", _LOWER),
    _sanity("common_rows_proportion", "Rows in common", "Share of real rows that the synthetic table repeats.", _LOWER),
    _sanity(
        "nearest_syn_neighbor_distance", "Nearest synthetic row",
        "Mean distance from a real row to the nearest synthetic one, on columns scaled to 0 to 1.", _LOWER, "mean",
    ),
    _sanity(
        "close_values_probability", "Real rows with a close synthetic one",
        "Share of real rows with a synthetic one at a distance of .2 at most.", _HIGHER,
    ),
    _sanity(
        "distant_values_probability", "Real rows without a close synthetic one",
        "Share of real rows whose nearest synthetic one is at a distance of .8 or more.", _LOWER,
    ),
    _stats("inv_kl_divergence", "Inverse KL divergence", "How alike each column is, 1 at best.", _HIGHER),
    _stats("ks_test", "Kolmogorov-Smirnov", "1 minus the mean distance of the columns' distributions.", _HIGHER),
    _stats("chi_squared_test", "Chi-squared", "Mean p-value of each column's chi-squared test.", _HIGHER),
    _stats("max_mean_discrepancy", "Maximum mean discrepancy", "A distance of the joint distributions.", _LOWER),
    _stats("jensenshannon_dist", "Jensen-Shannon", "Mean distance of the columns' distributions.", _LOWER),
    _stats("wasserstein_dist", "Wasserstein", "The cost of moving one set of rows onto the other.", _LOWER),
    _stats(
        "prdc", "Precision and coverage",
        "Share of real rows with a synthetic one in their neighbourhood (coverage); the details hold precision, recall "
        "and density.", _HIGHER, ("coverage",),
    ),
    _stats(
        "alpha_precision", "Alpha-precision",
        "How well synthetic rows lie in the bulk of the real ones; the details hold beta-recall and authenticity.",
        _HIGHER, ("delta_precision_alpha_OC", "delta_precision_alpha_naive"),
    ),
    _stats(
        "survival_km_distance", "Survival curves", "Mean distance of the Kaplan-Meier curves.", _LOWER,
        ("abs_optimism", "optimism"),
    ),
    _performance("linear_model", "A linear model"), _performance("mlp", "A neural net"),
    _performance("xgb", "Boosted trees"),
    Evaluator(
        "performance.feat_rank_distance", ("corr",), "Ranks of features",
        "Rank correlation of how much each column matters to models that learnt from real and from synthetic rows.",
        _HIGHER, "utility",
    ),
    _detection("detection_xgb", "boosted trees"), _detection("detection_mlp", "a neural net"),
    _detection("detection_gmm", "a Gaussian mixture"),
    _detection("detection_linear", "a linear model (which sees no dependence between columns)"),
    _privacy("delta-presence", "Delta-presence", "Largest ratio of real to synthetic rows in a cluster.", _FACT),
    _privacy(
        "k-anonymization", "k-anonymity", "Rows in the smallest cluster of synthetic rows; the details hold the real "
        "table's.", _HIGHER, ("syn",),
    ),
    _privacy("k-map", "k-map", "Rows in the smallest cluster that real and synthetic rows share.", _HIGHER),
    _privacy(
        "distinct l-diversity", "l-diversity", "Fewest values of the sensitive columns in a cluster; the details hold "
        "the real table's.", _HIGHER, ("syn",),
    ),
    _privacy(
        "identifiability_score", "Identifiability", "Share of real rows that lie closer to a synthetic row than to any "
        "other real one.", _LOWER, ("score_OC", "score"),
    ),
    *(
        _privacy(
            f"DomiasMIA_{name}", f"DOMIAS ({what})", "Area under the curve of a membership attack by the ratio of "
            f"synthetic to real density, estimated by {what}; .5 is a guess.", _LOWER, ("aucroc",),
        ) for name, what in (("KDE", "kernels"), ("prior", "a normal distribution"), ("BNAF", "flows"))
    ),
)
"""Every metric of SynthCity that a table of this package can be given to."""


def synthcity_metrics(backend: Outsider) -> tuple[Metric, ...]:
    """SynthCity's metrics as metrics; nothing is started until the first one is measured."""
    return tuple(_metric(e, backend) for e in EVALUATORS)


def _metric(evaluator: Evaluator, backend: Outsider) -> Metric:
    def compute(tables: Tables) -> Measured | Undefined:
        found = tables.shared("synthcity", lambda: _asked(tables, backend))
        if isinstance(found, SynthloomError):
            raise found
        return found if isinstance(found, Undefined) else _told(evaluator, found)

    declare: Callable[[Any], Metric] = metric(
        key=evaluator.key, title=f"{evaluator.title} (SynthCity)", explanation=evaluator.explanation,
        direction=evaluator.direction, source=SOURCE, floored=False, chapter=evaluator.chapter,
    )
    return declare(compute)


def _told(evaluator: Evaluator, result: dict[str, Any]) -> Measured | Undefined:
    """One metric's numbers out of all of SynthCity's."""
    head = f"{evaluator.name}."
    parts = {k.removeprefix(head): float(v) for k, v in result["metrics"].items() if k.startswith(head)}
    value = next((parts[name] for name in evaluator.value if name in parts), None)
    if value is None:
        reasons = [str(v) for k, v in result["undefined"].items() if k == evaluator.name or k.startswith(head)]
        return Undefined(reason=reasons[0] if reasons else "SynthCity gave no number for it.")
    rest = {name: number for name, number in parts.items() if number != value or len(parts) > 1}
    return Measured(value=value, details={"parts": rest} if len(parts) > 1 else {})


def _asked(tables: Tables, backend: Outsider) -> dict[str, Any] | Undefined | SynthloomError:
    """All of SynthCity's numbers; an error is kept, so that it is met once and told by every metric."""
    missing = backend.unavailable()
    if missing is not None:
        return Undefined(reason=missing.text())
    if tables.holdout is None:
        return Undefined(reason="There are no rows that were kept back to compare with.")
    try:
        with backend.session() as session:
            return _evaluated(session, tables)
    except CancelledError:
        raise
    except SynthloomError as error:
        return error


def _evaluated(session: Session, tables: Tables) -> dict[str, Any]:
    schema = tables.schema
    survival = schema.survival is not None
    frames = {"train": tables.train, "holdout": tables.holdout, "synthetic": tables.synthetic}
    every = pd.concat([f for f in frames.values() if f is not None], ignore_index=True)
    way = Translation.learn(every, schema, support=1, survival=survival)
    rng = tables.rng("synthcity")
    plain = {name: _few(way.there(f, rng), rng) for name, f in frames.items() if f is not None}
    target, roles = way.name_of(schema.target), schema.survival
    kinds = [k for k in ("sanity", "stats", "performance", "detection", "privacy") if target or roles or
             k != "performance"]
    wanted = {kind: [e.name.partition(".")[2] for e in EVALUATORS if e.name.startswith(f"{kind}.")] for kind in kinds}
    number = schema.target is not None and not schema[schema.target].kind.is_discrete
    payload = {
        "metrics": wanted, "target": target, "seed": int(rng.integers(2**31)), "rows": ROWS, "folds": 3,
        "sensitive": [n for c in schema if c.sensitive and (n := way.name_of(c.name)) is not None],
        "task": "survival_analysis" if survival else "regression" if number else "classification",
        "time": way.name_of(roles.time) if roles else None, "event": way.name_of(roles.event) if roles else None,
    }
    result = session.call("evaluate", payload, plain, cancelled=tables.cancelled).result
    if "performance" not in kinds:
        undefined = {e.name: "The table has no target to predict." for e in EVALUATORS if e.chapter == "utility"}
        result = {**result, "undefined": {**result["undefined"], **undefined}}
    return result


def _few(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    if len(frame) <= ROWS:
        return frame
    return frame.iloc[np.sort(rng.choice(len(frame), ROWS, replace=False))].reset_index(drop=True)
