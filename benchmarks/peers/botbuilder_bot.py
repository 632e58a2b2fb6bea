"""A minimal chat bot on botbuilder-integration-aiohttp, as its samples write one.

It verifies tokens (RS256, the benchmark's issuer) through the SDK's own settings, and sends without
one, as Casemate does to a connector on loopback. The SDK cannot stream to Teams: the answer goes
in one message. What Casemate does and this does not: claim an activity before it is acknowledged,
keep history, read the incident, build a prompt, check citations, send a card, write an audit.
"""

import os

import openai
from aiohttp import web
from botbuilder.core import ActivityHandler, TurnContext
from botbuilder.integration.aiohttp import CloudAdapter
from botframework.connector.auth import (
    BotFrameworkAuthenticationFactory,
    MicrosoftAppCredentials,
    PasswordServiceClientCredentialFactory,
)

MODEL = openai.AsyncOpenAI(base_url=os.environ["AZURE_OPENAI_BASE_URL"], api_key="bench")


class Chat(ActivityHandler):
    async def on_message_activity(self, turn_context: TurnContext):
        stream = await MODEL.chat.completions.create(
            model="bench",
            messages=[{"role": "user", "content": turn_context.activity.text}],
            stream=True,
        )
        answer = ""
        async for event in stream:
            if event.choices:
                answer += event.choices[0].delta.content or ""
        await turn_context.send_activity(answer)


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
BOT = Chat()


async def messages(request: web.Request) -> web.Response:
    return await ADAPTER.process(request, BOT)


async def healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


APP = web.Application()
APP.router.add_post("/api/messages", messages)
APP.router.add_get("/healthz", healthz)

if __name__ == "__main__":
    web.run_app(APP, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None)
