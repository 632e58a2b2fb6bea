"""The sandbox's Log Analytics: metadata and queries as the service answers them, over DuckDB.

Paths, bodies and errors follow the published 2022-10-27 specification; no token is asked for.
`logs` holds the data and turns KQL into SQL.

What runs: `where`, `project`, `project-away`, `project-rename`, `extend`, `summarize`, `join`,
`lookup`, `union`, `mv-expand`, `distinct`, `count`, `sort`/`order`, `top`, `take`/`limit`, `parse`
with a leading `*` or text, `print`, `range`, `datatable`, `getschema`, `render` (rows only), `let`,
saved functions, `toscalar`, `materialize`, and most scalar functions.

What does not, and is refused with the words "The sandbox cannot run ...; the query itself may be
fine": `search`, `find`, `evaluate`, `make-series`, `mv-apply`, `partition`, `invoke`, `as`, `scan`,
`sample`, `top-nested`, `project-keep`, `project-reorder`, `distinct *`, `where * has`; `prev`,
`next`, `row_number`, `make_bag`, `bag_keys`, `pack_all`, `make_set_if`, `make_list_if`,
`percentiles`, `take_any(*)`, `count(x)`, `hash`, `url_decode`, `bin_at`, `format_timespan`,
`unixtime_*`, `column_ifexists`, `has_any_index`, `has_ipv4`, and every `ipv4_*`, `geo_*` and
`series_*` function; `let` functions of tables and `view()`; `mv-expand` of an unnamed expression;
bins of time that do not divide a day; strings such as h"..." and those of many lines; arithmetic
with dynamic values without a cast; columns that differ only in case; `union *`; other workspaces;
`set` and `declare`. `serialize`, names that are keywords elsewhere (`first`, `last`) and control
commands are called syntax errors. `dcount` counts exactly. What analysts write to incidents later
does not show in these tables.

A comment in the query makes the service misbehave, so that anyone can see what an analyst sees:

    // sandbox:timeout    504, as for a query that takes longer than `Prefer: wait`
    // sandbox:throttle   429, to be tried again after 30 s
    // sandbox:partial    half of the rows, and an error beside them
    // sandbox:forbidden  403
    // sandbox:down       503
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
from aiohttp import web

from .cases import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, WORKSPACE_ID, JsonObject
from .logs.answers import Answer, Period, Question
from .logs.errors import QueryError
from .logs.workspace import Logs, Table

MAX_ROWS = 500_000

_WAIT, _MAX_WAIT = 180, 600
_AT_ONCE = 2
_ALWAYS: Period = (datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
_FAULT = re.compile(r"//\s*sandbox:([a-z]+)")
_PREFER_WAIT = re.compile(r"\bwait=(\d+)")
_DURATION = re.compile(
    r"P(?:(?P<weeks>[\d.]+)W)?(?:(?P<days>[\d.]+)D)?"
    r"(?:T(?:(?P<hours>[\d.]+)H)?(?:(?P<minutes>[\d.]+)M)?(?:(?P<seconds>[\d.]+)S)?)?"
)
_INNER = {
    "SyntaxError": "A recognition error occurred in the query.",
    "SemanticError": "A semantic error occurred.",
}
_FAULTS: Mapping[str, tuple[int, str, str]] = {
    "timeout": (504, "GatewayTimeout", "The query did not complete in the allotted time."),
    "throttle": (429, "ThrottledError", "Too many requests; try again later."),
    "forbidden": (
        403,
        "InsufficientAccessError",
        "The provided credentials have insufficient access to perform the requested operation",
    ),
    "down": (503, "ServiceUnavailable", "The service is temporarily unavailable."),
}


def routes(logs: Logs, *, max_rows: int = MAX_ROWS) -> list[web.RouteDef]:
    """Give the service's routes; an answer has at most `max_rows` rows."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def metadata(request: web.Request) -> web.Response:
        return _elsewhere(request) or web.json_response(_metadata(logs))

    async def query(request: web.Request) -> web.Response:
        if elsewhere := _elsewhere(request):
            return elsewhere
        try:
            text, period = await _asked(request, logs.now())
        except ValueError as error:
            return _error(400, "BadArgumentError", str(error))
        word = _fault(text)
        if word in _FAULTS:
            return _failure(word)
        prefer = request.headers.get("Prefer", "")
        question = Question(logs, text, period, most=max_rows)
        async with turns:
            work = asyncio.ensure_future(asyncio.to_thread(question.answer))
            done, _ = await asyncio.wait({work}, timeout=_seconds(prefer))
        if not done:
            question.stop()
            work.add_done_callback(lambda stopped: stopped.cancelled() or stopped.exception())
            return _failure("timeout")
        try:
            return _result(work.result(), prefer, halved=word == "partial")
        except QueryError as error:
            return _refusal(error)

    at = "/v1/workspaces/{workspace}"
    return [
        web.get(f"{at}/metadata", metadata),
        web.post(f"{at}/metadata", metadata),
        web.get(f"{at}/query", query),
        web.post(f"{at}/query", query),
    ]


