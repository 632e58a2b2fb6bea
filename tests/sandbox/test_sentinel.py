"""The rules of the sandbox's Sentinel, as a table of behaviour."""

import asyncio
import io
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from sandbox import sentinel
from sandbox.world import PROVIDER_PATH, Fault, Logged, World, incident_name, load
from sandbox.writes import MAX_COMMENT_CHARS, MAX_COMMENTS, MAX_TASKS

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PHISHING = incident_name(3177)
INSIDER = incident_name(3170)
CLUSTER = incident_name(3172)
NAME = "0d2b6f5e-3c1a-4f7e-9a55-7f6d2c1b0a99"


class Arm:
    """A client that speaks in paths under Microsoft.SecurityInsights."""

    def __init__(self, http: TestClient[web.Request, web.Application]) -> None:
        self.http = http

    async def __call__(
        self, method: str, path: str, body: Any = None, **query: str
    ) -> tuple[int, Any]:
        params = {"api-version": "2025-09-01", **{f"${k}": v for k, v in query.items()}}
        url = f"{PROVIDER_PATH}/{path}"
        async with self.http.request(method, url, params=params, json=body) as answer:
            return answer.status, await answer.json() if await answer.read() else None

    async def numbers(self, **query: str) -> list[int]:
        status, body = await self("GET", "incidents", **query)
        assert status == 200, body
        return [item["properties"]["incidentNumber"] for item in body["value"]]


@pytest.fixture
def world() -> World:
    return load(NOW, clock=lambda: NOW)


@pytest.fixture
async def arm(world: World) -> AsyncIterator[Arm]:
    async with TestClient(TestServer(sentinel.app(world))) as http:
        yield Arm(http)


def code(body: Any) -> str:
    assert set(body) == {"error"} and body["error"]["innerError"] is None
    return body["error"]["code"]


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "status", "expected"),
    [
        (f"{PROVIDER_PATH}/incidents", 400, "MissingApiVersionParameter"),
        (f"{PROVIDER_PATH}/incidents?api-version=2021-04-01", 405, "UnsupportedApiVersion"),
        (f"{PROVIDER_PATH}/incidents/nope?api-version=2025-09-01", 400, "BadRequest"),
        (f"{PROVIDER_PATH}/incidents/{NAME}?api-version=2025-09-01", 404, "NotFound"),
        (f"{PROVIDER_PATH}/incidents/{NAME}/tasks?api-version=2025-09-01", 404, "NotFound"),
        (
            f"{PROVIDER_PATH}/incidents/{PHISHING}/tasks/{NAME}?api-version=2025-09-01",
            404,
            "NotFound",
        ),
        (
            f"{PROVIDER_PATH}/incidents/{PHISHING}/relations/{NAME}?api-version=2025-09-01",
            404,
            "NotFound",
        ),
        (
            f"{PROVIDER_PATH}/incidents/{PHISHING}/alerts?api-version=2025-09-01",
            405,
            "UnsupportedApiVersion",
        ),
        (f"{PROVIDER_PATH}/watchlists?api-version=2025-09-01", 404, "InvalidResourceType"),
        (
            PROVIDER_PATH.replace("1111-1111", "9999-9999") + "/incidents?api-version=2025-09-01",
            404,
            "SubscriptionNotFound",
        ),
        (
            PROVIDER_PATH.replace("soc-sandbox", "other") + "/incidents?api-version=2025-09-01",
            404,
            "ResourceGroupNotFound",
        ),
        (
            PROVIDER_PATH.replace("workspaces/sandbox", "workspaces/other")
            + "/incidents?api-version=2025-09-01",
            404,
            "ResourceNotFound",
        ),
    ],
)
async def test_what_is_not_there(arm: Arm, url: str, status: int, expected: str) -> None:
    async with arm.http.get(url) as answer:
        assert (answer.status, code(await answer.json())) == (status, expected)


