"""Write docs/openapi.yaml from the application: its routes, its handlers' words, its refusals.

    python -m docs.openapi

Which routes there are is asked of the application itself; `ROUTES` says what each takes and gives,
by its handler. What a request is refused with is the tree in bot/errors.py. Tests write it again,
and hold the schemas against what the code takes.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from app import application
from bot.bodies import MAX_BODY
from bot.errors import Refused, TooBusy
from bot.health import Health
from bot.teams.activity import MAX_ID
from bot.teams.edge import Edge
from bot.webhook import edge as webhook
from sandbox.run import settings

ROOT = Path(__file__).resolve().parents[1]
OUT = Path(__file__).parent / "openapi.yaml"

Schema = dict[str, Any]
Route = tuple[str, str, Callable[..., Any]]

_ID: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": r"\S"}
_NAMED: Schema = {"type": "object", "required": ["id"], "properties": {"id": _ID}}
_LIST: Schema = {"type": ["array", "null"]}
_ANY: Schema = {
    "channelId": _ID,
    "serviceUrl": {**_ID, "format": "uri", "description": "One of Teams' own"},
    "conversation": _NAMED,
    "text": {"type": ["string", "null"]},
    "entities": _LIST,
    "attachments": _LIST,
}
_SENT: Schema = {"id": _ID, **_ANY, "from": _NAMED, "recipient": _NAMED}
_OPTIONAL = {"text", "entities", "attachments"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _activity(description: str, properties: Schema, optional: set[str] = _OPTIONAL) -> Schema:
    required = [name for name in properties if name not in optional]
    shape = {"type": "object", "required": required, "properties": properties}
    return {"description": description, **shape}


SCHEMAS: dict[str, Schema] = {
    "Problem": {
        "type": "object",
        "required": ["error"],
        "additionalProperties": False,
        "properties": {"error": {"type": "string", "minLength": 1}},
    },
    "Activity": {
        "oneOf": [_ref("Message"), _ref("Invoke"), _ref("Other")],
    },
    "Message": _activity(
        "Something said, or a button on a client that knows no other",
        {"type": {"type": "string", "const": "message"}, **_SENT},
    ),
    "Invoke": _activity(
        "A click on a card, and the like: answered in the response",
        {"type": {"type": "string", "const": "invoke"}, "name": _ID, **_SENT},
    ),
    "Other": _activity(
        "Members that come and go are taken note of, the rest is acknowledged",
        {
            "type": {**_ID, "not": {"enum": ["message", "invoke"]}},
            "id": {"anyOf": [_ID, {"type": "null"}]},
            **_ANY,
        },
        {*_OPTIONAL, "id"},
    ),
    "IncidentTrigger": {
        "type": "object",
        "required": ["object"],
        "properties": {
            "object": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {
                        "type": "string",
                        "maxLength": webhook.MAX_ID,
                        "description": "The incident's ARM id, of a workspace that Casemate serves",
                    }
                },
            }
        },
    },
    "Ready": {
        "type": "object",
        "required": ["ready", "store", "model", "kql_checker"],
        "properties": {"ready": {"type": "boolean"}},
        "additionalProperties": {"type": "string"},
    },
}


@dataclass(frozen=True)
class Answer:
    """What comes with a status: nothing else where there is no schema."""

    description: str
    schema: Schema | None = None
    content: str = "application/json"


@dataclass(frozen=True)
class Operation:
    """What a handler takes and gives; `takes` and `security` name what stands under components."""

    summary: str
    answers: dict[int, Answer]
    takes: str = ""
    security: str = ""
    more: str = ""
    refuses: tuple[type[Refused], ...] = ()


_POSTED = (Refused, *Refused.__subclasses__())
_INVOKED: Schema = {"type": "object"}
ROUTES: dict[Callable[..., Any], Operation] = {
    Edge.messages: Operation(
        "A Bot Framework activity",
        {
            200: Answer("An invoke's answer", _INVOKED),
            202: Answer("Kept; the answer follows in the conversation"),
            404: Answer("A sign-in that was not confirmed by its code", _INVOKED),
            412: Answer("A sign-in that has to be confirmed in a window", _INVOKED),
        },
        takes="Activity",
        security="botFramework",
        more="A message is kept before it is acknowledged, and answered by way of the activity's "
        "service URL. 404 and 412 are for Teams' own `signin/...` invokes.",
        refuses=_POSTED,
    ),
    webhook.Webhook.incidents: Operation(
        "The body of Sentinel's incident trigger",
        {202: Answer("Kept; it will be announced")},
        takes="IncidentTrigger",
        security="entra",
        more="Only the incident's ARM id is taken from it; everything else is read from Sentinel. "
        "A repeat is accepted as well and changes nothing.",
        refuses=_POSTED,
    ),
    Health.healthz: Operation(
        "Whether the process serves",
        {200: Answer("It does", {"type": "string", "const": "ok"}, "text/plain")},
    ),
    Health.readyz: Operation(
        "Whether activities are accepted, and how every service is",
        {
            200: Answer("They are", _ref("Ready")),
            503: Answer("They are not: the store is down", _ref("Ready")),
        },
        more="A model or a Sentinel that is down is told in the body. With several workspaces the "
        "keys are `sentinel:NAME` and `logs:NAME`.",
    ),
}


def routes(app: web.Application) -> Iterator[Route]:
    """Each verb, path and handler of an application, as the handler's class defines it."""
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            handler = getattr(route.handler, "__func__", route.handler)
            yield route.method.lower(), route.resource.canonical, handler


