"""What the API takes and gives, as models; everything else is in `domain/`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.convertors import Convertor, register_url_convertor

from synthloom.domain.artifact import Artifact
from synthloom.domain.measurement import Chapter, Direction
from synthloom.domain.records import ApiKey, AuditEntry, DatasetRecord, RunError, RunRecord, StampedEvent
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.domain.schema import Schema, SchemaOverrides
from synthloom.service import choose_budget
from synthloom.settings import Settings

ID = "^[0-9a-f]{32}$"


class _IdConvertor(Convertor[str]):
    """Addresses take nothing but ids where an id belongs: no slash, no dots, no word such as `compare`."""

    regex = "[0-9a-f]{32}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _IdConvertor())

DatasetId = Annotated[str, Path(pattern=ID, description="A dataset's id.")]
RunId = Annotated[str, Path(pattern=ID, description="A run's id.")]
PageSize = Annotated[int, Query(ge=1, le=200, description="Most entries of a page.")]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# datasets


class DatasetView(_Shape):
    """A stored table."""

    dataset_id: str = Field(pattern=ID)
    filename: str = Field(description="As it was called when uploaded.")
    media_type: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="Bytes.")
    rows: int | None = Field(ge=0)
    columns: int | None = Field(ge=0)
    created_at: datetime

    @classmethod
    def of(cls, record: DatasetRecord) -> DatasetView:
        """A record without what is the server's own business."""
        return cls(**record.model_dump(exclude={"tenant", "key"}))


class DatasetList(_Shape):
    """Datasets, newest first."""

    datasets: tuple[DatasetView, ...]
    next: str | None = Field(description="Value of `after` for the next page; null: there is none.")


class InspectRequest(_Shape):
    """What is known about the columns, and the method thought of."""

    overrides: SchemaOverrides | None = None
    method: str = Field("auto", max_length=100)


class InspectionView(_Shape):
    """What a table's columns are, why, and the plan a run would begin with."""

    name: str
    rows: int
    sha256: str
    inferred: Schema = Field(alias="schema")
    plan: dict[str, Any]
    notices: tuple[dict[str, Any], ...]


# runs


class _RunFields(RunRequest):
    name: str = Field("", max_length=200, description="For people.")
    priority: int = Field(0, ge=-100, le=100, description="Higher first; above 0 needs the scope admin.")
    reuse_model: bool = Field(True, description="Whether the model of an equal earlier run may be taken.")
    overrides: SchemaOverrides | None = Field(None, description="What is known about the columns.")


class RunCreate(_RunFields):
    """A run to be queued. What is not said has the server's default."""

    dataset_id: str = Field(pattern=ID)

    def request(self, settings: Settings) -> RunRequest:
        """What is asked of the run, with the server's defaults for what was left out."""
        said = {name: getattr(self, name) for name in self.model_fields_set & set(RunRequest.model_fields)}
        defaults = {
            "thresholds": settings.thresholds, "privacy": settings.privacy, "holdout": settings.holdout,
            "max_attempts": settings.max_attempts, "budget": choose_budget(None, self.method, settings.budget),
        }
        return RunRequest(**(defaults | said))


class RunChanges(_RunFields):
    """What is different in a clone; what is not said stays as it was."""

    def said(self) -> dict[str, Any]:
        """The fields that were given, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class RunClone(_Shape):
    """Fields of a run to change, such as {"changes": {"method": "ctgan"}}."""

    changes: RunChanges = Field(default_factory=RunChanges)


class RunView(_Shape):
    """A run, as it stands."""

    run_id: str = Field(pattern=ID)
    dataset_id: str
    name: str
    status: RunStatus
    final: bool = Field(description="Whether the status can change no more.")
    cancelling: bool = Field(description="Whether it was asked to stop and has not yet.")
    request: RunRequest
    overrides: SchemaOverrides | None
    priority: int
    reuse_model: bool
    parent: str | None = Field(description="The run it repeats.")
    deliveries: int = Field(description="How often a worker has begun it.")
    max_deliveries: int
    created_at: datetime
    not_before: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    step: str | None
    progress: float | None
    outcome: str | None
    method: str | None
    backend: str | None
    error: RunError | None
    version: int = Field(description="Grows with each change.")

    @classmethod
    def of(cls, run: RunRecord) -> RunView:
        """A record without what is the server's own business."""
        own = {name: getattr(run, name) for name in cls.model_fields if name not in ("final", "cancelling")}
        return cls(**own, final=run.final, cancelling=run.cancel_requested_at is not None and not run.final)


