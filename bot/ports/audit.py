"""The record of who did what to which incident: append-only, and chained so that a gap shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ..domain.chain import Ends, Link
from ..domain.incident import IncidentRef


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One line of the record: who did what to which incident, when; never secrets.

    `detail` holds what JSON has the same way everywhere: texts, whole numbers, booleans, lists.
    `incident_number` is 0 where it was not known.
    """

    at: datetime
    tenant: str
    action: str
    analyst_id: str = ""
    analyst_name: str = ""
    incident: IncidentRef | None = None
    detail: dict[str, Any] = field(default_factory=dict[str, Any])
    incident_number: int = 0


class Trail(Protocol):
    """The audit's part of a store: one chain (`domain.chain`) for all that the store holds.

    One chain and not one per tenant: then it also shows that a whole tenant's items are gone. With
    several replicas on one store, reading the head and appending behind it are one transaction.

    Where items cannot share a transaction with what they are about (Cosmos DB: another partition),
    the item is first kept pending beside it, in its transaction, under an id of its own. Whoever
    finds it appends it to the chain's own partition with `str(seq)` as the document's id: of two
    replicas that append at once, one is told 409, reads the head anew and tries the next number. An
    appended item keeps its pending id, so that a crash before the pending one is deleted appends
    nothing twice. The head is replaced in the same batch as the append, with its ETag.
    """

    async def record(self, item: AuditItem) -> None:
        """Append an item."""
        ...

    async def audit(
        self, incident: IncidentRef, limit: int, after: datetime | None = None
    ) -> tuple[AuditItem, ...]:
        """The newest `limit` items on an incident, or of those `after` a time, oldest first."""
        ...

    async def links(self, after: int, limit: int) -> tuple[Link, ...]:
        """The first `limit` links whose number is above `after`, in order, as they are kept.

        An item that somebody made illegible is empty: its hash then does not hold.
        """
        ...

    async def ends(self) -> Ends:
        """Where the chain begins and ends, as kept apart from its items."""
        ...

    async def sweep_audit(self, before: datetime) -> None:
        """Delete the oldest items up to the first from `before` or later, and keep the anchor."""
        ...
