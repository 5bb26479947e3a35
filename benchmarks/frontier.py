"""Fidelity against memory as `cart`'s leaf floor and shrinkage move.

python frontier.py TRAIN HOLDOUT --target COL --name NAME --judge PYTHON --score SCRIPT
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import RESULTS, SCORES, fit_and_sample, judge, judged, load, table, write
from synthloom.registry import resolve_method

FLOORS = (5, 10, 20, 40, 80, 160)
PLAIN_TREES = {"30": (0.555, 0.576, 0.551), "50": (0.556, 0.550, 0.534), "150": (0.575, 0.536, 0.520)}
"""C2ST, DCR share, membership AUC of plain sequential trees on census by leaf size, to compare the curves."""


def draw(rows: list[list[object]], name: str) -> None:
    """C2ST against both measures of memory, as an SVG beside the table."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasSVG(figure)
    sides = (("dcr_share", "DCR share", 1), ("mia", "membership AUC", 2))
    for axes, (key, label, place) in zip(figure.subplots(1, 2), sides, strict=True):
        for start, marker in (("leaf_floor", "o-"), ("--privacy", "D")):
            own = [r for r in rows if str(r[0]).startswith(start)]
            x, y = [r[1 + SCORES.index(key)] for r in own], [r[1 + SCORES.index("c2st")] for r in own]
            axes.plot(x, y, marker, color="#0072B2" if start == "leaf_floor" else "#009E73", label=f"cart, by {start}")
            for r, a, b in zip(own, x, y, strict=True):
                axes.annotate(str(r[0]).split()[-1], (a, b), textcoords="offset points", xytext=(5, 5), fontsize=8)
        if name == "census":
            plain = list(PLAIN_TREES.values())
            axes.plot([p[place] for p in plain], [p[0] for p in plain], "s--", color="#D55E00", label="plain trees")
        axes.set_xlabel(f"{label} (best at .5)")
        axes.set_ylabel("C2ST (best at .5)")
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(RESULTS / f"frontier-{name}.svg", metadata={"Date": None})


def main() -> None:
    """Run and record."""
    parser = judged(__doc__)
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
    draw(rows, args.name)
    write(f"frontier-{args.name}.md", f"Fidelity against memory on {args.name}", [
        "Each row is one seed; other settings as by default. c2st, dcr_share and mia are best at 0.5.",
        f"![C2ST against DCR share and membership AUC](frontier-{args.name}.svg)",
        table(["setting", *SCORES], rows),
    ])


if __name__ == "__main__":
    main()
