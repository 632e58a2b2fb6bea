"""What a turn touches and costs in Cosmos DB, and that docs/cosmos.md says the same.

The double charges what Microsoft documents for items of a size; nothing here was measured on Azure.
"""

from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.azure.cosmos import CosmosStore
from bot.domain.proposal import Item
from bot.ports import Outcome
from tests.cosmos_double import CosmosDouble
from tests.store.conftest import OpenCosmos
from tests.store.contract import (
    CHAT,
    INCIDENT,
    LEASE,
    NOW,
    THREAD,
    claim,
    line,
    proposal,
    turn,
    write,
)

DOCS = Path(__file__).parents[2] / "docs" / "cosmos.md"
REPLICA_SECONDS = 30 * 86_400
TURNS, CLICKS, REPLICAS = 100 * 40 * 22, 100 * 10 * 22, 2
DOLLARS_A_MILLION = 0.25


class Meter:
    def __init__(self, double: CosmosDouble) -> None:
        self._double = double
        self.rows: dict[str, float] = {}

    async def __call__(self, row: str, work: Awaitable[Any], times: float = 1) -> Any:
        before = sum(self._double.charged.values())
        answer = await work
        units = sum(self._double.charged.values()) - before
        self.rows[row] = self.rows.get(row, 0) + round(units, 2) * times
        return answer


# A question of a chat that has a history, with sizes as the scenarios in tests/scenario see them.
ASKED = replace(claim("z"), body={"type": "message", "text": "x" * 1_900})
SAID = replace(turn("z"), answer="x" * 1_500)
CARD = replace(
    proposal("proposal z"), items=(Item("Answer", "x" * 1_500),), message={"text": "x" * 3_000}
)
LINE = replace(line("asked"), detail={"evidence": "x" * 900})
COUNTED = "tokens/contoso/jane", "tokens/contoso"
LEFT = Outcome("z", {"reply": {"text": "x" * 3_000}}, THREAD, SAID, CARD, (LINE,))


@pytest.fixture
async def store(open_cosmos: OpenCosmos) -> CosmosStore:
    store = await open_cosmos()
    await store.set_focus("contoso", CHAT, "jane", INCIDENT, NOW)
    for name in ("poll", "place/19:soc"):
        await store.outbox.lease(name, "me", NOW, LEASE)
    await store.keep("poll", {}, NOW)
    await store.record(line("before"))
    await store.tally(COUNTED, "2026-11-24", 900, NOW)
    for n in range(8):
        await store.accept(claim(f"{n}"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.commit(Outcome(f"{n}", {}, THREAD, replace(SAID, id=f"{n}")), "me")
        await store.finish(f"{n}", "me", NOW)
    return store


async def a_turn(store: CosmosStore, meter: Meter) -> None:
    await meter("accept", store.accept(ASKED))
    await meter("take", store.take(CHAT, "me", NOW, LEASE))
    await meter("focus", store.set_focus("contoso", CHAT, "jane", INCIDENT, NOW))
    await meter("focus", store.focus("contoso", CHAT, "jane"))
    await meter("limits", store.tally(COUNTED, "2026-11-24", 0, NOW))
    await meter("history", store.turns(THREAD, 20))
    await meter("note", store.note("z", "me", {"activity": "1700000000000"}))
    await meter("renew, 3 times in 15 seconds", store.renew("me", NOW, LEASE), 3)
    await meter("commit", store.commit(LEFT, "me"))
    await meter("limits", store.tally(COUNTED, "2026-11-24", 900, NOW))
    await meter("finish", store.finish("z", "me", NOW))


async def test_each_request_of_a_turn_names_one_partition(
    double: CosmosDouble, store: CosmosStore
) -> None:
    double.partitions.clear()
    await a_turn(store, Meter(double))
    touched = {container: set[str | None]() for container, _ in double.partitions}
    for container, partition in double.partitions:
        touched[container].add(partition)
    assert touched["conversations"] == {CHAT}
    assert touched["history"] == {f"contoso/jane/{INCIDENT.workspace}/{INCIDENT.id}"}
    assert (touched["audit"], touched["documents"]) == ({"audit"}, {"tallies"})
    assert len(touched["proposals"]) == 1 and None not in touched["proposals"]
    assert touched.keys() == {"conversations", "history", "audit", "proposals", "documents"}


async def test_the_documents_say_what_it_costs(double: CosmosDouble, store: CosmosStore) -> None:
    turn = Meter(double)
    await a_turn(store, turn)
    click = Meter(double)
    await click("click", store.proposal("proposal z"))
    await click("click", store.writes("proposal z"))
    await click("click", store.begin_write(write(proposal="proposal z")))
    await click("click", store.end_write(write(proposal="proposal z"), line("added")))
    await click("click", store.is_shared("proposal z"))
    idle = Meter(double)
    for look in (store.waiting(NOW, LEASE), store.backlog()):
        await idle("claims", look, 1 / 2)
    for look in (store.outbox.waiting(NOW), store.outbox.subscriptions()):
        await idle("outbox", look)

    rest = Meter(double)
    for span in (LEASE, LEASE * 0):
        await rest("a poll", store.outbox.lease("poll", "me", NOW, span))
    await rest("a poll", store.kept("poll"))
    await rest("a poll", store.keep("poll", {"at": NOW.isoformat()}, NOW))
    outbox = store.outbox
    await rest("an announcement", outbox.announced(INCIDENT))
    await rest("an announcement", outbox.notice(INCIDENT, "new", ["19:soc"], NOW))
    for span in (LEASE, LEASE * 0):
        await rest("an announcement", outbox.lease("place/19:soc", "me", NOW, span))
    [due] = await rest("an announcement", outbox.pending("19:soc", NOW, 9))
    shown = replace(due, sent="new", activity="1700")
    await rest("an announcement", outbox.posted_since("19:soc", NOW))
    await rest("an announcement", outbox.sent([shown], NOW, LEASE))

    a_turn_costs = sum(turn.rows.values())
    a_second_costs = sum(idle.rows.values())
    month = {
        "turns": TURNS * a_turn_costs,
        "clicks": CLICKS * click.rows["click"],
        "polls": 30 * 1_440 * rest.rows["a poll"],
        "announcements": 30 * 100 * 3 * rest.rows["an announcement"],
        "looking": REPLICAS * REPLICA_SECONDS * a_second_costs,
    }
    millions = {what: round(units / 1e6, 1) for what, units in month.items()}
    dollars = sum(month.values()) / 1e6 * DOLLARS_A_MILLION
    said = [f"| {row} | {units:.1f} |" for row, units in turn.rows.items()]
    said += [
        f"| **a turn** | **{a_turn_costs:.0f}** |",
        f"| a click that writes | {click.rows['click']:.1f} |",
        *(f"| {row} | {units:.1f} |" for row, units in rest.rows.items()),
        f"| a replica, each second | {a_second_costs:.1f} |",
        *(f"= {units} million" for units in millions.values()),
        f"${dollars:.0f} a month",
    ]
    text = DOCS.read_text("utf-8")
    assert [each for each in said if each not in text] == []
