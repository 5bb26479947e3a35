"""The one door: read, infer, run, measure, store. The command line, Python and servers all come through here.

The engine below is pure; this is where clocks, files and versions come in. Heavy packages are imported when first
needed, so that a door opens at once.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthloom.domain.artifact import ARTIFACT_NAMES, Artifact
from synthloom.domain.errors import CancelledError, InputError, MissingDependencyError, UsageError
from synthloom.domain.event import (
    Cancelled,
    Emit,
    Event,
    Notice,
    Progress,
    StepFinished,
    StepStarted,
    ignore,
    never,
)
from synthloom.domain.plan import Plan
from synthloom.domain.report import Meta, Report
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import FileFormat, Schema, SchemaOverrides
from synthloom.ports import ArtifactStore, Content, artifact_key

if TYPE_CHECKING:
    import pandas as pd

    from synthloom.engine import RunResult
    from synthloom.synthesizer import Synthesizer
    from synthloom.tables.dataset import Dataset
    from synthloom.tables.raw import RawTable

Source = Any
"""A table: path, bytes, binary file, pandas frame or polars frame."""

_PACKAGES = ("synthloom", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn")


class RecordedEvent(BaseModel):
    """An event with the time it was recorded at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    elapsed: float = Field(ge=0, description="Seconds since the recorder was made.")
    event: Event


class Recorder:
    """An `Emit` that stamps events, adds up seconds per step, keeps notices and passes everything on.

    Progress is passed on but not kept: there is too much of it.

    Attributes:
        events: What happened, in order, without progress.
        timings: Seconds per step, over all attempts.
    """

    def __init__(self, listener: Emit = ignore, clock: Callable[[], float] = time.perf_counter) -> None:
        self.events: list[RecordedEvent] = []
        self.timings: dict[str, float] = {}
        self._listener = listener
        self._clock = clock
        self._began = clock()
        self._open: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        now = self._clock()
        if isinstance(event, StepStarted):
            self._open.setdefault(event.step, now)
        elif isinstance(event, StepFinished):
            spent = now - self._open.pop(event.step, now)
            self.timings[event.step] = self.timings.get(event.step, 0.0) + spent
        if not isinstance(event, Progress):
            self.events.append(RecordedEvent(at=datetime.now(UTC), elapsed=now - self._began, event=event))
        self._listener(event)

    @property
    def elapsed(self) -> float:
        """Seconds since the recorder was made."""
        return self._clock() - self._began

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The notices so far, each once."""
        return tuple(dict.fromkeys(r.event for r in self.events if isinstance(r.event, Notice)))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Mark a step around a block; a step that raises is never finished."""
        self(StepStarted(step=name))
        yield
        self(StepFinished(step=name))


