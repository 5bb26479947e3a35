"""The roads data takes: from a source to a dataset, a run, rows, a report. Nothing is stored here.

Heavy packages are imported when first needed, so that a door opens at once.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from synthloom.domain.artifact import Artifact
from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.measurement import Threshold
from synthloom.domain.plan import Plan
from synthloom.domain.report import Meta, Report
from synthloom.domain.run import DEFAULT_THRESHOLDS, RunRequest
from synthloom.domain.schema import SchemaOverrides
from synthloom.service.recorder import RecordedEvent, Recorder, check_cancelled, recording

if TYPE_CHECKING:
    import pandas as pd

    from synthloom.engine import Ready, RunResult
    from synthloom.registry import Backends
    from synthloom.synthesizer import Synthesizer
    from synthloom.tables.dataset import Dataset
    from synthloom.tables.gaps import Filled
    from synthloom.tables.raw import RawTable
    from synthloom.tables.shares import Shares

Source = Any
"""A table: path, bytes, binary file, pandas frame or polars frame."""

_PACKAGES = ("synthloom", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn")


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
    source: Source, *, name: str | None = None, overrides: SchemaOverrides | None = None,
    holdout: Source | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Dataset:
    """Read a table and find out what its columns are; and rows that are to be measured against, if there are some.

    Raises:
        InputError: the table or the schema cannot be used; says where and what to do.
        CancelledError: `cancelled()` turned true between reading, inference and conversion.
    """
    from synthloom.service.together import read_together
    from synthloom.tables.coerce import coerce
    from synthloom.tables.dataset import Dataset
    from synthloom.tables.frames import library_of
    from synthloom.tables.infer import infer_schema

    recorder = recording(emit)
    with recorder.step("read"):
        raw = read_raw(source, name, overrides)
        check_cancelled(cancelled)
        beside = None if holdout is None else read_raw(holdout, overrides=overrides)
        check_cancelled(cancelled)
    with recorder.step("infer"):
        if beside is not None:
            dataset, (kept,) = read_together(raw, [beside], overrides, recorder, cancelled)
            return replace(dataset, library=library_of(source), holdout=kept)
        schema = infer_schema(raw, overrides, recorder)
        check_cancelled(cancelled)
        recorder(Progress(step="infer", fraction=0.5, message="converting cells"))
        frame = coerce(raw, schema)
        check_cancelled(cancelled)
    return Dataset(frame, schema, raw.name, raw.sha256, library_of(source))


def inspect(
    source: Source, request: RunRequest, *, name: str | None = None, overrides: SchemaOverrides | None = None,
    backends: Backends | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Inspection:
    """What a table's columns are, why, and the plan a run with `request` would begin with."""
    from synthloom.engine import foresee

    recorder = Recorder(emit)
    dataset = load(source, name=name, overrides=overrides, emit=recorder, cancelled=cancelled)
    with recorder.step("plan"):
        plan = foresee(dataset.schema, len(dataset.frame), request, recorder, backends)
    return Inspection(dataset, plan, recorder.notices)