class RunList(_Shape):
    """Runs, newest first."""

    runs: tuple[RunView, ...]
    next: str | None = Field(description="Value of `cursor` for the next page; null: there is none.")


class EventList(_Shape):
    """What happened in a run, in order."""

    events: tuple[StampedEvent, ...]
    final: bool = Field(description="Whether nothing more will come.")


class ComparedRun(_Shape):
    """One of the runs compared."""

    model_config = ConfigDict(frozen=True, extra="allow")

    run_id: str


class ComparedMetric(_Shape):
    """A metric in each of the runs, in their order; null where it has no value."""

    model_config = ConfigDict(frozen=True, extra="allow")

    key: str
    title: str
    direction: Direction
    chapter: Chapter | None = None
    values: tuple[float | None, ...]


class Comparison(_Shape):
    """Runs side by side."""

    runs: tuple[ComparedRun, ...]
    metrics: tuple[ComparedMetric, ...]
    verdicts: tuple[dict[str, Any], ...]


# artifacts


class ArtifactView(_Shape):
    """A file that a run left."""

    name: str = Field(description="Such as synthetic.csv.")
    media_type: str
    size: int = Field(ge=0, description="Bytes.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    url: str = Field(description="Where it is downloaded.")

    @classmethod
    def of(cls, run_id: str, artifact: Artifact) -> ArtifactView:
        """An artifact of a run."""
        name = artifact.key.rpartition("/")[2]
        return cls(
            name=name, media_type=artifact.media_type, size=artifact.size, sha256=artifact.sha256,
            url=f"/v1/runs/{run_id}/artifacts/{name}",
        )


class ArtifactList(_Shape):
    """What a run left."""

    artifacts: tuple[ArtifactView, ...]


# keys and the audit log


class KeyCreate(_Shape):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=100, description="For people: whose it is, what it is for.")
    scopes: tuple[Literal["read", "write", "admin", "metrics"], ...] = Field(
        ("read", "write"), min_length=1, description="What it opens; none that the caller lacks.",
    )
    expires_days: int | None = Field(None, ge=1, le=3660, description="Days until it expires; null: never.")


class KeyView(_Shape):
    """A key, without its secret."""

    key_id: str
    name: str
    prefix: str = Field(description="The secret's first letters.")
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyView:
        """A key's record."""
        return cls(**key.model_dump(exclude={"tenant"}))


class NewKey(_Shape):
    """A new key; its secret is shown here and never again."""

    key: KeyView
    secret: str


class KeyList(_Shape):
    """The tenant's keys."""

    keys: tuple[KeyView, ...]


class AuditView(_Shape):
    """Who did what to which object, and when."""

    number: int
    at: datetime
    actor: str
    action: str
    target: str
    detail: dict[str, Any]


class AuditList(_Shape):
    """Entries, newest first."""

    entries: tuple[AuditView, ...]
    next: int | None = Field(description="Value of `before` for the next page; null: there is none.")

    @classmethod
    def of(cls, entries: Sequence[AuditEntry], limit: int) -> AuditList:
        """A page of entries."""
        shown = tuple(AuditView(**entry.model_dump(exclude={"tenant"})) for entry in entries)
        return cls(entries=shown, next=shown[-1].number if len(shown) == limit else None)


# what there is


class MethodList(_Shape):
    """The methods, with their parameters, who makes them, and whether they can be used here."""

    methods: tuple[dict[str, Any], ...] = Field(
        description="Our methods; `backends` says of each who could make it, in the order of `auto`, or why not here.",
    )
    unavailable: dict[str, str] = Field(description="Name of a method that cannot be used here to the reason.")
    others: tuple[dict[str, Any], ...] = Field(
        description="Methods of each backend beside ours: `backend`, `name`, `available`, and the `reason` if it is "
        "not; parameters and the like where it is. Empty where one method was asked for.",
    )
    backends: tuple[dict[str, Any], ...] = Field(
        description="As `/v1/backends` has them. Empty where one method was asked for.",
    )


class BackendList(_Shape):
    """The backends in the order in which `auto` looks through them."""

    backends: tuple[dict[str, Any], ...]


class Health(_Shape):
    """Whether the server works."""

    status: Literal["ok"] = "ok"
    version: str
