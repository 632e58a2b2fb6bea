"""The envelope of Azure Resource Manager: paths, api-versions, errors, and faults on demand."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from aiohttp import web

from .odata import BadQuery
from .world import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, Case, JsonObject, Logged, World

API_VERSIONS = ("2024-03-01", "2025-09-01", "2025-10-01-preview")

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORKSPACE = (
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"/providers/microsoft\.operationalinsights/workspaces/(?P<workspace>[^/]+)"
)
_PERMISSIONS = re.compile(
    _WORKSPACE + "/providers/microsoft\\.authorization/permissions", re.IGNORECASE
)
_PATH = re.compile(
    _WORKSPACE + r"/providers/microsoft\.securityinsights/incidents"
    r"(?:/(?P<incident>[^/]+)(?:/(?P<part>[a-z]+)(?:/(?P<item>[^/]+))?)?)?/?",
    re.IGNORECASE,
)


class Refusal(Exception):
    """The service says no, in its own words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True)
class Call:
    """One request, taken apart: the names in its path, lower case, "" where there is none."""

    world: World
    request: web.Request
    incident: str
    item: str

    @property
    def case(self) -> Case:
        """The incident that the path names; raises Refusal when there is none."""
        case = self.world.cases.get(self.incident)
        if case is None:
            raise Refusal(404, "NotFound", f"Incident '{self.incident}' was not found.")
        return case

    async def body(self) -> JsonObject:
        """The resource in the body; raises Refusal unless it and its properties are objects."""
        try:
            data: Any = orjson.loads(await self.request.read())
        except orjson.JSONDecodeError:
            data = None
        if isinstance(data, dict):
            body = cast(JsonObject, data)
            if isinstance(body.get("properties"), dict):
                return body
        raise Refusal(400, "InvalidRequestContent", "The request content is not a resource.")


Operation = Callable[[Call], Awaitable[web.Response]]


def routes(world: World, operations: Mapping[str, Operation]) -> list[web.RouteDef]:
    """Route a workspace's requests to `operations`, keyed such as `GET incidents/*/tasks`.

    ARM reads paths in any case, so one route takes them all. What is answered is logged.
    """

    async def serve(request: web.Request) -> web.Response:
        response = await _with_faults(world, operations, request)
        world.log.append(Logged(request.method, request.path, response.status))
        return response

    return [web.route("*", "/{path:(?i:subscriptions)/.+}", serve)]


async def _with_faults(
    world: World, operations: Mapping[str, Operation], request: web.Request
) -> web.Response:
    fault = world.fault(request.method, request.path)
    if fault is None:
        return await _answer(world, operations, request)
    if fault.hold is not None:
        await fault.hold.wait()
    if fault.status is None:
        return await _answer(world, operations, request)
    if fault.after:
        await _answer(world, operations, request)
    response = _error(Refusal(fault.status, "SandboxFault", "The sandbox was told to fail."))
    response.headers.update(fault.headers)
    return response


async def _answer(
    world: World, operations: Mapping[str, Operation], request: web.Request
) -> web.Response:
    try:
        if found := _PERMISSIONS.fullmatch(request.path):
            _check_scope(found["subscription"], found["group"], found["workspace"])
            return web.json_response({"value": world.granted})
        call, operation = _route(world, operations, request)
        return await operation(call)
    except Refusal as refusal:
        return _error(refusal)
    except BadQuery as error:
        return _error(Refusal(400, "BadRequest", str(error)))
    except web.HTTPRequestEntityTooLarge:
        return _error(Refusal(413, "RequestEntityTooLarge", "The request content is too large."))


def _error(refusal: Refusal) -> web.Response:
    error = {"code": refusal.code, "message": refusal.message, "innerError": None}
    return web.json_response({"error": error}, status=refusal.status)


def _route(
    world: World, operations: Mapping[str, Operation], request: web.Request
) -> tuple[Call, Operation]:
    found = _PATH.fullmatch(request.path)
    if found is None:
        raise Refusal(404, "InvalidResourceType", "The resource type could not be found.")
    version = request.query.get("api-version")
    if version is None:
        raise Refusal(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    names = [(found[group] or "").lower() for group in ("incident", "part", "item")]
    incident, part, item = names
    shape = "/".join(["incidents", *(s for s in (incident and "*", part, item and "*") if s)])
    operation = operations.get(f"{request.method} {shape}")
    if operation is None or version not in API_VERSIONS:
        raise Refusal(
            405,
            "UnsupportedApiVersion",
            f"The HTTP resource that matches the request URI '{request.path}' with API version "
            f"'{version}' does not support HTTP method '{request.method}'.",
        )
    _check_scope(found["subscription"], found["group"], found["workspace"])
    for name in (incident, item):
        if name and not _GUID.fullmatch(name):
            raise Refusal(400, "BadRequest", f"The resource name '{name}' is not a GUID.")
    return Call(world, request, incident, item), operation


def _check_scope(subscription: str, group: str, workspace: str) -> None:
    if subscription.lower() != SUBSCRIPTION:
        raise Refusal(
            404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
        )
    if group.lower() != RESOURCE_GROUP:
        raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
    if workspace.lower() != WORKSPACE:
        raise Refusal(
            404,
            "ResourceNotFound",
            f"The Resource 'Microsoft.OperationalInsights/workspaces/{workspace}' under resource "
            f"group '{group}' was not found.",
        )
