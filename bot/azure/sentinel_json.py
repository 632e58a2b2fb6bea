"""Reads what Sentinel says into values, and never stumbles over it.

Sentinel's enumerations are open, fields come and go with the API version and the product behind an
alert, and entities are whatever an analytics rule mapped. So a missing field, null, a wrong type
or an unknown kind costs that field and nothing else. Shapes: the OpenAPI of 2025-09-01 and its
examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote, urlsplit

import orjson

from ..domain.endpoint import is_loopback_host
from ..domain.incident import Alert, Comment, Entity, Incident, IncidentRef, Task, Workspace
from ..ports import JsonObject

NAME = re.compile(r"[0-9A-Za-z-]{1,64}")

# Everything else in an incident is read-only; PUT replaces, so all of these go back (OpenAPI).
WRITABLE = (
    "title",
    "severity",
    "status",
    "description",
    "owner",
    "labels",
    "classification",
    "classificationReason",
    "classificationComment",
    "firstActivityTimeUtc",
    "lastActivityTimeUtc",
)

_PORTALS = {
    "portal.azure.com",
    "portal.azure.us",
    "portal.azure.cn",
    "security.microsoft.com",
    "security.microsoft.us",
}

# What names an entity of a kind, best first, as templates over its facts.
_NAMED_BY = {
    "account": (
        "{accountName}@{upnSuffix}",
        "{accountName}",
        "{displayName}",
        "{aadUserId}",
        "{sid}",
    ),
    "host": ("{hostName}.{dnsDomain}", "{hostName}", "{netBiosName}", "{azureID}"),
    "ip": ("{address}",),
    "url": ("{url}",),
    "dnsresolution": ("{domainName}",),
    "file": ("{fileName}",),
    "filehash": ("{hashValue}",),
    "process": ("{commandLine}", "{processId}"),
    "malware": ("{malwareName}",),
    "registrykey": ("{hive}\\{key}", "{key}"),
    "registryvalue": ("{valueName}",),
    "azureresource": ("{resourceId}",),
    "cloudapplication": ("{appName}", "{appId}"),
    "mailbox": ("{mailboxPrimaryAddress}", "{upn}", "{displayName}"),
    "mailmessage": ("{subject}", "{internetMessageId}", "{networkMessageId}"),
    "submissionmail": ("{subject}", "{networkMessageId}"),
    "mailcluster": ("{query}",),
    "securitygroup": ("{distinguishedName}", "{sid}"),
    "iotdevice": ("{deviceName}", "{deviceId}"),
}


def to_object(value: Any) -> JsonObject:
    """Take a JSON object as it is, and anything else as an empty one."""
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def to_list(value: Any) -> list[Any]:
    """Take a JSON list as it is, and anything else as an empty one."""
    return cast(list[Any], value) if isinstance(value, list) else []


def to_incident(data: JsonObject, workspace: Workspace, loopback: bool = False) -> Incident:
    """Read an incident; `loopback` lets its link point at this machine (the sandbox)."""
    props = to_object(data.get("properties"))
    more = to_object(props.get("additionalData"))
    owner = to_object(props.get("owner"))
    labels = (_text(to_object(label).get("labelName")) for label in to_list(props.get("labels")))
    return Incident(
        ref=IncidentRef(workspace.name, name_of(data)),
        number=_count(props.get("incidentNumber")),
        title=_text(props.get("title")),
        severity=_text(props.get("severity")),
        status=_text(props.get("status")),
        etag=_text(data.get("etag")),
        description=_text(props.get("description")),
        owner=_first_text(owner, "assignedTo", "userPrincipalName", "email"),
        owner_id=_text(owner.get("objectId")),
        classification=_text(props.get("classification")),
        reason=_text(props.get("classificationReason")),
        closing_comment=_text(props.get("classificationComment")),
        tactics=_texts(more.get("tactics")),
        techniques=_texts(more.get("techniques")),
        labels=tuple(label for label in labels if label),
        products=_texts(more.get("alertProductNames")),
        alerts_count=_count(more.get("alertsCount")),
        comments_count=_count(more.get("commentsCount")),
        created=_time(props.get("createdTimeUtc")),
        modified=_time(props.get("lastModifiedTimeUtc")),
        first_activity=_time(props.get("firstActivityTimeUtc")),
        last_activity=_time(props.get("lastActivityTimeUtc")),
        url=_link(more.get("providerIncidentUrl"), loopback)
        or _link(props.get("incidentUrl"), loopback),
        merged_into=_count(more.get("mergedIncidentNumber")),
        where=workspace.name if workspace.several else "",
    )


def to_alert(data: JsonObject) -> Alert:
    """Read an entity of kind SecurityAlert."""
    props = to_object(data.get("properties"))
    more = to_object(props.get("additionalData"))
    return Alert(
        id=_text(props.get("systemAlertId")) or name_of(data),
        name=_first_text(props, "alertDisplayName", "friendlyName", "alertType"),
        description=_text(props.get("description")),
        severity=_text(props.get("severity")),
        product=_text(props.get("productName")),
        tactics=_texts(props.get("tactics")),
        techniques=_technique_ids(
            props.get("techniques"), more.get("Techniques"), more.get("MitreTechniques")
        ),
        started=_time(props.get("startTimeUtc")),
        ended=_time(props.get("endTimeUtc")),
        details={
            name: text
            for name, value in to_object(_parsed(more.get("Custom Details"))).items()
            if (text := _text(value) or ", ".join(_texts(value)))
        },
    )


def to_entity(data: JsonObject) -> Entity:
    """Read an entity of any kind; every property that is one value becomes a fact."""
    props = to_object(data.get("properties"))
    facts = {name: text for name, value in props.items() if (text := _text(value))}
    kind = _text(data.get("kind")) or "Unknown"
    names = (_filled(template, facts) for template in _NAMED_BY.get(kind.lower(), ()))
    return Entity(
        id=name_of(data),
        kind=kind,
        name=next(filter(None, names), "") or facts.get("friendlyName", "") or name_of(data),
        facts=facts,
    )


def to_comment(data: JsonObject) -> Comment:
    """Read a comment; its message may hold the portal's HTML."""
    props = to_object(data.get("properties"))
    return Comment(
        id=name_of(data),
        message=_text(props.get("message")),
        author=_person(props.get("author")),
        created=_time(props.get("createdTimeUtc")),
    )


