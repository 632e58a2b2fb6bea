"""Reads and writes one workspace's incidents through Sentinel's REST API.

A thin client of our own: twelve operations of the stable API version instead of a beta SDK. What
the service does (body etags, PUT that replaces, POST lists) was gathered from its OpenAPI and from
other clients' issues; where that is not certain, both outcomes are handled and a test says so.
"""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import cast
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from ..domain.endpoint import is_loopback, takes_token
from ..domain.incident import Alert, Comment, Entity, Incident, Mention, Task, Workspace
from ..errors import (
    CasemateError,
    IncidentNotFound,
    SentinelConflict,
    SentinelDown,
    SentinelError,
    SentinelForbidden,
    SentinelRefused,
    SignInNeeded,
)
from ..ports import Changes, Clock, IncidentPage, JsonObject
from ..wire import Answer, Retries, Unreachable, request
from . import sentinel_json as read
from .sentinel_errors import failure
from .sentinel_json import NAME, name_of, objects, to_link, to_object
from .sentinel_links import within

API_VERSION = "2025-09-01"

# An analyst waits for the answer: ten seconds of trying again are enough. Every request may be
# repeated: reads (the POST lists are reads too), and writes that are a PUT of the same content.
_RETRIES = Retries(statuses=(429, 502, 503, 504), attempts=4, longest_wait=10.0, total_wait=10.0)
_TIMEOUT = 10.0

_UNREADABLE = "Sentinel answered with something I cannot read. Please try again in a minute."

_PAGES = 10
_CONFLICTS = 3


