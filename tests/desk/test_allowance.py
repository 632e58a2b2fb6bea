"""What is left to an analyst: counted, estimated where nobody says, and let go of."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from bot.desk.allowance import Allowance, Metered
from bot.desk.alone import alone
from bot.desk.desk import Desk
from bot.domain.incident import IncidentRef
from bot.domain.lease import steady
from bot.domain.limits import Limits
from bot.domain.transcript import Message
from bot.errors import ModelError, OverLimit, StoreError
from bot.ports import Said
from tests.azure.model_double import fails, says
from tests.cosmos_double import KEY, CosmosDouble
from tests.counting import estimate
from tests.desk.conftest import ANA, BEN, Room
from tests.faults import SkewedClock

ASKED = (Message("user", "what happened? " * 10),)


def metered(room: Room, **limits: int) -> Metered:
    allowance = Allowance(Limits(**limits), room.desk.store, room.clock, estimate)
    return Metered(room.desk.model, allowance, ANA)


async def spent(room: Room, who: str = "contoso/u-ana") -> int:
    kept = await room.desk.store.kept(f"tokens/{who}")
    return kept["sum"] if kept else 0


async def test_both_ways_to_ask_count_for_the_analyst_and_the_tenant(room: Room) -> None:
    model = metered(room, analyst_tokens=1)
    await model.structured(ASKED, name="x", schema={}, limit=10)
    first = await spent(room)
    assert first > 0
    with pytest.raises(OverLimit) as caught:
        await model.structured(ASKED, name="x", schema={}, limit=10)
    assert caught.value.retry_after == 15 * 3600
    with pytest.raises(OverLimit):
        await anext(model.stream(ASKED, limit=10))
    # Somebody else goes on, and both together are the tenant's.
    await replace(model, analyst=BEN).structured(ASKED, name="x", schema={}, limit=10)
    assert await spent(room, "contoso") == 2 * first


async def test_the_tenants_tokens_are_everybodys(room: Room) -> None:
    model = metered(room, tenant_tokens=1)
    await model.structured(ASKED, name="x", schema={}, limit=10)
    with pytest.raises(OverLimit) as caught:
        await replace(model, analyst=BEN).structured(ASKED, name="x", schema={}, limit=10)
    assert caught.value.sentence.startswith("Your organisation's 1 tokens for today are used up.")


async def test_an_answer_that_is_stopped_is_estimated(room: Room) -> None:
    room.model.answers[:] = [says("One ", "two ", "three.")]
    model = metered(room, analyst_tokens=10_000)
    async with aclosing(model.stream(ASKED, limit=10)) as pieces:
        said = await anext(pieces)
    assert isinstance(said, str)
    assert await spent(room) == estimate(ASKED[0].content) + estimate(said)


async def test_a_model_that_does_not_answer_costs_nothing(room: Room) -> None:
    room.model.answers[:] = [fails(400, "server_error")] * 2
    model = metered(room, analyst_tokens=10_000)
    with pytest.raises(ModelError):
        await model.structured(ASKED, name="x", schema={}, limit=10)
    with pytest.raises(ModelError):
        await anext(model.stream(ASKED, limit=10))
    assert await spent(room) == 0


async def test_without_limits_nothing_is_kept(room: Room) -> None:
    await metered(room).structured(ASKED, name="x", schema={}, limit=10)
    assert await spent(room) == 0


async def test_an_answer_is_not_lost_where_it_cannot_be_counted(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    allowance = Allowance(Limits(analyst_tokens=5), room.desk.store, room.clock, estimate)
    await room.desk.store.close()
    await allowance.spend(ANA, 7)
    assert "7 tokens were not counted" in caplog.text
    with pytest.raises(StoreError):
        await allowance.check(ANA)


def test_a_thousand_strangers_a_minute_are_forgotten(room: Room) -> None:
    allowance = Allowance(Limits(analyst_requests=2), room.desk.store, room.clock, estimate)
    for number in range(6_000):
        allowance.request(replace(ANA, id=str(number)))
        room.clock._elapsed += 0.1
    assert len(allowance._passed) < 5_100


@pytest.mark.parametrize(
    ("hour", "wait"), [(9, "15 hours"), (23, "1 hour"), (23.5, "30 minutes"), (23.999, "4 seconds")]
)
async def test_until_when(room: Room, hour: float, wait: str) -> None:
    model = metered(room, analyst_tokens=1)
    await room.clock.sleep(timedelta(hours=hour - 9).total_seconds())
    await model.structured(ASKED, name="x", schema={}, limit=10)
    with pytest.raises(OverLimit, match=f"in {wait}"):
        await model.structured(ASKED, name="x", schema={}, limit=10)


# one at a time


@alone
async def investigate(desk: Desk, said: Said, ref: IncidentRef) -> str:
    """An investigation that is interrupted by another question, or by nothing."""
    if said.text:
        return await investigate(desk, replace(said, id=said.text, text=""), ref)
    return "done"


async def test_another_question_is_refused_meanwhile_and_not_later(room: Room) -> None:
    ref = room.ref()
    with pytest.raises(OverLimit, match="still working"):
        await investigate(room.desk, room.said("m-2"), ref)
    # A question that failed leaves the place free, and the same one taken up again is no other.
    assert await investigate(room.desk, replace(room.said("m-1"), id="m-1"), ref) == "done"


async def test_a_process_that_never_comes_back_holds_the_place_for_five_minutes(room: Room) -> None:
    said, ref = room.said(""), room.ref()
    name = f"asking/{ANA.tenant}/{ANA.id}/{ref.workspace}/{ref.id}"
    assert await room.desk.outbox.lease(name, "m-0", room.clock.now(), timedelta(minutes=5))
    with pytest.raises(OverLimit):
        await investigate(room.desk, said, ref)
    assert await investigate(room.desk, said, replace(ref, id="another")) == "done"
    await room.clock.sleep(301)
    assert await investigate(room.desk, said, ref) == "done"


class Set(SkewedClock):
    """A clock that somebody sets an hour on whenever nobody looks."""

    async def sleep(self, seconds: float) -> None:
        self.skew += 3600
        await super().sleep(seconds)


@pytest.mark.parametrize("kept", ["sqlite", "cosmos"])
async def test_a_clock_that_is_set_gives_nobody_the_place_of_who_works(
    room: Room, kept: str
) -> None:
    async with AsyncExitStack() as stack:
        outbox = room.desk.outbox
        if kept == "cosmos":
            double = CosmosDouble([each.resource for each in CONTAINERS])
            await stack.enter_async_context(double.running())
            store = CosmosStore(double.url, double.database, KEY, timedelta(days=1))
            await store.open()
            stack.push_async_callback(store.close)
            outbox = store.outbox
        clock, ref = Set(room.clock), room.ref()
        time = steady(clock.now, clock.monotonic)
        desk = replace(room.desk, outbox=outbox, clock=clock, lease_time=time)
        name = f"asking/{ANA.tenant}/{ANA.id}/{ref.workspace}/{ref.id}"
        assert await outbox.lease(name, "m-0", room.clock.now(), timedelta(minutes=5))
        with pytest.raises(OverLimit, match="still working"):
            await investigate(desk, room.said(""), ref)
