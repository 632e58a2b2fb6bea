"""What a request costs: its beginning stays the same, and it does not grow with the chat."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from itertools import pairwise, takewhile

from bot.desk.ask import ask
from bot.desk.kql import write_query
from bot.desk.past import recall
from bot.domain.budget import HISTORY_TOKENS, NAMES_CHARS, NOTES_CHARS
from bot.domain.people import Analyst
from bot.domain.transcript import Thread, Turn
from bot.ports import AuditItem, Claim, Outcome, Said
from tests.azure.model_double import fails, says, whole
from tests.counting import estimate
from tests.desk.conftest import ANA, BEN, CHAT, Room
from tests.desk.test_audit import Quiet

ADDRESS, ACCOUNT = "100.64.9.77", "svc_fold@contoso.example"
LEASE = timedelta(seconds=30)


def thread(room: Room, by: Analyst = ANA, number: int = 3177) -> Thread:
    return Thread(by.tenant, by.id, room.ref(number))


async def keep(room: Room, where: Thread, turn: Turn) -> None:
    store = room.desk.store
    await store.accept(Claim(turn.id, turn.id, {}, turn.asked))
    await store.take(turn.id, "me", turn.asked, LEASE)
    assert await store.commit(Outcome(turn.id, {}, where, turn), "me")


async def asks(
    room: Room, question: str, answer: str = "No.", by: Analyst = ANA, number: int = 3177
) -> str:
    """Ask, keep the turn, and give the messages as they came over the wire, up to the last."""
    await room.clock.advance(60)
    room.model.answers = [says(answer)]
    said = Said(f"m-{len(room.model.bodies)}", by, CHAT, question, room.clock.now())
    asked = await ask(room.desk, said, room.ref(number), question, Quiet())
    assert asked.turn is not None
    await keep(room, thread(room, by, number), asked.turn)
    return sent(room)


def sent(room: Room) -> str:
    """The newest request's messages as bytes on the wire, read as text."""
    body = room.model.bodies[-1].decode()
    return body[body.index('"messages":') :]


def shared(one: str, other: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]


async def talk(room: Room, first: int, last: int) -> None:
    """Turns number `first` to `last`, without a model but folded as a request would."""
    where = thread(room)
    for number in range(first, last + 1):
        await room.clock.advance(60)
        past = await recall(room.desk, where)
        question, answer = f"what of host-{number % 90}.example?", f"It is quiet. {'Word ' * 150}"
        tokens = estimate(question) + estimate(answer)
        fold = past.fold if past.fresh else None
        now = room.clock.now()
        await keep(room, where, Turn(f"t-{number}", question, answer, now, tokens, fold=fold))


async def test_a_request_begins_with_all_of_the_one_before_but_its_evidence(room: Room) -> None:
    requests = [await asks(room, f"question {n}?", f"answer {n}") for n in range(5)]
    for n, (before, after) in enumerate(pairwise(requests)):
        same = shared(before, after)
        stable = before[: before.index("Evidence on incident")]
        assert len(same) > 1_024 * 4
        assert n == 0 or f"answer {n - 1}" in same
        assert same.startswith(stable.rpartition("{")[0])
        assert "=====EVIDENCE" not in same and f"question {n}?" not in same


async def test_analysts_and_incidents_share_the_system_text_to_its_last_byte(room: Room) -> None:
    first = await asks(room, "what happened?")
    others = [
        await asks(room, "what happened?", by=BEN),
        await asks(room, "who is it?", number=3176),
        await asks(room, "who is it?", by=BEN, number=3176),
    ]
    system = json.dumps(room.desk.prompts["system"].text, ensure_ascii=False)
    for other in others:
        same = shared(first, other)
        assert system in same and "Evidence on incident" in same
        assert len(same) < first.index("=====EVIDENCE") + 20, (
            "each evidence has a marker of its own"
        )
    assert estimate(system) * 3 // 4 >= 1_024


async def test_a_query_begins_like_a_question_and_has_its_tables_before_the_evidence(
    room: Room,
) -> None:
    await asks(room, "what happened?", "A sign-in.")
    asked = await asks(room, "and then?", "Another.")
    room.model.answers = [whole('{"query": "T", "explanation": "", "assumptions": []}')]
    await write_query(room.desk, room.said("which?"), room.ref(), "which?", Quiet())
    given = room.model.asked[-1]["messages"]
    assert "A sign-in." in shared(asked, sent(room))
    contents = [each["content"] for each in given]
    evidence = next(n for n, each in enumerate(contents) if "=====EVIDENCE" in each)
    assert evidence > contents.index("Another.")


