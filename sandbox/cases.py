"""A case from its YAML file, as Azure Resource Manager would hold it.

In `incidents/*.yaml` a string such as `-3h25m` is a time before `now`, and `@name` is the
resource id of the entity with that `ref`; everything else is taken as written.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

JsonObject = dict[str, Any]

SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
RESOURCE_GROUP = "soc-sandbox"
WORKSPACE = "sandbox"
WORKSPACE_ID = "22222222-2222-4222-8222-222222222222"
PROVIDER_PATH = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    f"/providers/Microsoft.OperationalInsights/workspaces/{WORKSPACE}"
    "/providers/Microsoft.SecurityInsights"
)
NOBODY: JsonObject = {
    "objectId": None,
    "email": None,
    "assignedTo": None,
    "userPrincipalName": None,
}

_NAMES = uuid.UUID("5a0d5f0e-6c1b-4e0d-9d7a-3c1f0b7e9a42")
_AGO = re.compile(r"-(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_OWN_PRODUCT = "Azure Sentinel"


@dataclass(slots=True)
class Case:
    """One incident and what hangs on it; `incident` holds no derived values (see `World.show`)."""

    incident: JsonObject
    alerts: list[JsonObject] = field(default_factory=list[JsonObject])
    bookmarks: list[JsonObject] = field(default_factory=list[JsonObject])
    entities: list[JsonObject] = field(default_factory=list[JsonObject])
    comments: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    tasks: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])

    @property
    def name(self) -> str:
        """The incident's resource name, a GUID."""
        return self.incident["name"]

    @property
    def number(self) -> int:
        """The number analysts use."""
        return self.incident["properties"]["incidentNumber"]


def incident_name(number: int) -> str:
    """Name an incident: the same GUID for its number in every sandbox."""
    return guid(f"incident/{number}")


def guid(text: str) -> str:
    """Name anything in the sandbox: the same GUID for the same text."""
    return str(uuid.uuid5(_NAMES, text))


