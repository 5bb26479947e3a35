"""Time and peak memory of a million rows by twenty columns, each method in a process of its own.

python scale.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from common import table, write
from synthloom.registry import resolve_method
from synthloom.tables.coerce import coerce
from synthloom.tables.infer import frame_to_raw, infer_schema


def make(rows: int) -> pd.DataFrame:
    """Twenty columns that hang together: ten numbers (some heaped, some with gaps), eight categories, a flag, a day."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(rows, 3))
    columns: dict[str, object] = {}
    for k in range(10):
        value = base @ rng.normal(size=3) + rng.normal(size=rows)
        value = np.round(np.exp(value) if k % 3 == 0 else 50 + 10 * value, k % 3)
        columns[f"number_{k}"] = np.where(rng.random(rows) < 0.1, np.nan, value) if k % 4 == 3 else value
    for k in range(8):
        position = base @ rng.normal(size=3) + rng.normal(size=rows)
        labels = np.array([f"label {i}" for i in range(4 * 2**k)])
        place = (position.argsort().argsort() * len(labels) // rows) if rows else np.zeros(0, dtype=int)
        columns[f"category_{k}"] = pd.Categorical.from_codes(place, labels)
    columns["flag"] = base[:, 0] > 0.5
    columns["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta((base[:, 1] * 200).astype(int), unit="D")
    return pd.DataFrame(columns)


def _one(method: str, rows: int) -> None:
    raw = frame_to_raw(make(rows))
    schema = infer_schema(raw)
    frame = coerce(raw, schema)
    del raw
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    kind = resolve_method(method)
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    fitted = kind(kind.make_params({})).fit(frame, schema, rng)
    middle = time.perf_counter()
    fitted.sample(rows, rng)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps([method, round(middle - start, 1), round(end - middle, 1), round(before, 2), round(peak, 2)]))


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        _one(args.one, args.rows)
        return
    rows = []
    for method in ("cart", "gaussian_copula"):
        command = [sys.executable, __file__, "--rows", str(args.rows), "--one", method]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append([str(cell) for cell in json.loads(done.stdout.splitlines()[-1])])
    head = ["method", "fit s", "sample s", "peak GB before fitting (table and its reading)", "peak GB in all"]
    write("scale.md", f"{args.rows:,} × 20 rows", [table(head, rows)])


if __name__ == "__main__":
    main()
