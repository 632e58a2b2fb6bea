"""Decides whether a request comes from a managed identity that may post incidents.

Any identity of the tenant can get a token for our audience, so the caller is pinned by its object
id. Rules and claims: platform facts 2.3.
"""

from __future__ import annotations

from collections.abc import Collection

from ..domain import audience as audiences
from ..errors import NotAllowed
from ..signing import SigningKeys, verified


def openid_metadata(authority: str, tenant: str) -> str:
    """Where Entra ID publishes a tenant's signing keys."""
    return f"{authority.rstrip('/')}/{tenant}/v2.0/.well-known/openid-configuration"


class EntraTokens:
    """Checks the token that comes with an incident.

    `callers` are object ids; where there are none the webhook is not set up and lets nobody in.
    """

    def __init__(
        self,
        keys: SigningKeys,
        authority: str,
        tenant: str,
        audience: str,
        callers: Collection[str],
    ) -> None:
        self._keys = keys
        self._tenant = tenant.lower()
        self._issuers = (
            f"https://sts.windows.net/{self._tenant}/",  # v1, whatever the authority
            f"{authority.rstrip('/')}/{self._tenant}/v2.0",
        )
        self._audiences = audiences.accepted(audience)
        self._callers = frozenset(each.lower() for each in callers)

    async def caller(self, authorization: str) -> str:
        """Verify the `Authorization` header: the object id of the identity that calls.

        Raises NotAuthenticated, NotAllowed, and TooBusy while Entra ID's keys cannot be had.
        """
        if not self._callers:
            raise NotAllowed(
                "Incidents are not taken here: INCIDENT_WEBHOOK_AUDIENCE and "
                "INCIDENT_WEBHOOK_CALLERS are not set."
            )
        claims, _ = await verified(
            self._keys, authorization, issuers=self._issuers, audiences=self._audiences
        )
        if str(claims.get("tid")).lower() != self._tenant:
            raise NotAllowed("This tenant may not post incidents.")
        # `idtyp` comes only where the application asks for it; `scp` is in every user's token.
        if claims.get("idtyp", "app") != "app" or "scp" in claims:
            raise NotAllowed("Only an application may post incidents, not a user.")
        caller = str(claims.get("oid")).lower()
        if caller not in self._callers:
            raise NotAllowed(
                "This caller may not post incidents: INCIDENT_WEBHOOK_CALLERS does not name it."
            )
        return caller
