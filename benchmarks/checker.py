"""What checking a query costs: `python -m benchmarks.checker` prints a row per size of schema."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bot.domain.query import Catalogue, Column, Table
from bot.kusto.checker import FOLDER, Checker
from tests.kusto import corpus

SIZES = (100, 698)
ROUNDS = 5
HEAD = ("tables", "start s", "first ms", "p50 ms", "p95 ms", "max ms", "misspelt p50 ms",
        "misspelt p95 ms", "longest stall ms", "RSS MiB", "of these the checker")  # fmt: skip
NOTES = """
The queries are those of tests/kusto/queries. Start: reading the files until the first query may
come, a query of its own included. First: the schema is taught. Misspelt: one name wrong, with the
search for the nearest. Stall: how long the event loop at most did not come round meanwhile."""


def catalogue(size: int) -> Catalogue:
    """The tables of the queries, and others up to `size`: real ones where they are at hand."""
    own = corpus.small().by_name
    invented = tuple(
        Table(f"Custom{n}_CL", tuple(Column(f"Field{n}_{c}", "string") for c in range(30)))
        for n in range(size)
    )
    whole = corpus.large()
    others = [table for table in (whole.tables if whole else invented) if table.name not in own]
    return Catalogue((*own.values(), *others[: size - len(own)]))


def installed() -> bool:
    """Whether npm has brought the language service that the checker runs."""
    return FOLDER.is_dir()


def resident() -> float:
    """This process's memory, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


async def stalls(stop: asyncio.Event) -> float:
    """The longest time between two turns of the event loop, in seconds."""
    longest, last = 0.0, time.perf_counter()
    while not stop.is_set():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last - 0.001), now
    return longest


async def measure(size: int) -> list[float]:
    """One row, in the order of `HEAD`."""
    tables, before = catalogue(size), resident()
    checker, stop = Checker(), asyncio.Event()
    watching = asyncio.create_task(stalls(stop))

    async def timed(query: str) -> float:
        began = time.perf_counter()
        await checker.check(query, tables)
        return (time.perf_counter() - began) * 1000

    began = time.perf_counter()
    await checker.start()
    await checker.ping()
    start = time.perf_counter() - began
    first = await timed("SecurityEvent | take 1")
    misspelt: list[str] = []
    for query in corpus.queries():
        checked = await checker.check(query.text, corpus.small())
        if checked is None:
            sys.exit("run npm ci --ignore-scripts in bot/kusto")
        misspelt += [each.text for each in corpus.misspellings(query, checked)]
    warm = sorted([await timed(each.text) for _ in range(ROUNDS) for each in corpus.queries()])
    wrong = sorted([await timed(text) for text in misspelt])
    stop.set()
    stall = await watching * 1000
    memory = resident()
    await checker.close()
    return [size, start, first, *_spread(warm), warm[-1], *_spread(wrong), stall, memory,
            memory - before]  # fmt: skip


def _spread(values: list[float]) -> tuple[float, float]:
    return values[len(values) // 2], values[int(len(values) * 0.95)]


def main(sizes: Sequence[str]) -> None:
    """Measure each size in a process of its own, so that memory is its own."""
    if sizes:
        print(json.dumps(asyncio.run(measure(int(sizes[0])))))
        return
    if not installed():
        print("The KQL checker: not measured, `npm ci` has not been run in bot/kusto.")
        return
    print(" | ".join(HEAD))
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.checker", str(size)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        cells = [f"{value:.4g}".rjust(len(name)) for name, value in zip(HEAD, row, strict=True)]
        print(" | ".join(cells))
    print(NOTES)


if __name__ == "__main__":
    main(sys.argv[1:])
