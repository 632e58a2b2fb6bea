"""When somebody else's lease has run out, told without comparing two machines' clocks.

Who holds a lease changes it before its span is over. So whoever sees it unchanged for the whole
span, by their own clock, knows that its holder died, and a clock that is wrong harms nobody. (The
same way as DynamoDB's lock client.)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

# No two clocks are so far apart: what ended so long ago nobody has to watch.
LONG_OVER = timedelta(minutes=10)
_MOST = 10_000


def steady(now: Callable[[], datetime], monotonic: Callable[[], float]) -> Callable[[], datetime]:
    """A clock for leases: it may be wrong, but it never jumps, whoever sets the machine's."""
    began = now() - timedelta(seconds=monotonic())
    return lambda: began + timedelta(seconds=monotonic())


class Watched:
    """The leases seen by one process; the times it is told must be steady: they never jump."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int, datetime]] = {}

    def saw(self, name: str, owner: str, until: int, now: datetime) -> datetime:
        """Note a lease as it stands, and tell since when it has stood like that."""
        if len(self._seen) > _MOST:  # all are watched anew, which costs a span and no mistake
            self._seen.clear()
        known = self._seen.get(name)
        if known is None or known[:2] != (owner, until):
            known = self._seen[name] = (owner, until, now)
        return known[2]

    def ran_out(self, name: str, owner: str, until: int, now: datetime, span: timedelta) -> bool:
        """Say whether its holder is gone. `until`: microseconds since 1970, by its own clock."""
        if datetime.fromtimestamp(0, now.tzinfo) + timedelta(microseconds=until) <= now - LONG_OVER:
            return True
        return now - self.saw(name, owner, until, now) >= span
