"""What a person asks for, validated."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from synthloom.domain.budget import read_budget
from synthloom.domain.errors import UsageError
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import SchemaOverrides, SequenceColumns, SurvivalColumns


def make_request(**values: Any) -> RunRequest:
    """A RunRequest; UsageError names the value that cannot be used. Values that are None keep their default."""
    try:
        return RunRequest.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(p) for p in first["loc"])
        raise UsageError(f"{name}={first['input']!r} cannot be used: {first['msg'].lower()}.") from None


def choose_budget(given: str | float | None, method: str, default: float | None, where: str = "budget") -> float | None:
    """Seconds that choosing and learning may take; None: no limit, and rules choose a method.

    Args:
        given: What the person said: seconds, `60s`, `2m`, `1h30m`, or `none`; None: nothing.
        method: The method asked for.
        default: The setting; it holds where methods race, as a method that was named is not to be cut short.
        where: The option, for messages.

    Raises:
        UsageError: it is no time.
    """
    if given is None:
        return default if method == "auto" else None
    return read_budget(given, where)


def make_overrides(
    base: SchemaOverrides | None = None, *, target: str | None = None, survival: tuple[str, str] | None = None,
    sequence: tuple[str, str | None] | None = None, drop_text: bool = False,
) -> SchemaOverrides:
    """A schema file's overrides (or none) with what else was said on top."""
    given = base or SchemaOverrides()
    changes: dict[str, Any] = {}
    if target is not None:
        changes["target"] = target
    if survival is not None:
        changes["survival"] = SurvivalColumns(time=survival[0], event=survival[1])
    if sequence is not None:
        changes["sequence"] = SequenceColumns(key=sequence[0], order=sequence[1])
    if drop_text:
        changes["free_text"] = "drop"
    return given.model_copy(update=changes)
