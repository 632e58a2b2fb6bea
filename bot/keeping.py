"""Has a store keep what was done, however often it has to be asked.

What a store does not know is done again, by this process or by another one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import StoreError
from .ports import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_SECONDS = 0.5


async def kept(write: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Repeat a write until the store takes it.

    It must change nothing where somebody else has gone on meanwhile.
    """
    while True:
        try:
            return await write()
        except StoreError as error:
            log.warning("what is done is not kept yet: %s", error.sentence)
        await clock.sleep(AGAIN_SECONDS)
