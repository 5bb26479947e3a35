"""Runs that outlive a process: upload, submit, watch, cancel, fetch. Behind the API, the page and the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from synthloom.domain.artifact import Artifact
from synthloom.domain.event import Cancelled, Emit
from synthloom.domain.records import Claim, DatasetRecord, Page, RunRecord, Settlement, StampedEvent
from synthloom.domain.report import Report
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.domain.schema import SchemaOverrides
from synthloom.ports import ArtifactStore, RunLedger


@dataclass(frozen=True)
class Limits:
    """What one upload and one run may use.

    Attributes:
        upload_bytes: Largest upload.
        table_cells: Most rows times columns.
        deliveries: How often a run may be begun.
        model_cache: Whether models of equal runs are taken.
    """

    upload_bytes: int = 512 << 20
    table_cells: int = 50_000_000
    deliveries: int = 3
    model_cache: bool = True


class RunService:
    """The one door to runs. Every call names the tenant; another tenant's object is an UnknownNameError.

    Args:
        ledger: Datasets, runs and the queue.
        datasets: Store of uploaded tables.
        artifacts: Store of what runs leave.
        limits: What an upload and a run may use.
    """

    def __init__(
        self, ledger: RunLedger, datasets: ArtifactStore, artifacts: ArtifactStore, limits: Limits | None = None,
    ) -> None:
        self.ledger = ledger
        self.datasets = datasets
        self.artifacts = artifacts
        self.limits = limits or Limits()

    # datasets

    def upload(self, tenant: str, source: BinaryIO, filename: str, media_type: str = "") -> DatasetRecord:
        """Store a table: streamed and hashed, read once in a limited child to see that it is one, then recorded.

        Raises:
            TooLargeError: more bytes or cells than allowed. InputError: it cannot be read as a table.
        """
        raise NotImplementedError

    def inspect(
        self, tenant: str, dataset_id: str, overrides: SchemaOverrides | None = None, method: str = "auto"
    ) -> dict[str, Any]:
        """The inferred schema, with reasons, and the plan a run would begin with (`Inspection.as_dict`)."""
        raise NotImplementedError

    def delete_dataset(self, tenant: str, dataset_id: str) -> None:
        """Forget a dataset and its bytes."""
        raise NotImplementedError

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
        raise NotImplementedError

    def retry(self, tenant: str, run_id: str, *, idempotency_key: str | None = None) -> RunRecord:
        """A new run with the same request as one that failed or was cancelled."""
        raise NotImplementedError

    def clone(
        self, tenant: str, run_id: str, changes: dict[str, Any], *, idempotency_key: str | None = None
    ) -> RunRecord:
        """A new run with the request of any run, with some of its fields changed."""
        raise NotImplementedError

    def cancel(self, tenant: str, run_id: str) -> RunRecord:
        """Ask a run to stop; a queued one is cancelled at once."""
        raise NotImplementedError

    def show(self, tenant: str, run_id: str) -> RunRecord:
        """One run."""
        raise NotImplementedError

    def runs(
        self, tenant: str, *, status: RunStatus | None = None, dataset_id: str | None = None, limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Runs, newest first."""
        raise NotImplementedError

    def delete_run(self, tenant: str, run_id: str) -> None:
        """Forget a final run and its artifacts."""
        raise NotImplementedError

    def events(self, tenant: str, run_id: str, *, after: int = 0, limit: int = 1000) -> tuple[StampedEvent, ...]:
        """What happened in a run, after event `after`."""
        raise NotImplementedError

    # artifacts

    def artifact(self, tenant: str, run_id: str, name: str) -> Artifact:
        """One artifact of a settled run, by its name such as synthetic.csv."""
        raise NotImplementedError

    def open(self, artifact: Artifact, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of an artifact, in pieces."""
        raise NotImplementedError

    def report(self, tenant: str, run_id: str) -> Report:
        """A run's report."""
        raise NotImplementedError

    def render_pdf(self, tenant: str, run_id: str) -> bytes:
        """The report as a PDF, drawn now: by the report service where one is set (a failure there falls back, as an
        event), else in a child with limits on time and memory."""
        raise NotImplementedError

    def compare(self, tenant: str, run_ids: Sequence[str]) -> dict[str, Any]:
        """Two to ten runs' measurements and verdicts side by side: `{"runs": [...], "metrics": [{"key", "title",
        "direction", "values": [...]}], "verdicts": [...]}`."""
        raise NotImplementedError

    # the worker's side, inside the child process of a delivery

    def execute(self, claim: Claim, folder: Path, emit: Emit, cancelled: Cancelled) -> Settlement:
        """Do a run's work: fetch the table, take an equal run's model or fit, write artifacts to the store under
        `{run_id}/…` (a rescued run: `{run_id}/{delivery}/…`), and say how to settle it. Nothing is pointed to yet.

        Args:
            claim: The run.
            folder: A private folder for whatever is large.
            emit: Hears every event.
            cancelled: Asked often.
        """
        raise NotImplementedError
