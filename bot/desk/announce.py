"""Tells the places that asked for it of new incidents, and keeps what it told them up to date.

A webhook's call and a poll are hints: the incident is read again. What a place is to show is kept
in the store first and carried there afterwards, so that any mixture of repeats, polls and replicas
announces once, and a crash loses nothing. Between Teams taking a message and the store keeping its
id nothing can be told apart: a crash just there announces that one incident again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from ..domain.announcement import CLOSED, Announcement, Subscription, reaches, state_of
from ..domain.incident import Incident, IncidentRef
from ..domain.people import Place
from ..domain.proposal import playbook_id
from ..errors import CasemateError, IncidentNotFound, Undelivered
from ..ports import Reply
from ..ports.outgoing import Herald
from .desk import Desk
from .pace import TENANT, THREAD, Pace

log = logging.getLogger(__name__)

# More than so many in a minute make a digest, once the first of them has waited so long.
MOST_CARDS = 10
MINUTE = timedelta(minutes=1)
GATHERING = timedelta(seconds=8)
IN_A_DIGEST = 40
AT_ONCE = 1_000
LEASE = timedelta(seconds=30)
# A card rests between two edits; what changes meanwhile is shown together.
REST, DIGEST_REST = timedelta(seconds=5), timedelta(seconds=30)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
# A place hears of what was created a moment before it asked, too.
BEFORE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Wording:
    """How an incident is announced, and several at once. `one` raises SentinelError."""

    one: Callable[[Desk, IncidentRef, Place], Awaitable[Reply]]
    several: Callable[[Desk, Sequence[Incident]], Reply]


class Announcements:
    """What is noticed goes into the outbox; what is in the outbox goes to its places.

    `owner` names this process's leases.
    """

    def __init__(self, desk: Desk, herald: Herald, wording: Wording, owner: str) -> None:
        self._desk = desk
        self._wording = wording
        self._outbox = desk.outbox
        self._herald = herald
        self._owner = owner
        self._tenant = Pace(desk.clock, TENANT)
        self._paces: dict[str, Pace] = {}
        self._pauses: dict[str, timedelta] = {}

    async def notice(self, incident: Incident) -> bool:
        """Take in how an incident is now; True where something is to be sent for it.

        Raises SentinelError and StoreError.
        """
        known = await self._outbox.announced(incident.ref)
        places: list[str] = []
        if incident.status != CLOSED:
            places = [
                each.place.conversation
                for each in await self._outbox.subscriptions()
                if _hears(each, incident)
            ]
        if not known and not places:
            return False
        tasks = len(await self._desk.incidents.tasks(incident.ref.id)) if known else 0
        state = state_of(incident, tasks, await self._prepared(incident.ref))
        return await self._outbox.notice(incident.ref, state, places, self._desk.clock.now())

    async def _prepared(self, ref: IncidentRef) -> str:
        """Name what the card shows of the playbook."""
        store = self._desk.store
        if await store.proposal(playbook_id(ref)) is None:
            return ""
        done = [write for write in await store.writes(playbook_id(ref)) if write.done]
        return f"playbook {len(done)}"

    async def deliver(self) -> None:
        """Send and edit what is due, each place for itself; what fails is put off."""
        now = self._desk.clock.now()
        waiting = await self._outbox.waiting(now)
        known = {each.place.conversation: each for each in await self._outbox.subscriptions()}
        work: list[Coroutine[Any, Any, None]] = []
        for conversation in waiting:
            subscription = known.get(conversation)
            if subscription is not None and not subscription.retired:
                work.append(self._deliver_to(subscription))
        await asyncio.gather(*work)

    async def _deliver_to(self, subscription: Subscription) -> None:
        place, clock = subscription.place, self._desk.clock
        if not await self._lease(place):
            return
        try:
            pending = await self._outbox.pending(place.conversation, clock.now(), AT_ONCE)
            new = [each for each in pending if not each.activity]
            await self._post(place, new)
            await self._edit(place, [each for each in pending if each.activity])
            self._pauses.pop(place.conversation, None)
        except Undelivered as error:
            if error.retire:
                log.warning("a place is retired: %s", error.sentence)
                await self._retire(subscription, error.sentence)
            else:
                await self._put_off(place, error)
        except CasemateError as error:
            await self._put_off(place, error)
        finally:
            await self._lease(place, timedelta(0))

    async def _lease(self, place: Place, span: timedelta = LEASE) -> bool:
        now = self._desk.clock.now()
        return await self._outbox.lease(f"place/{place.conversation}", self._owner, now, span)

    async def _put_off(self, place: Place, error: CasemateError) -> None:
        pause = self._pauses.get(place.conversation, FIRST_PAUSE)
        self._pauses[place.conversation] = min(2 * pause, LONGEST_PAUSE)
        log.warning("announcements wait %d s: %s", pause.total_seconds(), error.sentence)
        await self._outbox.put_off(place.conversation, self._desk.clock.now() + pause)

    async def _retire(self, subscription: Subscription, reason: str) -> None:
        await self._outbox.subscribe(replace(subscription, retired=reason))

    # --- new ones ----------------------------------------------------------------------------

    async def _post(self, place: Place, new: Sequence[Announcement]) -> None:
        if not new:
            return
        now = self._desk.clock.now()
        lately = await self._outbox.posted_since(place.conversation, now - MINUTE)
        if len(new) + lately <= MOST_CARDS:
            for each in new:
                await self._post_one(place, each)
            return
        if now - min(each.seen for each in new) < GATHERING:
            return
        for start in range(0, len(new), IN_A_DIGEST):
            await self._post_digest(place, new[start : start + IN_A_DIGEST])

    async def _post_one(self, place: Place, wanted: Announcement) -> None:
        reply = await self._reply(place, wanted.incident)
        if reply is None:  # deleted meanwhile
            await self._sent(place, {wanted.incident: wanted.wanted}, "gone")
            return
        activity = await self._carry(place, reply)
        await self._sent(place, {wanted.incident: wanted.wanted}, activity, rest=REST)
        if place.kind == "channel":
            # What is said in the thread that the card starts is about its incident.
            await self._desk.store.set_focus(
                place.tenant,
                f"{place.conversation};messageid={activity}",
                "",
                wanted.incident,
                self._desk.clock.now(),
            )

    async def _post_digest(self, place: Place, wanted: Sequence[Announcement]) -> None:
        incidents = await self._incidents(wanted)
        activity = "gone"
        if incidents:
            activity = await self._carry(place, self._wording.several(self._desk, incidents))
        shown = {each.incident: each.wanted for each in wanted}
        await self._sent(place, shown, activity, digest=True, rest=DIGEST_REST)

    # --- changed ones ------------------------------------------------------------------------

    async def _edit(self, place: Place, changed: Sequence[Announcement]) -> None:
        edited = set[str]()
        for each in changed:
            if each.activity in edited:
                continue
            edited.add(each.activity)
            if each.digest:
                told = await self._outbox.carried(place.conversation, each.activity)
                incidents = await self._incidents(told)
                reply = self._wording.several(self._desk, incidents) if incidents else None
                rest = DIGEST_REST
            else:
                told, rest = (each,), REST
                reply = await self._reply(place, each.incident)
            if reply is not None and each.activity != "gone":
                await self._correct(place, each.activity, reply)
            shown = {one.incident: one.wanted for one in told}
            await self._sent(place, shown, each.activity, digest=each.digest, rest=rest)

    async def _correct(self, place: Place, activity: str, reply: Reply) -> None:
        await self._paced(place)
        try:
            await self._herald.edit(place, activity, reply)
        except Undelivered as error:
            if error.status != 404:
                raise
            log.info("a message was deleted by somebody: it is not edited any more")

    # --- what is said ------------------------------------------------------------------------

    async def _reply(self, place: Place, ref: IncidentRef) -> Reply | None:
        """An incident's card with what was prepared for it; None where it is gone."""
        try:
            return await self._wording.one(self._desk, ref, place)
        except IncidentNotFound:
            return None

    async def _incidents(self, wanted: Sequence[Announcement]) -> tuple[Incident, ...]:
        found: list[Incident] = []
        for each in wanted:
            try:
                found.append(await self._desk.incidents.get(each.incident.id))
            except IncidentNotFound:
                continue
        return tuple(found)

    async def _carry(self, place: Place, reply: Reply) -> str:
        await self._paced(place)
        return await self._herald.post(place, reply)

    async def _paced(self, place: Place) -> None:
        pace = self._paces.setdefault(place.conversation, Pace(self._desk.clock, THREAD))
        await pace.wait()
        await self._tenant.wait()
        await self._lease(place)

    async def _sent(
        self,
        place: Place,
        shown: Mapping[IncidentRef, str],
        activity: str,
        *,
        digest: bool = False,
        rest: timedelta = timedelta(0),
    ) -> None:
        await self._outbox.sent(
            place.conversation, shown, activity, self._desk.clock.now(), digest=digest, rest=rest
        )


def _hears(subscription: Subscription, incident: Incident) -> bool:
    created = incident.created or subscription.since
    return (
        not subscription.retired
        and reaches(incident.severity, subscription.floor)
        and created >= subscription.since - BEFORE
    )
