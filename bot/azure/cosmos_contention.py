"""Changes that several replicas want to make of the same items: one at a time, and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import StoreError

BUSY = "My store is busy just now. Please try again in a few seconds."

_TRIES = 20
_PAUSE_SECONDS = 0.02

T = TypeVar("T")


class Contended:
    """Makes changes that read first, and write only what nobody else changed meanwhile.

    Those of this process wait for each other; of two processes, whoever was slower tries again.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._mine = asyncio.Lock()

    async def __call__(self, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """Do `attempt` until it gives something, within the budget in seconds.

        Raises StoreError where it never does; it may have been done all the same.
        """
        try:
            async with asyncio.timeout(self._budget), self._mine:
                for tried in range(_TRIES):
                    if (made := await attempt()) is not None:
                        return made
                    pause = random.uniform(0, _PAUSE_SECONDS * tried)
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        raise StoreError(BUSY)
