"""A Sentinel that says what a test tells it to say, and remembers what it was asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from bot.domain.incident import Workspace

WORKSPACE = Workspace(
    name="soc",
    subscription_id="d0cfe6b2-9ac0-4464-9919-dccaee2e48c0",
    resource_group="my Rg",
    workspace="myWorkspace",
    workspace_id="c8c99641-985d-4e4e-8e91-fb3466cd0e5b",
)
PREFIX = (
    "/subscriptions/d0cfe6b2-9ac0-4464-9919-dccaee2e48c0/resourceGroups/my Rg/providers"
    "/Microsoft.OperationalInsights/workspaces/myWorkspace/providers/Microsoft.SecurityInsights"
)


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Double:
    """Answers in the order they were given; the last one is repeated.

    An answer is JSON for a 200, a status, a (status, JSON) or (status, JSON, headers), or bytes.
    """

    answers: list[Any] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Any] | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        raw = await request.read()
        path = request.path.removeprefix(PREFIX)
        asked = Asked(
            request.method,
            path,
            dict(request.query),
            dict(request.headers),
            orjson.loads(raw) if raw else None,
        )
        self.asked.append(asked)
        assert request.query.get("api-version"), "ARM demands an api-version"
        if request.method == "POST":
            assert request.headers["Content-Length"] == "0", "ARM demands a length (411)"
        said = self.answer(asked) if self.answer else self._next()
        if isinstance(said, bytes):
            return web.Response(body=said)
        if isinstance(said, int):
            said = (said, {"error": {"code": f"Code{said}", "message": "No."}})
        if not isinstance(said, tuple):
            said = (200, said)
        status, body, *headers = said
        return web.Response(
            status=status,
            body=orjson.dumps(body),
            content_type="application/json",
            headers=headers[0] if headers else None,
        )

    def _next(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def incident(number: int = 42, name: str = "73e01a99-5cd7-4139-a149-9f2736ff2ab5", **props: Any):
    """An incident as Sentinel gives it, with some properties replaced."""
    return {
        "id": f"{PREFIX}/Incidents/{name}",
        "name": name,
        "type": "Microsoft.SecurityInsights/Incidents",
        "etag": '"e1"',
        "properties": {
            "title": "Sign-in from an anonymous address",
            "severity": "High",
            "status": "New",
            "incidentNumber": number,
            "providerIncidentId": "9001",
            "owner": {"objectId": None, "email": None, "assignedTo": None},
            "labels": [],
            "createdTimeUtc": "2026-11-20T18:22:10.1234567Z",
            "additionalData": {"alertsCount": 1, "tactics": ["InitialAccess"]},
            **props,
        },
    }
