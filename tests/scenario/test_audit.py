"""The audit of a bot at work: its chain holds, outlives `forget me`, and is swept by itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from bot.auditing import Wanted, report
from bot.local.sqlite import SqliteStore
from tests.clock import FakeClock
from tests.scenario.conftest import Soc, running


async def audit(folder: Path, **wanted: Any) -> tuple[bool, str]:
    store = SqliteStore(str(folder / "casemate.db"))
    await store.open()
    out = io.StringIO()
    holds = await report(store, Wanted(**wanted), out, out)
    await store.close()
    return holds, out.getvalue()


async def test_a_days_work_is_on_the_record_without_a_question(soc: Soc, tmp_path: Path) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    answer = await chat.ask("did the Müller account do it?")
    await chat.click(answer, "Add as task")
    await chat.ask("assign")
    await chat.ask("forget me")
    holds, printed = await audit(tmp_path, incident="3177")
    assert holds
    assert [line.split(" · ")[2] for line in printed.splitlines() if "UTC ·" in line] == [
        "question",
        "write",
        "act",
    ]
    assert "result done · kind task · guid " in printed
    assert "ller account" not in (await audit(tmp_path, as_json=True))[1]


async def test_what_is_older_than_audit_days_is_swept(
    clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(clock, tmp_path, AUDIT_DAYS="1", POLL_SECONDS="0") as soc:
        chat = soc.chat()
        await chat.ask("summary 3177")
        assert "items 1 to 1." in (await audit(tmp_path))[1]
        await clock.advance(26 * 3600)
        await chat.ask("summary 3177")
        holds, printed = await audit(tmp_path)
        assert holds and "items 2 to 2. Up to item 1, they were older" in printed
        assert "the audit's head is 1:" in caplog.text
