"""The tables as they began."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)

_HIDE_FROM_SUPABASE = """\
-- Supabase's API shows every new table to everybody who has the project's public key, until a policy says otherwise.
DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'anon') THEN
        FOREACH name IN ARRAY ARRAY[
            'datasets', 'runs', 'run_steps', 'metrics', 'run_artifacts', 'api_keys', 'audit_log', 'alembic_version'
        ] LOOP
            EXECUTE 'ALTER TABLE ' || quote_ident(name) || ' ENABLE ROW LEVEL SECURITY';
        END LOOP;
    END IF;
END
$$"""


def upgrade() -> None:
    """Make the tables."""
    _make_datasets()
    _make_runs()
    _make_run_steps()
    _make_metrics()
    _make_run_artifacts()
    _make_api_keys()
    _make_audit_log()
    if op.get_context().dialect.name == "postgresql":
        op.execute(_HIDE_FROM_SUPABASE)


def _c(name: str, kind: Any, *more: Any, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=nullable)


def _where(condition: str) -> dict[str, Any]:
    return {f"{database}_where": sa.text(condition) for database in ("postgresql", "sqlite")}


def _make_datasets() -> None:
    op.create_table(
        "datasets",
        _c("seq", _BIG, sa.Identity()),
        _c("dataset_id", sa.String(length=32)),
        _c("tenant", sa.Text()),
        _c("sha256", sa.String(length=64)),
        _c("key", sa.Text()),
        _c("filename", sa.Text()),
        _c("media_type", sa.Text()),
        _c("size", sa.BigInteger()),
        _c("rows", sa.BigInteger(), nullable=True),
        _c("columns", sa.BigInteger(), nullable=True),
        _c("created_at", _TIME),
        sa.PrimaryKeyConstraint("seq", name="datasets_pkey"),
        sa.UniqueConstraint("dataset_id", name="datasets_dataset_id_key"),
        sa.UniqueConstraint("tenant", "sha256", name="datasets_tenant_sha256_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("datasets_tenant_seq_idx", "datasets", ["tenant", "seq"])


def _make_runs() -> None:
    op.create_table(
        "runs",
        _c("seq", _BIG, sa.Identity()),
        _c("run_id", sa.String(length=32)),
        _c("tenant", sa.Text()),
        _c("dataset_id", sa.String(length=32)),
        _c("name", sa.Text()),
        _c("request", sa.JSON()),
        _c("overrides", sa.JSON(), nullable=True),
        _c("priority", sa.Integer()),
        _c("max_deliveries", sa.Integer()),
        _c("reuse_model", sa.Boolean()),
        _c("parent", sa.Text(), nullable=True),
        _c("status", sa.Text()),
        _c("deliveries", sa.Integer()),
        _c("created_at", _TIME),
        _c("not_before", _TIME),
        _c("started_at", _TIME, nullable=True),
        _c("finished_at", _TIME, nullable=True),
        _c("cancel_requested_at", _TIME, nullable=True),
        _c("worker", sa.Text(), nullable=True),
        _c("lease_until", _TIME, nullable=True),
        _c("step", sa.Text(), nullable=True),
        _c("progress", sa.Double(), nullable=True),
        _c("outcome", sa.Text(), nullable=True),
        _c("method", sa.Text(), nullable=True),
        _c("backend", sa.Text(), nullable=True),
        _c("model_key", sa.Text(), nullable=True),
        _c("error", sa.JSON(), nullable=True),
        _c("version", sa.BigInteger()),
        _c("token", sa.BigInteger()),
        _c("last_event", sa.BigInteger()),
        _c("idempotency_key", sa.Text(), nullable=True),
        _c("request_hash", sa.String(length=64)),
        sa.CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name=op.f("runs_lease_check")),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("runs_finished_check"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("runs_status_check"),
        ),
        sa.PrimaryKeyConstraint("seq", name="runs_pkey"),
        sa.UniqueConstraint("run_id", name="runs_run_id_key"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="runs_tenant_idempotency_key_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_dataset_id_seq_idx", "runs", ["dataset_id", "seq"])
    op.create_index("runs_lease_idx", "runs", ["lease_until"], **_where("status = 'running'"))
    op.create_index("runs_model_idx", "runs", ["tenant", "model_key", "seq"], **_where("model_key IS NOT NULL"))
    first: list[Any] = [sa.literal_column("priority DESC"), "seq"]
    op.create_index("runs_queue_idx", "runs", first, **_where("status = 'queued'"))
    op.create_index("runs_status_idx", "runs", ["status"])
    op.create_index("runs_tenant_seq_idx", "runs", ["tenant", "seq"])
    op.create_index("runs_tenant_status_seq_idx", "runs", ["tenant", "status", "seq"])


def _make_run_steps() -> None:
    op.create_table(
        "run_steps",
        _c("run_id", sa.String(length=32)),
        _c("number", sa.BigInteger()),
        _c("tenant", sa.Text()),
        _c("delivery", sa.Integer()),
        _c("at", _TIME),
        _c("type", sa.Text()),
        _c("body", sa.JSON()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="run_steps_run_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "number", name="run_steps_pkey"),
    )


def _make_metrics() -> None:
    op.create_table(
        "metrics",
        _c("run_id", sa.String(length=32)),
        _c("key", sa.Text()),
        _c("tenant", sa.Text()),
        _c("position", sa.Integer()),
        _c("status", sa.Text()),
        _c("value", sa.Double(), nullable=True),
        _c("low", sa.Double(), nullable=True),
        _c("high", sa.Double(), nullable=True),
        _c("floor", sa.Double(), nullable=True),
        _c("reason", sa.Text(), nullable=True),
        _c("passed", sa.Boolean(), nullable=True),
        _c("verdicts", sa.JSON()),
        sa.CheckConstraint(
            "status IN ('measured', 'undefined', 'failed', 'absent')", name=op.f("metrics_status_check"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="metrics_run_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "key", name="metrics_pkey"),
    )


def _make_run_artifacts() -> None:
    op.create_table(
        "run_artifacts",
        _c("run_id", sa.String(length=32)),
        _c("position", sa.Integer()),
        _c("tenant", sa.Text()),
        _c("key", sa.Text()),
        _c("name", sa.Text()),
        _c("media_type", sa.Text()),
        _c("size", sa.BigInteger()),
        _c("sha256", sa.String(length=64)),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="run_artifacts_run_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "position", name="run_artifacts_pkey"),
    )
    op.create_index("run_artifacts_key_idx", "run_artifacts", ["key"])


def _make_api_keys() -> None:
    op.create_table(
        "api_keys",
        _c("seq", _BIG, sa.Identity()),
        _c("key_id", sa.String(length=32)),
        _c("tenant", sa.Text()),
        _c("name", sa.Text()),
        _c("prefix", sa.Text()),
        _c("digest", sa.String(length=64)),
        _c("scopes", sa.JSON()),
        _c("created_at", _TIME),
        _c("expires_at", _TIME, nullable=True),
        _c("revoked_at", _TIME, nullable=True),
        _c("last_used_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("seq", name="api_keys_pkey"),
        sa.UniqueConstraint("digest", name="api_keys_digest_key"),
        sa.UniqueConstraint("key_id", name="api_keys_key_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("api_keys_tenant_seq_idx", "api_keys", ["tenant", "seq"])


def _make_audit_log() -> None:
    op.create_table(
        "audit_log",
        _c("number", _BIG, sa.Identity()),
        _c("at", _TIME),
        _c("tenant", sa.Text()),
        _c("actor", sa.Text()),
        _c("action", sa.Text()),
        _c("target", sa.Text()),
        _c("detail", sa.JSON()),
        sa.PrimaryKeyConstraint("number", name="audit_log_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_log_tenant_number_idx", "audit_log", ["tenant", "number"])
