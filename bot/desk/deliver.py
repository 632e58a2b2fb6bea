"""Carries what is in the outbox to its places: new cards, digests, and edits of both.

What was sent is kept once Teams took it. Teams knows no key by which it would recognise a message
sent again, and lets a bot not look for one: a process that is killed, a connection that breaks, or
a store that is away for longer than a lease, between the two, announces that one incident again. A
process that is told to stop has two seconds to finish.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from ..domain.announcement import GONE, Announcement, Subscription, line_of, line_state, with_line
from ..domain.incident import Incident, IncidentRef
from ..domain.people import Place
from ..errors import CasemateError, IncidentNotFound, SentinelError, Undelivered
from ..keeping import kept
from ..ports import Reply
from ..ports.outgoing import Carry, Herald
from .announce import Announcements, Shown, Wording
from .desk import Desk
from .pace import TENANT, THREAD, Pace

log = logging.getLogger(__name__)

# More than so many in a minute make a digest, once the first of them has waited so long.
MOST_CARDS = 10
MINUTE = timedelta(minutes=1)
GATHERING = timedelta(seconds=8)
IN_A_DIGEST = 40
AT_ONCE = 1_000
# A place stays with who sends there: two replicas taking turns would both have paced themselves.
LEASE = timedelta(seconds=12)
# A card rests between two edits; what changes meanwhile is shown together.
REST, DIGEST_REST = timedelta(seconds=5), timedelta(seconds=30)
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 120.0
UNREADABLE_SECONDS = 15.0
GRACE_SECONDS = 2.0


class Deliveries:
    """Sends and edits what is due; `owner` names this process's leases, `around` may measure."""

    def __init__(
        self,
        desk: Desk,
        announcements: Announcements,
        herald: Herald,
        wording: Wording,
        owner: str,
        around: Callable[[Carry], Carry] = lambda carry: carry,
    ) -> None:
        self._desk = desk
        self._carry = around(self._carried)
        self._outbox = desk.outbox
        self._announcements = announcements
        self._herald = herald
        self._wording = wording
        self._owner = owner
        self._tenant = Pace(desk.clock, TENANT)
        self._paces: dict[str, Pace] = {}
        # Places that took nothing: until when they are left alone, and for how long that was.
        self._resting: dict[str, tuple[float, float]] = {}
        self._unreadable: dict[IncidentRef, float] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        # Until when, in this process's monotonic seconds, a place cannot be another replica's.
        self._held: dict[str, float] = {}
        self._now = desk.lease_time
        self._closing = False

    async def deliver(self) -> None:
        """Begin to carry what is due, each place for itself. Raises StoreError."""
        waiting = set(await self._outbox.waiting(self._desk.clock.now()))
        for subscription in await self._outbox.subscriptions() if waiting else ():
            conversation = subscription.place.conversation
            if conversation in self._under_way:
                if self._holds(subscription.place):  # a slow send keeps its place
                    await self._lease(subscription.place)
            elif conversation in waiting and self._ready(subscription):
                task = asyncio.create_task(self._deliver_to(subscription))
                self._under_way[conversation] = task
                task.add_done_callback(lambda _, done=conversation: self._under_way.pop(done))

    async def close(self) -> None:
        """Finish what is being sent, begin nothing more, and let others take the places."""
        self._closing = True
        if under_way := list(self._under_way.values()):
            _, late = await asyncio.wait(under_way, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ready(self, subscription: Subscription) -> bool:
        until, _ = self._resting.get(subscription.place.conversation, (0.0, 0.0))
        return not subscription.retired and self._desk.clock.monotonic() >= until

    async def _deliver_to(self, subscription: Subscription) -> None:
        place = subscription.place
        try:
            if not await self._lease(place):
                return
            now = self._desk.clock.now()
            pending = await self._outbox.pending(place.conversation, now, AT_ONCE)
            pending = [each for each in pending if self._readable(each)]
            # What a workspace in trouble holds up comes last: it must not hold up the others'.
            troubled = {ref.workspace for ref in self._unreadable}
            pending.sort(key=lambda each: each.incident.workspace in troubled)
            if pending:
                await self._carry(place, pending)
            self._resting.pop(place.conversation, None)
        except Undelivered as error:
            if error.retire:
                await self._retire(subscription, error.sentence)
            else:
                self._put_off(place, error.sentence)
        except SentinelError as error:
            log.warning("an incident is announced later: %s", error.sentence)
        except CasemateError as error:
            self._put_off(place, error.sentence)
        except Exception:
            log.exception("announcements of one place")
            self._put_off(place, "something went wrong here")

    async def _carried(self, place: Place, pending: Sequence[Announcement]) -> None:
        await self._post(place, [each for each in pending if not each.activity])
        await self._edit(place, [each for each in pending if each.activity])

    async def _lease(self, place: Place) -> bool:
        conversation, until = place.conversation, self._desk.clock.monotonic()
        name = f"place/{conversation}"
        held = await self._outbox.lease(name, self._owner, self._now(), LEASE)
        self._held[conversation] = until + LEASE.total_seconds() if held else 0.0
        return held

    def _holds(self, place: Place) -> bool:
        return self._desk.clock.monotonic() < self._held.get(place.conversation, 0.0)

    def _put_off(self, place: Place, why: str) -> None:
        _, last = self._resting.get(place.conversation, (0.0, 0.0))
        pause = min(2 * last, LONGEST_PAUSE) or FIRST_PAUSE
        self._resting[place.conversation] = (self._desk.clock.monotonic() + pause, pause)
        log.warning("announcements wait %d s: %s", pause, why)

    async def _retire(self, subscription: Subscription, reason: str) -> None:
        log.warning("a place is retired: %s", reason)
        try:
            await self._outbox.subscribe(replace(subscription, retired=reason))
        except CasemateError as error:
            self._put_off(subscription.place, error.sentence)

    async def _may_send(self, place: Place) -> bool:
        """Take room for one message; without it the rest waits for the next look."""
        pace = self._paces.setdefault(place.conversation, Pace(self._desk.clock, THREAD))
        if self._closing or not pace.has_room or not self._tenant.has_room:
            return False
        pace.count()
        self._tenant.count()
        # Who lost a place and got it back does not know what was sent there in between.
        return self._holds(place) and await self._lease(place)

    # --- new ones ----------------------------------------------------------------------------

    async def _post(self, place: Place, new: Sequence[Announcement]) -> None:
        if not new:
            return
        now = self._desk.clock.now()
        lately = await self._outbox.posted_since(place.conversation, now - MINUTE)
        if len(new) + lately <= MOST_CARDS:
            for each in new:
                if not await self._post_one(place, each):
                    return
        elif now - min(each.seen for each in new) >= GATHERING:
            for start in range(0, len(new), IN_A_DIGEST):
                if not await self._post_digest(place, new[start : start + IN_A_DIGEST]):
                    return

    async def _post_one(self, place: Place, wanted: Announcement) -> bool:
        shown = await self._shown(place, wanted)
        if shown is None:  # deleted meanwhile
            await self._sent([replace(wanted, sent=GONE)], REST)
            return True
        if not await self._may_send(place):
            return False
        activity = await self._herald.post(place, shown.reply, lambda: self._holds(place))
        await self._sent([replace(wanted, sent=shown.state, activity=activity)], REST)
        if place.kind == "channel":
            # What is said in the thread that the card starts is about its incident.
            thread = f"{place.conversation};messageid={activity}"
            await self._focus(place, thread, wanted.incident)
        return True

    async def _focus(self, place: Place, thread: str, incident: IncidentRef) -> None:
        store, clock = self._desk.store, self._desk.clock
        await kept(lambda: store.set_focus(place.tenant, thread, "", incident, clock.now()), clock)

    async def _post_digest(self, place: Place, wanted: Sequence[Announcement]) -> bool:
        listed, told = await self._listed(wanted)
        activity = ""
        if listed:
            if not await self._may_send(place):
                return False
            reply = self._wording.several(self._desk, listed)
            activity = await self._herald.post(place, reply, lambda: self._holds(place))
        posted = [
            replace(each, activity="" if each.sent == GONE else activity, digest=True)
            for each in told
        ]
        await self._sent(posted, DIGEST_REST)
        return True

    # --- changed ones ------------------------------------------------------------------------

    async def _edit(self, place: Place, changed: Sequence[Announcement]) -> None:
        edited = set[str]()
        for each in changed:
            if each.activity in edited:
                continue
            edited.add(each.activity)
            edit = self._edit_digest if each.digest else self._edit_one
            if not await edit(place, each):
                return

    async def _edit_one(self, place: Place, each: Announcement) -> bool:
        shown = await self._shown(place, each) or Shown(self._wording.gone, GONE)
        if shown.state != each.sent and not await self._correct(place, each.activity, shown.reply):
            return False
        await self._sent([replace(each, sent=shown.state)], REST)
        return True

    async def _edit_digest(self, place: Place, each: Announcement) -> bool:
        before = await self._outbox.carried(place.conversation, each.activity)
        if all(line_state(one.wanted) == line_state(one.sent) for one in before):
            told = [replace(one, sent=one.wanted) for one in before]
        else:
            listed, told = await self._listed(before)
            reply = self._wording.several(self._desk, listed) if listed else self._wording.gone
            if not await self._correct(place, each.activity, reply):
                return False
        await self._sent(told, DIGEST_REST)
        return True

    async def _correct(self, place: Place, activity: str, reply: Reply) -> bool:
        if not await self._may_send(place):
            return False
        try:
            await self._herald.edit(place, activity, reply, lambda: self._holds(place))
        except Undelivered as error:
            if error.status != 404:
                raise
            log.info("a message was deleted by somebody: it is not edited any more")
        return True

    async def _sent(self, shown: Sequence[Announcement], rest: timedelta) -> None:
        clock = self._desk.clock
        await kept(lambda: self._outbox.sent(shown, clock.now(), rest), clock)

    # --- what is said ------------------------------------------------------------------------

    async def _shown(self, place: Place, each: Announcement) -> Shown | None:
        """An incident's card with what was prepared for it; None where it is gone."""
        try:
            return await self._wording.one(self._desk, each.incident, place)
        except IncidentNotFound:
            return None
        except SentinelError:
            self._leave(each)
            raise

    async def _listed(
        self, wanted: Sequence[Announcement]
    ) -> tuple[list[Incident], list[Announcement]]:
        """The incidents of a digest, and what it then shows of each."""
        listed: list[Incident] = []
        told: list[Announcement] = []
        for each in wanted:
            try:
                incident = await self._announcements.incident(each)
            except IncidentNotFound:
                told.append(replace(each, sent=GONE))
            except SentinelError:
                self._leave(each)
                raise
            else:
                listed.append(incident)
                told.append(replace(each, sent=with_line(each.wanted, line_of(incident))))
        return listed, told

    def _leave(self, each: Announcement) -> None:
        """One incident that cannot be read must not keep the others waiting."""
        self._unreadable[each.incident] = self._desk.clock.monotonic() + UNREADABLE_SECONDS

    def _readable(self, each: Announcement) -> bool:
        if self._unreadable.get(each.incident, 0.0) > self._desk.clock.monotonic():
            return False
        self._unreadable.pop(each.incident, None)
        return True