def app(logs: Logs, *, max_rows: int = MAX_ROWS) -> web.Application:
    """Build an application that is this service alone."""
    application = web.Application()
    application.add_routes(routes(logs, max_rows=max_rows))
    return application


def period(timespan: str, now: datetime) -> Period:
    """Read an ISO 8601 interval or duration; a duration ends now. Raises ValueError."""
    first, slash, second = timespan.partition("/")
    if not slash:
        return now - _duration(first), now
    if first.startswith("P"):
        end = _moment(second)
        return end - _duration(first), end
    start = _moment(first)
    return start, start + _duration(second) if second.startswith("P") else _moment(second)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise ValueError(text)
    return timedelta(**{name: float(value) for name, value in found.groupdict("0").items()})


async def _asked(request: web.Request, now: datetime) -> tuple[str, Period]:
    """Read the query and its period; raises ValueError with the service's words."""
    given: Any = dict(request.query)
    if request.method == "POST":
        try:
            given = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise ValueError("The request body is not JSON.") from error
    body = cast(JsonObject, given if isinstance(given, dict) else {})
    text, timespan = body.get("query"), body.get("timespan")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("Query is a required property.")
    if body.get("workspaces"):
        raise ValueError("The sandbox has one workspace only.")
    if not timespan:
        return text, _ALWAYS
    try:
        return text, period(str(timespan), now)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"The timespan '{timespan}' is not an ISO 8601 time period.") from error


def _fault(query: str) -> str:
    found = _FAULT.search(query)
    return found[1] if found else ""


def _seconds(prefer: str) -> int:
    found = _PREFER_WAIT.search(prefer)
    return min(int(found[1]), _MAX_WAIT) if found else _WAIT


def _elsewhere(request: web.Request) -> web.Response | None:
    if request.match_info["workspace"].lower() == WORKSPACE_ID:
        return None
    return _error(404, "WorkspaceNotFoundError", "The requested workspace was not found.")


def _result(answer: Answer, prefer: str, *, halved: bool) -> web.Response:
    rows, cut = answer.rows, answer.cut
    if halved:
        half = orjson.loads(b"[" + rows + b"]")[: answer.count // 2]
        rows, cut = orjson.dumps(half)[1:-1], "The sandbox was told to leave half of the rows out."
    extra: JsonObject = {}
    if "include-statistics=true" in prefer:
        extra["statistics"] = {"query": {"executionTime": round(answer.seconds, 6)}}
    if cut:
        inner = {"code": "-2133196797", "message": cut, "severity": 2, "severityName": "Error"}
        detail = {
            "code": "EngineError",
            "message": "Something went wrong processing your query on the server.",
            "innererror": inner,
        }
        extra["error"] = {
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [detail],
        }
    columns = orjson.dumps(answer.columns)
    table = b'{"name":"PrimaryResult","columns":%b,"rows":[%b]}' % (columns, rows)
    tail = b"," + orjson.dumps(extra)[1:] if extra else b"}"
    body = b'{"tables":[%b]%b' % (table, tail)
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def _refusal(error: QueryError) -> web.Response:
    if error.kind not in _INNER:
        inner: JsonObject = {"code": "SandboxLimit", "message": error.message}
    else:
        cause: JsonObject = {"code": error.code, "message": error.message}
        if error.line:
            cause |= {"line": error.line, "pos": error.pos, "token": error.token}
        inner = {"code": error.kind, "message": _INNER[error.kind], "innererror": cause}
    return _error(400, "BadArgumentError", "The request had some invalid properties", inner)


def _failure(word: str) -> web.Response:
    response = _error(*_FAULTS[word])
    if word == "throttle":
        response.headers["Retry-After"] = "30"
    return response


def _error(status: int, code: str, message: str, inner: JsonObject | None = None) -> web.Response:
    error: JsonObject = {"message": message, "code": code}
    if inner:
        error["innererror"] = inner
    return web.json_response({"error": error}, status=status)


def _metadata(logs: Logs) -> JsonObject:
    functions = [
        {
            "id": each.name,
            "name": each.name,
            "displayName": each.name,
            "description": each.about,
            "parameters": each.parameters,
            "body": each.body,
            "related": {"workspaces": [WORKSPACE_ID]},
        }
        for each in logs.functions
    ]
    workspace = {
        "id": WORKSPACE_ID,
        "resourceId": (
            f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{RESOURCE_GROUP}"
            f"/providers/microsoft.operationalinsights/workspaces/{WORKSPACE}"
        ),
        "name": WORKSPACE,
        "region": "westeurope",
        "related": {"tables": list(logs.tables), "functions": [each["id"] for each in functions]},
    }
    return {
        "tables": [_table(each) for each in logs.tables.values()],
        "functions": functions,
        "workspaces": [workspace],
    }


def _table(table: Table) -> JsonObject:
    return {
        "id": table.name,
        "name": table.name,
        "description": table.about,
        "timespanColumn": "TimeGenerated",
        "columns": [{"name": name, "type": kind} for name, kind in table.columns.items()],
        "related": {"workspaces": [WORKSPACE_ID]},
    }
