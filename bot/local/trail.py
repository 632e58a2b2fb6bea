"""The audit of a SQLite store, to be written and read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from ..domain.chain import Ends, Link
from ..domain.incident import IncidentRef
from ..errors import StoreError
from ..ports import AuditItem, JsonObject
from ..records import audit_item_of, decoded
from . import chain
from .database import Database
from .times import micros


class SqliteTrail:
    """The `Trail` of a SQLite store. The columns beside an item are for finding it: the chain is
    over the item alone.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def record(self, item: AuditItem) -> None:
        """Append one line to the audit."""
        await self._db.transaction(lambda db: chain.append(db, item))

    async def audit(
        self, incident: IncidentRef, limit: int, after: datetime | None = None
    ) -> tuple[AuditItem, ...]:
        """The newest `limit` items on an incident, or of those `after` a time, oldest first."""
        rows = await self._db.rows(
            "SELECT item FROM audit WHERE workspace = ? AND incident = ? AND at > ?"
            " ORDER BY at DESC, seq DESC LIMIT ?",
            incident.workspace,
            incident.id,
            micros(after) if after else -1,
            limit,
        )
        return tuple(audit_item_of(decoded(item)) for (item,) in reversed(rows))

    async def links(self, after: int, limit: int) -> tuple[Link, ...]:
        """The first `limit` links whose number is above `after`, in order."""
        rows = await self._db.rows(
            "SELECT seq, previous, hash, item FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
            after,
            limit,
        )
        return tuple(
            Link(seq, previous, hash, _legible(item)) for seq, previous, hash, item in rows
        )

    async def ends(self) -> Ends:
        """Where the chain begins and ends, as kept apart from its items."""
        return await self._db.transaction(chain.ends)

    async def sweep_audit(self, before: datetime) -> None:
        """Delete the oldest items up to the first from `before` or later, and keep the anchor."""
        await self._db.transaction(lambda db: chain.sweep(db, before))


def _legible(item: bytes) -> JsonObject:
    try:
        fields: Any = decoded(item)
    except StoreError:
        return {}
    return cast(JsonObject, fields) if isinstance(fields, dict) else {}
