"""Puts the Teams side together: the route, the queue behind it, and the bot that works it off."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import aiohttp

from ..ports import Claim, Click, Clock, Leave, Respond, Store, Unfurl
from ..settings import Settings
from ..signing import SigningKeys
from .analyst_tokens import AnalystTokens
from .authentication import BotFrameworkTokens
from .bot import Bot
from .connector import Connector
from .edge import Admission, Edge
from .roster import Roster
from .sign_in import SignIn
from .turns import Turns

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
) -> tuple[Edge, Turns]:
    """The handler of the route and its queue; `owner` names what they hold in the store."""
    sign_in = None
    if sign_ins is not None:
        sign_in = SignIn(sign_ins, connector, store, clock, owner=owner)
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
    turns = Turns(store, clock, around(bot.work), owner=owner)
    bot.holds = turns.holds
    if sign_in is not None:
        sign_in.look = turns.look
    return Edge(admission, around(bot.invoke), turns, clock), turns
