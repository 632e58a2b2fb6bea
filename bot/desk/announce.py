"""Takes in which incidents are new or changed, and which places are to show it.

A webhook's call and a poll are hints: the incident is read again. What a place is to show is kept
in the store first and carried there afterwards (`deliver`), so that any mixture of repeats, polls
and replicas announces once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..domain.announcement import (
    CLOSED,
    GONE,
    NEWS,
    Announcement,
    Subscription,
    line_of,
    line_state,
    reaches,
    state_of,
)
from ..domain.incident import Incident, IncidentRef
from ..domain.people import Place
from ..domain.proposal import Proposal, Write
from ..domain.recent import Recent
from ..ports import Reply
from .desk import Desk

# A place hears of what was created a moment before it asked, too.
BEFORE = timedelta(minutes=5)
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A message, and the state of the incident that it shows."""

    reply: Reply
    state: str


@dataclass(frozen=True, slots=True)
class Wording:
    """How an incident is announced, several at once, and one that is gone.

    `one` raises SentinelError.
    """

    one: Callable[[Desk, IncidentRef, Place], Awaitable[Shown]]
    several: Callable[[Desk, Sequence[Incident]], Reply]
    gone: Reply


class Announcements:
    """Where what is noticed goes into the outbox."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._noticed = Recent[IncidentRef, Incident](_REMEMBERED)

    async def notice(self, incident: Incident) -> bool:
        """Take in how an incident is now; True where something is to be sent for it.

        Raises SentinelError and StoreError.
        """
        outbox, now = self._desk.outbox, self._desk.clock.now()
        self._noticed[incident.ref] = incident
        known = await outbox.announced(incident.ref)
        places: list[str] = []
        if incident.status != CLOSED and not incident.merged_into:
            places = [
                each.place.conversation
                for each in await outbox.subscriptions()
                if _hears(each, incident, now)
            ]
        if not known and not places:
            return False
        desk = self._desk.at(incident.ref.workspace)
        tasks = len(await desk.incidents.tasks(incident.ref.id)) if known else 0
        state = state_of(incident, tasks, prepared_state(await prepared_for(desk, incident.ref)))
        return await outbox.notice(incident.ref, state, places, now)

    async def gone(self, ref: IncidentRef) -> bool:
        """Take in that an incident is no longer there; True where a message is to say so."""
        self._noticed.pop(ref, None)
        return await self._desk.outbox.notice(ref, GONE, (), self._desk.clock.now())

    async def incident(self, each: Announcement) -> Incident:
        """The incident as a digest's line is to show it; read again only where it may differ.

        A storm for several places would else read each of its incidents once for each of them.
        Raises SentinelError.
        """
        known = self._noticed.get(each.incident)
        if known is not None and line_of(known) == line_state(each.wanted):
            return known
        desk = self._desk.at(each.incident.workspace)
        return await desk.incidents.get(each.incident.id)


Prepared = tuple[Proposal | None, tuple[Write, ...]]


async def prepared_for(desk: Desk, ref: IncidentRef) -> Prepared:
    """What the playbook prepared for an incident, and what of it was put there."""
    id = desk.playbook_id(ref)
    prepared = await desk.store.proposal(id)
    return prepared, await desk.store.writes(id) if prepared else ()


def prepared_state(prepared: Prepared) -> str:
    """Name what the card shows of the playbook."""
    proposal, writes = prepared
    return f"playbook {sum(write.done for write in writes)}" if proposal else ""


def _hears(subscription: Subscription, incident: Incident, now: datetime) -> bool:
    created = incident.created or now
    return (
        not subscription.retired
        and subscription.workspace in ("", incident.ref.workspace)
        and reaches(incident.severity, subscription.floor)
        and created >= max(subscription.since - BEFORE, now - NEWS)
    )
