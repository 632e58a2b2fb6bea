"""A chat completions server on loopback that says what it is told to, and is strict about requests.

It refuses what a GPT-5 deployment refuses, so a wrong request fails every test that makes it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ALLOWED = {
    "model",
    "messages",
    "max_completion_tokens",
    "reasoning_effort",
    "stream",
    "stream_options",
    "response_format",
}


@dataclass(frozen=True)
class Says:
    """One answer, its chunks written apart; then `hold` says nothing more, `drop` resets."""

    chunks: Sequence[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold: bool = False
    drop: bool = False


def sse(*events: Any, done: bool = True, hold: bool = False, drop: bool = False) -> Says:
    lines = [event if isinstance(event, bytes) else line(event) for event in events]
    if done:
        lines.append(b"data: [DONE]\n\n")
    return Says(lines, headers={"Content-Type": "text/event-stream"}, hold=hold, drop=drop)


def line(event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}}
    return {
        "model": "gpt-5.4-mini-2026-03-17",
        "choices": [{**choice, "finish_reason": finish, **more}],
    }


def usage(prompt: int = 20, completion: int = 5, cached: int = 0) -> dict[str, Any]:
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return {"model": "gpt-5.4-mini-2026-03-17", "choices": [], "usage": counts}


def says(*pieces: str) -> Says:
    """A whole streamed answer."""
    return sse(*map(delta, pieces), delta(finish="stop"), usage())


def whole(content: str | None, finish: str = "stop", **message: Any) -> Says:
    """A whole answer that is not streamed."""
    choice = {"message": {"role": "assistant", "content": content, **message}}
    return document({**usage(), "choices": [{**choice, "finish_reason": finish}]})


def document(data: Any, status: int = 200, **headers: str) -> Says:
    sent = {"Content-Type": "application/json", **headers}
    return Says([json.dumps(data).encode()], status, sent)


def fails(status: int, code: str = "", message: str = "", **headers: str) -> Says:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return document({"error": {"code": code or str(status), "message": message}}, status, **names)


class ModelDouble:
    """Gives its `answers` one after the other, the last one again and again."""

    def __init__(self, *answers: Says, key: str = "loopback") -> None:
        self.answers = list(answers)
        self.key = key
        self.unknown = ""
        self.asked: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.peers: list[Any] = []
        self.hung_up = asyncio.Event()
        self.before: Callable[[], Any] | None = None
        self.models = document({"object": "list", "data": []})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/openai/v1/chat/completions", self._chat)
        app.router.add_get("/openai/v1/models", self._models)
        return app

    async def _models(self, request: web.Request) -> web.StreamResponse:
        if self.before:
            await self.before()
        return await _say(request, self.models)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            self.hung_up.set()
            raise

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.bodies.append(await request.read())
        self.peers.append(request.transport.get_extra_info("peername"))
        if self.before:
            await self.before()
        if self.unknown in body:
            return await _say(request, fails(400, message=f"Unsupported: '{self.unknown}'"))
        wrong = self._wrong(request, body)
        if wrong:
            return await _say(request, fails(400, "invalid_request_error", wrong))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await _say(request, answer)

    def _wrong(self, request: web.Request, body: dict[str, Any]) -> str:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return "double: wrong key"
        if request.content_type != "application/json" or body.keys() - ALLOWED:
            return f"double: unsupported {body.keys() - ALLOWED}"
        if not isinstance(body.get("max_completion_tokens"), int) or not body.get("model"):
            return "double: model and max_completion_tokens are needed"
        roles = [message["role"] for message in body["messages"]]
        if not roles or set(roles) - {"system", "user", "assistant"}:
            return "double: wrong roles"
        if body.get("stream") and body.get("stream_options") not in (None, {"include_usage": True}):
            return "double: wrong stream_options"
        schema = body.get("response_format", {}).get("json_schema", {"strict": True})
        return "" if schema["strict"] is True else "double: schema is not strict"


async def _say(request: web.Request, answer: Says) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    for chunk in answer.chunks:
        await response.write(chunk)
        await asyncio.sleep(0)
    if answer.hold:
        await asyncio.Event().wait()
    if answer.drop:
        request.transport.abort()
    return response
