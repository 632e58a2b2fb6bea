"""What `docs/openapi.yaml` says is what the application answers."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientError, ClientSession
from aiohttp.test_utils import TestServer, unused_port
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app import application
from bot.domain.incident import Workspace
from bot.errors import Refused
from bot.teams.activity import parse
from bot.webhook.edge import incident_in
from docs import openapi
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
    return read_yaml(openapi.OUT.read_text("utf-8"))


async def test_the_document_is_the_applications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the database goes
    app = await application(replace(settings(0), kql_checkers=0))
    async with TestServer(app):
        routes = list(openapi.routes(app))
    assert {handler for *_, handler in routes} == set(openapi.ROUTES)
    assert openapi.OUT.read_text("utf-8") == openapi.text(openapi.document(routes)), (
        "run python -m docs.openapi"
    )


def test_a_route_that_nobody_described_cannot_be_left_out() -> None:
    with pytest.raises(KeyError):
        openapi.document([("get", "/api/new", described)])


# --- the schemas, against what the code takes ----------------------------------------------------

# Blank, much too long, the wrong kind, or as it should be.
VALUES = st.sampled_from(
    ["x", " x", "", " \t", "x" * 1000, "x" * 1001, None, 7, True, [], ["x"], {}]
)
NAMED = VALUES | st.fixed_dictionaries({}, optional={"id": VALUES, "name": VALUES})
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["message", "invoke", "conversationUpdate"]) | VALUES,
    **dict.fromkeys(("from", "recipient", "conversation"), NAMED),
    **dict.fromkeys(("id", "name", "channelId", "serviceUrl", "text"), VALUES),
    **dict.fromkeys(("entities", "attachments", "value", "channelData"), VALUES),
}
RIGHT: dict[str, Any] = {
    "id": "1",
    "name": "n",
    "channelId": "msteams",
    "serviceUrl": "https://x/",
    "text": "hi",
}
RIGHT |= {name: {"id": "1"} for name in ("from", "recipient", "conversation")}


def fits(name: str) -> Callable[[Any], bool]:
    """What a schema of the document takes."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": described()["components"]}
    return Draft202012Validator(whole).is_valid


@st.composite
def activities(draw: st.DrawFn) -> dict[str, Any]:
    """Activities of which a field or three are not as they should be."""
    activity: dict[str, Any] = RIGHT | {"type": draw(FIELDS["type"])}
    for name in draw(st.sets(st.sampled_from([*FIELDS]), max_size=3)):
        activity[name] = draw(FIELDS[name])
    for name in draw(st.sets(st.sampled_from([*FIELDS]), max_size=1)):
        activity.pop(name, None)
    return activity


def taken(read: Callable[..., Any], body: Any, *more: Any) -> bool:
    try:
        read(json.dumps(body).encode(), *more)
    except Refused:
        return False
    return True


def test_a_body_fits_the_schema_of_an_activity_when_it_is_taken_for_one() -> None:
    seen, fitting = set[bool](), fits("Activity")

    @given(activities() | NAMED)
    @limits(max_examples=150, deadline=None, derandomize=True, database=None)
    def compare(body: Any) -> None:
        seen.add(taken(parse, body))
        assert fitting(body) == taken(parse, body)

    compare()
    assert seen == {True, False}


@pytest.mark.parametrize("body", [{}, [], None, "x", {"object": None}, {"object": {}}])
@pytest.mark.parametrize("id", [None, f"{INCIDENTS}1", 7, f"{INCIDENTS}{'1' * 1000}"])
def test_a_trigger_fits_its_schema_when_it_names_an_incident(body: Any, id: Any) -> None:
    if id is not None and isinstance(body, dict):
        body = body | {"object": {"id": id}}
    served = Workspace("soc", SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE, "")
    assert fits("IncidentTrigger")(body) == taken(incident_in, body, [served])


# --- the application, against the document -------------------------------------------------------


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
