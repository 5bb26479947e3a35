"""Fidelity against memory as `cart`'s leaf floor and shrinkage move.

python frontier.py TRAIN HOLDOUT --target COL --name NAME --judge PYTHON --score SCRIPT
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import SCORES, fit_and_sample, judge, load, table, write
from synthloom.registry import resolve_method

FLOORS = (8, 12, 20, 40, 80, 160)


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("holdout")
    for name in ("target", "name", "judge", "score"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    dataset = load(Path(args.train))
    settings = {f"leaf_floor {f}": {"leaf_floor": f} for f in FLOORS}
    levels = ("low", "default", "high")
    settings |= {f"--privacy {level}": resolve_method("cart").privacy_params(level) for level in levels}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for label, params in settings.items():
            data, _, _ = fit_and_sample(dataset, "cart", 0, params)
            path = Path(folder) / "synthetic.csv"
            data.to_csv(path, index=False)
            got = judge(args, path)
            rows.append([label, *(float(got[k]) for k in SCORES)])
    write(f"frontier-{args.name}.md", f"Fidelity against memory on {args.name}", [
        "Each row is one seed; other settings as by default. c2st, dcr_share and mia are best at 0.5.",
        table(["setting", *SCORES], rows),
    ])


if __name__ == "__main__":
    main()
