"""Fit one of our methods on a table, write as many synthetic rows, and print one JSON line of costs.

    python one.py METHOD TRAIN.csv OUT.csv [--seed S] [--target COL] [--params JSON] [--holdout HOLDOUT.csv] [--head N]
                  [--many N] [--backend NAME] [--rounds N] [--draw N]

METHOD auto carries the whole pipeline, with its race, learning all rows where --holdout names others to measure against
(one attempt, so that what is measured there decides nothing); every other is the method's raw output. In a process of
its own, so that the peak of memory is its own too; a backend's is that of the processes it works in.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthloom.backends.desk import make_backends
from synthloom.domain.run import RunRequest
from synthloom.engine import execute_pipeline
from synthloom.methods.contract import MethodParams
from synthloom.registry import AnyMethod, choose_method, create_synthesizer
from synthloom.service import load, make_overrides
from synthloom.settings import Settings
from synthloom.tables.coerce import restore


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method")
    parser.add_argument("train")
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target")
    parser.add_argument("--params", default="{}")
    parser.add_argument("--budget", type=float, default=120.0)
    parser.add_argument("--holdout")
    parser.add_argument("--head", type=int)
    parser.add_argument("--many", type=int, default=0, help="rows to draw once more, to see the rate")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--rounds", type=int, help="rounds of training, whatever the method calls them")
    parser.add_argument("--draw", type=int, help="rows to draw; as many as learnt without it")
    args = parser.parse_args()
    source = load(Path(args.train), overrides=make_overrides(target=args.target), holdout=args.holdout)
    dataset = source if args.head is None else replace(source, frame=source.frame.head(args.head))
    start, rng = time.perf_counter(), np.random.default_rng(args.seed)
    told = {}
    if args.method == "auto":
        request = RunRequest(method="auto", seed=args.seed, budget=args.budget, max_attempts=1)
        result = execute_pipeline(dataset, request, rng, lambda _e: None, lambda: False)
        made, fitted, fit, sample = result.data, result.synthesizer, time.perf_counter() - start, 0.0
        told = {"chose": fitted.method}
    else:
        params = json.loads(args.params) | ({} if args.rounds is None else {"epochs": args.rounds})
        desk = make_backends(Settings.from_environment())
        method = choose_method(args.method, args.backend, backends=desk).method
        fitted = create_synthesizer(method, params)
        told = _rounds(method, fitted.params)
        start = time.perf_counter()
        fitted.fit_canonical(dataset.frame, dataset.schema, rng)
        middle = time.perf_counter()
        made = fitted.sample_canonical(args.draw or len(dataset.frame), rng)
        fit, sample = middle - start, time.perf_counter() - middle
    restore(made, fitted.schema).to_csv(args.out, index=False)
    rate = None
    if args.many:
        start = time.perf_counter()
        fitted.sample_canonical(args.many, rng)
        rate = round(args.many / (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if args.method != "auto" and (outside := fitted.peak_memory_mb) is not None:
        peak = outside / 1e3
        fitted.close()
    costs = {"fit_s": round(fit, 2), "gen_s": round(sample, 2), "rate": rate, "peak_gb": round(peak, 2)}
    print(json.dumps(costs | told))


def _rounds(method: AnyMethod, params: MethodParams) -> dict[str, int | None]:
    """How many rounds it trains, and how many by default (None: it decides); nothing for a method without any."""
    name = next(iter(method.own_values({"epochs": 1})))
    if name not in method.Params.model_fields:
        return {}
    return {"rounds": getattr(params, name), "default_rounds": method.Params.model_fields[name].default}


if __name__ == "__main__":
    main()
