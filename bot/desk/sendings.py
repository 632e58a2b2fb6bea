"""Keeps what was sent, and asks the store again where it does not answer.

What is not kept is sent again, by this process or by another one, and Teams shows both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from ..domain.announcement import Announcement
from ..errors import StoreError
from ..ports import Clock
from ..ports.outgoing import Outbox

AGAIN_SECONDS = 0.5

_Sent = tuple[Sequence[Announcement], timedelta]


class Sendings:
    """What messages in places show, until the store has it; then see `Outbox.sent`."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._owed: dict[str, list[_Sent]] = {}

    def add(self, place: str, shown: Sequence[Announcement], rest: timedelta) -> None:
        """Note what a message now shows; `keep` has it kept."""
        self._owed.setdefault(place, []).append((shown, rest))

    async def keep(self, place: str, holds: Callable[[], bool]) -> None:
        """Keep all that was noted of a place, however often that takes while `holds` says yes.

        Nothing may be sent there before. Raises StoreError, and does not forget what is left.
        """
        owed = self._owed.get(place, [])
        while owed:
            shown, rest = owed[0]
            try:
                await self._outbox.sent(shown, self._clock.now(), rest)
                owed.pop(0)
            except StoreError:
                if not holds():
                    raise
                await self._clock.sleep(AGAIN_SECONDS)
        self._owed.pop(place, None)
