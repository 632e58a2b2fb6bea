"""An analyst's questions on one incident, asked in two chats: one after the other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.desk.ask import ask
from bot.errors import OverLimit
from tests.azure.model_double import delta, sse, usage
from tests.desk.conftest import ANA, Room
from tests.desk.test_audit import Quiet


async def another_question_takes(room: Room, seconds: float) -> None:
    ref = room.ref()
    name = f"asking/{ANA.tenant}/{ANA.id}/{ref.workspace}/{ref.id}"
    span = timedelta(seconds=seconds)
    assert await room.desk.outbox.lease(name, "another", room.clock.now(), span)


async def test_the_second_waits_for_the_first(room: Room) -> None:
    room.model.answers = [sse(delta("Two accounts [1]."), delta(finish="stop"), usage(2, 3, 0))]
    await another_question_takes(room, 30)
    await ask(room.desk, room.said("x"), room.ref(), "x", Quiet())
    assert 30 <= room.clock.monotonic() < 31


async def test_it_does_not_wait_for_ever(room: Room) -> None:
    await another_question_takes(room, 300)
    with pytest.raises(OverLimit, match="still working on your last question"):
        await ask(room.desk, room.said("x"), room.ref(), "x", Quiet())
    assert 60 <= room.clock.monotonic() < 61
