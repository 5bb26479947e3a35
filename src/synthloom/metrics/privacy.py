"""Does the synthetic table repeat its training rows, or crowd around them?"""

from __future__ import annotations

from typing import Any

import numpy as np

from synthloom.domain.measurement import Direction, Interval, Measured, Undefined
from synthloom.domain.schema import Kind
from synthloom.metrics._neighbours import budget, nearest, space
from synthloom.metrics._stats import LEVEL, clipped_interval, share_interval
from synthloom.metrics._views import held_out, once, pick, shared_keys, too_few
from synthloom.metrics.contract import Tables, metric

QUERY_ROWS = 5_000
FEWEST_QUERIES = 2_000
RESAMPLES = 500
MIN_ROWS = 20


def _without_columns(tables: Tables) -> Undefined | None:
    if not tables.schema.modelled:
        return Undefined(reason="The table has no column to compare.")
    return None


@metric(
    key="privacy.dup_rate", title="Exact copies",
    explanation="The share of synthetic rows that equal a training row in every cell. In a table of few columns real"
    " people share rows,"
    " so some are expected: compare with the excess.",
    direction=Direction.LOWER, ideal=0, low=0, high=1, floored=False,
    source="Share of synthetic rows found among the training rows, identifiers and free text left out; Wilson"
    " interval.",
)
def dup_rate(tables: Tables) -> Measured | Undefined:
    """Share of exact copies.

    Details: `holdout` (the same share of the holdout, None without one; 0 where it was deduplicated), `expected` (share
    of training rows that equal another one: what a fresh real row would score), `identifiers` {column: share of
    synthetic identifiers or texts that occur in the training rows}.
    """
    if (few := too_few(tables, 1) or _without_columns(tables)) is not None:
        return few
    keys = shared_keys(tables)
    hits = int(np.isin(keys["synthetic"], keys["train"]).sum())
    tables.check_cancelled()
    n = len(keys["synthetic"])
    details: dict[str, Any] = {
        "holdout": float(np.isin(keys["holdout"], keys["train"]).mean()) if len(keys.get("holdout", ())) else None,
        "expected": float((~once(keys["train"])).mean()),
        "identifiers": {
            c.name: float(tables.synthetic[c.name].dropna().isin(tables.train[c.name].dropna()).mean())
            for c in tables.schema if c.kind in (Kind.IDENTIFIER, Kind.TEXT) and tables.synthetic[c.name].notna().any()
        },
    }
    return Measured(value=hits / n, interval=share_interval(hits, n), details=details)


@metric(
    key="privacy.exact_match_excess", title="Exact copies beyond chance",
    explanation="How many more synthetic rows equal a training row than fresh real rows would. 0 or below: no more"
    " than chance"
    " explains. Above 0: rows were remembered.",
    direction=Direction.LOWER, ideal=0, low=-1, high=1, floored=False, inputs=("train", "synthetic"),
    source="Share of synthetic rows that equal a training row, less the share of training rows that equal another"
    " training row"
    " (leave-one-out, so that a deduplicated holdout does not spoil the comparison).",
)
def exact_match_excess(tables: Tables) -> Measured | Undefined:
    """Exact copies beyond what real rows share among themselves.

    Details: `synthetic` and `expected`, the two shares.
    """
    if (few := too_few(tables, 2) or _without_columns(tables)) is not None:
        return few
    keys = shared_keys(tables)
    copies = float(np.isin(keys["synthetic"], keys["train"]).mean())
    expected = float((~once(keys["train"])).mean())
    sides = [share_interval(s * n, n) for s, n in ((copies, len(keys["synthetic"])), (expected, len(keys["train"])))]
    low = copies - expected - float(np.hypot(copies - sides[0].low, sides[1].high - expected))
    high = copies - expected + float(np.hypot(sides[0].high - copies, expected - sides[1].low))
    interval = Interval(low=max(-1.0, low), high=min(1.0, high), level=LEVEL)
    return Measured(value=copies - expected, interval=interval, details={"synthetic": copies, "expected": expected})


@metric(
    key="privacy.dcr_share", title="Nearer to training rows than to unseen ones",
    explanation="The share of synthetic rows whose nearest real row is a training row and not one of as many unseen"
    " rows. 0.5 means they"
    " are no nearer to the rows they were learnt from; 1 means that they crowd around them.",
    direction=Direction.LOWER, ideal=0.5, low=0, high=1,
    source="Distance-to-closest-record share, ties half, equal numbers of training and holdout rows, rows that occur"
    " twice left out;"
    " bootstrap interval over neighbourhoods.",
)
def dcr_share(tables: Tables) -> Measured | Undefined:
    """DCR share.

    Details: `ties` (share at equal distance), `median_distance` {train, holdout} (Gower, 0 to 1), `rows` {synthetic,
    real: used, columns: compared}.
    """
    if (few := too_few(tables, MIN_ROWS, holdout=MIN_ROWS) or _without_columns(tables)) is not None:
        return few
    keys, rng = shared_keys(tables), tables.rng("closest record")
    own = np.flatnonzero(once(keys["train"]))  # a holdout without the training rows' twins needs the same of these
    _, distinct = np.unique(keys["holdout"], return_index=True)
    other = distinct[~np.isin(keys["holdout"][distinct], keys["train"])]
    asked, n = budget(min(len(tables.synthetic), QUERY_ROWS), min(len(own), len(other)), FEWEST_QUERIES)
    if n < MIN_ROWS:
        return Undefined(reason=f"It needs {MIN_ROWS} training and as many holdout rows without a twin; there are {n}.")
    place = space(tables).place
    queries = place(tables.synthetic.iloc[pick(len(tables.synthetic), asked, rng)])
    sides = (tables.train.iloc[own[pick(len(own), n, rng)]], held_out(tables).iloc[other[pick(len(other), n, rng)]])
    (to_own, at_own), (to_other, at_other) = (nearest(tables, queries, place(side), 1) for side in sides)
    to_own, to_other = to_own[:, 0], to_other[:, 0]
    wins = np.where(to_own < to_other, 1.0, np.where(to_own == to_other, 0.5, 0.0))
    neighbour = np.where(to_own <= to_other, at_own[:, 0], n + at_other[:, 0])
    value = float(wins.mean())
    details = {
        "ties": float((wins == 0.5).mean()),
        "median_distance": {"train": float(np.median(to_own)), "holdout": float(np.median(to_other))},
        "rows": {"synthetic": len(queries), "real": n, "columns": len(space(tables).columns)},
    }
    error = _bootstrap_error(wins, neighbour, rng)
    if error == 0:  # every row on one side: no spread to resample
        return Measured(value=value, interval=share_interval(value * len(wins), len(wins)), details=details)
    return Measured(value=value, interval=clipped_interval(value, error, (0.0, 1.0)), details=details)


def _bootstrap_error(wins: np.ndarray, neighbour: np.ndarray, rng: np.random.Generator) -> float:
    """Spread of the share when real rows are drawn anew, each with all the synthetic rows it is nearest to."""
    _, cluster = np.unique(neighbour, return_inverse=True)
    sums, sizes = np.bincount(cluster, weights=wins), np.bincount(cluster).astype(float)
    draws = rng.poisson(1.0, (RESAMPLES, len(sums))).astype(np.float32)
    totals = draws @ sizes
    return float(np.std((draws @ sums)[totals > 0] / totals[totals > 0]))
