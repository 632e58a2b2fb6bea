"""What every outbox must do. A store's own test file subclasses `OutboxContract` and gives it the
fixtures `open_outbox` and `open_store`: each call opens another one over one fresh database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.announcement import NEWS, Announcement, Subscription
from bot.domain.people import Place
from bot.errors import StoreError
from bot.ports.outgoing import Outbox
from tests.store.contract import INCIDENT, KEEP, LEASE, NOW, OTHER_INCIDENT, OpenStore

ROOM = "19:soc/room?\\#@thread.tacv2"
OTHER_ROOM = "a:another"
MOMENT = timedelta(microseconds=1)
NO_REST = timedelta(0)

OpenOutbox = Callable[[], Awaitable[Outbox]]


def subscription(conversation: str = ROOM, floor: str = "High", **more: str) -> Subscription:
    place = Place("contoso", conversation, "channel", "https://smba.trafficmanager.net/emea/", "28")
    return Subscription(place, floor, NOW, "Jane", **more)


async def only(outbox: Outbox, place: str = ROOM, at=NOW) -> Announcement:
    [found] = await outbox.pending(place, at, 9)
    return found


async def tell(outbox: Outbox, activity: str = "a-1", at=NOW, rest=NO_REST, **more) -> None:
    """Send all that is pending in the room, as it is wanted, in one message."""
    pending = await outbox.pending(ROOM, at, 99)
    told = [replace(each, sent=each.wanted, activity=activity, **more) for each in pending]
    await outbox.sent(told, at, rest)


class OutboxContract:
    @pytest.fixture
    async def outbox(self, open_outbox: OpenOutbox) -> Outbox:
        return await open_outbox()

    # places

    async def test_a_place_is_kept_as_it_was_said_last_and_places_in_order(
        self, outbox: Outbox
    ) -> None:
        await outbox.subscribe(subscription())
        await outbox.subscribe(subscription(OTHER_ROOM, "Low"))
        retired = subscription(floor="Low", retired="Teams refused a message (403).")
        await outbox.subscribe(retired)
        assert await outbox.subscriptions() == (retired, subscription(OTHER_ROOM, "Low"))

    async def test_its_depth_is_what_is_due_in_all_places(self, outbox: Outbox) -> None:
        assert await outbox.depth(NOW) == 0
        await outbox.notice(INCIDENT, "new", [ROOM, OTHER_ROOM], NOW)
        assert await outbox.depth(NOW - MOMENT) == 0
        assert await outbox.depth(NOW) == 2
        await tell(outbox)
        assert await outbox.depth(NOW) == 1

    async def test_a_place_that_is_forgotten_has_nothing_on_its_way(self, outbox: Outbox) -> None:
        for room in (ROOM, OTHER_ROOM):
            await outbox.subscribe(subscription(room))
        await outbox.notice(INCIDENT, "s1", [ROOM, OTHER_ROOM], NOW)
        assert await outbox.unsubscribe("contoso", ROOM)
        assert not await outbox.unsubscribe("contoso", ROOM)
        assert await outbox.subscriptions() == (subscription(OTHER_ROOM),)
        assert await outbox.waiting(NOW) == (OTHER_ROOM,)

    # what is noticed

    async def test_what_is_noticed_waits_in_each_place_from_then_on(self, outbox: Outbox) -> None:
        assert not await outbox.announced(INCIDENT)
        assert await outbox.notice(INCIDENT, "s1", [ROOM, OTHER_ROOM], NOW)
        assert await outbox.announced(INCIDENT)
        assert sorted(await outbox.waiting(NOW)) == sorted([ROOM, OTHER_ROOM])
        assert await outbox.waiting(NOW - MOMENT) == ()
        assert await only(outbox) == Announcement(ROOM, INCIDENT, "s1", NOW)

    async def test_noticing_the_same_again_changes_nothing(self, outbox: Outbox) -> None:
        assert await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        assert not await outbox.notice(INCIDENT, "s1", [ROOM], NOW + KEEP)
        await tell(outbox)
        assert not await outbox.notice(INCIDENT, "s1", [ROOM], NOW + KEEP)
        assert await outbox.waiting(NOW + KEEP) == ()

    async def test_a_change_is_wanted_wherever_the_incident_is_known_and_nowhere_else(
        self, outbox: Outbox
    ) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await outbox.notice(OTHER_INCIDENT, "s1", [ROOM], NOW)
        await tell(outbox)
        assert await outbox.notice(INCIDENT, "s2", [], NOW)
        changed = await only(outbox)
        assert (changed.incident, changed.wanted, changed.sent) == (INCIDENT, "s2", "s1")
        assert not await outbox.notice(replace(INCIDENT, id="unknown"), "s1", [], NOW)

    async def test_a_place_that_comes_later_is_told_once_too(self, outbox: Outbox) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await tell(outbox)
        assert await outbox.notice(INCIDENT, "s1", [ROOM, OTHER_ROOM], NOW)
        assert await outbox.waiting(NOW) == (OTHER_ROOM,)

    async def test_of_notices_at_once_one_counts(self, open_outbox: OpenOutbox) -> None:
        outboxes = [await open_outbox() for _ in range(4)]
        noticing = (each.notice(INCIDENT, "s1", [ROOM], NOW) for each in outboxes * 5)
        assert sum(await asyncio.gather(*noticing)) == 1

    async def test_the_first_seen_come_first_and_no_more_than_asked_for(
        self, outbox: Outbox
    ) -> None:
        names = ("c", "a", "b")
        for later, name in enumerate(names):
            seen = NOW + later * MOMENT
            await outbox.notice(replace(INCIDENT, id=name), "s1", [ROOM], seen)
        pending = await outbox.pending(ROOM, NOW + KEEP, 9)
        assert tuple(each.incident.id for each in pending) == names
        assert await outbox.pending(ROOM, NOW + KEEP, 2) == pending[:2]

    # what was sent

    async def test_what_was_sent_is_known_by_its_message(self, outbox: Outbox) -> None:
        for incident in (INCIDENT, OTHER_INCIDENT):
            await outbox.notice(incident, "s1", [ROOM], NOW)
        await tell(outbox, "a-1", digest=True)
        told = await outbox.carried(ROOM, "a-1")
        assert told == tuple(
            Announcement(ROOM, each, "s1", NOW, "s1", "a-1", digest=True)
            for each in (INCIDENT, OTHER_INCIDENT)
        )
        assert await outbox.carried(OTHER_ROOM, "a-1") == ()
        assert await outbox.waiting(NOW) == ()

    async def test_a_message_rests_between_two_edits(self, outbox: Outbox) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await tell(outbox, rest=LEASE)
        await outbox.notice(INCIDENT, "s2", [], NOW)
        assert await outbox.waiting(NOW + LEASE - MOMENT) == ()
        assert await outbox.pending(ROOM, NOW + LEASE - MOMENT, 9) == ()
        assert await outbox.waiting(NOW + LEASE) == (ROOM,)

    async def test_what_is_wanted_while_it_is_sent_is_still_wanted(self, outbox: Outbox) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        sending = replace(await only(outbox), sent="s1", activity="a-1")
        await outbox.notice(INCIDENT, "s2", [], NOW)
        await outbox.sent([sending], NOW, NO_REST)
        left = await only(outbox)
        assert (left.wanted, left.sent, left.activity) == ("s2", "s1", "a-1")

    async def test_what_another_message_shows_is_left_to_it(self, outbox: Outbox) -> None:
        """Who could not note what it sent comes late with it."""
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        late = replace(await only(outbox), sent="s1", activity="a-2")
        await tell(outbox)
        await outbox.notice(INCIDENT, "s2", [], NOW)
        there = await only(outbox)
        await outbox.sent([late], NOW, NO_REST)
        assert await only(outbox) == there

    async def test_a_message_that_shows_more_than_was_wanted_is_not_sent_again(
        self, outbox: Outbox
    ) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await outbox.sent([replace(await only(outbox), sent="s2", activity="a-1")], NOW, NO_REST)
        assert await outbox.waiting(NOW) == ()
        assert not await outbox.notice(INCIDENT, "s2", [ROOM], NOW)

    async def test_what_no_message_shows_can_still_be_announced(self, outbox: Outbox) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await outbox.sent([replace(await only(outbox), sent="gone")], NOW, NO_REST)
        assert await outbox.waiting(NOW) == ()
        assert await outbox.posted_since(ROOM, NOW) == 0
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        assert (await only(outbox)).activity == ""

    async def test_what_was_posted_lately_is_counted_by_when_it_was_first_posted(
        self, outbox: Outbox
    ) -> None:
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await tell(outbox)
        await outbox.notice(INCIDENT, "s2", [], NOW)
        await outbox.notice(OTHER_INCIDENT, "s1", [ROOM], NOW)
        await tell(outbox, at=NOW + LEASE)
        assert await outbox.posted_since(ROOM, NOW) == 2
        assert await outbox.posted_since(ROOM, NOW + MOMENT) == 1
        assert await outbox.posted_since(OTHER_ROOM, NOW) == 0

    async def test_what_is_sent_after_its_place_was_forgotten_stays_forgotten(
        self, outbox: Outbox
    ) -> None:
        await outbox.subscribe(subscription())
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        sending = replace(await only(outbox), sent="s1", activity="a-1")
        await outbox.unsubscribe("contoso", ROOM)
        await outbox.sent([sending], NOW, NO_REST)
        assert not await outbox.announced(INCIDENT)

    # leases

    async def test_one_owner_has_a_lease_until_it_ran_out(self, outbox: Outbox) -> None:
        assert await outbox.lease("place", "me", NOW, LEASE)
        assert await outbox.lease("other place", "you", NOW, LEASE)
        assert not await outbox.lease("place", "you", NOW + LEASE - MOMENT, LEASE)
        assert await outbox.lease("place", "you", NOW + LEASE, LEASE)
        assert not await outbox.lease("place", "me", NOW + LEASE, LEASE)

    async def test_a_lease_is_extended_and_given_up_by_its_owner(self, outbox: Outbox) -> None:
        await outbox.lease("place", "me", NOW, LEASE)
        assert await outbox.lease("place", "me", NOW + LEASE - MOMENT, LEASE)
        assert not await outbox.lease("place", "you", NOW + LEASE, LEASE)
        assert await outbox.lease("place", "me", NOW + LEASE, NO_REST)
        assert await outbox.lease("place", "you", NOW + LEASE, LEASE)

    async def test_who_stops_lets_all_leases_go(self, outbox: Outbox) -> None:
        for name, owner in (("one", "me"), ("two", "me"), ("three", "you")):
            await outbox.lease(name, owner, NOW, LEASE)
        await outbox.let_go("me")
        taken = [await outbox.lease(name, "they", NOW, LEASE) for name in ("one", "two", "three")]
        assert taken == [True, True, False]

    async def test_of_owners_at_once_one_has_the_lease(self, open_outbox: OpenOutbox) -> None:
        outboxes = [await open_outbox() for _ in range(4)]
        leasing = (each.lease("place", f"{n}", NOW, LEASE) for n, each in enumerate(outboxes))
        assert sum(await asyncio.gather(*leasing)) == 1

    @pytest.mark.parametrize("ahead", [timedelta(seconds=30), timedelta(seconds=-30)])
    async def test_a_clock_that_is_wrong_takes_no_lease_from_who_lives(
        self, open_outbox: OpenOutbox, ahead: timedelta
    ) -> None:
        mine, other = await open_outbox(), await open_outbox()
        for passed in (LEASE / 3 * n for n in range(9)):
            assert await mine.lease("place", "me", NOW + passed, LEASE)
            assert not await other.lease("place", "other", NOW + ahead + passed, LEASE)
        gone = NOW + ahead + LEASE / 3 * 8
        assert not await other.lease("place", "other", gone + LEASE - MOMENT, LEASE)
        assert await other.lease("place", "other", gone + LEASE, LEASE)
        assert not await mine.lease("place", "me", NOW + 9 * LEASE, LEASE)

    # what stays

    @pytest.mark.parametrize("keep", [KEEP, timedelta(days=1)])
    async def test_the_sweep_forgets_what_is_no_news_whether_it_was_sent_or_not(
        self, outbox: Outbox, open_store: OpenStore, keep: timedelta
    ) -> None:
        store = await open_store()
        await outbox.subscribe(subscription())
        await outbox.notice(INCIDENT, "s1", [ROOM], NOW)
        await tell(outbox)
        await outbox.notice(OTHER_INCIDENT, "s1", [ROOM], NOW)
        await outbox.lease("place", "me", NOW, NO_REST)
        old = max(keep, NEWS)
        await store.sweep(NOW + old, keep)
        assert await outbox.announced(INCIDENT) and await outbox.announced(OTHER_INCIDENT)
        await store.sweep(NOW + old + MOMENT, keep)
        assert not await outbox.announced(INCIDENT) and not await outbox.announced(OTHER_INCIDENT)
        assert await outbox.subscriptions() == (subscription(),)

    async def test_what_was_kept_is_there_for_the_next_process(
        self, open_outbox: OpenOutbox
    ) -> None:
        first = await open_outbox()
        await first.subscribe(subscription())
        await first.notice(INCIDENT, "s1", [ROOM], NOW)
        await tell(first)
        second = await open_outbox()
        assert await second.subscriptions() == (subscription(),)
        assert await second.carried(ROOM, "a-1") == await first.carried(ROOM, "a-1") != ()

    async def test_text_that_is_no_text_is_refused_and_harms_nothing(self, outbox: Outbox) -> None:
        with pytest.raises(StoreError):
            await outbox.subscribe(subscription(floor="\ud800"))
        with pytest.raises(StoreError):
            await outbox.notice(INCIDENT, "\ud800", [ROOM], NOW)
        assert await outbox.subscriptions() == () and await outbox.waiting(NOW) == ()
