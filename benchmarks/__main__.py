"""Measures Casemate, and minimal bots on other SDKs next to it, and prints its tables."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web

from sandbox.world import load

from . import announcing, asking, bots, checker, table
from .load import QUERIES, Analysts, Load
from .process import start
from .services import LAST_WORDS, Services

NOTES = """
Every service answers at once, but for the model where its milliseconds are named (to the first
token, and between two of the 40). Services and load share a process beside the bot's: what that
takes a turn is the last column, and no bot has more turns/s than it allows. CPU is the bot's own,
user and system. Nobody asks on after ten seconds of a row. All verify an RS256 token a turn
against the same keys (the addresses of keys are fixed in microsoft-agents, so its table of them is
pointed there) and send to a connector on loopback, without TLS. p99 of fewer than a hundred turns
is the slowest.
A full ask turn of Casemate: token, claim, history, incident, prompt, 40 tokens from the model,
card, commit to SQLite, send. Each conversation asks five questions about an incident of its own:
the first finds it by its number and reads its alerts, entities and comments, the others its state
and tasks. A turn of the others: token, 40 tokens from the model through the openai client, send.
In a group chat, where Teams does not stream, each sends one message. In a personal chat each
streams, but for botbuilder, which cannot. Teams' pace (an update a second) then rules the clock:
turns/s and percentiles tell bots apart only where CPU runs short. A wait beyond the pace counts
from when the token was there and a second had passed since the last update; below zero, the pace
was broken. Waits are the median and 95 of 100. Start: until 200 at /readyz, of the others at
/healthz; the median of three. Memory: after all turns of the table."""


async def measure(folder: Path, grown: int) -> None:
    """Run everything and print as it comes."""
    services = Services(await asyncio.to_thread(load, datetime.now(UTC)))
    runner = web.AppRunner(services.app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    services.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    # Shorter than any bot's own: none may close a connection that a question is about to take.
    connections = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    async with aiohttp.ClientSession(connector=connections) as http:
        print(await asking.ask(http, services, folder), NOTES, sep="\n", flush=True)
        print("", await asking.growth(http, services, folder, grown), sep="\n", flush=True)
        print(await asking.stalls(http, services, folder), flush=True)
        print(await _beside_queries(http, services, folder), flush=True)
    await runner.cleanup()


async def _beside_queries(http: aiohttp.ClientSession, services: Services, folder: Path) -> str:
    """What is left for full turns while two analysts ask for queries."""
    if not checker.installed():
        return "Casemate with the KQL checker: not measured, npm has not brought it."
    bot = bots.casemate(services, folder / "kql.db")
    environment = {**bot.environment, "KQL_CHECKERS": "1"}
    process = await start(http, bot.command, environment, folder / "kql.log", 1, bot.ready)
    try:
        bench = Load(http, services, process, LAST_WORDS)
        asking_queries = Load(http, services, process, "checked against 100 tables", QUERIES)
        await asking_queries.run(Analysts(1, 20))
        full, queries = await asyncio.gather(
            bench.run(Analysts(32, 640)), asking_queries.run(Analysts(2, 100))
        )
        turns = len(full.latencies) / full.elapsed
        wait = 1000 * table.percentile(queries.latencies, 0.5)
        return (
            f"Casemate with the KQL checker and 100 tables: {turns:.0f} full turns/s"
            f" (32 at once) while 2 ask for queries, each {wait:.0f} ms (median);"
            f" {process.memory():.0f} MiB.\n"
        )
    finally:
        await process.stop()


def main() -> int:
    if not Path("/proc/self/stat").exists():
        print("make bench reads CPU time and memory from /proc, which only Linux has.")
        return 2
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--grown", type=int, default=asking.GROWN, help="turns of the one long chat"
    )
    grown = parser.parse_args().grown
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now():%Y-%m-%d}\n"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measure(Path(folder), grown))
    announcing.main([])
    checker.main([])
    return 0


if __name__ == "__main__":
    sys.exit(main())
