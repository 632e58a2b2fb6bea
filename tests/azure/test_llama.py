"""The chat model against a server that we did not write: llama.cpp's, with SmolLM2 of 135 M.

What it says is of no use; how it says it is the protocol. `make llama` installs it and runs these.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession
from aiohttp.test_utils import unused_port

from bot import errors
from bot.azure.openai import AzureChatModel
from bot.clock import SystemClock
from bot.domain.transcript import Message
from bot.ports import Usage

PYTHON = os.environ.get("LLAMA_PYTHON", "")
SERVER = Path(__file__).with_name("llama_server.py")
ASKED = (
    Message("system", "You help security analysts. Be thorough."),
    Message("user", "Explain what a phishing incident is, in many sentences."),
)

pytestmark = [
    pytest.mark.llama,
    pytest.mark.skipif(not PYTHON, reason="LLAMA_PYTHON names no Python with xllamacpp"),
    pytest.mark.timeout(180),
]


@pytest.fixture
async def served() -> AsyncIterator[str]:
    """Its address without a path, once it answers."""
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, str(SERVER), str(port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await idle(url)
        yield url
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def model(served: str) -> AsyncIterator[AzureChatModel]:
    model = AzureChatModel(f"{served}/v1/", "smollm2", None, SystemClock(), silence=60.0)
    await model.open()
    yield model
    await model.close()


async def idle(url: str) -> None:
    """Return when the server is there and works on nothing."""
    async with ClientSession() as http, asyncio.timeout(30):
        while True:
            try:
                async with http.get(f"{url}/slots") as answer:
                    if answer.ok and not any(slot["is_processing"] for slot in await answer.json()):
                        return
            except ClientError:
                pass
            await asyncio.sleep(0.05)


async def test_an_answer_streams_and_its_cost_comes_last(model: AzureChatModel):
    *pieces, cost = [piece async for piece in model.stream(ASKED, limit=400)]
    assert len(pieces) > 5
    assert "phishing" in "".join(str(piece) for piece in pieces).lower()
    assert isinstance(cost, Usage)
    assert cost.prompt_tokens > 20
    assert len(pieces) <= cost.completion_tokens + 1


async def test_an_answer_at_its_limit_is_cut(model: AzureChatModel):
    said = ""
    with pytest.raises(errors.AnswerCut):
        async for piece in model.stream(ASKED, limit=12):
            said += str(piece)
    assert said


async def test_who_hangs_up_stops_the_server(model: AzureChatModel, served: str):
    async with aclosing(model.stream(ASKED, limit=2000)) as pieces:
        await anext(pieces)
    # Two thousand tokens take it half a minute and more.
    async with asyncio.timeout(10):
        await idle(served)
    assert await anext(aiter(model.stream(ASKED, limit=50)))


async def test_more_than_its_context_is_too_long(model: AzureChatModel):
    asked = (*ASKED[:1], Message("user", "The host spoke to an address. " * 600))
    with pytest.raises(errors.ContextTooLong):
        await anext(aiter(model.stream(asked, limit=50)))


async def test_an_object_has_the_members_asked_for(model: AzureChatModel):
    schema = {
        "type": "object",
        "properties": {
            "severity": {"type": "string", "enum": ["High", "Medium", "Low"]},
            "hosts": {"type": "integer"},
        },
        "required": ["severity", "hosts"],
        "additionalProperties": False,
    }
    answer = await model.structured(ASKED, name="rating", schema=schema, limit=200)
    assert answer.data.keys() == {"severity", "hosts"}
    assert answer.data["severity"] in ("High", "Medium", "Low")
    assert isinstance(answer.data["hosts"], int)
    assert answer.usage.completion_tokens > 0


async def test_it_is_there(model: AzureChatModel):
    await model.ping()