def to_task(data: JsonObject) -> Task:
    """Read a task; its description may hold the portal's HTML."""
    props = to_object(data.get("properties"))
    return Task(
        id=name_of(data),
        title=_text(props.get("title")),
        description=_text(props.get("description")),
        status=_text(props.get("status")) or "New",
        created_by=_person(props.get("createdBy")),
        created=_time(props.get("createdTimeUtc")),
    )


def merged(raw: JsonObject, changes: Mapping[str, Any]) -> JsonObject:
    """Lay the changes over what may be written; `labelType` and empty owner fields stay behind.

    Raises ValueError for a change of what is read-only.
    """
    if unknown := set(changes) - set(WRITABLE):
        raise ValueError(f"not writable: {', '.join(sorted(unknown))}")
    read = to_object(raw.get("properties"))
    kept = {name: read.get(name) for name in WRITABLE}
    owner = to_object(read.get("owner"))
    kept["owner"] = {name: value for name, value in owner.items() if value is not None} or None
    kept["labels"] = [
        {"labelName": label["labelName"]}
        for label in objects(read.get("labels"))
        if label.get("labelName")
    ]
    properties = {name: value for name, value in {**kept, **changes}.items() if value is not None}
    return {"etag": raw.get("etag"), "properties": properties}


def objects(value: Any) -> Iterator[JsonObject]:
    """Go through the JSON objects of a list, past whatever else is in it."""
    return (cast(JsonObject, each) for each in to_list(value) if isinstance(each, dict))


def name_of(data: JsonObject) -> str:
    """The resource's own name: `name`, or the end of its ARM `id`."""
    return _text(data.get("name")) or _text(data.get("id")).rsplit("/", 1)[-1]


def to_link(page: JsonObject) -> str:
    """Read where a list goes on; empty at its end. Not to be followed unchecked."""
    return _text(page.get("nextLink"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text for each in to_list(value) if (text := _text(each)))


def _first_text(data: JsonObject, *names: str) -> str:
    return next((text for name in names if (text := _text(data.get(name)))), "")


def _person(value: Any) -> str:
    return _first_text(to_object(value), "name", "userPrincipalName", "email")


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value is not True and value > 0 else 0


def _time(value: Any) -> datetime | None:
    """Read a time in UTC; Sentinel writes up to seven decimals, of which Python keeps six."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _parsed(value: Any) -> Any:
    """Unpack what came as JSON in a string, as an alert's additional data does."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def _technique_ids(*values: Any) -> tuple[str, ...]:
    """Find ATT&CK ids in lists, JSON in strings, or text with commas: products differ."""
    written = " ".join(_text(value) or " ".join(_texts(value)) for value in values)
    return tuple(dict.fromkeys(re.findall(r"\bT\d{4}(?:\.\d{3})?\b", written)))


def _filled(template: str, facts: dict[str, str]) -> str:
    try:
        return template.format_map(facts)
    except KeyError:
        return ""


def _link(value: Any, loopback: bool) -> str:
    """Take a link to one of Microsoft's portals, made safe to stand in Markdown and HTML."""
    url = quote(_text(value), safe="%/:?#@!$&*+,;=~", errors="replace")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if "@" in parts.netloc:
        return ""
    portal = parts.scheme == "https" and host in _PORTALS and port in (None, 443)
    local = loopback and parts.scheme in ("http", "https") and is_loopback_host(host)
    return url if portal or local else ""
