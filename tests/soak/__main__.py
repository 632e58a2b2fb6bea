"""Three replicas, two hundred analysts, every fault in turn, a replica lost every 20 seconds.

    python -m tests.soak [--minutes 30] [--store sqlite|cosmos] [--seed N]

Exits with 1, and prints the seed, where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

from tests import faults
from tests.soak.analysts import Soak
from tests.soak.replica import Replica
from tests.soak.surroundings import surrounded
from tests.soak.verdict import Verdict, Witness

SKEWS = (0.0, 15.0, -15.0)  # the fastest and the slowest clock are 30 seconds apart
EVERY = 20.0
SETTLE_SECONDS = 400.0  # a place that a dead replica took for a question is free after 300
DISK = ("disk full", "locked", "read-only", "torn log")


class Trouble:
    """Takes replicas away and lets services, disks and clocks fail, as the seed has it."""

    def __init__(self, soak: Soak, witness: Witness, http: ClientSession, step: float) -> None:
        self._soak, self._witness, self._http, self._step = soak, witness, http, step
        self._around, self._random = soak.around, soak.random
        self._ending = asyncio.Lock()
        self.counts = soak.counts

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
        self._witness.look()
        code = await replica.start(self._http)
        assert code is None, f"{replica.name} did not start: see {replica.log}"

    async def fail_in_turn(self) -> None:
        """One plan after the other, over and over, with a rest in between."""
        services = [
            (name, kind)
            for name in self._around.faults
            for kind in faults.KINDS
            if (name != "cosmos" or self._around.cosmos)
        ]
        disk = [] if self._around.cosmos else [("store", kind) for kind in DISK]
        plans = [*services, *disk, ("clock", "jump")]
        self._random.shuffle(plans)
        for what, kind in itertools.cycle(plans):
            self.counts[f"fault: {what} {kind}"] += 1
            if what == "store":
                await self._fail_disk(kind)
            elif what == "clock":
                self._random.choice(self._soak.replicas).send(signal.SIGUSR1)
            else:
                self._around.faults[what].kind = kind
                self._around.faults[what].share = self._random.choice((0.1, 0.3, 0.6))
                await asyncio.sleep(self._step)
                self._around.faults[what].kind = ""
            await asyncio.sleep(self._step / 4)

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
                self._witness.look()
                with faults.read_only(path):
                    code = await replica.start(self._http)
                    self.counts[f"start on a read-only file: exit {code}"] += 1
                    if code is None:
                        await asyncio.sleep(self._step)
                if code is not None:
                    await replica.start(self._http)
                return
            await asyncio.gather(*(each.end(signal.SIGKILL) for each in self._soak.replicas))
            self._witness.look()
            faults.tear_wal(path, self._random)
            await asyncio.gather(*(each.start(self._http) for each in self._soak.replicas))


async def soak(minutes: float, store: str, seed: int, folder: Path) -> Verdict:
    """Run all of it; the verdict is from the services' own records."""
    dice = random.Random(seed)
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(surrounded(store, folder, dice))
        http = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        replicas = [
            Replica(f"replica-{n}", around.environment, skew, folder / f"replica-{n}.log")
            for n, skew in enumerate(SKEWS)
        ]
        for replica in replicas:
            stack.push_async_callback(_gone, replica)
        codes = await asyncio.gather(*(each.start(http) for each in replicas))
        assert not any(codes), f"a replica did not start: see {folder}"
        running = Soak(around, replicas, http, dice)
        witness = Witness(running)
        await running.subscribe()
        trouble = Trouble(running, witness, http, step=3.0 if minutes < 10 else 8.0)
        troubles = [
            asyncio.create_task(trouble.end_replicas()),
            asyncio.create_task(trouble.fail_in_turn()),
        ]
        people = [*running.people(), asyncio.create_task(running.arrive())]
        everybody = asyncio.gather(*people, *troubles)
        done, _ = await asyncio.wait([everybody], timeout=60 * minutes)
        if done:
            await everybody  # one of them failed
        await _come_to_rest(running, witness, troubles, people)
        verdict = Verdict(witness)
        verdict.counts.update(running.counts)
        for name, faulty in around.faults.items():
            verdict.counts.update({f"struck: {name} {k}": n for k, n in faulty.struck.items()})
        return verdict


async def _come_to_rest(
    running: Soak,
    witness: Witness,
    troubles: list[asyncio.Task[None]],
    people: list[asyncio.Task[None]],
) -> None:
    """Take all trouble away, and wait until nothing is owed and nothing more is sent."""
    around, running.over = running.around, True
    for task in troubles:
        task.cancel()
    await asyncio.wait(troubles)
    for faulty in around.faults.values():
        faulty.kind = ""
    for replica in running.replicas:
        replica.send(signal.SIGCONT)
        if not replica.alive:
            await replica.start(running.http)
    await asyncio.wait_for(asyncio.gather(*people), 120)
    end, still, seen = time.monotonic() + SETTLE_SECONDS, 0, -1
    while still < 40 and time.monotonic() < end:
        now = len(around.teams.requests)
        still, seen = (still + 1 if now == seen and not witness.owed() else 0), now
        await asyncio.sleep(0.5)


async def _gone(replica: Replica) -> None:
    if replica.alive:
        with suppress(ProcessLookupError):
            await replica.end(signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--store", choices=("sqlite", "cosmos"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    chosen = parser.parse_args()
    # A replica that dies hangs up on every double.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="casemate-soak-"))
    print(
        f"seed {chosen.seed}, {chosen.store}, {chosen.minutes:g} minutes; logs in {folder}",
        flush=True,
    )
    verdict = asyncio.run(soak(chosen.minutes, chosen.store, chosen.seed, folder))
    for what, count in sorted(verdict.counts.items()):
        print(f"{count:7,}  {what}")
    for broken in verdict.broken[:50]:
        print("BROKEN", broken)
    print(f"{len(verdict.broken)} promises broken; seed {chosen.seed}")
    return bool(verdict.broken)


if __name__ == "__main__":
    sys.exit(main())
