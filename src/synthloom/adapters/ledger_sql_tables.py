"""The tables of a ledger. What stands here, the Alembic migrations and `supabase/migrations` make the same database.

Each row has its tenant, the rows that hang on a run too, so that a policy needs no join. `seq` gives rows an order that
no clock disturbs. JSON is kept as text (`json`, not `jsonb`): it comes back as it was, with order and odd characters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from synthloom.domain.run import RunStatus

METADATA = sa.MetaData(naming_convention={
    "pk": "%(table_name)s_pkey", "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_name)s_fkey", "ck": "%(table_name)s_%(constraint_name)s_check",
})


class UtcTime(sa.TypeDecorator[datetime]):
    """A time with its zone, always UTC in Python; SQLite keeps it as text that sorts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""SQLite counts up only in a column that it calls INTEGER."""
_JSON = sa.JSON(none_as_null=True)


def _column(name: str, kind: Any, *more: Any, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=null)


def _order(name: str = "seq") -> sa.Column[Any]:
    return sa.Column(name, _BIG, sa.Identity(always=False), primary_key=True)


def _of_run() -> sa.Column[Any]:
    return _column("run_id", sa.String(32), sa.ForeignKey("runs.run_id", ondelete="CASCADE"))


def _in(column: str, words: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


datasets = sa.Table(
    "datasets", METADATA,
    _order(),
    _column("dataset_id", sa.String(32)),
    _column("tenant", sa.Text),
    _column("sha256", sa.String(64)),
    _column("key", sa.Text),
    _column("filename", sa.Text),
    _column("media_type", sa.Text),
    _column("size", sa.BigInteger),
    _column("rows", sa.BigInteger, null=True),
    _column("columns", sa.BigInteger, null=True),
    _column("created_at", UtcTime),
    sa.UniqueConstraint("dataset_id"),
    sa.UniqueConstraint("tenant", "sha256"),
    sa.Index("datasets_tenant_seq_idx", "tenant", "seq"),
    sqlite_autoincrement=True,
)

runs = sa.Table(
    "runs", METADATA,
    _order(),
    _column("run_id", sa.String(32)),
    _column("tenant", sa.Text),
    # no foreign key: a finished run outlives its dataset, and enqueue and delete_dataset lock the dataset's row
    _column("dataset_id", sa.String(32)),
    _column("name", sa.Text),
    _column("request", _JSON),
    _column("overrides", _JSON, null=True),
    _column("priority", sa.Integer),
    _column("max_deliveries", sa.Integer),
    _column("reuse_model", sa.Boolean),
    _column("parent", sa.Text, null=True),
    _column("status", sa.Text),
    _column("deliveries", sa.Integer),
    _column("created_at", UtcTime),
    _column("not_before", UtcTime),
    _column("started_at", UtcTime, null=True),
    _column("finished_at", UtcTime, null=True),
    _column("cancel_requested_at", UtcTime, null=True),
    _column("worker", sa.Text, null=True),
    _column("lease_until", UtcTime, null=True),
    _column("step", sa.Text, null=True),
    _column("progress", sa.Double, null=True),
    _column("outcome", sa.Text, null=True),
    _column("method", sa.Text, null=True),
    _column("backend", sa.Text, null=True),
    _column("model_key", sa.Text, null=True),
    _column("error", _JSON, null=True),
    _column("version", sa.BigInteger),
    _column("token", sa.BigInteger),
    _column("last_event", sa.BigInteger),
    _column("idempotency_key", sa.Text, null=True),
    _column("request_hash", sa.String(64)),
    sa.UniqueConstraint("run_id"),
    sa.UniqueConstraint("tenant", "idempotency_key"),
    sa.CheckConstraint(_in("status", RunStatus), name="status"),
    sa.CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
    sa.CheckConstraint(
        "(status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="finished",
    ),
    sa.Index("runs_tenant_seq_idx", "tenant", "seq"),
    sa.Index("runs_tenant_status_seq_idx", "tenant", "status", "seq"),
    sa.Index("runs_dataset_id_seq_idx", "dataset_id", "seq"),
    sa.Index("runs_status_idx", "status"),
    sqlite_autoincrement=True,
)
_QUEUED, _RUNNING = sa.text("status = 'queued'"), sa.text("status = 'running'")
sa.Index(
    "runs_queue_idx", runs.c.priority.desc(), runs.c.seq, postgresql_where=_QUEUED, sqlite_where=_QUEUED,
)
sa.Index("runs_lease_idx", runs.c.lease_until, postgresql_where=_RUNNING, sqlite_where=_RUNNING)
_KEYED = sa.text("model_key IS NOT NULL")
sa.Index(
    "runs_model_idx", runs.c.tenant, runs.c.model_key, runs.c.seq, postgresql_where=_KEYED, sqlite_where=_KEYED,
)

run_steps = sa.Table(
    "run_steps", METADATA,
    _of_run(),
    _column("number", sa.BigInteger),
    _column("tenant", sa.Text),
    _column("delivery", sa.Integer),
    _column("at", UtcTime),
    _column("type", sa.Text),
    _column("body", _JSON),
    sa.PrimaryKeyConstraint("run_id", "number"),
)

metrics = sa.Table(
    "metrics", METADATA,
    _of_run(),
    _column("key", sa.Text),
    _column("tenant", sa.Text),
    _column("position", sa.Integer),
    _column("status", sa.Text),
    _column("value", sa.Double, null=True),
    _column("low", sa.Double, null=True),
    _column("high", sa.Double, null=True),
    _column("floor", sa.Double, null=True),
    _column("reason", sa.Text, null=True),
    _column("passed", sa.Boolean, null=True),
    _column("verdicts", _JSON),
    sa.CheckConstraint(_in("status", ("measured", "undefined", "failed", "absent")), name="status"),
    sa.PrimaryKeyConstraint("run_id", "key"),
)

run_artifacts = sa.Table(
    "run_artifacts", METADATA,
    _of_run(),
    _column("position", sa.Integer),
    _column("tenant", sa.Text),
    _column("key", sa.Text),
    _column("name", sa.Text),
    _column("media_type", sa.Text),
    _column("size", sa.BigInteger),
    _column("sha256", sa.String(64)),
    sa.PrimaryKeyConstraint("run_id", "position"),
    sa.Index("run_artifacts_key_idx", "key"),
)

api_keys = sa.Table(
    "api_keys", METADATA,
    _order(),
    _column("key_id", sa.String(32)),
    _column("tenant", sa.Text),
    _column("name", sa.Text),
    _column("prefix", sa.Text),
    _column("digest", sa.String(64)),
    _column("scopes", _JSON),
    _column("created_at", UtcTime),
    _column("expires_at", UtcTime, null=True),
    _column("revoked_at", UtcTime, null=True),
    _column("last_used_at", UtcTime, null=True),
    sa.UniqueConstraint("key_id"),
    sa.UniqueConstraint("digest"),
    sa.Index("api_keys_tenant_seq_idx", "tenant", "seq"),
    sqlite_autoincrement=True,
)

audit_log = sa.Table(
    "audit_log", METADATA,
    _order("number"),
    _column("at", UtcTime),
    _column("tenant", sa.Text),
    _column("actor", sa.Text),
    _column("action", sa.Text),
    _column("target", sa.Text),
    _column("detail", _JSON),
    sa.Index("audit_log_tenant_number_idx", "tenant", "number"),
    sqlite_autoincrement=True,
)
