"""Keeps to a platform's limits before they bite."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..ports import Clock

# Half of Teams' limits for one bot: 7 in a second, 8 in two, 60 in 30 s and 1,800 in an hour in a
# thread, 50 a second in a tenant (docs: rate-limit). What nobody waits for leaves room for answers,
# and for what a replica sent just before another took its places over.
THREAD = ((3, 1.0), (4, 2.0), (30, 30.0), (900, 3_600.0))
TENANT = ((25, 1.0),)


class Pace:
    """Counts what passes, and knows whether each span of seconds has room for one more."""

    def __init__(self, clock: Clock, limits: Sequence[tuple[int, float]]) -> None:
        self._clock = clock
        self._limits = limits
        self._passed: deque[float] = deque(maxlen=max(most for most, _ in limits))

    @property
    def has_room(self) -> bool:
        """Say whether one more may pass now."""
        now = self._clock.monotonic()
        return all(
            len(self._passed) < most or self._passed[-most] + span <= now
            for most, span in self._limits
        )

    def count(self) -> None:
        """Count one that passes."""
        self._passed.append(self._clock.monotonic())
