"""A Teams connector that is as strict as Teams is documented to be, and keeps what it was sent.

It enforces sequence, prefix, pace, the two minutes, personal chats only, sizes and the rate limits
of a thread and of a tenant (docs: streaming-ux, rate-limit). What it has to complain about stands
in `violations`.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

MAX_BYTES = 100 * 1024
WINDOWS = ((1.0, 7), (2.0, 8), (30.0, 60), (3600.0, 1800))
TENANT_WINDOWS = ((1.0, 50),)


@dataclass
class Sent:
    """One activity as it stands: `history` holds every version, the newest last."""

    id: str
    conversation: str
    history: list[dict[str, Any]] = field(default_factory=list)
    stream_sequence: int = 0
    stream_started: float = 0.0
    stream_open: bool = False

    @property
    def now(self) -> dict[str, Any]:
        return self.history[-1]

    @property
    def text(self) -> str:
        """What is said; of a card alone, what its notification shows."""
        return self.now.get("text") or self.now.get("summary", "")

    @property
    def card(self) -> dict[str, Any] | None:
        for attachment in self.now.get("attachments", ()):
            return attachment["content"]
        return None

    @property
    def updates(self) -> list[str]:
        return [version["text"] for version in self.history if version["type"] == "typing"]


@dataclass
class Refusal:
    """An answer prepared by a test: for requests whose body holds `containing`, `times` times."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    containing: str = ""
    method: str = ""


