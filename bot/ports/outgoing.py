"""What announcing asks of the world: the places, the outbox, and who carries a message there."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..domain.announcement import Announcement, Subscription
from ..domain.incident import IncidentRef
from ..domain.people import Place
from . import Reply


class Outbox(Protocol):
    """What is to be announced where, and what was. Each method is one transaction (StoreError)."""

    async def subscribe(self, subscription: Subscription) -> None:
        """Keep a place, instead of what was known of it."""
        ...

    async def unsubscribe(self, tenant: str, conversation: str) -> bool:
        """Forget a place and what was to be announced there; False where it was not known."""
        ...

    async def subscriptions(self) -> tuple[Subscription, ...]: ...

    async def notice(
        self, incident: IncidentRef, state: str, places: Sequence[str], now: datetime
    ) -> bool:
        """Want a state shown: in `places`, and wherever the incident was announced before.

        False where nothing changes by it.
        """
        ...

    async def announced(self, incident: IncidentRef) -> bool:
        """Say whether an incident was, or is to be, announced anywhere."""
        ...

    async def waiting(self, now: datetime) -> tuple[str, ...]:
        """Places where something is to be sent or edited now."""
        ...

    async def depth(self, now: datetime) -> int:
        """Count what is to be sent or edited now, in all places."""
        ...

    async def pending(self, place: str, now: datetime, limit: int) -> tuple[Announcement, ...]:
        """What is to be sent or edited in a place, first seen first."""
        ...

    async def carried(self, place: str, activity: str) -> tuple[Announcement, ...]:
        """What one message, a digest, announces."""
        ...

    async def posted_since(self, place: str, since: datetime) -> int:
        """Count the incidents that messages announced in a place since a moment."""
        ...

    async def sent(self, shown: Sequence[Announcement], now: datetime, rest: timedelta) -> None:
        """Keep what messages show now; they are not edited again within `rest`.

        Each announcement is as it was read but for `sent`, `activity` and `digest`. What shows
        another state than was wanted then is as good: it counts as wanted, unless something else
        is wanted meanwhile. One that is no longer known stays so, and so does one that another
        message shows.
        """
        ...

    async def lease(self, name: str, owner: str, now: datetime, span: timedelta) -> bool:
        """Take or extend a lease; False while another owner's runs. No span gives it back."""
        ...

    async def let_go(self, owner: str) -> None:
        """Give up all leases of an owner."""
        ...


class Herald(Protocol):
    """Carries what nobody asked for to a place. Raises Undelivered.

    Nothing is sent when `holds` says that the place has become another replica's.
    """

    async def post(self, place: Place, reply: Reply, holds: Callable[[], bool]) -> str:
        """Send a message; its activity's id comes back."""
        ...

    async def edit(
        self, place: Place, activity: str, reply: Reply, holds: Callable[[], bool]
    ) -> None:
        """Put another message in the place of one that was sent."""
        ...


# Sends and edits in a place what is due there.
Carry = Callable[[Place, Sequence[Announcement]], Coroutine[Any, Any, None]]
