"""Structured logs on standard error: one line, one event, with the run's id in every line of a run.

What is logged is written by us: texts of our own, names, numbers, kinds of errors. Other packages' messages may quote
data, so of those only the logger's name and the level are kept.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any

from synthloom.domain.event import Event, Fallback, Notice, StepFinished, StepStarted

ROOT = "synthloom"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LOGGED_NOTICES = frozenset({"backend", "model_reused", "model_not_reused", "budget", "unfit", "device"})
"""Notices about what was chosen for a person; others are about columns and stand in the run's events."""


class Bound(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines all carry the same fields."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put the fields into the line."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def configure(level: str = "info", form: str = "json", stream: IO[str] | None = None) -> None:
    """Send our loggers' lines, and other packages' errors without their texts, to standard error.

    Args:
        level: debug, info, warning or error.
        form: json or text.
        stream: In place of standard error.
    """
    formatter: logging.Formatter = JsonLines() if form == "json" else TextLines()
    ours, theirs = logging.getLogger(ROOT), logging.getLogger()
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(LEVELS[level])
    foreign = logging.StreamHandler(stream or sys.stderr)
    foreign.setFormatter(formatter)
    foreign.addFilter(_without_text)
    foreign.setLevel(logging.ERROR)
    theirs.handlers = [foreign]


def _without_text(record: logging.LogRecord) -> bool:
    record.msg, record.args, record.exc_info, record.exc_text = "message left out, it may quote data", (), None, None
    record.stack_info = None
    return True


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line carries beside its text."""
    return {k: v for k, v in record.__dict__.items() if k not in _STANDARD and not k.startswith("_")}


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, and the line's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }
        said |= {k: v for k, v in fields_of(record).items() if v is not None}
        if record.exc_info is not None and record.exc_info[1] is not None:
            said["trace"] = _trace(record.exc_info[1])
        return json.dumps(said, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """For people: time, level, text, then the fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = {k: v for k, v in fields_of(record).items() if v is not None and k != "trace"}
        tail = " ".join(f"{k}={json.dumps(v, default=str) if ' ' in str(v) else v}" for k, v in fields.items())
        head = f"{at} {record.levelname.lower():<7} {record.name.removeprefix('synthloom.')}:"
        text = f"{head} {record.getMessage()} {tail}"
        trace = getattr(record, "trace", None)
        if record.exc_info is not None and record.exc_info[1] is not None:
            trace = _trace(record.exc_info[1])
        return f"{text.rstrip()}\n{trace}".rstrip() if trace else text.rstrip()


def _trace(error: BaseException) -> str:
    from synthloom.service.traces import crash_text

    return crash_text(error)


def log_event(log: Bound, event: Event) -> None:
    """A run's event as a line, where it says what was chosen, done or given up."""
    if isinstance(event, Fallback):
        log.warning("fallback", extra={"wanted": event.wanted, "used": event.used, "reason": event.reason})
    elif isinstance(event, StepFinished):
        log.info("step finished", extra={"step": event.step, "attempt": event.attempt, "said": event.message or None})
    elif isinstance(event, StepStarted):
        log.debug("step started", extra={"step": event.step, "attempt": event.attempt})
    elif isinstance(event, Notice) and event.code in _LOGGED_NOTICES:
        log.info("notice", extra={"code": event.code, "said": event.message})


def pass_on(line: bytes, fields: Mapping[str, Any]) -> bool:
    """Log a line that a child wrote as JsonLines, with more fields; False when it is none of those."""
    try:
        said = json.loads(line)
        name, level, message = said.pop("logger"), LEVELS[said.pop("level")], said.pop("message")
    except (ValueError, KeyError, AttributeError, TypeError):
        return False
    said.pop("at", None)
    log = logging.getLogger(name if name.startswith(ROOT) else f"{ROOT}.child")
    extra = {k: v for k, v in {**said, **fields}.items() if k not in _STANDARD}
    log.log(level, "%s", message, extra=extra)
    return True