@dataclass(frozen=True)
class Inspection:
    """What a table is and what a run would do with it."""

    dataset: Dataset
    plan: Plan
    notices: tuple[Notice, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe: name, rows, sha256, schema, plan, notices."""
        return {
            "name": self.dataset.name,
            "rows": len(self.dataset.frame),
            "sha256": self.dataset.sha256,
            "schema": self.dataset.schema.model_dump(mode="json"),
            "plan": self.plan.model_dump(mode="json"),
            "notices": [n.model_dump(mode="json") for n in self.notices],
        }


@dataclass(frozen=True)
class Finished:
    """A run that is done.

    Attributes:
        report: With times, versions and the command filled in.
        result: What the engine returned: the canonical table and the synthesizer that made it.
        artifacts: What was stored; empty when nothing was.
        notices: Everything the person should know, from reading to storing.
        events: All events but progress, stamped.
    """

    report: Report
    result: RunResult
    artifacts: tuple[Artifact, ...] = ()
    notices: tuple[Notice, ...] = ()
    events: tuple[RecordedEvent, ...] = field(default=(), repr=False)


def read_raw(source: Source, name: str | None = None, overrides: SchemaOverrides | None = None) -> RawTable:
    """A source as cells not yet understood. Frames are taken as they are, everything else is read as a file."""
    from synthloom.tables.codec import read_table
    from synthloom.tables.frames import to_pandas
    from synthloom.tables.infer import frame_to_raw

    if isinstance(source, str | bytes | bytearray) or hasattr(source, "__fspath__") or hasattr(source, "read"):
        return read_table(bytes(source) if isinstance(source, bytearray) else source, name=name, overrides=overrides)
    return frame_to_raw(to_pandas(source))


def load(
    source: Source, *, name: str | None = None, overrides: SchemaOverrides | None = None, emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Dataset:
    """Read a table and find out what its columns are.

    Raises:
        InputError: the table or the schema cannot be used; says where and what to do.
        CancelledError: `cancelled()` turned true between reading, inference and conversion.
    """
    from synthloom.tables.coerce import coerce
    from synthloom.tables.dataset import Dataset
    from synthloom.tables.infer import infer_schema

    recorder = emit if isinstance(emit, Recorder) else Recorder(emit)
    with recorder.step("read"):
        raw = read_raw(source, name, overrides)
        _check(cancelled)
    with recorder.step("infer"):
        schema = infer_schema(raw, overrides, recorder)
        _check(cancelled)
        recorder(Progress(step="infer", fraction=0.5, message="converting cells"))
        frame = coerce(raw, schema)
        _check(cancelled)
    return Dataset(frame, schema, raw.name, raw.sha256)


def inspect(
    source: Source, request: RunRequest, *, name: str | None = None, overrides: SchemaOverrides | None = None,
    emit: Emit = ignore, cancelled: Cancelled = never,
) -> Inspection:
    """What a table's columns are, why, and the plan a run with `request` would begin with."""
    from synthloom.planning.heuristics import first_plan

    recorder = Recorder(emit)
    dataset = load(source, name=name, overrides=overrides, emit=recorder, cancelled=cancelled)
    with recorder.step("plan"):
        plan = first_plan(dataset.schema, len(dataset.frame), request)
    return Inspection(dataset, plan, recorder.notices)


def run(
    source: Source, request: RunRequest, *, name: str | None = None, overrides: SchemaOverrides | None = None,
    command: str | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Finished:
    """Carry a request through the pipeline; store nothing.

    Args:
        source: The table.
        request: What is asked for.
        name: A name for people; default: the file's.
        overrides: What a person says about the columns.
        command: How to do it again, for the report.
        emit: Hears every event as it happens.
        cancelled: Asked often; when true, CancelledError is raised within a second.
    """
    from synthloom.engine import execute_pipeline
    from synthloom.tables.rng import child

    recorder = emit if isinstance(emit, Recorder) else Recorder(emit)
    dataset = load(source, name=name, overrides=overrides, emit=recorder, cancelled=cancelled)
    result = execute_pipeline(dataset, request, child(request.seed, "run"), recorder, cancelled)
    report = _stamped(result.report, dataset, request.seed, recorder, command)
    return Finished(report, result, notices=recorder.notices, events=tuple(recorder.events))


def sample(
    synthesizer: Synthesizer, rows: int, *, seed: int = 0, where: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Canonical rows out of a model, with the cells of `where` (as a person spells them) fixed in every row."""
    conditions = _conditions(synthesizer.schema, where, rows) if where else None
    from synthloom.tables.rng import child

    return synthesizer.sample_canonical(rows, child(seed, "sample"), conditions)


def _conditions(schema: Schema, where: Mapping[str, str], rows: int) -> pd.DataFrame:
    import pandas as pd

    from synthloom.tables.coerce import coerce
    from synthloom.tables.raw import RawTable

    columns = tuple(schema[name] for name in where)
    for column in columns:
        if not column.kind.is_modelled:
            raise UsageError(
                f"a {column.kind} column is not learnt, so it cannot be asked for.", where=f"column {column.name!r}",
                do=f"Choose one of: {', '.join(c.name for c in schema.modelled[:20])}.",
            )
    cells = pd.DataFrame({c.name: pd.array([where[c.name]], dtype="string[pyarrow]") for c in columns})
    asked = schema.model_copy(update={
        "columns": columns, "target": None, "survival": None, "file": FileFormat(container="csv"),
    })
    row = coerce(RawTable(cells, asked.file, "condition", ""), asked)
    return row.iloc[[0] * rows].reset_index(drop=True)


class Service:
    """Runs and reports with a place to keep their artifacts.

    Args:
        store: Where artifacts go.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store

    def execute(
        self, run_id: str, source: Source, request: RunRequest, *, name: str | None = None,
        overrides: SchemaOverrides | None = None, command: str | None = None, escape_formulas: bool = True,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Finished:
        """`run`, then `keep`: the whole road from a table to its artifacts."""
        recorder = Recorder(emit)
        done = run(
            source, request, name=name, overrides=overrides, command=command, emit=recorder, cancelled=cancelled,
        )
        return self.keep(run_id, done, escape_formulas=escape_formulas, emit=recorder, cancelled=cancelled)

    def keep(
        self, run_id: str, done: Finished, *, escape_formulas: bool = True, emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> Finished:
        """Store a run's artifacts: all are written before the first becomes visible, and older ones do not stay behind.

        A PDF that cannot be drawn because a system library is missing is a Notice; everything else is stored.

        Args:
            run_id: First part of every key.
            done: The run.
            escape_formulas: Write text cells that a spreadsheet would run as formulas with a quote before them.
            emit: Hears the progress.
            cancelled: Asked between files.
        """
        from synthloom.tables.codec import write_csv, write_parquet

        recorder = emit if isinstance(emit, Recorder) else Recorder(emit)
        schema, data = _uncompressed(done.result.synthesizer.schema), done.result.data
        recorder(StepStarted(step="store"))
        documents = render_documents(done.report, emit=recorder, cancelled=cancelled)

        def csv(sink: BinaryIO) -> None:
            recorder(Progress(step="store", fraction=0.6, message="writing synthetic.csv"))
            write_csv(data, schema, sink, escape_formulas=escape_formulas)
            _check(cancelled)

        def parquet(sink: BinaryIO) -> None:
            recorder(Progress(step="store", fraction=0.8, message="writing synthetic.parquet"))
            write_parquet(data, schema, sink)
            _check(cancelled)

        files: dict[str, Content] = {
            "synthetic.csv": csv, "synthetic.parquet": parquet, "model.synthloom": done.result.synthesizer.to_bytes(),
            **documents,
        }
        artifacts = self._replace(run_id, files)
        recorder(StepFinished(step="store"))
        notices = _joined(done.notices, recorder.notices)
        return Finished(done.report, done.result, artifacts, notices, tuple(recorder.events))

    def keep_report(
        self, run_id: str, report: Report, names: Sequence[str] = ("report.json", "report.html", "report.pdf"), *,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> tuple[Artifact, ...]:
        """Store a report in the forms named; a PDF that cannot be drawn is a Notice unless it is the only form."""
        recorder = emit if isinstance(emit, Recorder) else Recorder(emit)
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

    def _replace(self, run_id: str, files: Mapping[str, Content]) -> tuple[Artifact, ...]:
        artifacts = self.store.put_all({artifact_key(run_id, name): content for name, content in files.items()})
        for name in ARTIFACT_NAMES:
            if name not in files:
                self.store.delete(artifact_key(run_id, name))
        return artifacts


def parse_report(content: bytes, where: str) -> Report:
    """The report in a report.json; InputError says what is wrong with it."""
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(p) for p in first["loc"]) or "the document"
        raise InputError(
            f"this is not a report this release can read ({place}: {first['msg'].lower()}).", where=where,
            do="Use the report.json of a run, and the release of Synthloom that made it or a newer one.",
        ) from None


def render_documents(
    report: Report, names: Sequence[str] = ("report.json", "report.html", "report.pdf"), *, emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> dict[str, Content]:
    """A report's documents by file name.

    Raises:
        MissingDependencyError: the PDF alone was asked for and Pango is missing; beside others it is a Notice.
    """
    from synthloom.reports.render import to_html, to_json, to_pdf

    makers: dict[str, Callable[[], bytes]] = {
        "report.json": lambda: to_json(report), "report.html": lambda: to_html(report).encode(),
        "report.pdf": lambda: to_pdf(report),
    }
    documents: dict[str, Content] = {}
    for position, name in enumerate(names):
        emit(Progress(step="store", fraction=0.5 * position / len(names), message=f"drawing {name}"))
        try:
            documents[name] = makers[name]()
        except MissingDependencyError as error:
            if len(names) == 1:
                raise
            emit(Notice(code="pdf_missing", message=f"{name} was not made. {error.text()}"))
        _check(cancelled)
    return documents


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # running out of a source tree that nobody installed
            found[package] = "unknown"
    return found


def _stamped(report: Report, dataset: Dataset, seed: int, recorder: Recorder, command: str | None) -> Report:
    timings = {name: round(seconds, 4) for name, seconds in recorder.timings.items()}
    meta: Meta = report.meta.model_copy(update={
        "data_hash": dataset.sha256, "dataset": dataset.name, "seed": seed, "versions": versions(),
        "timings": timings | {"total": round(recorder.elapsed, 4)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"), "command": command,
    })
    notices = _joined(report.notices, recorder.notices)
    return report.model_copy(update={"meta": meta, "notices": notices})


def _joined(first: tuple[Notice, ...], second: tuple[Notice, ...]) -> tuple[Notice, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _uncompressed(schema: Schema) -> Schema:
    """The same schema with a plain file around it: artifacts are named for what they hold."""
    return schema.model_copy(update={"file": schema.file.model_copy(update={"compression": "none"})})


def _check(cancelled: Cancelled) -> None:
    if cancelled():
        raise CancelledError("the run was cancelled.")
