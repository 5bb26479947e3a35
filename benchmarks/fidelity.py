"""Fidelity and memory of both methods on a table with a holdout, raw and through the pipeline.

python fidelity.py TRAIN HOLDOUT --target COL --name NAME --judge PYTHON --score SCRIPT [--seeds 3]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from common import SCORES, fit_and_sample, judge, judged, load, table, write
from synthloom.domain.run import RunRequest
from synthloom.engine import execute_pipeline
from synthloom.tables.coerce import restore


def _pipeline(dataset, method, seed, target):
    """Rows that the whole pipeline delivers: fitted on four fifths, the rest held back to measure."""
    with_target = dataset.schema.model_copy(update={"target": target})
    source = type(dataset)(dataset.frame, with_target, dataset.name, dataset.sha256)
    request = RunRequest(method=method, seed=seed)
    result = execute_pipeline(source, request, np.random.default_rng(seed), lambda _e: None, lambda: False)
    return restore(result.data, result.synthesizer.schema)


def main() -> None:
    """Run and record."""
    parser = judged(__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peers", default="", help="a Markdown file to append")
    args = parser.parse_args()
    dataset = load(Path(args.train))
    rows, means = [], []
    with tempfile.TemporaryDirectory() as folder:
        for method in ("cart", "gaussian_copula"):
            for road in ("raw", "pipeline"):
                scores = []
                for seed in range(args.seeds):
                    if road == "raw":
                        data, fit, sample = fit_and_sample(dataset, method, seed, {})
                        seconds = f"{fit:.2f} + {sample:.2f}"
                    else:
                        data, seconds = _pipeline(dataset, method, seed, args.target), ""
                    path = Path(folder) / "synthetic.csv"
                    data.to_csv(path, index=False)
                    got = judge(args, path)
                    scores.append([float(got[k]) for k in SCORES])
                    rows.append([method, road, seed, *scores[-1], seconds])
                mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
                means.append([method, road, *(f"{m:.4f} ± {s:.4f}" for m, s in zip(mean, spread, strict=True))])
    write(f"fidelity-{args.name}.md", f"Fidelity on {args.name}: {len(dataset.frame):,} rows × {len(dataset.schema)}", [
        "Mean and standard deviation over seeds:", table(["method", "road", *SCORES], means),
        "Each seed:", table(["method", "road", "seed", *SCORES, "fit + sample s"], rows),
        Path(args.peers).read_text() if args.peers else "",
    ])


if __name__ == "__main__":
    main()
