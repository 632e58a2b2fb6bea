"""What the Cosmos DB store does on bad days, and what it leaves to the service."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import ClientSession, web

from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_calls import Tokens, call
from bot.azure.cosmos_containers import CONTAINERS
from bot.azure.cosmos_items import MOST_BYTES, name
from bot.domain.chain import Mark, break_between
from bot.domain.proposal import Item
from bot.errors import CasemateError, StoreError
from bot.ports import Erased, Outcome
from tests.cosmos_double import KEY, CosmosDouble, throttled
from tests.store.conftest import OpenCosmos
from tests.store.contract import (
    CHAT,
    INCIDENT,
    KEEP,
    LEASE,
    NOW,
    THREAD,
    claim,
    line,
    outcome,
    proposal,
    turn,
    write,
)
from tests.store.outbox_contract import NO_REST, OTHER_ROOM, ROOM, only, subscription, tell

Fault = Callable[[str, web.Request], web.Response | None]


def failing(*operations: str, status: int = 403, substatus: int = 0, times: int = 99) -> Fault:
    """The service refuses these operations, by kind and container."""
    left = [times]

    def fault(operation: str, _: web.Request) -> web.Response | None:
        if operation not in operations or left[0] == 0:
            return None
        left[0] -= 1
        return web.json_response({}, status=status, headers={"x-ms-substatus": str(substatus)})

    return fault


def before(operation: str, act: Callable[[], object]) -> Fault:
    """Somebody else is faster, once."""
    left = [1]

    def fault(asked: str, _: web.Request) -> None:
        if asked == operation and left:
            left.pop()
            act()

    return fault


def after(times: int, then: Fault) -> Fault:
    """So many requests of a kind that `then` refuses are done first."""
    left = [times]

    def fault(operation: str, request: web.Request) -> web.Response | None:
        if (refusal := then(operation, request)) is not None and left[0]:
            left[0] -= 1
            return None
        return refusal

    return fault


@pytest.fixture
async def store(open_cosmos: OpenCosmos) -> CosmosStore:
    return await open_cosmos()


# crashes


@pytest.mark.parametrize("container", ["history", "proposals", "audit"])
async def test_a_commit_that_was_cut_short_is_completed_by_whoever_takes_over(
    double: CosmosDouble, open_cosmos: OpenCosmos, container: str
) -> None:
    dying, other = await open_cosmos(), await open_cosmos()
    await dying.accept(claim("a"))
    await dying.take(CHAT, "dying", NOW, LEASE)
    double.faults = failing(f"{'batch' if container == 'audit' else 'create'} {container}")
    with pytest.raises(StoreError):
        await dying.commit(outcome("a"), "dying")
    double.faults = lambda *_: None
    assert await other.take(CHAT, "other", NOW, LEASE) is None
    taken = await other.take(CHAT, "other", NOW + LEASE, LEASE)
    assert taken and taken.progress == {"reply": "answer a"}
    assert await other.turns(THREAD, 9) == (turn("a"),)
    assert await other.proposal("proposal a") == proposal("proposal a")
    assert await other.audit(INCIDENT, 9) == outcome("a").audit
    assert not await dying.commit(outcome("a"), "dying")
    assert await other.finish("a", "other", NOW + LEASE)


async def test_a_commit_that_is_cancelled_on_its_way_is_whole(
    double: CosmosDouble, store: CosmosStore
) -> None:
    await store.accept(claim("a"))
    await store.take(CHAT, "me", NOW, LEASE)
    committing = asyncio.create_task(store.commit(outcome("a"), "me"))
    double.faults = before("patch conversations", committing.cancel)
    with pytest.raises(asyncio.CancelledError):
        await committing
    assert await store.turns(THREAD, 9) == (turn("a"),)
    assert await store.proposal("proposal a") == proposal("proposal a")
    assert await store.audit(INCIDENT, 9) == outcome("a").audit


async def test_a_claim_that_cannot_be_completed_yet_is_not_kept_from_others(
    double: CosmosDouble, open_cosmos: OpenCosmos
) -> None:
    one, two = await open_cosmos(), await open_cosmos()
    await one.accept(claim("a"))
    await one.take(CHAT, "one", NOW, LEASE)
    double.faults = failing("create history")
    with pytest.raises(StoreError):
        await one.commit(outcome("a"), "one")
    assert await two.take(CHAT, "two", NOW, LEASE) is None
    with pytest.raises(StoreError):
        await two.take(CHAT, "two", NOW + LEASE, LEASE)
    double.faults = lambda *_: None
    await two.renew("two", NOW + 2 * LEASE, LEASE)
    assert await two.take(CHAT, "two", NOW + 2 * LEASE, LEASE)


async def test_a_write_whose_end_was_cut_short_is_recorded_once(
    double: CosmosDouble, store: CosmosStore
) -> None:
    await store.begin_write(write())
    double.faults = failing("patch proposals")
    with pytest.raises(StoreError):
        await store.end_write(write(), line("added"))
    double.faults = lambda *_: None
    await store.end_write(write(), line("added again", NOW + LEASE))
    assert await store.writes("p") == (replace(write(), done=True),)
    assert await store.audit(INCIDENT, 9) == (line("added"),)


async def test_forgetting_that_was_cut_short_can_be_repeated(
    double: CosmosDouble, store: CosmosStore
) -> None:
    await store.keep_proposal(proposal("p"))
    await store.begin_write(write())
    double.faults = failing("delete proposals")
    with pytest.raises(StoreError):
        await store.forget_analyst("contoso", "jane")
    double.faults = lambda *_: None
    assert await store.forget_analyst("contoso", "jane") == Erased(0, 1)
    assert await store.writes("p") == ()


# others who are faster


async def test_a_claim_that_another_took_in_between_is_left_to_it(
    double: CosmosDouble, open_cosmos: OpenCosmos
) -> None:
    store = await open_cosmos()
    await store.accept(claim("a"))
    item = double.item("conversations", CHAT, name("a"))
    taken = {"owner": "other", "until": 2**53, "_etag": '"other"'}
    double.faults = before("patch conversations", lambda: item.update(taken))
    assert await store.take(CHAT, "me", NOW, LEASE) is None
    assert item["owner"] == "other" and item["attempts"] == 0


async def test_an_older_claim_that_shows_up_late_waits_for_the_younger(
    double: CosmosDouble, store: CosmosStore
) -> None:
    for key in ("older", "younger"):
        await store.accept(claim(key))
    late = double.collections["conversations"].items.pop(((CHAT,), name("older")))
    assert await store.take(CHAT, "me", NOW, LEASE)
    double.collections["conversations"].items[(CHAT,), name("older")] = late
    assert await store.take(CHAT, "other", NOW, LEASE) is None
    assert await store.waiting(NOW, LEASE) == ()
    assert await store.finish("younger", "me", NOW)
    taken = await store.take(CHAT, "other", NOW, LEASE)
    assert taken and taken.key == "older"


async def test_a_write_that_was_forgotten_in_between_begins(
    double: CosmosDouble, store: CosmosStore
) -> None:
    await store.begin_write(write("joe"))
    items = double.collections["proposals"].items
    double.faults = before("read proposals", items.clear)
    assert await store.begin_write(write("jane")) == write("jane")


async def test_a_state_that_changes_again_and_again_is_given_up_on(
    double: CosmosDouble, store: CosmosStore
) -> None:
    outbox = store.outbox
    await outbox.notice(INCIDENT, "new", [ROOM], NOW)
    changes = iter(range(99))

    def changing(operation: str, _: web.Request) -> None:
        if operation == "batch outbox":
            item = double.item("outbox", ROOM, name(INCIDENT.workspace, INCIDENT.id))
            item["_etag"] = f'"changed {next(changes)}"'

    double.faults = changing
    with pytest.raises(StoreError, match="busy"):
        await outbox.notice(INCIDENT, "closed", [], NOW)
    with pytest.raises(StoreError, match="busy"):
        await tell(outbox)
    double.faults = before("batch outbox", double.collections["outbox"].items.clear)
    assert not await outbox.notice(INCIDENT, "closed", [], NOW), "it is gone with its place"


async def test_what_is_wanted_and_what_is_sent_at_once_are_both_kept(
    open_cosmos: OpenCosmos,
) -> None:
    one, two = [(await open_cosmos()).outbox for _ in range(2)]
    await one.notice(INCIDENT, "new", [ROOM], NOW)
    sending = replace(await only(one), sent="new", activity="1700")
    await asyncio.gather(one.notice(INCIDENT, "closed", [], NOW), two.sent([sending], NOW, NO_REST))
    assert await only(one) == replace(sending, wanted="closed")


# the audit's chain


def tampering(double: CosmosDouble, id: str) -> dict:
    return double.item("audit", "audit", id)


async def test_a_head_that_was_cut_back_does_not_stop_the_audit(
    double: CosmosDouble, store: CosmosStore
) -> None:
    for n in range(3):
        await store.record(line(f"step {n}"))
    tampering(double, "ends")["head"] = {"seq": 1, "hash": tampering(double, "1")["hash"]}
    await store.record(line("step 3"))
    before, after = (await store.links(0, 9))[2:]
    assert (after.seq, (await store.ends()).head) == (4, after.mark)
    assert break_between(before.mark, after), "and that it was is seen"


@pytest.mark.parametrize("spoiled", ["{", "z!", "[]", None])
async def test_an_item_that_was_made_illegible_is_empty(
    double: CosmosDouble, store: CosmosStore, spoiled: object
) -> None:
    await store.record(line("asked"))
    tampering(double, "1").update(line=spoiled)
    [link] = await store.links(0, 9)
    assert link.item == {} and break_between(Mark(), link)


async def test_what_has_no_time_any_more_is_not_swept(
    double: CosmosDouble, store: CosmosStore
) -> None:
    for n in range(3):
        await store.record(line(f"step {n}"))
    for lost in ("stamp", "hash", "mark"):
        del tampering(double, "2")[lost]
    await store.sweep_audit(NOW + LEASE)
    assert [link.seq for link in await store.links(0, 9)] == [2, 3]


async def test_a_long_sweep_leaves_a_chain_after_each_of_its_steps(
    double: CosmosDouble, store: CosmosStore
) -> None:
    for n in range(200):
        await store.record(line(f"step {n}"))
    double.faults = after(1, failing("batch audit"))
    with pytest.raises(StoreError):
        await store.sweep_audit(NOW + LEASE)
    double.faults = lambda *_: None
    anchor = (await store.ends()).anchor
    links = await store.links(0, 999)
    assert break_between(anchor, links[0]) is None and 0 < anchor.seq < 200
    double.faults = before("batch audit", lambda: tampering(double, "ends").update(_etag='"x"'))
    await store.sweep_audit(NOW + LEASE)
    assert await store.links(0, 999) == ()
    assert [id for _, id in double.collections["audit"].items] == ["ends"]
    await store.sweep_audit(NOW + LEASE)
    assert (await store.ends()).anchor == (await store.ends()).head


async def test_an_audit_that_others_always_change_first_is_given_up_on(
    double: CosmosDouble, open_cosmos: OpenCosmos
) -> None:
    store = await open_cosmos(budget=0.3)
    double.faults = failing("batch audit", "batch documents", status=412)
    with pytest.raises(StoreError, match="busy"):
        await store.record(line("asked"))
    with pytest.raises(StoreError, match="busy"):
        await store.tally(["tokens"], "2026-11-24", 1, NOW)


# a service that is busy, down, or says no


async def test_what_the_service_asks_for_is_waited(
    double: CosmosDouble, store: CosmosStore
) -> None:
    double.faults = throttled(5, milliseconds=1)
    assert await store.accept(claim("a"))
    double.faults = failing("create conversations", "patch conversations", status=449, times=3)
    assert await store.accept(claim("b"))
    assert await store.backlog() == 2


async def test_a_count_that_nobody_gives_is_given_up_on(
    double: CosmosDouble, store: CosmosStore
) -> None:
    missing = failing("patch conversations", status=404)
    there = failing("create conversations", status=409)
    double.faults = lambda *asked: missing(*asked) or there(*asked)
    with pytest.raises(StoreError, match="busy just now"):
        await store.accept(claim("a"))


@pytest.mark.parametrize("milliseconds", [1, 60_000])
async def test_a_service_that_stays_busy_is_not_waited_for_longer_than_a_turn_can(
    double: CosmosDouble, open_cosmos: OpenCosmos, milliseconds: int
) -> None:
    store = await open_cosmos(budget=0.3)
    double.faults = throttled(99, milliseconds)
    async with asyncio.timeout(2):
        with pytest.raises(StoreError, match=r"My store (is busy|does not answer) just now"):
            await store.accept(claim("a"))


@pytest.mark.parametrize(
    ("status", "substatus", "sentence"),
    [
        (401, 0, "should check COSMOS_KEY"),
        (403, 0, "network rules and the role assignment that infra/cosmos.bicep makes"),
        (404, 1003, "does not answer"),
        (413, 0, "too large to be kept"),
        (418, 0, "does not answer"),
        (599, 0, "does not answer"),
    ],
)
async def test_what_the_service_refuses_is_said_in_a_sentence(
    double: CosmosDouble,
    store: CosmosStore,
    caplog: pytest.LogCaptureFixture,
    status: int,
    substatus: int,
    sentence: str,
) -> None:
    double.faults = failing("upsert documents", status=status, substatus=substatus)
    with caplog.at_level(logging.INFO), pytest.raises(StoreError, match=sentence) as raised:
        await store.ping()
    assert KEY not in caplog.text + repr(raised.value) and raised.value.__cause__ is None


async def test_a_service_that_is_gone_is_told(double: CosmosDouble) -> None:
    store = CosmosStore("http://127.0.0.1:9/", "casemate", KEY, KEEP, budget=1)
    with pytest.raises(StoreError, match="My store does not answer"):
        await store.open()
    with pytest.raises(StoreError, match="starting or stopping"):
        await store.ping()


async def test_what_can_no_longer_be_read_is_told(double: CosmosDouble, store: CosmosStore) -> None:
    await store.keep_proposal(proposal("p"))
    await store.keep("schema", {"tables": ["x" * 9_000]}, NOW)
    double.item("proposals", name("p"), "proposal")["body"] = "{"
    double.item("documents", name("schema"), name("schema"))["body"] = "z!"
    for read in (store.proposal("p"), store.kept("schema")):
        with pytest.raises(StoreError, match="can no longer be read"):
            await read


# sizes


def noise(size: int) -> str:
    return os.urandom(size // 2).hex()


async def test_the_largest_turn_fits_an_item(double: CosmosDouble, store: CosmosStore) -> None:
    body = {"type": "message", "text": noise(256 * 1024)}
    await store.accept(replace(claim("a"), body=body))
    await store.take(CHAT, "me", NOW, LEASE)
    answer = replace(proposal("p"), items=(Item("", noise(200_000)),))
    said = replace(turn("a"), answer=noise(200_000), data=noise(200_000))
    left = Outcome("a", {"reply": noise(200_000)}, THREAD, said, answer, (line("asked"),))
    assert await store.commit(left, "me")
    assert await store.turns(THREAD, 9) == (said,)
    taken = await store.take(CHAT, "other", NOW + LEASE, LEASE)
    assert taken and (taken.body, taken.progress) == (body, left.progress)


async def test_what_is_larger_than_an_item_is_refused_before_it_is_sent(
    double: CosmosDouble, store: CosmosStore
) -> None:
    double.calls.clear()
    huge = {"text": noise(4 * MOST_BYTES)}
    for attempt in (
        store.accept(replace(claim("a"), body=huge)),
        store.keep("schema", huge, NOW),
        store.keep_proposal(replace(proposal("p"), message=huge)),
        store.record(replace(line("asked"), detail=huge)),
    ):
        with pytest.raises(StoreError, match="too large to be kept"):
            await attempt
    assert not double.calls
    await store.keep("schema", {"tables": "x" * MOST_BYTES}, NOW)
    assert await store.kept("schema") == {"tables": "x" * MOST_BYTES}


async def test_numbers_stay_what_they_are(store: CosmosStore) -> None:
    body = {"n": 2**60 + 1, "x": 0.1}
    await store.accept(replace(claim("a"), body=body))
    taken = await store.take(CHAT, "me", NOW, LEASE)
    assert taken and taken.body == body


async def test_names_of_any_length_are_told_apart(store: CosmosStore) -> None:
    chats = ["ü" * 3000, "ü" * 3001]
    for chat in chats:
        assert await store.accept(claim(f"{chat}/1", chat))
        await store.set_focus("contoso", chat, "jane", INCIDENT, NOW)
        taken = await store.take(chat, "me", NOW, LEASE)
        assert taken and taken.conversation == chat
    await store.release("me")
    assert await store.waiting(NOW, LEASE) == tuple(chats)


async def test_what_takes_several_pages_is_read_whole(store: CosmosStore) -> None:
    places = [subscription(f"{n:03}") for n in range(230)]
    for each in places:
        await store.outbox.subscribe(each)
    assert await store.outbox.subscriptions() == tuple(places)


# time to live


async def test_the_service_deletes_what_is_too_old_and_nothing_that_is_owed(
    double: CosmosDouble, store: CosmosStore
) -> None:
    await store.accept(claim("a"))
    await store.take(CHAT, "me", NOW, LEASE)
    await store.commit(outcome("a"), "me")
    await store.finish("a", "me", NOW)
    await store.accept(claim("owed", "another chat"))
    await store.begin_write(write(proposal="proposal a"))
    await store.share(proposal("proposal a"), True, NOW)
    await store.set_focus("contoso", CHAT, "jane", INCIDENT, NOW)
    await store.keep("schema", {}, NOW)
    await store.outbox.subscribe(subscription())
    await store.outbox.notice(INCIDENT, "new", [ROOM, OTHER_ROOM], NOW)
    await tell(store.outbox)
    await store.outbox.lease("poll", "me", NOW, LEASE)
    await store.tally(["tokens"], "2026-11-24", 1, NOW)

    double.now += int(KEEP.total_seconds())

    assert await store.accept(claim("a"))
    assert not await store.accept(claim("owed", "another chat"))
    assert await store.turns(THREAD, 9) == ()
    assert await store.proposal("proposal a") is None and await store.writes("proposal a") == ()
    assert not await store.is_shared("proposal a")
    assert await store.focus("contoso", CHAT, "jane") is None
    assert await store.audit(INCIDENT, 9) == outcome("a").audit
    assert await store.kept("schema") is None
    assert await store.outbox.subscriptions() == (subscription(),)
    assert not await store.outbox.announced(INCIDENT)
    assert await store.outbox.lease("poll", "another", NOW, LEASE)
    assert await store.tally(["tokens"], "2026-11-24", 0, NOW) == (0,)


# opening


@pytest.mark.parametrize("missing", [each.name for each in CONTAINERS])
async def test_a_container_that_is_missing_is_named_with_what_makes_it(
    double: CosmosDouble, open_cosmos: OpenCosmos, missing: str
) -> None:
    del double.collections[missing]
    with pytest.raises(StoreError, match=rf"container {missing} of .* casemate is missing") as told:
        await open_cosmos()
    assert "infra/cosmos.bicep" in told.value.sentence


async def test_a_database_that_is_missing_is_named(open_cosmos: OpenCosmos) -> None:
    with pytest.raises(StoreError, match="database another is missing"):
        await open_cosmos(database="another")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda definition: definition["partitionKey"].update(paths=["/tenant"]),
        lambda definition: definition.pop("defaultTtl"),
    ],
)
async def test_a_container_made_otherwise_is_named(
    double: CosmosDouble, open_cosmos: OpenCosmos, spoil
) -> None:
    spoil(double.collections["history"].definition)
    with pytest.raises(StoreError, match=r"container history .* another partition key, or no time"):
        await open_cosmos()


async def test_the_account_key_is_proved_and_a_wrong_one_told(open_cosmos: OpenCosmos) -> None:
    with pytest.raises(StoreError, match="should check COSMOS_KEY"):
        await open_cosmos(key="d3Jvbmc=")


async def test_a_token_is_asked_for_each_time_and_its_failure_told() -> None:
    tokens = iter(["first", "second"])

    async def token() -> str:
        if (given := next(tokens, None)) is None:
            raise CasemateError("I cannot sign in to Azure.")
        return given

    async with Tokens(token) as credential:
        got = [await credential.get_token("https://a.documents.azure.com/.default") for _ in "12"]
        assert [each.token for each in got] == ["first", "second"]
        # The SDK keeps a token that has more than five minutes to go.
        assert all(each.expires_on == 0 for each in got)
        with pytest.raises(StoreError, match=r"I cannot sign in to Azure\."):
            await call(credential.get_token, budget=1)


async def test_no_token_goes_over_plain_http(double: CosmosDouble, open_cosmos: OpenCosmos) -> None:
    async def token() -> str:
        raise AssertionError

    with pytest.raises(StoreError, match="does not answer"):
        await open_cosmos(key=token)
    assert not double.calls


async def test_a_call_that_outlives_its_store_fails_in_words() -> None:
    """A turn that is stopped may still have something to keep when everything is closed."""
    session = ClientSession()
    await session.close()

    async def work() -> None:
        await session.get("http://127.0.0.1:9/")

    with pytest.raises(StoreError, match="starting or stopping"):
        await call(work, budget=1)


async def test_a_bug_of_ours_is_no_trouble_of_the_store() -> None:
    async def work() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await call(work, budget=1)
