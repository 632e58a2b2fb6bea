"""Carries announcements to their places over the connector."""

from __future__ import annotations

from collections.abc import Callable

from ..domain.people import Place
from ..ports import JsonObject, Reply
from .connector import Connector, delivered_id
from .messages import activities, addressed


class TeamsHerald:
    """The `Herald` over Teams' connector. A post in a channel begins a thread."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def post(self, place: Place, reply: Reply, holds: Callable[[], bool]) -> str:
        """Send a message; its activity's id comes back. Raises Undelivered."""
        message = addressed(_announcement(reply), place)
        answer = await self._connector.post(
            place.service_url, place.conversation, message, holds=holds
        )
        # Without an id it would be taken for not sent. This one names nothing: an edit finds none.
        return delivered_id(answer) or "unknown"

    async def edit(
        self, place: Place, activity: str, reply: Reply, holds: Callable[[], bool]
    ) -> None:
        """Put another message in the place of one that was sent. Raises Undelivered."""
        body = {**addressed(_announcement(reply), place), "id": activity}
        answer = await self._connector.put(
            place.service_url, place.conversation, activity, body, holds=holds
        )
        delivered_id(answer)


def _announcement(reply: Reply) -> JsonObject:
    """A card alone, which says it all; its words are for the notification (schema: `summary`).

    The local client makes two messages of a text with a card, and neither could be edited.
    """
    [message] = activities(reply)
    if reply.cards:
        message["summary"] = message.pop("text")
        del message["textFormat"]
    return message
