"""`synthloom sample`: more rows out of a model file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

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
    import pandas as pd

    from synthloom.domain.schema import Schema
    from synthloom.tables.shares import Shares

_STEPS = ("read", "sample", "store")
_FORMATS = (".csv", ".parquet")


def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run's model.synthloom, or the run's folder.")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="Rows to draw.")],
    seed: opt.SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="A .csv or .parquet file; default: CSV on standard output."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COL=VALUE", help="A cell to fix in every row; may be given several times."),
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            "--share", metavar="COL=VALUE:SHARE,...",
            help="Rebalance a column: each value gets its share of the rows; may be given several times.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", metavar="T",
            help="Below 1 likely values become likelier, above 1 rarer ones do; for methods with that parameter.",
        ),
    ] = None,
    raw_csv: Annotated[
        bool, typer.Option("--raw-csv", help="Do not escape cells that a spreadsheet would run as formulas."),
    ] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Draw rows from a fitted model.

    --where fixes a cell in every row; an empty value (--where city=) asks for a missing cell. --share asks for shares
    of a column's values that add up to 1, such as --share income=low:0.5,high:0.5; a value with a comma in it stands in
    double quotes: --share 'place="Bern, CH":0.3,Basel:0.7'.
    """
    shares = {name: shares_of(text) for name, text in opt.named_values(share, "--share", parse=False).items()}
    fixed = {name: value or None for name, value in opt.named_values(where, "--where", parse=False).items()}
    if json and out is None:
        raise UsageError("rows and the JSON document cannot share standard output.", where="--json", do="Give --out.")
    target = _checked_target(out) if out is not None else None
    home = local_home(target.parent) if target is not None else None

    def job(emit: Emit, cancelled: Cancelled) -> tuple[Any, int]:
        table, schema = _draw(model, rows, seed, fixed, shares, temperature, emit, cancelled)
        if target is None or home is None:
            _write(table, schema, ".csv", opt.binary_stdout(), raw=raw_csv)
            return table, 0
        artifact = home.store.put(
            f"{home.run_id}/{target.name}", lambda sink: _write(table, schema, target.suffix, sink, raw=raw_csv),
        )
        return table, artifact.size

    table, size = perform(
        job, make_display(quiet=quiet or target is None, steps=_STEPS), home.close if home else lambda: None,
    )
    return Answer(
        result={"file": str(target), "rows": len(table), "columns": list(table.columns), "bytes": size, "seed": seed},
        show=None if target is None else lambda console: console.print(f"{rows:,} rows in {out} ({size_words(size)})"),
    )


def shares_of(text: str) -> dict[str | None, float]:
    """`VALUE:SHARE,VALUE:SHARE` as a mapping; an empty value is a missing cell.

    A value in double quotes may hold commas, and double quotes twice. What stands behind the last colon is the share.
    """
    shares: dict[str | None, float] = {}
    for part in next(csv.reader([text]), []):
        value, mark, number = part.rpartition(":")
        try:
            share = float(number)
        except ValueError:
            mark = ""
        if not mark:
            raise UsageError(
                f"{part!r} is no VALUE:SHARE.", where="--share",
                do='Write --share col=a:0.5,b:0.5, and a value with a comma in double quotes: "a, b":0.5.',
            )
        if (value or None) in shares:
            raise UsageError(f"{value!r} is given twice.", where="--share", do="Give it once.")
        shares[value or None] = share
    return shares


def _draw(
    model: Path, rows: int, seed: int, fixed: dict[str, Any], shares: Shares, temperature: float | None, emit: Emit,
    cancelled: Cancelled,
) -> tuple[pd.DataFrame, Schema]:
    from synthloom.registry import load_synthesizer
    from synthloom.service import recording
    from synthloom.service import sample as draw

    recorder = recording(emit)
    with recorder.step("read"):
        synthesizer = load_synthesizer(model / "model.synthloom" if model.is_dir() else model)
    table = draw(
        synthesizer, rows, seed=seed, where=fixed, shares=shares, temperature=temperature, emit=recorder,
        cancelled=cancelled,
    )
    return table, synthesizer.schema


def _write(table: pd.DataFrame, schema: Schema, ending: str, sink: BinaryIO, *, raw: bool) -> None:
    from synthloom.tables.codec import write_csv, write_parquet

    if ending == ".parquet":
        write_parquet(table, schema, sink)
        return
    write_csv(table, schema, sink, escape_formulas=not raw)
    sink.flush()


def _checked_target(out: Path) -> Path:
    target = opt.output_file(out)
    if target.suffix.lower() not in _FORMATS:
        raise OutputError(
            f"the ending {target.suffix!r} is not one that can be written.", where=str(out),
            do=f"Use one of: {', '.join(_FORMATS)}.",
        )
    return target
