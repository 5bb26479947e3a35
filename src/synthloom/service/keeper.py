"""Runs and reports with a place for their artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from synthloom.domain.artifact import ARTIFACT_NAMES, Artifact
from synthloom.domain.event import Cancelled, Emit, Notice, Progress, StepFinished, StepStarted, ignore, never
from synthloom.domain.report import Report
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import SchemaOverrides
from synthloom.ports import ArtifactStore, Content, artifact_key, check_run_id
from synthloom.service.documents import DOCUMENTS, parse_report, render_documents
from synthloom.service.recorder import Recorder, check_cancelled, recording
from synthloom.service.roads import Finished, Source, joined, run

if TYPE_CHECKING:
    from synthloom.registry import Backends


class Service:
    """Runs and reports with a place to keep their artifacts.

    Args:
        store: Where artifacts go.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def execute(
        self, run_id: str, source: Source, request: RunRequest, *, name: str | None = None,
        overrides: SchemaOverrides | None = None, holdout: Source | None = None, command: str | None = None,
        escape_formulas: bool = True, backends: Backends | None = None, emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> Finished:
        """`run`, then `keep`: the whole road from a table to its artifacts."""
        recorder = Recorder(emit)
        done = run(
            source, request, name=name, overrides=overrides, holdout=holdout, command=command, backends=backends,
            emit=recorder, cancelled=cancelled,
        )
        return self.keep(run_id, done, escape_formulas=escape_formulas, emit=recorder, cancelled=cancelled)

    def keep(
        self, run_id: str, done: Finished, *, prefix: str | None = None, documents: Sequence[str] = DOCUMENTS,
        escape_formulas: bool = True, emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Finished:
        """Store a run's artifacts: all are written before the first becomes visible, and older ones do not stay behind.

        A model that cannot be saved, because it lives in a backend's interpreter, is a Notice, and so is a PDF that
        cannot be drawn because a system library is missing; everything else is stored.

        Args:
            run_id: First part of every key.
            done: The run.
            prefix: What keys begin with in place of the run's id.
            documents: The forms of the report.
            escape_formulas: Write text cells that a spreadsheet would run as formulas with a quote before them.
            emit: Hears the progress.
            cancelled: Asked between files.
        """
        from synthloom.tables.codec import write_csv, write_parquet

        recorder = recording(emit)
        schema, data = done.result.synthesizer.schema, done.result.data
        recorder(StepStarted(step="store"))
        drawn = render_documents(done.report, documents, emit=recorder, cancelled=cancelled)

        def csv(sink: BinaryIO) -> None:
            recorder(Progress(step="store", fraction=0.7, message="writing synthetic.csv"))
            write_csv(data, schema, sink, escape_formulas=escape_formulas)
            check_cancelled(cancelled)

        def parquet(sink: BinaryIO) -> None:
            recorder(Progress(step="store", fraction=0.9, message="writing synthetic.parquet"))
            write_parquet(data, schema, sink)
            check_cancelled(cancelled)

        files: dict[str, Content] = {"synthetic.csv": csv, "synthetic.parquet": parquet, **drawn}
        synthesizer = done.result.synthesizer
        if synthesizer.savable:
            files["model.synthloom"] = synthesizer.to_bytes()
        else:
            recorder(Notice(code="model_not_kept", message=(
                f"No model.synthloom was written: a model of the backend {synthesizer.backend} cannot be kept without "
                "a pickle, which would run code when it is read."
            )))
        artifacts = self._replace(prefix or check_run_id(run_id), files)
        recorder(StepFinished(step="store"))
        notices = joined(done.notices, recorder.notices)
        return Finished(done.report, done.result, artifacts, notices, tuple(recorder.events))

    def keep_report(
        self, run_id: str, report: Report, names: Sequence[str] = DOCUMENTS, *,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> tuple[Artifact, ...]:
        """Store a report in the forms named; a PDF that cannot be drawn is a Notice unless it is the only form."""
        recorder = recording(emit)
        with recorder.step("store"):
            documents = render_documents(report, names, emit=recorder, cancelled=cancelled)
            return self.store.put_all({artifact_key(run_id, name): data for name, data in documents.items()})

    def report(self, run_id: str) -> Report:
        """A run's report, read back.

        Raises:
            UnknownNameError: the run has none.
            InputError: it is damaged or of a version this release does not read.
        """
        key = artifact_key(run_id, "report.json")
        return parse_report(self.store.get(key), key)

    def _replace(self, prefix: str, files: Mapping[str, Content]) -> tuple[Artifact, ...]:
        artifacts = self.store.put_all({f"{prefix}/{name}": content for name, content in files.items()})
        for name in ARTIFACT_NAMES:
            if name not in files:
                self.store.delete(f"{prefix}/{name}")
        return artifacts
