"""A Log Analytics that says what a test tells it to say, and insists on what queries carry."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

WORKSPACE_ID = "c8c99641-985d-4e4e-8e91-fb3466cd0e5b"
QUERY, METADATA = (f"/v1/workspaces/{WORKSPACE_ID}/{what}" for what in ("query", "metadata"))


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    query: str = ""
    timespan: str = ""


@dataclass
class Double:
    """Answers in the order they were given; the last one is repeated.

    An answer is JSON for a 200, a status, a (status, JSON) or (status, JSON, headers), bytes (an
    HTML page), a (status, bytes), None to say nothing at all, or a function from what was asked.
    """

    answers: list[Any] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], Any] | None = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post(QUERY, self._query)
        app.router.add_post("/subscriptions/{below:.+}/query", self._query)  # by way of ARM
        app.router.add_get(METADATA, self._metadata)
        return app

    @property
    def queries(self) -> list[str]:
        return [asked.query for asked in self.asked if asked.path == QUERY]

    async def _query(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert request.content_type == "application/json"
        assert request.headers["Prefer"] == "wait=60"
        assert {name for name, value in body.items() if value is not None} == {"query", "timespan"}
        assert re.fullmatch(r"PT\d+(\.\d+)?S", body["timespan"])
        return await self._say(
            Asked(request.path, dict(request.headers), body["query"], body["timespan"])
        )

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        return await self._say(Asked(request.path, dict(request.headers)))

    async def _say(self, asked: Asked) -> web.StreamResponse:
        self.asked.append(asked)
        said = self.answer(asked) if self.answer else self._next()
        if said is None:
            await asyncio.Event().wait()
        if isinstance(said, bytes):
            said = (200, said)
        if isinstance(said, int):
            said = (said, {"error": {"code": f"Code{said}", "message": "No."}})
        if not isinstance(said, tuple):
            said = (200, said)
        status, body, *headers = said
        html = isinstance(body, bytes)
        return web.Response(
            status=status,
            body=body if html else orjson.dumps(body),
            content_type="text/html" if html else "application/json",
            headers=headers[0] if headers else None,
        )

    def _next(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def table(columns: dict[str, str], *rows: list[Any], **more: Any) -> dict[str, Any]:
    """A query's answer with one table; `more` goes beside it (`error` for a partial result)."""
    named = [{"name": name, "type": type} for name, type in columns.items()]
    return {
        "tables": [{"name": "PrimaryResult", "columns": named, "rows": list(rows)}],
        **more,
    }


def refusal(*messages: str, code: str = "BadArgumentError") -> dict[str, Any]:
    """An error's body as the service nests it, the most precise message innermost."""
    error: dict[str, Any] = {}
    for message in reversed(messages):
        error = {"code": code, "message": message, **({"innererror": error} if error else {})}
    return {"error": error}
