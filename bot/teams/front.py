"""Puts the Teams side together: the route, the queue behind it, and the bot that works it off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiohttp

from ..ports import Claim, Click, Clock, JsonObject, Leave, Respond, Store, Unfurl
from ..settings import Settings
from ..signing import SigningKeys
from .analyst_tokens import AnalystTokens
from .authentication import BotFrameworkTokens
from .connector import Connector
from .edge import Admission, Edge
from .roster import Roster
from .sign_in import SignIn
from .turns import Turns

if TYPE_CHECKING:
    from .bot import Bot

T = TypeVar("T")


class Around(Protocol):
    """May measure the work on an activity, whatever comes of it."""

    def __call__(
        self, work: Callable[[Claim], Coroutine[Any, Any, T]]
    ) -> Callable[[Claim], Coroutine[Any, Any, T]]:
        """The same work."""
        ...


def admission_of(
    settings: Settings, session: aiohttp.ClientSession, connector: Connector, clock: Clock
) -> Admission:
    """Who is let in, as the settings say."""
    keys = SigningKeys(session, settings.bot_openid_metadata, clock)
    team, tenants = settings.soc_team_id, settings.allowed_tenants
    return Admission(
        tokens=None if settings.local_mode else BotFrameworkTokens(keys, settings.bot_app_id),
        tenants=tenants,
        loopback=settings.loopback_services,
        roster=Roster(connector, team, tenants, clock) if team else None,
    )


class LaterBot:
    """The bot, made when it is first wanted: what it imports of the SDK takes a third of a second.

    `make` may block.
    """

    def __init__(self, make: Callable[[], Bot]) -> None:
        self._make = make
        self._made: Bot | None = None
        self._making = asyncio.Lock()

    async def open(self) -> Bot:
        """Have it, from a thread of its own the first time."""
        if self._made is None:
            async with self._making:
                if self._made is None:
                    self._made = await asyncio.to_thread(self._make)
        return self._made

    async def work(self, claim: Claim) -> JsonObject | None:
        """Work on an accepted activity: see `Bot.work`."""
        return await (await self.open()).work(claim)

    async def invoke(self, claim: Claim) -> tuple[int, JsonObject]:
        """Answer an invoke: see `Bot.invoke`."""
        return await (await self.open()).invoke(claim)


def front(
    connector: Connector,
    store: Store,
    clock: Clock,
    admission: Admission,
    respond: Respond,
    click: Click,
    unfurl: Unfurl,
    leave: Leave,
    owner: str,
    sign_ins: AnalystTokens | None,
    around: Around,
) -> tuple[Edge, Turns, LaterBot]:
    """The handler of the route, its queue, the bot; `owner` names what they hold in the store."""
    sign_in = None
    if sign_ins is not None:
        sign_in = SignIn(sign_ins, connector, store, clock, owner=owner)

    def make() -> Bot:
        from .bot import Bot

        bot = Bot(
            connector,
            store,
            clock,
            owner=owner,
            respond=respond,
            click=click,
            unfurl=unfurl,
            leave=leave,
            sign_in=sign_in,
        )
        bot.holds = turns.holds
        return bot

    bot = LaterBot(make)
    turns = Turns(store, clock, around(bot.work), owner=owner)
    if sign_in is not None:
        sign_in.look = turns.look
    return Edge(admission, around(bot.invoke), turns, clock), turns, bot
