"""Runs that outlive a process: upload, submit, watch, cancel, fetch. Behind the API, the page and the workers."""

from __future__ import annotations

import json
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import ConflictError, UnknownNameError, UsageError
from synthloom.domain.event import Cancelled, Emit, ignore
from synthloom.domain.records import Claim, DatasetRecord, NewRun, Page, RunRecord, Settlement, StampedEvent
from synthloom.domain.report import Report
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.domain.schema import SchemaOverrides
from synthloom.ports import ArtifactStore, RunLedger
from synthloom.service import uploads
from synthloom.service.comparison import side_by_side
from synthloom.service.documents import parse_report
from synthloom.service.limited import Bounds, call_limited
from synthloom.service.model_cache import ModelOffer, find_offer
from synthloom.service.pdf import Remote, render_pdf
from synthloom.service.submission import changed, check_request, check_size

if TYPE_CHECKING:
    from synthloom.registry import Backends

_MOST_COMPARED = 10
_KEPT_INSPECTIONS = 64


@dataclass(frozen=True)
class Limits:
    """What one upload and one run may use.

    Attributes:
        upload_bytes: Largest upload.
        table_cells: Most rows times columns.
        deliveries: How often a run may be begun.
        model_cache: Whether models of equal runs are taken.
        reading: What reading a table, or drawing a PDF, may use.
        run_pdf: Whether a run leaves report.pdf.
    """

    upload_bytes: int = 512 << 20
    table_cells: int = 50_000_000
    deliveries: int = 3
    model_cache: bool = True
    reading: Bounds = field(default_factory=Bounds)
    run_pdf: bool = True


