"""What may be written to the sandbox's Sentinel, and what a write changes.

PUT replaces: what is left out is gone. The etag travels in the body; a stale one is refused and
a missing one is not. A comment gives its incident a new etag. The specification says none of
this; users of the service reported it. Where nobody reported anything the strict reading is
taken: a comment belongs to its author, and closing takes a classification with its reason.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from aiohttp import web

from .arm import Call, Refusal
from .cases import NOBODY, Case, guid, resource, stamp
from .odata import moment
from .world import JsonObject

AUTHOR: JsonObject = {"name": "casemate-sandbox", "objectId": guid("person/casemate-sandbox")}

MAX_COMMENTS = 100
MAX_COMMENT_CHARS = 30_000
MAX_TASKS = 40
MAX_DESCRIPTION_CHARS = 5_000

_SEVERITIES = ("High", "Medium", "Low", "Informational")
_STATUSES = ("New", "Active", "Closed")
_TASK_STATUSES = ("New", "Completed")
_REASONS = {
    "Undetermined": ("",),
    "TruePositive": ("SuspiciousActivity",),
    "BenignPositive": ("SuspiciousButExpected",),
    "FalsePositive": ("IncorrectAlertLogic", "InaccurateData"),
}


async def put_incident(call: Call) -> web.Response:
    """Create or replace an incident; 201 or 200."""
    body = await call.body()
    world, old = call.world, call.world.cases.get(call.incident)
    _check_etag(body, old.incident if old else None)
    before: JsonObject = old.incident["properties"] if old else {}
    properties = _incident_properties(body["properties"], before)
    if old is None:
        number = max((case.number for case in world.cases.values()), default=0) + 1
        now = stamp(world.now())
        properties |= {
            "createdTimeUtc": now,
            "incidentNumber": number,
            "providerName": "Azure Sentinel",
            "providerIncidentId": str(number),
            "relatedAnalyticRuleIds": [],
        }
        case = Case(resource("Incidents", call.incident, properties, ""))
        world.cases[call.incident] = case
    else:
        case = old
        case.incident["properties"] = properties
    world.touch(case)
    return web.json_response(world.show(case), status=200 if old else 201)


async def delete_incident(call: Call) -> web.Response:
    """Delete an incident with all that hangs on it; 200, or 204 when there was none."""
    return web.Response(status=200 if call.world.cases.pop(call.incident, None) else 204)


async def put_comment(call: Call) -> web.Response:
    """Create a comment, or change one's own; 201 or 200. The incident gets a new etag."""
    body = await call.body()
    world, case = call.world, call.case
    old = case.comments.get(call.item)
    _check_etag(body, old)
    message = _text(body["properties"], "message", most=MAX_COMMENT_CHARS)
    if not message.strip():
        raise _bad("'Message' must have a non-empty value.")
    if old and old["properties"]["author"]["objectId"] != AUTHOR["objectId"]:
        raise Refusal(403, "Forbidden", "Only the author of a comment can change it.")
    if old is None and len(case.comments) >= MAX_COMMENTS:
        raise _bad(f"An incident can have at most {MAX_COMMENTS} comments.")
    now = stamp(world.now())
    properties: JsonObject = {
        "message": message,
        "createdTimeUtc": old["properties"]["createdTimeUtc"] if old else now,
        "lastModifiedTimeUtc": now,
        "author": AUTHOR,
    }
    path = f"Incidents/{case.name}/Comments"
    case.comments[call.item] = resource(path, call.item, properties, world.etag())
    world.touch(case)
    return web.json_response(case.comments[call.item], status=200 if old else 201)


async def delete_comment(call: Call) -> web.Response:
    """Delete a comment; 200, or 204 when there was none."""
    if call.case.comments.pop(call.item, None) is None:
        return web.Response(status=204)
    call.world.touch(call.case)
    return web.Response(status=200)


async def put_task(call: Call) -> web.Response:
    """Create or replace a task; 201 or 200."""
    body = await call.body()
    world, case = call.world, call.case
    old = case.tasks.get(call.item)
    _check_etag(body, old)
    given: JsonObject = body["properties"]
    title = _text(given, "title")
    if not title.strip():
        raise _bad("'Title' must have a non-empty value.")
    status = _choice(given, "status", _TASK_STATUSES)
    if old is None and len(case.tasks) >= MAX_TASKS:
        raise _bad(f"An incident can have at most {MAX_TASKS} tasks.")
    now = stamp(world.now())
    properties: JsonObject = {
        "title": title,
        "description": _text(given, "description"),
        "status": status,
        "createdTimeUtc": old["properties"]["createdTimeUtc"] if old else now,
        "lastModifiedTimeUtc": now,
        "createdBy": old["properties"]["createdBy"] if old else AUTHOR,
        "lastModifiedBy": AUTHOR,
    }
    path = f"Incidents/{case.name}/Tasks"
    case.tasks[call.item] = resource(path, call.item, properties, world.etag())
    return web.json_response(case.tasks[call.item], status=200 if old else 201)


