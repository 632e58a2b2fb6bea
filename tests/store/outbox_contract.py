"""What every outbox must do, like `contract.py`: over the store that `open_store` opens."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.announcement import Announcement, Subscription
from bot.domain.incident import IncidentRef
from bot.domain.people import Place
from bot.ports.outgoing import Outbox
from tests.store.contract import INCIDENT, KEEP, LEASE, NOW, OTHER_INCIDENT, OpenStore

TEAM, CHANNEL = "19:soc@thread.tacv2", "19:triage/of?#\\@thread.tacv2"
SECOND = timedelta(seconds=1)
ABROAD = IncidentRef("second", INCIDENT.id)


def place(conversation: str, tenant: str = "contoso", seconds: int = 0) -> Subscription:
    where = Place(tenant, conversation, "channel", "https://smba.example/", "28:bot")
    return Subscription(where, "Medium", NOW + seconds * SECOND, "Jané")


def wanted(
    incident: IncidentRef = INCIDENT, state: str = "new", where: str = TEAM, seconds: int = 0
) -> Announcement:
    return Announcement(where, incident, state, NOW + seconds * SECOND)


class OutboxContract:
    @pytest.fixture
    async def outbox(self, open_store: OpenStore) -> Outbox:
        return (await open_store()).outbox

    # places

    async def test_a_place_is_kept_in_place_of_what_was_known_of_it(self, outbox: Outbox) -> None:
        first, second = place(TEAM), place(CHANNEL, seconds=1)
        for each in (second, first, replace(second, floor="High", retired="gone")):
            await outbox.subscribe(each)
        kept = await outbox.subscriptions()
        assert set(kept) == {first, replace(second, floor="High", retired="gone")}

    async def test_a_place_that_leaves_is_forgotten_with_what_was_for_it(
        self, outbox: Outbox
    ) -> None:
        for each in (place(TEAM), place(CHANNEL)):
            await outbox.subscribe(each)
        await outbox.notice(INCIDENT, "new", [TEAM, CHANNEL], NOW)
        assert not await outbox.unsubscribe("fabrikam", "another place")
        assert await outbox.unsubscribe("contoso", TEAM)
        assert not await outbox.unsubscribe("contoso", TEAM)
        assert await outbox.subscriptions() == (place(CHANNEL),)
        assert await outbox.waiting(NOW) == (CHANNEL,)
        assert await outbox.pending(TEAM, NOW, 9) == ()

    # what is to be shown

    async def test_what_is_noticed_waits_in_its_places_once(self, outbox: Outbox) -> None:
        assert not await outbox.announced(INCIDENT)
        assert await outbox.notice(INCIDENT, "new", [TEAM, CHANNEL, TEAM], NOW)
        assert not await outbox.notice(INCIDENT, "new", [TEAM, CHANNEL], NOW + SECOND)
        assert await outbox.announced(INCIDENT)
        assert not await outbox.announced(ABROAD) and not await outbox.announced(OTHER_INCIDENT)
        assert set(await outbox.waiting(NOW)) == {TEAM, CHANNEL}
        assert await outbox.waiting(NOW - SECOND) == ()
        assert await outbox.pending(TEAM, NOW, 9) == (wanted(),)
        assert await outbox.pending(CHANNEL, NOW, 9) == (wanted(where=CHANNEL),)

    async def test_what_is_seen_first_comes_first(self, outbox: Outbox) -> None:
        third = IncidentRef("main", "3")
        await outbox.notice(OTHER_INCIDENT, "new", [TEAM], NOW + SECOND)
        await outbox.notice(INCIDENT, "new", [TEAM], NOW)
        await outbox.notice(third, "new", [TEAM], NOW + SECOND)
        expected = (wanted(), wanted(OTHER_INCIDENT, seconds=1), wanted(third, seconds=1))
        assert await outbox.pending(TEAM, NOW + SECOND, 9) == expected
        assert await outbox.pending(TEAM, NOW + SECOND, 2) == expected[:2]

    async def test_what_was_sent_waits_no_more_until_it_changes(self, outbox: Outbox) -> None:
        await outbox.notice(INCIDENT, "new", [TEAM, CHANNEL], NOW)
        await outbox.sent(TEAM, {INCIDENT: "new"}, "1700", NOW, rest=5 * SECOND)
        assert await outbox.waiting(NOW) == (CHANNEL,)
        assert await outbox.notice(INCIDENT, "closed", [], NOW + SECOND)
        assert not await outbox.notice(INCIDENT, "closed", [TEAM], NOW + SECOND)
        assert await outbox.waiting(NOW + SECOND) == (CHANNEL,), "the card rests"
        later = NOW + 5 * SECOND
        assert set(await outbox.waiting(later)) == {TEAM, CHANNEL}
        edit = replace(wanted(state="closed"), sent="new", activity="1700")
        assert await outbox.pending(TEAM, later, 9) == (edit,)
        assert await outbox.pending(CHANNEL, later, 9) == (wanted(state="closed", where=CHANNEL),)
        await outbox.sent(TEAM, {INCIDENT: "closed"}, "1700", later)
        assert await outbox.pending(TEAM, later, 9) == ()

    async def test_a_change_while_it_is_sent_is_not_lost(self, outbox: Outbox) -> None:
        await outbox.notice(INCIDENT, "new", [TEAM], NOW)
        await outbox.notice(INCIDENT, "closed", [], NOW)
        await outbox.sent(TEAM, {INCIDENT: "new"}, "1700", NOW)
        edit = replace(wanted(state="closed"), sent="new", activity="1700")
        assert await outbox.pending(TEAM, NOW, 9) == (edit,)
        await outbox.notice(INCIDENT, "new", [], NOW)
        assert await outbox.pending(TEAM, NOW, 9) == (), "it is as it was shown"

    async def test_a_digest_carries_several_and_is_found_by_its_message(
        self, outbox: Outbox
    ) -> None:
        both = {INCIDENT: "new", OTHER_INCIDENT: "new"}
        for seconds, incident in enumerate(both):
            await outbox.notice(incident, "new", [TEAM], NOW + seconds * SECOND)
        await outbox.sent(TEAM, both, "1700", NOW, digest=True)
        carried = tuple(
            replace(wanted(incident, seconds=at), sent="new", activity="1700", digest=True)
            for at, incident in enumerate(both)
        )
        assert await outbox.carried(TEAM, "1700") == carried
        assert await outbox.carried(TEAM, "1701") == await outbox.carried(CHANNEL, "1700") == ()

    async def test_what_a_place_never_had_is_not_kept_as_sent(self, outbox: Outbox) -> None:
        await outbox.sent(TEAM, {INCIDENT: "new"}, "1700", NOW)
        assert not await outbox.announced(INCIDENT)

    async def test_first_messages_are_counted_and_edits_are_not(self, outbox: Outbox) -> None:
        for incident in (INCIDENT, OTHER_INCIDENT):
            await outbox.notice(incident, "new", [TEAM, CHANNEL], NOW)
        await outbox.sent(TEAM, {INCIDENT: "new"}, "1700", NOW)
        await outbox.sent(TEAM, {INCIDENT: "closed"}, "1700", NOW + 2 * SECOND)
        await outbox.sent(TEAM, {OTHER_INCIDENT: "new"}, "1701", NOW + SECOND)
        since = [await outbox.posted_since(TEAM, NOW + at * SECOND) for at in range(3)]
        assert since == [2, 1, 0]
        assert await outbox.posted_since(CHANNEL, NOW) == 0

    async def test_a_place_can_be_put_off_and_never_sooner(self, outbox: Outbox) -> None:
        for incident in (INCIDENT, OTHER_INCIDENT):
            await outbox.notice(incident, "new", [TEAM, CHANNEL], NOW)
        await outbox.put_off(TEAM, NOW + 5 * SECOND)
        await outbox.put_off(TEAM, NOW + SECOND)
        assert await outbox.waiting(NOW + 4 * SECOND) == (CHANNEL,)
        assert len(await outbox.pending(TEAM, NOW + 5 * SECOND, 9)) == 2

    async def test_the_sweep_leaves_what_is_still_to_be_said(self, open_store: OpenStore) -> None:
        store = await open_store()
        for incident in (INCIDENT, OTHER_INCIDENT, ABROAD):
            await store.outbox.notice(incident, "new", [TEAM], NOW)
        await store.outbox.sent(TEAM, {INCIDENT: "new", ABROAD: "new"}, "1700", NOW)
        await store.outbox.notice(ABROAD, "closed", [], NOW)
        await store.outbox.subscribe(place(TEAM))
        await store.sweep(NOW + KEEP, KEEP)
        assert await store.outbox.announced(INCIDENT)
        await store.sweep(NOW + KEEP + SECOND, KEEP)
        assert not await store.outbox.announced(INCIDENT)
        assert await store.outbox.announced(OTHER_INCIDENT)
        assert await store.outbox.announced(ABROAD)
        assert await store.outbox.subscriptions() == (place(TEAM),)

    # two at once

    async def test_of_many_notices_at_once_nothing_is_lost(self, open_store: OpenStore) -> None:
        outboxes = [(await open_store()).outbox for _ in range(2)]
        changed = await asyncio.gather(
            *(
                outboxes[n % 2].notice(INCIDENT, "new", [TEAM, f"place {n % 5}"], NOW)
                for n in range(10)
            )
        )
        assert any(changed)
        assert len(await outboxes[0].waiting(NOW)) == 6
        await asyncio.gather(
            outboxes[0].notice(INCIDENT, "closed", [], NOW),
            outboxes[1].sent(TEAM, {INCIDENT: "new"}, "1700", NOW),
        )
        edit = replace(wanted(state="closed"), sent="new", activity="1700")
        assert await outboxes[0].pending(TEAM, NOW, 9) == (edit,)

    async def test_a_lease_has_one_owner_until_it_runs_out(self, open_store: OpenStore) -> None:
        one, two = [(await open_store()).outbox for _ in range(2)]
        assert await one.lease("place/19:a/b", 'me "x"', NOW, LEASE)
        assert await one.lease("place/19:a/b", 'me "x"', NOW + SECOND, LEASE)
        assert not await two.lease("place/19:a/b", "other", NOW + LEASE, LEASE)
        assert await two.lease("poll", "other", NOW, LEASE)
        assert await two.lease("place/19:a/b", "other", NOW + LEASE + SECOND, LEASE)
        assert not await one.lease("place/19:a/b", 'me "x"', NOW + LEASE + SECOND, LEASE)
        await one.let_go('me "x"')
        assert not await one.lease("poll", 'me "x"', NOW, LEASE)
        await two.let_go("other")
        assert await one.lease("poll", 'me "x"', NOW, LEASE)

    async def test_a_lease_of_no_length_is_given_up(self, outbox: Outbox) -> None:
        assert await outbox.lease("poll", "me", NOW, LEASE)
        assert await outbox.lease("poll", "me", NOW, timedelta(0))
        assert await outbox.lease("poll", "other", NOW, LEASE)

    async def test_of_many_one_gets_the_lease(self, open_store: OpenStore) -> None:
        outboxes = [(await open_store()).outbox for _ in range(2)]
        got = await asyncio.gather(
            *(outboxes[n % 2].lease("poll", f"owner {n}", NOW, LEASE) for n in range(10))
        )
        assert sum(got) == 1