class RunService:
    """The one door to runs. Every call names the tenant; another tenant's object is an UnknownNameError.

    Args:
        ledger: Datasets, runs and the queue.
        datasets: Store of uploaded tables.
        artifacts: Store of what runs leave.
        limits: What an upload and a run may use.
        report_service: Address of a service that draws PDFs; None: they are drawn here.
        report_token: What is shown to that service.
        backends: Who may implement methods beside this package.
        circumstances: Tells what a model depends on beside its run and packages: which backends there are.
    """

    def __init__(
        self, ledger: RunLedger, datasets: ArtifactStore, artifacts: ArtifactStore, limits: Limits | None = None, *,
        report_service: str | None = None, report_token: str | None = None, backends: Backends | None = None,
        circumstances: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.ledger = ledger
        self.datasets = datasets
        self.artifacts = artifacts
        self.limits = limits or Limits()
        self._report_service = Remote(report_service, report_token) if report_service is not None else None
        self.backends = backends
        self._circumstances = circumstances
        self._inspections: OrderedDict[tuple[str, ...], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    # datasets

    def upload(
        self, tenant: str, source: BinaryIO, filename: str, media_type: str = "",  # noqa: ARG002  # the bytes tell
    ) -> DatasetRecord:
        """Store a table: streamed and hashed, read once in a limited child to see that it is one, then recorded.

        Raises:
            TooLargeError: more bytes or cells than allowed. InputError: it cannot be read as a table.
        """
        name = uploads.clean_filename(filename)
        with tempfile.TemporaryDirectory(prefix="synthloom-upload-") as folder:
            received = uploads.receive(source, Path(folder), name, self.limits.upload_bytes)
            looked = uploads.look(received, name, self.limits.table_cells, self.limits.reading)
            key = uploads.keep(self.datasets, tenant, received, looked)
        record = self.ledger.add_dataset(
            tenant, sha256=received.sha256, key=key, filename=name, media_type=looked.media_type, size=received.size,
            rows=looked.rows, columns=len(looked.columns),
        )
        if record.key != key:  # the tenant has these bytes already
            uploads.discard(self.datasets, key)
        return record

    def inspect(
        self, tenant: str, dataset_id: str, overrides: SchemaOverrides | None = None, method: str = "auto"
    ) -> dict[str, Any]:
        """The inferred schema, with reasons, and the plan a run would begin with (`Inspection.as_dict`)."""
        dataset = self.ledger.dataset(tenant, dataset_id)
        said = None if overrides is None else overrides.model_dump(mode="json")
        kept = (dataset.key, method, json.dumps(said, sort_keys=True))
        with self._lock:
            if kept in self._inspections:
                self._inspections.move_to_end(kept)
                return self._inspections[kept]
        uploads.check_overrides(overrides, uploads.columns_of(self.datasets, dataset))
        with tempfile.TemporaryDirectory(prefix="synthloom-inspect-") as folder:
            path = uploads.fetch(self.datasets, dataset, Path(folder))
            arguments = {
                "path": str(path), "name": dataset.filename, "overrides": said,
                "request": RunRequest(method=method).model_dump(mode="json"),
            }
            found: dict[str, Any] = call_limited(
                "synthloom.service.tasks:inspect_table", arguments, self.limits.reading
            )
        with self._lock:
            self._inspections[kept] = found
            while len(self._inspections) > _KEPT_INSPECTIONS:
                self._inspections.popitem(last=False)
        return found

    def delete_dataset(self, tenant: str, dataset_id: str) -> None:
        """Forget a dataset and its bytes."""
        uploads.discard(self.datasets, self.ledger.delete_dataset(tenant, dataset_id).key)

    # runs

    def submit(
        self, tenant: str, dataset_id: str, request: RunRequest, *, name: str = "",
        overrides: SchemaOverrides | None = None, priority: int = 0, reuse_model: bool = True,
        idempotency_key: str | None = None, parent: str | None = None,
    ) -> RunRecord:
        """Validate a request against the registry and the dataset, and queue it.

        Raises:
            UnknownNameError, ParamsError, PrivacyError, MissingDependencyError: what the worker could never do.
        """
        dataset = self.ledger.dataset(tenant, dataset_id)
        check_request(request, self.backends)
        check_size(request, dataset.columns or 1, self.limits.table_cells)
        if overrides is not None:
            uploads.check_overrides(overrides, uploads.columns_of(self.datasets, dataset))
        new = _new_run(
            tenant=tenant, dataset_id=dataset_id, name=name, request=request, overrides=overrides, priority=priority,
            max_deliveries=self.limits.deliveries, reuse_model=reuse_model, parent=parent,
        )
        return self.ledger.enqueue(new, idempotency_key=idempotency_key)

    def retry(self, tenant: str, run_id: str, *, idempotency_key: str | None = None) -> RunRecord:
        """A new run with the same request as one that failed or was cancelled."""
        run = self.ledger.run(tenant, run_id)
        if run.status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            raise ConflictError(
                f"the run is {run.status}; only one that failed or was cancelled is tried again.", where=run_id,
                do="Clone it to run it once more.",
            )
        return self._again(run, changed(run, {}), idempotency_key)

    def clone(
        self, tenant: str, run_id: str, changes: dict[str, Any], *, idempotency_key: str | None = None
    ) -> RunRecord:
        """A new run with the request of any run, with some of its fields changed."""
        run = self.ledger.run(tenant, run_id)
        return self._again(run, changed(run, changes), idempotency_key)

    def _again(self, run: RunRecord, values: dict[str, Any], idempotency_key: str | None) -> RunRecord:
        return self.submit(
            run.tenant, run.dataset_id, parent=run.run_id, idempotency_key=idempotency_key, **values
        )

    def cancel(self, tenant: str, run_id: str) -> RunRecord:
        """Ask a run to stop; a queued one is cancelled at once."""
        return self.ledger.request_cancel(tenant, run_id)

    def show(self, tenant: str, run_id: str) -> RunRecord:
        """One run."""
        return self.ledger.run(tenant, run_id)

    def runs(
        self, tenant: str, *, status: RunStatus | None = None, dataset_id: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Runs, newest first."""
        return self.ledger.runs(tenant, status=status, dataset_id=dataset_id, limit=limit, cursor=cursor)

    def delete_run(self, tenant: str, run_id: str) -> None:
        """Forget a final run and its artifacts."""
        self.ledger.delete_run(tenant, run_id)
        for key in self.artifacts.list(f"{run_id}/"):  # what lost deliveries have left, too
            self.artifacts.delete(key)

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        """What happened in a run, after event `after`."""
        return self.ledger.events(tenant, run_id, after=after, limit=limit)

    # artifacts

    def artifact(self, tenant: str, run_id: str, name: str) -> Artifact:
        """One artifact of a settled run, by its name such as synthetic.csv."""
        kept = {PurePosixPath(a.key).name: a for a in self.ledger.artifacts(tenant, run_id)}
        if name not in kept:
            raise UnknownNameError(
                f"the run has no artifact {name!r}.", where=run_id,
                do=f"It has: {', '.join(kept)}." if kept else "A run leaves its artifacts when it has succeeded.",
            )
        return kept[name]

    def open(self, artifact: Artifact, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of an artifact, in pieces."""
        return self.artifacts.stream(artifact.key, start, end)

    def report(self, tenant: str, run_id: str) -> Report:
        """A run's report."""
        artifact = self.artifact(tenant, run_id, "report.json")
        return parse_report(self.artifacts.get(artifact.key), artifact.key)

    def render_pdf(self, tenant: str, run_id: str, emit: Emit = ignore) -> bytes:
        """The report as a PDF, drawn now: by the report service where one is set, else in a child with limits on time
        and memory. When the service fails, `emit` and the log hear of the fallback to the child.
        """
        artifact = self.artifact(tenant, run_id, "report.json")
        return render_pdf(self.artifacts.get(artifact.key), self.limits.reading, self._report_service, emit)

    def compare(self, tenant: str, run_ids: Sequence[str]) -> dict[str, Any]:
        """Two to ten runs' measurements and verdicts side by side: `{"runs": [...], "metrics": [{"key", "title",
        "direction", "values": [...]}], "verdicts": [...]}`."""
        if not 2 <= len(run_ids) <= _MOST_COMPARED or len(set(run_ids)) != len(run_ids):
            raise UsageError(
                f"{len(run_ids)} runs cannot be compared.", do=f"Name two to {_MOST_COMPARED} different runs.",
            )
        runs = [self.ledger.run(tenant, run_id) for run_id in run_ids]
        unfinished = [run.run_id for run in runs if run.status is not RunStatus.SUCCEEDED]
        if unfinished:
            raise ConflictError(
                f"these runs have not succeeded: {', '.join(unfinished)}.", do="Compare runs that have a report.",
            )
        return side_by_side(runs, [self.report(tenant, run.run_id) for run in runs])

    # the worker's side, inside the child process of a delivery

    def model_offer(self, claim: Claim) -> ModelOffer | None:
        """A model that a claimed run may take instead of training, and the key that its own will be found under."""
        return find_offer(self.ledger, claim, self._circumstances()) if self.limits.model_cache else None

    def execute(
        self, claim: Claim, folder: Path, emit: Emit, cancelled: Cancelled, offer: ModelOffer | None = None,
    ) -> Settlement:
        """Do a run's work: fetch the table, take an equal run's model or fit, write artifacts to the store under
        `{run_id}/…` (a rescued run: `{run_id}/{delivery}/…`), and say how to settle it. Nothing is pointed to yet.

        Args:
            claim: The run.
            folder: A private folder for whatever is large.
            emit: Hears every event.
            cancelled: Asked often.
            offer: Of `model_offer`.
        """
        from synthloom.service.execution import carry_out

        return carry_out(
            self.datasets, self.artifacts, claim, folder, emit=emit, cancelled=cancelled, backends=self.backends,
            offer=offer, pdf=self.limits.run_pdf,
        )


def _new_run(**values: Any) -> NewRun:
    """A NewRun; UsageError names the value that cannot be used."""
    from pydantic import ValidationError

    try:
        return NewRun(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(p) for p in first["loc"])
        raise UsageError(f"{place} cannot be used: {first['msg'].lower()}.") from None
