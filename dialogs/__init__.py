"""What an analyst can say and click, and who answers it.

To add a word: write a module with a function like the others, give it a line in `ROUTES`, a line in
`bot/cards/chat.py`, and a test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from bot.desk.desk import Desk
from bot.desk.post import Postings
from bot.desk.refusals import Refusals
from bot.domain.incident import Mention, Workspace, parted
from bot.domain.people import Place
from bot.errors import ClickRefused, NothingInFocus, WhichIncident
from bot.ports import Answered, Click, Clicked, Clicking, Courier, Leave, Respond, Said

from . import (
    act,
    add,
    announce,
    ask,
    cost,
    forget,
    handover,
    help,
    history,
    incident,
    incidents,
    kql,
    sign_in,
    tactics,
    tasks,
)
from .focus import named

_ADDRESSES = 10_000
# In any one field of a card; some fields take less.
MAX_INPUT_CHARS = 4_000

Handler = Callable[[Desk, Said, Courier, Mention | None], Awaitable[Answered]]


@dataclass(frozen=True, slots=True)
class Route:
    """A word and who answers it; `takes_incident` where an incident may follow it."""

    word: str
    handler: Handler
    takes_incident: bool = False


ROUTES = (
    Route("help", help.reply),
    Route("incidents", incidents.reply),
    Route("incident", incident.reply, takes_incident=True),
    Route("summary", ask.summary, takes_incident=True),
    Route("tasks", tasks.reply, takes_incident=True),
    Route("tactics", tactics.reply, takes_incident=True),
    Route("kql", kql.reply, takes_incident=True),
    Route("assign", act.assign, takes_incident=True),
    Route("assign to me", act.assign, takes_incident=True),
    Route("severity", act.severity),
    Route("close", act.close, takes_incident=True),
    Route("reopen", act.reopen, takes_incident=True),
    Route("handover", handover.reply, takes_incident=True),
    Route("subscribe", announce.subscribe),
    Route("unsubscribe", announce.unsubscribe),
    Route("history", history.reply, takes_incident=True),
    Route("cost", cost.reply, takes_incident=True),
    Route("reset", forget.reset, takes_incident=True),
    Route("forget me", forget.forget_me),
    Route("sign in", sign_in.sign_in),
    Route("sign out", sign_in.sign_out),
)


# What a press begins and the queue finishes, by the verb of the button.
LONG: dict[str, Callable[[Desk, Clicked], Clicking]] = {
    "run": kql.run,
    "refine": kql.refine,
    "kql": kql.of_answer,
}


def route(text: str, workspaces: Sequence[Workspace] = ()) -> tuple[Handler, Mention | None]:
    """Find who answers a text: a word alone or with an incident behind it, else a question.

    Words count in any case, with a slash in front or none. `workspaces` are those to choose from.
    """
    words = " ".join(text.split()).removeprefix("/").strip()
    plain = words.casefold().rstrip(".!? ")
    if not plain:
        return help.reply, None
    for each in ROUTES:
        if plain == each.word:
            return each.handler, None
        follows = words[len(each.word) :] if plain.startswith(f"{each.word} ") else ""
        if each.takes_incident and (mention := named(follows, workspaces)):
            return each.handler, mention
    if order := act.ordered(words, workspaces):
        return order
    if incidents.asked_for(words, workspaces):
        return incidents.reply, None
    alone, _ = parted(plain, workspaces)
    if alone == "subscribe" or (alone.startswith("subscribe ") and len(alone.split()) == 2):
        return announce.subscribe, None
    if mention := named(words, workspaces):
        return incident.reply, mention
    if plain.startswith(("kql ", "kql:")) or kql.wants_query(words):
        return kql.reply, None
    return ask.reply, None


def responder(desk: Desk) -> Respond:
    """Answer what is said at this desk."""
    # Where each conversation was last heard from: Teams may move it.
    addresses: dict[str, str] = {}

    async def respond(said: Said, courier: Courier) -> Answered:
        desk.allowance.request(said.analyst)
        if refusal := ask.too_long(said):
            return refusal
        place = said.place
        if addresses.get(place.conversation) != place.service_url:
            await announce.heard_from(desk, place)
            if len(addresses) >= _ADDRESSES:
                addresses.clear()
            addresses[place.conversation] = place.service_url
        handler, mention = route(said.text, desk.choices)
        own = desk.of(said.analyst)
        try:
            return await handler(own, said, courier, mention)
        except NothingInFocus as nothing:
            return await incidents.which(own, nothing)
        except WhichIncident as which:
            return incidents.which_workspace(said, which)

    return respond


def leaver(desk: Desk) -> Leave:
    """Announce nothing more where the bot is no longer."""

    async def leave(place: Place) -> None:
        await desk.outbox.unsubscribe(place.tenant, place.conversation.partition(";")[0])

    return leave


def clicker(desk: Desk) -> Click:
    """Do what is clicked at this desk. The data is the client's: its shape is checked here."""
    refusals = Refusals()
    postings = Postings(refusals)

    async def click(clicked: Clicked) -> Clicking:
        async with refusals.recorded(desk, clicked):
            clicking = await begun(clicked)
        if (then := clicking.then) is None:
            return clicking

        async def finished(courier: Courier) -> Answered:
            async with refusals.recorded(desk, clicked):
                return await then(courier)

        return replace(clicking, then=finished)

    async def begun(clicked: Clicked) -> Clicking:
        desk.allowance.request(clicked.analyst)
        if any(isinstance(v, str) and len(v) > MAX_INPUT_CHARS for v in clicked.data.values()):
            raise ClickRefused(f"Please type at most {MAX_INPUT_CHARS:,} characters.")
        theirs = desk.of(clicked.analyst)
        verb = clicked.data.get("verb")
        if verb == "add":
            return await add.click(theirs, postings, clicked)
        if verb == "act":
            return await act.click(theirs, clicked)
        if verb == "share":
            return await handover.click(theirs, clicked)
        if verb == "incident":
            return await incident.click(theirs, clicked)
        if long := LONG.get(str(verb)):
            return long(theirs, clicked)
        raise ClickRefused("This button is not one of mine.")

    return click
