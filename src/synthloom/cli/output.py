"""What a command answers, for a person and for a script.

With `--json` standard output carries exactly one JSON document, on success and on error alike:

    {"version": 1, "command": "run", "ok": true, "exit_code": 0, "result": {...}, "error": null, "notices": [...]}

`error` is `{"code", "what", "where", "do"}`; `notices` are `{"code", "message", "column"}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from synthloom.domain.errors import SynthloomError
from synthloom.domain.event import Notice


@dataclass(frozen=True)
class Flags:
    """What the words of a command line say before they are parsed: enough to answer a parsing error rightly."""

    command: str | None = None
    json: bool = False
    quiet: bool = False
    debug: bool = False

    @classmethod
    def from_words(cls, words: list[str], commands: Collection[str]) -> Flags:
        """Read the flags out of raw words; what stands behind `--` is no flag."""
        head = words[: words.index("--")] if "--" in words else words
        command = next((word for word in head if not word.startswith("-")), None)
        quiet = "--quiet" in head or "-q" in head
        return cls(command if command in commands else None, "--json" in head, quiet, "--debug" in head)


@dataclass(frozen=True)
class Answer:
    """A command's result.

    Attributes:
        result: JSON-safe, under stable keys.
        show: Prints the result for a person on standard output; None: there is nothing more to print.
        notices: What the person should know.
        error: Why the exit code is not 0 although there is a result, such as a failed verdict.
        exit_code: 0 unless `error` is set.
    """

    result: dict[str, Any]
    show: Callable[[Console], None] | None = None
    notices: Iterable[Notice] = ()
    error: dict[str, str | None] | None = None
    exit_code: int = 0


_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")


def printable(text: str) -> str:
    """Text without control characters, so that a column's name cannot drive the terminal."""
    return text.translate(_CONTROLS)


class SafeConsole(Console):
    """A console that shows text as it is: no markup, no control characters. Cells of a Table are the caller's."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects; texts lose their control characters."""
        super().print(*[_safe(item) for item in objects], **options)


def _safe(item: Any) -> Any:
    if isinstance(item, str):
        return printable(item)
    if isinstance(item, Text):
        item = item.copy()
        item.plain = printable(item.plain)  # one character for one, so that styles stay in place
    return item


def stdout_console() -> Console:
    """A console for results: no colours when piped or under NO_COLOR; wide when piped, so that nothing is cut."""
    piped = not sys.stdout.isatty()
    return SafeConsole(highlight=False, markup=False, emoji=False, width=120 if piped else None, soft_wrap=piped)


def stderr_console() -> Console:
    """A console for progress and messages."""
    return SafeConsole(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def deliver(answer: Answer, flags: Flags) -> int:
    """Print a result; the exit code."""
    if flags.json:
        _print_json({
            "version": 1, "command": flags.command, "ok": answer.exit_code == 0, "exit_code": answer.exit_code,
            "result": answer.result, "error": answer.error,
            "notices": [_plain_notice(n) for n in answer.notices],
        })
    elif answer.show and not flags.quiet:
        answer.show(stdout_console())
    if answer.error and not flags.json:
        _print_error(answer.error)
    return answer.exit_code


def deliver_error(error: SynthloomError, flags: Flags) -> int:
    """Print an error, one message; the exit code."""
    if flags.json:
        _print_json({
            "version": 1, "command": flags.command, "ok": False, "exit_code": error.exit_code, "result": None,
            "error": error.as_dict(), "notices": [],
        })
    else:
        _print_error(error.as_dict())
    return error.exit_code


def print_notice(console: Console, notice: Notice) -> None:
    """One notice, one line."""
    place = f"{notice.column}: " if notice.column else ""
    console.print(Text.assemble(("note ", "yellow"), f"{place}{notice.message}"))


def _plain_notice(notice: Notice) -> dict[str, str | None]:
    return {"code": notice.code, "message": notice.message, "column": notice.column}


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _print_error(error: dict[str, str | None]) -> None:
    console = stderr_console()
    cancelled = error["code"] == "cancelled"
    label = ("cancelled ", "bold yellow") if cancelled else ("error ", "bold red")
    place = f"{error['where']}: " if error["where"] else ""
    console.print(Text.assemble(label, (place, "bold"), error["what"] or ""))
    if error["do"]:
        console.print(Text.assemble(("  ", ""), error["do"]))
