"""How an answer is shown while it is written, against Teams as strict as its documents."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port

from bot.domain.rendering import for_teams
from bot.errors import Stopped, Undelivered
from bot.ports import Answered, JsonObject, Reply
from bot.teams.connector import Connector
from bot.teams.messages import FIRST_PART_CHARS, PART_CHARS
from bot.teams.stream import EDIT_PACE_SECONDS, PACE_SECONDS, Stream
from tests.clock import FakeClock
from tests.teams.conftest import place, until
from tests.teams_double import Refusal, Sent, Teams

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": []}
WORDS = [f"word{number} " for number in range(4_000)]


class Talk:
    """One answer on its way, and when Teams got what."""

    def __init__(self, clock: FakeClock, teams: Teams, http: ClientSession, url: str) -> None:
        self.clock = clock
        self.teams = teams
        self.connector = Connector(http, clock, token=None, loopback=True)
        self.url = url
        self.notes: JsonObject = {}
        self.stream = self.opened()

    def opened(
        self, kind: str = "personal", conversation: str = "a:chat", url: str = "", **progress: Any
    ) -> Stream:
        async def note(progress: JsonObject) -> None:
            self.notes |= progress

        where = place(url or self.url, kind, conversation)
        self.stream = Stream(self.connector, self.clock, where, progress=progress, note=note)
        return self.stream

    async def write(self, words: list[str], every: float = 0.25) -> str:
        """Write word by word, with `every` seconds in between."""
        text = ""
        for word in words:
            text += word
            self.stream.write(text)
            await self.pass_time(every)
        return text

    async def pass_time(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            await asyncio.sleep(0.001)
            await self.clock.advance(min(0.25, end - self.clock.monotonic()))

    async def finish(self, reply: Reply) -> None:
        await self.done(asyncio.create_task(self.stream.finish(reply)))

    async def done(self, task: asyncio.Task[Any]) -> Any:
        await until(self.clock, task.done)
        return await task

    @property
    def only(self) -> Sent:
        (sent,) = self.teams.sent.values()
        return sent

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.teams.requests]


@pytest.fixture
async def talk(
    clock: FakeClock, teams: Teams, http: ClientSession, service_url: str, stack: AsyncExitStack
) -> Talk:
    talk = Talk(clock, teams, http, service_url)
    stack.push_async_callback(lambda: talk.stream.close())
    return talk


def kinds(sent: Sent) -> list[str]:
    """What each version was: informative, streaming, final, or an edit."""
    return [
        next((e["streamType"] for e in v.get("entities", ()) if e["type"] == "streaminfo"), "edit")
        for v in sent.history
    ]


# as it should be


async def test_one_line_then_the_text_as_it_grows_then_the_message(talk: Talk) -> None:
    await talk.stream.working("Reading the incident…")
    text = await talk.write(WORDS[:40])
    await talk.finish(Reply(text, (CARD,), by_model=True))

    sent = talk.only
    assert kinds(sent) == ["informative", *["streaming"] * (len(sent.history) - 2), "final"]
    assert len(sent.history) > 5
    assert sent.updates[0] == "Reading the incident…"
    assert all(
        b.startswith(a) and len(b) > len(a)
        for a, b in zip(sent.updates[1:], sent.updates[2:], strict=False)
    )
    assert sent.text == text
    assert sent.card == CARD
    assert all("attachments" not in version for version in sent.history[:-1])
    assert [len(version["entities"]) for version in sent.history][-1] == 2
    assert talk.notes == {"activity": sent.id}
    assert talk.teams.violations == []


async def test_thousands_of_pieces_keep_the_pace(talk: Talk) -> None:
    await talk.stream.working("…")
    text = ""
    for number in range(3_500):
        text += f"{number % 10} "
        talk.stream.write(text)
        if number % 100 == 0:
            await talk.pass_time(0.5)
    await talk.finish(Reply(text))
    assert 10 < len(talk.only.history) < 25
    assert talk.teams.violations == []


async def test_an_answer_that_is_there_at_once_keeps_the_pace_too(talk: Talk) -> None:
    await talk.stream.working("…")
    talk.stream.write("All of it ")
    await talk.finish(Reply("All of it at once."))
    assert talk.only.text == "All of it at once."
    assert talk.teams.violations == []
    assert talk.clock.monotonic() >= 1


async def test_a_second_thing_that_is_being_done_is_not_told(talk: Talk) -> None:
    for text in ("Reading…", "Thinking…"):
        await talk.stream.working(text)
    await talk.finish(Reply("Done."))
    assert talk.only.updates == ["Reading…"]
    assert talk.teams.violations == []


async def test_an_answer_without_a_first_line(talk: Talk) -> None:
    text = await talk.write(WORDS[:20])
    await talk.finish(Reply(text))
    assert kinds(talk.only)[0] == "streaming"
    assert talk.only.text == text
    assert talk.teams.violations == []


async def test_an_answer_without_updates_is_one_message(talk: Talk) -> None:
    await talk.finish(Reply("Hello.", (CARD,)))
    assert kinds(talk.only) == ["edit"]
    assert (talk.only.text, talk.only.card) == ("Hello.", CARD)


async def test_nothing_half_written_is_shown_live(talk: Talk) -> None:
    await talk.stream.working("…")
    text = "See https://evil.example/a and ![x](https://evil.example/b) or [y](javascript:1) now."
    said = await talk.write([text[at : at + 3] for at in range(0, len(text), 3)], every=0.5)
    await talk.finish(Reply(for_teams(said)))
    assert len(talk.only.history) > 5
    for shown in talk.only.updates:
        assert "https:" not in shown
        assert "](" not in shown
    assert talk.teams.violations == []


@pytest.mark.parametrize(
    ("kind", "conversation"),
    [("groupChat", "19:group"), ("channel", "19:c@thread.tacv2;messageid=1")],
)
async def test_where_teams_does_not_stream_there_is_typing_and_one_message(
    talk: Talk, kind: str, conversation: str
) -> None:
    talk.teams.knows(conversation, kind)
    talk.opened(kind, conversation)
    await talk.stream.working("Reading the incident…")
    text = await talk.write(WORDS[:20])
    await talk.finish(Reply(text, (CARD,)))
    assert talk.teams.typing == [conversation]
    assert kinds(talk.only) == ["edit"]
    assert (talk.only.text, talk.only.card) == (text, CARD)
    assert talk.teams.violations == []


# too fast


async def test_teams_says_when_to_go_on_and_is_obeyed(talk: Talk) -> None:
    await talk.stream.working("…")
    talk.teams.refusals.append(Refusal(429, headers={"Retry-After": "7"}))
    await talk.write(WORDS[:8])
    refused_at = len(talk.teams.requests)
    assert refused_at == 2
    before = talk.clock.monotonic()
    text = await talk.write(WORDS[:60])
    assert len(talk.only.history) > 3
    assert talk.clock.monotonic() - before > 7
    await talk.finish(Reply(text))
    assert talk.only.text == text
    assert talk.teams.violations == []


async def test_the_last_message_waits_for_what_an_update_was_told(talk: Talk) -> None:
    await talk.stream.working("…")
    talk.teams.refusals.append(Refusal(429, headers={"Retry-After": "9"}))
    await talk.write(WORDS[:8])
    assert len(talk.teams.requests) == 2
    before = talk.clock.monotonic()
    await talk.finish(Reply("".join(WORDS[:9])))
    assert talk.clock.monotonic() - before > 8
    assert len(talk.teams.requests) == 3
    assert talk.only.text == "".join(WORDS[:9])


async def test_the_last_message_itself_is_sent_again_when_teams_says(talk: Talk) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:8])
    talk.teams.refusals.append(Refusal(429, headers={"Retry-After": "12"}, containing='"final"'))
    before = talk.clock.monotonic()
    await talk.finish(Reply(text))
    assert talk.clock.monotonic() - before >= 12
    assert kinds(talk.only)[-1] == "final"
    assert talk.teams.violations == []


async def test_a_first_line_that_is_too_fast_delays_what_follows(talk: Talk) -> None:
    talk.teams.refusals.append(Refusal(429, headers={"Retry-After": "5"}))
    await talk.stream.working("…")
    await talk.finish(Reply("Done."))
    assert talk.clock.monotonic() >= 5
    assert kinds(talk.only) == ["edit"]


async def test_a_connector_that_is_gone_is_not_asked_more_often_than_the_pace(talk: Talk) -> None:
    await talk.stream.working("…")
    teams_url = f"http://127.0.0.1:{unused_port()}/"
    talk.opened(url=teams_url)
    talk.stream._id, talk.stream._sequence = "s-1", 1  # as if it went away after the first line
    before = len(talk.clock.slept)
    await talk.write(WORDS[:400], every=0.01)
    assert len([s for s in talk.clock.slept[before:] if s > 0.5]) >= 2
    with pytest.raises(Undelivered, match="could not be reached"):
        await talk.finish(Reply("x"))


# two minutes


async def test_when_the_two_minutes_run_out_the_same_message_is_edited(talk: Talk) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:130], every=1.0)
    await talk.finish(Reply(text, (CARD,), by_model=True))
    sent = talk.only
    assert kinds(sent)[0] == "informative"
    assert "final" not in kinds(sent)
    assert kinds(sent)[-1] == "edit"
    assert kinds(sent).count("edit") >= 3
    edits = [i for i, kind in enumerate(kinds(sent)) if kind == "edit"]
    assert edits == list(range(edits[0], len(sent.history)))
    for a, b in zip(sent.history[1:], sent.history[2:], strict=False):
        assert b["text"].startswith(a["text"])
    assert (sent.text, sent.card) == (text, CARD)
    assert talk.teams.violations == []
    assert EDIT_PACE_SECONDS > PACE_SECONDS


async def test_the_two_minutes_run_out_at_the_very_end(talk: Talk) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:8])
    await talk.pass_time(130)
    await talk.finish(Reply(text, (CARD,)))
    assert kinds(talk.only)[-2:] == ["streaming", "edit"]
    assert (talk.only.text, talk.only.card) == (text, CARD)
    assert talk.methods[-2:] == ["POST", "PUT"]
    assert talk.teams.violations == []


# Stop


CANCELED = {
    "error": {"code": "ContentStreamNotAllowed", "message": "Content stream was canceled by user."}
}


async def test_stop_ends_the_answer_at_once(talk: Talk) -> None:
    ended = asyncio.Event()

    async def answering() -> Answered:
        try:
            talk.stream.write("Some words ")
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    await talk.stream.working("…")
    talk.teams.refusals.append(Refusal(403, CANCELED, times=99))
    task = asyncio.create_task(talk.stream.until_stopped(answering()))
    with pytest.raises(Stopped):
        await talk.done(task)
    assert ended.is_set()
    assert talk.clock.monotonic() < 3
    with pytest.raises(Stopped):
        talk.stream.write("more")
    await talk.finish(Reply("The answer."))
    assert len(talk.teams.requests) == 2


async def test_stop_at_the_very_end(talk: Talk) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:8])
    talk.teams.refusals.append(Refusal(403, CANCELED, containing='"final"'))
    await talk.finish(Reply(text))
    assert talk.stream.stopped
    assert talk.methods.count("PUT") == 0


async def test_an_answer_passes_through(talk: Talk) -> None:
    async def answering() -> Answered:
        return Answered(Reply("yes"))

    assert (await talk.stream.until_stopped(answering())).reply.text == "yes"


async def test_an_answer_cancelled_from_outside_is_not_a_stop(talk: Talk) -> None:
    ended = asyncio.Event()

    async def answering() -> Answered:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    task = asyncio.create_task(talk.stream.until_stopped(answering()))
    await talk.pass_time(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


# other refusals


def refusal(status: int, message: str, code: str = "ContentStreamNotAllowed") -> Refusal:
    return Refusal(status, {"error": {"code": code, "message": message}}, containing="streaminfo")


@pytest.mark.parametrize(
    "message",
    [
        "Message size too large",
        "Content stream is not allowed",
        "Content stream is not allowed on an already completed streamed message",
    ],
)
async def test_an_update_that_is_refused_ends_the_updates_and_not_the_answer(
    talk: Talk, message: str
) -> None:
    await talk.stream.working("…")
    talk.teams.refusals.append(refusal(403, message))
    text = await talk.write(WORDS[:40])
    assert len(talk.teams.requests) == 2
    await talk.finish(Reply(text, (CARD,)))
    assert kinds(talk.only) == ["informative", "edit"]
    assert (talk.only.text, talk.only.card) == (text, CARD)


@pytest.mark.parametrize("status", [500, 502, 503, 412])
async def test_an_update_that_fails_is_made_up_by_the_next(talk: Talk, status: int) -> None:
    await talk.stream.working("…")
    talk.teams.refusals.append(refusal(status, "no"))
    text = await talk.write(WORDS[:40])
    await talk.finish(Reply(text))
    assert kinds(talk.only)[-2:] == ["streaming", "final"]
    assert talk.only.text == text
    assert talk.teams.violations == []


async def test_an_update_that_teams_had_already_is_counted(talk: Talk) -> None:
    """It arrived although its answer got lost: Teams tells so with a 202."""
    await talk.stream.working("…")
    code = "ContentStreamSequenceOrderPreConditionFailed"
    talk.only.stream_sequence += 1
    text = await talk.write(WORDS[:40])
    await talk.finish(Reply(text))
    assert kinds(talk.only).count("streaming") > 2
    assert kinds(talk.only)[-1] == "final"
    assert code not in str(talk.teams.violations)
    assert talk.teams.violations == []


@pytest.mark.parametrize("status", [400, 403, 405, 500])
async def test_where_a_stream_cannot_begin_there_is_one_message(talk: Talk, status: int) -> None:
    talk.teams.refusals.append(refusal(status, "Content stream is not allowed"))
    await talk.stream.working("…")
    text = await talk.write(WORDS[:40])
    await talk.finish(Reply(text, (CARD,)))
    assert kinds(talk.only) == ["edit"]
    assert talk.only.text == text
    assert len(talk.teams.requests) == 2


@pytest.mark.parametrize("status", [202, 400, 403, 413])
async def test_a_last_message_that_is_refused_is_put_in_place(talk: Talk, status: int) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:8])
    refused = refusal(status, "no", "ContentStreamSequenceOrderPreConditionFailed")
    refused.containing = '"final"'
    talk.teams.refusals.append(refused)
    before = talk.clock.monotonic()
    await talk.finish(Reply(text, (CARD,)))
    assert kinds(talk.only)[-2:] == ["streaming", "edit"]
    assert (talk.only.text, talk.only.card) == (text, CARD)
    assert talk.clock.monotonic() - before > 1


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_and_where_it_cannot_be_edited_it_is_sent_anew(talk: Talk, status: int) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:8])
    talk.teams.refusals += [
        Refusal(403, containing='"final"'),
        Refusal(status, method="PUT"),
    ]
    await talk.finish(Reply(text, (CARD,)))
    assert talk.methods[-3:] == ["POST", "PUT", "POST"]
    assert [sent.text for sent in talk.teams.messages()] == [text]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_and_where_it_cannot_be_edited_for_now_it_is_not_sent_twice(
    talk: Talk, status: int
) -> None:
    await talk.stream.working("…")
    text = await talk.write(WORDS[:8])
    talk.teams.refusals += [
        Refusal(403, containing='"final"'),
        Refusal(status, method="PUT", times=99),
    ]
    with pytest.raises(Undelivered):
        await talk.finish(Reply(text, (CARD,)))
    assert set(talk.methods[talk.methods.index("PUT") :]) == {"PUT"}


async def test_an_answer_that_is_not_what_was_shown_takes_its_place(talk: Talk) -> None:
    await talk.stream.working("…")
    await talk.write(WORDS[:20])
    await talk.finish(Reply("Something else.", (CARD,)))
    assert (talk.only.text, talk.only.card) == ("Something else.", CARD)
    assert talk.teams.violations == []


async def test_a_card_without_text_takes_the_place_of_the_stream(talk: Talk) -> None:
    await talk.stream.working("…")
    await talk.finish(Reply(cards=(CARD,)))
    assert (talk.only.text, talk.only.card) == ("", CARD)
    assert talk.teams.violations == []


# delivery


@pytest.mark.parametrize("status", [412, 429, 502, 504])
async def test_a_message_is_sent_again_where_teams_says_so_and_when(
    talk: Talk, status: int
) -> None:
    talk.teams.refusals.append(Refusal(status, headers={"Retry-After": "4"}, times=2))
    await talk.finish(Reply("Hello."))
    assert talk.clock.monotonic() >= 8
    assert talk.only.text == "Hello."


@pytest.mark.parametrize(
    ("status", "body", "retire"),
    [
        (500, {}, False),
        (503, {}, False),
        (400, {}, False),
        (401, {}, False),
        (403, {"errorCode": 209, "subCode": "MessageWritesBlocked"}, True),
        (403, {"error": {"code": "ConversationBlockedByUser", "message": "blocked"}}, True),
        (404, {"error": {"code": "ConversationNotFound", "message": "gone"}}, True),
    ],
    ids=str,
)
async def test_what_is_not_taken_is_told_and_whether_for_good(
    talk: Talk, status: int, body: dict[str, Any], retire: bool
) -> None:
    talk.teams.refusals.append(Refusal(status, body, times=99))
    with pytest.raises(Undelivered) as caught:
        await talk.finish(Reply("Hello."))
    assert (caught.value.status, caught.value.retire) == (status, retire)
    assert len(talk.teams.requests) == 1


async def test_what_is_refused_again_and_again_ends_in_the_time_allowed(talk: Talk) -> None:
    talk.teams.refusals.append(Refusal(429, headers={"Retry-After": "20"}, times=99))
    with pytest.raises(Undelivered):
        await talk.finish(Reply("Hello."))
    assert talk.clock.monotonic() <= 60
    assert len(talk.teams.requests) in (3, 4)  # by how long the attempts themselves took


# long answers


def whole(parts: list[str]) -> str:
    return re.sub(r"```\w*|\s", "", "\n".join(parts))


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_long_answer_is_several_messages_with_the_card_on_the_last(
    talk: Talk, streamed: bool
) -> None:
    text = "Intro.\n```kql\n" + "\n".join(WORDS) + "\n```\n" + " ".join(WORDS)
    if streamed:
        await talk.stream.working("…")
        talk.stream.write(text[:3_000])
        await talk.pass_time(3)
        talk.stream.write(text)
        await talk.pass_time(3)
    await talk.finish(Reply(text, (CARD,), by_model=True))
    messages = talk.teams.messages()
    assert len(messages) > 5
    assert whole([sent.text for sent in messages]) == whole([text])
    assert all(len(sent.text) <= PART_CHARS for sent in messages)
    assert [sent.card for sent in messages] == [None] * (len(messages) - 1) + [CARD]
    assert all(len(update) <= FIRST_PART_CHARS for update in messages[0].updates)
    ids = [sent.id for sent in messages]
    assert talk.notes == {"parts": len(messages), "activity": ids[0], "sent": ids}
    assert talk.stream.sent == ids
    assert talk.teams.violations == []


# after a crash


async def test_what_another_process_began_is_edited_and_not_streamed(talk: Talk) -> None:
    await talk.stream.working("…")
    await talk.write(WORDS[:8])
    await talk.stream.close()
    sent = talk.only
    talk.opened(activity=sent.id)
    await talk.stream.working("Reading again…")
    text = await talk.write(WORDS[:30])
    await talk.finish(Reply(text, (CARD,)))
    assert talk.only is sent
    assert kinds(sent)[-1] == "edit"
    assert kinds(sent).count("edit") == 1
    assert (sent.text, sent.card) == (text, CARD)
    assert talk.teams.violations == []


async def test_parts_that_another_process_sent_are_not_sent_again(talk: Talk) -> None:
    reply = Reply(" ".join(WORDS), (CARD,))
    talk.teams.refusals.append(Refusal(500, containing="word2000"))
    with pytest.raises(Undelivered):
        await talk.finish(reply)
    done = len(talk.teams.messages())
    assert talk.notes["parts"] == done > 0
    talk.opened(**talk.notes)
    await talk.finish(reply)
    messages = talk.teams.messages()
    assert whole([sent.text for sent in messages]) == whole([reply.text])
    assert all(len(sent.history) == 1 for sent in messages)
    assert talk.teams.violations == []
