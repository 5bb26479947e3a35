"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from synthloom.domain.errors import OutputError, UsageError
from synthloom.domain.schema import SchemaOverrides

TableArgument = Annotated[
    str, typer.Argument(metavar="TABLE", help="CSV, TSV, Parquet or Excel file, gzipped or not; - for standard input."),
]
TargetOption = Annotated[str | None, typer.Option("--target", metavar="COL", help="The column a model would predict.")]
SurvivalOption = Annotated[
    str | None, typer.Option("--survival", metavar="TIME,EVENT", help="The two columns of a survival table."),
]
SequenceOption = Annotated[
    str | None,
    typer.Option(
        "--sequence", metavar="KEY[,ORDER]",
        help="The column that says which sequence a row belongs to, and the one its rows are in order of.",
    ),
]
SchemaOption = Annotated[
    Path | None,
    typer.Option(
        "--schema", metavar="FILE", help="Schema file (YAML or JSON) over what is inferred; see `synthloom schema`.",
    ),
]
DropTextOption = Annotated[bool, typer.Option("--drop-text", help="Leave columns of free text out, not refuse them.")]
MethodOption = Annotated[
    str, typer.Option("--method", metavar="auto|NAME", help="A method; see `synthloom methods`."),
]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend", metavar="auto|NAME[,NAME]",
        help="Who implements the method: native, synthcity, sdv, or several in the order to ask them; auto: the order "
        "of SYNTHLOOM_BACKENDS.",
    ),
]
PrivacyOption = Annotated[
    str | None,
    typer.Option(
        "--privacy", metavar="low|default|high", help="Where to stand between fidelity and privacy.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="TIME|none",
        help="Time that choosing and learning may take: 60s, 2m, 1h30m. With auto, methods are measured within it; "
        "none: rules choose. Default: SYNTHLOOM_BUDGET for auto, no limit for a named method.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where methods that can use a GPU do their work."),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the method; may be given several times."),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="S", help="Same seed, same machine, same rows.", min=0)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and --json).")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Print where an unexpected error came from, and libraries' warnings."),
]

STDIN = "-"


def table_source(table: str) -> Any:
    """What to read: a path, or everything that comes on standard input."""
    if table != STDIN:
        return Path(table)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input is a terminal.", where=STDIN, do="Pipe a table in, or name a file.")
    return sys.stdin.buffer


def table_name(table: str) -> str | None:
    """A name for people; None: the file's own."""
    return "standard input" if table == STDIN else None


def holdout_choice(text: str | None, table: str) -> tuple[float | None, Any]:
    """`--holdout` as a share of the table's rows, or as a table of its own to read; one of the two, or none."""
    if text is None:
        return None, None
    try:
        return float(text), None
    except ValueError:
        pass  # no number: the name of a file
    if text == table == STDIN:
        raise UsageError("standard input can be read only once.", where="--holdout", do="Name a file for the holdout.")
    return None, table_source(text)


def schema_overrides(
    schema: Path | None, *, target: str | None, survival: str | None, sequence: str | None = None,
    drop_text: bool = False,
) -> SchemaOverrides:
    """The schema file with what else was said on the command line on top."""
    from synthloom.service import make_overrides

    base = None
    if schema is not None:
        from synthloom.tables.schema_file import load_overrides

        base = load_overrides(schema)
    return make_overrides(
        base, target=target, survival=survival_pair(survival), sequence=sequence_pair(sequence), drop_text=drop_text,
    )


def survival_pair(text: str | None) -> tuple[str, str] | None:
    """`TIME,EVENT` as two names."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise UsageError(
            f"{text!r} does not name two columns.", where="--survival",
            do="Give the time and the event column with a comma between, such as time,cens; or use a schema file.",
        )
    return parts[0], parts[1]


def sequence_pair(text: str | None) -> tuple[str, str | None] | None:
    """`KEY` or `KEY,ORDER` as names."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 2 or not all(parts):
        raise UsageError(
            f"{text!r} does not name one or two columns.", where="--sequence",
            do="Give the sequence key, and after a comma the order if there is one, such as patient,visit; or use a "
            "schema file.",
        )
    return parts[0], parts[1] if len(parts) == 2 else None


def named_values(pairs: list[str] | None, option: str, *, parse: bool = True) -> dict[str, Any]:
    """`NAME=VALUE` pairs as a mapping; values are JSON where they can be, else text.

    Args:
        pairs: What was given.
        option: The option's name, for messages.
        parse: False leaves every value as text.
    """
    values: dict[str, Any] = {}
    for pair in pairs or []:
        name, mark, value = pair.partition("=")
        name = name.strip()
        if not mark or not name:
            raise UsageError(f"{pair!r} is no NAME=VALUE.", where=option, do=f"Write {option} name=value.")
        if name in values:
            raise UsageError(f"{name!r} is given twice.", where=option, do="Give it once.")
        values[name] = _value(value) if parse else value
    return values


def output_file(path: Path) -> Path:
    """The path of a file to be written; OutputError when its folder does not exist or it is a folder."""
    target = path.expanduser().resolve()
    if target.is_dir():
        raise OutputError("this is a folder, not a file.", where=str(path), do="Name a file in it.")
    if not target.parent.is_dir():
        raise OutputError("its folder does not exist.", where=str(path), do="Make the folder, or choose another one.")
    return target


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # not JSON: plain text
        return text


def binary_stdout() -> BinaryIO:
    """Standard output for bytes."""
    sys.stdout.flush()
    return sys.stdout.buffer
