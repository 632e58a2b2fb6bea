"""An echo bot on botbuilder-integration-aiohttp as its samples write one: the SDK's own adapter.

It verifies tokens as Casemate does: RS256, against the benchmark's issuer. It sends its reply
without a token, as Casemate does to a connector on loopback; Entra ID is not part of the measure.
"""

import os

from aiohttp import web
from botbuilder.core import ActivityHandler, TurnContext
from botbuilder.integration.aiohttp import CloudAdapter
from botframework.connector.auth import (
    BotFrameworkAuthenticationFactory,
    MicrosoftAppCredentials,
    PasswordServiceClientCredentialFactory,
)


class Echo(ActivityHandler):
    async def on_message_activity(self, turn_context: TurnContext):
        await turn_context.send_activity(f"Echo: {turn_context.activity.text}")


class NoOutboundToken(PasswordServiceClientCredentialFactory):
    async def create_credentials(self, *_args, **_named):
        return MicrosoftAppCredentials.empty()


ADAPTER = CloudAdapter(
    BotFrameworkAuthenticationFactory.create(
        to_bot_from_channel_token_issuer="https://api.botframework.com",
        to_bot_from_channel_open_id_metadata_url=os.environ["BOT_OPENID_METADATA"],
        to_channel_from_bot_oauth_scope="https://api.botframework.com",
        credential_factory=NoOutboundToken(os.environ["BOT_APP_ID"]),
    )
)
BOT = Echo()


async def messages(request: web.Request) -> web.Response:
    return await ADAPTER.process(request, BOT)


async def healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


APP = web.Application()
APP.router.add_post("/api/messages", messages)
APP.router.add_get("/healthz", healthz)

if __name__ == "__main__":
    web.run_app(APP, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None)