async def test_paths_are_read_in_any_case(arm: Arm) -> None:
    url = f"{PROVIDER_PATH}/Incidents/{PHISHING.upper()}".replace(
        "resourceGroups", "resourcegroups"
    )
    async with arm.http.get(url, params={"api-version": "2024-03-01"}) as answer:
        assert (await answer.json())["properties"]["incidentNumber"] == 3177


# --- listing -------------------------------------------------------------------------------------

CREATED = (NOW - timedelta(hours=6)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("properties/incidentNumber eq 3177", [3177]),
        ("properties/incidentNumber ge 3178", [3178, 3179]),
        ("properties/incidentNumber eq -1", []),
        ("properties/status eq 'Closed'", [3164]),
        ("properties/status ne 'Closed' and properties/severity eq 'Low'", [3171]),
        ("properties/severity eq 'Low' or properties/severity eq 'Critical'", [3164, 3171, 3172]),
        (f"properties/createdTimeUtc gt {CREATED}", [3176, 3177, 3178, 3179]),
        ("properties/createdTimeUtc lt 2026-11-22T09:00:00", [3164]),
        ("properties/lastModifiedTimeUtc ge 2026-11-24T08:00:00.0000000Z", [3179]),
        ("properties/providerIncidentId eq '48231'", [3177]),
        ("contains(properties/title,'download')", [3164, 3170]),
        ("contains(properties/title, 'O''Hara')", []),
        ("contains(properties/description, 'LSASS')", [3178]),
        (
            "(properties/severity eq 'High' or contains(properties/title,'spray'))"
            " and not (properties/status eq 'Active')",
            [3175, 3177, 3178],
        ),
        ("properties/owner/assignedTo eq 'Jonas Keller'", [3170]),
        ("properties/classification ne null", [3164]),
        ("properties/classification eq null and properties/incidentNumber lt 3171", [3170]),
        ("properties/classification gt null", []),
    ],
)
async def test_filters(arm: Arm, text: str, numbers: list[int]) -> None:
    found = await arm.numbers(filter=text, orderby="properties/incidentNumber")
    assert found == numbers


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"filter": "color eq 'red'"}, "'color' is not a property"),
        ({"filter": "properties/status"}, "unexpected end"),
        ({"filter": "properties/status like 'New'"}, "unexpected 'like'"),
        ({"filter": "properties/status eq"}, "compared with nothing"),
        ({"filter": "properties/incidentNumber eq '3177'"}, "cannot be compared"),
        ({"filter": "contains(properties/incidentNumber,'3')"}, "cannot be compared"),
        ({"filter": "contains(properties/title 'x')"}, "unexpected"),
        ({"filter": "'New' eq properties/status"}, "unexpected"),
        ({"filter": "(properties/status eq 'New'"}, "unexpected end"),
        ({"filter": "properties/status eq 'New' properties"}, "unexpected 'properties'"),
        ({"filter": "properties/status eq 'New"}, "position"),
        ({"filter": "properties/createdTimeUtc gt 2026-13-01T00:00:00Z"}, "not a time"),
        ({"filter": "(" * 3000}, "position"),
        ({"orderby": "color"}, "$orderby"),
        ({"orderby": "properties/title upwards"}, "$orderby"),
        ({"top": "0"}, "$top"),
        ({"top": "1001"}, "$top"),
        ({"top": "many"}, "$top"),
        ({"skipToken": "!"}, "$skipToken"),
        ({"skipToken": "LTE="}, "$skipToken"),
    ],
)
async def test_queries_that_cannot_be_read(arm: Arm, query: dict[str, str], message: str) -> None:
    status, body = await arm("GET", "incidents", **query)
    assert (status, code(body)) == (400, "BadRequest")
    assert message in body["error"]["message"]


