"""In local mode nobody is authenticated, so only this machine and its own pages may ask."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.gate import loopback_only


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def served(_: web.Request) -> web.Response:
        return web.Response(text="served")

    app = web.Application(middlewares=[loopback_only])
    app.router.add_post("/api/messages", served)
    async with TestServer(app) as server:
        yield server


async def status(server: TestServer, *headers: str, version: str = "1.1") -> int:
    """POST with exactly these headers: a client would add or mend some."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [f"POST /api/messages HTTP/{version}", *headers, "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:3978", 200),
        ("127.9.9.9:3978", 200),
        ("localhost:3978", 200),
        ("LOCALHOST", 200),
        ("[::1]:3978", 200),
        ("casemate.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:3978", 403),
        ("evil.example:127.0.0.1", 403),
        ("127.0.0.1:80@evil.example", 403),
        ("0.0.0.0:3978", 403),
        ("192.168.0.7", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_a_host_is_loopback(server: TestServer, host: str, answered: int) -> None:
    assert await status(server, f"Host: {host}") == answered


async def test_a_host_is_named(server: TestServer) -> None:
    assert await status(server, version="1.0") == 403


@pytest.mark.parametrize(
    ("origin", "answered"),
    [
        ("http://127.0.0.1:56150", 200),
        ("http://localhost:56150", 200),
        ("http://[::1]:56150", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://127.0.0.1@evil.example", 403),
        ("http://[", 403),
        ("null", 403),
        ("file://", 403),
    ],
)
async def test_a_page_is_one_of_this_machine(
    server: TestServer, origin: str, answered: int
) -> None:
    assert await status(server, "Host: 127.0.0.1:3978", f"Origin: {origin}") == answered
