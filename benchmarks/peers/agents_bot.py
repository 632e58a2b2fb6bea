"""A minimal chat bot on microsoft-agents-hosting-aiohttp, which streams in a personal chat.

It verifies tokens with the SDK's own middleware. Where the keys are is fixed in the SDK and no
setting changes it, so its table of addresses is pointed at the benchmark's. It sends with a token
that does not have to be fetched. In a group chat, where Teams does not stream, the answer goes in
one message.
What Casemate does and this does not: claim an activity before it is acknowledged, keep history,
read the incident, build a prompt, check citations, send a card, write an audit.
"""

import os

import openai
from aiohttp import web
from microsoft_agents.hosting.aiohttp import (
    CloudAdapter,
    jwt_authorization_middleware,
    start_agent_process,
)
from microsoft_agents.hosting.core import (
    AgentApplication,
    AgentAuthConfiguration,
    AnonymousTokenProvider,
    MemoryStorage,
    TurnContext,
    TurnState,
)
from microsoft_agents.hosting.core.authorization import _entra_issuers

MODEL = openai.AsyncOpenAI(base_url=os.environ["AZURE_OPENAI_BASE_URL"], api_key="bench")
KEYS = _entra_issuers.BOTFRAMEWORK_JWKS_URIS
KEYS["https://api.botframework.com"] = os.environ["BOT_OPENID_KEYS"]


class GivenToken(AnonymousTokenProvider):
    async def get_access_token(self, *_args, **_named) -> str:
        return os.environ["BENCH_TOKEN"]


class GivenTokens:
    """The SDK's `Connections`."""

    def get_connection(self, *_args):
        return GivenToken()

    get_default_connection = get_token_provider = get_connection
    get_token_provider_from_activity = get_connection


CONNECTIONS = GivenTokens()
ADAPTER = CloudAdapter(connection_manager=CONNECTIONS)
BOT = AgentApplication[TurnState](
    storage=MemoryStorage(), adapter=ADAPTER, connection_manager=CONNECTIONS
)


@BOT.activity("message")
async def on_message(context: TurnContext, _state: TurnState):
    question = [{"role": "user", "content": context.activity.text}]
    events = await MODEL.chat.completions.create(model="bench", messages=question, stream=True)
    pieces = (each.choices[0].delta.content or "" async for each in events if each.choices)
    if context.activity.conversation.conversation_type != "personal":
        await context.send_activity("".join([piece async for piece in pieces]))
        return
    async for piece in pieces:
        context.streaming_response.queue_text_chunk(piece)
    await context.streaming_response.end_stream()


async def messages(request: web.Request) -> web.Response:
    return await start_agent_process(request, BOT, ADAPTER)


async def healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


# The middleware is for the bot's route alone: /healthz has no token.
BOT_APP = web.Application(middlewares=[jwt_authorization_middleware])
BOT_APP["agent_configuration"] = AgentAuthConfiguration(client_id=os.environ["BOT_APP_ID"])
BOT_APP.router.add_post("/messages", messages)
APP = web.Application()
APP.router.add_get("/healthz", healthz)
APP.add_subapp("/api", BOT_APP)

if __name__ == "__main__":
    web.run_app(APP, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None)
