"""The adapter against the sandbox's Log Analytics, which was written without it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bot import errors
from bot.azure.log_analytics import LogAnalytics
from bot.domain.incident import Workspace
from sandbox import world
from tests.clock import ImpatientClock

log_analytics = pytest.importorskip("sandbox.log_analytics", reason="the sandbox has no logs yet")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def data():
    from sandbox.logs.workspace import load_logs

    now = datetime.now(UTC)
    return load_logs(now, world.load(now))


@pytest.fixture
async def logs(data) -> AsyncIterator[LogAnalytics]:
    workspace = Workspace("soc", "sub", "group", "ws", world.WORKSPACE_ID)
    async with (
        TestServer(log_analytics.app(data)) as server,
        aiohttp.ClientSession() as session,
    ):
        url = str(server.make_url("/"))
        yield LogAnalytics(session, workspace, url, None, ImpatientClock())


async def test_its_tables_are_read_with_what_they_hold(logs):
    await logs.ping()
    found = await logs.metadata()
    assert {"SigninLogs", "SecurityAlert", "OfficeActivity"} <= set(found.by_name)
    assert found.by_name["SigninLogs"].rows
    assert found.functions


async def test_its_rows_are_read(logs):
    query = "SigninLogs | project TimeGenerated, LocationDetails | sort by TimeGenerated desc"
    found = await logs.run(query, 7 * DAY, rows=3)
    assert [column.type for column in found.columns] == ["datetime", "dynamic"]
    assert len(found.rows) == 3 and found.capped
    assert all(at.tzinfo is UTC and place["city"] for at, place in found.rows)


async def test_its_refusal_names_what_is_wrong(logs):
    with pytest.raises(errors.QueryRefused, match="Usr"):
        await logs.run("SigninLogs | where Usr == 'x'", DAY, rows=3)


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("timeout", errors.LogsTooSlow),
        ("throttle", errors.LogsBusy),
        ("forbidden", errors.LogsForbidden),
        ("down", errors.LogsDown),
    ],
)
async def test_its_faults_have_their_sentences(logs, word, error):
    with pytest.raises(error):
        await logs.run(f"// sandbox:{word}\nSigninLogs", DAY, rows=3)


async def test_its_partial_result_says_what_is_missing(logs):
    found = await logs.run("// sandbox:partial\nSigninLogs", 7 * DAY, rows=3)
    assert found.rows and "leave half of the rows out" in found.partial