async def test_rows_of_the_logs_keep_a_request_as_stable_as_words(room: Room) -> None:
    run = Turn("run", "I ran this", "1 row.", room.clock.now(), 9, data='{"IP":"192.0.2.1"}')
    await keep(room, thread(room), run)
    one, other = await asks(room, "explain"), await asks(room, "again?")
    assert "=====END ROWS" in shared(one, other) and "1 row." in shared(one, other)


async def test_after_forty_turns_the_model_still_reads_what_the_first_one_named(room: Room) -> None:
    await asks(room, f"is {ADDRESS} ours?", f"It signed in as {ACCOUNT} at 2026-11-23 18:11 UTC.")
    closed = {"what": "close", "after": "Closed", "result": "done", "verdict": "TruePositive"}
    at = room.clock.now() + timedelta(seconds=90)
    deed = AuditItem(at, ANA.tenant, "act", BEN.id, BEN.name, room.ref(), closed)
    await room.desk.store.record(deed)
    await talk(room, 2, 40)
    request = await asks(room, "what was it about that address?")
    assert f"is {ADDRESS} ours?" not in request.partition("=====END NOTES")[2]
    for verbatim in (ADDRESS, ACCOUNT, "2026-11-23 18:11 UTC", "closed it as TruePositive"):
        assert verbatim in request
    assert "host-40.example" in request, "the newest turns are whole"

    await room.desk.store.forget_thread(thread(room))
    assert ADDRESS not in await asks(room, "and now?")


async def test_a_requests_size_is_the_same_after_ten_turns_and_after_a_thousand(room: Room) -> None:
    sizes: list[int] = []
    for first, last in ((1, 99), (100, 499), (500, 999)):
        await talk(room, first, last)
        sizes.append(estimate(await asks(room, "what now?")))
    alone = estimate(await asks(room, "what now?", by=BEN))
    assert all(size - alone < HISTORY_TOKENS + (NOTES_CHARS + NAMES_CHARS) // 2 for size in sizes)
    assert max(sizes) - min(sizes) < HISTORY_TOKENS // 2


async def test_between_two_folds_requests_share_their_beginning(room: Room) -> None:
    await talk(room, 1, 60)
    folds: list[bool] = []
    last = await asks(room, "next?")
    for _ in range(12):
        await talk(room, 100 + len(folds), 100 + len(folds))
        request = await asks(room, "next?")
        folds.append("=====END NOTES" not in shared(last, request))
        last = request
    assert 1 <= sum(folds) <= 4


async def test_a_turn_that_failed_is_folded_again_to_the_same(room: Room) -> None:
    await talk(room, 1, 30)
    pasts = [await recall(room.desk, thread(room))]
    while not pasts[-1].fresh:
        await talk(room, 31 + len(pasts), 31 + len(pasts))
        pasts.append(await recall(room.desk, thread(room)))
    room.model.answers = [fails(503)]
    asked = await ask(room.desk, room.said("x"), room.ref(), "x", Quiet())
    assert asked.turn is None
    assert await recall(room.desk, thread(room)) == pasts[-1]
    await asks(room, "x")
    [*_, newest] = await room.desk.store.turns(thread(room), 40)
    assert newest.fold == pasts[-1].fold, "the first turn that succeeds keeps it"
    assert not (await recall(room.desk, thread(room))).fresh


async def test_a_long_chat_without_a_fold_gets_one_of_all_its_turns(room: Room) -> None:
    """As after an update, after 30 days, or where somebody only ran queries."""
    start = room.clock.now()
    for n in range(90):
        text = f"is host-{n}.example ours?"
        await keep(room, thread(room), Turn(f"t{n}", text, "No.", start + n * LEASE, 20))
    past = await recall(room.desk, thread(room))
    assert past.fresh and past.fold and past.fold.first == start and past.fold.left_out == 0
    assert all(f"host-{n}.example" in past.fold.named for n in range(90 - len(past.turns)))
    again = await asyncio.gather(*(recall(room.desk, thread(room)) for _ in range(2)))
    assert again == [past, past]
