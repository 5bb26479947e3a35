"""Models of equal runs are taken instead of trained again.

Runs are equal when everything that a model depends on is: the table's bytes, what was said about its columns, the
request, the versions of what computes, and which backends there are. Only runs of one tenant are ever compared; a run
with differential privacy neither takes nor gives a model, as a taken one would charge its budget twice or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import InputError, ModelFileError, UnknownNameError
from synthloom.domain.event import Emit, Notice
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.records import Claim
from synthloom.domain.report import Report
from synthloom.ports import ArtifactStore, RunLedger
from synthloom.service.documents import parse_report
from synthloom.service.roads import versions

if TYPE_CHECKING:
    from synthloom.engine import Ready

_FORM = 1  # raised when what a key is made of changes
_MORE_PACKAGES = ("torch",)
_OWN_NOTICES = frozenset({"not_passed", "model_reused", "model_not_reused", "pdf_missing", "model_not_kept"})
"""Notices of an earlier run that a later one makes by itself, or that do not hold for it."""


class ModelOffer(BaseModel):
    """A model that a run may take.

    Attributes:
        key: What the run's own model will be found under.
        run_id: Whose model it is; None: there is none, the run has to train.
        made: When that run ended, ISO 8601.
        model: The model file.
        report: That run's report.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    run_id: str | None = None
    made: str = ""
    model: Artifact | None = None
    report: Artifact | None = None


def model_key(claim: Claim, circumstances: Mapping[str, str]) -> str | None:
    """What equal runs share; None for a run that takes no part.

    The number of rows counts where a run may try several plans: which one passes may hang on it.

    Args:
        claim: The run with its dataset.
        circumstances: What a model depends on beside the run and installed packages, such as the order of backends.
    """
    request = claim.run.request
    if request.dp is not None:
        return None
    said = request.model_dump(mode="json", exclude={"rows"} if request.max_attempts == 1 else None)
    overrides = claim.run.overrides
    parts = {
        "form": _FORM, "data": claim.dataset.sha256, "request": said, "versions": versions() | _more_versions(),
        "overrides": None if overrides is None else overrides.model_dump(mode="json"),
        "circumstances": dict(circumstances),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find_offer(ledger: RunLedger, claim: Claim, circumstances: Mapping[str, str]) -> ModelOffer | None:
    """What a run may take, and under which key its own model will be found; None for a run that takes no part."""
    key = model_key(claim, circumstances)
    if key is None:
        return None
    if not claim.run.reuse_model:
        return ModelOffer(key=key)
    run = ledger.find_model(claim.run.tenant, key)
    if run is None:
        return ModelOffer(key=key)
    kept = {PurePosixPath(a.key).name: a for a in ledger.artifacts(run.tenant, run.run_id)}
    model, report = kept.get("model.synthloom"), kept.get("report.json")
    if model is None or report is None:
        return ModelOffer(key=key)
    made = run.finished_at.isoformat(timespec="seconds") if run.finished_at is not None else ""
    return ModelOffer(key=key, run_id=run.run_id, made=made, model=model, report=report)


def take(store: ArtifactStore, offer: ModelOffer | None, emit: Emit) -> Ready | None:
    """The model offered, checked; None, with a Notice, where it cannot be used, and where none is offered."""
    if offer is None or offer.run_id is None or offer.model is None or offer.report is None:
        return None
    try:
        model, report = _checked(store, offer.model), parse_report(_checked(store, offer.report), offer.report.key)
        return _ready(offer, model, report)
    except (InputError, UnknownNameError) as error:
        emit(Notice(code="model_not_reused", message=(
            f"The model of the equal run {offer.run_id} cannot be used, so a new one is trained: {error.what}"
        )))
        return None


def _ready(offer: ModelOffer, model: bytes, report: Report) -> Ready:
    from synthloom.engine import Ready
    from synthloom.registry import load_synthesizer

    if report.plan is None or not isinstance(report.guarantee, NoGuarantee):
        raise ModelFileError("its run made a claim about privacy.")
    source = Notice(code="model_reused", message=(
        f"The model is that of run {offer.run_id} ({offer.made}), whose table, request, seed and versions were the "
        "same; rows were drawn and measured anew."
    ))
    return Ready(
        synthesizer=load_synthesizer(model), plan=report.plan, number=report.meta.attempt, source=source,
        n_train=report.meta.n_train, attempts=report.attempts, race=report.race, losses=report.losses,
        fallbacks=report.fallbacks, notices=tuple(n for n in report.notices if n.code not in _OWN_NOTICES),
    )


def _checked(store: ArtifactStore, artifact: Artifact) -> bytes:
    data = store.get(artifact.key)
    if len(data) != artifact.size or hashlib.sha256(data).hexdigest() != artifact.sha256:
        raise ModelFileError("what is stored is not what was kept: its hash differs.", where=artifact.key)
    return data


def _more_versions() -> dict[str, str]:
    found = {}
    for package in _MORE_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
