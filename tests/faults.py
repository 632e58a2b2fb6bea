"""Fault plans: how a service, the store's disk or a clock misbehaves, for a while, from a seed.

`Faulty` is a middleware for any double; the functions below it spoil a SQLite file from outside
the process that uses it. The same seed and the same requests give the same faults.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from aiohttp import web

from bot.ports import Clock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Sleep = Callable[[float], Awaitable[None]]

KINDS = (
    "latency",
    "busy",
    "broken",
    "gateway",
    "reset",
    "reset after",
    "half answer",
    "slow body",
    "wrong type",
)
FAULT = web.RequestKey("fault", str)
# What leaves the caller in doubt whether it was done.
DOUBTFUL = frozenset({"reset after", "half answer"})


@dataclass
class Faulty:
    """Put `middleware` before a double; while `kind` is one of KINDS, `share` of it goes wrong.

    `doubtful` holds the requests that were done and whose answer did not arrive: method, path and
    what the double answered. `of` says which requests are meant.
    """

    random: random.Random
    kind: str = ""
    share: float = 0.5
    of: Callable[[web.Request], bool] = lambda _: True
    sleep: Sleep = asyncio.sleep
    struck: dict[str, int] = field(default_factory=dict[str, int])
    doubtful: list[tuple[str, str, bytes]] = field(default_factory=list[tuple[str, str, bytes]])

    @property
    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
            kind = self.kind
            if not kind or not self.of(request) or self.random.random() >= self.share:
                return await handler(request)
            self.struck[kind] = self.struck.get(kind, 0) + 1
            if kind in ("busy", "broken", "gateway", "reset", "latency"):
                return await self._before(kind, request, handler)
            request[FAULT] = kind  # a double that streams cuts its answer itself
            return await self._after(kind, request, await handler(request))

        return misbehave

    async def _before(self, kind: str, request: web.Request, handler: Handler) -> web.Response:
        if kind == "latency":
            await self.sleep(self.random.uniform(0.2, 3.0))
            return await handler(request)  # type: ignore[return-value]
        if kind == "busy":
            error = {"error": {"code": "429", "message": "Too many requests"}}
            return web.json_response(error, status=429, headers={"Retry-After": "1"})
        if kind == "broken":
            error = {"error": {"code": "InternalServerError", "message": "It is us, not you."}}
            return web.json_response(error, status=500)
        if kind == "gateway":
            page = "<html><title>502 Bad Gateway</title></html>"
            return web.Response(status=502, text=page, content_type="text/html")
        _abort(request)
        return web.Response()

    async def _after(
        self, kind: str, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """Spoil what the double answered. One that streamed has said it all: its line is cut."""
        if not isinstance(answer, web.Response):
            if kind in DOUBTFUL:
                _abort(request)
            return answer
        body = answer.body if isinstance(answer.body, bytes) else b""
        if kind == "wrong type":
            answer.content_type = "text/html"
            return answer
        if kind in DOUBTFUL:
            self.doubtful.append((request.method, request.path, body))
        if kind == "reset after":
            _abort(request)
            return answer
        headers = {k: v for k, v in answer.headers.items() if k != "Content-Length"}
        spoilt = web.StreamResponse(status=answer.status, headers=headers)
        spoilt.content_length = len(body)
        await spoilt.prepare(request)
        if kind == "half answer":
            await spoilt.write(body[: len(body) // 2])
            _abort(request)
            return spoilt
        step = max(1, len(body) // 8)
        with suppress(ConnectionError):  # nobody waits so long
            for start in range(0, len(body), step):
                await spoilt.write(body[start : start + step])
                await self.sleep(0.25)
        return spoilt


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


# --- a SQLite file, from outside -----------------------------------------------------------------


@contextmanager
def disk_full(pid: int) -> Iterator[None]:
    """Let a process write no file beyond its first few pages, as on a disk that is full."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it was killed meanwhile
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold the one lock for writing, as a backup that hangs does."""
    db = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
    finally:
        db.close()


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Take the right to write from the file and what belongs to it, for who opens it now.

    Nothing keeps root from writing: run what is tested without CAP_DAC_OVERRIDE.
    """
    files = [each for each in _files(path) if each.exists()]
    for each in files:
        each.chmod(0o400)
    try:
        yield
    finally:
        for each in files:
            if each.exists():
                each.chmod(0o600)


def tear_wal(path: Path, seed: random.Random) -> int:
    """Append to the log what a power cut leaves: pages without a valid checksum; their bytes."""
    wal = _files(path)[1]
    if not wal.exists() or not wal.stat().st_size:
        return 0
    torn = seed.randbytes(seed.randrange(100, 9000))
    with wal.open("ab") as file:
        file.write(torn)
        os.fsync(file.fileno())
    return len(torn)


def garble_wal(path: Path, seed: random.Random) -> int:
    """Spoil a page in the middle of the log, as a bad disk does; where, in bytes from the start."""
    wal = _files(path)[1]
    size = wal.stat().st_size
    at = seed.randrange(size // 3, size // 2)
    with wal.open("r+b") as file:
        file.seek(at)
        file.write(seed.randbytes(64))
    return at


def _files(path: Path) -> tuple[Path, Path, Path]:
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


# --- a clock --------------------------------------------------------------------------------------


class SkewedClock:
    """Another clock, `skew` seconds off; change it, and the wall time jumps."""

    def __init__(self, inner: Clock, skew: float = 0.0) -> None:
        self._inner = inner
        self.skew = skew

    def now(self) -> datetime:
        return self._inner.now() + timedelta(seconds=self.skew)

    def monotonic(self) -> float:
        return self._inner.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
