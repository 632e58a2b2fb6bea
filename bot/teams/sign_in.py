"""Signs analysts in the way Teams does it, and goes on with what had to wait for it.

In a personal chat a card lets Teams exchange its own token without a window; where consent is
missing its button opens one (docs: bot-sso). A click on a card is answered with a request to sign
in, after which Teams clicks again by itself (docs: universal-actions, authentication).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

from ..domain.lease import SKEW, steady
from ..domain.people import Analyst, Place
from ..domain.recent import Recent
from ..errors import CasemateError, SignInNeeded, Undelivered
from ..ports import Claim, Clock, JsonObject, Reply, Store
from . import invokes
from .activity import analyst_of, claim_of, place_of
from .analyst_tokens import AnalystTokens
from .connector import Connector
from .messages import activities, addressed

log = logging.getLogger(__name__)

WAIT = timedelta(minutes=15)
_WAITING = "sign-in/"
_TOLD_SECONDS = 60.0
_REMEMBERED = 1_000

_ASKED = "I work with your own rights in Azure. Once you are signed in, I go on by myself."
_ASKED_HERE = (
    "I work with your own rights in Azure, so I need you to sign in first. Please open a chat with "
    "me alone and say `sign in` there. If you do it within 15 minutes, I go on here by myself."
)
_NOT_EXCHANGED = "The sign-in has to be confirmed in a window."
_CODE_REFUSED = "That sign-in was not confirmed. Please say `sign in` to try again."
# What Teams says when it cannot sign somebody in (docs: teams-sdk, SSO troubleshooting).
_OPERATORS = {"resourcematchfailed", "oauthcardnotvalid"}
_INSTALLERS = {"installedappnotfound", "installappfailed"}


class SignIn:
    """The conversation's side of analysts' sign-ins; `look` has the queue look for what may go on.

    `owner` names this process's leases in the store.
    """

    def __init__(
        self,
        tokens: AnalystTokens,
        connector: Connector,
        store: Store,
        clock: Clock,
        *,
        owner: str,
    ) -> None:
        self._tokens = tokens
        self._connector = connector
        self._store = store
        self._clock = clock
        self._lease_time = steady(clock.now, clock.monotonic)
        self._owner = owner
        self.look: Callable[[], Awaitable[None]] | None = None
        self._exchanges = Recent[tuple[str, str, str], asyncio.Task[bool]](_REMEMBERED)
        self._told = Recent[tuple[str, str], float](_REMEMBERED)

    # asking for it

    async def reply(self, claim: Claim) -> Reply:
        """Ask for a sign-in where it is possible, else say where it is."""
        if place_of(claim.body).kind != "personal":
            return Reply(_ASKED_HERE, waits=True)
        try:
            return Reply(_ASKED, waits=True, oauth_card=await self._card(claim.body))
        except CasemateError as error:
            return Reply(error.sentence)

    async def login(self, body: JsonObject) -> JsonObject:
        """Answer a click with a request to sign in."""
        try:
            return invokes.answer(401, invokes.LOGIN_REQUEST, await self._card(body))
        except CasemateError as error:
            return invokes.said(error.sentence)

    async def _card(self, body: JsonObject) -> JsonObject:
        resource = await self._tokens.service.sign_in(_reference(body))
        card: JsonObject = {
            "text": "Sign in with your own account, so that your rights in Azure decide.",
            "connectionName": self._tokens.service.connection,
            "buttons": [{"type": "signin", "title": "Sign in", "value": resource.link}],
        }
        if resource.exchange is not None:
            card["tokenExchangeResource"] = resource.exchange
        return card

    # what waits for it

    async def keep_waiting(self, claim: Claim) -> None:
        """Keep what was asked until its analyst signs in: another claim, leased in their name.

        Whoever signs them in releases all that is theirs, on whichever replica. Repeating this
        changes nothing.
        """
        now = self._clock.now()
        waiting = Claim(f"{claim.key}/waits", f"{_WAITING}{claim.key}", claim.body, now)
        await self._store.accept(waiting)
        lessee = _lessee(analyst_of(claim.body))
        await self._store.take(waiting.conversation, lessee, self._lease_time(), WAIT + SKEW)

    @staticmethod
    def waits(claim: Claim) -> bool:
        """Say whether a claim is one of those that wait."""
        return claim.conversation.startswith(_WAITING)

    async def go_on(self, claim: Claim) -> bool:
        """Put what waited back into its conversation's queue, once; False while it waits on.

        After a quarter of an hour it is dropped: nobody expects the answer any more.
        """
        now = self._clock.now()
        left = claim.accepted + WAIT - now
        if left <= timedelta(0):
            return True
        analyst = analyst_of(claim.body)
        try:
            await self._tokens.token(analyst)
        except SignInNeeded:
            await self._store.release(self._owner, claim.key)
            lessee, span = _lessee(analyst), left + SKEW
            await self._store.take(claim.conversation, lessee, self._lease_time(), span)
            return False
        where = claim_of(claim.body, now).conversation
        await self._store.accept(Claim(f"{claim.key}/on", where, claim.body, now))
        await self._look()
        return True

    # what Teams says about it

    async def invoked(self, body: JsonObject, value: JsonObject) -> tuple[int, JsonObject]:
        """Answer Teams' `signin/...` invokes: the HTTP status and body."""
        if body["name"] == "signin/tokenExchange":
            return await self._exchanged(body, value)
        if body["name"] == "signin/verifyState":
            if await self._confirmed(analyst_of(body), value.get("state")):
                return 200, {}
            await self._say(place_of(body), _CODE_REFUSED)
            return 404, {}
        await self._failed(body, value)
        return 200, {}

    async def refused(self, body: JsonObject, value: JsonObject) -> JsonObject | None:
        """Take the sign-in that a click may carry; what is wrong with it, or None."""
        analyst, given = analyst_of(body), value.get("authentication")
        if isinstance(given, dict):
            fields = cast(JsonObject, given)
            if not await self._exchange(analyst, fields.get("id"), fields.get("token")):
                wrong = {"code": "412", "message": _NOT_EXCHANGED}
                return invokes.answer(412, invokes.PRECONDITION_FAILED, wrong)
        elif value.get("state") and not await self._confirmed(analyst, value["state"]):
            return invokes.answer(401, invokes.INCORRECT_CODE, None)
        return None

    async def _exchanged(self, body: JsonObject, value: JsonObject) -> tuple[int, JsonObject]:
        id, connection = value.get("id"), value.get("connectionName")
        answer = {"id": id, "connectionName": connection}
        if connection != self._tokens.service.connection:
            return 400, {**answer, "failureDetail": "This connection is not mine."}
        if await self._exchange(analyst_of(body), id, value.get("token")):
            return 200, answer
        return 412, {**answer, "failureDetail": _NOT_EXCHANGED}

    async def _exchange(self, analyst: Analyst, id: object, token: object) -> bool:
        """Exchange what Teams gave, once for all devices that send it; False opens a window."""
        if not (isinstance(id, str) and isinstance(token, str) and id and token):
            return False
        key = analyst.tenant, analyst.id, id
        task = self._exchanges.get(key)
        if task is None:
            task = asyncio.create_task(self._exchange_once(analyst, token))
            self._exchanges[key] = task
        if not await asyncio.shield(task):
            self._exchanges.pop(key, None)
            return False
        await self._signed_in(analyst)
        return True

    async def _exchange_once(self, analyst: Analyst, token: str) -> bool:
        try:
            return await self._tokens.service.exchange(analyst.account, token) is not None
        except CasemateError as error:
            log.warning("a sign-in was not exchanged: %s", error.sentence)
            return False

    async def _confirmed(self, analyst: Analyst, code: object) -> bool:
        """Complete a sign-in in a window with the code that it gave to Teams."""
        if not isinstance(code, str) or not re.fullmatch(r"[0-9A-Za-z_-]{4,64}", code):
            return False
        try:
            if await self._tokens.service.get(analyst.account, code) is None:
                return False
        except CasemateError as error:
            log.warning("a sign-in was not confirmed: %s", error.sentence)
            return False
        await self._signed_in(analyst)
        return True

    async def _signed_in(self, analyst: Analyst) -> None:
        self._tokens.forget(analyst)  # an earlier account's, perhaps
        await self._store.release(_lessee(analyst))
        await self._look()

    async def _look(self) -> None:
        if self.look is not None:
            await self.look()

    async def _failed(self, body: JsonObject, value: JsonObject) -> None:
        """Tell the analyst in words, once however many devices say so."""
        analyst, now = analyst_of(body), self._clock.monotonic()
        key = analyst.tenant, analyst.id
        if now - self._told.get(key, float("-inf")) < _TOLD_SECONDS:
            return
        self._told[key] = now
        said = value.get("code")
        code = (
            said if isinstance(said, str) and re.fullmatch(r"[A-Za-z]{1,40}", said) else "no code"
        )
        log.warning("Teams could not sign an analyst in: %s", code)
        await self._say(place_of(body), _sentence(code))

    async def _say(self, place: Place, sentence: str) -> None:
        [message] = activities(Reply(sentence))
        with contextlib.suppress(Undelivered):
            await self._connector.post(
                place.service_url, place.conversation, addressed(message, place)
            )


def _sentence(code: str) -> str:
    if code.lower() in _OPERATORS:
        return (
            f"Teams could not sign you in ({code}): the bot's OAuth connection and its "
            "registration do not fit together. Please tell whoever runs Casemate."
        )
    if code.lower() in _INSTALLERS:
        return (
            f"Teams could not sign you in ({code}): Casemate is not installed for you here. "
            "Please add the app, then say `sign in` in a chat with me alone."
        )
    return (
        f"Teams could not sign you in by itself ({code}). "
        "Please press Sign in on the card, or say `sign in` for a new one."
    )


def _lessee(analyst: Analyst) -> str:
    return f"sign-in {analyst.tenant} {analyst.id}"


def _reference(body: JsonObject) -> JsonObject:
    """The conversation reference by which the token service knows whom a sign-in is for."""
    return {
        "activityId": body.get("id"),
        "user": body.get("from"),
        "bot": body.get("recipient"),
        "conversation": body.get("conversation"),
        "channelId": body.get("channelId"),
        "serviceUrl": body.get("serviceUrl"),
    }
