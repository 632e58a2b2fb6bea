"""Three replicas, two hundred analysts, every fault in turn, a replica lost every 20 seconds.

    python -m tests.soak [--minutes 30] [--store sqlite|cosmos] [--seed N]

Exits with 1, and prints the seed, where a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

from tests.soak.analysts import Soak
from tests.soak.replica import Replica
from tests.soak.surroundings import surrounded
from tests.soak.trouble import Trouble
from tests.soak.verdict import Verdict, Witness

SKEWS = (0.0, 15.0, -15.0)  # the fastest and the slowest clock are 30 seconds apart
PATIENCE_SECONDS = 180.0
SETTLE_SECONDS = 400.0  # a place that a dead replica took for a question is free after 300


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
        stop = asyncio.current_task()
        assert stop is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.cancel)
        for replica in replicas:
            stack.push_async_callback(_gone, replica)
        codes = await asyncio.gather(*(each.start(http) for each in replicas))
        assert not any(codes), f"a replica did not start: see {folder}"
        running = Soak(around, replicas, http, dice)
        witness = Witness(running)
        await running.subscribe()
        trouble = Trouble(running, witness, http, step=4.0 if minutes < 10 else 8.0)
        failing = [trouble.fail_service(name) for name in around.faults]
        troubles = [
            asyncio.create_task(each)
            for each in (trouble.kill(), trouble.stop(), trouble.fail_machine(), *failing)
        ]
        people = [*running.people(), asyncio.create_task(running.arrive())]
        stack.push_async_callback(_cancelled, [*people, *troubles])
        await _for_a_while([*people, *troubles], 60 * minutes, trouble)
        await _come_to_rest(running, witness, troubles, people)
        verdict = Verdict(witness)
        verdict.counts.update(running.counts)
        verdict.add_logs(each.log for each in replicas)
        verdict.add_strikes(trouble.strikes())
        return verdict


async def _for_a_while(tasks: list[asyncio.Task[None]], seconds: float, trouble: Trouble) -> None:
    """Let it go on for `seconds`, and beyond that until every plan has struck."""
    over = asyncio.create_task(trouble.all_struck(seconds))
    limit = seconds + PATIENCE_SECONDS
    try:
        done, _ = await asyncio.wait(
            [over, *tasks], timeout=limit, return_when=asyncio.FIRST_COMPLETED
        )
        for ended in done:  # of the tasks none ends, but by failing
            await ended
    finally:
        await _cancelled([over])


async def _come_to_rest(
    running: Soak,
    witness: Witness,
    troubles: list[asyncio.Task[None]],
    people: list[asyncio.Task[None]],
) -> None:
    """Take all trouble away, and wait until nothing is owed and nothing more is sent."""
    around = running.around
    running.over.set()
    await _cancelled(troubles)
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


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
    try:
        verdict = asyncio.run(soak(chosen.minutes, chosen.store, chosen.seed, folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped: no verdict")
        return 2
    for what, count in sorted(verdict.counts.items()):
        print(f"{count:7,}  {what}")
    for what, struck in verdict.strikes.items():
        print(f"struck {what}: " + ", ".join(f"{kind} {n:,}" for kind, n in struck.items()))
    for broken in verdict.broken[:50]:
        print("BROKEN", broken)
    print(f"{len(verdict.broken)} promises broken; seed {chosen.seed}")
    return bool(verdict.broken)


if __name__ == "__main__":
    sys.exit(main())
