"""What `docs/openapi.yaml` says is what the application answers."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientError, ClientSession
from aiohttp.test_utils import TestServer, unused_port

from app import application
from prompts.reading import read_yaml
from sandbox.run import settings
from sandbox.world import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE

ROOT = Path(__file__).parents[1]
INCIDENTS = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/"
    f"Microsoft.OperationalInsights/workspaces/{WORKSPACE}/providers/Microsoft.SecurityInsights/"
    "incidents/"
)
PROGRAM = os.environ.get("SCHEMATHESIS", "")


def described() -> dict[str, Any]:
    return read_yaml((ROOT / "docs" / "openapi.yaml").read_text("utf-8"))


async def test_every_route_is_described_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the database goes
    app = await application(settings(0))
    async with TestServer(app):
        routes = {
            (route.method.lower(), route.resource.canonical)
            for route in app.router.routes()
            if route.resource and route.method != "HEAD"
        }
    assert routes == {
        (verb, path) for path, verbs in described()["paths"].items() for verb in verbs
    }


@pytest.mark.schemathesis
@pytest.mark.skipif(not PROGRAM, reason="SCHEMATHESIS names no program")
@pytest.mark.timeout(240)
async def test_it_answers_as_described(tmp_path: Path) -> None:
    """Schemathesis makes requests of the description, right and wrong, and judges the answers."""
    port = unused_port()
    base = f"http://127.0.0.1:{port}"
    description = tmp_path / "openapi.yaml"
    description.write_text(yaml.safe_dump(pointed(described(), base)), "utf-8")
    bot = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "app.py"), "sandbox", "--port", str(port)),
        cwd=tmp_path,
        env={**os.environ, "KQL_CHECKERS": "0"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await serving(base)
        judge = await asyncio.create_subprocess_exec(
            *(PROGRAM, "run", str(description), "--url", base, "--checks", "all"),
            # Local mode authenticates nobody; more is refused than a schema can say.
            *("--exclude-checks", "ignored_auth,positive_data_acceptance"),
            *("--max-examples", "100", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await judge.communicate()
    finally:
        bot.kill()
        await bot.wait()
    assert judge.returncode == 0, said.decode()
    assert b"4 passed" in said


def pointed(description: dict[str, Any], base: str) -> dict[str, Any]:
    """The description with what this bot in particular accepts, so that not all is refused."""
    schemas = description["components"]["schemas"]
    for name in ("Message", "Invoke", "Other"):
        schemas[name]["properties"]["serviceUrl"] = {"type": "string", "enum": [f"{base}/teams/"]}
    incident = schemas["IncidentTrigger"]["properties"]["object"]["properties"]["id"]
    incident["enum"] = [f"{INCIDENTS}{number:08x}-0000-4000-8000-000000000000" for number in (1, 2)]
    return description


async def serving(base: str) -> None:
    async with ClientSession() as http, asyncio.timeout(30):
        while True:
            try:
                async with http.get(f"{base}/healthz"):
                    return
            except ClientError:
                await asyncio.sleep(0.1)
