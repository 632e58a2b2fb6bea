"""Watches for incidents that are new or changed, and sees to it that something comes of it.

The webhook names an incident; the poll asks Sentinel for all that changed since it last did. A hint
that was accepted is not kept anywhere: what a crash loses, the poll at the next start finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from ..domain.announcement import CLOSED, NEWS
from ..domain.incident import Incident, IncidentRef
from ..errors import CasemateError, IncidentNotFound, SentinelError, StoreError
from .announce import Announcements
from .deliver import Deliveries
from .desk import Desk
from .enrich import Budget, enrich, post

log = logging.getLogger(__name__)
T = TypeVar("T")

# Sentinel may show a change late; what is seen twice is announced once.
OVERLAP = timedelta(minutes=2)
LOOK_SECONDS = 1.0
AT_ONCE = 8
_LEASE, _POLL_AGAIN_SECONDS = timedelta(seconds=60), 60.0
_AGAIN_SECONDS = (2.0, 5.0, 15.0, 60.0)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Watch:
    """The background of announcing: `start` and `close`; `arrived` is for the webhook.

    `poll_seconds` is 0 for a poll at the start only. `mode` is ENRICH; `tasks_as_comment` is for
    `post`, `budget` for `suggest`.
    """

    def __init__(
        self,
        desk: Desk,
        announcements: Announcements,
        deliveries: Deliveries,
        owner: str,
        *,
        poll_seconds: float,
        mode: str,
        budget: Budget,
        tasks_as_comment: bool = False,
    ) -> None:
        self._desk = desk
        self._outbox = desk.outbox
        self._announcements = announcements
        self._deliveries = deliveries
        self._owner = owner
        self._poll_seconds = poll_seconds
        self._mode = mode
        self._budget = budget
        self._tasks_as_comment = tasks_as_comment
        # Each workspace has its own: one that hangs holds up no other.
        self._room = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(AT_ONCE))
        self._hinted: dict[IncidentRef, asyncio.Task[None]] = {}
        self._again = set[IncidentRef]()
        self._preparing: dict[IncidentRef, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._polled = [desk.at(name) for name in desk.workspaces] or [desk]
        # Since when incidents of a workspace are new, by its name.
        self._since = {each.workspace.name: desk.clock.now() for each in self._polled}
        self._now = desk.lease_time

    async def start(self) -> None:
        """Begin to poll and to deliver."""
        self._loops = [
            asyncio.create_task(self._deliver()),
            *(asyncio.create_task(self._poll(each)) for each in self._polled),
        ]

    async def close(self) -> None:
        """Stop; what is in the outbox stays there, and others may carry it."""
        tasks: list[asyncio.Task[None]] = [
            *self._loops,
            *self._hinted.values(),
            *self._preparing.values(),
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._deliveries.close()
        with contextlib.suppress(StoreError):
            await self._outbox.let_go(self._owner)

    async def arrived(self, ref: IncidentRef) -> None:
        """Look at an incident soon; repeats while that is under way are one more look after it."""
        if ref in self._hinted:
            self._again.add(ref)
            return
        task = asyncio.create_task(self._look_until_quiet(ref))
        self._hinted[ref] = task
        task.add_done_callback(lambda _: self._hinted.pop(ref, None))

    async def _look_until_quiet(self, ref: IncidentRef) -> None:
        await self._look_at(ref)
        while ref in self._again:
            self._again.discard(ref)
            await self._look_at(ref)

    async def _look_at(self, ref: IncidentRef) -> None:
        desk = self._desk.at(ref.workspace)
        for wait in (*_AGAIN_SECONDS, 0.0):
            try:
                async with self._room[ref.workspace]:
                    await self.noticed(await desk.incidents.get(ref.id))
                return
            except IncidentNotFound:
                await self._gone(ref)
                return
            except CasemateError as error:
                log.warning("an incident could not be looked at: %s", error.sentence)
                await self._desk.clock.sleep(wait)

    async def _gone(self, ref: IncidentRef) -> None:
        if await self._announcements.gone(ref):
            self._wake.set()

    async def noticed(self, incident: Incident) -> None:
        """Announce an incident as it is, and prepare it as the settings say."""
        changed = await self._announcements.notice(incident)
        if changed:
            self._wake.set()
        if incident.status == CLOSED or incident.merged_into or not self._is_new(incident):
            return
        if self._mode == "post" or (self._mode == "suggest" and changed):
            self._prepare(incident.ref)

    def _is_new(self, incident: Incident) -> bool:
        created, now = incident.created, self._desk.clock.now()
        since = self._since[incident.ref.workspace]
        return created is None or created >= max(since - OVERLAP, now - NEWS)

    # --- preparing ---------------------------------------------------------------------------

    def _prepare(self, ref: IncidentRef) -> None:
        if ref in self._preparing:
            return
        work = self._post if self._mode == "post" else self._suggest
        task = asyncio.create_task(self._quietly(work, ref))
        self._preparing[ref] = task
        task.add_done_callback(lambda _: self._preparing.pop(ref, None))

    async def _quietly(
        self, work: Callable[[IncidentRef], Awaitable[None]], ref: IncidentRef
    ) -> None:
        try:
            await work(ref)
        except CasemateError as error:
            log.warning("an incident is not prepared: %s", error.sentence)
        except Exception:
            log.exception("an incident is not prepared")

    async def _post(self, ref: IncidentRef) -> None:
        """Write the playbook's parts, once; what fails is tried again when it is seen again."""
        desk, key = self._desk.at(ref.workspace), f"posted/{ref.workspace}/{ref.id}"
        if await desk.store.kept(key) is not None:
            return
        enrichment = await enrich(desk, ref)
        refused = await post(desk, enrichment, tasks_as_comment=self._tasks_as_comment)
        await desk.store.keep(key, {"refused": list(refused)}, desk.clock.now())
        await self._announcements.notice(await desk.incidents.get(ref.id))
        self._wake.set()

    async def _suggest(self, ref: IncidentRef) -> None:
        """Prepare the parts for the card, as long as the hour's budget lasts."""
        desk = self._desk.at(ref.workspace)
        if await desk.store.proposal(desk.playbook_id(ref)) is not None:
            return
        # What comes in crowds is not prepared: let the crowd show itself first.
        await desk.clock.sleep(2 * LOOK_SECONDS)
        if len(self._preparing) > AT_ONCE or not self._budget.take(desk.clock.now()):
            return
        await enrich(desk, ref)
        await self._announcements.notice(await desk.incidents.get(ref.id))
        self._wake.set()

    # --- the loops ---------------------------------------------------------------------------

    async def _deliver(self) -> None:
        while True:
            await self._safely(self._deliveries.deliver, "announcements were not delivered")
            waking = asyncio.create_task(self._wake.wait())
            resting = asyncio.create_task(self._desk.clock.sleep(LOOK_SECONDS))
            try:
                await asyncio.wait({waking, resting}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waking.cancel()
                resting.cancel()
            self._wake.clear()

    async def _poll(self, desk: Desk) -> None:
        what = f"incidents of {desk.workspace.name} were not polled"
        while True:
            polled = await self._safely(lambda: self.reconcile(desk), what)
            if polled and not self._poll_seconds:
                return
            await self._desk.clock.sleep(self._poll_seconds or _POLL_AGAIN_SECONDS)

    async def _safely(self, work: Callable[[], Awaitable[T]], what: str) -> T | None:
        try:
            return await work()
        except CasemateError as error:
            log.warning("%s: %s", what, error.sentence)
        except Exception:
            log.exception("%s", what)
        return None

    async def reconcile(self, desk: Desk) -> bool:
        """Take in all of the desk's workspace that changed since the last poll of any replica.

        False while one polls.
        """
        store, now, workspace = desk.store, desk.clock.now(), desk.workspace.name
        name = f"poll/{workspace}"
        if not await self._outbox.lease(name, self._owner, self._now(), _LEASE):
            return False
        try:
            if kept := await store.kept(name):
                since = datetime.fromisoformat(kept["at"]) - OVERLAP
                # What came while nobody watched is new.
                self._since[workspace] = min(self._since[workspace], since)
                await self._changed_since(desk, since)
            await store.keep(name, {"at": now.isoformat()}, desk.clock.now())
            return True
        finally:
            await self._outbox.lease(name, self._owner, self._now(), timedelta(0))

    async def _changed_since(self, desk: Desk, since: datetime) -> None:
        more = ""
        while True:
            page = await desk.incidents.list(
                filter=f"properties/lastModifiedTimeUtc ge {since.strftime(_FORMAT)}",
                order="properties/lastModifiedTimeUtc asc",
                more=more,
            )
            for incident in page.incidents:
                try:
                    await self.noticed(incident)
                except SentinelError:  # one that cannot be read keeps nobody waiting
                    await self.arrived(incident.ref)
            if not (more := page.more):
                return
