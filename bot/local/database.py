"""One SQLite connection on a thread of its own, so that nothing here blocks the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from ..errors import StoreError
from ..records import NOT_KEEPABLE
from .schema import connect, reason

T = TypeVar("T")

# How many calls that wait are taken at once.
_MOST_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class _Call:
    """Work that somebody waits for; what `writes` is done in a transaction."""

    future: asyncio.Future[Any]
    work: Callable[[sqlite3.Connection], Any]
    writes: bool

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self.future.get_loop()


_Result = tuple[Any, Exception | None]


class Database:
    """Runs SQL for coroutines: each call in one piece, in the order of the calls.

    A call that was made happens, whole, even if its caller is cancelled meanwhile. `wait` is how
    long, in seconds, other processes may keep the file locked. Every failure is a StoreError.

    The thread takes work from a queue and not from an executor: that halves what a call costs
    beyond its SQL (70 to 40 microseconds). Writes that wait are committed as one: at 32 turns
    at once that leaves 0.3 of the 0.76 milliseconds which a turn's nine calls took one by one.
    """

    def __init__(self, path: str, wait: float) -> None:
        self._path = path
        self._wait = wait
        self._work = SimpleQueue[_Call | None]()
        self._thread: Thread | None = None

    async def open(self) -> None:
        """Open the file, made where there is none; the error names what is wrong with it."""
        opened = asyncio.get_running_loop().create_future()
        # A daemon: a process that ends without closing loses nothing and must not hang.
        self._thread = Thread(target=self._serve, args=(opened,), name="sqlite", daemon=True)
        self._thread.start()
        try:
            await opened
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        """Let what was asked for happen, then close the file and end the thread."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._work.put(None)
            await asyncio.to_thread(thread.join)

    async def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work that reads and writes as one transaction, undone if it raises.

        It may be done twice, the first time undone: it must leave nothing outside the database.
        """
        return await self._call(work, writes=True)

    async def changed(self, sql: str, *values: Any) -> int:
        """Do one statement, a transaction of its own, and count the rows it changed."""
        return await self._call(lambda db: db.execute(sql, values).rowcount, writes=True)

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the rows of one query."""
        return await self._call(lambda db: db.execute(sql, values).fetchall(), writes=False)

    def _call(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> asyncio.Future[T]:
        if self._thread is None:
            raise StoreError("Casemate is starting or stopping. Please try again in a minute.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work.put(_Call(future, work, writes))
        return future

    # on the thread

    def _serve(self, opened: asyncio.Future[None]) -> None:
        try:
            db = connect(self._path, self._wait)
        except Exception as error:  # the caller's to handle, on the caller's thread
            _deliver([opened], [(None, error)])
            return
        _deliver([opened], [(None, None)])
        closing = False
        while not closing:
            calls, closing = self._waiting()
            for (writes, _), each in groupby(calls, key=lambda call: (call.writes, call.loop)):
                group = list(each)
                results = _written(db, group) if writes else [_done(db, call) for call in group]
                _deliver([call.future for call in group], results)
        db.close()

    def _waiting(self) -> tuple[list[_Call], bool]:
        """Wait for a call; it and the others that wait, and whether they are the last."""
        calls: list[_Call] = []
        call = self._work.get()
        with suppress(Empty):
            while call is not None:
                calls.append(call)
                if len(calls) == _MOST_TOGETHER:
                    return calls, False
                call = self._work.get_nowait()
        return calls, call is None


def _written(db: sqlite3.Connection, calls: Sequence[_Call]) -> list[_Result]:
    """Do writes in one transaction; where one of them fails, each in its own instead."""
    try:
        # A lock taken only at the first write could come too late for what was read.
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        return [(None, _told(error))] * len(calls)
    try:
        with db:
            return [(call.work(db), None) for call in calls]
    except Exception as error:
        if len(calls) == 1:
            return [(None, _told(error))]
    return [result for call in calls for result in _written(db, [call])]


def _done(db: sqlite3.Connection, call: _Call) -> _Result:
    try:
        return call.work(db), None
    except Exception as error:
        return None, _told(error)


def _told(error: Exception) -> Exception:
    """The error as the caller is to see it."""
    told = error
    if isinstance(error, sqlite3.Error):
        told = StoreError(
            f"I cannot use my store just now: {reason(error)}. Please try again in a "
            "minute; if it goes on, tell whoever runs Casemate."
        )
    elif isinstance(error, UnicodeEncodeError):
        told = StoreError(NOT_KEEPABLE)
    if told is not error:
        told.__cause__ = error
    return told


def _deliver(futures: Sequence[asyncio.Future[Any]], results: Sequence[_Result]) -> None:
    with suppress(RuntimeError):  # the loop ended: nobody waits for this any more
        futures[0].get_loop().call_soon_threadsafe(_settle, futures, results)


def _settle(futures: Sequence[asyncio.Future[Any]], results: Sequence[_Result]) -> None:
    for future, (result, error) in zip(futures, results, strict=True):
        if future.cancelled():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
