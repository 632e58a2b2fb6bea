"""Microsoft's own client and the published specification agree with the sandbox's Sentinel."""

import copy
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.securityinsight import models
from azure.mgmt.securityinsight.aio import SecurityInsightsMgmtClient

from sandbox import sentinel
from sandbox.odata import moment
from sandbox.world import (
    PROVIDER_PATH,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    World,
    incident_name,
    load,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HERE = (RESOURCE_GROUP, WORKSPACE)
PHISHING = incident_name(3177)
OPENAPI = Path(__file__).parents[3] / "shared" / "openapi"


@pytest.fixture
def world() -> World:
    return load(NOW, clock=lambda: NOW)


class Token:
    """A credential that asks nobody."""

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        return AccessToken("not-a-token", 4_102_444_800)

    async def close(self) -> None: ...

    async def __aenter__(self) -> "Token":
        return self

    async def __aexit__(self, *args: object) -> None: ...


@pytest.fixture(params=[None, "2025-09-01"], ids=["default version", "2025-09-01"])
async def microsoft(
    world: World, request: pytest.FixtureRequest
) -> AsyncIterator[SecurityInsightsMgmtClient]:
    version = {"api_version": request.param} if request.param else {}
    async with TestServer(sentinel.app(world)) as server:
        client = SecurityInsightsMgmtClient(
            Token(),
            SUBSCRIPTION,
            base_url=str(server.make_url("")).rstrip("/"),
            credential_scopes=["https://management.azure.com/.default"],
            retry_total=0,
            **version,
        )
        async with client:
            yield client


PLAIN: dict[str, Any] = {"enforce_https": False}


class TestMicrosoftsClient:
    async def test_pages_through_the_incidents(
        self, microsoft: SecurityInsightsMgmtClient, world: World
    ) -> None:
        found = [
            item.incident_number
            async for item in microsoft.incidents.list(
                *HERE, top=3, orderby="properties/incidentNumber asc", **PLAIN
            )
        ]
        assert found == sorted(case.number for case in world.cases.values())
        assert len(world.log) == 4

    async def test_reads_an_incident(self, microsoft: SecurityInsightsMgmtClient) -> None:
        incident = await microsoft.incidents.get(*HERE, PHISHING, **PLAIN)
        assert (incident.incident_number, incident.severity, incident.status) == (
            3177,
            "High",
            "New",
        )
        assert incident.created_time_utc == datetime(2026, 11, 24, 6, 10, tzinfo=UTC)
        assert incident.additional_data.tactics[:2] == ["InitialAccess", "CredentialAccess"]

    async def test_updates_with_the_etag_and_conflicts_without_luck(
        self, microsoft: SecurityInsightsMgmtClient
    ) -> None:
        incident = await microsoft.incidents.get(*HERE, PHISHING, **PLAIN)
        change = models.Incident(
            etag=incident.etag,
            properties=models.IncidentProperties(
                title=incident.title,
                severity="Medium",
                status="Active",
                owner=models.IncidentOwnerInfo(assigned_to="Amira Haddad"),
            ),
        )
        changed = await microsoft.incidents.create_or_update(*HERE, PHISHING, change, **PLAIN)
        assert (changed.severity, changed.owner.assigned_to) == ("Medium", "Amira Haddad")
        with pytest.raises(ResourceExistsError) as conflict:
            await microsoft.incidents.create_or_update(*HERE, PHISHING, change, **PLAIN)
        assert conflict.value.status_code == 409
        assert conflict.value.error is not None and conflict.value.error.code == "Conflict"

    async def test_learns_what_is_missing(self, microsoft: SecurityInsightsMgmtClient) -> None:
        with pytest.raises(ResourceNotFoundError):
            await microsoft.incidents.get(*HERE, str(uuid.uuid4()), **PLAIN)
        with pytest.raises(HttpResponseError, match="not a property"):
            async for _ in microsoft.incidents.list(*HERE, filter="color eq 'red'", **PLAIN):
                raise AssertionError

    async def test_reads_alerts_entities_and_bookmarks(
        self, microsoft: SecurityInsightsMgmtClient, world: World
    ) -> None:
        alerts = await microsoft.incidents.list_alerts(*HERE, PHISHING, **PLAIN)
        assert [type(alert).__name__ for alert in alerts.value] == ["SecurityAlert"] * 4
        assert alerts.value[1].alert_display_name == "Stolen session cookie was used"
        for case in world.cases.values():
            answer = await microsoft.incidents.list_entities(*HERE, case.name, **PLAIN)
            assert [entity.kind for entity in answer.entities] == [
                entity["kind"] for entity in case.entities
            ]
        entities = (await microsoft.incidents.list_entities(*HERE, PHISHING, **PLAIN)).entities
        mail = next(entity for entity in entities if entity.kind == "MailMessage")
        assert isinstance(mail, models.MailMessageEntity)
        assert mail.sender_ip == "198.51.100.77"
        ransomware = incident_name(3178)
        bookmarks = await microsoft.incidents.list_bookmarks(*HERE, ransomware, **PLAIN)
        assert len(bookmarks.value) == 1

    async def test_writes_and_pages_comments_and_tasks(
        self, microsoft: SecurityInsightsMgmtClient, world: World
    ) -> None:
        world.page = 2
        for index in range(4):
            name = str(uuid.uuid5(uuid.NAMESPACE_URL, str(index)))
            await microsoft.incident_comments.create_or_update(
                *HERE,
                PHISHING,
                name,
                models.IncidentComment(
                    properties=models.IncidentCommentProperties(message=f"comment {index}")
                ),
                **PLAIN,
            )
            await microsoft.incident_tasks.create_or_update(
                *HERE,
                PHISHING,
                name,
                models.IncidentTask(
                    properties=models.IncidentTaskProperties(title=f"task {index}", status="New")
                ),
                **PLAIN,
            )
        comments = [c async for c in microsoft.incident_comments.list(*HERE, PHISHING, **PLAIN)]
        tasks = [t async for t in microsoft.incident_tasks.list(*HERE, PHISHING, **PLAIN)]
        relations = [r async for r in microsoft.incident_relations.list(*HERE, PHISHING, **PLAIN)]
        assert len(comments) == 5
        assert comments[0].author.name == "casemate-sandbox"
        assert [task.title for task in tasks] == [f"task {index}" for index in range(4)]
        assert relations == []
        await microsoft.incident_tasks.delete(*HERE, PHISHING, tasks[0].name, **PLAIN)
        assert len(world.cases[PHISHING].tasks) == 3


# --- the published specification -----------------------------------------------------------------


def specification() -> dict[str, Any]:
    path = OPENAPI / "sentinel-incidents-2025-09-01.bundled.json"
    if not path.exists():
        pytest.skip("the published specification is not beside this project")
    return json.loads(path.read_text("utf-8"))


def as_json_schema(node: Any) -> Any:
    """Turn Swagger 2 into JSON Schema: open enumerations, no discriminators, allOf beside $ref."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and isinstance(node["$ref"], str):
        return {"$ref": node["$ref"]}
    node = {key: as_json_schema(value) for key, value in node.items() if key != "discriminator"}
    if isinstance(extra := node.get("x-ms-enum"), dict) and extra.get("modelAsString"):
        node.pop("enum", None)
    return node


def validator(spec: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft7Validator:
    definitions = as_json_schema(copy.deepcopy(spec["definitions"]))
    # The service writes null where nobody owns an incident.
    for value in definitions["IncidentOwnerInfo"]["properties"].values():
        if value.get("type") == "string":
            value["type"] = ["string", "null"]
    formats = jsonschema.FormatChecker(["uuid"])
    formats.checks("date-time", ValueError)(lambda text: moment(text).tzinfo is not None)
    return jsonschema.Draft7Validator(
        {**as_json_schema(schema), "definitions": definitions}, format_checker=formats
    )


@pytest.fixture
async def client(world: World) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(sentinel.app(world))) as client:
        yield client


BODIES = {
    "{incidentId}": {"properties": {"title": "t", "severity": "Low", "status": "New"}},
    "{incidentCommentId}": {"properties": {"message": "m"}},
    "{incidentTaskId}": {"properties": {"title": "t", "status": "New"}},
}


async def test_every_operations_answer_is_of_the_published_shape(
    client: TestClient[web.Request, web.Application], world: World
) -> None:
    spec = specification()
    operations = [
        (method, path, item[method]["responses"])
        for path, item in spec["paths"].items()
        for method in item
        if "relationName" not in path
    ]
    # PUT first, so that GET finds it; DELETE last, and the incident itself last of all.
    operations.sort(key=lambda each: ("put", "get", "post", "delete").index(each[0]))
    operations.append(operations.pop([each[0] for each in operations].index("delete")))
    assert len(operations) == 16
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, "own"))
    for case in list(world.cases.values()):
        for method, path, responses in operations:
            names = {"incidentId": case.name, "incidentCommentId": own, "incidentTaskId": own}
            tail = path.rpartition("Microsoft.SecurityInsights")[2] or path
            answer = await client.request(
                method,
                PROVIDER_PATH + tail.format(**names),
                params={"api-version": "2025-09-01"},
                json=BODIES[path.rpartition("/")[2]] if method == "put" else None,
            )
            published = responses.get(str(answer.status))
            assert published is not None, (method, path, answer.status)
            if "schema" in published:
                validator(spec, published["schema"]).validate(await answer.json())


@pytest.mark.parametrize(
    ("status", "path", "version"),
    [
        (404, f"incidents/{uuid.UUID(int=1)}", "2025-09-01"),
        (400, "incidents/nonsense", "2025-09-01"),
        (405, "incidents", "2021-04-01"),
        (400, "incidents?$filter=nonsense", "2025-09-01"),
    ],
)
async def test_errors_are_of_the_published_shape(
    client: TestClient[web.Request, web.Application], status: int, path: str, version: str
) -> None:
    spec = specification()
    mark = "&" if "?" in path else "?"
    answer = await client.get(f"{PROVIDER_PATH}/{path}{mark}api-version={version}")
    assert answer.status == status
    validator(spec, {"$ref": "#/definitions/CloudError"}).validate(await answer.json())


@pytest.mark.parametrize(
    ("file", "body", "path"),
    [
        ("CreateIncident.json", "incident", "incidents/{incidentId}"),
        (
            "comments/CreateIncidentComment.json",
            "incidentComment",
            "incidents/{incidentId}/comments/{incidentCommentId}",
        ),
        (
            "tasks/IncidentTasks_CreateOrUpdate.json",
            "incidentTask",
            "incidents/{incidentId}/tasks/{incidentTaskId}",
        ),
    ],
)
async def test_the_published_examples_are_accepted(
    client: TestClient[web.Request, web.Application], file: str, body: str, path: str
) -> None:
    example = OPENAPI / "sentinel-examples" / file
    if not example.exists():
        pytest.skip("the published examples are not beside this project")
    given = json.loads(example.read_text("utf-8"))["parameters"]
    url = f"{PROVIDER_PATH}/{path.format(**{**given, 'incidentId': PHISHING})}"
    if body == "incident":
        url = url.replace(PHISHING, given["incidentId"])
    for status in (201, 200):
        given[body].pop("etag", None) if status == 200 else None
        answer = await client.put(
            url, params={"api-version": given["api-version"]}, json=given[body]
        )
        assert answer.status == status, await answer.text()
        for key, value in given[body]["properties"].items():
            shown = (await answer.json())["properties"][key]
            if key == "owner":
                shown = {name: shown[name] for name in value}
            if key.endswith("Utc"):
                shown = datetime.fromisoformat(shown)
                value = datetime.fromisoformat(value)
            assert shown == value