async def test_order_and_default_order(arm: Arm, world: World) -> None:
    everyone = sorted((case.number for case in world.cases.values()), reverse=True)
    assert await arm.numbers() == everyone
    by = "properties/severity asc, properties/incidentNumber desc"
    low = await arm.numbers(orderby=by, filter="properties/severity ne 'High'")
    assert low == [3172, 3171, 3164, 3179, 3176, 3175, 3174]
    owners = await arm.numbers(orderby="properties/owner/email desc")
    assert owners[0] == 3170


async def test_pages_are_followed_on_the_host_that_was_asked(arm: Arm, world: World) -> None:
    status, body = await arm(
        "GET", "incidents", top="4", filter="contains(properties/title,'a') and not (name eq '&=+')"
    )
    seen = [item["name"] for item in body["value"]]
    while "nextLink" in body:
        assert body["nextLink"].startswith(str(arm.http.make_url(PROVIDER_PATH)))
        async with arm.http.get(URL(body["nextLink"], encoded=True).relative()) as answer:
            body = await answer.json()
        seen += [item["name"] for item in body["value"]]
    assert (status, len(seen)) == (200, len(set(seen)))
    assert len(seen) == sum(
        "a" in case.incident["properties"]["title"] for case in world.cases.values()
    )


async def test_comments_are_newest_first_and_tasks_oldest_first(arm: Arm) -> None:
    _, comments = await arm("GET", f"incidents/{INSIDER}/comments")
    _, tasks = await arm("GET", f"incidents/{INSIDER}/tasks")
    _, one = await arm(
        "GET", f"incidents/{INSIDER}/comments", filter="contains(properties/message,'Legal')"
    )
    _, paged = await arm("GET", f"incidents/{INSIDER}/comments", top="1")
    authors = [item["properties"]["author"]["name"] for item in comments["value"]]
    assert authors == ["Amira Haddad", "Jonas Keller"]
    assert [item["properties"]["status"] for item in tasks["value"]] == ["Completed", "New"]
    assert len(one["value"]) == 1 and "nextLink" in paged
    assert await arm("GET", f"incidents/{INSIDER}/relations") == (200, {"value": []})


# --- writing an incident -------------------------------------------------------------------------


async def test_put_replaces_and_what_is_left_out_is_gone(arm: Arm) -> None:
    _, before = await arm("GET", f"incidents/{INSIDER}")
    least = {"title": "t", "severity": "Low", "status": "New"}
    status, after = await arm("PUT", f"incidents/{INSIDER}", {"properties": least})
    assert status == 200
    was, now = before["properties"], after["properties"]
    assert was["owner"]["assignedTo"] == "Jonas Keller" and now["owner"]["assignedTo"] is None
    assert was["labels"] and now["labels"] == []
    assert "description" not in now and "firstActivityTimeUtc" not in now
    for key in ("incidentNumber", "createdTimeUtc", "providerIncidentId", "additionalData"):
        assert now[key] == was[key]
    assert after["etag"] != before["etag"]
    assert datetime.fromisoformat(now["lastModifiedTimeUtc"]) == NOW


async def test_a_whole_incident_comes_back_as_it_was_put(arm: Arm) -> None:
    _, incident = await arm("GET", f"incidents/{INSIDER}")
    status, again = await arm("PUT", f"incidents/{INSIDER}", incident)
    assert status == 200
    for body in (incident, again):
        body.pop("etag")
        body["properties"].pop("lastModifiedTimeUtc")
    assert again == incident


async def test_read_only_properties_are_not_written(arm: Arm) -> None:
    _, incident = await arm("GET", f"incidents/{PHISHING}")
    incident["properties"] |= {
        "incidentNumber": 1,
        "createdTimeUtc": "2020-01-01T00:00:00Z",
        "providerIncidentId": "1",
        "additionalData": {"tactics": []},
        "labels": [{"labelName": "mine", "labelType": "AutoAssigned"}],
    }
    _, after = await arm("PUT", f"incidents/{PHISHING}", incident)
    assert after["properties"]["incidentNumber"] == 3177
    assert after["properties"]["additionalData"]["tactics"]
    assert after["properties"]["labels"] == [{"labelName": "mine", "labelType": "User"}]


