"""`synthloom impute`: a table's missing cells, filled by a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.cli.progress import make_display
from synthloom.cli.run import size_words
from synthloom.cli.work import perform
from synthloom.domain.errors import OutputError, UsageError
from synthloom.domain.event import Cancelled, Emit
from synthloom.wiring import local_home

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.tables.gaps import Filled
    from synthloom.tables.raw import RawTable

_STEPS = ("read", "sample", "store")
_TEXT_ENDINGS = (".csv", ".tsv", ".txt")


def impute(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run's model.synthloom, or the run's folder.")],
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="A table with the columns that the model has learnt; - for standard input."
        ),
    ],
    seed: opt.SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE",
            help="A .csv, .tsv or .txt file, or .parquet for a Parquet table; default: text on standard output.",
        ),
    ] = None,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Fill a table's missing cells, each drawn given the other cells of its row.

    All else stays as it is: rows, columns, every given cell and how it is spelt. Columns that the model does not know
    are passed through. Identifiers and constant columns are not filled.
    """
    if json and out is None:
        raise UsageError("the table and the JSON document cannot share standard output.", where="--json",
                         do="Give --out.")
    target = opt.output_file(out) if out is not None else None
    home = local_home(target.parent) if target is not None else None

    def job(emit: Emit, cancelled: Cancelled) -> tuple[Filled, int]:
        filled = _fill(model, table, seed, emit, cancelled)
        _check_ending(filled.raw, target)
        if target is None or home is None:
            _write(filled.raw, opt.binary_stdout())
            return filled, 0
        artifact = home.store.put(f"{home.run_id}/{target.name}", lambda sink: _write(filled.raw, sink))
        return filled, artifact.size

    filled, size = perform(
        job, make_display(quiet=quiet or target is None, steps=_STEPS), home.close if home else lambda: None,
    )

    def show(console: Console) -> None:
        cells, columns = sum(filled.counts.values()), len(filled.counts)
        console.print(f"{cells:,} cells filled in {columns:,} columns: {out} ({size_words(size)})")
        for name, many in filled.left.items():
            console.print(f"{name}: {many:,} cells are left empty, as no value of this column may be released")

    frame = filled.raw.frame
    return Answer(
        result={
            "file": str(target), "rows": len(frame), "columns": list(frame.columns), "bytes": size, "seed": seed,
            "filled": filled.counts, "left": filled.left,
        },
        show=None if target is None else show,
    )


def _fill(model: Path, table: str, seed: int, emit: Emit, cancelled: Cancelled) -> Filled:
    from synthloom.registry import load_synthesizer
    from synthloom.service import impute as fill

    synthesizer = load_synthesizer(model / "model.synthloom" if model.is_dir() else model)
    return fill(
        synthesizer, opt.table_source(table), name=opt.table_name(table), seed=seed, emit=emit, cancelled=cancelled
    )


def _check_ending(raw: RawTable, target: Path | None) -> None:
    """Cells keep their spelling, so a text table stays text and a Parquet table Parquet."""
    endings = _TEXT_ENDINGS if raw.is_text else (".parquet",)
    if target is None and not raw.is_text:
        raise UsageError("a Parquet table cannot go to standard output.", where="--out", do="Give --out FILE.parquet.")
    if target is not None and target.suffix.lower() not in endings:
        kind = "text" if raw.is_text else "Parquet"
        raise OutputError(
            f"the ending {target.suffix!r} does not fit a table that came as {kind}.", where=str(target),
            do=f"Use {' or '.join(endings)}.",
        )


def _write(raw: RawTable, sink: BinaryIO) -> None:
    from synthloom.tables.codec import write_as_spelt, write_native_parquet

    if raw.is_text:
        write_as_spelt(raw, sink)
        sink.flush()
    else:
        write_native_parquet(raw, sink)
