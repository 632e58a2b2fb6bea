"""A minimal chat bot on microsoft-teams-apps, which streams in a personal chat.

It verifies tokens through the SDK's own setting of a cloud, and sends with a token that does not
have to be fetched. In a group chat, where Teams does not stream, the answer goes in one message.
What Casemate does and this does not: claim an activity before it is acknowledged, keep history,
read the incident, build a prompt, check citations, send a card, write an audit.
"""

import asyncio
import os

import openai
import uvicorn
from fastapi import FastAPI
from microsoft_teams.api import MessageActivity
from microsoft_teams.api.auth.cloud_environment import PUBLIC, with_overrides
from microsoft_teams.apps import ActivityContext, App, FastAPIAdapter

MODEL = openai.AsyncOpenAI(base_url=os.environ["AZURE_OPENAI_BASE_URL"], api_key="bench")
PORT = int(os.environ["PORT"])


def server(app: FastAPI) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", PORT, log_level="warning", access_log=False)
    )


HTTP = FastAPIAdapter(server_factory=server)
BOT = App(
    client_id=os.environ["BOT_APP_ID"],
    tenant_id=os.environ["BOT_TENANT_ID"],
    token=lambda _scope, _tenant: os.environ["BENCH_TOKEN"],
    cloud=with_overrides(PUBLIC, openid_metadata_url=os.environ["BOT_OPENID_METADATA"]),
    http_server_adapter=HTTP,
)


@BOT.on_message
async def on_message(context: ActivityContext[MessageActivity]):
    question = [{"role": "user", "content": context.activity.text}]
    events = await MODEL.chat.completions.create(model="bench", messages=question, stream=True)
    pieces = (each.choices[0].delta.content or "" async for each in events if each.choices)
    if context.activity.conversation.conversation_type != "personal":
        await context.send("".join([piece async for piece in pieces]))
        return
    async for piece in pieces:
        context.stream.emit(piece)


@HTTP.app.get("/healthz")
async def healthz() -> str:
    return "ok"


if __name__ == "__main__":
    asyncio.run(BOT.start(PORT))