@pytest.mark.parametrize(
    ("etag", "status"), [("current", 200), ("stale", 409), ("missing", 200), (None, 200)]
)
async def test_the_etag_travels_in_the_body(arm: Arm, etag: str | None, status: int) -> None:
    _, incident = await arm("GET", f"incidents/{PHISHING}")
    if etag == "stale":
        await arm("PUT", f"incidents/{PHISHING}", incident)
    elif etag == "missing":
        del incident["etag"]
    elif etag is None:
        incident["etag"] = None
    found, body = await arm("PUT", f"incidents/{PHISHING}", incident)
    assert found == status
    if status == 409:
        assert body == {
            "error": {
                "code": "Conflict",
                "message": f"New version of resource '{PHISHING}' exists. Data was not saved.",
                "innerError": None,
            }
        }


LEAST = {"title": "t", "severity": "Low", "status": "New"}
CLOSED = {**LEAST, "status": "Closed"}


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({**LEAST, "title": None}, "'Title' must have a non-empty value"),
        ({**LEAST, "title": " "}, "'Title' must have a non-empty value"),
        ({**LEAST, "severity": None}, "severity must not be empty"),
        ({**LEAST, "status": None}, "status must not be empty"),
        ({**LEAST, "severity": "Critical"}, "'Critical' is not a valid value"),
        ({**LEAST, "status": "Open"}, "'Open' is not a valid value"),
        ({**LEAST, "title": 5}, "'title' must be a string"),
        ({**LEAST, "description": "x" * 5001}, "longer than 5000"),
        ({**LEAST, "owner": "me"}, "'owner' must be an object"),
        ({**LEAST, "labels": "me"}, "'labels' must be a list"),
        ({**LEAST, "labels": [{"labelType": "User"}]}, "'labels' must be a list"),
        ({**LEAST, "firstActivityTimeUtc": "soon"}, "is not a time"),
        (CLOSED, "Classification must be set"),
        ({**CLOSED, "classification": "Maybe"}, "'Maybe' is not a valid value"),
        ({**CLOSED, "classification": "TruePositive"}, "not a valid reason"),
        (
            {
                **CLOSED,
                "classification": "FalsePositive",
                "classificationReason": "SuspiciousActivity",
            },
            "not a valid reason",
        ),
    ],
)
async def test_incidents_that_are_refused(
    arm: Arm, properties: dict[str, Any], message: str
) -> None:
    given = {key: value for key, value in properties.items() if value is not None}
    _, before = await arm("GET", f"incidents/{PHISHING}")
    status, body = await arm("PUT", f"incidents/{PHISHING}", {"properties": given})
    assert (status, code(body)) == (400, "BadRequest")
    assert message in body["error"]["message"]
    assert await arm("GET", f"incidents/{PHISHING}") == (200, before)


@pytest.mark.parametrize(
    ("classification", "reason"),
    [
        ("TruePositive", "SuspiciousActivity"),
        ("BenignPositive", "SuspiciousButExpected"),
        ("FalsePositive", "IncorrectAlertLogic"),
        ("FalsePositive", "InaccurateData"),
        ("Undetermined", None),
    ],
)
async def test_closing_takes_a_classification_with_its_reason(
    arm: Arm, classification: str, reason: str | None
) -> None:
    given = {**CLOSED, "classification": classification}
    if reason:
        given["classificationReason"] = reason
    status, body = await arm("PUT", f"incidents/{PHISHING}", {"properties": given})
    assert (status, body["properties"]["classification"]) == (200, classification)


async def test_a_severity_nobody_knows_can_be_put_back(arm: Arm) -> None:
    _, incident = await arm("GET", f"incidents/{CLUSTER}")
    status, after = await arm("PUT", f"incidents/{CLUSTER}", incident)
    assert (status, after["properties"]["severity"]) == (200, "Critical")


