"""Carries announcements to their places over the connector."""

from __future__ import annotations

from ..domain.people import Place
from ..ports import Reply
from .connector import Connector, delivered_id
from .messages import activities, addressed


class TeamsHerald:
    """The `Herald` over Teams' connector. A post in a channel begins a thread."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def post(self, place: Place, reply: Reply) -> str:
        """Send a message; its activity's id comes back. Raises Undelivered."""
        [message] = activities(reply)
        answer = await self._connector.post(
            place.service_url, place.conversation, addressed(message, place)
        )
        return delivered_id(answer)

    async def edit(self, place: Place, activity: str, reply: Reply) -> None:
        """Put another message in the place of one that was sent. Raises Undelivered."""
        [message] = activities(reply)
        body = {**addressed(message, place), "id": activity}
        answer = await self._connector.put(place.service_url, place.conversation, activity, body)
        delivered_id(answer)