async def delete_task(call: Call) -> web.Response:
    """Delete a task; 200, or 204 when there was none."""
    gone = call.case.tasks.pop(call.item, None)
    return web.Response(status=200 if gone else 204)


# --- the rules -----------------------------------------------------------------------------------


def _bad(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def _check_etag(body: JsonObject, current: JsonObject | None) -> None:
    etag = body.get("etag")
    if current is not None and etag and etag != current["etag"]:
        raise Refusal(
            409,
            "Conflict",
            f"New version of resource '{current['name']}' exists. Data was not saved.",
        )


def _text(given: JsonObject, key: str, most: int | None = None) -> str:
    value = given.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(f"'{key}' must be a string.")
    if most is not None and len(value) > most:
        raise _bad(f"'{key}' must not be longer than {most} characters.")
    return value


def _choice(given: JsonObject, key: str, values: Collection[str]) -> str:
    value = _text(given, key)
    if not value:
        raise _bad(f"{key} must not be empty.")
    if value not in values:
        raise _bad(f"'{value}' is not a valid value for {key}.")
    return value


def _incident_properties(given: JsonObject, before: JsonObject) -> JsonObject:
    """Take the writable properties of a PUT and keep the read-only ones from before."""
    title = _text(given, "title")
    if not title.strip():
        raise _bad("'Title' must have a non-empty value.")
    # A value from a newer version of the service can be put back as it came.
    severity = _choice(given, "severity", (*_SEVERITIES, before.get("severity", "")))
    status = _choice(given, "status", (*_STATUSES, before.get("status", "")))
    properties: JsonObject = {"title": title, "severity": severity, "status": status}
    if description := _text(given, "description", most=MAX_DESCRIPTION_CHARS):
        properties["description"] = description
    for key in ("firstActivityTimeUtc", "lastActivityTimeUtc"):
        if text := _text(given, key):
            properties[key] = _time(key, text)
    read_only = (
        "createdTimeUtc",
        "incidentNumber",
        "providerName",
        "providerIncidentId",
        "relatedAnalyticRuleIds",
    )
    return {
        **properties,
        **_classification(given, status),
        "owner": _owner(given.get("owner")),
        "labels": _labels(given.get("labels"), before.get("labels", [])),
        **{key: before[key] for key in read_only if key in before},
    }


def _time(key: str, text: str) -> str:
    try:
        return stamp(moment(text))
    except (ValueError, OverflowError):
        raise _bad(f"'{key}' is not a time.") from None


def _classification(given: JsonObject, status: str) -> JsonObject:
    keys = ("classification", "classificationReason", "classificationComment")
    values = {key: text for key in keys if (text := _text(given, key))}
    verdict = values.get("classification", "")
    reason = values.get("classificationReason", "")
    if status == "Closed" and not verdict:
        raise _bad("Classification must be set when an incident is closed.")
    if verdict and verdict not in _REASONS:
        raise _bad(f"'{verdict}' is not a valid value for classification.")
    if verdict and reason not in _REASONS[verdict]:
        raise _bad(f"'{reason}' is not a valid reason for the classification '{verdict}'.")
    return values


def _owner(given: Any) -> JsonObject:
    if given is None:
        return dict(NOBODY)
    if not isinstance(given, dict):
        raise _bad("'owner' must be an object.")
    owner = cast(JsonObject, given)
    known = {key: _text(owner, key) or None for key in NOBODY}
    if not any(known.values()):
        return known
    return {**known, "ownerType": _text(owner, "ownerType") or "User"}


def _labels(given: Any, before: list[JsonObject]) -> list[JsonObject]:
    if given is None:
        return []
    items = cast(list[Any], given) if isinstance(given, list) else [given]
    names: list[str] = []
    for item in items:
        name = _text(cast(JsonObject, item), "labelName") if isinstance(item, dict) else ""
        if not name:
            raise _bad("'labels' must be a list of labels with a labelName.")
        names.append(name)
    types = {label["labelName"]: label["labelType"] for label in before}
    return [{"labelName": name, "labelType": types.get(name, "User")} for name in names]
