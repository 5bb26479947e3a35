"""What the benchmarks share: reading a split table, fitting, judging, and writing down what came out."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from synthloom.registry import resolve_method
from synthloom.tables.codec import read_table
from synthloom.tables.coerce import coerce, restore
from synthloom.tables.dataset import Dataset
from synthloom.tables.infer import infer_schema

RESULTS = Path(__file__).parent / "results"
SCORES = ("shape", "trend", "c2st", "tstr", "dcr_share", "mia", "mia_tpr01", "dup")


def load(path: Path) -> Dataset:
    """A table as the product reads it."""
    raw = read_table(path)
    schema = infer_schema(raw)
    return Dataset(coerce(raw, schema), schema, raw.name, raw.sha256)


def judged(description: str | None) -> argparse.ArgumentParser:
    """Options of a benchmark whose rows are judged by somebody else's script; see `judge`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("train")
    parser.add_argument("holdout")
    for name in ("target", "name", "judge", "score"):
        parser.add_argument(f"--{name}", required=True)
    return parser


def fit_and_sample(
    dataset: Dataset, method: str, seed: int, params: dict[str, object]
) -> tuple[pd.DataFrame, float, float]:
    """Raw output of a method with as many rows as the table, seconds to fit, seconds to sample."""
    kind = resolve_method(method)
    fitted = kind(kind.make_params(params))
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    fitted.fit(dataset.frame, dataset.schema, rng)
    middle = time.perf_counter()
    rows = fitted.sample(len(dataset.frame), rng)
    end = time.perf_counter()
    return restore(rows, dataset.schema), middle - start, end - middle


def judge(args: object, synthetic: Path) -> dict[str, float]:
    """Scores of a synthetic file by somebody else's script, in its own interpreter."""
    command = [args.judge, args.score, args.train, args.holdout, str(synthetic), "--target", args.target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the judge failed on {synthetic.name}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def machine() -> str:
    """One line about where this ran."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"Python {platform.python_version()}, {platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}"


def write(name: str, title: str, parts: Sequence[str]) -> None:
    """Record a result with the command that made it."""
    command = "python " + shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    text = "\n\n".join([f"# {title}", f"`{command}` ({machine()})", *parts]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text)
    print(text)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(f"{c:.4f}" if isinstance(c, float) else str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)
