"""Runs a turn: what the analyst said or clicked goes to the dialogs, what comes back to Teams.

A reply is committed to the store before it is sent, so that a crash in between repeats the sending,
never the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, cast

from botbuilder.core import ActivityHandler, InvokeResponse, TurnContext
from botbuilder.schema import ChannelAccount

from ..course import met
from ..domain.people import Place
from ..errors import UNEXPECTED, UNEXPECTED_CLICK, SignInNeeded, Stopped, Undelivered
from ..ports import (
    Answered,
    Claim,
    Click,
    Clicked,
    Clicking,
    Clock,
    JsonObject,
    Leave,
    Outcome,
    Reply,
    Respond,
    Said,
    Store,
    Unfurl,
)
from . import invokes, ratings
from .activity import analyst_of, place_of, text_of
from .adapter import INVOKE_RESPONSE, TeamsAdapter, sdk_activity
from .connector import Connector, delivered_id
from .failing import sentence
from .messages import activities, addressed, kept_reply
from .sign_in import SignIn
from .stream import Stream
from .turns import hopeless
from .unfurling import unfurled

log = logging.getLogger(__name__)

TURN_SECONDS = 300.0
CLICK_SECONDS = 9.0
_CLAIM, _BODY, _LEFT = "casemate.claim", "casemate.body", "casemate.left"
_SLOW = "This took too long, and I stopped. Please ask again, perhaps for less at once."
_GIVEN_UP = "I tried this several times, and something failed each time. Please ask again."
_TOO_LONG = "This takes longer than a click may. Please say it in words."
_SLOW_CLICK = "Sentinel did not answer in time. Click again: nothing is added twice."


class Bot(ActivityHandler):
    """The activity handler; `respond`, `click`, `unfurl`, `leave` are the dialogs.

    `sign_in` is None where Azure is asked with the bot's own identity only.
    """

    def __init__(
        self,
        connector: Connector,
        store: Store,
        clock: Clock,
        *,
        owner: str,
        respond: Respond,
        click: Click,
        unfurl: Unfurl,
        leave: Leave,
        sign_in: SignIn | None = None,
    ) -> None:
        super().__init__()
        self._adapter, self._connector = TeamsAdapter(connector), connector
        self._store, self._clock, self._owner = store, clock, owner
        self._respond, self._click, self._unfurl, self._leave = respond, click, unfurl, leave
        self._sign_in, self._aside = sign_in, set[asyncio.Task[None]]()
        # Says whether a claim is still ours: who was stopped for long has lost it.
        self.holds: Callable[[str], bool] = bool

    async def work(self, claim: Claim) -> JsonObject | None:
        """Work on an accepted activity; what is left of it, None when it must be taken up again."""
        if self._sign_in is not None and self._sign_in.waits(claim):
            return {} if await self._sign_in.go_on(claim) else None
        state = await self._run(claim.body, {_CLAIM: claim})
        return state.get(_LEFT, {})

    async def invoke(self, claim: Claim) -> tuple[int, JsonObject]:
        """Answer an invoke, which no store keeps, in its HTTP response: status and body."""
        state = await self._run(claim.body, {_BODY: claim.body})
        response = state[INVOKE_RESPONSE].value
        return response.status, response.body

    async def _run(self, body: JsonObject, state: JsonObject) -> dict[str, Any]:
        """One turn through the SDK's pipeline; what it leaves in the turn's state comes back."""
        context = TurnContext(self._adapter, sdk_activity(body))
        context.turn_state.update(cast(Any, state))
        await cast(Any, self._adapter).run_pipeline(context, self.on_turn)
        return cast(dict[str, Any], context.turn_state)

    # what the SDK calls

    async def on_message_activity(self, turn_context: TurnContext) -> None:
        """A question, a word, or a button on a client that knows only `Action.Submit`."""
        claim = cast(Claim, turn_context.turn_state[_CLAIM])
        place = place_of(claim.body)
        stream = self._stream(claim, place)
        try:
            reply = kept_reply(claim.progress.get("reply"))
            origin = claim.progress.get("origin")
            if reply is None:
                answered = await self._answered(claim, place, stream)
                if answered is None or not await self._commit(claim, answered):
                    return
                reply, origin = answered.reply, ratings.origin(answered)
            if reply.waits and self._sign_in is not None:
                await self._sign_in.keep_waiting(claim)
            await stream.finish(reply)
            if origin:
                turn_context.turn_state[_LEFT] = {"sent": stream.sent, "origin": origin}
        except Undelivered as error:
            met(error)
            log.warning("an answer was not delivered: %s", error.sentence)
            turn_context.turn_state[_LEFT] = {} if error.retire else None
        finally:
            await stream.close()

    async def on_members_added_activity(
        self, members_added: list[ChannelAccount], turn_context: TurnContext
    ) -> None:
        """Say what one can say, once, when the bot itself arrives somewhere."""
        claim = cast(Claim, turn_context.turn_state[_CLAIM])
        bot_id = place_of(claim.body).bot_id
        if bot_id and any(cast(Any, member).id == bot_id for member in members_added):
            body = {**claim.body, "text": "help", "value": None}
            turn_context.turn_state[_CLAIM] = dataclasses.replace(claim, body=body)
            await self.on_message_activity(turn_context)

    async def on_members_removed_activity(
        self, members_removed: list[ChannelAccount], turn_context: TurnContext
    ) -> None:
        """Nothing is announced where the bot was removed."""
        place = place_of(cast(Claim, turn_context.turn_state[_CLAIM]).body)
        if any(cast(Any, member).id == place.bot_id for member in members_removed):
            await self._leave(place)

    async def on_installation_update_remove(self, turn_context: TurnContext) -> None:
        """The app was uninstalled here."""
        await self._leave(place_of(cast(Claim, turn_context.turn_state[_CLAIM]).body))

    async def on_invoke_activity(self, turn_context: TurnContext) -> InvokeResponse:
        """A button, a pasted link, or a thumb up or down."""
        body = cast(JsonObject, turn_context.turn_state[_BODY])
        value = body.get("value")
        value = cast(JsonObject, value) if isinstance(value, dict) else {}
        if body.get("name") == "adaptiveCard/action":
            return InvokeResponse(status=200, body=await self._pressed(body, value))
        if body.get("name") == "composeExtension/queryLink":
            return InvokeResponse(status=200, body=await unfurled(self._unfurl, body, value))
        if self._sign_in is not None and str(body.get("name")).startswith("signin/"):
            status, answer = await self._sign_in.invoked(body, value)
            return InvokeResponse(status=status, body=answer)
        if body.get("name") == "message/submitAction":
            await ratings.record(self._store, body, value, self._clock.now())
            return InvokeResponse(status=200, body={})
        return InvokeResponse(status=400, body={"error": "Casemate does not know this invoke."})

    # a turn

    def _stream(self, claim: Claim, place: Place) -> Stream:
        async def note(progress: JsonObject) -> None:
            await self._store.note(claim.key, self._owner, progress)

        kept, holds = claim.progress, partial(self.holds, claim.key)
        return Stream(self._connector, self._clock, place, progress=kept, note=note, holds=holds)

    async def _answered(self, claim: Claim, place: Place, stream: Stream) -> Answered | None:
        """Let the dialogs answer; every failure becomes a sentence. None after a Stop."""
        body = claim.body
        said = Said(claim.key, analyst_of(body), place, text_of(body), claim.accepted)
        value = body.get("value")
        if hopeless(claim, self._clock.now()):
            return Answered(Reply(_GIVEN_UP))
        if not said.text and isinstance(value, dict):
            answering = self._submitted(body, said, cast(JsonObject, value), stream)
        else:
            answering = cast(Coroutine[Any, Any, Answered], self._respond(said, stream))
        try:
            async with asyncio.timeout(TURN_SECONDS):
                return await stream.until_stopped(answering)
        except Stopped as error:
            met(error)
            return None
        except Exception as error:
            told = sentence(error, slow=_SLOW, unexpected=UNEXPECTED)
            if isinstance(error, SignInNeeded) and self._sign_in is not None:
                return Answered(await self._sign_in.reply(claim))
            return Answered(Reply(told))

    async def _commit(self, claim: Claim, answered: Answered) -> bool:
        outcome = Outcome(
            claim=claim.key,
            progress={
                "reply": answered.reply,
                "origin": ratings.origin(answered),
            },
            thread=answered.thread,
            turn=answered.turn,
            proposal=answered.proposal,
            audit=answered.audit,
        )
        held = await self._store.commit(outcome, self._owner)
        if not held:
            log.warning("another replica took over a turn; its answer stands")
        return held

    # a click

    async def _submitted(
        self, body: JsonObject, said: Said, data: JsonObject, stream: Stream
    ) -> Answered:
        """`Action.Submit`: the card is edited where it stands, and what is new is said."""
        clicking = await self._click(Clicked(said.analyst, said.place, data, said.at, said.id))
        if clicking.then is not None:
            return await clicking.then(stream)
        if clicking.answered is not None:
            return clicking.answered
        await self._edit(body, said.place, clicking)
        return Answered(Reply("Done."))

    async def _pressed(self, body: JsonObject, value: JsonObject) -> JsonObject:
        """`Action.Execute`: answer with the card in its new state, or with a sentence."""
        action = value.get("action")
        data = cast(JsonObject, action).get("data") if isinstance(action, dict) else None
        if not isinstance(data, dict) or value.get("trigger") == "automatic":
            return invokes.problem(400, "BadRequest", "This button carries nothing I know.")
        place = place_of(body)
        clicked = Clicked(analyst_of(body), place, cast(JsonObject, data), self._clock.now())
        try:
            async with asyncio.timeout(CLICK_SECONDS):
                if self._sign_in is not None and (no := await self._sign_in.refused(body, value)):
                    return no
                clicking = await self._click(clicked)
                if clicking.answered is not None:
                    for message in activities(clicking.answered.reply):
                        delivered_id(
                            await self._connector.post(
                                place.service_url, place.conversation, addressed(message, place)
                            )
                        )
        except Exception as error:
            told = sentence(error, slow=_SLOW_CLICK, unexpected=UNEXPECTED_CLICK)
            if isinstance(error, SignInNeeded) and self._sign_in is not None:
                return await self._sign_in.login(body)
            return invokes.said(told)
        if clicking.then is not None:
            return invokes.said(_TOO_LONG)
        if clicking.card is None:
            return invokes.said("Done.")
        if not place.streams:
            self._do_aside(self._edit(body, place, clicking))
        return invokes.card(clicking.card)

    async def _edit(self, body: JsonObject, place: Place, clicking: Clicking) -> None:
        """Show the card's new state to everybody: the click's answer reaches one person only."""
        message_id = body.get("replyToId")
        if not isinstance(message_id, str) or clicking.message is None:
            return
        message = activities(clicking.message)[-1]
        with contextlib.suppress(Undelivered):
            await self._connector.put(
                place.service_url,
                place.conversation,
                message_id,
                {**addressed(message, place), "id": message_id},
            )

    def _do_aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
