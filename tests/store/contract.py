"""What every store must do. A store's own test file subclasses `StoreContract` and gives it the
fixture `open_store`: each call opens another store over the same fresh database."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bot.domain.chain import Mark, break_between
from bot.domain.incident import IncidentRef
from bot.domain.proposal import Item, Proposal, Provenance, Write
from bot.domain.transcript import Fold, Note, Thread, Turn
from bot.errors import StoreError
from bot.ports import AuditItem, Claim, Erased, Outcome, Store

NOW = datetime(2026, 11, 24, 9, 0, 0, 123456, tzinfo=UTC)
LEASE = timedelta(seconds=30)
KEEP = timedelta(days=30)
LONG_AGO = NOW - KEEP - timedelta(microseconds=1)
INCIDENT = IncidentRef("main", "0f3c9f11-52b5-4d0a-9c3c-b0a7a6c50d6f")
OTHER_INCIDENT = IncidentRef("main", "11111111-52b5-4d0a-9c3c-b0a7a6c50d6f")
THREAD = Thread("contoso", "jane", INCIDENT)
CHAT = "19:meeting/chat?\\#@thread.v2;messageid=1700000000000"

OpenStore = Callable[[], Awaitable[Store]]


def claim(key: str, conversation: str = CHAT) -> Claim:
    return Claim(key, conversation, {"type": "message", "text": f"question {key}"}, NOW)


def turn(id: str, at: datetime = NOW) -> Turn:
    return Turn(id, f"question {id}", f"answer {id}", at, 420, "gpt-5.4-mini", "9c1e")


def fold(first: datetime) -> Fold:
    """What turns from `first` on came to."""
    note = Note("2026-11-24 09:00 UTC", "what of 192.0.2.10?", "It is Müller's.")
    return Fold(first, NOW, (note,), ("Jane closed it.",), ("192.0.2.10", r"CONTOSO\svc"), 3)


def proposal(id: str, by: str = "jane", at: datetime = NOW) -> Proposal:
    return Proposal(
        id=id,
        kind="tasks",
        tenant="contoso",
        conversation=CHAT,
        incident=INCIDENT,
        incident_number=42,
        items=(Item("Check the sign-ins", "Look at **10.0.0.4**"), Item("", "no title")),
        provenance=Provenance("Jane", "what now?", "gpt-5.4-mini", "9c1e", ("alert 1",), by),
        created=at,
        message={"text": "Two tasks", "ids": ["1", "2"]},
    )


def write(by: str = "jane", proposal: str = "p", index: int = 0, at: datetime = NOW) -> Write:
    return Write(proposal, "task", index, by, by.title(), at)


def line(action: str, at: datetime = NOW, incident: IncidentRef | None = INCIDENT) -> AuditItem:
    return AuditItem(at, "contoso", action, "jane", "Jane", incident, {"tokens": 7, "ids": ["a"]})


def outcome(key: str) -> Outcome:
    return Outcome(
        claim=key,
        progress={"reply": f"answer {key}"},
        thread=THREAD,
        turn=turn(key),
        proposal=proposal(f"proposal {key}"),
        audit=(line(f"asked {key}"), line(f"answered {key}")),
    )


async def nothing_of(store: Store, key: str) -> bool:
    return (
        await store.turns(THREAD, 9) == ()
        and await store.proposal(f"proposal {key}") is None
        and await store.audit(INCIDENT, 9) == ()
    )


async def intact(store: Store) -> list[Mapping[str, Any]]:
    """The items of the audit's chain, which holds."""
    ends, links = await store.ends(), await store.links(0, 9999)
    at = ends.anchor
    for link in links:
        assert break_between(at, link) is None
        at = link.mark
    assert at == ends.head
    return [link.item for link in links]


async def drain(store: Store, owner: str, worked: list[Claim]) -> None:
    while await store.backlog():
        for conversation in await store.waiting(NOW, LEASE):
            taken = await store.take(conversation, owner, NOW, LEASE)
            if taken is not None:
                worked.append(taken)
                assert await store.note(taken.key, owner, {"began": True})
                assert await store.commit(Outcome(taken.key, {"reply": "done"}), owner)
                assert await store.finish(taken.key, owner, NOW)


