"""What Alembic runs. The connection, inside of a transaction, comes from `ledger_sql_schema.migrate`."""

from __future__ import annotations

from alembic import context

from synthloom.adapters.ledger_sql_tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
