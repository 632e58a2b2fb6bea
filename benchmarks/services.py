"""What a bot talks to, answering at once: token issuer, Sentinel, a streaming model, Teams.

Runs in the benchmark's own process, so that none of it counts as the bot's CPU time.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.domain.query import Table
from sandbox.world import (
    PROVIDER_PATH,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    WORKSPACE_ID,
    World,
    incident_name,
)

from .checker import catalogue

ISSUER = "https://api.botframework.com"
CHUNKS = 40
FIRST_INCIDENT = 1_000_000  # each conversation is about an incident of its own, from here on
# A clause a chunk; the citations make the whole path of an answer run.
_PIECES = [f"Finding {n} is in the evidence [{n % 9 + 1}]. " for n in range(1, CHUNKS)]
_QUERY = {
    "query": "SigninLogs | where TimeGenerated > ago(7d) | summarize count() by UserPrincipalName",
    "explanation": "Counts sign-ins by account.",
    "assumptions": [],
}
_WRITTEN = {
    "model": "gpt-5.4-mini-2026-03-17",
    "choices": [{"message": {"content": json.dumps(_QUERY)}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5200, "completion_tokens": 80},
}
LAST_WORDS = _PIECES[-1].strip()
# The first token names its answer, so that what reaches Teams can be told apart.
_FIRST = "**What happened (NUMBER).** "
_NAMED = re.compile(rb"What happened \((\d+)\)")
PACE_SECONDS = 1.0  # docs: streaming-ux, one update a second


@dataclass
class Answer:
    """When one answer's tokens left the model and its texts reached Teams, in seconds.

    `first_due` and `final_due`: not before then does Teams' pace let a text or the end follow
    the update before it.
    """

    first_token: float = 0.0
    last_token: float = 0.0
    first_text: float = 0.0
    first_due: float = 0.0
    final: float = 0.0
    final_due: float = 0.0

    def arrived(self, at: float, due: float, final: bool) -> None:
        if not self.first_text:
            self.first_text, self.first_due = at, due
        if final:
            self.final, self.final_due = at, due


class Services:
    """Give `app` a port, then `base` and `token`. `arrivals` holds who waits for a message."""

    def __init__(self, world: World) -> None:
        self.base = ""
        self.counts: Counter[str] = Counter()
        self.arrivals: dict[str, asyncio.Future[tuple[float, bytes]]] = {}
        self.posted: list[tuple[float, bytes]] = []  # what came since somebody emptied it, and when
        self.answers: dict[int, Answer] = {}
        self.first = 0.0  # seconds until the model's first token
        self.pause = 0.0  # seconds between two of them
        self._events = _stream()
        self._due: dict[str, float] = {}  # when a conversation's stream may go on
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._case = _case(world)
        self._tables = {"tables": [_table(each) for each in catalogue(100).tables]}
        self.app = web.Application()
        self.app.router.add_get("/openidconfiguration", self._openid)
        self.app.router.add_get("/keys", self._keys)
        self.app.router.add_post("/openai/v1/chat/completions", self._chat)
        activities = "/v3/conversations/{conversation}/activities"
        self.app.router.add_post(activities, self._activity)
        self.app.router.add_post(activities + "/{activity}", self._activity)
        self.app.router.add_put(activities + "/{activity}", self._activity)
        self.app.router.add_route("*", "/subscriptions/{_:.*}", self._sentinel)
        self.app.router.add_get("/v1/workspaces/{_}/metadata", self._metadata)
        self.app.router.add_post("/v1/workspaces/{_}/query", self._query)

    def token(self, app_id: str) -> str:
        """A token as the Bot Framework's service sends it with an activity: RS256, one hour."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": app_id, "serviceurl": self.base, "nbf": now}
        claims["exp"] = now + 3600
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "bench"})

    def environment(self, store: Path) -> dict[str, str]:
        """The settings of a bot that these are the services of."""
        return {
            "ENTRA_AUTHORITY": self.base,
            "AZURE_OPENAI_BASE_URL": f"{self.base}/openai/v1/",
            "AZURE_OPENAI_MODEL": "bench",
            "ARM_ENDPOINT": self.base,
            "LOG_ANALYTICS_ENDPOINT": self.base,
            "KQL_CHECKERS": "0",
            "SENTINEL_SUBSCRIPTION_ID": SUBSCRIPTION,
            "SENTINEL_RESOURCE_GROUP": RESOURCE_GROUP,
            "SENTINEL_WORKSPACE": WORKSPACE,
            "SENTINEL_WORKSPACE_ID": WORKSPACE_ID,
            "STORE_URL": f"sqlite:///{store}",
            "HOST": "127.0.0.1",
        }

    def incident_id(self, number: int) -> str:
        """The resource id of the incident with this number."""
        return f"{PROVIDER_PATH}/incidents/{incident_name(3177)[:-8]}{number:08d}"

    async def _sentinel(self, request: web.Request) -> web.Response:
        """Answer a read of any incident: one case, its incident and people renamed."""
        self.counts["sentinel"] += 1
        _, _, path = request.path.partition("/incidents")
        if path:
            number = int(path.split("/")[1][-8:])
            part = path.partition("/")[2].partition("/")[2]
        else:
            asked = request.query.get("$filter", "").rpartition(" ")[2]
            if not asked.isdigit():  # a ping, or the poll for what has changed
                return web.json_response({"value": []})
            number, part = int(asked), "found"
        body = self._case[part].replace(b"00000000", b"%08d" % number)
        body = body.replace(b'"NUMBER"', b"%d" % number)
        for name in (b"lena.fischer", b"contoso"):
            body = body.replace(name, name + b"%d" % number)
        return web.Response(body=body, content_type="application/json")

    async def _openid(self, request: web.Request) -> web.Response:
        return web.json_response({"issuer": ISSUER, "jwks_uri": f"{self.base}/keys"})

    async def _keys(self, request: web.Request) -> web.Response:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        known = {"kid": "bench", "use": "sig", "endorsements": ["msteams"]}
        return web.json_response({"keys": [key | known]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if b'"json_schema"' in await request.read():
            return web.json_response(_WRITTEN)
        self.counts["model"] += 1
        number = self.counts["model"]
        answer = self.answers[number] = Answer()
        begin, tokens, end = self._events
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await asyncio.sleep(self.first)
        await response.prepare(request)
        await response.write(begin)
        answer.first_token = time.perf_counter()
        # Each goes in an HTTP chunk and a write of its own.
        await response.write(tokens[0].replace(b"NUMBER", b"%d" % number))
        for event in tokens[1:]:
            await asyncio.sleep(self.pause)
            answer.last_token = time.perf_counter()
            await response.write(event)
        await response.write(end)
        return response

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(self._tables)

    async def _query(self, request: web.Request) -> web.Response:
        return web.json_response({"tables": [{"name": "PrimaryResult", "columns": [], "rows": []}]})

    async def _activity(self, request: web.Request) -> web.Response:
        self.counts["teams"] += 1
        body = await request.read()
        now, conversation = time.perf_counter(), request.match_info["conversation"]
        final = orjson.loads(body)["type"] == "message"
        if (named := _NAMED.search(body)) is not None:
            due = self._due.get(conversation, 0.0)
            self.answers[int(named[1])].arrived(now, due, final)
        if final:
            self._due.pop(conversation, None)
            self.posted.append((now, body))
            waiting = self.arrivals.pop(conversation, None)
            if waiting is not None and not waiting.done():
                waiting.set_result((now, body))
        elif b"streaminfo" in body:
            self._due[conversation] = now + PACE_SECONDS
        return web.json_response({"id": f"a-{self.counts['teams']}"}, status=201)


def _table(table: Table) -> dict[str, object]:
    columns = [{"name": column.name, "type": column.type} for column in table.columns]
    return {"id": table.name, "name": table.name, "columns": columns}


def _case(world: World) -> dict[str, bytes]:
    """One incident's answers by the last part of their path; zeros stand for its number."""
    case = world.by_number(3177)
    assert case is not None
    shown = world.show(case)
    shown["properties"]["incidentNumber"] = "NUMBER"
    del shown["properties"]["createdTimeUtc"]  # older than who subscribes, it is not announced
    answers: dict[str, object] = {
        "": shown,
        "found": {"value": [shown]},
        "alerts": {"value": case.alerts},
        "entities": {"entities": case.entities},
        "comments": {"value": list(case.comments.values())},
        "tasks": {"value": list(case.tasks.values())},
    }
    renamed = case.name[:-8] + "00000000"
    return {
        part: orjson.dumps(answer).replace(case.name.encode(), renamed.encode())
        for part, answer in answers.items()
    }


def _stream() -> tuple[bytes, list[bytes], bytes]:
    """One answer in Azure OpenAI's shape: filter results and role; tokens; end and usage."""
    fine = {"filtered": False, "severity": "safe"}
    checked = {name: fine for name in ("hate", "self_harm", "sexual", "violence")}
    head = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1785610058,
        "model": "gpt-5.4-mini-2026-03-17",
        "system_fingerprint": None,
        "usage": None,
    }

    def chunk(delta: dict[str, object], finish: str | None, results: object) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**head, "choices": [choice | {"content_filter_results": results}]}

    prompt = [{"prompt_index": 0, "content_filter_results": checked}]
    usage = {
        "prompt_tokens": 3200,
        "completion_tokens": 480,
        "total_tokens": 3680,
        "prompt_tokens_details": {"cached_tokens": 2048},
    }

    def event(data: dict[str, object]) -> bytes:
        return b"data: " + orjson.dumps(data) + b"\n\n"

    begin = event({**head, "choices": [], "prompt_filter_results": prompt})
    begin += event(chunk({"role": "assistant", "content": "", "refusal": None}, None, {}))
    tokens = [event(chunk({"content": each}, None, checked)) for each in (_FIRST, *_PIECES)]
    end = event(chunk({}, "stop", {})) + event({**head, "choices": [], "usage": usage})
    return begin, tokens, end + b"data: [DONE]\n\n"
