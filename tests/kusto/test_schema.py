import asyncio
import base64
import json
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bot import errors
from bot.azure.log_analytics import LogAnalytics
from bot.domain.incident import Workspace
from bot.domain.query import Catalogue, Column, Function, Table
from bot.kusto.schema import MAX_AGE, Schema
from bot.local.sqlite import SqliteStore
from bot.ports import JsonObject
from tests.azure.log_analytics_double import METADATA, WORKSPACE_ID, Asked, Double
from tests.clock import FakeClock

WORKSPACE = Workspace("soc", "sub", "group", "myWorkspace", WORKSPACE_ID)
TABLES = Path(__file__).parents[2] / ".." / "shared" / "kql" / "tables.json"
HOUR = 3600.0
KEY = "schema/soc"


class Bench:
    """Log Analytics over HTTP, a store in a file, and any number of schemas on one clock."""

    def __init__(self, stack: AsyncExitStack, url: str, path: Path, double: Double) -> None:
        self.stack = stack
        self.url = url
        self.double = double
        self.clock = FakeClock()
        self.store = SqliteStore(str(path))
        self.tables: Any = ["SigninLogs"]
        double.answer = self._answer

    def _answer(self, asked: Asked) -> Any:
        if asked.path != METADATA or not isinstance(self.tables, list):
            return self.tables if asked.path == METADATA else 400
        column = {"name": "TimeGenerated", "type": "datetime"}
        return {"tables": [{"name": name, "columns": [column]} for name in self.tables]}

    @property
    def reads(self) -> int:
        return len([asked for asked in self.double.asked if asked.path == METADATA])

    async def schema(self, *, start: bool = True) -> Schema:
        session = await self.stack.enter_async_context(aiohttp.ClientSession())
        logs = LogAnalytics(session, WORKSPACE, self.url, None, self.clock)
        schema = Schema(logs, self.store, "soc", self.clock)
        self.stack.push_async_callback(schema.close)
        if start:
            await schema.start()
        return schema

    async def pauses(self, count: int) -> None:
        """Wait until what runs in the background has gone to sleep for the nth time."""
        await until(lambda: len(self.clock.slept) == count)


async def until(happened: Callable[[], Any]) -> None:
    for _ in range(10_000):
        if happened():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not happen")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    double = Double()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(double.app(), shutdown_timeout=0))
        bench = Bench(stack, str(server.make_url("/")), tmp_path / "casemate.db", double)
        await bench.store.open()
        stack.push_async_callback(bench.store.close)
        yield bench


def names(schema: Schema) -> list[str] | None:
    found = schema.current()
    return None if found is None else [table.name for table in found.tables]


async def test_the_first_start_reads_in_the_background(bench):
    schema = await bench.schema()
    assert (names(schema), schema.age, schema.stale) == (None, None, True)
    await bench.pauses(1)
    assert (names(schema), schema.age, schema.stale) == (["SigninLogs"], timedelta(0), False)
    assert bench.reads == 1


async def test_it_is_read_again_every_six_hours(bench):
    schema = await bench.schema()
    await bench.pauses(1)
    bench.tables = ["SigninLogs", "New_CL"]
    await bench.clock.advance(6 * HOUR - 1)
    assert (bench.reads, schema.stale) == (1, False)
    await bench.clock.advance(1)
    await bench.pauses(2)
    assert (bench.reads, names(schema)) == (2, ["SigninLogs", "New_CL"])
    assert bench.clock.slept == [6 * HOUR, 6 * HOUR]


async def test_a_restart_starts_warm_and_reads_only_when_it_is_time(bench):
    await bench.schema()
    await bench.pauses(1)
    await bench.clock.advance(2 * HOUR)
    bench.tables = ["Other_CL"]
    schema = await bench.schema()
    assert (names(schema), schema.age) == (["SigninLogs"], timedelta(hours=2))
    await bench.pauses(2)
    assert (bench.reads, bench.clock.slept[-1]) == (1, 4 * HOUR)


async def test_a_restart_after_a_weekend_starts_warm_and_reads_at_once(bench):
    first = await bench.schema()
    await bench.pauses(1)
    await first.close()
    bench.clock = FakeClock(bench.clock.now() + timedelta(days=2))
    bench.tables = ["Other_CL"]
    schema = await bench.schema()
    assert (names(schema), schema.age, schema.stale) == (["SigninLogs"], timedelta(days=2), True)
    await bench.pauses(1)
    assert (names(schema), schema.stale) == (["Other_CL"], False)


@pytest.mark.parametrize("trouble", [403, 500, b"<html>", []])
async def test_a_stale_schema_is_better_than_none_and_says_so(bench, trouble):
    schema = await bench.schema()
    await bench.pauses(1)
    bench.tables = trouble
    await bench.clock.advance(MAX_AGE.total_seconds())
    await bench.pauses(2)
    await bench.clock.advance(1)
    assert (names(schema), schema.stale) == (["SigninLogs"], True)
    bench.tables = ["Back_CL"]
    await bench.clock.advance(40)
    await bench.pauses(3)
    assert (names(schema), schema.stale) == (["Back_CL"], False)


async def test_attempts_that_fail_come_ever_more_seldom(bench):
    bench.tables = 403
    await bench.schema()
    for count in range(1, 11):
        await bench.pauses(count)
        await bench.clock.advance(bench.clock.slept[-1])
    await bench.pauses(11)
    for pause, about in zip(bench.clock.slept, [30 * 2**n for n in range(6)], strict=False):
        assert 0.75 * about <= pause <= 1.25 * about
    assert all(0.75 * 1800 <= pause <= 1.25 * 1800 for pause in bench.clock.slept[6:])
    assert bench.reads == 11