class Sentinel:
    """One workspace's incidents, as `ports.Incidents` asks for them.

    `endpoint` is Azure Resource Manager's address; `token` gives a bearer token for it, or is None.
    A token that cannot be had is a SentinelDown with the token's own sentence.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        workspace: Workspace,
        endpoint: str,
        token: Callable[[], Awaitable[str]] | None,
        clock: Clock,
    ) -> None:
        self._session = session
        self._workspace = workspace
        self._endpoint = endpoint.rstrip("/")
        self._token = token if takes_token(endpoint) else None
        self._analyst = False
        self._clock = clock
        self._loopback = is_loopback(endpoint)
        self._prefix = f"{workspace.arm_path}/providers/Microsoft.SecurityInsights"

    def of(self, token: Callable[[], Awaitable[str]]) -> Sentinel:
        """The same workspace with an analyst's own rights; SignInNeeded comes through as it is."""
        theirs = copy.copy(self)
        theirs._token, theirs._analyst = token, True
        return theirs

    async def ping(self) -> None:
        """Make the smallest real call; raises SentinelError when the workspace is out of reach."""
        await self.list(top=1)

    async def get(self, incident_id: str) -> Incident:
        """Read one incident."""
        return self._incident(await self._read("GET", self._at(incident_id)))

    async def find(self, mention: Mention) -> Incident:
        """Resolve what a sentence named; raises IncidentNotFound."""
        if mention.id is not None:
            return await self.get(mention.id)
        if mention.number is not None:
            key, kind, wanted = "incidentNumber", "incident", str(mention.number)
            literal = wanted
        else:
            key, kind, wanted = "providerIncidentId", "Defender incident", mention.provider_id or ""
            literal = "'" + wanted.replace("'", "''") + "'"
        try:
            found = await self._first({"$filter": f"properties/{key} eq {literal}"}, key, wanted)
        except SentinelRefused:
            # What Sentinel can filter by is not all documented: then the newest are looked through.
            newest = {"$orderby": "properties/createdTimeUtc desc", "$top": "500"}
            found = await self._first(newest, key, wanted)
        if found is None:
            raise IncidentNotFound(
                f"There is no {kind} {wanted} in the workspace {self._workspace.name}."
            )
        return found

    async def list(
        self, *, filter: str = "", order: str = "", top: int = 50, more: str = ""
    ) -> IncidentPage:
        """List by OData filter and order, or go on with a page's `more`."""
        query = {"$filter": filter, "$orderby": order, "$top": str(top)}
        url = self._checked(more) if more else self._url("/incidents", query)
        page = await self._read("GET", url)
        return IncidentPage(
            tuple(
                self._incident(item)
                for item in objects(page.get("value"))
                if NAME.fullmatch(name_of(item))
            ),
            to_link(page),
        )

    async def alerts(self, incident_id: str) -> tuple[Alert, ...]:
        """Read the incident's alerts (a POST that reads, without paging)."""
        answer = await self._read("POST", self._at(incident_id, "/alerts"))
        return tuple(read.to_alert(item) for item in objects(answer.get("value")))

    async def entities(self, incident_id: str) -> tuple[Entity, ...]:
        """Read the entities of the incident's alerts (a POST that reads, without paging)."""
        answer = await self._read("POST", self._at(incident_id, "/entities"))
        return tuple(read.to_entity(item) for item in objects(answer.get("entities")))

    async def comments(self, incident_id: str) -> tuple[Comment, ...]:
        """Read the incident's comments, oldest first."""
        pages = self._items(self._at(incident_id, "/comments"))
        return tuple(sorted([read.to_comment(item) async for item in pages], key=_age))

    async def tasks(self, incident_id: str) -> tuple[Task, ...]:
        """Read the incident's tasks, oldest first."""
        pages = self._items(self._at(incident_id, "/tasks"))
        return tuple(sorted([read.to_task(item) async for item in pages], key=_age))

    async def add_comment(self, incident_id: str, comment_id: str, html: str) -> None:
        """Write a comment under our own GUID; the same GUID again changes nothing."""
        await self._add(self._at(incident_id, "/comments/", comment_id), {"message": html})

    async def add_task(self, incident_id: str, task_id: str, title: str, html: str) -> None:
        """Write a task under our own GUID; the same GUID again changes nothing."""
        task = {"title": title, "description": html, "status": "New"}
        await self._add(self._at(incident_id, "/tasks/", task_id), task)

    async def update(self, incident_id: str, changes: Changes) -> Incident:
        """Change these writable properties and keep every other one.

        `changes` holds properties as the API spells them; None takes one away. Reads, merges and
        writes with the etag it read; raises SentinelConflict when somebody was faster each time.
        """
        url = self._at(incident_id)
        for attempt in range(1, _CONFLICTS + 2):
            raw = await self._read("GET", url)
            incident = self._incident(raw)
            if not (wanted := changes(incident) if callable(changes) else changes):
                return incident
            body = read.merged(raw, wanted)
            if not body["etag"]:
                raise SentinelDown(
                    "Sentinel gave the incident without its etag, so I changed nothing: somebody "
                    "else's change could have been lost. Please try again later."
                )
            try:
                return self._incident(_object(await self._send("PUT", url, body)))
            except SentinelConflict:
                if attempt > _CONFLICTS:
                    raise
                await self._clock.sleep(random.uniform(0.1, 0.4) * attempt)
        raise AssertionError("the loop returns or raises")

    # --- requests --------------------------------------------------------------------------------

    async def _first(self, query: Mapping[str, str], key: str, wanted: str) -> Incident | None:
        """The first incident that has the value: a filter that is ignored must not mislead."""
        async for item in self._items(self._url("/incidents", query)):
            if str(to_object(item.get("properties")).get(key)) == wanted:
                return self._incident(item)
        return None

    def _url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        given = {name: value for name, value in (query or {}).items() if value}
        args = urlencode({"api-version": API_VERSION, **given}, quote_via=quote)
        return f"{self._endpoint}{self._prefix}{path}?{args}"

    def _at(self, incident_id: str, below: str = "", name: str = "") -> str:
        if not NAME.fullmatch(incident_id):
            raise IncidentNotFound("That is not the id of a Sentinel incident.")
        return self._url(f"/incidents/{incident_id}{below}{quote(name, safe='')}")

    def _checked(self, link: str) -> str:
        """Follow a page's link only within our own workspace: our token goes with the request."""
        if within(link, f"{self._endpoint}{self._prefix}"):
            return link
        raise SentinelDown(
            "Sentinel's list goes on at an address outside this workspace, so I stopped reading. "
            "Please tell whoever runs Casemate."
        )

    async def _items(self, url: str) -> AsyncIterator[JsonObject]:
        for _ in range(_PAGES):
            page = await self._read("GET", url)
            for item in objects(page.get("value")):
                yield item
            if not (link := to_link(page)):
                return
            url = self._checked(link)

    async def _add(self, url: str, properties: JsonObject) -> None:
        try:
            await self._send("PUT", url, {"properties": properties})
        except (SentinelForbidden, SentinelRefused, SentinelConflict):
            # Only its author may write a comment again, and a full incident may refuse what it
            # already holds: neither is documented. What is there under our GUID, we wrote.
            if not await self._exists(url):
                raise

    async def _exists(self, url: str) -> bool:
        try:
            await self._send("GET", url)
        except SentinelError:
            return False
        return True

    async def _read(self, method: str, url: str) -> JsonObject:
        return _object(await self._send(method, url))

    async def _send(self, method: str, url: str, body: JsonObject | None = None) -> Answer:
        try:
            answer = await request(
                self._session,
                method,
                url,
                clock=self._clock,
                json=body,
                headers=await self._headers(),
                timeout=_TIMEOUT,
                retries=_RETRIES,
            )
        except Unreachable as error:
            raise SentinelDown(
                f"Sentinel (the workspace {self._workspace.name}) did not answer. "
                "Please try again in a minute."
            ) from error
        if answer.status in (200, 201):
            return answer
        raise failure(
            answer,
            self._workspace.name,
            writing=method == "PUT",
            analyst=self._analyst,
            of_incident="/incidents/" in urlsplit(url).path,
        )

    async def _headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            return {"Authorization": f"Bearer {await self._token()}"}
        except SignInNeeded:
            raise
        except CasemateError as error:
            raise SentinelDown(error.sentence) from error

    def _incident(self, data: JsonObject) -> Incident:
        if not NAME.fullmatch(name_of(data)):
            raise SentinelDown(_UNREADABLE)
        return read.to_incident(data, self._workspace, loopback=self._loopback)


def _object(answer: Answer) -> JsonObject:
    data = answer.json
    if not isinstance(data, dict):
        raise SentinelDown(_UNREADABLE)
    return cast(JsonObject, data)


def _age(item: Comment | Task) -> datetime:
    return item.created or datetime.min.replace(tzinfo=UTC)
