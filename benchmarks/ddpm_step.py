"""A step and a table of rows of `ddpm` beside SynthCity's ddpm, at the same width, depth and batch, in one run.

    python ddpm_step.py TRAIN --peer PYTHON [--steps 240] [--turns 3] [--rows N] [--threads 2]

PYTHON is the interpreter of an environment with SynthCity (`synthloom backends` makes one). Both learn the table with
batches of 1,024 rows and layers of 256 units, in turns; a step's time is what passes from the beginning of
one to that of the next, whatever is done between them. Drawing is timed from fitted nets to rows, SynthCity's in its
1,000 steps and without its decoding.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO

BATCH = 1024
RECIPES: dict[str, dict[str, object]] = {
    "cascade": {"recipe": "cascade", "width": 256},
    "cascade of one block": {"recipe": "cascade", "width": 256, "depth": 1},
    "classic": {"recipe": "classic", "width": 256, "depth": 3, "dropout": 0.0},
}


def peer(train: str, threads: int) -> None:
    """Answer each line of stdin, `step N` or `draw N`, with a line of JSON. Run in SynthCity's interpreter."""
    out, sys.stdout = sys.stdout, sys.stderr
    import pandas as pd
    import torch
    from synthcity.plugins.core.models.tabular_ddpm.gaussian_multinomial_diffsuion import GaussianMultinomialDiffusion
    from synthcity.plugins.generic.plugin_ddpm import TabDDPMPlugin

    torch.set_num_threads(threads)
    frame = pd.read_csv(train)
    for name in frame:
        known = frame[name]
        frame[name] = known.fillna("?") if known.dtype == object else known.fillna(known.median())
    stamps: list[float] = []
    mixed = GaussianMultinomialDiffusion.mixed_loss

    def timed(self: object, *args: object) -> object:
        stamps.append(time.perf_counter())
        return mixed(self, *args)

    GaussianMultinomialDiffusion.mixed_loss = timed
    plugin = None
    for line in sys.stdin:
        what, many = line.split()
        if what == "step":
            stamps.clear()
            epochs = max(round(int(many) * BATCH / len(frame)), 1)
            folder = Path(tempfile.mkdtemp())
            plugin = TabDDPMPlugin(n_iter=epochs, batch_size=BATCH, device=torch.device("cpu"), workspace=folder)
            plugin.fit(frame)
            answer = _gaps(stamps)
        else:
            begin = time.perf_counter()
            rows = plugin.model.generate(int(many))
            answer = [time.perf_counter() - begin, float(len(rows))]
        out.write(json.dumps(answer) + "\n")
        out.flush()


def _gaps(stamps: list[float]) -> list[float]:
    """Seconds of each step, the first ones left out."""
    return [b - a for a, b in pairwise(stamps[5:])]


class Ours:
    """Our recipes, fitted and drawn from in this process."""

    def __init__(self, train: str, threads: int) -> None:
        import torch

        from common import load
        from synthloom.methods._nets.training import Course

        torch.set_num_threads(threads)
        self._data = load(Path(train))
        self._stamps: list[float] = []
        self._fitted: dict[str, object] = {}
        walk = Course.__iter__

        def timed(course: Course) -> Iterator[int]:
            for step in walk(course):
                self._stamps.append(time.perf_counter())
                yield step

        Course.__iter__ = timed

    def step(self, recipe: str, steps: int) -> list[float]:
        """Seconds of each step of one fit."""
        import numpy as np

        from synthloom.methods.ddpm import Ddpm

        self._stamps.clear()
        epochs = max(round(steps * BATCH / len(self._data.frame)), 1)
        params = Ddpm.make_params({**RECIPES[recipe], "batch_size": BATCH, "epochs": epochs})
        self._fitted[recipe] = Ddpm(params).fit(self._data.frame, self._data.schema, np.random.default_rng(0))
        return _gaps(self._stamps)

    def draw(self, recipe: str, rows: int) -> float:
        """Seconds from the fitted method to a decoded table."""
        import numpy as np

        begin = time.perf_counter()
        self._fitted[recipe].sample(rows, np.random.default_rng(0))
        return time.perf_counter() - begin


def _ask(child: subprocess.Popen[str], what: str, many: int) -> list[float]:
    stdin: IO[str] = child.stdin
    stdin.write(f"{what} {many}\n")
    stdin.flush()
    answer = child.stdout.readline()
    if not answer:
        raise SystemExit("SynthCity's process ended.")
    return json.loads(answer)


def main() -> None:
    """Run and record."""
    from common import table, write

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("--peer", required=True, help="the interpreter that has SynthCity")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="rows to draw; 0: as many as the table has; -1: none")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    command = [args.peer, str(Path(__file__).resolve()), "--as-peer", args.train, str(args.threads)]
    ours = Ours(args.train, args.threads)
    rows = args.rows or len(ours._data.frame)
    steps: dict[str, list[float]] = {"SynthCity": [], **{recipe: [] for recipe in RECIPES}}
    draws: dict[str, list[float]] = {name: [] for name in steps}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        for turn in range(args.turns):
            steps["SynthCity"].append(statistics.median(_ask(child, "step", args.steps)))
            for recipe in RECIPES:
                steps[recipe].append(statistics.median(ours.step(recipe, args.steps)))
                if rows > 0:
                    draws[recipe].append(ours.draw(recipe, rows))
            print(turn, {name: f"{1000 * found[-1]:.2f} ms" for name, found in steps.items()}, file=sys.stderr)
        if rows > 0:
            draws["SynthCity"].append(_ask(child, "draw", rows)[0])
        child.stdin.close()
    found = []
    for name, turns in steps.items():
        step, peers = statistics.median(turns), statistics.median(steps["SynthCity"])
        drawn = statistics.median(draws[name]) if draws[name] else float("nan")
        peer_drawn = statistics.median(draws["SynthCity"]) if draws["SynthCity"] else float("nan")
        each = " ".join(f"{1000 * s:.1f}" for s in turns)
        found.append([name if name == "SynthCity" else f"ours, {name}", f"{1000 * step:.1f} ({each})",
                      f"{peers / step:.2f}", f"{drawn:.1f}", f"{peer_drawn / drawn:.0f}"])
    head = ["", "step, ms (median of each turn)", "times faster", f"{rows:,} rows, s", "times faster"]
    write("ddpm-step.md", "A step and rows of ddpm beside SynthCity's", [
        f"Batches of {BATCH:,} rows, 256 units, {args.threads} threads, {args.turns} turns of {args.steps} steps. "
        "`cascade` is the default recipe with its two residual blocks (five hidden layers); of one block it has three. "
        "Both train their second net too. `classic` has SynthCity's three hidden layers and, like it, no dropout.",
        table(head, found),
    ])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-peer"]:
        peer(sys.argv[2], int(sys.argv[3]))
    else:
        main()
