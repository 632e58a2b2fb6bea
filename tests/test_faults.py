"""The fault plans do what they say, and a log that a power cut tore loses nothing."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestServer

from tests.faults import DOUBTFUL, KINDS, Faulty, garble_wal, tear_wal


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_strikes_as_its_plan_says(kind: str) -> None:
    done: list[str] = []
    slept: list[float] = []

    async def double(request: web.Request) -> web.Response:
        done.append(request.path)
        return web.json_response({"id": "a-1"}, status=201)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    faulty = Faulty(random.Random(1), kind, share=1.0, sleep=sleep)
    app = web.Application(middlewares=[faulty.middleware])
    app.router.add_post("/x", double)
    async with TestServer(app) as server, ClientSession() as http:
        try:
            async with http.post(server.make_url("/x")) as response:
                await response.read()
                seen = f"{response.status} {response.content_type}"
        except ClientError:
            seen = "nothing"
    assert seen == {
        "latency": "201 application/json",
        "slow body": "201 application/json",
        "busy": "429 application/json",
        "broken": "500 application/json",
        "gateway": "502 text/html",
        "wrong type": "201 text/html",
    }.get(kind, "nothing")
    assert bool(done) == (kind not in ("busy", "broken", "gateway", "reset"))
    assert [each for _, _, each in faulty.doubtful] == [b'{"id": "a-1"}'] * (kind in DOUBTFUL)
    assert bool(slept) == (kind in ("latency", "slow body"))
    assert faulty.struck == {kind: 1}


@pytest.mark.parametrize("spoil", [tear_wal, garble_wal])
def test_a_spoilt_log_never_spoils_the_file(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "casemate.db"
    command = (sys.executable, "-m", "tests.store.second_process", "endlessly", str(path), "me")
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as writer:
        assert writer.stdout is not None
        for _ in range(40):
            written = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    spoil(path, random.Random(1))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if spoil is tear_wal:
            kept = db.execute("SELECT count(*) FROM claims WHERE finished IS NOT NULL").fetchone()
            assert kept[0] >= written, "what was answered is there"
