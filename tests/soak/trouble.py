"""Takes replicas away, and lets services, disks and clocks fail, as the seed has it."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal

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
        self._machine = ["clock", *([] if self._around.cosmos else DISK)]
        self.struck = dict.fromkeys(self._machine, 0)

    async def end_replicas(self) -> None:
        """Every 20 seconds one replica is killed, stopped, or paused beyond its leases."""
        while True:
            await asyncio.sleep(EVERY)
            how = self._random.choice(("kill", "kill", "kill", "terminate", "pause", "pause"))
            async with self._ending:
                running = [each for each in self._soak.replicas if each.alive and not each.paused]
                replica = self._random.choice(running)
                self.counts[f"replica: {how}"] += 1
                if how == "pause":
                    replica.send(signal.SIGSTOP)
                else:
                    await self._restart(
                        replica, signal.SIGKILL if how == "kill" else signal.SIGTERM
                    )
            if how == "pause":
                await asyncio.sleep(1.0)  # what it had sent has arrived
                self._witness.look()
                await asyncio.sleep(self._random.uniform(12, 16))
                replica.send(signal.SIGCONT)

    async def _restart(self, replica: Replica, number: signal.Signals) -> None:
        await replica.end(number)
        await self._look()
        code = await replica.start(self._http)
        assert code is None, f"{replica.name} did not start: see {replica.log}"

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
        return {**services, "a machine": self.struck}

    async def all_struck(self) -> None:
        """Wait until every plan has struck everything that it can."""
        while not all(all(each.values()) for each in self.strikes().values()):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.5)

    async def fail_machine(self) -> None:
        """The disk, where there is one, and the clocks, in turn."""
        self._random.shuffle(self._machine)
        for kind in itertools.cycle(self._machine):
            await asyncio.sleep(2 * self._step)
            if kind == "clock":
                self._random.choice(self._soak.replicas).send(signal.SIGUSR1)
            else:
                await self._fail_disk(kind)
            self.struck[kind] += 1

    async def _fail_disk(self, kind: str) -> None:
        path = self._around.database
        if kind == "locked":
            async with faults.locked(path):
                await asyncio.sleep(self._step)
            return
        if kind == "disk full":
            with faults.disk_full(self._random.choice(self._soak.replicas).pid):
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
                    await replica.start(self._http)
                return
            await asyncio.gather(*(each.end(signal.SIGKILL) for each in self._soak.replicas))
            await self._look()
            faults.tear_wal(path, self._random)
            await asyncio.gather(*(each.start(self._http) for each in self._soak.replicas))
