"""Alembic migrations of a ledger's database; `SqlLedger.migrate()` runs them."""
