"""botbuilder's adapter with our own HTTP: what a `TurnContext` sends goes through the connector."""

from __future__ import annotations

from typing import Any, cast

from botbuilder.core import BotAdapter, TurnContext
from botbuilder.schema import (
    Activity,
    ActivityTypes,
    ChannelAccount,
    ConversationAccount,
    ConversationReference,
    ResourceResponse,
)

from ..ports import JsonObject
from .connector import Connector, delivered_id

INVOKE_RESPONSE = "BotFrameworkAdapter.InvokeResponse"


class TeamsAdapter(BotAdapter):
    """Sends for a turn. Nothing of the SDK's own clients, credentials or retries is used."""

    def __init__(self, connector: Connector) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - the SDK has no types
        self._connector = connector

    async def send_activities(
        self, context: TurnContext, activities: list[Activity]
    ) -> list[ResourceResponse]:
        """Send in order; an invoke's response is kept for the HTTP answer. Raises Undelivered."""
        return [await self._send(context, activity) for activity in activities]

    async def _send(self, context: TurnContext, activity: Activity) -> ResourceResponse:
        if cast(Any, activity).type == ActivityTypes.invoke_response:
            context.turn_state[INVOKE_RESPONSE] = activity
            return ResourceResponse()
        answer = await self._connector.post(*_where(activity), _wire(activity))
        return ResourceResponse(id=delivered_id(answer))

    async def update_activity(self, context: TurnContext, activity: Activity) -> ResourceResponse:
        """Edit what was sent. Raises Undelivered."""
        id = activity.id
        answer = await self._connector.put(*_where(activity), id, _wire(activity))
        return ResourceResponse(id=delivered_id(answer) or id)

    async def delete_activity(self, context: TurnContext, reference: ConversationReference) -> None:
        """Take back what was sent. Raises Undelivered."""
        where = cast(Any, reference)
        delivered_id(
            await self._connector.delete(
                where.service_url, where.conversation.id, where.activity_id
            )
        )


def _where(activity: Activity) -> tuple[str, str]:
    sent = cast(Any, activity)
    return sent.service_url, sent.conversation.id


def _wire(activity: Activity) -> JsonObject:
    return cast(JsonObject, cast(Any, activity).serialize())


def sdk_activity(body: JsonObject) -> Activity:
    """The SDK's view of a checked activity: what its handlers look at, nothing else of the body."""
    members = body.get("membersAdded")
    listed = cast(list[Any], members) if isinstance(members, list) else []
    build = cast(Any, Activity)
    return build(
        type=body["type"],
        id=body.get("id"),
        name=body.get("name"),
        action=body.get("action"),
        channel_id=body["channelId"],
        service_url=body["serviceUrl"],
        conversation=ConversationAccount(id=body["conversation"]["id"]),
        from_property=_account(body.get("from")),
        recipient=_account(body.get("recipient")),
        members_added=[_account(each) for each in listed[:100]] or None,
        text=body.get("text"),
        value=body.get("value"),
    )


def _account(value: Any) -> ChannelAccount:
    fields = cast(JsonObject, value) if isinstance(value, dict) else {}
    return ChannelAccount(id=str(fields.get("id", "")), name=str(fields.get("name", "")))