async def test_an_incident_is_born_and_deleted(arm: Arm) -> None:
    born = {"properties": {**LEAST, "owner": {"assignedTo": "Amira Haddad"}}}
    status, incident = await arm("PUT", f"incidents/{NAME}", born)
    assert (status, incident["properties"]["incidentNumber"]) == (201, 3180)
    assert incident["properties"]["owner"]["ownerType"] == "User"
    assert (await arm.numbers())[0] == 3180
    statuses = [(await arm("DELETE", f"incidents/{NAME}"))[0] for _ in range(2)]
    assert statuses == [200, 204]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b'{"properties":[]}', b"\xff", b"[" * 5000]
)
@pytest.mark.parametrize("tail", ["", f"/comments/{NAME}", f"/tasks/{NAME}"])
async def test_bodies_that_are_no_resource(arm: Arm, tail: str, body: bytes) -> None:
    url = f"{PROVIDER_PATH}/incidents/{PHISHING}{tail}"
    async with arm.http.put(url, params={"api-version": "2025-09-01"}, data=body) as answer:
        assert (answer.status, code(await answer.json())) == (400, "InvalidRequestContent")


async def test_a_body_that_is_too_large(arm: Arm) -> None:
    url = f"{PROVIDER_PATH}/incidents/{PHISHING}/comments/{NAME}"
    large = io.BytesIO(b'"' + b"x" * 1_100_000 + b'"')
    async with arm.http.put(url, params={"api-version": "2025-09-01"}, data=large) as answer:
        assert (answer.status, code(await answer.json())) == (413, "RequestEntityTooLarge")


# --- comments and tasks --------------------------------------------------------------------------


def comment(message: Any = "Looked at it.", **more: Any) -> dict[str, Any]:
    return {"properties": {"message": message}, **more}


def task(**more: Any) -> dict[str, Any]:
    return {"properties": {"title": "Call the user", "status": "New", **more}}


async def test_a_comment_gives_its_incident_a_new_etag(arm: Arm) -> None:
    _, before = await arm("GET", f"incidents/{PHISHING}")
    path = f"incidents/{PHISHING}/comments/{NAME}"
    status, written = await arm("PUT", path, comment())
    assert status == 201
    assert written["properties"]["author"]["name"] == "casemate-sandbox"
    assert written["type"] == "Microsoft.SecurityInsights/Incidents/Comments"
    assert await arm("GET", path) == (200, written)
    conflict, _ = await arm("PUT", f"incidents/{PHISHING}", before)
    _, after = await arm("GET", f"incidents/{PHISHING}")
    counts = [each["properties"]["additionalData"]["commentsCount"] for each in (before, after)]
    assert (conflict, counts) == (409, [1, 2])
    assert (await arm("DELETE", path))[0] == 200
    assert (await arm("DELETE", path))[0] == 204


async def test_the_same_guid_again_changes_the_one_comment(arm: Arm, world: World) -> None:
    path = f"incidents/{PHISHING}/comments/{NAME}"
    assert (await arm("PUT", path, comment("first")))[0] == 201
    assert (await arm("PUT", path, comment("second")))[0] == 200
    assert len(world.cases[PHISHING].comments) == 2
    assert [entry.status for entry in world.writes] == [201, 200]
    assert (await arm("PUT", path, comment(etag='"stale"')))[0] == 409


async def test_a_comment_belongs_to_its_author(arm: Arm, world: World) -> None:
    other = next(iter(world.cases[PHISHING].comments))
    status, body = await arm("PUT", f"incidents/{PHISHING}/comments/{other}", comment())
    assert (status, code(body)) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("message", "status"),
    [("", 400), (None, 400), (7, 400), ("x" * MAX_COMMENT_CHARS, 201), ("x" * 30_001, 400)],
)
async def test_the_length_of_a_comment(arm: Arm, message: Any, status: int) -> None:
    path = f"incidents/{PHISHING}/comments/{NAME}"
    assert (await arm("PUT", path, comment(message)))[0] == status


