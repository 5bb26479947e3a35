"""`synthloom compare`: methods of several backends side by side on one split."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.out_folder import check_out, default_out
from synthloom.cli.output import Answer
from synthloom.cli.progress import make_display
from synthloom.cli.run import size_words
from synthloom.cli.work import perform
from synthloom.domain.event import Cancelled, Emit
from synthloom.wiring import backends as known_backends
from synthloom.wiring import local_home, settings

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.artifact import Artifact
    from synthloom.domain.comparison import Comparison, Standing

_STEPS = ("read", "infer", "split", "fit", "sample", "measure", "store")
_COLUMNS = (
    ("apart", ("utility.c2st",)), ("shape", ("utility.shape",)), ("trend", ("utility.trend",)),
    ("utility", ("utility.auroc", "utility.r2", "utility.c_index")), ("DCR", ("privacy.dcr_share",)),
    ("member", ("privacy.mia_auc",)),
)


def compare(
    table: opt.TableArgument,
    methods: Annotated[
        str, typer.Option("--methods", metavar="NAME,…", help="Methods, with commas between; synthcity:arf names one."),
    ],
    backends: Annotated[
        str,
        typer.Option("--backends", metavar="NAME,…", help="Who makes them: each of these makes each method it has."),
    ] = "native",
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="How often each is fitted.")] = 1,
    rows: Annotated[
        int | None, typer.Option("--rows", "-n", min=1, help="Rows that each draws; default: as many as it learns."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where the results go; default: results/<table>-comparison."),
    ] = None,
    seed: opt.SeedOption = 0,
    target: opt.TargetOption = None,
    survival: opt.SurvivalOption = None,
    sequence: opt.SequenceOption = None,
    schema: opt.SchemaOption = None,
    privacy: opt.PrivacyOption = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="TIME", help="Time that each fit may take, for methods that can plan theirs."),
    ] = None,
    device: opt.DeviceOption = "auto",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter for every method that has it; several times."),
    ] = None,
    holdout: Annotated[
        float | None, typer.Option("--holdout", metavar="SHARE", help="Share of rows kept back to measure against."),
    ] = None,
    drop_text: opt.DropTextOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files."),
    ] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Fit methods of several backends on the same rows, measure them alike, and recommend one, with the reason.

    Leaves comparison.json and comparison.html.
    """
    from synthloom.service import choose_budget, make_request
    from synthloom.service.compare import DOCUMENTS, keep_comparison
    from synthloom.service.compare import compare as put_side_by_side

    environment = settings()
    request = make_request(
        rows=rows, seed=seed, params=opt.named_values(param, "--param"),
        privacy=environment.privacy if privacy is None else privacy,
        holdout=environment.holdout if holdout is None else holdout, thresholds=environment.thresholds, device=device,
        budget=choose_budget(budget, "", None, "--budget"),
    )
    opt.survival_pair(survival)
    opt.sequence_pair(sequence)
    source = opt.table_source(table)
    folder = out if out is not None else _default_folder(environment.out, table)
    home = local_home(folder)
    check_out(home.folder, table, overwrite=overwrite, names=DOCUMENTS, sign=DOCUMENTS[0])
    words = ["synthloom", "compare", table, "--methods", methods, "--backends", backends, "--seeds", str(seeds)]
    given: tuple[tuple[str, Any], ...] = (
        ("--seed", seed), ("--rows", rows), ("--target", target), ("--survival", survival), ("--sequence", sequence),
        ("--schema", schema), ("--privacy", request.privacy), ("--budget", budget),
        ("--holdout", request.holdout), ("--out", folder),
    )
    for option, value in given:
        words += [option, str(value)] if value is not None else []
    for pair in param or []:
        words += ["--param", pair]

    def job(emit: Emit, cancelled: Cancelled) -> tuple[Comparison, tuple[Artifact, ...]]:
        found = put_side_by_side(
            source, _names(methods), _names(backends), request, seeds=seeds, name=opt.table_name(table),
            overrides=opt.schema_overrides(
                schema, target=target, survival=survival, sequence=sequence, drop_text=drop_text,
            ),
            command=shlex.join(words), backends=known_backends(environment), emit=emit, cancelled=cancelled,
        )
        return found, keep_comparison(home.store, home.run_id, found, emit, cancelled)

    comparison, artifacts = perform(job, make_display(quiet=quiet, steps=_STEPS), home.close)

    def show(console: Console) -> None:
        _show(console, comparison)
        console.print(f"\nResults in {folder}:")
        for artifact in artifacts:
            console.print(f"  {artifact.key.partition('/')[2]:<20}{size_words(artifact.size):>9}")

    return Answer(
        result={
            "folder": str(home.folder), "artifacts": [a.model_dump(mode="json") for a in artifacts],
            "comparison": comparison.model_dump(mode="json"),
        },
        show=show, notices=comparison.notices,
    )


def _default_folder(base: str, table: str) -> Path:
    folder = default_out(base, table)
    return folder.with_name(f"{folder.name}-comparison")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _show(console: Console, comparison: Comparison) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("", "contender", *(head for head, _ in _COLUMNS), "learn", "draw", "memory", "limits"):
        grid.add_column(Text(head, "dim"), justify="left" if head in ("contender", "limits") else "right")
    for s in comparison.standings:
        if s.state == "measured":
            grid.add_row(*_cells(s), Text("inside" if s.inside else "outside", "green" if s.inside else "bold red"))
    console.print(grid)
    for s in comparison.standings:
        if s.state != "measured":
            console.print(Text.assemble((f"{s.label}: ", "bold"), s.reason))
    if comparison.recommendation is not None:
        console.print(Text.assemble(("\nRecommended: ", "bold"), comparison.recommendation.reason))
    console.print(Text("apart, DCR, member: 0.5 is best; shape, trend, utility: higher is better.", "dim"))


def _cells(s: Standing) -> list[str]:
    cells = [f"{s.place}", s.label]
    for _, keys in _COLUMNS:
        figure = next((s.figures[k] for k in keys if k in s.figures), None)
        cells.append("–" if figure is None else f"{figure.mean:.3f}")
    cells += ["–" if t is None else f"{t:.1f} s" for t in (s.fit_seconds, s.sample_seconds)]
    return [*cells, "–" if s.memory_mb is None else f"{s.memory_mb:,.0f} MB"]
