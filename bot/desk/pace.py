"""Keeps to a platform's limits before they bite."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..ports import Clock

# Teams' limits for one bot in one thread are 7 in a second, 60 in 30 s and 1,800 in an hour, and 50
# a second in a tenant (docs: rate-limit). What nobody waits for leaves room for answers.
THREAD = ((4, 1.0), (35, 30.0), (1_000, 3_600.0))
TENANT = ((25, 1.0),)


class Pace:
    """Lets so many through in each span of seconds, and has the others wait."""

    def __init__(self, clock: Clock, limits: Sequence[tuple[int, float]]) -> None:
        self._clock = clock
        self._limits = limits
        self._passed: deque[float] = deque(maxlen=max(most for most, _ in limits))

    async def wait(self) -> None:
        """Come back when one more may pass, and count it."""
        while (seconds := self._wanting()) > 0:
            await self._clock.sleep(seconds)
        self._passed.append(self._clock.monotonic())

    def _wanting(self) -> float:
        """Seconds until every limit has room."""
        now = self._clock.monotonic()
        ready = [
            self._passed[-most] + span for most, span in self._limits if len(self._passed) >= most
        ]
        return max(ready, default=now) - now
