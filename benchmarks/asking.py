"""Questions to Casemate and to its peers, one bot after the other, against the same services."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from . import bots, table
from .bots import Bot
from .load import QUESTIONS, Analysts, Load
from .process import start
from .services import LAST_WORDS, Services

# In a group chat Teams does not stream, so no pace is kept there: what a turn takes is the bot's.
GROUP = (Analysts(1, 200), Analysts(32, 640))
# In a personal chat an update a second is: only where very many ask at once does speed show.
STREAMED = (
    Analysts(32, 96, "personal"),
    Analysts(256, 512, "personal"),
    Analysts(1, 10, "personal", 0.3, 0.01),
    Analysts(32, 128, "personal", 0.3, 0.01),
)
# A bot that does not stream is not paced, wherever it is asked.
WHOLE = (Analysts(1, 10, "groupChat", 0.3, 0.01), Analysts(32, 128, "groupChat", 0.3, 0.01))
WARM_UP = Analysts(32, 160)
PROCESS_HEAD = ("bot", "start to ready, s", "RSS MiB", "PSS MiB")
GROWN = 1_000
OF_A_TURN = 0.12  # seconds, at most


@dataclass
class Figures:
    """Rows of the three tables, and what is missing in them."""

    turns: list[list[str]] = field(default_factory=list)
    waits: list[list[str]] = field(default_factory=list)
    processes: list[list[str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        tables = (
            (table.TURNS_HEAD, self.turns),
            (table.WAITS_HEAD, self.waits),
            (PROCESS_HEAD, self.processes),
        )
        shown = [table.markdown(head, rows) for head, rows in tables]
        return "\n\n".join([*shown, *self.missing])


async def ask(http: aiohttp.ClientSession, services: Services, folder: Path) -> Figures:
    """Measure all of them, Casemate first and last, since the machine's own speed drifts.

    A peer that cannot be measured is named; Casemate has to work.
    """
    figures = Figures()
    await _measure(http, services, bots.casemate(services, folder / "bench.db"), figures, folder)
    for peer in bots.peers(services):
        version = await asyncio.to_thread(bots.version, peer.name)
        name = f"{peer.name} {version}".strip()
        if not version:
            figures.missing.append(f"{name}: not measured, it is not installed.")
            continue
        try:
            await _measure(http, services, peer, figures, folder, name)
        except (RuntimeError, AssertionError, TimeoutError, ExceptionGroup) as problem:
            figures.missing.append(f"{name}: not measured to the end: {_cause(problem)}")
    again = bots.casemate(services, folder / "again.db")
    await _measure(http, services, again, figures, folder, "Casemate, again")
    return figures


async def _measure(
    http: aiohttp.ClientSession,
    services: Services,
    bot: Bot,
    figures: Figures,
    folder: Path,
    name: str = "Casemate",
) -> None:
    log = folder / f"{bot.name}.log"
    process = await start(http, bot.command, bot.environment, log, ready=bot.ready)
    try:
        load = Load(http, services, process, LAST_WORDS)
        await load.refuses_strangers()
        await load.run(WARM_UP)
        for analysts in (*GROUP, *(STREAMED if bot.streams else WHOLE)):
            run = await load.run(analysts)
            figures.turns.append(table.turns_row(name, run))
            if analysts.pause:
                figures.waits.append(table.waits_row(name, run))
        memory = (process.memory("Rss"), process.memory("Pss"))
        cells = [f"{process.started:.2f}", *(f"{each:.0f}" for each in memory)]
        figures.processes.append([name, *cells])
    finally:
        await process.stop()


async def growth(
    http: aiohttp.ClientSession, services: Services, folder: Path, turns: int = GROWN
) -> str:
    """What a turn costs at the beginning of one long chat, and at its end."""
    bot = bots.casemate(services, folder / "growth.db")
    log = folder / "growth.log"
    process = await start(http, bot.command, bot.environment, log, 1, bot.ready)
    try:
        await Load(http, services, process, LAST_WORDS).run(WARM_UP)
        before = process.memory()
        questions = QUESTIONS * (turns // len(QUESTIONS))
        asked = Analysts(1, len(questions), limit=OF_A_TURN * turns)
        run = await Load(http, services, process, LAST_WORDS, questions).run(asked)
        part = len(run.spent) // 20
        first, last = (1000 * each / part for each in table.ends(run.spent, part))
        return (
            f"Casemate, {len(run.spent):,} turns in one chat: {first:.2f} ms CPU a turn in the"
            f" first {part}, {last:.2f} in the last {part}; {before:.0f} MiB before,"
            f" {process.memory():.0f} after."
        )
    finally:
        await process.stop()


async def stalls(http: aiohttp.ClientSession, services: Services, folder: Path) -> str:
    """The longest that Casemate's event loop did not come round: one at once, and many."""
    command = ("-m", "benchmarks.stalls")
    bot = bots.casemate(services, folder / "stalls.db", command)
    log = folder / "stalls.log"
    process = await start(http, bot.command, bot.environment, log, 1, bot.ready)
    try:
        load = Load(http, services, process, LAST_WORDS)
        await load.run(WARM_UP)
        async with http.get(f"{process.url}/stalls"):
            pass  # what the start and the first turns took does not count
        said: list[str] = []
        for asked in GROUP:
            await load.run(asked)
            async with http.get(f"{process.url}/stalls") as answer:
                longest = await answer.json()
            cpu, clock = 1000 * longest["cpu"], 1000 * longest["clock"]
            said.append(f"{cpu:.0f} ms ({clock:.0f} by the clock) with {asked.at_once} at once")
        return f"Casemate, longest stall of the event loop, CPU time: {', '.join(said)}."
    finally:
        await process.stop()


def _cause(problem: BaseException) -> str:
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return f"{type(problem).__name__} {problem}"[-600:]
