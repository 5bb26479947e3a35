"""Requests that no worker could ever carry out are refused before they are queued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synthloom.domain.errors import PrivacyError, TooLargeError, UsageError
from synthloom.domain.records import RunRecord
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import Schema, SchemaOverrides
from synthloom.service.requests import make_request

if TYPE_CHECKING:
    from synthloom.registry import Backends

_BESIDE_REQUEST = ("name", "overrides", "priority", "reuse_model")


def check_request(request: RunRequest, backends: Backends | None = None) -> None:
    """See that somebody could carry a request out on some table, with the backends that are installed here.

    Raises:
        UnknownNameError, ParamsError, PrivacyError, MissingDependencyError, ForbiddenError: nobody could.
    """
    from synthloom.planning.heuristics import SMALL, candidates
    from synthloom.registry import backend_methods, create_synthesizer

    if request.dp is not None and request.refinements:
        raise PrivacyError(
            f"refinements ({', '.join(request.refinements)}) look at the training rows again, which would void "
            "differential privacy.", do="Leave the refinements out, or differential privacy.",
        )
    if request.method == "auto":
        known = backend_methods(request.backend, backends=backends, dp=request.dp)
        candidates(Schema(columns=()), SMALL, request, known)
    else:
        create_synthesizer(
            request.method, request.params, backend=request.backend, privacy=request.privacy, dp=request.dp,
            backends=backends,
        )


def check_size(request: RunRequest, columns: int, cells: int) -> None:
    """TooLargeError for more synthetic cells than a table may have."""
    if request.rows is not None and request.rows * max(columns, 1) > cells:
        raise TooLargeError(
            f"{request.rows:,} rows of {columns:,} columns are more than {cells:,} cells.", where="rows",
            do=f"Ask for at most {cells // max(columns, 1):,} rows; the model draws more afterwards.",
        )


def changed(run: RunRecord, changes: dict[str, Any]) -> dict[str, Any]:
    """What `RunService.submit` takes for a run's request with some fields changed.

    Raises:
        UsageError: a field is unknown, or its value cannot be used.
    """
    fields = (*RunRequest.model_fields, *_BESIDE_REQUEST)
    for name in changes:
        if name not in fields:
            raise UsageError(f"a run has no field {name!r}.", do=f"Its fields: {', '.join(fields)}.")
    beside = {"name": run.name, "overrides": run.overrides, "priority": run.priority, "reuse_model": run.reuse_model}
    beside |= {k: v for k, v in changes.items() if k in _BESIDE_REQUEST}
    if isinstance(beside["overrides"], dict):
        beside["overrides"] = _read_overrides(beside["overrides"])
    values = run.request.model_dump() | {k: v for k, v in changes.items() if k in RunRequest.model_fields}
    return {"request": make_request(**values)} | beside


def _read_overrides(given: dict[str, Any]) -> SchemaOverrides:
    from pydantic import ValidationError

    try:
        return SchemaOverrides.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(p) for p in first["loc"])
        raise UsageError(f"overrides.{place} cannot be used: {first['msg'].lower()}.") from None
