"""Decides who belongs to the SOC's team, from the roster that Teams' connector gives out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import Any, cast

from ..domain.recent import Recent
from ..errors import TooBusy, Undelivered
from ..ports import Clock, JsonObject, Reply
from .activity import place_of
from .connector import Connector
from .messages import activities, addressed

log = logging.getLogger(__name__)

LIFE_SECONDS = 300.0
RETRY_SECONDS = 5.0
# An unfurled link is waited for five seconds, and still has to be looked up.
READ_SECONDS = 4.0
# A team has at most 25,000 members, and a page at most 500 (docs: limits-specifications-teams,
# get-teams-context).
MOST_PAGES = 60
MOST_REMEMBERED = 10_000
_UNREADABLE = "The team's members cannot be read at the moment. Please try again in a few seconds."
_REFUSAL = "I cannot help you here."


class Roster:
    """The members of one team, read when they are asked for and known for five minutes.

    A membership event reaches one replica; the others learn of it within the five minutes. `team`
    is the team's id in Teams (19:...@thread.tacv2), where the app must be installed; members of
    other tenants than `tenants` and guests do not count.
    """

    def __init__(
        self, connector: Connector, team: str, tenants: Collection[str], clock: Clock
    ) -> None:
        self._connector = connector
        self._team = team
        self._tenants = tenants
        self._clock = clock
        self._members: frozenset[str] | None = None
        self._until = float("-inf")
        self._changes = 0
        self._lock = asyncio.Lock()
        self._told = Recent[tuple[str, str], None](MOST_REMEMBERED)

    async def has(self, activity: JsonObject) -> bool:
        """Say whether an activity's sender is a member. Raises TooBusy while nobody can tell."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                await self._refresh(activity["serviceUrl"])
        if self._members is None:
            raise TooBusy(_UNREADABLE, int(RETRY_SECONDS))
        sender = activity.get("from")
        return isinstance(sender, dict) and not self._members.isdisjoint(
            _ids(cast(JsonObject, sender))
        )

    def hear(self, activity: JsonObject) -> None:
        """Read the roster anew after an event in the team: members come and go."""
        place = place_of(activity)
        if place.conversation.partition(";")[0] == self._team:
            self._changes += 1
            self._until = float("-inf")

    async def turn_away(self, activity: JsonObject) -> None:
        """Tell somebody who is no member so, once in a conversation, and nothing else."""
        place = place_of(activity)
        whom = place.conversation, activity["from"]["id"]
        if whom in self._told:
            return
        self._told[whom] = None
        [message] = activities(Reply(_REFUSAL))
        with contextlib.suppress(Undelivered, TimeoutError):
            async with asyncio.timeout(READ_SECONDS):
                await self._connector.post(
                    place.service_url, place.conversation, addressed(message, place), retry=False
                )

    async def _refresh(self, service_url: str) -> None:
        changes, life = self._changes, LIFE_SECONDS
        try:
            async with asyncio.timeout(READ_SECONDS):
                self._members = await self._read(service_url)
        except (Undelivered, TimeoutError) as error:
            why = error.sentence if isinstance(error, Undelivered) else "It took too long."
            log.warning(
                "the members of SOC_TEAM_ID (%s) cannot be read, so nobody is let in: %s "
                "The app must be installed in the team, and the id be the team's in Teams.",
                self._team,
                why,
            )
            self._members, life = None, RETRY_SECONDS
        # An event while it was read: this reading may lack it, so it serves for this once.
        self._until = self._clock.monotonic() + (life if changes == self._changes else 0.0)

    async def _read(self, service_url: str) -> frozenset[str]:
        ids: set[str] = set()
        page = ""
        for _ in range(MOST_PAGES):
            members, page = await self._connector.members(service_url, self._team, page)
            ids.update(*(_ids(each) for each in members if self._counts(each)))
            if not page:
                return frozenset(ids)
        raise Undelivered("It has more pages than a team can have.")

    def _counts(self, member: JsonObject) -> bool:
        """Guests stand in a team's roster as well (docs: get-teams-context, `userRole`)."""
        tenant = str(member.get("tenantId") or "").lower()
        return not is_guest(member) and (not tenant or not self._tenants or tenant in self._tenants)


def is_guest(account: JsonObject) -> bool:
    """Say whether an account calls itself a guest's or a nameless visitor's."""
    role, name = (str(account.get(each)).lower() for each in ("userRole", "userPrincipalName"))
    return role in ("guest", "anonymous") or "#ext#" in name


def _ids(account: JsonObject) -> set[str]:
    """What names somebody: the Entra object id, which rosters also call `objectId`, or Teams' own.

    Teams' own (`29:...`) is the same person's for all of this bot's conversations.
    """
    names: list[Any] = [account.get(name) for name in ("aadObjectId", "objectId", "id")]
    return {name.lower() for name in names if isinstance(name, str) and name}
