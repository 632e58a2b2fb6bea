"""The sandbox's Sentinel: the incident operations of Azure Resource Manager.

Paths, bodies and errors follow the published 2025-09-01 specification. `arm` reads the requests
and `writes` keeps the rules for what is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from aiohttp import web

from . import arm, odata, writes
from .arm import Call, Operation, Refusal
from .world import JsonObject, World

INCIDENT_FIELDS: Mapping[str, str] = {
    "name": "text",
    "properties/title": "text",
    "properties/description": "text",
    "properties/severity": "text",
    "properties/status": "text",
    "properties/classification": "text",
    "properties/providerName": "text",
    "properties/providerIncidentId": "text",
    "properties/incidentNumber": "number",
    "properties/createdTimeUtc": "time",
    "properties/lastModifiedTimeUtc": "time",
    "properties/firstActivityTimeUtc": "time",
    "properties/lastActivityTimeUtc": "time",
    "properties/owner/objectId": "text",
    "properties/owner/email": "text",
    "properties/owner/assignedTo": "text",
    "properties/owner/userPrincipalName": "text",
}
COMMENT_FIELDS: Mapping[str, str] = {
    "properties/message": "text",
    "properties/createdTimeUtc": "time",
    "properties/lastModifiedTimeUtc": "time",
    "properties/author/objectId": "text",
    "properties/author/name": "text",
}
TASK_FIELDS: Mapping[str, str] = {"properties/createdTimeUtc": "time"}

_NEWEST_FIRST = "properties/createdTimeUtc desc"
_OLDEST_FIRST = "properties/createdTimeUtc"


def routes(world: World) -> list[web.RouteDef]:
    """Give the service's routes, to be added to any application (`app.add_routes`)."""
    return arm.routes(world, _OPERATIONS)


def app(world: World) -> web.Application:
    """Build an application that is this service alone."""
    application = web.Application()
    application.add_routes(routes(world))
    return application


def _page(call: Call, items: Sequence[JsonObject], size: int) -> web.Response:
    value, more = odata.page(items, size, call.request.query.get("$skipToken"))
    body: JsonObject = {"value": list(value)}
    if more:
        query = urlencode({**call.request.query, "$skipToken": more}, safe="$", quote_via=quote)
        at = f"{call.request.scheme}://{call.request.host}{call.request.rel_url.raw_path}"
        body["nextLink"] = f"{at}?{query}"
    return web.json_response(body)


def _chosen(call: Call, items: Sequence[JsonObject], fields: Mapping[str, str]) -> list[JsonObject]:
    query = call.request.query
    if text := query.get("$filter"):
        keep = odata.where(text, fields)
        items = [item for item in items if keep(item)]
    return odata.ordered(items, query.get("$orderby") or _NEWEST_FIRST, fields)


async def _list_incidents(call: Call) -> web.Response:
    size = odata.top(call.request.query.get("$top"), odata.DEFAULT_TOP)
    shown = [call.world.show(case) for case in call.world.cases.values()]
    return _page(call, _chosen(call, shown, INCIDENT_FIELDS), size)


async def _list_comments(call: Call) -> web.Response:
    size = odata.top(call.request.query.get("$top"), call.world.page)
    return _page(call, _chosen(call, list(call.case.comments.values()), COMMENT_FIELDS), size)


async def _list_tasks(call: Call) -> web.Response:
    tasks = odata.ordered(list(call.case.tasks.values()), _OLDEST_FIRST, TASK_FIELDS)
    return _page(call, tasks, call.world.page)


async def _list_alerts(call: Call) -> web.Response:
    return web.json_response({"value": call.case.alerts})


async def _list_bookmarks(call: Call) -> web.Response:
    return web.json_response({"value": call.case.bookmarks})


async def _list_entities(call: Call) -> web.Response:
    entities = call.case.entities
    kinds = Counter(entity["kind"] for entity in entities)
    counts = [{"entityKind": kind, "count": count} for kind, count in kinds.items()]
    return web.json_response({"entities": entities, "metaData": counts})


async def _list_relations(call: Call) -> web.Response:
    _ = call.case
    return web.json_response({"value": []})


async def _get_incident(call: Call) -> web.Response:
    return web.json_response(call.world.show(call.case))


async def _get_comment(call: Call) -> web.Response:
    return web.json_response(_item(call, call.case.comments))


async def _get_task(call: Call) -> web.Response:
    return web.json_response(_item(call, call.case.tasks))


async def _get_relation(call: Call) -> web.Response:
    _ = call.case
    return web.json_response(_item(call, {}))


def _item(call: Call, items: Mapping[str, JsonObject]) -> JsonObject:
    if call.item not in items:
        raise Refusal(404, "NotFound", f"Resource '{call.item}' was not found.")
    return items[call.item]


_OPERATIONS: Mapping[str, Operation] = {
    "GET incidents": _list_incidents,
    "GET incidents/*": _get_incident,
    "PUT incidents/*": writes.put_incident,
    "DELETE incidents/*": writes.delete_incident,
    "POST incidents/*/alerts": _list_alerts,
    "POST incidents/*/bookmarks": _list_bookmarks,
    "POST incidents/*/entities": _list_entities,
    "GET incidents/*/comments": _list_comments,
    "GET incidents/*/comments/*": _get_comment,
    "PUT incidents/*/comments/*": writes.put_comment,
    "DELETE incidents/*/comments/*": writes.delete_comment,
    "GET incidents/*/tasks": _list_tasks,
    "GET incidents/*/tasks/*": _get_task,
    "PUT incidents/*/tasks/*": writes.put_task,
    "DELETE incidents/*/tasks/*": writes.delete_task,
    "GET incidents/*/relations": _list_relations,
    "GET incidents/*/relations/*": _get_relation,
}
