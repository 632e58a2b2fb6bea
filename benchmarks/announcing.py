"""Announcing: what the outbox can carry, and how soon after the webhook a card is there.

`python -m benchmarks.announcing` prints the rows; with `hasty` it is the bot in a hurry itself.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from app import application
from bot import serving
from bot.settings import from_process
from sandbox.world import load

from .load import activity
from .process import start
from .services import FIRST_INCIDENT, Services

ROOT = Path(__file__).parent.parent
HASTE = 50
PLACES, EACH = 100, 10  # more than ten in a minute for a place would be a digest
ROUNDS = 8
NOTES = f"""
A notification is an incident's card in one place, with the reads that it is made from; the services
and the connector answer at once. Casemate keeps to 25 messages a second in a tenant and 4 in a
place, and waits eight seconds for what else comes before a digest: that is most of the last rows.
In the first row a clock that runs {HASTE} times as fast takes these limits out of the way. No
playbook is prepared (ENRICH=off), and no token asked for (local mode)."""


class HastyClock:
    """Time that passes `HASTE` times as fast as it does."""

    def __init__(self) -> None:
        self._began, self._started = datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._started) * HASTE

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / HASTE)


class Channel:
    """A bot's webhook and the places that hear of what comes in there."""

    def __init__(self, http: aiohttp.ClientSession, services: Services, url: str) -> None:
        self._http = http
        self._services = services
        self._url = url

    async def say(self, words: str, places: Sequence[str]) -> None:
        """Say something in each of these places, and wait for the answers."""
        for place in places:
            answer = asyncio.get_running_loop().create_future()
            self._services.arrivals[place] = answer
            body = activity(self._services.base, place, "groupChat", words)
            async with self._http.post(
                f"{self._url}/api/messages", data=body, headers={"Content-Type": "application/json"}
            ) as response:
                assert response.status == 202, response.status
            async with asyncio.timeout(30):
                await answer

    async def announced(self, numbers: Sequence[int], places: int) -> list[float]:
        """Post these incidents at once; seconds until each is on a card in each place, sorted."""
        posted: list[tuple[float, bytes]] = []
        self._services.posted = posted
        began = time.perf_counter()
        await asyncio.gather(*map(self._hook, numbers))
        async with asyncio.timeout(60):
            while True:
                waits = [at - began for at, body in posted for n in numbers if b"%d" % n in body]
                if len(waits) >= len(numbers) * places:
                    return sorted(waits)
                await asyncio.sleep(0.02)

    async def _hook(self, number: int) -> None:
        body = {"object": {"id": self._services.incident_id(number)}}
        async with self._http.post(f"{self._url}/api/incidents", json=body) as response:
            assert response.status == 202, response.status


async def measure(folder: Path) -> None:
    """Print the rows."""
    services = Services(await asyncio.to_thread(load, datetime.now(UTC)))
    runner = web.AppRunner(services.app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    services.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await _outbox(http, services, folder)
        await _soon(http, services, folder)
    await runner.cleanup()
    print(NOTES)


async def _outbox(http: aiohttp.ClientSession, services: Services, folder: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.announcing", "hasty"]
    environment = _environment(services, folder / "hasty.db")
    bot = await start(http, command, environment, folder / "hasty.log", times=1)
    try:
        channel = Channel(http, services, bot.url)
        await channel.say("subscribe", [f"19:hasty-{n}" for n in range(PLACES)])
        numbers = [FIRST_INCIDENT + n for n in range(EACH)]
        cpu = bot.cpu
        waits = await channel.announced(numbers, PLACES)
        count, spent = len(waits), bot.cpu - cpu
        print(
            f"{PLACES} places, {EACH} incidents at once: {count / waits[-1]:.0f} notifications/s,"
            f" {1000 * spent / count:.2f} ms CPU each"
        )
    finally:
        await bot.stop()


async def _soon(http: aiohttp.ClientSession, services: Services, folder: Path) -> None:
    command = [sys.executable, ROOT / "app.py"]
    environment = _environment(services, folder / "soon.db")
    bot = await start(http, command, environment, folder / "soon.log", times=1)
    try:
        channel = Channel(http, services, bot.url)
        place = ["19:soon-1"]
        await channel.say("subscribe", place)
        numbers = iter(range(FIRST_INCIDENT, FIRST_INCIDENT + 1_000))
        single = [(await channel.announced([next(numbers)], 1))[0] for _ in range(ROUNDS)]
        _row("from webhook to card, 1 incident for 1 place", single)
        storm = [next(numbers) for _ in range(100)]
        _row("100 incidents at once for 1 place (digests)", await channel.announced(storm, 1))
        await channel.say("unsubscribe", place)
        await channel.say("subscribe", [f"19:many-{n}" for n in range(100)])
        _row("1 incident for 100 places", await channel.announced([next(numbers)], 100))
    finally:
        await bot.stop()


def _environment(services: Services, store: Path) -> dict[str, str]:
    return services.environment(store) | {"ENRICH": "off", "POLL_SECONDS": "0"}


def _row(what: str, waits: list[float]) -> None:
    first, middle, last = (
        1000 * each for each in (min(waits), statistics.median(waits), max(waits))
    )
    print(f"{what:<46} first {first:6.0f} ms   median {middle:6.0f}   last {last:6.0f}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Measure, or be the bot that is measured."""
    if list(arguments) == ["hasty"]:
        settings = from_process()
        return serving.run(settings, lambda: application(settings, HastyClock()))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
