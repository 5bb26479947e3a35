"""What Alembic runs. The connection, inside of a transaction, comes from `ledger_sql_schema.migrate`.

Without one, as in `supabase/generate.py`, the SQL for PostgreSQL is written down.
"""

from __future__ import annotations

from alembic import context

from synthloom.adapters.ledger_sql_tables import METADATA

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=METADATA, transactional_ddl=False, literal_binds=True)
else:
    context.configure(
        connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True,
    )
with context.begin_transaction():
    context.run_migrations()