class Teams:
    """The double: mount `app`, then look at `sent`, `messages` and `violations`.

    With a `hold` it takes messages, and answers when that event has come; `nameless`, it takes
    them and gives no id.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.sent: dict[str, Sent] = {}
        self.typing: list[str] = []
        self.violations: list[str] = []
        self.refusals: list[Refusal] = []
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.members: dict[str, list[Any]] = {}
        self.members_page = 500
        self.members_read: list[str] = []
        self.members_open = asyncio.Event()
        self.members_open.set()
        self.pace = 1.0
        self.hold: asyncio.Event | None = None
        self.nameless = False
        self._kinds: dict[str, str] = {}
        self._times: dict[str, list[float]] = defaultdict(list)
        self._streamed_at: dict[str, float] = {}
        self.app = web.Application(client_max_size=1024 * 1024)
        base = "/v3/conversations/{conversation}/activities"
        self.app.router.add_post(base, self._post)
        self.app.router.add_post(base + "/{activity}", self._post)
        self.app.router.add_put(base + "/{activity}", self._put)
        self.app.router.add_delete(base + "/{activity}", self._delete)
        self.app.router.add_get("/v3/conversations/{team}/pagedmembers", self._members)

    def knows(self, conversation: str, kind: str) -> None:
        """Tell the double what kind of conversation an id is."""
        self._kinds[conversation] = kind

    def messages(self, conversation: str = "") -> list[Sent]:
        """The finished messages, oldest first."""
        return [
            sent
            for sent in self.sent.values()
            if sent.now["type"] == "message"
            and not sent.stream_open
            and conversation in ("", sent.conversation)
        ]

    async def _post(self, request: web.Request) -> web.Response:
        conversation = request.match_info["conversation"]
        activity = await request.json()
        if (refused := self._check(request, conversation, activity)) is not None:
            return refused
        info = next((e for e in activity.get("entities", ()) if e["type"] == "streaminfo"), None)
        if info is not None:
            return self._stream(conversation, activity, info)
        if activity["type"] == "typing":
            self.typing.append(conversation)
            return web.json_response({"id": f"t-{len(self.requests)}"}, status=201)
        answer = self._new(conversation, activity)
        if self.hold is not None:
            await self.hold.wait()
        return answer

    def _new(self, conversation: str, activity: dict[str, Any]) -> web.Response:
        if not activity.get("text") and not activity.get("attachments"):
            return self._no(400, "BadRequest", "Activity must include text or attachments")
        sent = Sent(f"a-{len(self.sent):05d}", conversation, [activity])
        self.sent[sent.id] = sent
        if self.nameless:
            return web.json_response({}, status=202)
        return web.json_response({"id": sent.id}, status=201)

    def _stream(
        self, conversation: str, activity: dict[str, Any], info: dict[str, Any]
    ) -> web.Response:
        now = self._clock.monotonic()
        kind, final = info.get("streamType"), info.get("streamType") == "final"
        if self._kinds.get(conversation) != "personal":
            return self._violated(403, "ContentStreamNotAllowed", "Content stream is not allowed")
        if not activity.get("text"):
            return self._violated(400, "BadRequest", "Streaming activities should include text")
        if final != (activity["type"] == "message") or final == ("streamSequence" in info):
            return self._violated(400, "BadRequest", f"a bad {kind} activity")
        if not final and (activity.get("attachments") or len(activity["entities"]) > 1):
            return self._violated(400, "BadRequest", "attachments before the final message")
        if "streamId" not in info:
            if any(s.stream_open and s.conversation == conversation for s in self.sent.values()):
                self.violations.append("two streams in one chat")
            if info.get("streamSequence") != 1:
                return self._violated(400, "BadRequest", "a stream starts with sequence 1")
            sent = Sent(f"s-{len(self.sent):05d}", conversation, [activity], 1, now, True)
            self.sent[sent.id] = sent
            self._streamed_at[sent.id] = now
            return web.json_response({"id": sent.id}, status=201)
        sent = self.sent[info["streamId"]]
        if not sent.stream_open:
            message = "Content stream is not allowed on an already completed streamed message"
            return self._violated(403, "ContentStreamNotAllowed", message)
        if now - sent.stream_started > 120:
            message = "Content stream finished due to exceeded streaming time."
            sent.stream_open = False
            return self._no(403, "ContentStreamNotAllowed", message)
        if now - self._streamed_at[sent.id] < self.pace - 1e-6:
            self.violations.append(f"an update after {now - self._streamed_at[sent.id]:.2f} s")
            return self._no(429, None, "API calls quota exceeded", {"Retry-After": "1"})
        informative = any(
            e.get("streamType") == "informative" for e in sent.now.get("entities", ())
        )
        if not informative and not activity["text"].startswith(sent.text):
            return self._violated(400, "BadRequest", "the text is not a continuation")
        if not final and info.get("streamSequence") != sent.stream_sequence + 1:
            return self._no(
                202, "ContentStreamSequenceOrderPreConditionFailed", "PreCondition failed"
            )
        sent.history.append(activity)
        sent.stream_sequence += 1
        sent.stream_open = not final
        self._streamed_at[sent.id] = now
        return web.json_response({}, status=202)

    async def _put(self, request: web.Request) -> web.Response:
        conversation = request.match_info["conversation"]
        activity = await request.json()
        if (refused := self._check(request, conversation, activity)) is not None:
            return refused
        sent = self.sent.get(request.match_info["activity"])
        if sent is None or sent.conversation != conversation:
            return self._violated(404, "ActivityNotFound", "no such activity")
        if any(entity["type"] == "streaminfo" for entity in activity.get("entities", ())):
            return self._violated(400, "BadRequest", "streaminfo in an edit")
        sent.history.append(activity)
        sent.stream_open = False
        return web.json_response({"id": sent.id})

    async def _delete(self, request: web.Request) -> web.Response:
        self.sent.pop(request.match_info["activity"], None)
        return web.Response(status=200)

    async def _members(self, request: web.Request) -> web.Response:
        """A page of a team's members (docs: get-teams-context); only where the app is installed."""
        team = request.match_info["team"]
        self.members_read.append(team)
        self.tokens.append(request.headers.get("Authorization", ""))
        for refusal in self.refusals:
            if refusal.times and refusal.method == "GET":
                refusal.times -= 1
                return web.json_response(refusal.body, status=refusal.status)
        if team not in self.members:
            return self._no(403, "BotNotInConversationRoster", "The bot is not part of the team.")
        size = min(int(request.query["pageSize"]), self.members_page)
        start = int(request.query.get("continuationToken", 0))
        body: dict[str, Any] = {"members": self.members[team][start : start + size]}
        if start + size < len(self.members[team]):
            body["continuationToken"] = str(start + size)
        await self.members_open.wait()
        return web.json_response(body)

    def _check(
        self, request: web.Request, conversation: str, activity: dict[str, Any]
    ) -> web.Response | None:
        self.requests.append((request.method, conversation, activity))
        self.tokens.append(request.headers.get("Authorization", ""))
        whole = json.dumps(activity, ensure_ascii=False)
        for refusal in self.refusals:
            if (
                refusal.times
                and refusal.containing in whole
                and refusal.method in ("", request.method)
            ):
                refusal.times -= 1
                return web.json_response(
                    refusal.body, status=refusal.status, headers=refusal.headers
                )
        if len(whole.encode("utf-16-le")) > MAX_BYTES:
            return self._violated(413, "MessageSizeTooBig", "Message size too large")
        if activity.get("from", {}).get("id") is None:
            return self._violated(400, "BadSyntax", "from is missing")
        if problem := _label_problem(activity):
            return self._violated(400, "BadRequest", problem)
        now = self._clock.monotonic()
        of_all, of_thread = self._times["tenant"], self._times[conversation]
        for times, windows in ((of_thread, WINDOWS), (of_all, TENANT_WINDOWS)):
            for seconds, most in windows:
                if len(times) >= most and now - times[-most] < seconds:
                    self.violations.append(f"more than {most} in {seconds} s")
                    return self._no(429, None, "API calls quota exceeded", {"Retry-After": "1"})
        of_thread.append(now)
        of_all.append(now)
        return None

    def _violated(self, status: int, code: str, message: str) -> web.Response:
        self.violations.append(message)
        return self._no(status, code, message)

    @staticmethod
    def _no(
        status: int, code: str | None, message: str, headers: dict[str, str] | None = None
    ) -> web.Response:
        body = {"error": {"code": code, "message": message}}
        return web.json_response(body, status=status, headers=headers)


def _label_problem(activity: dict[str, Any]) -> str:
    """What is wrong with an AI label and its citations (docs: format-ai-bot-messages)."""
    roots = [e for e in activity.get("entities", ()) if e["type"] == "https://schema.org/Message"]
    if len(roots) > 1:
        return "more than one root message entity"
    for claim in roots[0].get("citation", ()) if roots else ():
        appearance = claim["appearance"]
        if f"[{claim['position']}]" not in activity.get("text", ""):
            return "a citation that the text does not name"
        if not 0 < len(appearance["name"]) <= 80 or not 0 < len(appearance["abstract"]) <= 160:
            return "a citation without a proper name and abstract"
    return ""
