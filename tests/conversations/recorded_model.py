"""A model service that plays a folder of answers, one a request, and keeps what it was sent.

PYTEST_DONT_REWRITE: the messages are for people who do not read Python.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.azure.model_double import ALLOWED, delta, line, usage

_NAME = re.compile(r"(\d+)(?:-(\d+))?\.(sse|json|http|md)")
_COMMENTS = re.compile(r"\A(?:#[^\n]*\n)*\n*")
_FENCED = re.compile(
    r"[^\n]*\n=====EVIDENCE (?P<marker>\w{8,})=====\n"
    r"(?P<body>.*)\n=====END EVIDENCE (?P=marker)=====",
    re.DOTALL,
)
_TYPES = {"sse": "text/event-stream", "json": "application/json", "md": ""}


@dataclass(frozen=True)
class Recording:
    """One answer as it goes over the wire; of a `.md` file only the words are known yet."""

    name: str
    status: int
    headers: dict[str, str]
    body: str

    def on_the_wire(self, streamed: bool) -> tuple[dict[str, str], list[bytes]]:
        """The headers, and the body in the pieces in which it arrives: an event each."""
        if not self.name.endswith(".md"):
            return self.headers, [part.encode() for part in re.split(r"(?<=\n\n)", self.body)]
        # As a tokenizer would count hashes, which these long answers are.
        billed = usage(completion=len(self.body) * 5 // 8)
        if streamed:
            words = re.findall(r"(?:\S+\s*){1,8}", self.body.strip())
            events = [delta(""), *map(delta, words), delta(finish="stop"), billed]
            return {"Content-Type": _TYPES["sse"]}, [*map(line, events), b"data: [DONE]\n\n"]
        choice = {"message": {"role": "assistant", "content": self.body}, "finish_reason": "stop"}
        whole = json.dumps({**billed, "choices": [choice]})
        return {"Content-Type": _TYPES["json"]}, [whole.encode()]


def recordings(folder: Path) -> list[Recording]:
    """Read `1.sse`, `2.json`, `3-5.http` and so on, in the order of their numbers.

    Lines at the top that begin with # are for the reader and are not sent.
    """
    found: dict[int, Recording] = {}
    for path in sorted(folder.glob("*")):
        named = _NAME.fullmatch(path.name)
        assert named, f"model/{path.name}: the name must be like 1.sse, 2.json, 3-5.http or 6.md"
        text = _COMMENTS.sub("", path.read_text("utf-8"))
        for number in range(int(named[1]), int(named[2] or named[1]) + 1):
            assert number not in found, f"model/: there are two answers to request {number}"
            found[number] = _recording(path.name, named[3], text)
    assert set(found) == set(range(1, len(found) + 1)), f"model/: a number is missing: {[*found]}"
    return [found[number] for number in sorted(found)]


def _recording(name: str, kind: str, text: str) -> Recording:
    if kind != "http":
        return Recording(name, 200, {"Content-Type": _TYPES[kind]}, text)
    head, _, body = text.partition("\n\n")
    status, *headers = head.splitlines()
    assert re.match(r"HTTP/1.1 \d{3} ", status), f"model/{name}: no status line: {status!r}"
    pairs = (header.split(": ", 1) for header in headers)
    return Recording(name, int(status.split()[1]), {key: value for key, value in pairs}, body)


@dataclass
class Asked:
    """One request, taken apart as the model reads it; `answered` says that it got a 200."""

    body: dict[str, Any]
    answered: bool
    text: str = ""
    marker: str = ""
    evidence: str = ""
    history: list[str] = field(default_factory=list)
    question: str = ""

    def __post_init__(self) -> None:
        """Check what holds for every request of every conversation."""
        foreign = self.body.keys() - ALLOWED
        assert not foreign, f"the model was sent {foreign}, which GPT-5 deployments refuse"
        assert isinstance(self.body.get("max_completion_tokens"), int), "no max_completion_tokens"
        said = [message["content"] for message in self.body["messages"]]
        shape = r"system( user)?( user assistant)* user user( system)?"
        assert re.fullmatch(shape, " ".join(self.roles)), f"the roles are {self.roles}"
        self.text = "\n".join(said)
        last = len(said) - 1 - (self.roles[-1] == "system")
        given = said[last - 1]
        fenced = _FENCED.fullmatch(given)
        assert fenced, f"the evidence is not fenced:\n{given[:200]} … {given[-200:]}"
        self.marker, self.evidence = fenced["marker"], fenced["body"]
        for exhibit in self.evidence.split("\n"):
            assert exhibit[:1] + exhibit[-1:] == "{}", f"loose text in the evidence: {exhibit}"
        assert self.text.count(self.marker) == 2, "the marker stands elsewhere too"
        self.history, self.question = said[1 : last - 1], said[last]

    @property
    def roles(self) -> list[str]:
        return [message["role"] for message in self.body["messages"]]

    @property
    def schema(self) -> str:
        """The name of the JSON schema that was asked for, or 'none'."""
        return self.body.get("response_format", {}).get("json_schema", {}).get("name", "none")


class RecordedModel:
    """Plays `answers` in order; a request too many stands in `problems`."""

    def __init__(self, answers: list[Recording]) -> None:
        self.answers = answers
        self.bodies: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._answer)

    def asked(self, since: int = 0) -> list[Asked]:
        """The requests from number `since` on, each checked."""
        played = list(zip(self.bodies, self.answers, strict=False))
        return [Asked(body, answer.status == 200) for body, answer in played[since:]]

    @property
    def unplayed(self) -> list[str]:
        return [answer.name for answer in self.answers[len(self.bodies) :]]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if (request.method, request.path) != ("POST", "/openai/v1/chat/completions"):
            self.problems.append(f"the model was sent {request.method} {request.path}")
            return web.Response(status=404)
        body = await request.json()
        self.bodies.append(body)
        if len(self.bodies) > len(self.answers):
            asked = body["messages"][-1]["content"][:100]
            self.problems.append(
                f"the model got request {len(self.bodies)} ({asked!r}), "
                f"and model/ holds {len(self.answers)} answers"
            )
            return web.Response(status=404)
        recording = self.answers[len(self.bodies) - 1]
        headers, pieces = recording.on_the_wire(bool(body.get("stream")))
        response = web.StreamResponse(status=recording.status, headers=headers)
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        return response
