"""Accept, acknowledge, then work: each activity once, in order, whatever dies in between.

An activity becomes a claim in the store before it is acknowledged. One process at a time works on
a conversation's claims: it leases the oldest, works, finishes, takes the next. A lease that nobody
renews (its process died) is taken over by whoever watched it long enough. A process that was
stopped and goes on knows by its own clock that its leases may be lost, and says nothing any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ..domain.lease import steady
from ..errors import CasemateError, StoreError, TooBusy
from ..journal import about
from ..keeping import kept
from ..ports import Claim, Clock, JsonObject, Store

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Claim], Awaitable[JsonObject | None]]

LEASE = timedelta(seconds=9)
LOOK_SECONDS = 2.0
# Every other look: a renewal costs Cosmos DB more than anything else of a turn. One may fail.
RENEW_SECONDS = 3.5
# What was tried so often, and for so long, is answered with a sentence, and after as long again not
# at all. An answer that is there waits two hours for Teams.
MAX_ATTEMPTS, PATIENCE = 5, timedelta(minutes=5)
LAST, LAST_WITH_ANSWER = 2, 24
PUT_OFF_SECONDS, MOST_DOUBLINGS = 3.0, 3
AT_ONCE = 256  # mostly waiting for the model
MOST_WAITING = 2_000
GRACE_SECONDS = 7.0
CANCEL_SECONDS = 1.5


def hopeless(claim: Claim, now: datetime, times: int = 1) -> bool:
    """Say whether a claim was tried `times` times as often, and for as long, as makes sense."""
    tried_enough = claim.attempts > times * MAX_ATTEMPTS
    return tried_enough and now - claim.accepted > times * PATIENCE


class Turns:
    """The queue of accepted activities; `work` does one and says what is to be left of it.

    Where it is to be done again later, `work` says None.
    `owner` names this process's leases and is new at every start.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        work: Work,
        *,
        owner: str,
        at_once: int = AT_ONCE,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._owner = owner
        self._store = store
        self._clock = clock
        self._work = work
        self._room = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0
        self._active: dict[str, asyncio.Task[None]] = {}
        self._invokes: set[asyncio.Task[Any]] = set()
        self._again: set[str] = set()
        self._put_off: dict[str, float] = {}
        # Until when, in this process's monotonic seconds, nobody can have taken over a claim.
        self._held: dict[str, float] = {}
        self._renewed = float("-inf")
        self._now = steady(clock.now, clock.monotonic)
        self._timer: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to look for claims that nobody works on, now and on a timer."""
        self._timer = asyncio.create_task(self._look_after())

    async def accept(self, claim: Claim) -> None:
        """Keep an activity and see to it that it is worked on; a repeat changes nothing.

        Raises TooBusy, and StoreError where it could not be kept.
        """
        if self._stopping or self._waiting >= self._most_waiting:
            raise TooBusy("Casemate is busy. Please try again in a few seconds.")
        self._waiting += 1
        try:
            new = await self._store.accept(claim)
        except BaseException:
            self._waiting -= 1
            raise
        if new:
            self._wake(claim.conversation)
        else:
            self._waiting -= 1

    async def look(self) -> None:
        """Take up what nobody holds. Raises StoreError."""
        for conversation in await self._store.waiting(self._now(), LEASE):
            self._wake(conversation)

    def holds(self, key: str) -> bool:
        """Say whether a claim is surely still ours, so that something may be said for it."""
        return self._clock.monotonic() < self._held.get(key, float("-inf"))

    async def at_once(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what Teams waits for and no queue may hold, an invoke; a stop waits for it as well."""
        task = asyncio.create_task(work)
        self._invokes.add(task)
        task.add_done_callback(self._invokes.discard)
        return await task

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Finish what is under way within `grace` seconds, and hand back the rest."""
        if self._stopping:
            return
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if tasks := [*self._active.values(), *self._invokes]:
            with contextlib.suppress(StoreError):  # nobody is to take over within the grace
                await self._renew()
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CANCEL_SECONDS)
        with contextlib.suppress(StoreError):
            await self._store.release(self._owner)

    def _wake(self, conversation: str) -> None:
        if conversation in self._active:
            self._again.add(conversation)
            return
        task = asyncio.create_task(self._drain(conversation))
        self._active[conversation] = task

    async def _drain(self, conversation: str) -> None:
        try:
            async with self._room:
                while not self._stopping:
                    self._again.discard(conversation)
                    end = self._clock.monotonic() + LEASE.total_seconds()
                    claim = await self._store.take(conversation, self._owner, self._now(), LEASE)
                    if claim is not None:
                        self._held[claim.key] = end
                        with about(claim.key):
                            done = await self._do(claim)
                        if not done:
                            break
                    elif conversation not in self._again:
                        break
        except StoreError as error:
            # What was accepted stays in the store, and the timer finds it there.
            log.warning("the store does not answer: %s", error.sentence)
        finally:
            self._active.pop(conversation, None)
            if conversation in self._again and not self._stopping:
                self._again.discard(conversation)
                self._wake(conversation)

    async def _do(self, claim: Claim) -> bool:
        """Work on one claim; False puts it, and with it its conversation, off for a while."""
        self._put_off.pop(claim.key, None)
        try:
            last = LAST_WITH_ANSWER if claim.progress.get("reply") else LAST
            if hopeless(claim, self._clock.now(), last):
                log.error("gave up on an activity, attempt %d: %s", claim.attempts, claim.key)
                left = None
            elif (left := await self._work(claim)) is None:
                return self._later(claim)
            await kept(lambda: self._finish(claim.key, left), self._clock)
        except CasemateError as error:
            log.warning("a turn was put off: %s", error.sentence)
            return self._later(claim)
        except Exception:
            log.exception("a turn was put off")
            return self._later(claim)
        self._held.pop(claim.key, None)
        self._waiting = max(0, self._waiting - 1)
        return True

    async def _finish(self, key: str, left: JsonObject | None) -> bool:
        return await self._store.finish(key, self._owner, self._clock.now(), left)

    def _later(self, claim: Claim) -> bool:
        """Keep the lease, so that nobody else hurries, until the timer hands the claim back."""
        wait = PUT_OFF_SECONDS * 2 ** min(claim.attempts - 1, MOST_DOUBLINGS)
        self._put_off[claim.key] = self._clock.monotonic() + wait
        return False

    async def _renew(self) -> None:
        began = self._clock.monotonic()
        before = set(self._held)
        kept = await self._store.renew(self._owner, self._now(), LEASE)
        for lost in before.difference(kept):
            self._held.pop(lost, None)
        self._held |= dict.fromkeys(kept, began + LEASE.total_seconds())
        self._renewed = began

    async def _look_after(self) -> None:
        """Renew the leases held here, and take up what nobody holds."""
        while True:
            try:
                for key, due in list(self._put_off.items()):
                    if due <= self._clock.monotonic():
                        await self._store.release(self._owner, key)
                        self._put_off.pop(key, None)
                due = self._clock.monotonic() - self._renewed >= RENEW_SECONDS
                if due and (self._active or self._put_off):
                    await self._renew()
                await self.look()
                self._waiting = await self._store.backlog()
            except StoreError as error:
                log.warning("the store does not answer: %s", error.sentence)
            await self._clock.sleep(LOOK_SECONDS)