async def test_all_who_ask_at_once_share_one_reading(bench):
    schema = await bench.schema(start=False)
    first = asyncio.create_task(schema.refresh())
    impatient = asyncio.create_task(schema.refresh())
    await until(lambda: bench.reads)
    impatient.cancel()
    found = await asyncio.gather(first, schema.refresh())
    assert found[0] is found[1] is schema.current()
    assert bench.reads == 1
    await schema.refresh()
    assert bench.reads == 2


async def test_who_asks_is_told_why_there_is_none(bench):
    bench.tables = 403
    schema = await bench.schema(start=False)
    with pytest.raises(errors.LogsForbidden, match="Log Analytics Reader"):
        await schema.refresh()
    assert schema.current() is None


async def test_a_close_ends_a_reading_that_hangs(bench):
    bench.tables = None
    schema = await bench.schema()
    await until(lambda: bench.reads)
    await schema.close()
    await schema.close()
    assert schema.current() is None


async def test_a_close_needs_no_start(bench):
    await (await bench.schema(start=False)).close()


# --- what is kept --------------------------------------------------------------------------------


async def test_without_a_store_it_works_but_a_restart_is_cold(bench, caplog):
    await bench.store.close()
    schema = await bench.schema()
    await bench.pauses(1)
    assert names(schema) == ["SigninLogs"]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and "cannot be read" in said[0] and "cannot be kept" in said[1]


class Kept:
    """A workspace whose catalogue a test chooses."""

    def __init__(self, catalogue: Catalogue | Exception) -> None:
        self.catalogue = catalogue

    async def metadata(self) -> Catalogue:
        if isinstance(self.catalogue, Exception):
            raise self.catalogue
        return self.catalogue


COLUMNS = (Column("TimeGenerated", "datetime"), Column("User", "string", "who: é \u2192 \x00"))


async def test_a_catalogue_comes_back_whole(bench):
    catalogue = Catalogue(
        (Table("T", COLUMNS, "all of it", "At", 7), Table("Empty", (), rows=None)),
        (Function("F", "a:string", "T\r\n| take 1"),),
        watchlists=("vips",),
    )
    assert catalogue.by_name["T"]  # a remembered index is no part of what is kept
    first = Schema(Kept(catalogue), bench.store, "soc", bench.clock)
    await first.refresh()
    again = Schema(Kept(catalogue), bench.store, "soc", bench.clock)
    await again.start()
    assert again.current() == replace(catalogue, read_at=bench.clock.now())
    await again.close()
    other = Schema(Kept(errors.LogsDown("no")), bench.store, "another", bench.clock)
    await other.start()
    assert other.current() is None
    await other.close()


NOTHING = {"tables": [], "functions": [], "watchlists": []}


def packed(content: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(content).encode())).decode()


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"data": None},
        {"data": "%"},
        {"data": "aGVsbG8="},
        {"data": packed([])},
        {"data": packed({})},
        {"data": packed({**NOTHING, "read_at": None})},
        {"data": packed({**NOTHING, "read_at": "2026-11-24T09:00:00"})},
        {"data": packed({**NOTHING, "read_at": "2026-11-24T09:00:00Z", "tables": [{"a": 1}]})},
        {"data": packed({**NOTHING, "read_at": "2026-11-24T09:00:00Z", "tables": [5]})},
    ],
)
async def test_what_was_kept_and_cannot_be_read_is_read_anew(bench, damage: JsonObject):
    await (await bench.schema(start=False)).refresh()
    kept = await bench.store.kept(KEY)
    await bench.store.keep(KEY, {**kept, **damage}, bench.clock.now())
    schema = await bench.schema()
    assert schema.current() is None
    await bench.pauses(1)
    assert names(schema) == ["SigninLogs"]


async def test_a_schema_too_large_for_any_store_is_not_kept(bench, caplog):
    catalogue = Catalogue((Table("T", COLUMNS, random.Random(7).randbytes(2_000_000).hex()),))
    schema = Schema(Kept(catalogue), bench.store, "soc", bench.clock)
    assert (await schema.refresh()).tables == catalogue.tables
    assert await bench.store.kept(KEY) is None
    assert "too large to be kept" in caplog.text


async def test_a_bug_does_not_end_the_reading(bench, caplog):
    logs = Kept(RuntimeError("a bug"))
    schema = Schema(logs, bench.store, "soc", bench.clock)
    await schema.start()
    await bench.pauses(1)
    assert "a bug" in caplog.text
    logs.catalogue = Catalogue((Table("T", COLUMNS),))
    await bench.clock.advance(60)
    await bench.pauses(2)
    assert names(schema) == ["T"]
    await schema.close()


async def test_the_largest_schema_we_know_is_kept_within_a_tenth_of_the_limit(bench):
    if not TABLES.exists():
        pytest.skip("the 698-table schema is not beside the project")
    tables = tuple(
        Table(name, tuple(Column(*column, "x" * 60) for column in columns.items()), "y" * 200)
        for name, columns in json.loads(TABLES.read_text("utf-8")).items()
    )
    read_at = datetime(2026, 11, 24, tzinfo=UTC)
    schema = Schema(Kept(Catalogue(tables, (), read_at)), bench.store, "soc", bench.clock)
    await schema.refresh()
    kept = await bench.store.kept(KEY)
    assert kept is not None and len(json.dumps(kept)) < 200_000
    again = Schema(Kept(errors.LogsDown("no")), bench.store, "soc", bench.clock)
    await again.start()
    assert again.current() == schema.current()
    await again.close()