def document(found: Iterable[Route]) -> Schema:
    """The OpenAPI document of these routes. KeyError for a route that `ROUTES` does not know."""
    paths: dict[str, Schema] = {}
    for verb, path, handler in found:
        paths.setdefault(path, {})[verb] = _operation(handler.__name__, ROUTES[handler])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Casemate",
            "version": version,
            "description": "What Casemate answers over HTTP. Teams calls `/api/messages`, a "
            "Sentinel playbook `/api/incidents`, a platform's probes and operators the other two. "
            f"A body may have {MAX_BODY // 1024} KiB. In local mode nobody is authenticated, and a "
            "`Host` or an `Origin` that is not loopback gets 403.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "botFramework": _bearer("A token of the Bot Framework for BOT_APP_ID (RS256)"),
                "entra": _bearer(
                    "A token of Entra ID for INCIDENT_WEBHOOK_AUDIENCE, of a caller that is listed"
                ),
            },
            "schemas": SCHEMAS,
        },
    }


def _operation(name: str, told: Operation) -> Schema:
    said: Schema = {"summary": told.summary, "operationId": name}
    if told.more:
        said["description"] = told.more
    if told.security:
        said["security"] = [{}, {told.security: []}]
    if told.takes:
        schema = {"$ref": f"#/components/schemas/{told.takes}"}
        said["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    answers = {str(status): _answer(each) for status, each in told.answers.items()}
    for error in told.refuses:
        answers.setdefault(str(error.status), _refusal(error))
    return {**said, "responses": dict(sorted(answers.items()))}


def _answer(told: Answer) -> Schema:
    said: Schema = {"description": told.description}
    if told.schema is not None:
        said["content"] = {told.content: {"schema": told.schema}}
    return said


def _refusal(error: type[Refused]) -> Schema:
    """What an error of the edge becomes (bot/bodies.py)."""
    words = inspect.cleandoc(error.__doc__ or "")
    said = _answer(Answer(words, _ref("Problem")))
    if error.status == 401:
        said["headers"] = {"WWW-Authenticate": {"schema": {"type": "string", "const": "Bearer"}}}
    if error is TooBusy:
        said["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return said


def _bearer(description: str) -> Schema:
    return {"type": "http", "scheme": "bearer", "description": description}


class _Plain(yaml.SafeDumper):
    """Writes each thing out where it stands, also what stands there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(described: Schema) -> str:
    """The document as it is kept."""
    written = yaml.dump(described, Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True)
    return f"# Written by python -m docs.openapi\n{written}"


async def _described() -> Schema:
    app = await application(replace(settings(0), kql_checkers=0))
    runner = web.AppRunner(app)
    try:
        await runner.setup()
        return document(routes(app))
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where the database goes
        written = text(asyncio.run(_described()))
    OUT.write_text(written, "utf-8")
