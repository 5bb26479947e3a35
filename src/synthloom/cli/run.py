"""`synthloom run`: from a table to synthetic data with evidence."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.out_folder import check_out, default_out
from synthloom.cli.output import Answer, print_notice
from synthloom.cli.progress import make_display
from synthloom.cli.scorecard import failed_verdicts, print_scorecard
from synthloom.cli.work import perform
from synthloom.domain.budget import budget_text
from synthloom.domain.event import Cancelled, Emit
from synthloom.service.tracker import weights_for
from synthloom.wiring import Home, backends, local_home, settings

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.run import RunRequest
    from synthloom.service import Finished

VERDICT_EXIT = 4
"""Exit code when a verdict failed under --require-verdicts."""


def run(
    table: opt.TableArgument,
    method: opt.MethodOption = "auto",
    backend: opt.BackendOption = "auto",
    rows: Annotated[
        int | None, typer.Option("--rows", "-n", min=1, help="Rows to draw; default: as many as the table has."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where the results go; default: results/<table>."),
    ] = None,
    seed: opt.SeedOption = 0,
    target: opt.TargetOption = None,
    survival: opt.SurvivalOption = None,
    sequence: opt.SequenceOption = None,
    schema: opt.SchemaOption = None,
    privacy: opt.PrivacyOption = None,
    budget: opt.BudgetOption = None,
    device: opt.DeviceOption = "auto",
    param: opt.ParamOption = None,
    refine: Annotated[
        list[str] | None,
        typer.Option(
            "--refine", metavar="STEP",
            help="quantile_matching, jitter or categorical_marginals after drawing; may be given several times.",
        ),
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            "--holdout", metavar="SHARE|FILE",
            help="Share of rows kept back to measure against, or a file of rows of the same source, which are not "
            "learnt either; without it a fifth, at most 2,500 rows.",
        ),
    ] = None,
    drop_text: opt.DropTextOption = False,
    require_verdicts: Annotated[
        bool, typer.Option("--require-verdicts", help="Exit with 4 when a verdict failed."),
    ] = False,
    raw_csv: Annotated[
        bool, typer.Option("--raw-csv", help="Do not escape cells that a spreadsheet would run as formulas."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files."),
    ] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Make a synthetic twin of a table, measure it, and write everything into a folder.

    Leaves synthetic.csv, synthetic.parquet, model.synthloom, report.json, report.html and report.pdf.
    """
    from synthloom.service import choose_budget, make_request

    environment = settings()
    share, unseen = opt.holdout_choice(holdout, table)
    request = make_request(
        method=method, backend=backend, rows=rows, seed=seed, params=opt.named_values(param, "--param"),
        refinements=tuple(refine or ()),
        privacy=environment.privacy if privacy is None else privacy,
        holdout=environment.holdout if share is None and unseen is None else share,
        max_attempts=environment.max_attempts, thresholds=environment.thresholds, device=device,
        budget=choose_budget(budget, method, environment.budget, "--budget"),
    )
    pair, series = opt.survival_pair(survival), opt.sequence_pair(sequence)
    source = opt.table_source(table)
    folder = out if out is not None else default_out(environment.out, table)
    home = local_home(folder)
    check_out(home.folder, table, overwrite=overwrite)
    command = _command(
        table, request, folder, target=target, survival=pair, sequence=series, schema=schema, holdout=holdout,
        drop_text=drop_text,
    )

    def job(emit: Emit, cancelled: Cancelled) -> Finished:
        return home.service.execute(
            home.run_id, source, request, name=opt.table_name(table),
            overrides=opt.schema_overrides(
                schema, target=target, survival=survival, sequence=sequence, drop_text=drop_text,
            ),
            holdout=unseen, command=command, escape_formulas=not raw_csv, backends=backends(environment), emit=emit,
            cancelled=cancelled,
        )

    done = perform(job, make_display(quiet=quiet, weights=weights_for(request)), home.close)
    return _answer(done, home, folder, require_verdicts=require_verdicts)


def _answer(done: Finished, home: Home, folder: Path, *, require_verdicts: bool) -> Answer:
    failed = failed_verdicts(done.report)

    def show(console: Console) -> None:
        print_scorecard(console, done.report)
        console.print()
        console.print(f"Results in {folder}:")
        for artifact in done.artifacts:
            console.print(f"  {artifact.key.partition('/')[2]:<20}{size_words(artifact.size):>9}")
        for notice in done.notices:
            if notice.code == "pdf_missing":  # said above already, but it must not be lost in what scrolled by
                print_notice(console, notice)

    error: dict[str, str | None] | None = None
    if require_verdicts and (failed or done.report.outcome != "passed"):
        names = ", ".join(v.threshold.name for v in failed) or "nothing could be judged"
        error = {
            "code": "verdict", "what": f"verdicts failed: {names}.", "where": str(folder),
            "do": "The results are there; the report says what failed and why.",
        }
    return Answer(
        result={
            "run_id": home.run_id, "folder": str(home.folder), "outcome": done.report.outcome,
            "artifacts": [a.model_dump(mode="json") for a in done.artifacts],
            **report_summary(done.report),
        },
        show=show, notices=done.notices, error=error, exit_code=VERDICT_EXIT if error else 0,
    )


def report_summary(report: Any) -> dict[str, Any]:
    """The part of a report that scripts want at hand: historical sections, meta and verdicts."""
    keys = ("utility", "privacy", "fairness", "meta", "plan", "race", "verdicts")
    whole = report.model_dump(mode="json", include=set(keys))
    return {key: whole[key] for key in keys}


def size_words(size: int) -> str:
    """Bytes in a person's units."""
    if size < 1000:
        return f"{size} B"
    number = float(size)
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 1000 or unit == "GB":
            break
    return f"{number:.1f} {unit}"


def _command(
    table: str, request: RunRequest, folder: Path, *, target: str | None, survival: tuple[str, str] | None,
    sequence: tuple[str, str | None] | None, schema: Path | None, holdout: str | None, drop_text: bool,
) -> str:
    """The command that does the same again; what the environment set is spelt out where there is an option for it."""
    words = ["synthloom", "run", table, "--out", str(folder), "--seed", str(request.seed), "--method", request.method]
    words += ["--backend", request.backend] if request.backend != "auto" else []
    words += ["--privacy", request.privacy]
    if request.budget is not None or request.method == "auto":
        words += ["--budget", "none" if request.budget is None else budget_text(request.budget)]
    words += ["--device", request.device] if request.device != "auto" else []
    kept = holdout if request.holdout is None else f"{request.holdout:g}"
    words += ["--holdout", kept] if kept is not None else []
    words += ["--rows", str(request.rows)] if request.rows is not None else []
    words += ["--target", target] if target is not None else []
    words += ["--survival", ",".join(survival)] if survival is not None else []
    words += ["--sequence", ",".join(filter(None, sequence))] if sequence is not None else []
    words += ["--schema", str(schema)] if schema is not None else []
    words += ["--drop-text"] if drop_text else []
    for name, value in request.params.items():
        words += ["--param", f"{name}={_plain(value)}"]
    for step in request.refinements:
        words += ["--refine", step]
    return shlex.join(words)


def _plain(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)


