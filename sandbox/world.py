"""The sandbox workspace as it is now, shared by the sandbox's services and pages."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from prompts.reading import read_yaml

from .cases import (
    PROVIDER_PATH,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    WORKSPACE_ID,
    Case,
    JsonObject,
    from_yaml,
    incident_name,
    stamp,
)

__all__ = [
    "PROVIDER_PATH",
    "RESOURCE_GROUP",
    "SUBSCRIPTION",
    "WORKSPACE",
    "WORKSPACE_ID",
    "Case",
    "Fault",
    "JsonObject",
    "Logged",
    "World",
    "incident_name",
    "load",
]

_LOGGED = 10_000


class Logged(NamedTuple):
    """One answered request; `status` is what the caller was told."""

    method: str
    path: str
    status: int


@dataclass(slots=True)
class Fault:
    """A misbehaviour for the next `count` requests of `method` whose path contains `path`.

    With a `hold` the request first waits for that event. Then `status` is answered in place of
    the service's own answer: before anything is done, or, with `after`, when all is done (the
    write happened and the reply was lost). Without a `status` the request goes on as usual.
    """

    method: str
    path: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    count: int = 1
    after: bool = False
    hold: asyncio.Event | None = None


# Microsoft Sentinel Responder and Log Analytics Reader, as far as they matter here.
_ROLES: tuple[JsonObject, ...] = (
    {
        "actions": ["Microsoft.SecurityInsights/*/read", "Microsoft.SecurityInsights/incidents/*"],
        "notActions": ["Microsoft.SecurityInsights/incidents/*/Delete"],
    },
    {
        "actions": ["*/read", "Microsoft.OperationalInsights/workspaces/analytics/query/action"],
        "notActions": ["Microsoft.OperationalInsights/workspaces/sharedKeys/read"],
    },
)


@dataclass(slots=True)
class World:
    """The workspace's state.

    `now` may be a test's clock; `portal_url` is where incident links point, `playbook_url` where
    an automation rule posts new incidents; `page` is how many comments or tasks fill a page;
    `faults` are tried in order, and the first match wins.
    `granted` is what the caller may do, as Azure writes it: roles' actions and what they exclude.
    """

    now: Callable[[], datetime]
    cases: dict[str, Case] = field(default_factory=dict[str, Case])
    portal_url: str = ""
    playbook_url: str = ""
    page: int = 50
    faults: list[Fault] = field(default_factory=list[Fault])
    log: deque[Logged] = field(default_factory=lambda: deque[Logged](maxlen=_LOGGED))
    granted: list[JsonObject] = field(default_factory=lambda: [dict(each) for each in _ROLES])
    revision: int = 0

    @property
    def writes(self) -> list[Logged]:
        """The PUT and DELETE requests so far, refused ones included."""
        return [entry for entry in self.log if entry.method in ("PUT", "DELETE")]

    def by_number(self, number: int) -> Case | None:
        """Find a case by its number."""
        return next((case for case in self.cases.values() if case.number == number), None)

    def fault(self, method: str, path: str) -> Fault | None:
        """Use up one count of the first fault that matches a request."""
        for fault in self.faults:
            if fault.count > 0 and fault.method == method and fault.path in path:
                fault.count -= 1
                return fault
        return None

    def etag(self) -> str:
        """Make an etag nobody has seen: quoted, as the service writes it."""
        self.revision += 1
        return f'"{self.revision:08x}-0000-2000-0000-{int(self.now().timestamp()):08x}0000"'

    def touch(self, case: Case) -> None:
        """Mark an incident as changed now."""
        case.incident["etag"] = self.etag()
        case.incident["properties"]["lastModifiedTimeUtc"] = stamp(self.now())

    def link(self, case: Case) -> str:
        """Give the address of the incident's page: the sandbox's own, else the real portal's."""
        if self.portal_url:
            return f"{self.portal_url.rstrip('/')}/incidents/{case.number}"
        portal = "https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident"
        return portal + case.incident["id"]

    def show(self, case: Case) -> JsonObject:
        """Give the incident as the service would: with its counts, tactics and links."""
        alerts = [alert["properties"] for alert in case.alerts]
        techniques = (alert["additionalData"].get("MitreTechniques", "[]") for alert in alerts)
        properties: JsonObject = {
            **case.incident["properties"],
            "incidentUrl": self.link(case),
            "additionalData": {
                "alertsCount": len(alerts),
                "bookmarksCount": len(case.bookmarks),
                "commentsCount": len(case.comments),
                "alertProductNames": _distinct([alert["productName"]] for alert in alerts),
                "tactics": _distinct(alert["tactics"] for alert in alerts),
                "techniques": _distinct(json.loads(text) for text in techniques),
            },
        }
        if properties["providerName"] == "Microsoft XDR":
            properties["additionalData"]["providerIncidentUrl"] = self.link(case)
        return {**case.incident, "properties": properties}


def load(
    now: datetime, folder: Path | None = None, clock: Callable[[], datetime] | None = None
) -> World:
    """Build the workspace from the YAML files of `folder` (default: the sandbox's own).

    Reads files, so call it before the loop serves or in a thread. The same `now` gives the same
    data. `clock` tells the time of later changes (default: the machine's, in UTC).
    """
    world = World(now=lambda: now)
    for path in sorted((folder or Path(__file__).with_name("incidents")).glob("*.yaml")):
        case = from_yaml(read_yaml(path.read_text("utf-8")), now, world.etag)
        world.cases[case.name] = case
    world.now = clock or (lambda: datetime.now(UTC))
    return world


def _distinct(lists: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(item for items in lists for item in items))
