"""Two hundred analysts who ask and click, incidents that arrive, and the way of both to the bot.

What a replica does not accept is delivered again, to the next: so does Teams, and so does a
playbook. An analyst whose click comes to nothing clicks again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import ClientError, ClientSession, ClientTimeout

from sandbox.world import PROVIDER_PATH, Case
from tests.scenario.conftest import Chat, Soc, find_button
from tests.soak.replica import Replica
from tests.soak.surroundings import QUESTION, Surroundings
from tests.teams_double import Sent

ANALYSTS, SHARED, PLACES = 200, 40, 6
# So many wait for an answer; the others, until one of them has it: a slow machine is asked less.
AT_ONCE = 24
FIRST_CASE, FIRST_ARRIVAL = 10_000, 50_000
_PATIENCE = 45.0


@dataclass(frozen=True)
class Accepted:
    """What was asked, typed or with a button, by the id of the activity that did."""

    activity: str
    question: str


@dataclass
class Room:
    """A conversation and, in order, what the bot accepted in it."""

    chat: Chat
    accepted: list[Accepted] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Click:
    """A button that was pressed, until the bot said that it is done."""

    case: Case
    question: str
    kind: str
    done: bool = False


class Soak:
    """Everything that goes on, and what is known of it for the verdict."""

    def __init__(
        self,
        around: Surroundings,
        replicas: list[Replica],
        http: ClientSession,
        seed: random.Random,
    ) -> None:
        self.around, self.replicas, self.http, self.random = around, replicas, http, seed
        self.rooms: list[Room] = []
        self.places: list[Chat] = []
        self.clicks: list[Click] = []
        self.arrived: dict[int, float] = {}
        self.counts: Counter[str] = Counter()
        self.over = asyncio.Event()
        self._turn = itertools.count()
        self._waiting = asyncio.Semaphore(AT_ONCE)
        soc = Soc(around.teams, around.world, cast(Any, None), http, around.service_url)
        self._soc = soc

    def people(self) -> list[asyncio.Task[None]]:
        """Let everybody come in: most in a chat of their own, some of them together."""
        shared = [Room(self._soc.chat("groupChat")) for _ in range(SHARED // 4)]
        self.rooms += shared
        tasks: list[asyncio.Task[None]] = []
        for number in range(ANALYSTS):
            room = shared[number % len(shared)] if number < SHARED else Room(self._soc.chat())
            if number >= SHARED:
                self.rooms.append(room)
            case = self.around.case(FIRST_CASE + number, new=False)
            tasks.append(asyncio.create_task(self._analyst(number, room, case)))
        return tasks

    # --- deliveries --------------------------------------------------------------------------

    async def _post(self, path: str, body: Any, seconds: float) -> tuple[int, Any]:
        """Send to the replicas in turn; 599 where that one did not answer."""
        replica = self.replicas[next(self._turn) % len(self.replicas)]
        try:
            async with self.http.post(
                replica.url + path,
                json=body,
                headers={"Authorization": f"Bearer {self.around.tokens[path]}"},
                timeout=ClientTimeout(seconds),
            ) as response:
                if response.content_type == "application/json":
                    return response.status, await response.json()
                return response.status, None
        except (ClientError, TimeoutError):
            return 599, None

    async def deliver(self, path: str, body: Any) -> None:
        """Deliver until it is accepted."""
        for wait in itertools.chain((0.2, 0.5, 1.0), itertools.repeat(2.0)):
            status, _ = await self._post(path, body, 6.0)
            self.counts[f"{path} {status}"] += 1
            if status < 300:
                return
            assert status >= 500 or status == 429, f"{path} was refused: {status}"
            await asyncio.sleep(wait)

    # --- analysts ----------------------------------------------------------------------------

    async def _analyst(self, number: int, room: Room, case: Case) -> None:
        dice = random.Random(self.random.random())
        analyst = f"55555555-5555-4555-8555-{number:012d}"
        chat = Chat(self._soc, room.chat.conversation, room.chat.kind, f"Ana {number}", analyst)
        self.around.sign_ins.signed_in[f"29:{analyst}"] = analyst
        await asyncio.sleep(dice.uniform(0, 20))
        for asked in itertools.count():
            if self.over.is_set():
                return
            question, query = f"q{number}-{asked}", dice.random() < 0.3
            incident = f"incident {case.incident['properties']['incidentNumber']}"
            text = f"kql {question} who signed in there, {incident}?"
            if not query:
                text = f"{question} what happened in {incident}?"
            async with self._waiting:
                if self.over.is_set():
                    return
                await self._ask(room, chat.activity(text=text), question)
                if dice.random() < 0.2:  # in a hurry
                    continue
                answer = await self._answer(room, question)
            if answer is not None and dice.random() < (0.9 if query else 0.5):
                await asyncio.sleep(dice.uniform(0.2, 2))
                if query:
                    await self._run(room, chat, answer, question)
                else:
                    await self._click(chat, case, answer, question, dice)
            await self._pause(dice.uniform(10, 40))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)

    async def _ask(self, room: Room, activity: dict[str, Any], question: str) -> None:
        async with room.lock:  # Teams delivers a conversation in its order
            await self.deliver("/api/messages", activity)
            room.accepted.append(Accepted(activity["id"], question))

    async def _run(self, room: Room, chat: Chat, answer: Sent, question: str) -> None:
        """Run the query of a card, where there is one; its rows are an answer as well."""
        if (button := find_button(answer.card, "Run", "Action.Submit")) is not None:
            self.counts["queries run"] += 1
            activity = chat.activity(value=button["data"], replyToId=answer.id)
            await self._ask(room, activity, question)

    async def _answer(self, room: Room, question: str) -> Sent | None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and not self.over.is_set():
            for sent in reversed(room.chat.messages[-20:]):
                if question in named(sent):
                    return sent
            await asyncio.sleep(0.5)
        return None

    async def _click(
        self, chat: Chat, case: Case, answer: Sent, question: str, dice: random.Random
    ) -> None:
        kind = "task" if len(case.tasks) < 30 and dice.random() < 0.4 else "comment"
        button = find_button(answer.card, f"Add as {kind}")
        if button is None or len(case.comments) > 90:
            return
        click = Click(case, question, kind)
        self.clicks.append(click)
        for _ in range(12):
            times = dice.choice((1, 1, 2, 3))
            done = await asyncio.gather(*(self._press(chat, answer, button) for _ in range(times)))
            self.counts["presses"] += times
            click.done = click.done or any(done)
            if self.over.is_set() or (click.done and dice.random() < 0.7):  # else click once more
                return
            await asyncio.sleep(dice.uniform(0.5, 4))

    async def _press(self, chat: Chat, answer: Sent, button: dict[str, Any]) -> bool:
        action = {"type": "Action.Execute", "verb": button["verb"], "data": button["data"]}
        invoke = chat.activity(
            type="invoke",
            name="adaptiveCard/action",
            replyToId=answer.id,
            value={"action": action, "trigger": "manual"},
        )
        status, body = await self._post("/api/messages", invoke, 12.0)
        said = body.get("type", "") if status == 200 and isinstance(body, dict) else ""
        self.counts[f"press {status} {said.rpartition('.')[2]}"] += 1
        return said == "application/vnd.microsoft.card.adaptive"

    # --- incidents ---------------------------------------------------------------------------

    async def subscribe(self) -> None:
        """Let the places hear of incidents from now on."""
        self.places = [self._soc.chat("groupChat") for _ in range(PLACES)]
        for chat in self.places:
            await self.deliver("/api/messages", chat.activity(text="subscribe"))
        for chat in self.places:
            while not chat.messages:  # noqa: ASYNC110 - the double has no event for it
                await asyncio.sleep(0.1)

    async def arrive(self) -> None:
        """New incidents, at times several at once; each is told to the webhook once or twice."""
        numbers = itertools.count(FIRST_ARRIVAL)
        while not self.over.is_set():
            for number in itertools.islice(numbers, self.random.choice((1, 1, 1, 1, 2, 14))):
                case = self.around.case(number, new=True)
                self.arrived[number] = time.monotonic()
                body = {"object": {"id": f"{PROVIDER_PATH}/incidents/{case.incident['name']}"}}
                for _ in range(self.random.choice((1, 2))):
                    await self.deliver("/api/incidents", body)
            await self._pause(self.random.uniform(4, 16))


def named(sent: Sent) -> list[str]:
    """The questions that a message names: in its words, or else on its card."""
    return QUESTION.findall(sent.text) or QUESTION.findall(json.dumps(sent.now))