@pytest.mark.parametrize(
    ("kind", "limit", "body"), [("comments", MAX_COMMENTS, comment()), ("tasks", MAX_TASKS, task())]
)
async def test_an_incident_is_full(
    arm: Arm, world: World, kind: str, limit: int, body: dict[str, Any]
) -> None:
    room = limit - len(getattr(world.cases[PHISHING], kind))
    names = [str(uuid.UUID(int=index)) for index in range(room + 1)]
    statuses = [(await arm("PUT", f"incidents/{PHISHING}/{kind}/{n}", body))[0] for n in names]
    assert statuses == [201] * room + [400]
    assert (await arm("PUT", f"incidents/{PHISHING}/{kind}/{names[0]}", body))[0] == 200


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 201),
        ({"status": "Completed", "description": "<p>Done</p>"}, 201),
        ({"status": "Active"}, 400),
        ({"status": None}, 400),
        ({"title": ""}, 400),
        ({"title": None}, 400),
        ({"description": 3}, 400),
    ],
)
async def test_tasks(arm: Arm, more: dict[str, Any], status: int) -> None:
    found, _ = await arm("PUT", f"incidents/{PHISHING}/tasks/{NAME}", task(**more))
    assert found == status


async def test_a_task_is_completed_and_keeps_who_made_it(arm: Arm, world: World) -> None:
    name = next(iter(world.cases[INSIDER].tasks))
    path = f"incidents/{INSIDER}/tasks/{name}"
    status, after = await arm("PUT", path, task(status="Completed"))
    assert (status, after["properties"]["createdBy"]["name"]) == (200, "Jonas Keller")
    assert after["properties"]["lastModifiedBy"]["name"] == "casemate-sandbox"
    assert await arm("GET", path) == (200, after)
    assert [(await arm("DELETE", path))[0] for _ in range(2)] == [200, 204]


# --- misbehaviour --------------------------------------------------------------------------------


async def test_a_fault_is_answered_first_and_then_is_over(arm: Arm, world: World) -> None:
    world.faults += [
        Fault("GET", "incidents", 429, {"Retry-After": "7"}, count=2),
        Fault("PUT", "/tasks/", 503),
    ]
    for _ in range(2):
        url = f"{PROVIDER_PATH}/incidents?api-version=2025-09-01"
        async with arm.http.get(url) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert (await arm("GET", "incidents"))[0] == 200
    path = f"incidents/{PHISHING}/tasks/{NAME}"
    assert (await arm("PUT", path, task()))[0] == 503
    assert world.cases[PHISHING].tasks == {}
    assert world.writes == [Logged("PUT", f"{PROVIDER_PATH}/{path}", 503)]


async def test_a_reply_can_be_lost_after_the_write(arm: Arm, world: World) -> None:
    world.faults.append(Fault("PUT", "/tasks/", 504, after=True))
    path = f"incidents/{PHISHING}/tasks/{NAME}"
    assert (await arm("PUT", path, task()))[0] == 504
    assert (await arm("PUT", path, task()))[0] == 200
    assert len(world.cases[PHISHING].tasks) == 1


async def test_a_request_can_be_held(arm: Arm, world: World) -> None:
    held = Fault("GET", "incidents", hold=asyncio.Event())
    world.faults.append(held)
    waiting = asyncio.create_task(arm("GET", "incidents"))
    assert (await arm("POST", f"incidents/{PHISHING}/alerts"))[0] == 200
    while held.count:  # noqa: ASYNC110 - until the request has arrived
        await asyncio.sleep(0)
    assert not waiting.done()
    assert held.hold is not None
    held.hold.set()
    assert (await waiting)[0] == 200
