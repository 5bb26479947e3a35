"""The commands together, and what happens around each of them: answers, errors, exit codes."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated

import typer

from synthloom.cli import (
    backends,
    compare,
    end,
    evaluate,
    impute,
    inspect,
    keys,
    methods,
    report,
    run,
    sample,
    schema,
    serve,
    sweep,
    worker,
)
from synthloom.cli.crash import crash_error
from synthloom.cli.output import Answer, Flags, deliver, deliver_error, print_notice, stderr_console
from synthloom.domain.errors import CancelledError, OutputError, SynthloomError, UsageError
from synthloom.domain.event import Notice
from synthloom.settings import likely_misspelt

_EPILOG = (
    "Exit codes: 0 done, 1 unexpected error, 2 used wrongly, 3 unusable input, 4 a verdict failed under "
    "--require-verdicts, 5 something is not installed, 6 privacy promise impossible, 7 the method could not learn, "
    "8 output could not be written, 9 the state does not allow it, 10 database or store out of reach, 11 not allowed, "
    "12 too many requests, 13 a backend failed, 14 too much memory or time, 130 cancelled."
)

app = typer.Typer(
    name="synthloom", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, epilog=_EPILOG,
    help="A synthetic twin of a table, the model that made it, and the evidence that lets somebody else trust it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", short_help="From a table to synthetic data with evidence.")(run.run)
app.command("inspect", short_help="What a table's columns are, and why.")(inspect.inspect)
app.command("sample", short_help="More rows out of a model.")(sample.sample)
app.command("impute", short_help="A table's missing cells, filled by a model.")(impute.impute)
app.command("evaluate", short_help="Measure synthetic data made by any tool.")(evaluate.evaluate)
app.command("compare", short_help="Methods side by side on one split.")(compare.compare)
app.command("report", short_help="Draw a run's report again.")(report.report)
app.command("methods", short_help="The methods and their parameters.")(methods.methods)
app.add_typer(backends.app, name="backends", short_help="Other people's methods: SynthCity and SDV.")
app.command("schema", short_help="JSON Schemas of our files.")(schema.schema)
app.command("serve", short_help="The page and the API.")(serve.serve)
app.add_typer(keys.app, name="keys", short_help="Who may use the server.")
app.command("report-service", short_help="A server that draws PDFs.")(serve.report_service)
app.command("worker", short_help="Do queued runs.")(worker.worker)
app.command("migrate", short_help="Bring the server's database up to date.")(worker.migrate)
app.command("sweep", short_help="Find files that nothing points to.")(sweep.sweep)

COMMANDS = (
    "run", "inspect", "sample", "impute", "evaluate", "compare", "report", "methods", "backends", "schema", "serve",
    "keys", "report-service", "worker", "migrate", "sweep",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"synthloom {version('synthloom')}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options before the command."""


def start(words: list[str]) -> int:
    """Carry out a command line; the exit code. A cancelled one ends the process at once."""
    flags = Flags.from_words(words, COMMANDS)
    _settle_encoding()
    if not flags.debug:
        warnings.simplefilter("ignore")  # libraries' warnings are for developers; what a person must know is a notice
    if not flags.quiet:
        _warn_of_misspelt_variables()
    try:
        code = _carry_out(words, flags)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone: nothing to tell anybody
        code = OutputError.exit_code
        _close_stdout()
    except OSError as error:
        code = deliver_error(OutputError(
            f"the output cannot be written ({os.strerror(error.errno or 0)}).", where="standard output",
            do="Check where it is sent to.",
        ), Flags(command=flags.command))
        _close_stdout()
    if code == CancelledError.exit_code:
        end(code)
    return code


def _carry_out(words: list[str], flags: Flags) -> int:
    try:
        answer = app(words, standalone_mode=False)
    except SynthloomError as error:
        return deliver_error(error, flags)
    except (OSError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001  # the last resort: one clear line instead of a traceback
        if type(error).__name__ == "NoArgsIsHelpError":  # a bare `synthloom`: its message is the help
            sys.stderr.write(f"{error.format_message()}\n")  # type: ignore[attr-defined]
            return UsageError.exit_code
        if hasattr(error, "format_message"):  # the parser's own errors, whichever package they come from
            return deliver_error(_usage(error, flags.command), flags)
        if isinstance(error, typer.Abort):
            return deliver_error(CancelledError("cancelled."), flags)
        return deliver_error(crash_error(error, debug=flags.debug), flags)
    if isinstance(answer, Answer):
        return deliver(answer, flags)
    return answer if isinstance(answer, int) else 0


def _usage(error: Exception, command: str | None) -> SynthloomError:
    message = str(error.format_message()).strip()  # type: ignore[attr-defined]
    help_command = f"synthloom {command} --help" if command else "synthloom --help"
    return UsageError(message if message.endswith((".", "?")) else f"{message}.", do=f"See `{help_command}`.")


def _warn_of_misspelt_variables() -> None:
    for name, meant in likely_misspelt().items():
        print_notice(stderr_console(), Notice(code="setting", message=f"{name} is no setting; do you mean {meant}?"))


def _settle_encoding() -> None:
    """Results are UTF-8 in files and pipes whatever the locale; a terminal gets what it can show."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")


def _close_stdout() -> None:
    """Point standard output nowhere, so that the interpreter's last flush does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
