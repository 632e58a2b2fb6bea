"""The Bot Framework's token service, as strict as its client's code says it is, and an Azure that
looks at who asks.

What it has to complain about stands in `violations`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiohttp import web

CONNECTION = "azure"
CODE = "483920"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TokenService:
    """Who signed in, by Teams' id of the person; mount `app`."""

    def __init__(self, clock: Any, *, bot_token: str = "", app_id: str = "") -> None:
        self._clock = clock
        self._bot = f"Bearer {bot_token}" if bot_token else None
        self._app_id = app_id
        self.consented: set[str] = set()
        self.signed_in: dict[str, str] = {}  # account -> the Entra object id they signed in as
        self.issued: dict[str, str] = {}  # token -> object id
        self.lifetime = 3600
        self.failing: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.violations: list[str] = []
        self._resources = 0
        self.app = web.Application(middlewares=[self._checked])
        self.app.router.add_get("/api/usertoken/GetToken", self._get)
        self.app.router.add_post("/api/usertoken/exchange", self._exchange)
        self.app.router.add_delete("/api/usertoken/SignOut", self._sign_out)
        self.app.router.add_get("/api/botsignin/GetSignInResource", self._resource)

    def count(self, what: str) -> int:
        return sum(1 for called, _ in self.calls if called == what)

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        called = request.path.rpartition("/")[2]
        self.calls.append((called, request.query.get("userId", "")))
        if request.headers.get("Authorization") != self._bot:
            self.violations.append(f"{called} without the bot's own token")
            return web.json_response({"error": {"code": "Unauthorized"}}, status=401)
        if called in self.failing:
            return web.json_response({"error": {"code": "InternalError"}}, status=500)
        if called != "GetSignInResource":
            names = {"userId", "connectionName", "channelId"}
            if set(request.query) - {"code"} != names or request.query["channelId"] != "msteams":
                return self._violated(f"{called} with {sorted(request.query)}")
            if request.query["connectionName"] != CONNECTION:
                return self._violated("an unknown connection")
        return await handler(request)

    async def _get(self, request: web.Request) -> web.Response:
        account, code = request.query["userId"], request.query.get("code")
        if code == CODE:
            self.consented.add(account)
            self.signed_in.setdefault(account, _oid(account))
        elif code is not None or account not in self.signed_in:
            return web.json_response({"error": {"code": "NotFound"}}, status=404)
        return self._token(account)

    async def _exchange(self, request: web.Request) -> web.Response:
        account, body = request.query["userId"], await request.json()
        if body != {"token": teams_token(account)}:
            return self._violated("an exchange of a token that is not this person's")
        if account not in self.consented:
            error = {"code": "ConsentRequired", "message": "AADSTS65001: consent is missing"}
            return web.json_response({"error": error}, status=400)
        self.signed_in.setdefault(account, _oid(account))
        return self._token(account)

    async def _sign_out(self, request: web.Request) -> web.Response:
        self.signed_in.pop(request.query["userId"], None)
        return web.Response(status=204)

    async def _resource(self, request: web.Request) -> web.Response:
        state = json.loads(base64.b64decode(request.query["state"]))
        conversation = state["conversation"]
        named = state["connectionName"], state["msAppId"], conversation["channelId"]
        if named != (CONNECTION, self._app_id, "msteams"):
            return self._violated(f"a sign-in for {named}")
        for part in ("user", "bot", "conversation"):
            if not conversation[part]["id"]:
                return self._violated(f"a sign-in without its {part}")
        self._resources += 1
        exchange = {"id": f"exchange-{self._resources}", "uri": "api://botid-bot", "providerId": ""}
        link = f"https://token.botframework.com/api/oauth/signin?signin={self._resources}"
        return web.json_response({"signInLink": link, "tokenExchangeResource": exchange})

    def _token(self, account: str) -> web.Response:
        oid = self.signed_in[account]
        parts = {"alg": "none"}, {"oid": oid, "number": len(self.issued)}
        encoded = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in parts)
        token = ".".join(each.rstrip("=") for each in encoded) + ".c2lnbmF0dXJl"
        self.issued[token] = oid
        ends = self._clock.now() + timedelta(seconds=self.lifetime)
        return web.json_response(
            {
                "channelId": "msteams",
                "connectionName": CONNECTION,
                "token": token,
                "expiration": ends.isoformat().replace("+00:00", "Z"),
            }
        )

    def _violated(self, what: str) -> web.Response:
        self.violations.append(what)
        return web.json_response({"error": {"code": "BadRequest", "message": what}}, status=400)


class Azure:
    """Says who asked Azure for what, and no to whom it is told to; "" is the bot itself."""

    def __init__(self, service: TokenService) -> None:
        self._service = service
        self.asked: list[tuple[str, str, str]] = []
        self.tokens: list[str] = []
        self.refuses: Callable[[str, str, str], bool] = lambda who, method, path: False

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(("/subscriptions/", "/v1/workspaces/")):
            return await handler(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        who = self._service.issued.get(token, "somebody unknown") if token else ""
        asked = who, request.method, request.path
        self.asked.append(asked)
        self.tokens.append(token)
        if self.refuses(*asked):
            error = {"code": "AuthorizationFailed", "message": f"The client '{who}' may not."}
            return web.json_response({"error": error}, status=403)
        return await handler(request)

    def who(self, part: str = "", method: str = "") -> set[str]:
        """Who sent requests of this method whose path holds this."""
        return {who for who, how, path in self.asked if part in path and method in ("", how)}


def teams_token(account: str) -> str:
    """The token that Teams itself has of a person, for our app."""
    return f"teams-token-of-{account}"


def _oid(account: str) -> str:
    return account.removeprefix("29:")
