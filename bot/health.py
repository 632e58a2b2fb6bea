"""`GET /healthz` and `GET /readyz`: what a platform's probes and an operator look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

from .errors import CasemateError
from .ports import Clock, JsonObject

CHECK_SECONDS = 5.0
FRESH_SECONDS = 10.0

Check = Callable[[], Awaitable[None]]


class Health:
    """Asks each service for the smallest thing it can do, and remembers the answer for 10 s.

    Not ready (503) means that nothing can be accepted: the store is down. A model or a Sentinel
    that is down is told in the body; taking the bot away as well would help nobody. `patience` is
    how long, in seconds, a service may take to answer.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        needed: str,
        clock: Clock,
        patience: float = CHECK_SECONDS,
    ) -> None:
        self._checks = checks
        self._needed = needed
        self._clock = clock
        self._patience = patience
        self._state: dict[str, str] = {}
        self._checked = float("-inf")
        self._lock = asyncio.Lock()

    async def healthz(self, request: web.Request) -> web.Response:
        """The process serves."""
        return web.Response(text="ok")

    async def readyz(self, request: web.Request) -> web.Response:
        """The state of every service, and whether activities can be accepted."""
        async with self._lock:
            if self._clock.monotonic() - self._checked > FRESH_SECONDS:
                states = await asyncio.gather(*map(self._ask, self._checks.values()))
                self._state = dict(zip(self._checks, states, strict=True))
                self._checked = self._clock.monotonic()
        ready = self._state[self._needed] == "ok"
        body: JsonObject = {"ready": ready, **self._state}
        return web.Response(
            body=orjson.dumps(body), status=200 if ready else 503, content_type="application/json"
        )

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._patience):
                await check()
        except CasemateError as error:
            return error.sentence
        except TimeoutError:
            return f"no answer within {self._patience:g} s"
        return "ok"
