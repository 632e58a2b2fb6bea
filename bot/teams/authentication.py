"""Decides whether a request comes from the Bot Framework.

Stricter than the SDK: a token needs `exp`, a service URL that is the activity's, and the channel's
own issuer; there is no emulator path.
"""

from __future__ import annotations

from ..errors import NotAuthenticated
from ..ports import JsonObject
from ..signing import SigningKey, SigningKeys, verified

ISSUER = "https://api.botframework.com"


class BotFrameworkTokens:
    """Checks the token that comes with an activity."""

    def __init__(self, keys: SigningKeys, app_id: str) -> None:
        self._keys = keys
        self._app_id = app_id

    async def claims(self, authorization: str) -> tuple[JsonObject, SigningKey]:
        """Verify the `Authorization` header: its claims and key. Raises NotAuthenticated."""
        return await verified(self._keys, authorization, issuers=[ISSUER], audiences=[self._app_id])

    @staticmethod
    def check_activity(claims: JsonObject, key: SigningKey, activity: JsonObject) -> None:
        """Hold a token's claims against the activity it came with. Raises NotAuthenticated."""
        claimed = claims.get("serviceurl")
        sent = activity.get("serviceUrl")
        if not isinstance(claimed, str) or not isinstance(sent, str) or claimed != sent:
            raise NotAuthenticated("The token was issued for another service URL.")
        if key.endorsements is not None and activity.get("channelId") not in key.endorsements:
            raise NotAuthenticated("The token's key may not sign for this channel.")
