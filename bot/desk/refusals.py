"""Records clicks that were refused, without letting whoever sends many fill the store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from ..domain.proposal import Proposal, named_by
from ..errors import ClickRefused, StoreError
from ..ports import AuditItem, Clicked
from .desk import Desk

log = logging.getLogger(__name__)

# In a minute, by one analyst and by all together; what is more is counted, not kept.
MOST_EACH, MOST = 10, 60
_MINUTE = timedelta(minutes=1)


class Refusals:
    """Keeps count of a minute's refusals, each process for itself."""

    def __init__(self) -> None:
        self._minute: datetime | None = None
        self._kept: Counter[str] = Counter()
        self._unrecorded = 0

    @asynccontextmanager
    async def recorded(self, desk: Desk, clicked: Clicked) -> AsyncGenerator[None]:
        """Record the refusal that comes out of a click, if one does; it goes on to the analyst.

        What was only typed or chosen wrong has no reason, and is nothing to record.
        """
        try:
            yield
        except ClickRefused as error:
            if error.reason:
                await self.record(desk, clicked, error.reason)
            raise

    async def record(self, desk: Desk, clicked: Clicked, reason: str) -> None:
        """Record that a click did nothing, and why, unless there were too many this minute."""
        if not self._room(clicked):
            self._unrecorded += 1
            return
        try:
            button = clicked.data.get("proposal")
            named = named_by(button) if isinstance(button, str) and len(button) <= 200 else ""
            proposal = await desk.store.proposal(named) if named else None
            await desk.store.record(_item(clicked, reason, named, proposal, self._unrecorded))
            self._unrecorded = 0
        except StoreError as error:
            log.warning("a refused click is not recorded: %s", error.sentence)

    def _room(self, clicked: Clicked) -> bool:
        if self._minute is None or clicked.at - self._minute >= _MINUTE:
            self._minute = clicked.at
            self._kept.clear()
        if self._kept[clicked.analyst.id] >= MOST_EACH or self._kept.total() >= MOST:
            return False
        self._kept[clicked.analyst.id] += 1
        return True


def _item(
    clicked: Clicked, reason: str, named: str, proposal: Proposal | None, unrecorded: int
) -> AuditItem:
    return AuditItem(
        at=clicked.at,
        tenant=clicked.analyst.tenant,
        action="refused click",
        analyst_id=clicked.analyst.id,
        analyst_name=clicked.analyst.name,
        incident=proposal.incident if proposal else None,
        incident_number=proposal.incident_number if proposal else 0,
        detail={
            "reason": reason,
            "verb": str(clicked.data.get("verb"))[:20],
            "proposal": named,
            "conversation": clicked.place.conversation[:200],
            # How many before it were not kept.
            "unrecorded": unrecorded,
        },
    )
