"""A process that dies in the middle of an answer: the analyst gets the answer, once.

These use real processes, real time and SIGKILL, so there is one for each point that matters.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestServer, unused_port

from bot.clock import SystemClock
from bot.teams.turns import LEASE
from sandbox.run import PACE as SANDBOX_PACE
from sandbox.run import add_services, model_address, workspace
from sandbox.world import Fault, load
from tests.scenario.announcing import about, arrives, hook
from tests.scenario.conftest import Chat, Soc, sample_logs
from tests.teams_double import Sent, Teams

ROOT = Path(__file__).parents[2]


class Process:
    """`python app.py` with its environment, killed and started again."""

    def __init__(self, environment: dict[str, str], http: ClientSession, port: int) -> None:
        self._environment = environment
        self._http = http
        self.url = f"http://127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "app.py"), cwd=ROOT, env=self._environment
        )
        for _ in range(200):
            try:
                async with self._http.get(f"{self.url}/healthz"):
                    return
            except ClientError:
                await asyncio.sleep(0.05)
        raise AssertionError("the bot did not start")

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()


@asynccontextmanager
async def two_replicas(
    folder: Path, pace: float = 0.001
) -> AsyncIterator[tuple[Soc, Process, Process]]:
    """Two bots over one store, with the services and Teams here."""
    clock = SystemClock()
    world = await asyncio.to_thread(load, datetime.now(UTC))
    services = web.Application()
    logs = await asyncio.to_thread(sample_logs)  # nobody looks into them
    await asyncio.to_thread(lambda: add_services(services, world, logs, pace=pace))
    teams = Teams(clock)
    async with TestServer(services) as serving, TestServer(teams.app) as connector:
        base = str(serving.make_url("")).rstrip("/")
        environment = {
            "PATH": os.environ["PATH"],
            **workspace(base),
            **model_address(base),
            "KQL_CHECKERS": "0",
            "STORE_URL": f"sqlite:///{folder / 'casemate.db'}",
        }
        async with ClientSession() as http:
            bots: list[Process] = []
            for _ in range(2):
                port = unused_port()
                bots.append(Process({**environment, "PORT": str(port)}, http, port))
            soc = Soc(teams, world, clock, http, str(connector.make_url("")), bots[0].url)  # pyright: ignore
            try:
                yield soc, *bots
            finally:
                for bot in bots:
                    if bot._process is not None:
                        await bot.end(signal.SIGKILL)


async def eventually(happened, seconds: float = 30.0) -> float:  # type: ignore[no-untyped-def]
    started = asyncio.get_running_loop().time()
    while not happened():
        waited = asyncio.get_running_loop().time() - started
        assert waited < seconds, "it did not happen"
        await asyncio.sleep(0.05)
    return asyncio.get_running_loop().time() - started


def said_help(message: Sent) -> bool:
    return message.text.startswith("I answer questions")


def streaming(soc: Soc) -> bool:
    return any(len(sent.history) > 1 and sent.stream_open for sent in soc.teams.sent.values())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["personal", "groupChat"])
async def test_a_kill_during_an_answer(tmp_path: Path, kind: str) -> None:
    async with two_replicas(tmp_path) as (soc, bot, _):
        await bot.start()
        chat: Chat = soc.chat(kind)
        await chat.say("sandbox:slow what happened in incident 3177?")
        await chat.say("help")
        await eventually(lambda: streaming(soc) or soc.teams.typing)
        await bot.end(signal.SIGKILL)
        assert chat.messages == []

        await bot.start()
        waited = await eventually(lambda: chat.messages and said_help(chat.messages[-1]))
        assert waited < 25, "within 20 s of the start it goes on, and then the model writes"
        answers = [message for message in chat.messages if "Incident 3177" in str(message.card)]
        assert len(answers) == 1, "one answer"
        assert [said_help(message) for message in chat.messages].count(True) == 1, "after it, help"
        assert soc.teams.violations == []
        assert await bot.end(signal.SIGTERM) == 0


@pytest.mark.timeout(120)
async def test_sigterm_hands_back_what_is_not_finished(tmp_path: Path) -> None:
    async with two_replicas(tmp_path) as (soc, first, second):
        await first.start()
        chat = soc.chat()
        held = asyncio.Event()
        soc.world.faults.append(Fault("POST", "/alerts", hold=held))
        await chat.say("what happened in incident 3177?")
        await eventually(lambda: len(soc.teams.sent) == 1)
        started = asyncio.get_running_loop().time()
        assert await first.end(signal.SIGTERM) == 0
        assert asyncio.get_running_loop().time() - started < 12

        held.set()
        await second.start()
        waited = await eventually(lambda: chat.messages)
        assert waited < LEASE.total_seconds(), "nobody holds it"
        assert "Incident 3177" in str(chat.messages[0].card)
        assert len(chat.messages) == 1
        assert soc.teams.violations == []


@pytest.mark.timeout(120)
async def test_two_replicas_answer_a_conversation_in_order(tmp_path: Path) -> None:
    async with two_replicas(tmp_path) as (soc, first, second):
        await first.start()
        await second.start()
        chat = soc.chat("groupChat")
        words = ["incident 3177", "help", "incidents", "history", "incident 3178", "help"] * 2
        for number, word in enumerate(words):
            soc.bot_url = (first, second)[number % 2].url
            activity = chat.activity(text=word)
            await asyncio.gather(chat.post(activity), chat.post(activity))
        await eventually(lambda: len(chat.messages) == len(words), 40)
        openings = {
            "help": "I answer",
            "incidents": "Here are",
            "history": "You have not asked",
            "incident 3177": "Incident 3177",
            "incident 3178": "Incident 3178",
        }
        for word, message in zip(words, chat.messages, strict=True):
            assert message.text.startswith(openings[word])


@pytest.mark.timeout(120)
async def test_a_kill_before_an_incident_is_announced(tmp_path: Path) -> None:
    async with two_replicas(tmp_path) as (soc, first, second):
        await asyncio.gather(first.start(), second.start())
        chat = soc.chat("groupChat")
        await chat.say("subscribe")
        await eventually(lambda: chat.messages)
        held = asyncio.Event()
        fault = Fault("POST", "/alerts", hold=held)
        soc.world.faults.append(fault)
        await hook(soc, arrives(soc, 4900))
        await eventually(lambda: fault.count == 0)
        await first.end(signal.SIGKILL)
        held.set()
        assert about(chat, 4900) == []
        assert await eventually(lambda: about(chat, 4900)) < 20
        assert await second.end(signal.SIGTERM) == 0
        assert len(about(chat, 4900)) == 1
        assert soc.teams.violations == []


@pytest.mark.timeout(60)
async def test_at_the_sandbox_s_own_pace_an_answer_is_seen_to_grow(tmp_path: Path) -> None:
    async with two_replicas(tmp_path, pace=SANDBOX_PACE) as (soc, bot, _):
        await bot.start()
        chat = soc.chat()
        await chat.say("what happened in incident 3177?")
        await eventually(lambda: chat.messages)
        assert len(chat.messages[0].updates) >= 3, "the first line, then the text at least twice"
        assert soc.teams.violations == []
