"""Time of a full evaluation, floors included.

python evaluation.py TRAIN HOLDOUT --target COL [--runs 3]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from common import fit_and_sample, load, table, write
from synthloom import evaluate
from synthloom.tables.coerce import restore


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("holdout")
    parser.add_argument("--target", required=True)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    train, holdout = load(Path(args.train)), load(Path(args.holdout))
    synthetic, _, _ = fit_and_sample(train, "cart", 0, {})
    frames = [restore(d.frame, d.schema) for d in (train, holdout)]
    rows = []
    for run in range(args.runs):
        start = time.perf_counter()
        report = evaluate(frames[0], synthetic, holdout=frames[1], target=args.target)
        rows.append([run, f"{time.perf_counter() - start:.1f}", len(report.measurements)])
    size = f"{len(train.frame):,} × {len(train.schema)}"
    write("evaluation.md", f"Full evaluation of {size} rows", [table(["run", "seconds", "measurements"], rows)])


if __name__ == "__main__":
    main()