def run(
    source: Source, request: RunRequest, *, name: str | None = None, overrides: SchemaOverrides | None = None,
    holdout: Source | None = None, command: str | None = None, backends: Backends | None = None,
    ready: Ready | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Finished:
    """Carry a request through the pipeline; store nothing.

    Args:
        source: The table.
        request: What is asked for.
        name: A name for people; default: the file's.
        overrides: What a person says about the columns.
        holdout: Rows of the same source, to measure against and not to learn from; None: some of the table are kept
            back, as the request has it.
        command: How to do it again, for the report.
        backends: Who may implement methods beside this package; None: nobody.
        ready: What an equal run has learnt, to be taken instead of learning again.
        emit: Hears every event as it happens.
        cancelled: Asked often; when true, CancelledError is raised within a second.
    """
    from synthloom.engine import execute_pipeline
    from synthloom.registry import NATIVE_ONLY
    from synthloom.tables.rng import child

    recorder = recording(emit)
    dataset = load(source, name=name, overrides=overrides, holdout=holdout, emit=recorder, cancelled=cancelled)
    result = execute_pipeline(
        dataset, request, child(request.seed, "run"), recorder, cancelled, backends=backends or NATIVE_ONLY,
        ready=ready,
    )
    report = _stamped(result.report, dataset, request.seed, recorder, command)
    return Finished(report, result, notices=recorder.notices, events=tuple(recorder.events))


def sample(
    synthesizer: Synthesizer, rows: int, *, seed: int = 0, where: Mapping[str, Any] | None = None,
    shares: Shares | None = None, temperature: float | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> pd.DataFrame:
    """Canonical rows out of a model.

    Args:
        synthesizer: The model.
        rows: How many.
        seed: Same seed, same machine, same rows.
        where: Cells to fix in every row, column to value; None asks for a missing cell.
        shares: Columns to rebalance, column to value to share of the rows.
        temperature: In place of the model's.
        emit: Hears of progress.
        cancelled: Asked often; when true, CancelledError is raised.
    """
    from synthloom.tables.rng import child
    from synthloom.tables.shares import fixed_cells

    recorder = recording(emit)
    with recorder.step("sample"):
        fixed = fixed_cells(rows, synthesizer.schema, where or None, shares or None, child(seed, "shares"))
        return synthesizer.sample_canonical(
            rows, child(seed, "sample"), fixed, recorder, cancelled, temperature=temperature
        )


def impute(
    synthesizer: Synthesizer, source: Source, *, name: str | None = None, seed: int = 0, emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Filled:
    """A table with its missing cells filled by a model; all else in it as it is spelt.

    Args:
        synthesizer: The model.
        source: A path or a binary file, with the modelled columns of the table that the model has learnt.
        name: A name for people; default: the file's.
        seed: Same seed, same machine, same cells.
        emit: Hears of progress.
        cancelled: Asked often; when true, CancelledError is raised.
    """
    from synthloom.tables.codec import read_table
    from synthloom.tables.gaps import ANY_ROWS
    from synthloom.tables.rng import child

    recorder = recording(emit)
    with recorder.step("read"):
        raw = read_table(source, name=name, limits=ANY_ROWS)
        check_cancelled(cancelled)
    with recorder.step("sample"):
        return synthesizer.impute_raw(raw, child(seed, "impute"), recorder, cancelled)


def evaluate(
    real: Source, synthetic: Source, holdout: Source | None = None, *, overrides: SchemaOverrides | None = None,
    thresholds: Sequence[Threshold] = DEFAULT_THRESHOLDS, seed: int = 0, command: str | None = None,
    backends: Backends | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Report:
    """Measure synthetic data that any tool has made.

    Args:
        real: The table the tool has learnt from.
        synthetic: What it made; the same columns.
        holdout: Rows of the same source the tool has not seen. Without them, what needs them is `Undefined`.
        overrides: What a person says about the columns.
        thresholds: What the verdicts are held against.
        seed: Seed of every random choice a metric makes.
        command: How to do it again, for the report.
        backends: Whose metrics are measured beside ours; None: nobody's.
        emit: Hears every event as it happens.
        cancelled: Asked often; when true, CancelledError is raised.
    """
    from synthloom.engine import evaluate as measure_together
    from synthloom.registry import NATIVE_ONLY
    from synthloom.service.together import read_together

    recorder = recording(emit)
    with recorder.step("read"):
        raws = [read_raw(source, overrides=overrides) for source in (real, synthetic, holdout) if source is not None]
        check_cancelled(cancelled)
    with recorder.step("infer"):
        dataset, others = read_together(raws[0], raws[1:], overrides, recorder, cancelled)
    made, kept = others[0], others[1] if holdout is not None else None
    report = measure_together(
        dataset.frame, made, kept, dataset.schema, thresholds=thresholds, seed=seed, dataset=dataset.name,
        data_hash=dataset.sha256, notices=recorder.notices, backends=backends or NATIVE_ONLY, emit=recorder,
        cancelled=cancelled,
    )
    return _stamped(report, dataset, seed, recorder, command)


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
    notices = joined(report.notices, recorder.notices)
    return report.model_copy(update={"meta": meta, "notices": notices})


def joined(first: tuple[Notice, ...], second: tuple[Notice, ...]) -> tuple[Notice, ...]:
    """Notices of both, each once, in order."""
    return tuple(dict.fromkeys((*first, *second)))
