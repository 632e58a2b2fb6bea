"""A new incident arrives in the sandbox: on the list, in the logs, and at the bot's webhook."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from sandbox import arriving, log_analytics, portal, sentinel
from sandbox.logs.workspace import load_logs
from sandbox.odata import moment
from sandbox.world import PROVIDER_PATH, WORKSPACE_ID, Case, World, incident_name, load

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
STORIES = 3
SEEN = (
    "union (SigninLogs | project Address = IPAddress), (OfficeActivity | project Address ="
    " ClientIP), (DeviceNetworkEvents | project Address = RemoteIP)"
)
TRIGGER = (
    Path(__file__).parents[3] / "shared/fixtures/payloads/sentinel_incident_trigger_create.json"
)


@dataclass
class Sandbox:
    """The sandbox's services, and what its automation rule posted to a bot that says `status`."""

    client: TestClient[web.Request, web.Application]
    world: World
    posted: list[Any] = field(default_factory=list)
    status: int = 202

    @property
    def origin(self) -> str:
        return str(self.client.make_url("")).rstrip("/")

    async def press(self, **headers: str) -> tuple[int, str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post("/incidents", headers=named, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def arrived(self) -> Case:
        """Have one arrive."""
        status, where, _ = await self.press()
        assert status == 303
        case = self.world.by_number(int(where.rpartition("/")[2]))
        assert case is not None
        return case

    async def rows(self, query: str) -> list[list[Any]]:
        path = f"/v1/workspaces/{WORKSPACE_ID}/query"
        async with self.client.post(path, json={"query": query, "timespan": "PT1H"}) as answer:
            body = await answer.json()
        assert answer.status == 200, body
        return body["tables"][0]["rows"]


# One sandbox for all tests: its logs take a second. Each test has incidents of its own arrive.
@pytest.fixture(scope="module")
def world() -> World:
    return load(NOW, clock=lambda: NOW)


@pytest.fixture(scope="module")
def routes(world: World) -> list[web.RouteDef]:
    logs = load_logs(NOW, world)
    found = [*sentinel.routes(world), *portal.routes(world), *log_analytics.routes(logs)]
    return [*found, *arriving.routes(world, logs)]


@pytest.fixture
async def sandbox(world: World, routes: list[web.RouteDef]) -> AsyncIterator[Sandbox]:
    async def bot(request: web.Request) -> web.Response:
        sandbox.posted.append(await request.json())
        return web.Response(status=sandbox.status)

    application = web.Application()
    application.add_routes([*routes, web.post("/api/incidents", bot)])
    async with TestClient(TestServer(application)) as client:
        sandbox = Sandbox(client, world)
        world.playbook_url = f"{sandbox.origin}/api/incidents"
        yield sandbox


async def test_it_has_the_next_number_and_a_page_and_is_new(sandbox: Sandbox) -> None:
    last = max(case.number for case in sandbox.world.cases.values())
    case = await sandbox.arrived()
    assert case.number == last + 1
    assert case.name == incident_name(last + 1)
    shown = sandbox.world.show(case)["properties"]
    assert (shown["status"], shown["createdTimeUtc"][:16]) == ("New", "2026-11-24T09:00")
    assert shown["additionalData"]["tactics"]
    async with sandbox.client.get(f"/incidents/{case.number}") as answer:
        assert shown["title"] in await answer.text()
    async with sandbox.client.get("/") as answer:
        assert f'href="incidents/{case.number}"' in await answer.text()


async def test_the_bot_is_sent_what_the_incident_trigger_sends(sandbox: Sandbox) -> None:
    case = await sandbox.arrived()
    [body] = sandbox.posted
    assert body["object"]["id"] == f"{PROVIDER_PATH}/Incidents/{case.name}"
    assert len(body["object"]["properties"]["alerts"]) == len(case.alerts)
    if not TRIGGER.exists():
        pytest.skip("the trigger's body that this is compared with is not beside the project")
    real = json.loads(TRIGGER.read_text("utf-8"))
    assert real.keys() == body.keys()
    for part in ("workspaceInfo", "object"):
        assert real[part].keys() == body[part].keys()
    assert real["object"]["properties"].keys() == body["object"]["properties"].keys()
    assert real["object"]["properties"]["alerts"][0].keys() == case.alerts[0].keys()


@pytest.mark.parametrize(
    ("status", "said"), [(202, "answered its playbook 202"), (403, "answered its playbook 403")]
)
async def test_the_answer_says_what_the_bot_said(sandbox: Sandbox, status: int, said: str) -> None:
    sandbox.status = status
    _, where, text = await sandbox.press()
    assert where.removeprefix("incidents/") in text and said in text


async def test_without_a_bot_it_is_there_all_the_same(sandbox: Sandbox) -> None:
    sandbox.world.playbook_url = ""
    assert "when it polls" in (await sandbox.press())[2]
    sandbox.world.playbook_url = "http://127.0.0.1:1/api/incidents"
    status, where, text = await sandbox.press()
    assert status == 303 and "did not answer" in text
    assert sandbox.world.by_number(int(where.rpartition("/")[2]))


async def test_every_story_is_in_the_logs_and_its_times_are_ordered(sandbox: Sandbox) -> None:
    titles = set[str]()
    for _ in range(STORIES):
        case = await sandbox.arrived()
        incident = case.incident["properties"]
        titles.add(incident["title"])
        ids = ", ".join(f"'{alert['name']}'" for alert in case.alerts)
        [[alerts]] = await sandbox.rows(f"SecurityAlert | where SystemAlertId in ({ids}) | count")
        assert alerts == len(case.alerts) >= 2
        title = f"SecurityIncident | where IncidentNumber == {case.number} | project Title"
        assert await sandbox.rows(title) == [[incident["title"]]]
        [address] = [e["properties"]["address"] for e in case.entities if e["kind"] == "Ip"]
        [[seen]] = await sandbox.rows(f"{SEEN} | where Address == '{address}' | count")
        assert seen > 1
        for alert in case.alerts:
            start, end = (moment(alert["properties"][f"{key}TimeUtc"]) for key in ("start", "end"))
            assert start <= end <= moment(incident["createdTimeUtc"])
    assert len(titles) == STORIES


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),  # curl
        ({"Sec_Fetch_Site": "same-origin"}, 303),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Origin": "http://127.0.0.1:56150"}, 403),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_only_its_own_pages_and_programs_make_one_arrive(
    sandbox: Sandbox, headers: dict[str, str], status: int
) -> None:
    before = len(sandbox.world.cases)
    assert (await sandbox.press(**headers))[0] == status
    assert len(sandbox.world.cases) - before == len(sandbox.posted) == (status == 303)


async def test_its_own_origin_may(sandbox: Sandbox) -> None:
    assert (await sandbox.press(Origin=sandbox.origin, Sec_Fetch_Site="same-origin"))[0] == 303


async def test_every_page_has_the_button_and_says_where_a_click_comes_from(
    sandbox: Sandbox,
) -> None:
    for path, action in (("/", "./incidents"), ("/incidents/3177", "../incidents")):
        async with sandbox.client.get(path) as answer:
            assert f'<form method="post" action="{action}"><button>' in await answer.text()
            assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
            # With "no-referrer" the browser would send `Origin: null`, which is refused.
            assert answer.headers["Referrer-Policy"] == "same-origin"


async def test_two_clicks_at_once_are_two_incidents(sandbox: Sandbox) -> None:
    first, second = await asyncio.gather(sandbox.arrived(), sandbox.arrived())
    assert first.number != second.number
