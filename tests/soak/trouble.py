"""Takes replicas away, and lets services, disks and clocks fail, as the seed has it."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import ClientSession

from tests import faults
from tests.soak.analysts import Soak
from tests.soak.replica import Replica
from tests.soak.verdict import Witness

EVERY = 20.0
DISK = ("disk full", "locked", "read-only", "torn log")


class Trouble:
    """All that goes wrong; `step` is how long a plan lasts, in seconds."""

    def __init__(self, soak: Soak, witness: Witness, http: ClientSession, step: float) -> None:
        self._soak, self._witness, self._http, self._step = soak, witness, http, step
        self._around, self._random = soak.around, soak.random
        self._ending = asyncio.Lock()
        self.counts = soak.counts
        self.ended = {"killed": 0, "stopped": 0, "paused": 0}
        plans = ("clock",) if self._around.cosmos else ("clock", *DISK)
        self.struck = dict.fromkeys(plans, 0)

    async def kill(self) -> None:
        """Every 20 seconds one replica is killed."""
        async for _ in _every(EVERY):
            async with self._ending:
                await self._restart(self._anyone(), signal.SIGKILL)
            self.ended["killed"] += 1

    async def stop(self) -> None:
        """In between, one is stopped as an operator does it, or paused beyond its leases."""
        async for n in _every(1.7 * EVERY):
            async with self._ending:
                replica = self._anyone()
                if n % 2:
                    await self._restart(replica, signal.SIGTERM)
                    self.ended["stopped"] += 1
                    continue
                replica.send(signal.SIGSTOP)
            await asyncio.sleep(1.0)  # what it had sent has arrived
            self._witness.look()
            await asyncio.sleep(self._random.uniform(12, 16))
            replica.send(signal.SIGCONT)
            self.ended["paused"] += 1

    def _anyone(self) -> Replica:
        running = [each for each in self._soak.replicas if each.alive and not each.paused]
        return self._random.choice(running)

    async def _restart(self, replica: Replica, number: signal.Signals) -> None:
        await replica.end(number)
        await self._look()
        await self._start(replica)

    async def _start(self, replica: Replica) -> None:
        """Start it until it serves, as a platform does: it ends where it cannot reach its store."""
        while (code := await replica.start(self._http)) is not None:
            self.counts[f"start that ended with {code}"] += 1
            await asyncio.sleep(1.0)

    async def _look(self) -> None:
        """Look at what a dead replica left: also at what was still on its way to Teams."""
        for wait in (0.0, 0.3, 0.7):
            await asyncio.sleep(wait)
            self._witness.look()

    async def fail_service(self, name: str) -> None:
        """One plan after the other, over and over, with a rest in between.

        Each lasts until it struck: of some services little is asked.
        """
        faulty, dice = self._around.faults[name], random.Random(self._random.random())
        kinds = dice.sample(faults.KINDS, len(faults.KINDS))
        for kind in itertools.cycle(kinds):
            await asyncio.sleep(dice.uniform(0.5, 1.5) * self._step)
            before = faulty.struck.get(kind, 0)
            faulty.kind, faulty.share = kind, dice.choice((0.1, 0.3, 0.6))
            await asyncio.sleep(self._step)
            faulty.share = faulty.share if faulty.struck.get(kind) else 1.0
            while faulty.struck.get(kind, 0) == before:  # noqa: ASYNC110 - what is asked, sets no event
                await asyncio.sleep(0.1)
            faulty.kind = ""

    def strikes(self) -> dict[str, dict[str, int]]:
        """How often each plan struck, by what it struck."""
        services = {
            name: {kind: faulty.struck.get(kind, 0) for kind in faults.KINDS}
            for name, faulty in self._around.faults.items()
        }
        return {**services, "a machine": self.struck, "a replica": self.ended}

    async def all_struck(self, seconds: float) -> None:
        """Wait that long, and then until every plan has struck everything that it can."""
        await asyncio.sleep(seconds)
        while not all(all(each.values()) for each in self.strikes().values()):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.5)

    async def fail_machine(self) -> None:
        """The disk, where there is one, and the clocks, in turn."""
        for kind in itertools.cycle(self._random.sample(list(self.struck), len(self.struck))):
            await asyncio.sleep(2 * self._step)
            if kind == "clock":
                async with self._ending:  # who just starts would die of it
                    self._anyone().send(signal.SIGUSR1)
            else:
                await self._fail_disk(kind)
            self.struck[kind] += 1

    async def _fail_disk(self, kind: str) -> None:
        path = self._around.database
        if kind == "locked":
            with suppress(sqlite3.OperationalError):  # a paused replica holds it already
                async with faults.locked(path):
                    await asyncio.sleep(self._step)
            return
        if kind == "disk full":
            async with self._ending:
                pid = self._anyone().pid
            with faults.disk_full(pid):
                await asyncio.sleep(self._step)
            return
        async with self._ending:
            if kind == "read-only":
                replica = self._random.choice(self._soak.replicas)
                await replica.end(signal.SIGKILL)
                await self._look()
                with faults.read_only(path):
                    code = await replica.start(self._http)
                    self.counts[f"start on a read-only file: exit {code}"] += 1
                    if code is None:
                        await asyncio.sleep(self._step)
                if code is not None:
                    await self._start(replica)
                return
            await asyncio.gather(*(each.end(signal.SIGKILL) for each in self._soak.replicas))
            await self._look()
            faults.tear_wal(path, self._random)
            await asyncio.gather(*map(self._start, self._soak.replicas))


async def _every(seconds: float) -> AsyncIterator[int]:
    """Come round in that time, whatever is done meanwhile."""
    began = time.monotonic()
    for n in itertools.count():
        await asyncio.sleep(max(0.0, began + (n + 1) * seconds - time.monotonic()))
        yield n
