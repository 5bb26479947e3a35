"""API keys and the audit log in a database."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from synthloom.adapters import ledger_common as common
from synthloom.adapters.ledger_sql_engine import Database
from synthloom.adapters.ledger_sql_rows import all_rows, api_key, audit_entry, first_row
from synthloom.adapters.ledger_sql_tables import api_keys, audit_log
from synthloom.domain.errors import ConflictError
from synthloom.domain.records import ApiKey, AuditEntry


class SqlAccess:
    """An `AccessBook` on a database."""

    _database: Database

    def add_key(
        self, tenant: str, *, name: str, digest: str, prefix: str, scopes: Sequence[str], expires_at: datetime | None,
    ) -> ApiKey:
        """Keep a key's SHA-256 (hex), never the key.

        Raises:
            ConflictError: the same secret is kept already.
        """
        common.checked_name("tenant", tenant)

        def work(tx: Connection) -> ApiKey:
            row = {
                "key_id": secrets.token_hex(16), "tenant": tenant, "name": common.shown(name),
                "prefix": common.shown(prefix), "digest": digest, "scopes": list(scopes),
                "created_at": self._database.now(tx), "expires_at": expires_at,
            }
            made = tx.execute(self._database.insert_unless_there(api_keys, "digest"), row)
            if made.rowcount != 1:
                raise ConflictError("this key is kept already.", do="Make a new one.")
            return api_key(row | {"revoked_at": None, "last_used_at": None})

        return self._database.write(work)

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """The key of this digest if it is neither expired nor revoked; notes that it was used, once a minute."""
        if not common.keepable(digest):
            return None
        now = self._database.clock().label("now")
        asked = sa.select(api_keys, now).where(
            api_keys.c.digest == digest, api_keys.c.revoked_at.is_(None),
            sa.or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > self._database.clock()),
        )
        row = self._database.read(lambda tx: first_row(tx.execute(asked)))
        if row is None:
            return None
        before = row["now"] - timedelta(seconds=common.KEY_USED_EVERY)
        if row["last_used_at"] is not None and row["last_used_at"] > before:
            return api_key(row)
        used = {"last_used_at": row["now"]}
        noted = sa.update(api_keys).where(api_keys.c.seq == row["seq"]).values(**used)
        self._database.write(lambda tx: tx.execute(noted))
        return api_key(row | used)

    def keys(self, tenant: str) -> tuple[ApiKey, ...]:
        """A tenant's keys, in the order they were made."""
        asked = sa.select(api_keys).where(api_keys.c.tenant == common.shown(tenant)).order_by(api_keys.c.seq)
        return self._database.read(lambda tx: tuple(map(api_key, all_rows(tx.execute(asked)))))

    def revoke_key(self, tenant: str, key_id: str) -> ApiKey:
        """Revoke a key; one that is revoked stays as it is."""
        if not (common.keepable(tenant) and common.keepable(key_id)):
            raise common.no_such("key", key_id)
        own = sa.and_(api_keys.c.tenant == tenant, api_keys.c.key_id == key_id)

        def work(tx: Connection) -> ApiKey:
            row = first_row(tx.execute(sa.select(api_keys).where(own).with_for_update()))
            if row is None:
                raise common.no_such("key", key_id)
            if row["revoked_at"] is None:
                change = {"revoked_at": self._database.now(tx)}
                tx.execute(sa.update(api_keys).where(own).values(**change))
                row |= change
            return api_key(row)

        return self._database.write(work)

    def note(
        self, tenant: str, actor: str, action: str, target: str = "", detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry of the audit log."""
        row = {
            "tenant": common.checked_name("tenant", tenant), "actor": common.shown(actor),
            "action": common.shown(action), "target": common.shown(target), "detail": common.as_plain(detail or {}),
            "at": self._database.clock(),
        }
        made = sa.insert(audit_log).values(**row).inline()
        self._database.write(lambda tx: tx.execute(made))

    def audit(self, tenant: str, *, limit: int = 100, before: int | None = None) -> tuple[AuditEntry, ...]:
        """Entries, newest first, numbered below `before`."""
        asked = sa.select(audit_log).where(audit_log.c.tenant == common.shown(tenant))
        if before is not None:
            asked = asked.where(audit_log.c.number < before)
        asked = asked.order_by(audit_log.c.number.desc()).limit(common.checked_limit(limit))
        return self._database.read(lambda tx: tuple(map(audit_entry, all_rows(tx.execute(asked)))))
