"""Chat completions as Azure OpenAI puts them on the wire, whole and as a stream of events."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SAFE: dict[str, Any] = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
_STOPPED = {**SAFE, "violence": {"filtered": True, "severity": "medium"}}
_PROMPT_RESULTS = [
    {
        "prompt_index": 0,
        "content_filter_results": {**SAFE, "jailbreak": {"filtered": False, "detected": False}},
    }
]
_BLOCK_WORDS = 6
_MOST_BLOCKS = 200


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer with its cost.

    `finish` is `stop`, `length`, `content_filter`, or empty for an answer that just breaks off;
    `stalls` keeps the connection open after that, in silence.
    """

    model: str
    text: str
    usage: dict[str, Any]
    finish: str = "stop"
    stalls: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self) -> dict[str, Any]:
        """The answer as one JSON object; one that breaks off says `length`."""
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": self.finish or "length",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": self.text,
                "refusal": None,
                "annotations": [],
            },
            "content_filter_results": self._results(),
        }
        return {
            **self._head("chat.completion"),
            "service_tier": "default",
            "choices": [choice],
            "prompt_filter_results": _PROMPT_RESULTS,
            "usage": self.usage,
        }

    def chunks(self, with_usage: bool) -> list[dict[str, Any]]:
        """The answer as the chunks of a stream, the odd first one included."""
        odd: dict[str, Any] = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        chunks = [{**odd, "prompt_filter_results": _PROMPT_RESULTS}]
        chunks.append(self._chunk({"role": "assistant", "content": "", "refusal": None}))
        for block in blocks(self.text):
            piece = self._chunk({"content": block}, results=SAFE)
            chunks.append({**piece, "obfuscation": secrets.token_hex(4)})
        if self.finish:
            results = self._results() if self.finish == "content_filter" else {}
            chunks.append(self._chunk({}, self.finish, results))
            if with_usage:
                last = self._head("chat.completion.chunk")
                chunks.append({**last, "choices": [], "usage": self.usage, "obfuscation": ""})
        return chunks

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }

    def _chunk(
        self,
        delta: dict[str, Any],
        finish: str | None = None,
        results: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {
            "index": 0,
            "delta": delta,
            "finish_reason": finish,
            "logprobs": None,
            "content_filter_results": results or {},
        }
        return {**self._head("chat.completion.chunk"), "choices": [choice], "usage": None}

    def _results(self) -> dict[str, Any]:
        return _STOPPED if self.finish == "content_filter" else SAFE


def blocks(text: str) -> list[str]:
    """Cut a text into blocks of a few words, as filtering makes a stream come; 200 at most."""
    words = re.findall(r"\s*\S+\s*", text)
    size = max(_BLOCK_WORDS, -(-len(words) // _MOST_BLOCKS))
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]


async def stream(
    request: web.Request, completion: Completion, with_usage: bool, pace: float
) -> web.StreamResponse:
    """Send a completion as server-sent events, `pace` seconds between two."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    try:
        for chunk in completion.chunks(with_usage):
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await asyncio.sleep(pace)
        if completion.stalls:
            await until_gone(request)
        if completion.finish:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
    except ConnectionError:
        pass  # the reader has heard enough, as when an analyst presses Stop
    return response


async def until_gone(request: web.Request) -> None:
    """Wait until whoever asked hangs up."""
    # aiohttp tells a handler nothing when the other side leaves, so it has to look.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0.1)
