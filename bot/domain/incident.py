"""What a Sentinel incident is to Casemate: its values, and how one is named in a sentence.

Sentinel's enumerations are open (`modelAsString`), so severities, states, tactics and entity
kinds are plain strings: a value nobody has seen yet is shown as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, unquote

# Limits of the Sentinel service (docs: sentinel-service-limits) and the safe caps others found.
MAX_COMMENT_CHARS = 30_000
MAX_COMMENTS = 100
MAX_TASKS = 40
MAX_TASK_TITLE_CHARS = 150
MAX_TASK_DESCRIPTION_CHARS = 3_000


@dataclass(frozen=True, slots=True)
class Workspace:
    """One Sentinel workspace; `name` is what keys, cards and the audit call it.

    `several` says that it is one of several: then what is said of its incidents names it.
    """

    name: str
    subscription_id: str
    resource_group: str
    workspace: str
    workspace_id: str
    several: bool = False

    def is_at(self, subscription: str, group: str, workspace: str) -> bool:
        """Say whether an ARM id's names are this workspace's; Azure writes them in any case."""
        named = (subscription, group, workspace)
        own = (self.subscription_id, self.resource_group, self.workspace)
        return [each.lower() for each in named] == [each.lower() for each in own]

    @property
    def arm_path(self) -> str:
        """The workspace's path in Azure Resource Manager, percent-encoded."""
        names = (self.subscription_id, self.resource_group, self.workspace)
        subscription, group, workspace = (quote(each, safe="") for each in names)
        return (
            f"/subscriptions/{subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.OperationalInsights/workspaces/{workspace}"
        )


@dataclass(frozen=True, slots=True)
class IncidentRef:
    """Names one incident for good: the workspace's name and the incident's resource name."""

    workspace: str
    id: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as Sentinel last told it; `merged_into` numbers the one that took it up.

    `where` names its workspace where there are several.
    """

    ref: IncidentRef
    number: int
    title: str
    severity: str
    status: str
    etag: str = ""
    description: str = ""
    owner: str = ""
    owner_id: str = ""
    classification: str = ""
    reason: str = ""
    closing_comment: str = ""
    tactics: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    alerts_count: int = 0
    comments_count: int = 0
    created: datetime | None = None
    modified: datetime | None = None
    first_activity: datetime | None = None
    last_activity: datetime | None = None
    url: str = ""
    merged_into: int = 0
    where: str = ""

    @property
    def called(self) -> str:
        """What it is called in a sentence or a command: `42`, or `42 in contoso`."""
        return called(self.number, self.where)


def called(number: int, where: str) -> str:
    """Name an incident in words that `mentioned` reads; `where` is empty for one workspace."""
    return f"{number} in {where}" if where else str(number)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of an incident; `details` holds the analytics rule's custom details."""

    id: str
    name: str
    description: str = ""
    severity: str = ""
    product: str = ""
    tactics: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    details: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Entity:
    """An account, host, address, file and so on; `facts` are its properties as text."""

    id: str
    kind: str
    name: str
    facts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on an incident; `message` may hold the portal's HTML."""

    id: str
    message: str
    author: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task on an incident; `status` is `New` or `Completed` as far as is known."""

    id: str
    title: str
    description: str = ""
    status: str = "New"
    created_by: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class CaseFile:
    """All that is known about one incident at one moment."""

    incident: Incident
    alerts: tuple[Alert, ...] = ()
    entities: tuple[Entity, ...] = ()
    comments: tuple[Comment, ...] = ()
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Mention:
    """How a sentence names an incident: exactly one of the first three is set.

    `workspace` is the name of one of several, where the sentence tells which.
    """

    number: int | None = None
    id: str | None = None
    provider_id: str | None = None
    workspace: str = ""


_SENTINEL_LINK = re.compile(
    r"https://(?P<path>[^\s<>\"]{0,600}?)/Microsoft\.SecurityInsights/incidents/"
    r"(?P<id>[0-9a-z][0-9a-z-]{0,62})",
    re.IGNORECASE,
)
_DEFENDER_LINK = re.compile(
    r"https://security\.microsoft\.(?:com|us)/incidents?2?/(?P<id>\d{1,12})\b", re.IGNORECASE
)
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_WORKSPACE = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/[^/]+/workspaces/([^/]+)/providers$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"[\w-]|\.\w")
# Not part of a date, a version or a longer number.
_NUMBER = re.compile(
    r"\bincident\s?(?:no\.?|number|nr\.?|id)?\s?[#:]?\s?(\d{1,10})\b(?![-./:,]\d)"
    r"|(?<![\w/&#])#(\d{1,10})\b",
    re.IGNORECASE,
)


def mentioned(text: str, workspaces: Sequence[Workspace] = ()) -> Mention | None:
    """Find the first incident a sentence names, by link, as `incident 42` or as `#42`.

    The portal's links write slashes percent-encoded at times, and what wraps links in mail encodes
    them once more; all forms are read. `workspaces` are those to choose from: `incident 42 in NAME`
    and a Sentinel link tell which.
    """
    plain = unquote(unquote(text))
    if found := _SENTINEL_LINK.search(plain):
        where = _of_path(found["path"], workspaces) if workspaces else ""
        return Mention(id=found["id"].lower(), workspace=where)
    if found := _DEFENDER_LINK.search(plain):
        return Mention(provider_id=found["id"])
    if found := _numbered(text):
        where = _named_at(text, found.end(), workspaces)
        return Mention(number=int(found[1] or found[2]), workspace=where)
    return None


def parted(words: str, workspaces: Sequence[Workspace]) -> tuple[str, str]:
    """Part `incidents high in NAME` into what is said and the workspace that it ends with.

    The name is empty, and the words are whole, where none of these stands there.
    """
    for name in _longest_first(workspaces):
        rest, tail = words[: -len(name)], words[-len(name) :]
        if tail.casefold() == name.casefold() and rest.casefold().endswith(" in "):
            return rest[: -len(" in ")], name
    return words, ""


def placed(text: str, workspace: str) -> str:
    """Say the same with the workspace behind the incident's number: `#42 in contoso?`."""
    found = _numbered(text)
    end = found.end() if found else len(text.rstrip(".!? "))
    return f"{text[:end]} in {workspace}{text[end:]}"


def _numbered(text: str) -> re.Match[str] | None:
    return _NUMBER.search(_URL.sub(lambda url: " " * len(url[0]), text))


def _named_at(text: str, start: int, workspaces: Sequence[Workspace]) -> str:
    """The workspace that is named right there, and not as the beginning of another word."""
    for name in _longest_first(workspaces):
        words = f" in {name}"
        end = start + len(words)
        if text[start:end].casefold() == words.casefold() and not _GOES_ON.match(text, end):
            return name
    return ""


def _longest_first(workspaces: Sequence[Workspace]) -> list[str]:
    return sorted((each.name for each in workspaces), key=len, reverse=True)


def _of_path(path: str, workspaces: Sequence[Workspace]) -> str:
    """The workspace that a link's path names last, if it is one of these."""
    found = _WORKSPACE.search(path)
    named = (each.name for each in workspaces if found and each.is_at(*found.groups()))
    return next(named, "")
