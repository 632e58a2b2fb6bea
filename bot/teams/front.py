"""Puts the Teams side together: the route, the queue behind it, and the bot that works it off."""

from __future__ import annotations

import uuid

from ..ports import Click, Clock, Respond, Store, Unfurl
from .bot import Bot
from .connector import Connector
from .edge import Admission, Edge
from .turns import Turns


def front(
    connector: Connector,
    store: Store,
    clock: Clock,
    admission: Admission,
    respond: Respond,
    click: Click,
    unfurl: Unfurl,
) -> tuple[Edge, Turns]:
    """The handler of the route and its queue; what they hold in the store is this process's own."""
    owner = uuid.uuid4().hex
    bot = Bot(connector, store, clock, owner=owner, respond=respond, click=click, unfurl=unfurl)
    turns = Turns(store, clock, bot.work, owner=owner)
    return Edge(admission, bot, turns, clock), turns