def stamp(moment: datetime) -> str:
    """Write a time as the service does: UTC, seven decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def resource(path: str, name: str, properties: JsonObject, etag: str) -> JsonObject:
    """Build the ARM resource that hangs at `path` under Microsoft.SecurityInsights."""
    kinds = path.split("/")[::2]
    return {
        "id": f"{PROVIDER_PATH}/{path}/{name}",
        "name": name,
        "type": "/".join(["Microsoft.SecurityInsights", *kinds]),
        "etag": etag,
        "properties": properties,
    }


def person(user: str) -> JsonObject:
    """Describe a colleague by the part of the address before the @."""
    address = f"{user}@contoso.com"
    return {
        "objectId": guid(f"person/{user}"),
        "email": address,
        "name": user.replace(".", " ").title(),
        "userPrincipalName": address,
    }


def from_yaml(data: JsonObject, now: datetime, etag: Callable[[], str]) -> Case:
    """Build a case from what its file holds; `etag` makes a new etag at each call."""
    number: int = data["number"]
    ids = {
        item["ref"]: f"{PROVIDER_PATH}/Entities/{name}"
        for name, item in _named(number, "entities", data)
        if "ref" in item
    }
    data = _resolve(data, now, ids)
    name = incident_name(number)
    path = f"Incidents/{name}"
    return Case(
        incident=resource("Incidents", name, _incident(data), etag()),
        alerts=[_alert(key, item) for key, item in _named(number, "alerts", data)],
        bookmarks=[_bookmark(key, item) for key, item in _named(number, "bookmarks", data)],
        entities=[
            _entity(item["kind"], key, item["name"], item["properties"])
            for key, item in _named(number, "entities", data)
        ],
        comments={
            key: resource(f"{path}/Comments", key, _comment(item), etag())
            for key, item in _named(number, "comments", data)
        },
        tasks={
            key: resource(f"{path}/Tasks", key, _task(item), etag())
            for key, item in _named(number, "tasks", data)
        },
    )


def _named(number: int, part: str, data: JsonObject) -> list[tuple[str, JsonObject]]:
    items: list[JsonObject] = data.get(part, [])
    return [(guid(f"{number}/{part}/{index}"), item) for index, item in enumerate(items)]


def _resolve(value: Any, now: datetime, ids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(v, now, ids) for key, v in cast(JsonObject, value).items()}
    if isinstance(value, list):
        return [_resolve(item, now, ids) for item in cast(list[Any], value)]
    if not isinstance(value, str):
        return value
    if value.startswith("@"):
        return ids[value[1:]]
    if ago := _AGO.fullmatch(value):
        days, hours, minutes, seconds = (int(part or 0) for part in ago.groups())
        return stamp(now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))
    return value


def _incident(data: JsonObject) -> JsonObject:
    alerts: list[JsonObject] = data["alerts"]
    changes = [data["created"], *(comment["at"] for comment in data.get("comments", []))]
    optional = ("description", "classification", "classificationReason", "classificationComment")
    times = {
        "firstActivityTimeUtc": min((alert["at"] for alert in alerts), default=None),
        "lastActivityTimeUtc": max((alert["until"] for alert in alerts), default=None),
    }
    return {
        "title": data["title"],
        "severity": data["severity"],
        "status": data["status"],
        **{key: data[key] for key in optional if key in data},
        "owner": _owner(data["owner"]),
        "labels": [{"labelName": label, "labelType": "User"} for label in data.get("labels", [])],
        **{name: at for name, at in times.items() if at},
        "createdTimeUtc": data["created"],
        "lastModifiedTimeUtc": data.get("modified", max(changes)),
        "incidentNumber": data["number"],
        "providerName": data.get("provider", _OWN_PRODUCT),
        "providerIncidentId": data.get("provider_id", str(data["number"])),
        "relatedAnalyticRuleIds": [
            f"{PROVIDER_PATH}/alertRules/{guid('rule/' + alert['name'])}"
            for alert in alerts
            if alert["product"] == _OWN_PRODUCT
        ],
    }


def _owner(user: str | None) -> JsonObject:
    if user is None:
        return dict(NOBODY)
    who = person(user)
    return {"assignedTo": who.pop("name"), **who, "ownerType": "User"}


def _comment(item: JsonObject) -> JsonObject:
    return {
        "message": item["message"],
        "createdTimeUtc": item["at"],
        "lastModifiedTimeUtc": item["at"],
        "author": person(item["author"]),
    }


def _task(item: JsonObject) -> JsonObject:
    return {
        "title": item["title"],
        "description": item.get("description", ""),
        "status": item["status"],
        "createdTimeUtc": item["at"],
        "lastModifiedTimeUtc": item["at"],
        "createdBy": person(item["by"]),
        "lastModifiedBy": person(item["by"]),
    }


def _entity(kind: str, name: str, friendly: str, properties: JsonObject) -> JsonObject:
    return {
        "id": f"{PROVIDER_PATH}/Entities/{name}",
        "name": name,
        "type": "Microsoft.SecurityInsights/Entities",
        "kind": kind,
        "properties": {**properties, "friendlyName": friendly},
    }


def _alert(name: str, item: JsonObject) -> JsonObject:
    extra = {"ProcessedBySentinel": "True"}
    if "details" in item:
        extra["Custom Details"] = json.dumps(item["details"])
    if "techniques" in item:
        # The published schema has no place for an alert's techniques; they come as text.
        extra["MitreTechniques"] = json.dumps(item["techniques"])
    properties: JsonObject = {
        "systemAlertId": name,
        "tactics": item.get("tactics", []),
        "alertDisplayName": item["name"],
        "description": item.get("description", ""),
        "confidenceLevel": "Unknown",
        "severity": item["severity"],
        "vendorName": "Microsoft",
        "productName": item["product"],
        "alertType": f"{WORKSPACE_ID}_{guid('rule/' + item['name'])}",
        "processingEndTime": item["until"],
        "status": "New",
        "startTimeUtc": item["at"],
        "endTimeUtc": item["until"],
        "timeGenerated": item["until"],
        "providerAlertId": guid("provider/" + name),
        "resourceIdentifiers": [{"type": "LogAnalytics", "workspaceId": WORKSPACE_ID}],
        "additionalData": extra,
    }
    if item["product"] == _OWN_PRODUCT:
        properties["productComponentName"] = "Scheduled Alerts"
    return _entity("SecurityAlert", name, item["name"], properties)


def _bookmark(name: str, item: JsonObject) -> JsonObject:
    who = {key: person(item["by"])[key] for key in ("objectId", "email", "name")}
    properties: JsonObject = {
        "displayName": item["name"],
        "created": item["at"],
        "updated": item["at"],
        "createdBy": who,
        "updatedBy": who,
        "eventTime": item["at"],
        "labels": [],
        "notes": item["notes"],
        "query": item["query"],
        "queryResult": json.dumps(item["result"]),
    }
    return _entity("Bookmark", name, item["name"], properties)
