"""One delivery of a run, inside its child process: fetch, fit or take a model, store, say how to settle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthloom.domain.event import Cancelled, Emit
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.records import Claim, RunRecord, Settlement
from synthloom.domain.run import RunStatus
from synthloom.ports import ArtifactStore
from synthloom.service.documents import DOCUMENTS
from synthloom.service.keeper import Service
from synthloom.service.model_cache import ModelOffer, take
from synthloom.service.recorder import Recorder
from synthloom.service.roads import Finished, run
from synthloom.service.uploads import fetch

if TYPE_CHECKING:
    from synthloom.registry import Backends


def prefix_of(run: RunRecord) -> str:
    """Where a delivery's artifacts go: each delivery has a place of its own, so that a late one overwrites nothing."""
    return run.run_id if run.deliveries <= 1 else f"{run.run_id}/{run.deliveries}"


def carry_out(
    datasets: ArtifactStore, artifacts: ArtifactStore, claim: Claim, folder: Path, *, emit: Emit, cancelled: Cancelled,
    backends: Backends | None = None, pdf: bool = True, offer: ModelOffer | None = None,
) -> Settlement:
    """Do a run's work and write its artifacts; nothing points to them yet.

    Args:
        datasets: Store of uploaded tables.
        artifacts: Store of what runs leave.
        claim: The run.
        folder: A private folder for whatever is large.
        emit: Hears every event.
        cancelled: Asked often.
        backends: Who may implement methods beside this package.
        pdf: Whether report.pdf is among the artifacts.
        offer: A model that may be taken instead of training.
    """
    recorder = Recorder(emit)
    table = fetch(datasets, claim.dataset, folder, cancelled)
    ready = take(artifacts, offer, recorder)
    done = run(
        table, claim.run.request, name=claim.dataset.filename, overrides=claim.run.overrides, backends=backends,
        ready=ready, emit=recorder, cancelled=cancelled,
    )
    table.unlink()
    documents = [name for name in DOCUMENTS if pdf or name != "report.pdf"]
    kept = Service(artifacts).keep(
        claim.run.run_id, done, prefix=prefix_of(claim.run), documents=documents, emit=recorder, cancelled=cancelled,
    )
    return _settlement(kept, offer.key if offer is not None else None)


def _settlement(kept: Finished, model_key: str | None) -> Settlement:
    report = kept.report
    reusable = isinstance(report.guarantee, NoGuarantee) and kept.result.synthesizer.savable
    return Settlement(
        status=RunStatus.SUCCEEDED, outcome=report.outcome, method=report.meta.model, backend=report.meta.backend,
        model_key=model_key if reusable else None, artifacts=kept.artifacts,
        measurements=report.measurements, verdicts=report.verdicts,
    )
