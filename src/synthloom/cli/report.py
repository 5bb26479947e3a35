"""`synthloom report`: draw a run's report again from its report.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.cli.progress import make_display
from synthloom.cli.run import report_summary
from synthloom.cli.scorecard import print_scorecard
from synthloom.cli.work import perform
from synthloom.domain.errors import InputError
from synthloom.domain.event import Cancelled, Emit
from synthloom.wiring import local_home

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.artifact import Artifact
    from synthloom.domain.report import Report
    from synthloom.service import Recorder


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    html: Annotated[bool, typer.Option("--html", help="Draw report.html; default: both.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Draw report.pdf; exits with 5 when Pango is missing.")] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Show a run's scorecard, and draw its HTML and PDF again from report.json."""
    home = local_home(folder)
    if not home.store.exists(f"{home.run_id}/report.json"):
        raise InputError(
            "there is no report.json in it.", where=str(folder), do="Name the folder that `synthloom run` wrote.",
        )
    names = tuple(name for name, wanted in (("report.html", html), ("report.pdf", pdf)) if wanted)

    def job(emit: Emit, cancelled: Cancelled) -> tuple[Report, tuple[Artifact, ...], Recorder]:
        from synthloom.service import Recorder

        recorder = Recorder(emit)
        found = home.service.report(home.run_id)
        artifacts = home.service.keep_report(
            home.run_id, found, names or ("report.html", "report.pdf"), emit=recorder, cancelled=cancelled,
        )
        return found, artifacts, recorder

    found, artifacts, recorder = perform(job, make_display(quiet=quiet, steps=("store",)), home.close)

    def show(console: Console) -> None:
        print_scorecard(console, found)
        console.print()
        for artifact in artifacts:
            console.print(f"Drawn: {folder / artifact.key.partition('/')[2]}")

    return Answer(
        result={
            "folder": str(home.folder), "outcome": found.outcome,
            "artifacts": [a.model_dump(mode="json") for a in artifacts], **report_summary(found),
        },
        show=show, notices=recorder.notices,
    )
