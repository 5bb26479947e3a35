"""The same methods by this package, SynthCity and SDV, on one split: scores, seconds, memory.

    python backends.py TRAIN HOLDOUT --target COL --name NAME --judge PYTHON --score SCORE.py
        [--methods ctgan,tvae,ddpm] [--backends native,synthcity,sdv] [--rows 3000] [--seed 0]
        [--rounds synthcity:ctgan=100,synthcity:tvae=50]

Everybody learns the same rows in a process of its own, with the defaults of its makers but for --rounds. Who is given
fewer rounds is fitted a second time with a few of them, so that what a round takes can be told from what is done once;
what the default number would take is then worked out, not measured. The interpreters of SynthCity and SDV must be
installed (`synthloom backends install`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from common import SCORES, judge, judged, table, write
from synthloom.backends.desk import make_backends
from synthloom.domain.errors import UnknownNameError
from synthloom.registry import choose_method
from synthloom.settings import Settings

ONE = Path(__file__).with_name("one.py")
FEW = 2
"""Rounds of the second fit."""
ENOUGH = 20
"""Fewer rounds than these do not stand out from what is done once."""
COSTS = ("fit s", "sample s", "peak GB", "s a round", "fit s at the default (worked out)")


@dataclass
class Result:
    """One method by one backend."""

    method: str
    backend: str
    costs: dict[str, Any] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    each: float | None = None
    error: str = ""

    def row(self) -> list[object]:
        """A row of the table; what is not known is left empty."""
        if self.error:
            return [self.method, self.backend, self.error, *[""] * (len(SCORES) + len(COSTS))]
        rounds, default = self.costs.get("rounds"), self.costs.get("default_rounds")
        whole, each = "", "" if self.each is None else f"{self.each:.2f}"
        if self.each is not None and default is not None:
            whole = f"{self.costs['fit_s'] + (default - rounds) * self.each:.0f}"
        own = "as it decides" if default is None else str(default)
        of = own if rounds == default else f"{rounds} of {own}"
        return [self.method, self.backend, of, *self.scores, self.costs["fit_s"], self.costs["gen_s"],
                self.costs["peak_gb"], each, whole]


def _fit(args: argparse.Namespace, result: Result, out: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, str(ONE), result.method, args.train, str(out), "--seed", str(args.seed), "--target",
               args.target, "--backend", result.backend, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-800:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure(args: argparse.Namespace, result: Result, rounds: int | None, folder: Path) -> None:
    out = folder / "synthetic.csv"
    result.costs = _fit(args, result, out, *(("--rounds", str(rounds)) if rounds is not None else ()))
    got = judge(args, out)
    result.scores = [float(got[key]) for key in SCORES]
    if rounds is not None and rounds >= ENOUGH:
        short = _fit(args, result, out, "--rounds", str(FEW), "--draw", "10")
        result.each = (result.costs["fit_s"] - short["fit_s"]) / (rounds - FEW)


def _part(source: str, rows: int, seed: int, to: Path) -> str:
    """So many rows of a table, drawn at random, in a file of their own, as text."""
    whole = pd.read_csv(source, dtype=str, keep_default_na=False)
    whole.sample(min(rows, len(whole)), random_state=seed).to_csv(to, index=False)
    return str(to)


def main() -> None:
    """Run and record."""
    parser = judged(__doc__)
    parser.add_argument("--methods", default="ctgan,tvae,ddpm")
    parser.add_argument("--backends", default="native,synthcity,sdv")
    parser.add_argument("--rows", type=int, default=3000, help="rows to learn, and as many to measure against")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", default="", help="BACKEND:METHOD=ROUNDS, with commas between")
    args = parser.parse_args()
    rounds = {name: int(value) for name, value in (part.split("=") for part in args.rounds.split(",") if part)}
    desk = make_backends(Settings.from_environment())
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        args.train = _part(args.train, args.rows, args.seed, Path(folder) / "train.csv")
        args.holdout = _part(args.holdout, args.rows, args.seed, Path(folder) / "holdout.csv")
        for method in args.methods.split(","):
            for backend in args.backends.split(","):
                result = Result(method, backend)
                try:
                    choose_method(method, backend, backends=desk)
                except UnknownNameError:
                    result.error = "it has none"
                else:
                    _measure(args, result, rounds.get(f"{backend}:{method}"), Path(folder))
                results.append(result)
                print(*result.row(), flush=True)
        _record(args, results)


def _record(args: argparse.Namespace, results: list[Result]) -> None:
    told = (
        f"{args.rows:,} rows learnt, {args.rows:,} others measured against, one seed. Defaults of each maker, but for "
        'the rounds of those that say "of". Seconds of a fit include the start of a backend\'s interpreter; the last '
        "column is worked out from the seconds of a round, not measured. Memory is the whole process's, or that of a "
        "backend's processes together."
    )
    head = ["method", "backend", "rounds", *SCORES, *COSTS]
    write(f"backends-{args.name}.md", f"Backends on {args.name}", [told, table(head, [r.row() for r in results])])


if __name__ == "__main__":
    main()
