"""Keeps the workspace's catalogue at hand: read in the background, kept across restarts.

A query is written and checked against what the workspace had at most some hours ago. A catalogue
that is older, because the workspace cannot be read, is still the best there is: it is used, and
`stale` says so.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import random
import zlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from ..domain.query import Catalogue, Column, Function, Table
from ..errors import CasemateError, StoreError
from ..ports import Clock, JsonObject, Logs, Store

MAX_AGE = timedelta(hours=6)
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 1_800.0  # seconds between attempts while they fail
_MOST_BYTES = 1_500_000  # Cosmos DB takes no item of more than 2 MB
_FORMAT = 1

log = logging.getLogger(__name__)


class Schema:
    """One workspace's catalogue. `start` before use; `close` ends the reading in the background."""

    def __init__(self, logs: Logs, store: Store, workspace: str, clock: Clock) -> None:
        self._logs = logs
        self._store = store
        self._key = f"schema/{workspace}"
        self._clock = clock
        self._catalogue: Catalogue | None = None
        self._reading: asyncio.Task[Catalogue] | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what was kept, and go on in the background; never fails."""
        try:
            if (kept := await self._store.kept(self._key)) is not None:
                self._catalogue = await asyncio.to_thread(_unpacked, kept)
        except StoreError as error:
            log.warning("the kept schema cannot be read: %s", error.sentence)
        self._loop = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop reading."""
        tasks: list[asyncio.Task[Any]] = [task for task in (self._loop, self._reading) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def current(self) -> Catalogue | None:
        """The newest catalogue there is, or None where none was ever read."""
        return self._catalogue

    @property
    def age(self) -> timedelta | None:
        """How old the catalogue is; None where there is none."""
        read_at = self._catalogue.read_at if self._catalogue else None
        return self._clock.now() - read_at if read_at else None

    @property
    def stale(self) -> bool:
        """Say whether the catalogue is older than it should be, or not there at all."""
        return self.age is None or self.age > MAX_AGE

    async def refresh(self) -> Catalogue:
        """Read the catalogue now; callers at the same moment share one reading.

        Raises LogsError; the catalogue there was stays.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        # A caller who gives up must not take the catalogue from the others.
        return await asyncio.shield(self._reading)

    async def _read(self) -> Catalogue:
        read = await self._logs.metadata()
        self._catalogue = catalogue = replace(read, read_at=self._clock.now())
        try:
            await self._keep(catalogue)
        except StoreError as error:
            log.warning("the schema cannot be kept: %s", error.sentence)
        return catalogue

    async def _keep(self, catalogue: Catalogue) -> None:
        packed = await asyncio.to_thread(_packed, catalogue)
        if len(packed["data"]) > _MOST_BYTES:
            log.warning("the schema is too large to be kept: a restart reads it anew")
            return
        await self._store.keep(self._key, packed, self._clock.now())

    async def _keep_fresh(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            while self.age is not None and self.age < MAX_AGE:
                await self._clock.sleep((MAX_AGE - self.age).total_seconds())
            try:
                await self.refresh()
            except CasemateError as error:
                log.warning("the schema cannot be read: %s", error.sentence)
            except Exception:
                log.exception("the schema cannot be read")
            else:
                pause = _FIRST_PAUSE
                continue
            # Replicas that failed together must not ask together.
            await self._clock.sleep(pause * random.uniform(0.75, 1.25))
            pause = min(2 * pause, _LONGEST_PAUSE)


def _packed(catalogue: Catalogue) -> JsonObject:
    """A catalogue as a document a tenth of its size. Hundreds of tables take tens of ms: blocks."""
    content = orjson.dumps(
        {
            "tables": catalogue.tables,
            "functions": catalogue.functions,
            "watchlists": catalogue.watchlists,
            "read_at": catalogue.read_at,
        }
    )
    return {"format": _FORMAT, "data": base64.b64encode(zlib.compress(content)).decode()}


def _unpacked(document: JsonObject) -> Catalogue | None:
    """Read back what `_packed` made, or None where it is damaged or of another format."""
    if document.get("format") != _FORMAT:
        return None
    try:
        fields: dict[str, Any] = orjson.loads(zlib.decompress(base64.b64decode(document["data"])))
        for table in fields["tables"]:
            table["columns"] = tuple(Column(**each) for each in table["columns"])
        tables = tuple(Table(**each) for each in fields["tables"])
        functions = tuple(Function(**each) for each in fields["functions"])
        read_at = datetime.fromisoformat(fields["read_at"])
        if read_at.tzinfo is None:
            return None
        return Catalogue(tables, functions, read_at, tuple(fields["watchlists"]))
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error, binascii.Error):
        return None
