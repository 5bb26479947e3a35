"""Our methods and, where their environments are installed, the peers: one split, in turns, one table.

    python compare.py TRAIN HOLDOUT --target COL --name NAME --judge PYTHON --score SCORE.py
        --methods autoregressive,ddpm,auto [--seeds 3] [--doubling ROWS,ROWS]
        [--peers mostly=PYTHON,sdv-tvae=PYTHON --peer-script peer_run.py]

Everybody runs in a process of its own, all once before anybody runs again. A peer's interpreter runs the peer script as
`PEER TRAIN OUT`, which prints one JSON line with fit_s, gen_s and peak_gb.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common import SCORES, judge, judged, table, write

ONE = Path(__file__).with_name("one.py")


def _run(command: list[str]) -> dict[str, object]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-800:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _ours(args: argparse.Namespace, method: str, seed: int, out: Path, *more: str) -> dict[str, object]:
    return _run([sys.executable, str(ONE), method, args.train, str(out), "--seed", str(seed), "--target", args.target,
                 *more])


def _costs(costs: dict[str, object]) -> list[object]:
    return [costs["fit_s"], costs["gen_s"], costs.get("rate") or "", costs["peak_gb"], costs.get("chose", "")]


def main() -> None:
    """Run and record."""
    parser = judged(__doc__)
    parser.add_argument("--methods", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--doubling", default="", help="numbers of rows to fit on, to see what more rows cost")
    parser.add_argument("--peers", default="")
    parser.add_argument("--peer-script", default="")
    parser.add_argument("--peer-seeds", type=int, default=1)
    args = parser.parse_args()
    names = [n for n in args.methods.split(",") if n]
    peers = dict(p.split("=", 1) for p in args.peers.split(",") if p)
    scores: dict[str, list[list[float]]] = {}
    each, doubled = [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "synthetic.csv"
        for seed in range(args.seeds):
            for name in [*names, *peers]:
                if name in peers and seed >= args.peer_seeds:
                    continue
                more = ("--holdout", args.holdout) if name == "auto" else ("--many", "100000")
                costs = (
                    _run([peers[name], args.peer_script, name, args.train, str(out)]) if name in peers
                    else _ours(args, name, seed, out, *more)
                )
                got = judge(args, out)
                scores.setdefault(name, []).append([float(got[k]) for k in SCORES])
                each.append([name, seed, *scores[name][-1], *_costs(costs)])
                print(each[-1], flush=True)
            _record(args, scores, each, doubled)
        for rows in [int(r) for r in args.doubling.split(",") if r]:
            for name in [n for n in names if n != "auto"]:
                costs = _ours(args, name, 0, out, "--head", str(rows))
                doubled.append([name, rows, *_costs(costs)[:2], costs["peak_gb"]])
            _record(args, scores, each, doubled)


def _record(
    args: argparse.Namespace, scores: dict[str, list[list[float]]], each: list[list[object]],
    doubled: list[list[object]],
) -> None:
    """Write down what there is so far, so that a long comparison that is broken off leaves what it has."""
    means = [
        [name, len(found), *(f"{m:.4f} ± {s:.4f}" for m, s in zip(np.mean(found, 0), np.std(found, 0), strict=True))]
        for name, found in scores.items()
    ]
    parts = ["Mean and standard deviation over seeds:", table(["method", "seeds", *SCORES], means), "Each run:",
             table(["method", "seed", *SCORES, "fit s", "sample s", "rows/s of 100,000", "peak GB", "chose"], each)]
    if doubled:
        parts += ["What more rows cost:", table(["method", "rows", "fit s", "sample s", "peak GB"], doubled)]
    write(f"methods-{args.name}.md", f"Methods on {args.name}", parts)


if __name__ == "__main__":
    main()
