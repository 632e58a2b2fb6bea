"""The sandbox's incidents hold together, look fresh, and name nobody real."""

import ipaddress
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from prompts.reading import read_yaml
from sandbox.odata import moment
from sandbox.world import PROVIDER_PATH, Case, World, incident_name, load

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FOLDER = Path(__file__).parents[2] / "sandbox" / "incidents"
FILES = sorted(FOLDER.glob("*.yaml"))
EVERY = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
STORIES = sorted(FOLDER.with_name("arriving").glob("*.yaml"))

# RFC 5737, RFC 3849; RFC 2606 and the names Microsoft keeps for examples.
NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
DOMAINS = ("contoso.com", "fabrikam.com", "example.com", "example.org", "example.net", "example")


@pytest.fixture(scope="module")
def world() -> World:
    return load(NOW)


def case_of(world: World, path: Path) -> Case:
    case = world.by_number(int(path.stem.partition("-")[0]))
    assert case is not None
    return case


def test_the_kinds_of_incident_a_soc_knows_are_there() -> None:
    names = {path.stem.partition("-")[2] for path in FILES}
    assert {
        "aitm-phishing",
        "password-spray",
        "ransomware-precursor",
        "impossible-travel",
        "insider-exfiltration",
        "malware-beacon",
    } <= names


def test_the_incident_of_the_readme_is_the_phishing_with_token_theft(world: World) -> None:
    case = world.by_number(3177)
    assert case is not None
    assert case.name == incident_name(3177)
    shown = world.show(case)
    assert "token theft" in shown["properties"]["title"]
    assert shown["properties"]["additionalData"]["alertsCount"] == 4
    assert "T1539" in shown["properties"]["additionalData"]["techniques"]


def test_the_same_now_gives_the_same_data_and_a_later_one_fresher_times() -> None:
    first, again, later = load(NOW), load(NOW), load(NOW + timedelta(hours=1))
    assert first.cases == again.cases
    assert [case.name for case in first.cases.values()] == [
        case.name for case in later.cases.values()
    ]
    assert first.cases != later.cases


def test_ids_are_unique(world: World) -> None:
    ids: list[str] = []
    for case in world.cases.values():
        parts = [case.incident, *case.alerts, *case.bookmarks, *case.entities]
        parts += [*case.comments.values(), *case.tasks.values()]
        ids += [part["id"] for part in parts]
    assert len(ids) == len(set(ids))
    assert all(name.startswith(PROVIDER_PATH + "/") for name in ids)


def test_numbers_rise_with_the_time_of_creation(world: World) -> None:
    cases = sorted(world.cases.values(), key=lambda case: case.number)
    created = [case.incident["properties"]["createdTimeUtc"] for case in cases]
    assert created == sorted(created)


@EVERY
def test_file_name_number_and_alerts(world: World, path: Path) -> None:
    case = case_of(world, path)
    limits = (1, 1) if path.stem.endswith("connector-health") else (2, 5)
    assert limits[0] <= len(case.alerts) <= limits[1]
    assert case.incident["properties"]["title"]
    for alert in case.alerts:
        for technique in json.loads(
            alert["properties"]["additionalData"].get("MitreTechniques", "[]")
        ):
            assert re.fullmatch(r"T\d{4}(\.\d{3})?", technique)


@EVERY
def test_times_are_ordered(world: World, path: Path) -> None:
    case = case_of(world, path)
    incident = case.incident["properties"]
    first, last, created, modified = (
        moment(incident[key])
        for key in (
            "firstActivityTimeUtc",
            "lastActivityTimeUtc",
            "createdTimeUtc",
            "lastModifiedTimeUtc",
        )
    )
    assert first <= last <= created <= modified <= NOW
    starts = [moment(alert["properties"]["startTimeUtc"]) for alert in case.alerts]
    assert starts == sorted(starts)
    for alert in case.alerts:
        properties = alert["properties"]
        assert moment(properties["startTimeUtc"]) <= moment(properties["endTimeUtc"])
    for item in [*case.comments.values(), *case.tasks.values()]:
        assert created <= moment(item["properties"]["createdTimeUtc"]) <= NOW
    for entity in case.entities:
        for key in ("creationTimeUtc", "receiveDate"):
            if key in entity["properties"]:
                assert moment(entity["properties"][key]) <= last


@EVERY
def test_references_between_entities_lead_to_entities_of_the_same_incident(
    world: World, path: Path
) -> None:
    case = case_of(world, path)
    ids = {entity["id"] for entity in case.entities}
    for entity in case.entities:
        for key, value in entity["properties"].items():
            if key.endswith(("EntityId", "EntityIds")):
                assert set(value if isinstance(value, list) else [value]) <= ids, key


@pytest.mark.parametrize("path", [*FILES, *STORIES], ids=lambda path: path.stem)
def test_names_only_documentation_addresses_and_domains(path: Path) -> None:
    text = path.read_text("utf-8")
    for found in re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text):
        address = ipaddress.ip_address(found)
        assert any(address in network for network in NETWORKS), found
    for found in re.findall(r"\b[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}\b", text):
        assert ipaddress.ip_address(found) in NETWORKS[-1], found
    hosts = re.findall(r"(?:https?://|@)([a-z0-9-]+(?:\.[a-z0-9-]+)+)", text)
    hosts += re.findall(r"\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|net|org|example|io|xyz)\b", text)
    for host in hosts:
        assert any(host == domain or host.endswith("." + domain) for domain in DOMAINS), host


def test_some_incidents_speak_to_an_assistant(world: World) -> None:
    needle = "ignore previous instructions"
    numbers = {
        case.number
        for case in world.cases.values()
        if needle in json.dumps([case.entities, case.alerts]).lower()
    }
    assert numbers == {3176, 3179}


def test_edge_cases_are_there(world: World) -> None:
    bare, strange = world.by_number(3171), world.by_number(3172)
    assert bare is not None and strange is not None
    shown = world.show(bare)["properties"]
    assert (shown["severity"], shown["additionalData"]["tactics"]) == ("Low", [])
    assert bare.entities == [] and "description" not in shown
    assert strange.incident["properties"]["severity"] == "Critical"
    assert "KubernetesPod" in {entity["kind"] for entity in strange.entities}
    owners = [case.incident["properties"]["owner"]["objectId"] for case in world.cases.values()]
    assert None in owners and any(owners)
    assert any(case.comments for case in world.cases.values())
    assert any(case.tasks for case in world.cases.values())


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    data = read_yaml((FOLDER / "3171-connector-health.yaml").read_text("utf-8"))
    (tmp_path / "7.yaml").write_text(yaml.safe_dump({**data, "number": 7}), "utf-8")
    world = load(NOW, tmp_path, clock=lambda: NOW)
    assert [case.number for case in world.cases.values()] == [7]
    assert world.now() == NOW
    assert load(NOW, tmp_path).now().tzinfo is UTC


def test_links_go_to_the_sandbox_page_once_it_has_an_address(world: World) -> None:
    case = world.by_number(3177)
    assert case is not None
    assert world.show(case)["properties"]["incidentUrl"].startswith("https://portal.azure.com/#")
    fresh = load(NOW)
    fresh.portal_url = "http://127.0.0.1:3979/"
    shown = fresh.show(case)["properties"]
    assert shown["incidentUrl"] == "http://127.0.0.1:3979/incidents/3177"
    assert shown["additionalData"]["providerIncidentUrl"] == shown["incidentUrl"]