class StoreContract:
    # How much is done at once; fewer for a store where each step is a request.
    REPEATS, CLAIMS = 500, 120

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> Store:
        return await open_store()

    # claims

    async def test_a_repeated_activity_is_accepted_once(self, store: Store) -> None:
        assert await store.accept(claim("a"))
        assert not await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.finish("a", "me", NOW)
        assert not await store.accept(claim("a"))
        assert await store.backlog() == 0

    async def test_a_claim_comes_back_as_it_was_accepted(self, store: Store) -> None:
        accepted = Claim(
            key="29:x|f:1/2?3#4\\5",
            conversation=CHAT,
            body={"text": "Ünïcode \U0001f6a8 \u202e \x00 'quoted'", "n": [1, 2.5, None, True]},
            accepted=NOW.astimezone(timezone(timedelta(hours=2))),
            progress={"place": "personal"},
        )
        await store.accept(accepted)
        assert await store.take(CHAT, "me", NOW, LEASE) == replace(accepted, attempts=1)

    @pytest.mark.parametrize(
        ("taker", "later", "attempts"),
        [
            ("me", timedelta(0), None),
            ("another", timedelta(0), None),
            ("another", LEASE - timedelta(microseconds=1), None),
            ("another", LEASE, 2),
            ("me", LEASE, 2),
        ],
    )
    async def test_a_held_claim_is_taken_only_when_its_lease_ran_out(
        self, store: Store, taker: str, later: timedelta, attempts: int | None
    ) -> None:
        await store.accept(claim("a"))
        await store.accept(claim("b"))
        assert await store.take(CHAT, "me", NOW, LEASE)
        taken = await store.take(CHAT, taker, NOW + later, LEASE)
        assert (taken and (taken.key, taken.attempts)) == (attempts and ("a", attempts))

    async def test_claims_of_a_conversation_are_worked_in_order_of_arrival(
        self, store: Store
    ) -> None:
        for key in ("z", "a", "m"):
            await store.accept(claim(key))
        worked: list[Claim] = []
        await drain(store, "me", worked)
        assert [taken.key for taken in worked] == ["z", "a", "m"]
        assert await store.take(CHAT, "me", NOW, LEASE) is None

    async def test_conversations_do_not_wait_for_each_other(self, store: Store) -> None:
        await store.accept(claim("a", "one"))
        await store.accept(claim("b", "two"))
        assert await store.take("one", "me", NOW, LEASE)
        taken = await store.take("two", "me", NOW, LEASE)
        assert taken and taken.key == "b"
        assert await store.take("three", "me", NOW, LEASE) is None

    async def test_whoever_takes_over_sees_what_was_already_done(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        assert await store.note("a", "me", {"sent": ["1"], "reply": None})
        assert await store.note("a", "me", {"reply": {"text": "so far"}})
        taken = await store.take(CHAT, "another", NOW + LEASE, LEASE)
        assert taken and taken.progress == {"sent": ["1"], "reply": {"text": "so far"}}
        assert taken.body == claim("a").body

    async def test_who_lost_a_claim_can_no_longer_change_it(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.take(CHAT, "another", NOW + LEASE, LEASE)
        assert not await store.note("a", "me", {"sent": ["1"]})
        assert not await store.commit(outcome("a"), "me")
        assert not await store.finish("a", "me", NOW)
        await store.renew("me", NOW + LEASE, 9 * LEASE)
        await store.release("me")
        assert await nothing_of(store, "a")
        assert await store.take(CHAT, "third", NOW + LEASE, LEASE) is None
        taken = await store.take(CHAT, "third", NOW + 2 * LEASE, LEASE)
        assert taken and taken.progress == {}

    async def test_the_oldest_claim_that_is_owed_an_answer_is_known(self, store: Store) -> None:
        assert await store.oldest() is None
        await store.accept(claim("a"))
        await store.accept(replace(claim("b"), accepted=NOW + LEASE))
        assert await store.oldest() == claim("a").accepted
        await store.take(CHAT, "me", NOW, LEASE)
        assert await store.oldest() == claim("a").accepted, "also while somebody works on it"
        await store.finish("a", "me", NOW)
        assert await store.oldest() == NOW + LEASE

    @pytest.mark.parametrize("key", ["a", "unknown"])
    async def test_nobody_changes_a_claim_that_is_free(self, store: Store, key: str) -> None:
        await store.accept(claim("a"))
        for owner in ("me", ""):
            assert not await store.note(key, owner, {"sent": ["1"]})
            assert not await store.commit(outcome(key), owner)
            assert not await store.finish(key, owner, NOW)
        assert await nothing_of(store, key)
        assert await store.backlog() == 1

    async def test_a_finished_claim_stays_as_it_is(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        assert await store.finish("a", "me", NOW)
        assert not await store.finish("a", "me", NOW)
        assert not await store.note("a", "me", {"sent": ["1"]})
        assert not await store.commit(outcome("a"), "me")
        await store.release("me")
        assert await nothing_of(store, "a")
        assert await store.waiting(NOW + 9 * LEASE, LEASE) == ()

    async def test_what_is_left_of_a_claim_is_found_by_the_messages_that_answer_it(
        self, store: Store
    ) -> None:
        for key, conversation in (("a", CHAT), ("b", CHAT), ("c", "another"), ("d", CHAT)):
            await store.accept(claim(key, conversation))
            await store.take(conversation, "me", NOW, LEASE)
            await store.note(key, "me", {"sent": ["noted"], "reply": "its text"})
            left = {"sent": [f"{key} 1", f"{key} 2"], "origin": {"prompt": f'"{key} 3"'}}
            assert await store.finish(key, "me", NOW, left if key != "d" else None)
            assert not await store.finish(key, "me", NOW, {"sent": ["late"]})
        for found, activity in (("a", "a 2"), ("b", "b 1")):
            left = await store.sent_by(CHAT, activity)
            assert left and left["origin"] == {"prompt": f'"{found} 3"'}
            assert set(left) == {"sent", "origin"}, "the reply is gone"
        assert await store.sent_by("another", "c 1")
        for unknown in ("c 1", "a", "a 3", "", "noted", "late", 'a 1", "a 2'):
            assert await store.sent_by(CHAT, unknown) is None

    async def test_a_claim_that_is_not_finished_answers_nothing_yet(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.note("a", "me", {"sent": ["1"]})
        assert await store.sent_by(CHAT, "1") is None

    @pytest.mark.parametrize("later", [LEASE / 2, LEASE, 5 * LEASE])
    async def test_renewing_extends_a_lease_nobody_took_over(
        self, store: Store, later: timedelta
    ) -> None:
        for key in ("a", "b"):
            await store.accept(claim(key, key))
            await store.take(key, "me", NOW, LEASE)
        await store.renew("me", NOW + later, LEASE)
        for key in ("a", "b"):
            until = NOW + later + LEASE
            assert await store.take(key, "another", until - timedelta(seconds=1), LEASE) is None
            assert await store.take(key, "another", until, LEASE)

    async def test_released_claims_are_free_at_once(self, store: Store) -> None:
        for key, owner in (("a", "me"), ("b", "me"), ("c", "another")):
            await store.accept(claim(key, key))
            await store.take(key, owner, NOW, LEASE)
        await store.note("a", "me", {"sent": ["1"]})
        await store.release("me")
        assert await store.waiting(NOW, LEASE) == ("a", "b")
        taken = await store.take("a", "third", NOW, LEASE)
        assert taken and (taken.attempts, taken.progress) == (2, {"sent": ["1"]})
        assert not await store.finish("b", "me", NOW)

    async def test_one_claim_can_be_released_alone_and_by_its_owner_only(
        self, store: Store
    ) -> None:
        for key in ("a", "b"):
            await store.accept(claim(key, key))
            await store.take(key, "me", NOW, LEASE)
        await store.release("another", "a")
        assert await store.waiting(NOW, LEASE) == ()
        await store.release("me", "a")
        assert await store.waiting(NOW, LEASE) == ("a",)

    async def test_waiting_names_conversations_whose_oldest_claim_nobody_holds(
        self, store: Store
    ) -> None:
        for key, conversation in (
            ("late 1", "late"),
            ("held 1", "held"),
            ("held 2", "held"),
            ("free 1", "free"),
            ("late 2", "late"),
            ("done 1", "done"),
        ):
            await store.accept(claim(key, conversation))
        await store.take("late", "dead", NOW - LEASE, LEASE)
        await store.take("held", "me", NOW, LEASE)
        await store.take("done", "me", NOW, LEASE)
        await store.finish("done 1", "me", NOW)
        assert await store.waiting(NOW, LEASE) == ("late", "free")
        assert await store.waiting(NOW + LEASE, LEASE) == ("late", "held", "free")
        assert await store.backlog() == 5

    async def test_of_two_stores_one_accepts(self, open_store: OpenStore) -> None:
        stores = [await open_store(), await open_store()]
        keys = [f"key {number}" for number in range(self.REPEATS)]
        accepted = await asyncio.gather(
            *(store.accept(claim(key)) for key in keys for store in stores)
        )
        pairs = zip(accepted[::2], accepted[1::2], strict=True)
        assert [sum(pair) for pair in pairs] == [1] * self.REPEATS
        assert await stores[0].backlog() == await stores[1].backlog() == self.REPEATS

    async def test_two_owners_work_every_claim_once_and_in_order(
        self, open_store: OpenStore
    ) -> None:
        stores = [await open_store(), await open_store()]
        for number in range(self.CLAIMS):
            await stores[number % 2].accept(claim(f"{number:03}", f"chat {number % 7}"))
        worked: list[Claim] = []
        await asyncio.gather(
            *(drain(store, f"owner {at}", worked) for at, store in enumerate(stores * 2))
        )
        assert Counter(taken.key for taken in worked) == {f"{n:03}": 1 for n in range(self.CLAIMS)}
        assert {taken.attempts for taken in worked} == {1}
        for chat in range(7):
            keys = [taken.key for taken in worked if taken.conversation == f"chat {chat}"]
            assert keys == sorted(keys)

    # replicas whose clocks differ

    @pytest.mark.parametrize("ahead", [timedelta(seconds=30), timedelta(0), timedelta(seconds=-30)])
    async def test_a_clock_that_is_wrong_takes_nothing_from_who_lives(
        self, open_store: OpenStore, ahead: timedelta
    ) -> None:
        mine, other = await open_store(), await open_store()
        await mine.accept(claim("a"))
        assert await mine.take(CHAT, "me", NOW, LEASE)
        for passed in (LEASE / 3 * n for n in range(1, 9)):
            assert await mine.renew("me", NOW + passed, LEASE) == ("a",)
            assert await other.waiting(NOW + ahead + passed, LEASE) == ()
            assert await other.take(CHAT, "other", NOW + ahead + passed, LEASE) is None
        gone = NOW + ahead + LEASE / 3 * 8
        assert await other.waiting(gone + LEASE - timedelta(seconds=1), LEASE) == ()
        assert await other.waiting(gone + LEASE, LEASE) == (CHAT,)
        assert await other.take(CHAT, "other", gone + LEASE, LEASE)
        assert await mine.renew("me", NOW + 9 * LEASE, LEASE) == ()

    async def test_what_was_held_long_ago_needs_no_watching(self, open_store: OpenStore) -> None:
        dead, fresh = await open_store(), await open_store()
        await dead.accept(claim("a"))
        await dead.take(CHAT, "dead", NOW, LEASE)
        assert await fresh.waiting(NOW + timedelta(minutes=15), LEASE) == (CHAT,)

    async def test_who_reads_a_claim_before_its_renewal_does_not_get_it(
        self, open_store: OpenStore
    ) -> None:
        mine, other = await open_store(), await open_store()
        await mine.accept(claim("a"))
        await mine.take(CHAT, "me", NOW, LEASE)
        assert await other.waiting(NOW, LEASE) == ()
        assert await other.waiting(NOW + LEASE, LEASE) == (CHAT,)
        await mine.renew("me", NOW + LEASE, LEASE)
        assert await other.take(CHAT, "other", NOW + LEASE, LEASE) is None

    # history

    async def test_an_outcome_is_kept_whole(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.note("a", "me", {"sent": ["1"]})
        assert await store.commit(outcome("a"), "me")
        assert await store.turns(THREAD, 9) == (turn("a"),)
        assert await store.proposal("proposal a") == proposal("proposal a")
        assert await store.audit(INCIDENT, 9) == outcome("a").audit
        taken = await store.take(CHAT, "another", NOW + LEASE, LEASE)
        assert taken and taken.progress == {"sent": ["1"], "reply": "answer a"}

    async def test_an_outcome_committed_again_changes_nothing(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.commit(outcome("a"), "me")
        await store.take(CHAT, "another", NOW + LEASE, LEASE)
        again = replace(outcome("a"), turn=replace(turn("a"), answer="another answer"))
        assert await store.commit(again, "another")
        assert await store.turns(THREAD, 9) == (turn("a"),)
        assert await store.audit(INCIDENT, 9) == outcome("a").audit

    async def test_an_outcome_may_be_progress_alone(self, store: Store) -> None:
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        assert await store.commit(Outcome("a", {"reply": "sorry"}), "me")
        assert await nothing_of(store, "a")

    async def test_a_cancelled_commit_is_whole_or_nothing(self, store: Store) -> None:
        for number in range(20):
            await store.accept(claim(f"{number}", f"{number}"))
            await store.take(f"{number}", "me", NOW, LEASE)
            committing = asyncio.create_task(store.commit(outcome(f"{number}"), "me"))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
        turns = [turn.id for turn in await store.turns(THREAD, 99)]
        audit = [item.action for item in await store.audit(INCIDENT, 99)]
        assert sorted(audit) == sorted(
            f"{what} {key}" for key in turns for what in ("asked", "answered")
        )
        assert all([await store.proposal(f"proposal {key}") for key in turns])

    async def test_text_that_is_no_text_is_refused_and_harms_nothing(self, store: Store) -> None:
        with pytest.raises(StoreError, match="cannot be kept"):
            await store.accept(replace(claim("a"), body={"text": "\ud83d"}))
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        broken = replace(outcome("a"), turn=replace(turn("a"), answer="\ud83d"))
        with pytest.raises(StoreError, match="cannot be kept"):
            await store.commit(broken, "me")
        assert await nothing_of(store, "a")
        assert await store.commit(outcome("a"), "me")

    async def commit_turns(self, store: Store, thread: Thread, *turns: Turn) -> None:
        for each in turns:
            key = f"{thread} {each.id}"
            await store.accept(claim(key, key))
            await store.take(key, "me", NOW, LEASE)
            assert await store.commit(Outcome(key, {}, thread, each), "me")
            assert await store.finish(key, "me", NOW)

    async def test_a_history_gives_its_newest_turns_oldest_first(self, store: Store) -> None:
        asked = [turn(f"{minute}", NOW + timedelta(minutes=minute)) for minute in range(5)]
        await self.commit_turns(store, THREAD, *asked[3:], *asked[:3])
        assert await store.turns(THREAD, 9) == tuple(asked)
        assert await store.turns(THREAD, 2) == tuple(asked[3:])
        assert await store.turns(THREAD, 0) == ()

    async def test_a_fold_is_kept_with_its_turn(self, store: Store) -> None:
        folding = replace(turn("b", NOW + LEASE), fold=fold(NOW))
        await self.commit_turns(store, THREAD, turn("a"), folding)
        assert await store.turns(THREAD, 9) == (turn("a"), folding)
        assert await store.forget_thread(THREAD) == Erased(turns=2)
        assert await store.turns(THREAD, 9) == ()

    async def test_a_fold_is_not_kept_longer_than_what_it_was_made_from(self, store: Store) -> None:
        limit = NOW - KEEP
        stale = replace(turn("a", limit), fold=fold(LONG_AGO))
        good = replace(turn("b", NOW), fold=fold(limit))
        await self.commit_turns(store, THREAD, stale, good)
        for _ in range(2):
            await store.sweep(NOW, KEEP)
            assert await store.turns(THREAD, 9) == (turn("a", limit), good)

    @pytest.mark.parametrize(
        "other",
        [
            replace(THREAD, tenant="fabrikam"),
            replace(THREAD, analyst="joe"),
            replace(THREAD, incident=OTHER_INCIDENT),
            replace(THREAD, incident=IncidentRef("second", INCIDENT.id)),
        ],
    )
    async def test_a_history_is_one_analysts_on_one_incident(
        self, store: Store, other: Thread
    ) -> None:
        await self.commit_turns(store, THREAD, turn("a"))
        assert await store.turns(other, 9) == ()
        await self.commit_turns(store, other, turn("a"), turn("b", NOW + LEASE))
        assert await store.forget_thread(THREAD) == Erased(turns=1)
        assert await store.forget_thread(THREAD) == Erased(turns=0)
        assert await store.turns(THREAD, 9) == ()
        assert await store.turns(other, 9) == (turn("a"), turn("b", NOW + LEASE))

    async def test_forgetting_an_analyst_leaves_the_others_and_the_audit(
        self, store: Store
    ) -> None:
        joe = replace(THREAD, analyst="joe")
        abroad = replace(THREAD, tenant="fabrikam")
        for thread in (THREAD, replace(THREAD, incident=OTHER_INCIDENT), joe, abroad):
            await self.commit_turns(store, thread, turn("a"))
        for kept in (proposal("hers"), proposal("his", by="joe"), proposal("nobody's", by="")):
            await store.keep_proposal(kept)
            assert await store.share(kept, True, NOW)
        await store.keep_proposal(replace(proposal("abroad"), tenant="fabrikam"))
        for name in ("hers", "his"):
            await store.end_write(write("jane", name), line(f"added {name}"))
        await store.set_focus("contoso", CHAT, "joe", OTHER_INCIDENT, NOW)
        await store.set_focus("contoso", CHAT, "jane", INCIDENT, NOW + LEASE)

        assert await store.forget_analyst("contoso", "jane") == Erased(turns=2, proposals=1)
        assert await store.forget_analyst("contoso", "") == Erased(turns=0, proposals=0)

        assert await store.turns(THREAD, 9) == ()
        assert await store.turns(joe, 9) == await store.turns(abroad, 9) == (turn("a"),)
        kept_proposals = [await store.proposal(id) for id in ("his", "nobody's", "abroad")]
        assert await store.proposal("hers") is None and all(kept_proposals)
        assert await store.writes("hers") == ()
        assert [each.id for each in await store.shared(INCIDENT)] == ["his", "nobody's"]
        assert not await store.share(proposal("hers"), True, NOW), "it cannot come back"
        assert not await store.is_shared("hers")
        assert await store.writes("his") == (replace(write("jane", "his"), done=True),)
        assert await store.focus("contoso", CHAT, "jane") == OTHER_INCIDENT
        assert len(await store.audit(INCIDENT, 9)) == 2

    # focus

    async def test_focus_is_ones_own_else_the_conversations_newest(self, store: Store) -> None:
        third = IncidentRef("second", "3")
        assert await store.focus("contoso", CHAT, "jane") is None
        await store.set_focus("contoso", CHAT, "jane", INCIDENT, NOW)
        await store.set_focus("contoso", CHAT, "joe", OTHER_INCIDENT, NOW + LEASE)
        assert await store.focus("contoso", CHAT, "jane") == INCIDENT
        assert await store.focus("contoso", CHAT, "ann") == OTHER_INCIDENT
        await store.set_focus("contoso", CHAT, "jane", third, NOW + 2 * LEASE)
        assert await store.focus("contoso", CHAT, "jane") == third
        assert await store.focus("contoso", CHAT, "ann") == third
        assert await store.focus("contoso", "another chat", "jane") is None
        assert await store.focus("fabrikam", CHAT, "jane") is None

    # proposals and what became of them

    async def test_a_proposal_never_changes_under_its_card(self, store: Store) -> None:
        assert await store.proposal("p") is None
        await store.keep_proposal(proposal("p"))
        await store.keep_proposal(replace(proposal("p"), items=(Item("Other", "text"),)))
        assert await store.proposal("p") == proposal("p")

    async def test_a_write_belongs_to_whoever_clicked_first(self, store: Store) -> None:
        first, second = write("jane"), write("joe", at=NOW + LEASE)
        other = write("joe", index=1, at=NOW + 2 * LEASE)
        assert await store.begin_write(first) == first
        assert await store.begin_write(second) == first
        assert await store.begin_write(other) == other
        assert await store.begin_write(second, first.at) == first, "not older than that"
        late = write("joe", index=1, at=NOW + 3 * LEASE)
        assert await store.begin_write(late, NOW + 2.5 * LEASE) == late, "it came to nothing"
        other = late
        await store.end_write(first, line("added"))
        assert await store.begin_write(second, second.at) == replace(first, done=True)
        assert await store.begin_write(second) == replace(first, done=True)
        assert await store.writes("p") == (replace(first, done=True), other)
        assert await store.writes("q") == ()

    async def test_a_write_is_recorded_once(self, store: Store) -> None:
        await store.begin_write(write("jane"))
        await store.end_write(write("jane"), line("added"))
        await store.end_write(write("jane"), line("added"))
        await store.end_write(write("joe"), line("added again", NOW + LEASE))
        assert await store.writes("p") == (replace(write("jane"), done=True),)
        assert await store.audit(INCIDENT, 9) == (line("added"),)

    async def test_clicks_at_the_same_moment_agree_on_one(self, open_store: OpenStore) -> None:
        stores = [await open_store(), await open_store()]
        begun = await asyncio.gather(
            *(stores[n % 2].begin_write(write(f"analyst {n}")) for n in range(20))
        )
        assert len(set(begun)) == 1
        await asyncio.gather(
            *(stores[n % 2].end_write(begun[0], line(f"added {n}")) for n in range(20))
        )
        assert len(await stores[0].audit(INCIDENT, 99)) == 1

    async def test_an_answer_is_shared_and_taken_back_once(self, store: Store) -> None:
        answer = proposal("p")
        assert not await store.share(answer, True, NOW), "nothing is shared that is not kept"
        await store.keep_proposal(answer)
        assert (await store.shared(INCIDENT), await store.is_shared("p")) == ((), False)
        assert await store.share(answer, True, NOW)
        assert not await store.share(answer, True, NOW + LEASE)
        assert (await store.shared(INCIDENT), await store.is_shared("p")) == ((answer,), True)
        assert await store.shared(OTHER_INCIDENT) == ()
        assert await store.share(answer, False, NOW)
        assert not await store.share(answer, False, NOW)
        assert (await store.shared(INCIDENT), await store.is_shared("p")) == ((), False)

    async def test_the_newest_twenty_shares_come_in_their_order(self, store: Store) -> None:
        answers = [proposal(f"{n:02}", at=NOW - timedelta(seconds=n)) for n in range(23)]
        for answer in answers:
            await store.keep_proposal(answer)
        for n, answer in enumerate(answers):
            await store.share(answer, True, NOW + n // 3 * LEASE)
        assert await store.shared(INCIDENT) == tuple(answers[3:])
        assert await store.is_shared("00")

    # documents

    async def test_a_document_takes_the_place_of_the_one_before(self, open_store) -> None:
        store, other = await open_store(), await open_store()
        assert await store.kept("schema/soc") is None
        await store.keep("schema/soc", {"tables": [1, 2]}, LONG_AGO)
        await store.keep("schema/soc?#\\/é", {}, NOW)
        await store.keep("schema/soc", {"tables": [{"ünï": None}], "data": "x" * 900_000}, NOW)
        assert await other.kept("schema/soc") == {
            "tables": [{"ünï": None}],
            "data": "x" * 900_000,
        }
        assert await other.kept("schema/soc?#\\/é") == {}
        assert await other.kept("schema") is None

    async def test_numbers_add_up_over_processes_and_begin_anew_each_period(
        self, open_store: OpenStore
    ) -> None:
        store, other = await open_store(), await open_store()
        both = "tokens/contoso/ana/\\#?", "tokens/contoso"
        assert await store.tally(both, "2026-11-24", 0, NOW) == (0, 0)
        assert await store.tally(both, "2026-11-24", 7, NOW) == (7, 7)
        assert await other.tally(both[1:], "2026-11-24", 5, NOW) == (12,)
        adding = [each.tally(both, "2026-11-24", 1, NOW) for each in (store, other) for _ in "123"]
        await asyncio.gather(*adding)
        assert await store.tally(both, "2026-11-24", 0, NOW) == (13, 18)
        assert await other.tally(both, "2026-11-25", 0, NOW) == (0, 0)
        assert await other.tally(both, "2026-11-25", 2, NOW) == (2, 2)
        # A process whose clock is behind counts for the day that has begun.
        assert await store.tally(both, "2026-11-24", 3, NOW) == (5, 5)

    async def test_the_audit_gives_the_newest_lines_oldest_first(self, store: Store) -> None:
        lines = [line(f"step {n}", NOW + timedelta(seconds=n)) for n in range(5)]
        for item in (*lines, lines[4]):
            await store.record(item)
        await store.record(line("signed in", incident=None))
        await store.record(line("elsewhere", incident=OTHER_INCIDENT))
        assert await store.audit(INCIDENT, 9) == (*lines, lines[4])
        assert await store.audit(INCIDENT, 3) == (lines[3], lines[4], lines[4])
        assert await store.audit(INCIDENT, 9, after=lines[2].at) == (lines[3], lines[4], lines[4])
        assert await store.audit(INCIDENT, 9, after=lines[4].at) == ()
        assert await store.audit(INCIDENT, 1, after=lines[2].at) == (lines[4],)
        assert await store.audit(OTHER_INCIDENT, 9) == (line("elsewhere", incident=OTHER_INCIDENT),)

    # the audit's chain

    async def test_everything_that_is_recorded_is_one_chain(self, store: Store) -> None:
        assert await intact(store) == []
        await store.accept(claim("a"))
        await store.take(CHAT, "me", NOW, LEASE)
        await store.commit(outcome("a"), "me")
        await store.commit(outcome("a"), "me")
        await store.end_write(write("jane"), line("added"))
        await store.end_write(write("jane"), line("added"))
        await store.record(line("Ünïcode \U0001f6a8 \u202e \x00", incident=None))
        recorded = await intact(store)
        assert [item["action"] for item in recorded[:3]] == ["asked a", "answered a", "added"]
        assert len(recorded) == 4

    async def test_an_item_names_all_it_is_about(self, store: Store) -> None:
        item = replace(line("asked"), incident_number=42)
        await store.record(item)
        assert await store.audit(INCIDENT, 9) == (item,)
        [kept] = await intact(store)
        assert kept["incident"] == {"workspace": "main", "id": INCIDENT.id}
        assert (kept["incident_number"], kept["detail"]) == (42, {"tokens": 7, "ids": ["a"]})

    async def test_two_stores_append_to_one_chain(self, open_store: OpenStore) -> None:
        stores = [await open_store(), await open_store()]
        await asyncio.gather(*(stores[n % 2].record(line(f"step {n}")) for n in range(60)))
        recorded = await intact(stores[0])
        assert {item["action"] for item in recorded} == {f"step {n}" for n in range(60)}
        assert (await stores[0].ends()).head.seq == 60

    async def test_links_come_in_pages(self, store: Store) -> None:
        for n in range(5):
            await store.record(line(f"step {n}"))
        assert [link.seq for link in await store.links(0, 2)] == [1, 2]
        assert [link.seq for link in await store.links(2, 9)] == [3, 4, 5]
        assert await store.links(5, 9) == ()

    async def test_what_is_swept_leaves_a_chain(self, store: Store) -> None:
        ages = [9, 8, 1, 7, 0]
        for age in ages:
            await store.record(line(f"{age} days ago", NOW - timedelta(days=age)))
        await store.sweep_audit(NOW - timedelta(days=10))
        assert (await store.ends()).anchor == Mark()
        gone = await store.links(0, 2)
        await store.sweep_audit(NOW - timedelta(days=2))
        kept = [item["action"] for item in await intact(store)]
        assert kept == ["1 days ago", "7 days ago", "0 days ago"], "nothing out of the middle"
        assert (await store.ends()).anchor == gone[-1].mark
        await store.sweep_audit(NOW - timedelta(days=2))
        assert (await store.ends()).anchor == gone[-1].mark

    async def test_a_chain_goes_on_where_all_of_it_was_swept(self, store: Store) -> None:
        await store.record(line("old", LONG_AGO))
        await store.sweep_audit(NOW)
        assert await intact(store) == []
        await store.record(line("new"))
        assert [item["action"] for item in await intact(store)] == ["new"]
        assert (await store.ends()).head.seq == 2

    async def test_the_chats_sweep_leaves_the_audit_alone(self, store: Store) -> None:
        await store.record(line("asked", LONG_AGO))
        await store.sweep(NOW, KEEP)
        assert len(await intact(store)) == 1

    # the sweep

    async def test_the_sweep_deletes_what_is_too_old_and_nothing_that_is_owed(
        self, store: Store
    ) -> None:
        limit = NOW - KEEP
        for key, at in (("old", LONG_AGO), ("new", limit)):
            await self.commit_turns(store, THREAD, turn(key, at))
            await store.accept(claim(f"finished {key}", key))
            await store.take(key, "me", at, LEASE)
            await store.finish(f"finished {key}", "me", at, {"sent": [key]})
            await store.keep_proposal(proposal(key, at=at))
            await store.begin_write(write(proposal=key, at=at))
            await store.share(proposal(key), True, NOW)
            await store.set_focus("contoso", key, "jane", INCIDENT, at)
            await store.keep(key, {"tables": []}, at)
        await store.accept(replace(claim("owed"), accepted=LONG_AGO))
        await store.record(line("asked", LONG_AGO))

        await store.sweep(NOW, KEEP)

        assert await store.turns(THREAD, 9) == (turn("new", limit),)
        assert (await store.proposal("old"), await store.writes("old")) == (None, ())
        assert await store.sent_by("old", "old") is None
        assert await store.sent_by("new", "new") == {"sent": ["new"]}
        assert await store.proposal("new") and await store.writes("new")
        assert (await store.is_shared("old"), await store.is_shared("new")) == (False, True)
        assert await store.focus("contoso", "old", "jane") is None
        assert await store.focus("contoso", "new", "jane") == INCIDENT
        assert await store.audit(INCIDENT, 9) == (line("asked", LONG_AGO),)
        assert (await store.kept("old"), await store.kept("new")) == (None, {"tables": []})
        assert await store.waiting(NOW, LEASE) == (CHAT,)
        assert not await store.accept(claim("finished new", "new"))
        assert not await store.accept(claim("owed"))
        assert await store.accept(claim("finished old", "old"))

    # open and closed

    async def test_what_was_kept_is_there_for_the_next_process(self, open_store: OpenStore) -> None:
        first = await open_store()
        await first.accept(claim("a"))
        await first.close()
        second = await open_store()
        await second.ping()
        assert await second.take(CHAT, "me", NOW, LEASE) == replace(claim("a"), attempts=1)

    async def test_a_closed_store_says_so(self, store: Store) -> None:
        await store.close()
        await store.close()
        with pytest.raises(StoreError):
            await store.ping()
        with pytest.raises(StoreError):
            await store.accept(claim("a"))
