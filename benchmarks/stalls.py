"""Casemate with a watch on its event loop: `python -m benchmarks.stalls` is the bot.

At /stalls it says how long, since it was asked last, the loop at most did not come round: by the
clock, which counts what other processes take, and in CPU time of the loop's own thread.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiohttp import web

from app import application
from bot import serving
from bot.settings import from_process

_EVERY_SECONDS = 0.001


class Watch:
    """The longest stalls, in seconds."""

    def __init__(self) -> None:
        self._clock = self._cpu = 0.0
        self._task = asyncio.create_task(self._look())

    async def stalls(self, _: web.Request) -> web.Response:
        """Say them, and begin anew."""
        clock, cpu = self._clock, self._cpu
        self._clock = self._cpu = 0.0
        return web.json_response({"clock": clock, "cpu": cpu})

    async def _look(self) -> None:
        while True:
            clock, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_EVERY_SECONDS)
            self._clock = max(self._clock, time.perf_counter() - clock - _EVERY_SECONDS)
            self._cpu = max(self._cpu, time.thread_time() - cpu)


async def watched() -> web.Application:
    app = await application(from_process())
    app.router.add_get("/stalls", Watch().stalls)
    return app


if __name__ == "__main__":
    sys.exit(serving.run(from_process(), watched))
