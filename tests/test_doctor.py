"""What `python app.py doctor` says of a bot that is well, and of each thing that is not."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot import doctor
from bot.azure.cosmos_containers import CONTAINERS
from bot.doctor import Amiss, Finding, findings
from bot.settings import Settings
from sandbox.run import add_services, model_address, workspace
from sandbox.world import SUBSCRIPTION, World, load
from tests.clock import FakeClock
from tests.cosmos_double import KEY, CosmosDouble
from tests.scenario.conftest import sample_logs
from tests.scenario.second import HERE, THERE

APP_ID = "99999999-9999-4999-8999-999999999999"

pytestmark = pytest.mark.timeout(90)


class Sandbox:
    def __init__(self, world: World, base: str, folder: Path) -> None:
        self.world = world
        self.environment = {
            **workspace(base),
            **model_address(base),
            "AZURE_OPENAI_MODEL": "casemate-sandbox",
            "STORE_URL": f"sqlite:///{folder / 'casemate.db'}",
            "KQL_CHECKERS": "0",
        }

    async def examined(self, **changes: str) -> dict[str, Finding]:
        read = lambda: Settings.from_env({**self.environment, **changes})  # noqa: E731
        return {finding.what: finding async for finding in findings(read)}

    async def store(self, **changes: str) -> Finding:
        """What is found of the store; what comes after it is not looked at."""
        read = lambda: Settings.from_env({**self.environment, **changes})  # noqa: E731
        async with aclosing(findings(read)) as found:
            async for finding in found:
                if finding.what == "store":
                    return finding
        raise AssertionError


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    clock = FakeClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    world = await asyncio.to_thread(load, clock.now(), None, clock.now)
    logs = replace(await asyncio.to_thread(sample_logs), now=clock.now)
    services = web.Application()
    await asyncio.to_thread(lambda: add_services(services, world, logs, pace=0.001))
    async with TestServer(services) as server:
        yield Sandbox(world, str(server.make_url("")).rstrip("/"), tmp_path)


async def test_all_is_well_against_the_sandbox(sandbox: Sandbox) -> None:
    found = await sandbox.examined(KQL_CHECKERS="1")
    assert [str(each) for each in found.values() if not each.well] == []
    assert list(found) == [
        *("settings", "store", "model", "model, structured", "Sentinel", "rights", "logs"),
        *("schema", "KQL checker", "new incidents", "Teams app"),
    ]
    assert "#" in found["Sentinel"].said
    assert sandbox.world.writes == []


@pytest.mark.parametrize(
    ("changes", "line", "said"),
    [
        ({"BOT_APP_ID": "many"}, "BOT_APP_ID", "is not a GUID"),
        ({"SENTINEL_WORKSPACE_ID": ""}, "SENTINEL_WORKSPACE_ID", "is missing"),
        ({"STORE_URL": "sqlite:////nowhere/at/all.db"}, "store", "nowhere"),
        ({"AZURE_OPENAI_BASE_URL": "http://127.0.0.1:9/"}, "model", "model"),
        ({"AZURE_OPENAI_BASE_URL": "http://127.0.0.1:9/"}, "model, structured", "model"),
        ({"SENTINEL_RESOURCE_GROUP": "another"}, "Sentinel", "workspace name"),
        ({"SENTINEL_SUBSCRIPTION_ID": APP_ID}, "rights", "subscription"),
        ({"ARM_ENDPOINT": "http://127.0.0.1:9"}, "Sentinel", "did not answer"),
        ({"LOG_ANALYTICS_ENDPOINT": "http://127.0.0.1:9"}, "logs", "try again"),
        ({"SENTINEL_WORKSPACE_ID": APP_ID}, "schema", ""),
        ({"KQL_CHECKERS": "0"}, "KQL checker", "turned off"),
        ({"PROMPTS_DIR": "tests/prompts/broken"}, "PROMPTS_DIR", "is not a folder"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_is_wrong_is_on_its_own_line(
    sandbox: Sandbox, changes: dict[str, str], line: str, said: str
) -> None:
    found = await sandbox.examined(**changes)
    assert not found[line].well
    assert said.lower() in found[line].said.lower()


async def test_a_cosmos_account_is_tried_like_a_file(sandbox: Sandbox) -> None:
    async with CosmosDouble([each.resource for each in CONTAINERS]).running() as double:
        account = {"STORE_URL": double.url, "COSMOS_KEY": KEY}
        store = await sandbox.store(**account)
        assert (store.well, store.said) == (True, "can be written; 0 messages wait for an answer")
        refused = await sandbox.store(**{**account, "COSMOS_KEY": "d3Jvbmc="})
        assert not refused.well and "check COSMOS_KEY" in refused.said
        read_only = web.json_response({}, status=403)
        double.faults = lambda asked, _: read_only if asked == "upsert documents" else None
        refused = await sandbox.store(**account)
        assert not refused.well and "role assignment" in refused.said


async def test_a_prompt_that_cannot_be_read_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "system.md").write_text, "no header")
    found = await sandbox.examined(PROMPTS_DIR=str(tmp_path))
    assert not found["system.md"].well
    assert "header" in found["system.md"].said


async def test_a_right_that_is_missing_is_named(sandbox: Sandbox) -> None:
    sandbox.world.granted[:] = [{"actions": ["*/read"], "notActions": []}]
    lacking = (await sandbox.examined())["rights"]
    assert not lacking.well
    assert "incidents/comments/write" in lacking.said
    assert "incidents/read" not in lacking.said
    assert "Microsoft Sentinel Responder" in lacking.said


async def test_each_of_several_workspaces_has_its_own_lines(sandbox: Sandbox) -> None:
    there = {**THERE, "resource_group": "a-typo"}
    found = await sandbox.examined(SENTINEL_WORKSPACES=json.dumps([HERE, there]))
    of = ("Sentinel", "rights", "logs", "schema")
    assert all(found[f"{each} of contoso"].well for each in of)
    assert not any(found[f"{each} of fabrikam"].well for each in of)
    assert "does not find the workspace fabrikam" in found["Sentinel of fabrikam"].said


async def test_what_a_role_excludes_is_missing(sandbox: Sandbox) -> None:
    excluded = {"actions": ["*"], "notActions": ["microsoft.securityinsights/incidents/WRITE"]}
    sandbox.world.granted[:] = [excluded, {"actions": None}]
    lacking = (await sandbox.examined())["rights"]
    assert "may not do Microsoft.SecurityInsights/incidents/write;" in lacking.said


async def test_nobody_would_announce_anything(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = replace(Settings.from_env(sandbox.environment), poll_seconds=0, bot_app_id=APP_ID)
    with pytest.raises(Amiss, match="none would be announced"):
        await doctor._webhook(settings)


def test_the_teams_app_is_this_bots(sandbox: Sandbox, tmp_path: Path) -> None:
    settings = replace(Settings.from_env(sandbox.environment), bot_app_id=APP_ID)
    package = tmp_path / "casemate.zip"
    with pytest.raises(Amiss, match=f"run make manifest APP_ID={APP_ID}"):
        doctor._teams_app(settings, package)
    package.write_bytes(b"no zip")
    with pytest.raises(Amiss, match="build it again"):
        doctor._teams_app(settings, package)
    for bot, well in ((APP_ID.upper(), True), (SUBSCRIPTION, False)):
        with zipfile.ZipFile(package, "w") as file:
            file.writestr("manifest.json", json.dumps({"version": "1.0", "bots": [{"botId": bot}]}))
        if well:
            assert doctor._teams_app(settings, package) == "version 1.0 names this bot"
            with pytest.raises(Amiss, match="WRITE_AS=analyst"):
                doctor._teams_app(replace(settings, write_as="analyst"), package)
        else:
            with pytest.raises(Amiss, match=SUBSCRIPTION):
                doctor._teams_app(settings, package)


async def test_the_command_prints_a_line_each_and_its_exit_code_tells(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await doctor.examine(lambda: Settings.from_env({})) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "WRONG  SENTINEL_WORKSPACE: is missing" in lines
    assert lines[-1].startswith("5 are wrong")
    environment = {**sandbox.environment, "KQL_CHECKERS": "1"}
    assert await doctor.examine(lambda: Settings.from_env(environment)) == 0
    assert "ok     logs: a query runs" in capsys.readouterr().out
