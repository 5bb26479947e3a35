"""The environment, read once into a frozen object. A bad value is an error that names the variable."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from synthloom.domain.budget import read_budget
from synthloom.domain.errors import UsageError
from synthloom.domain.measurement import Threshold
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.run import DEFAULT_THRESHOLDS


class Settings(BaseModel):
    """What the environment decides. A field's alias is its variable's name; an unset or empty one keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, str_strip_whitespace=True)

    ks_max: float = Field(
        0.10, alias="KS_MAX", ge=0, le=1, allow_inf_nan=False,
        description="Largest mean Kolmogorov-Smirnov distance (utility.ks_mean) that passes.",
    )
    corr_max: float = Field(
        0.10, alias="CORR_MAX", ge=0, le=2, allow_inf_nan=False,
        description="Largest mean difference between correlations (utility.corr_delta) that passes.",
    )
    mia_max: float = Field(
        0.60, alias="MIA_MAX", ge=0, le=1, allow_inf_nan=False,
        description="Largest AUC of the membership attack (privacy.mia_auc) that passes; .5 is a guess.",
    )
    dup_max: float = Field(
        0.05, alias="DUP_MAX", ge=0, le=1, allow_inf_nan=False,
        description="Largest share of synthetic rows that repeat a training row (privacy.dup_rate) that passes.",
    )
    out: str = Field(
        "results", alias="SYNTHLOOM_OUT", min_length=1,
        description="Folder under which `synthloom run` makes a folder per table when no --out is given.",
    )
    privacy: PrivacyLevel = Field(
        "default", alias="SYNTHLOOM_PRIVACY",
        description="Privacy level of a run that names none: low, default or high.",
    )
    holdout: float | None = Field(
        None, alias="SYNTHLOOM_HOLDOUT", gt=0, lt=0.9,
        description="Share of rows kept back to measure against in a run that names none; unset: a fifth, at most "
        "2,500 rows.",
    )
    max_attempts: int = Field(
        3, alias="SYNTHLOOM_MAX_ATTEMPTS", ge=1, le=20,
        description="How many plans a run may try until one passes every verdict.",
    )
    budget: float | None = Field(
        120, alias="SYNTHLOOM_BUDGET",
        description="Time that choosing and learning may take in a run with --method auto that names none: seconds, "
        "60s, 2m or 1h30m. none: nothing is measured beforehand, and rules choose.",
    )
    log_dir: str | None = Field(
        None, alias="SYNTHLOOM_LOG_DIR", min_length=1,
        description="Folder for the log of an unexpected error; unset: synthloom/ in the system's temporary folder.",
    )

    home: str | None = Field(
        None, alias="SYNTHLOOM_HOME", min_length=1,
        description="Folder of the server's database, its files and the backends' interpreters; unset: synthloom/ in "
        "the user's data folder.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="SYNTHLOOM_LOG_LEVEL", description="Least level of what server and worker log: debug, info, "
        "warning or error.",
    )
    log_format: Literal["json", "text"] = Field(
        "json", alias="SYNTHLOOM_LOG_FORMAT", description="How a log line is written: json or text.",
    )
    # where runs and files are kept
    database_url: SecretStr | None = Field(
        None, alias="SYNTHLOOM_DATABASE_URL",
        description="Database of runs: postgresql://user:password@host/name or sqlite:///path; unset: a SQLite file in "
        "SYNTHLOOM_HOME.",
    )
    store: str | None = Field(
        None, alias="SYNTHLOOM_STORE", min_length=1,
        description="Where files go: a folder, or s3 for an S3-compatible store; unset: a folder in SYNTHLOOM_HOME.",
    )
    s3_endpoint: str | None = Field(
        None, alias="SYNTHLOOM_S3_ENDPOINT",
        description="Address of the S3-compatible store, as https://PROJECT.supabase.co/storage/v1/s3; unset: AWS.",
    )
    s3_public_endpoint: str | None = Field(
        None, alias="SYNTHLOOM_S3_PUBLIC_ENDPOINT",
        description="Address at which browsers reach that store, for downloads by signed links; unset: the server "
        "passes files on.",
    )
    s3_region: str = Field("us-east-1", alias="SYNTHLOOM_S3_REGION", description="Region of the S3-compatible store.")
    s3_access_key_id: str | None = Field(
        None, alias="SYNTHLOOM_S3_ACCESS_KEY_ID", description="Access key of the S3-compatible store.",
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, alias="SYNTHLOOM_S3_SECRET_ACCESS_KEY", description="Secret key of the S3-compatible store.",
    )
    datasets_bucket: str = Field(
        "datasets", alias="SYNTHLOOM_DATASETS_BUCKET", min_length=1,
        description="Bucket (or folder) of uploaded tables.",
    )
    artifacts_bucket: str = Field(
        "artifacts", alias="SYNTHLOOM_ARTIFACTS_BUCKET", min_length=1,
        description="Bucket (or folder) of what runs leave.",
    )
    # workers
    poll_seconds: float = Field(
        2, alias="POLL_SECONDS", gt=0, le=3600, description="How often a worker asks for a run when nothing wakes it.",
    )
    lease_seconds: float = Field(
        30, alias="SYNTHLOOM_LEASE_SECONDS", ge=1, le=3600,
        description="How long a run stays a worker's without a sign of life; then another takes it over.",
    )
    worker_slots: int = Field(
        1, alias="SYNTHLOOM_WORKER_SLOTS", ge=1, le=256, description="Runs one worker works on at the same time.",
    )
    run_memory_mb: int | None = Field(
        None, alias="SYNTHLOOM_RUN_MEMORY_MB", ge=256, description="Memory one run may use, in MB; unset: no limit.",
    )
    run_seconds: float | None = Field(
        None, alias="SYNTHLOOM_RUN_SECONDS", gt=0, description="Seconds one run may take; unset: no limit.",
    )
    run_pdf: bool = Field(
        True, alias="SYNTHLOOM_RUN_PDF",
        description="Whether a run leaves report.pdf; without, it is drawn when somebody asks for it.",
    )
    run_deliveries: int = Field(
        3, alias="SYNTHLOOM_RUN_DELIVERIES", ge=1, le=20,
        description="How often a run whose worker was lost is begun before it is failed.",
    )
    drain_seconds: float = Field(
        30, alias="SYNTHLOOM_DRAIN_SECONDS", ge=0,
        description="Seconds a worker that is asked to end lets its runs go on before it gives them back to the queue.",
    )
    worker_warm: bool = Field(
        True, alias="SYNTHLOOM_WORKER_WARM",
        description="Whether a worker keeps a process ready that has loaded everything, for a while after a run.",
    )
    tenant_runs: int | None = Field(
        None, alias="SYNTHLOOM_TENANT_RUNS", ge=1, description="Runs of one tenant at the same time; unset: no limit.",
    )
    model_cache: bool = Field(
        True, alias="SYNTHLOOM_MODEL_CACHE", description="Whether a run may take the model of an equal earlier one.",
    )
    # doors
    auth: Literal["none", "keys", "jwt"] = Field(
        "none", alias="SYNTHLOOM_AUTH",
        description="Who may come in: none (loopback only), keys (API keys), or jwt (API keys and tokens of an OpenID "
        "provider such as Supabase).",
    )
    jwks_url: str | None = Field(
        None, alias="SYNTHLOOM_JWKS_URL", description="Where the provider of tokens publishes its keys.",
    )
    jwt_issuer: str | None = Field(None, alias="SYNTHLOOM_JWT_ISSUER", description="Issuer that tokens must name.")
    jwt_audience: str = Field(
        "authenticated", alias="SYNTHLOOM_JWT_AUDIENCE", description="Audience that tokens must name.",
    )
    jwt_tenant_claim: str = Field(
        "sub", alias="SYNTHLOOM_JWT_TENANT_CLAIM",
        description="Claim of a token that names the tenant, such as sub, or app_metadata.tenant.",
    )
    upload_mb: int = Field(
        512, alias="SYNTHLOOM_UPLOAD_MB", ge=1, description="Largest table that may be uploaded, in MB.",
    )
    table_cells: int = Field(
        50_000_000, alias="SYNTHLOOM_TABLE_CELLS", ge=1, description="Most cells (rows times columns) of an upload.",
    )
    read_memory_mb: int = Field(
        4096, alias="SYNTHLOOM_READ_MEMORY_MB", ge=256,
        description="Memory that looking at an upload, or drawing a PDF, may use, in MB.",
    )
    read_seconds: float = Field(
        120, alias="SYNTHLOOM_READ_SECONDS", gt=0,
        description="Seconds that looking at an upload, or drawing a PDF, may take.",
    )
    rate_limit: int = Field(
        600, alias="SYNTHLOOM_RATE_LIMIT", ge=1,
        description="Requests one client may make in a minute, where clients say who they are.",
    )
    session_secret: SecretStr | None = Field(
        None, alias="SYNTHLOOM_SESSION_SECRET", min_length=16,
        description="What the page's sessions are signed with, the same in every server behind one address; unset: a "
        "new one at each start, so that people log in again.",
    )
    report_service: str | None = Field(
        None, alias="SYNTHLOOM_REPORT_SERVICE",
        description="Address of a report service that draws PDFs; unset: the server draws them itself.",
    )
    report_token: SecretStr | None = Field(
        None, alias="SYNTHLOOM_REPORT_TOKEN", min_length=16,
        description="What a server must show to the report service, in both; it may be unset on loopback only.",
    )
    # backends
    backends: str = Field(
        "synthcity,native,sdv", alias="SYNTHLOOM_BACKENDS",
        description="Order in which backend auto looks for a method.",
    )
    synthcity_only: bool = Field(
        False, alias="USE_SYNTHCITY_ONLY", description="Whether nothing but SynthCity may make a synthesizer.",
    )
    dp_backend: Literal["any", "none", "custom", "native", "synthcity"] = Field(
        "any", alias="DP_BACKEND",
        description="Who may serve requests for differential privacy: any that can keep it, none, native (also called "
        "custom) or synthcity, none of whose plugins keeps it.",
    )
    synthcity_metrics: bool = Field(
        False, alias="USE_SYNTHCITY_METRICS", description="Whether SynthCity's metrics are measured beside ours.",
    )
    sdv_licensed: bool = Field(
        False, alias="SYNTHLOOM_SDV_LICENSED",
        description="Whether this server's operator holds a licence to offer SDV as a service.",
    )
    backend_seconds: float = Field(
        3600, alias="SYNTHLOOM_BACKEND_SECONDS", gt=0, description="Seconds one attempt in a backend may take.",
    )
    backend_memory_mb: int | None = Field(
        None, alias="SYNTHLOOM_BACKEND_MEMORY_MB", ge=256,
        description="Memory one attempt in a backend may use, in MB; unset: no limit.",
    )

    @field_validator("budget", mode="before")
    @classmethod
    def _read_budget(cls, value: Any) -> float | None:
        try:
            return None if value is None else read_budget(value)
        except UsageError:
            raise PydanticCustomError("budget", "it is no time such as 60s, 2m or 1h30m, nor none") from None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the variables above out of `environ` (default: the process's).

        Raises:
            UsageError: a value cannot be used; the message names the variable, the value and what is allowed.
        """
        source = os.environ if environ is None else environ
        given = {name: source[name] for name in variables() if source.get(name, "").strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _explained(error) from None

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The default thresholds with the limits set here."""
        limits = {"KS_MAX": self.ks_max, "CORR_MAX": self.corr_max, "MIA_MAX": self.mia_max, "DUP_MAX": self.dup_max}
        return tuple(t.model_copy(update={"limit": limits.get(t.name, t.limit)}) for t in DEFAULT_THRESHOLDS)


def variables() -> dict[str, str]:
    """Every variable's name with its description, in order."""
    return {str(field.alias): field.description or "" for field in Settings.model_fields.values()}


def likely_misspelt(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """SYNTHLOOM_ variables that nobody reads but that look like one that is read: name to likely name.

    They are no error: container platforms add variables of their own, such as SYNTHLOOM_SERVICE_HOST.
    """
    known = list(variables())
    found = {}
    for name in os.environ if environ is None else environ:
        if name.startswith("SYNTHLOOM_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.88)
            if close:
                found[name] = close[0]
    return found


def _explained(error: ValidationError) -> UsageError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    secret = "SecretStr" in str(Settings.model_fields[_field_of(name)].annotation)
    value: Any = "the value" if secret else repr(first["input"])
    return UsageError(
        f"{value} cannot be used: {first['msg'].lower()}.", where=f"environment variable {name}",
        do=f"{variables().get(name, '')} Unset it to use the default.",
    )


def _field_of(variable: str) -> str:
    return next(name for name, field in Settings.model_fields.items() if variable in (name, field.alias))
