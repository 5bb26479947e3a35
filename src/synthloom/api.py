"""Synthloom for Python: a frame in, a synthetic twin and its evidence out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthloom.domain.errors import UsageError
from synthloom.domain.event import Cancelled, Emit, ignore, never
from synthloom.domain.plan import PrivacyLevel, Refinement
from synthloom.domain.report import Report
from synthloom.domain.run import Device, DPRequest, RunRequest
from synthloom.domain.schema import SchemaOverrides
from synthloom.settings import Settings

if TYPE_CHECKING:
    from synthloom.registry import AnyMethod, Backends
    from synthloom.service import Finished
    from synthloom.synthesizer import Synthesizer


class ShownReport(Report):
    """A report that shows itself as its scorecard in a notebook, and in one line elsewhere."""

    def __repr__(self) -> str:
        from synthloom.reports.scorecard import headline

        maker = "" if self.meta.backend == "external" else f" by {self.meta.model}"
        return f"<Report on {self.meta.n_synth} rows{maker}: {headline(self)}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from synthloom.reports.scorecard import to_notebook_html

        return to_notebook_html(self)


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What `synthesize` returns.

    Attributes:
        data: The synthetic table: the input's columns, order and dtypes; polars when polars came in.
        report: What was measured, with verdicts; a notebook shows its scorecard.
        model: The fitted synthesizer, for more rows: `model.sample(n)`, `model.save(path)`.
    """

    data: Any
    report: ShownReport
    model: Synthesizer
    _finished: Finished

    def save(self, folder: str | Path) -> Path:
        """Write synthetic.csv and .parquet, the model and the report (JSON, HTML, PDF) into a folder.

        Raises:
            OutputError: the folder cannot be written.
        """
        from synthloom.adapters.local_folder import LocalFolder
        from synthloom.service import Service

        target = Path(folder).expanduser().resolve()
        Service(LocalFolder(target.parent)).keep(target.name, self._finished)
        return target

    def __repr__(self) -> str:
        meta = self.report.meta
        return f"<Synthesis {meta.n_synth} rows by {meta.model}, verdicts {self.report.outcome}>"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def synthesize(
    df: Any,
    *,
    method: str = "auto",
    backend: str = "auto",
    rows: int | None = None,
    target: str | None = None,
    survival: tuple[str, str] | None = None,
    sequence: str | tuple[str, str] | None = None,
    schema: SchemaOverrides | Mapping[str, Any] | str | Path | None = None,
    seed: int = 0,
    privacy: PrivacyLevel | None = None,
    params: Mapping[str, Any] | None = None,
    refinements: Sequence[Refinement] = (),
    holdout: Any = None,
    dp: DPRequest | None = None,
    budget: float | str | None = None,
    device: Device = "auto",
    drop_text: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Synthesis:
    """Make a synthetic twin of a table, and measure it.

    Args:
        df: A pandas or polars frame, or the path of a table.
        method: A method's name, or auto.
        backend: Who implements it: auto for the order of SYNTHLOOM_BACKENDS, a backend's name (native, synthcity, sdv),
            or several with commas between.
        rows: Rows to draw; None: as many as the table has.
        target: The column a model would predict.
        survival: Names of the time and the event column of a survival table.
        sequence: Name of the column that says which sequence a row belongs to; or of that and the one that its rows are
            in order of.
        schema: What you know about the columns: a schema file's path, the same as a mapping, or SchemaOverrides.
        seed: Same seed, same machine, same rows.
        privacy: low, default or high; None: the setting SYNTHLOOM_PRIVACY, else default.
        params: The method's parameters.
        refinements: Post-processing steps.
        holdout: Share of rows kept back to measure against; or a table of rows of the same source, a frame or a path,
            which are measured against and not learnt, beside all rows of `df`. None: the setting SYNTHLOOM_HOLDOUT,
            else a fifth, at most 2,500 rows.
        dp: Differential privacy, as asked for.
        budget: Time that choosing and learning may take: seconds, or text such as 2m or 1h30m. With auto, methods are
            measured within it and the best one learns; "none": rules choose. None: the setting SYNTHLOOM_BUDGET for
            auto, no limit for a named method.
        device: Where methods that can use a GPU do their work: auto, cpu, cuda or mps.
        drop_text: Leave columns of free text out, rather than refuse them.
        emit: Hears every event as it happens.
        cancelled: Asked often; when true, CancelledError is raised within a second.

    Raises:
        UsageError, InputError, PrivacyError, FitError: each says what was wrong, where, and what to do.
    """
    from synthloom.service import choose_budget, make_overrides, make_request, run

    settings = Settings.from_environment()
    share, unseen = (holdout, None) if holdout is None or isinstance(holdout, int | float) else (None, holdout)
    request = make_request(
        method=method, backend=backend, rows=rows, seed=seed, params=dict(params or {}),
        refinements=tuple(refinements), dp=dp,
        privacy=settings.privacy if privacy is None else privacy,
        holdout=settings.holdout if holdout is None else share,
        max_attempts=settings.max_attempts, thresholds=settings.thresholds, device=device,
        budget=choose_budget(budget, method, settings.budget),
    )
    overrides = make_overrides(
        _overrides(schema), target=target, survival=survival, sequence=_sequence(sequence), drop_text=drop_text,
    )
    command = _command(
        "synthesize(df", method=method, backend=None if backend == "auto" else backend, rows=rows, target=target,
        survival=survival, sequence=sequence, privacy=request.privacy,
        budget=_budget(request), device=None if device == "auto" else device,
        params=dict(params or {}) or None, refinements=tuple(refinements) or None,
        holdout=request.holdout if unseen is None else _named(unseen, "holdout"),
        schema=_named(schema), drop_text=drop_text or None, seed=seed,
    )
    done = run(
        df, request, overrides=overrides, holdout=unseen, command=command, backends=_backends(settings), emit=emit,
        cancelled=cancelled,
    )
    model = done.result.synthesizer
    return Synthesis(model.restored(done.result.data), shown(done.report), model, done)


def create_synthesizer(
    method: str | AnyMethod,
    params: Mapping[str, Any] | None = None,
    *,
    backend: str = "auto",
    privacy: PrivacyLevel = "default",
    dp: DPRequest | None = None,
    emit: Emit = ignore,
    known: Mapping[str, AnyMethod] | None = None,
) -> Synthesizer:
    """A synthesizer, not yet fitted.

    Args:
        method: A method's name, alias or class; `synthcity:adsgan` names the backend too.
        params: The method's parameters; they override what `privacy` stands for.
        backend: Who implements the method: a name, several with commas between, or auto for the order of
            SYNTHLOOM_BACKENDS.
        privacy: Where to stand between fidelity and privacy.
        dp: Differential privacy, as asked for.
        emit: Hears who was chosen (Notice `backend`) and of every step down (`Fallback`).
        known: Methods to choose from in place of the installed ones.

    Raises:
        UnknownNameError: no such method or backend.
        ParamsError: a parameter is unknown or out of bounds.
        PrivacyError: differential privacy was asked for and nobody who was asked can give it.
        MissingDependencyError: the method, or the backend, needs something that is not installed.
    """
    from synthloom import registry

    return registry.create_synthesizer(
        method, params, backend=backend, privacy=privacy, dp=dp, emit=emit, known=known,
        backends=_backends(Settings.from_environment()),
    )


def evaluate(
    real: Any,
    synthetic: Any,
    holdout: Any = None,
    *,
    target: str | None = None,
    survival: tuple[str, str] | None = None,
    sequence: str | tuple[str, str] | None = None,
    schema: SchemaOverrides | Mapping[str, Any] | str | Path | None = None,
    seed: int = 0,
    drop_text: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> ShownReport:
    """Measure synthetic data that any tool has made.

    Args:
        real: The table the tool has learnt from: a frame or a path, like the other two.
        synthetic: What it made; the same columns.
        holdout: Rows of the same source the tool has not seen; without them membership cannot be measured.
        target: The column a model would predict.
        survival: Names of the time and the event column of a survival table.
        sequence: Name of the column that says which sequence a row belongs to; or of that and the one that its rows are
            in order of.
        schema: What you know about the columns, as in `synthesize`.
        seed: Seed of the metrics' random choices.
        drop_text: Leave columns of free text out, rather than refuse them.
        emit: Hears every event as it happens.
        cancelled: Asked often; when true, CancelledError is raised within a second.

    Returns:
        The report; a notebook shows its scorecard.
    """
    from synthloom.service import evaluate as measure_together
    from synthloom.service import make_overrides

    settings = Settings.from_environment()
    overrides = make_overrides(
        _overrides(schema), target=target, survival=survival, sequence=_sequence(sequence), drop_text=drop_text,
    )
    report = measure_together(
        real, synthetic, holdout, overrides=overrides, thresholds=settings.thresholds, seed=seed,
        command=_command(
            "evaluate(real, synthetic" + (", holdout" if holdout is not None else ""), target=target,
            survival=survival, sequence=sequence, schema=_named(schema), drop_text=drop_text or None, seed=seed,
        ),
        backends=_backends(settings), emit=emit, cancelled=cancelled,
    )
    return shown(report)


def shown(report: Report) -> ShownReport:
    """The same report, with a picture of itself for notebooks."""
    return ShownReport.model_construct(report.model_fields_set, **dict(report))


def _backends(settings: Settings) -> Backends:
    from synthloom.backends.desk import make_backends

    return make_backends(settings)


def _overrides(schema: SchemaOverrides | Mapping[str, Any] | str | Path | None) -> SchemaOverrides | None:
    if schema is None or isinstance(schema, SchemaOverrides):
        return schema
    from synthloom.tables.schema_file import load_overrides

    if isinstance(schema, str | Path):
        return load_overrides(schema)
    if isinstance(schema, Mapping):
        import json

        return load_overrides(json.dumps(schema, default=str).encode())
    raise UsageError(
        f"a schema cannot be a {type(schema).__name__}.", where="schema",
        do="Give a schema file's path, a mapping of the same form, or SchemaOverrides.",
    )


def _budget(request: RunRequest) -> float | str | None:
    """The budget as a command repeats it, whatever the environment says then."""
    if request.budget is None:
        return "none" if request.method == "auto" else None
    return request.budget


def _sequence(given: str | tuple[str, str] | None) -> tuple[str, str | None] | None:
    return (given, None) if isinstance(given, str) else given


class _Name(str):
    """Stands in a command as it is, like the frame's own name."""

    __slots__ = ()
    __repr__ = str.__str__


def _named(given: Any, name: str = "schema") -> str | None:
    """How a command names a schema or a table: a file by its path; else by a name only, as it may hold cells."""
    if given is None:
        return None
    return str(given) if isinstance(given, str | Path) else _Name(name)


def _command(head: str, **options: Any) -> str:
    given = [f"{name}={value!r}" for name, value in options.items() if value is not None]
    return f"synthloom.{', '.join([head, *given])})"
