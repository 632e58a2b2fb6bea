"""Serves the application until it is told to stop, and stops it in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .errors import CasemateError, StoreError
from .ports import Clock, Store
from .settings import Settings
from .teams.turns import Turns

log = logging.getLogger(__name__)

Opens = Callable[[], Awaitable[Any]]
TURNS = web.AppKey("turns", Turns)
LATER = web.AppKey("later", Sequence[Opens])
SWEEP_SECONDS = 3600.0
# A hundred questions make about so many objects. Python's own 700 is 8 % of a turn's CPU time.
GC_OBJECTS = 5_000


class Starts(Protocol):
    """A part that begins its work when the application does, and does not wait for it."""

    async def start(self) -> None:
        """Begin."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How long chats and the audit are kept; the audit for ever where it is 0."""

    chats: timedelta
    audit: timedelta


def live_with(
    app: web.Application,
    starting: Sequence[Starts],
    turns: Turns,
    store: Store,
    clock: Clock,
    keep: Retention,
    later: Sequence[Opens],
    parts: contextlib.AsyncExitStack,
) -> None:
    """Tie the queue, the store's hourly sweep and the parts to the application's life.

    What is `starting` goes on in the background; `later` is done when the bot listens, by whoever
    needs it before; `parts` close what was opened.
    """
    app[TURNS], app[LATER] = turns, later
    sweeping: list[asyncio.Task[None]] = []

    async def start(_: web.Application) -> None:
        for part in starting:
            await part.start()
        turns.start()
        sweeping.append(asyncio.create_task(_sweep(store, clock, keep)))

    async def shutdown(_: web.Application) -> None:
        for task in sweeping:
            task.cancel()
        await turns.stop()

    async def cleanup(_: web.Application) -> None:
        await parts.aclose()

    app.on_startup.append(start)
    app.on_shutdown.append(shutdown)
    app.on_cleanup.append(cleanup)


async def _settle(later: Sequence[Opens]) -> None:
    """Do what a start need not wait for. What then is there stays, and is collected no more.

    Else looking through it, a hundred thousand objects of libraries, stops the loop for 0.1 s.
    """
    for each in later:
        await each()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)
    gc.enable()


async def _sweep(store: Store, clock: Clock, keep: Retention) -> None:
    while True:
        try:
            await store.sweep(clock.now(), keep.chats)
            if keep.audit:
                await store.sweep_audit(clock.now() - keep.audit)
            # Logs are mostly kept where whoever can write the store cannot.
            log.info("the audit's head is %s", (await store.ends()).head)
        except StoreError as error:
            log.warning("old items stay for now: %s", error.sentence)
        await clock.sleep(SWEEP_SECONDS)


def _untraced(record: logging.LogRecord) -> bool:
    """Keep what a stranger's malformed request holds, and a stack trace for it, out of the log."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
    return True


def run(settings: Settings, build: Callable[[], Awaitable[web.Application]]) -> int:
    """Serve on the settings' address until SIGTERM or SIGINT; 0 where all went well."""
    logging.getLogger("aiohttp.server").addFilter(_untraced)
    gc.disable()  # what a start makes is hardly ever garbage; see `_settle`
    factory = None
    with contextlib.suppress(ImportError):  # uvloop has no Windows build
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(settings, build))


async def _serve(settings: Settings, build: Callable[[], Awaitable[web.Application]]) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = await build()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        await runner.cleanup()
        raise CasemateError(
            f"Casemate cannot listen on {settings.host}:{settings.port}: {error.strerror}."
        ) from error
    log.info("listening on http://%s:%d", settings.host, settings.port)
    settling = asyncio.create_task(_settle(app[LATER]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([settling, stopping], return_when=asyncio.FIRST_EXCEPTION)
    stopping.cancel()
    log.info("stopping: finishing or handing back what is under way")
    # While the server still answers: what is under way may need it (the sandbox is on it).
    await app[TURNS].stop()
    await runner.cleanup()
    if failure := settling.exception():
        raise CasemateError(f"A part of Casemate cannot be loaded: {failure}.") from failure
    return 0
