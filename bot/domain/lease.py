"""When somebody else's lease has run out, told without comparing two machines' clocks.

Who holds a lease changes it before its span is over. So whoever sees it unchanged for the whole
span, by their own clock, knows that its holder died, and a clock that is wrong harms nobody. (The
same way as DynamoDB's lock client.)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

# Clocks so far apart cost nothing; further apart, they make a dead holder's lease last longer.
SKEW = timedelta(seconds=30)
# What ended so long ago by any clock, nobody has to watch.
LONG_OVER = timedelta(minutes=10)
_MOST = 10_000


def steady(now: Callable[[], datetime], monotonic: Callable[[], float]) -> Callable[[], datetime]:
    """A clock for leases: it may be wrong, but it never jumps, whoever sets the machine's."""
    began = now() - timedelta(seconds=monotonic())
    return lambda: began + timedelta(seconds=monotonic())


class Watched:
    """The leases one process has seen; the times it is told are of a clock that never jumps."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int, datetime]] = {}

    def saw(self, name: str, owner: str, until: int, end: datetime) -> datetime:
        """Note a lease as it stands, and tell when it ends if it stays so: first word counts."""
        if len(self._seen) > _MOST:  # all are watched anew, which costs a span and no mistake
            self._seen.clear()
        known = self._seen.get(name)
        if known is None or known[:2] != (owner, until):
            known = self._seen[name] = (owner, until, end)
        return known[2]

    def ran_out(self, name: str, owner: str, until: int, now: datetime, span: timedelta) -> bool:
        """Say whether its holder is gone. `until`: microseconds since 1970, by its own clock.

        `span` is how long such a lease lasts, where this process has not made it itself.
        """
        said = datetime.fromtimestamp(0, now.tzinfo) + timedelta(microseconds=until)
        end = self.saw(name, owner, until, now + span)
        return said <= now - LONG_OVER or (said <= now + SKEW and end <= now)
