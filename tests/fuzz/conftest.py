"""The whole application, started once for a module, and its handlers called below the socket."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web
from hypothesis import HealthCheck, settings

from app import application
from tests.clock import FakeClock
from tests.scenario.conftest import Soc, running

# `make fuzz` sets it: so many times the examples of `make test`, and other ones each time.
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
CHATS = 40


def examples(number: int) -> settings:
    """So many examples: the same ones in each run of `make test`."""
    return settings(
        max_examples=number * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@dataclass
class Posted:
    """As much of a request as the routes' handlers look at."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content_length(self) -> int:
        return len(self.body)

    @property
    def content(self) -> Posted:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self.body


class Worst(logging.Handler):
    """Keeps what no input may cause: a traceback or an error in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.said.append(f"{record.getMessage()} {record.exc_info}")


class Target:
    """The application's routes; what they accept is worked off in between."""

    def __init__(self, runner: asyncio.Runner, soc: Soc, app: web.Application, path: str) -> None:
        self.soc = soc
        self._run = runner.run
        self._store = path
        self._handlers = {
            route.resource.canonical: route.handler
            for route in app.router.routes()
            if route.resource is not None
        }
        self._ids = itertools.count()
        self._accepted = 0

    def activity(self, **fields: Any) -> dict[str, Any]:
        """A good activity, with an id of its own and in one of forty chats."""
        number = next(self._ids)
        chat = self.soc.chat(conversation=f"a:chat-{number % CHATS}")
        return {**chat.activity(id=f"f-{number}", text=None), **fields}

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """Call a route's handler, and see that its answer is one of the contract's."""
        request = cast(web.Request, Posted(body))
        response = self._run(self._handlers[path](request))
        assert isinstance(response, web.Response)
        said = json.loads(cast(bytes, response.body)) if response.body else None
        status = response.status
        assert status in (200, 202, 400, 401, 403, 413, 503), (status, said)
        if status >= 400:
            assert list(said) == ["error"] and said["error"].endswith(".")
        if status == 503:
            assert int(response.headers["Retry-After"]) > 0
        self._accepted += status == 202
        if self._accepted >= CHATS:
            self.work_off()
        return status, said

    def work_off(self) -> None:
        """Let all that was accepted be answered."""
        self._accepted = 0
        with closing(sqlite3.connect(self._store)) as db:
            owed = "SELECT count(*) FROM claims WHERE finished IS NULL"
            self._run(self.soc.until(lambda: db.execute(owed).fetchone() == (0,), seconds=10_000))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    worst = Worst()
    logging.getLogger().addHandler(worst)
    with asyncio.Runner() as runner:
        clock = FakeClock()
        world = running(clock, folder, POLL_SECONDS="0", ENRICH="off")
        soc = runner.run(world.__aenter__())
        for number in range(CHATS):
            soc.teams.knows(f"a:chat-{number}", "personal")
        app = runner.run(application(world.settings, clock))
        runner.run(world.serve(app))
        target = Target(runner, soc, app, world.settings.store.path)
        yield target
        target.work_off()
        runner.run(world.__aexit__())
    logging.getLogger().removeHandler(worst)
    assert worst.said == []
