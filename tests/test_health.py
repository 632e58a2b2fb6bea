"""What a platform's probes and an operator are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.errors import CasemateError, ModelDown, StoreError
from bot.health import Health
from tests.clock import FakeClock


class Service:
    """Something to ask: it answers, fails, or says nothing; `asked` counts how often."""

    def __init__(self) -> None:
        self.error: CasemateError | None = None
        self.silent = False
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


class Served:
    """The two routes over HTTP, with a store and a model behind them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store, self.model = Service(), Service()
        checks = {"store": self.store.ping, "model": self.model.ping}
        health = Health(checks, "store", self.clock, patience=0.05)
        app = web.Application()
        app.router.add_get("/healthz", health.healthz)
        app.router.add_get("/readyz", health.readyz)
        self.client = TestClient(TestServer(app))

    async def __aenter__(self) -> Served:
        await self.client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def ready(self) -> tuple[int, dict[str, Any]]:
        async with self.client.get("/readyz") as response:
            return response.status, await response.json()


async def test_a_process_that_serves_is_healthy_whatever_is_down() -> None:
    async with Served() as served:
        served.store.error = StoreError("The disk is full.")
        async with served.client.get("/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok")
        assert served.store.asked == 0


@pytest.mark.parametrize(
    ("down", "status", "body"),
    [
        ((), 200, {"ready": True, "store": "ok", "model": "ok"}),
        (
            ("store",),
            503,
            {"ready": False, "store": "The disk is full.", "model": "ok"},
        ),
        (
            ("model",),
            200,
            {"ready": True, "store": "ok", "model": "The model does not answer."},
        ),
        (
            ("store", "model"),
            503,
            {"ready": False, "store": "The disk is full.", "model": "The model does not answer."},
        ),
    ],
)
async def test_only_the_store_takes_the_bot_away(
    down: tuple[str, ...], status: int, body: dict[str, Any]
) -> None:
    async with Served() as served:
        if "store" in down:
            served.store.error = StoreError("The disk is full.")
        if "model" in down:
            served.model.error = ModelDown("The model does not answer.")
        assert await served.ready() == (status, body)


async def test_a_silent_service_is_not_waited_for() -> None:
    async with Served() as served:
        served.model.silent = True
        assert await served.ready() == (
            200,
            {"ready": True, "store": "ok", "model": "no answer within 0.05 s"},
        )


async def test_services_are_asked_at_most_every_ten_seconds() -> None:
    async with Served() as served:
        await asyncio.gather(*(served.ready() for _ in range(5)))
        assert (served.store.asked, served.model.asked) == (1, 1)

        served.store.error = StoreError("The disk is full.")
        await served.clock.advance(10)
        assert (await served.ready())[0] == 200
        await served.clock.advance(0.1)
        assert (await served.ready())[0] == 503
        assert (served.store.asked, served.model.asked) == (2, 2)

        served.store.error = None
        await served.clock.advance(10.1)
        assert (await served.ready())[0] == 200
