"""Analysts who talk to a bot, so and so many at once, and what that took."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from .process import Process
from .services import FIRST_INCIDENT, Answer, Services

APP_ID = "44444444-4444-4444-8444-444444444444"
TENANT = "33333333-3333-4333-8333-333333333333"
# One conversation: the first question names the incident, the others rely on focus and history.
QUESTIONS = (
    "what happened in incident {incident}?",
    "which accounts should I reset first?",
    "was anything taken from the mailbox?",
    "is the sending domain known to us?",
    "what should I check next?",
)
QUERIES = ("kql which accounts signed in after incident {incident}?", "kql and from where?")
_ids = itertools.count(1)


@dataclass(frozen=True)
class Analysts:
    """So and so many conversations at a time, and how the model answers them (seconds).

    After `limit` seconds nobody asks on, so that a slow bot has fewer turns.
    """

    at_once: int
    turns: int
    kind: str = "groupChat"
    first: float = 0.0
    pause: float = 0.0
    limit: float = 10.0


@dataclass(frozen=True)
class Run:
    """What it took, in seconds: by the clock, of the bot's CPU, and for each of the turns.

    `spent` is the bot's CPU since the beginning as it stood after each turn, `beside` that of the
    services and the load.
    """

    analysts: Analysts
    elapsed: float
    cpu: float
    latencies: list[float]
    spent: list[float]
    answers: list[Answer]
    beside: float = 0.0


class Load:
    """Drives one bot. `last_words` must be in every answer: an excuse does not count as a turn."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        services: Services,
        bot: Process,
        last_words: str,
        questions: Sequence[str] = QUESTIONS,
    ) -> None:
        self._http = http
        self._services = services
        self._bot = bot
        self._last_words = last_words.encode()
        self._questions = questions
        self._headers = {
            "Authorization": f"Bearer {services.token(APP_ID)}",
            "Content-Type": "application/json",
        }

    async def refuses_strangers(self) -> None:
        """Make sure that tokens are verified: a forged signature must not be let in."""
        forged = self._headers["Authorization"][:-8] + "AAAAAAAA"
        body = activity(self._services.base, "19:nobody", "groupChat", "hello")
        headers = self._headers | {"Authorization": forged}
        url = self._bot.url + "/api/messages"
        async with self._http.post(url, data=body, headers=headers) as response:
            assert response.status >= 400, "a forged token was accepted"

    async def run(self, analysts: Analysts) -> Run:
        """Have these analysts ask until the turns are had; raises ExceptionGroup where one fails.

        Each conversation is new, and has one turn for each of the questions.
        """
        services = self._services
        services.first, services.pause = analysts.first, analysts.pause
        services.answers.clear()
        services.posted.clear()
        latencies: list[float] = []
        spent: list[float] = []
        ends: list[float] = []
        left = itertools.repeat(None, analysts.turns)

        async def analyst() -> None:
            while True:
                number = next(_ids)
                for question in self._questions:
                    if time.perf_counter() - began > analysts.limit or next(left, left) is left:
                        return
                    text = question.format(incident=FIRST_INCIDENT + number)
                    chat = f"19:bench-{number}"
                    latencies.append(await self._turn(group, chat, analysts.kind, text))
                    spent.append(self._bot.cpu - cpu)
                    ends.append(time.perf_counter())

        cpu, beside, began = self._bot.cpu, time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(analysts.at_once):
                group.create_task(analyst())
        await asyncio.sleep(0.2)  # what a bot does after its answer belongs to the turn
        whole, beside = self._bot.cpu - cpu, time.process_time() - beside
        answers = list(services.answers.values())
        return Run(analysts, ends[-1] - began, whole, latencies, spent, answers, beside)

    async def _turn(
        self, group: asyncio.TaskGroup, conversation: str, kind: str, question: str
    ) -> float:
        """The seconds until the answer is there, however long the bot holds on to the request."""
        answer = asyncio.get_running_loop().create_future()
        self._services.arrivals[conversation] = answer
        body = activity(self._services.base, conversation, kind, question)
        began = time.perf_counter()
        group.create_task(self._post(body))
        async with asyncio.timeout(30):
            arrived, message = await answer
        assert self._last_words in message, message[:500]
        return arrived - began

    async def _post(self, body: bytes) -> None:
        url = self._bot.url + "/api/messages"
        async with self._http.post(url, data=body, headers=self._headers) as response:
            assert response.status in (200, 201, 202), response.status


def activity(service_url: str, conversation: str, kind: str, text: str) -> bytes:
    """A message as Teams sends it; each conversation has an analyst of its own."""
    number = int(conversation.rpartition("-")[2]) if "-" in conversation else 0
    analyst = f"55555555-5555-4555-8555-{number:012d}"
    name = "Ana Analyst"
    return orjson.dumps(
        {
            "type": "message",
            "id": f"m-{next(_ids)}",
            "timestamp": "2026-08-01T10:00:00.000Z",
            "localTimestamp": "2026-08-01T12:00:00.000+02:00",
            "channelId": "msteams",
            "serviceUrl": service_url,
            "from": {"id": f"29:{analyst}", "aadObjectId": analyst, "name": name},
            "recipient": {"id": f"28:{APP_ID}", "name": "Casemate"},
            "conversation": {"id": conversation, "conversationType": kind, "tenantId": TENANT},
            "channelData": {"tenant": {"id": TENANT}},
            "entities": [{"type": "clientInfo", "locale": "en-US", "platform": "Windows"}],
            "text": text,
            "textFormat": "plain",
            "locale": "en-US",
        }
    )
