"""Measures Casemate, and a stock echo bot next to it, and prints one table."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web

from sandbox.world import load

from . import announcing, checker
from .load import APP_ID, QUERIES, TENANT, Load, Row
from .process import start
from .services import LAST_WORDS, Services

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "benchmarks" / "peers"
VENV = ROOT / ".venv-peers"
STOCK = "stock botbuilder 4.17.1, echo"
HEAD = ("", "at once", "turns", "turns/s", "CPU ms/turn", "p50 ms", "p95 ms", "RSS MiB")
NOTES = """
Every service answers at once and runs, with the load, outside the bot's process; CPU is the bot's
own, user and system. Both verify an RS256 token a turn and send to a connector without one.
A full ask turn: token, claim, history, incident, prompt, 40 chunks from the model, card, commit to
SQLite, send. Each conversation asks five questions about an incident of its own: the first finds
it by its number and reads its alerts, entities and comments, the others its state and tasks.
In a personal chat Teams' pace (an update a second) is kept, so only CPU says something there; where
the model sends a chunk every 30 ms each arrives alone, and an update is shown in between.
The echo sends its text back: no store, no model, no Sentinel, no card."""


async def measure(folder: Path) -> None:
    """Run everything and print as it comes."""
    services = Services(await asyncio.to_thread(load, datetime.now(UTC)))
    runner = web.AppRunner(services.app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    services.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections) as http:
        await _casemate(http, services, folder)
        await _stock(http, services, folder)
    await runner.cleanup()
    print(NOTES)


async def _casemate(http: aiohttp.ClientSession, services: Services, folder: Path) -> None:
    environment = services.environment(folder / "bench.db") | {
        "BOT_APP_ID": APP_ID,
        "BOT_TENANT_ID": TENANT,
        "BOT_APP_PASSWORD": "bench",
        "BOT_OPENID_METADATA": f"{services.base}/openid",
        # A few analysts ask here what thousands would.
        "ANALYST_REQUESTS_PER_MINUTE": "0",
        "TENANT_REQUESTS_PER_MINUTE": "0",
        "ANALYST_TOKENS_PER_DAY": "0",
        "TENANT_TOKENS_PER_DAY": "0",
    }
    command = [sys.executable, ROOT / "app.py"]
    bot = await start(http, command, environment, folder / "casemate.log")
    try:
        bench = Load(http, services, bot, LAST_WORDS)
        await bench.refuses_strangers()
        await bench.run("warm-up", 320, 32)
        services.counts.clear()
        early = bot.memory()
        rows = [
            await bench.run("Casemate, full ask, group chat", 500, 1),
            await bench.run("Casemate, full ask, group chat", 2_000, 32),
            await bench.run("Casemate, full ask, personal chat", 384, 64, "personal"),
            await bench.run("Casemate, a chunk every 30 ms", 192, 64, "personal", 0.03),
        ]
        turns = sum(row.turns for row in rows)
        assert services.counts["model"] == turns, "each turn asks the model once"
        _print(rows, HEAD)
        late = bot.memory()
        print(f"Casemate: {bot.started:.2f} s to /healthz (median of 3 starts); memory", end=" ")
        print(f"{early:.0f} MiB after 320 turns, {late:.0f} after {turns + 320:,}.\n")
    finally:
        await bot.stop()
    environment |= {"KQL_CHECKERS": "1", "STORE_URL": f"sqlite:///{folder / 'kql.db'}"}
    bot = await start(http, command, environment, folder / "kql.log")
    try:
        bench = Load(http, services, bot, LAST_WORDS)
        asking = Load(http, services, bot, "checked against 100 tables", QUERIES)
        await asking.run("warm-up", 20, 1)
        rows = await asyncio.gather(
            bench.run("Casemate, full ask, meanwhile:", 1_000, 32),
            asking.run("  queries written and checked", 200, 2),
        )
        _print(rows)
        print(f"Casemate: {bot.memory():.0f} MiB with the KQL checker and 100 tables.\n")
    finally:
        await bot.stop()


async def _stock(http: aiohttp.ClientSession, services: Services, folder: Path) -> None:
    try:
        python = await asyncio.to_thread(_peers_python)
    except subprocess.CalledProcessError as error:
        print(f"{STOCK}: not measured, it could not be installed: {error.stderr.strip()[-200:]}")
        return
    environment = {"BOT_APP_ID": APP_ID, "BOT_OPENID_METADATA": f"{services.base}/openid"}
    bot = await start(http, [python, PEERS / "stock_echo.py"], environment, folder / "stock.log")
    try:
        bench = Load(http, services, bot, "Echo: ")
        await bench.refuses_strangers()
        await bench.run("warm-up", 64, 32)
        rows = [await bench.run(STOCK, 200, 1), await bench.run(STOCK, 400, 32)]
        _print(rows)
        print(f"{STOCK}: {bot.started:.2f} s to /healthz.")
    finally:
        await bot.stop()


def _peers_python() -> Path:
    """The peers' own environment, made where it is missing: their pins conflict with ours."""
    python = VENV / "bin" / "python"
    wanted = PEERS / "requirements.txt"
    installed = VENV / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        for command in (
            [sys.executable, "-m", "venv", VENV],
            [python, "-m", "pip", "install", "--quiet", "-r", wanted],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        installed.write_text(wanted.read_text())
    return python


def _print(rows: Sequence[Row], head: Sequence[str] = ()) -> None:
    for cells in filter(None, (head, *(row.cells for row in rows))):
        first, *others = cells
        print(f"{first:<34}" + "".join(f"{cell:>12}" for cell in others), flush=True)


def main() -> int:
    if not Path("/proc/self/stat").exists():
        print("make bench reads CPU time and memory from /proc, which only Linux has.")
        return 2
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now():%Y-%m-%d}\n"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measure(Path(folder)))
    announcing.main([])
    checker.main([])
    return 0


if __name__ == "__main__":
    sys.exit(main())
