"""`synthloom evaluate`: measure synthetic data that any tool has made."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthloom.cli import options as opt
from synthloom.cli.out_folder import check_out
from synthloom.cli.output import Answer
from synthloom.cli.progress import make_display
from synthloom.cli.run import VERDICT_EXIT, report_summary
from synthloom.cli.scorecard import failed_verdicts, print_scorecard
from synthloom.cli.work import perform
from synthloom.domain.errors import UsageError
from synthloom.domain.event import Cancelled, Emit
from synthloom.wiring import backends, local_home, settings

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.artifact import Artifact
    from synthloom.domain.report import Report

_STEPS = ("read", "infer", "measure", "verdict", "report", "store")


def evaluate(
    real: Annotated[str, typer.Argument(metavar="REAL", help="The table the tool has learnt from.")],
    synthetic: Annotated[str, typer.Argument(metavar="SYNTHETIC", help="What it made; the same columns.")],
    holdout: Annotated[
        str | None,
        typer.Option("--holdout", metavar="FILE", help="Rows of the same source the tool has not seen."),
    ] = None,
    target: opt.TargetOption = None,
    survival: opt.SurvivalOption = None,
    sequence: opt.SequenceOption = None,
    schema: opt.SchemaOption = None,
    seed: opt.SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write report.json, .html and .pdf there."),
    ] = None,
    drop_text: opt.DropTextOption = False,
    require_verdicts: Annotated[
        bool, typer.Option("--require-verdicts", help="Exit with 4 when a verdict failed."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files."),
    ] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Measure synthetic data against the real table; without a holdout, membership cannot be measured."""
    from synthloom.service import Recorder
    from synthloom.service import evaluate as measure_together

    environment = settings()
    opt.survival_pair(survival)
    opt.sequence_pair(sequence)
    if (real, synthetic, holdout).count(opt.STDIN) > 1:
        raise UsageError("standard input can be read only once.", where=opt.STDIN, do="Name files for the others.")
    sources = [opt.table_source(table) if table is not None else None for table in (real, synthetic, holdout)]
    home = local_home(out) if out is not None else None
    if home is not None:
        check_out(home.folder, real, overwrite=overwrite)
    words = ["synthloom", "evaluate", real, synthetic, "--seed", str(seed)]
    for option, value in (
        ("--holdout", holdout), ("--target", target), ("--survival", survival), ("--sequence", sequence),
        ("--schema", schema),
    ):
        words += [option, str(value)] if value is not None else []
    words += ["--drop-text"] if drop_text else []

    def job(emit: Emit, cancelled: Cancelled) -> tuple[Report, tuple[Artifact, ...], Recorder]:
        recorder = Recorder(emit)
        overrides = opt.schema_overrides(
            schema, target=target, survival=survival, sequence=sequence, drop_text=drop_text,
        )
        report = measure_together(
            *sources, overrides=overrides, thresholds=environment.thresholds, seed=seed, command=shlex.join(words),
            backends=backends(environment), emit=recorder, cancelled=cancelled,
        )
        artifacts: tuple[Artifact, ...] = ()
        if home is not None:
            artifacts = home.service.keep_report(home.run_id, report, emit=recorder, cancelled=cancelled)
        return report, artifacts, recorder

    report, artifacts, recorder = perform(
        job, make_display(quiet=quiet, steps=_STEPS if out is not None else _STEPS[:-1]),
        home.close if home else lambda: None,
    )

    def show(console: Console) -> None:
        print_scorecard(console, report)
        if out is not None:
            console.print(f"\nReport in {out}: {', '.join(a.key.partition('/')[2] for a in artifacts)}")

    error: dict[str, str | None] | None = None
    if require_verdicts and report.outcome != "passed":
        names = ", ".join(v.threshold.name for v in failed_verdicts(report)) or "nothing could be judged"
        error = {"code": "verdict", "what": f"verdicts failed: {names}.", "where": synthetic,
                 "do": "The report says what failed and why."}
    return Answer(
        result={
            "folder": str(home.folder) if home else None, "outcome": report.outcome,
            "artifacts": [a.model_dump(mode="json") for a in artifacts], **report_summary(report),
        },
        show=show, notices=recorder.notices, error=error, exit_code=VERDICT_EXIT if error else 0,
    )
