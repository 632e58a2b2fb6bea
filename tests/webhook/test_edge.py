"""`POST /api/incidents`: whatever comes gets a status and a sentence, never a 500."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.bodies import MAX_BODY
from bot.domain.incident import IncidentRef, Workspace
from bot.errors import Refused, StoreError
from bot.webhook.edge import incident_in
from tests.webhook.conftest import (
    GUID,
    INCIDENT,
    REF,
    STRANGER,
    SUBSCRIPTION,
    WORKSPACE,
    Hook,
    Start,
    arm_id,
    trigger,
)

FIXTURE = (
    Path(__file__).parents[2] / "../shared/fixtures/payloads/sentinel_incident_trigger_create.json"
)


@pytest.fixture
async def hook(start: Start) -> Hook:
    return await start(local=True)


async def test_local_mode_needs_no_token(hook: Hook) -> None:
    assert (await hook.post())[:2] == (202, None)
    assert hook.arrived == [REF]
    assert hook.issuer.fetched == {}


async def test_a_repeat_is_accepted(hook: Hook) -> None:
    assert [(await hook.post())[0] for _ in range(3)] == [202] * 3
    assert hook.arrived == [REF] * 3


def test_the_playbooks_own_body_is_read() -> None:
    if not FIXTURE.exists():
        pytest.skip("the recorded payloads are not beside the project")
    told = json.loads(FIXTURE.read_bytes())
    info = told["workspaceInfo"]
    workspace = Workspace(
        "soc",
        info["SubscriptionId"],
        info["ResourceGroupName"],
        info["WorkspaceName"],
        told["workspaceId"],
    )
    assert incident_in(FIXTURE.read_bytes(), [workspace]).id == told["object"]["name"]


@pytest.mark.parametrize(
    ("id", "incident"),
    [
        (arm_id(), INCIDENT),
        (arm_id().lower(), INCIDENT),
        (arm_id().upper(), INCIDENT),
        (arm_id().replace("Insights/w", "Iinsights/w"), INCIDENT),
        (arm_id("incident-7"), "incident-7"),
        (arm_id("x" * 64), "x" * 64),
    ],
)
async def test_an_id_in_any_case_names_the_incident(hook: Hook, id: str, incident: str) -> None:
    assert (await hook.post(json=trigger(id)))[0] == 202
    assert hook.arrived == [IncidentRef("soc", incident)]


async def test_only_the_id_is_taken_from_the_body(hook: Hook) -> None:
    body = trigger()
    body["object"] |= {"name": STRANGER, "properties": None, "etag": 7}
    body["workspaceInfo"] = "another"
    assert (await hook.post(json=body))[0] == 202
    assert hook.arrived == [REF]


NOT_TRIGGERS: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "a string": b'"incident"',
    "an empty object": b"{}",
    "very deep": b"[" * 100_000,
    "object is null": b'{"object": null}',
    "object is a list": b'{"object": [{"id": 1}]}',
    "no id": json.dumps({"object": {"name": INCIDENT}}).encode(),
    "a form": b"object=1",
}


@pytest.mark.parametrize("case", NOT_TRIGGERS)
async def test_a_body_that_is_not_the_triggers(hook: Hook, case: str) -> None:
    await hook.refused(400, data=NOT_TRIGGERS[case])


@pytest.mark.parametrize(
    "id",
    [
        7,
        "",
        [arm_id()],
        INCIDENT,
        arm_id(""),
        arm_id("x" * 65),
        arm_id("a/b"),
        arm_id("a?b"),
        arm_id("a%2fb"),
        arm_id("..\n"),
        arm_id("é"),
        arm_id("1\n"),
        arm_id(group="x" * 2_000),
        arm_id(group="a/b"),
        f"https://management.azure.com{arm_id()}",
        f"{arm_id()}/comments/1",
        arm_id().replace("Incidents", "Entities"),
        arm_id().replace("Incidents", "incident\u017f"),
    ],
)
async def test_an_id_that_is_not_an_incidents(hook: Hook, id: Any) -> None:
    assert "names no incident" in await hook.refused(400, json=trigger(id))


@pytest.mark.parametrize(
    "where", [{"subscription": STRANGER}, {"group": "other-rg"}, {"workspace": "soc-logs-2"}]
)
async def test_an_incident_of_another_workspace(hook: Hook, where: dict[str, str]) -> None:
    says = await hook.refused(400, json=trigger(arm_id(**where)))
    assert "does not serve" in says


async def test_the_same_id_in_two_workspaces_is_two_incidents(hook: Hook) -> None:
    for subscription in (SUBSCRIPTION, GUID.upper()):
        assert (await hook.post(json=trigger(arm_id(subscription=subscription))))[0] == 202
    assert hook.arrived == [REF, IncidentRef("fabrikam", INCIDENT)]


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 202), (MAX_BODY + 1, 413)])
async def test_how_large_a_body_may_be(hook: Hook, size: int, status: int) -> None:
    body = json.dumps(trigger())
    assert (await hook.post(data=body.ljust(size).encode()))[0] == status
    assert len(hook.arrived) == (status == 202)


async def test_a_body_without_a_length_is_counted_as_it_comes(start: Start) -> None:
    hook = await start()  # and before the token is looked at

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 65_536

    assert "256 KiB" in await hook.refused(413, data=endless())
    bomb = gzip.compress(b" " * (20 * MAX_BODY))
    await hook.refused(413, data=bomb, headers={"Content-Encoding": "gzip"})


async def test_what_could_not_be_kept_is_not_promised(hook: Hook) -> None:
    hook.failure = StoreError("The disk is full.")
    status, body, headers = await hook.post()
    assert (status, headers["Retry-After"]) == (503, "5")
    assert body == {"error": "Casemate cannot keep incidents at the moment. Please try again."}
    hook.failure = None
    assert (await hook.post())[0] == 202


# anything at all

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(arm_id()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["object", "id", "name", "properties"]), inner)
    ),
    max_leaves=10,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(anything | st.builds(trigger, anything))
def test_any_json_names_an_incident_or_is_refused(body: Any) -> None:
    try:
        assert incident_in(json.dumps(body).encode(), [WORKSPACE]) == REF
    except Refused as error:
        assert error.status == 400
