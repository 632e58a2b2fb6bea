"""Plays the folders beside this file: what is said, what the model answers, what must be sent.

README.md says what a folder holds. Nothing here knows any of them. PYTEST_DONT_REWRITE: the
messages are for people who do not read Python.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from sandbox.world import Case, Fault
from tests.clock import FakeClock
from tests.conversations.recorded_model import RecordedModel, recordings
from tests.conversations.script import ACTIONS, add_incident, checked, parsed
from tests.scenario.conftest import BOT, Chat, Soc, find_button, running
from tests.teams_double import Refusal, Sent

HERE = Path(__file__).parent
FOLDERS = sorted(path for path in HERE.iterdir() if path.is_dir() and path.name[0] not in "._")
LIVE = ("](http", "http://", "https://", "<at", "<a ", "<img", "<script", "\u202e", "\u200b")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_conversation(folder: Path, tmp_path: Path) -> None:
    failed = ""
    try:
        await play(folder, tmp_path)
    except AssertionError as error:
        failed = f"{folder.name}: {error}"
    if failed:
        pytest.fail(failed, pytrace=False)


async def play(folder: Path, tmp_path: Path) -> None:
    """Run a folder's conversation through the whole application; raises AssertionError."""
    script = checked(parsed(folder / "conversation.yaml"), "conversation")
    incident = checked(parsed(folder / "incident.yaml"), "incident")
    model = RecordedModel(recordings(folder / "model"))
    server = TestServer(model.app)
    await server.start_server()
    settings = {
        "AZURE_OPENAI_BASE_URL": str(server.make_url("/openai/v1/")),
        "AZURE_OPENAI_MODEL": "gpt-5.4-mini",
    }
    try:
        async with running(FakeClock(), tmp_path, **settings) as soc:
            add_incident(soc.world, incident)
            stage = Stage(soc, model, script)
            for number, step in enumerate(script["steps"], 1):
                try:
                    await stage.play(step)
                except AssertionError as error:
                    action = next(iter(step.items()), "which is empty")
                    raise AssertionError(f"step {number}, {action}: {error}") from None
            stage.check_all()
    finally:
        await server.close()


class Stage:
    """A conversation while it is played: who is in it, and what was there before each step."""

    def __init__(self, soc: Soc, model: RecordedModel, script: dict[str, Any]) -> None:
        self.soc = soc
        self.model = model
        self.kind = script.get("chat", "personal")
        people = script.get("analysts", {"ana": "Ana Analyst"})
        shared = "" if self.kind == "personal" else "19:soc@thread.tacv2;messageid=1"
        self.chats = {
            key: soc.chat(
                self.kind, shared, name=name, analyst=str(uuid.uuid5(uuid.NAMESPACE_OID, key))
            )
            for key, name in people.items()
        }
        self.last: tuple[Chat, dict[str, Any]] | None = None

    async def play(self, step: dict[str, Any]) -> None:
        """Do what a step says, then hold everything it caused against what it expects."""
        checked(step, "step")
        done = [action for action in ACTIONS if action in step]
        assert len(done) == 1, f"a step has one of {', '.join(ACTIONS)}"
        by = step.get("by", next(iter(self.chats)))
        assert by in self.chats, f"by: there is no analyst {by!r}"
        chat, sent = self.chats[by], checked(step.get("sent", {}), "sent")
        wanted = sent.get("messages", 1 if "say" in step else 0)
        shown, requests = len(chat.messages), len(self.model.bodies)
        things, puts = dict(self.things()), len(self.soc.writes())

        clicked = await getattr(self, f"do_{done[0]}")(chat, step)
        await self.settle(lambda: len(chat.messages) - shown >= wanted)

        assert not self.model.problems, self.model.problems[0]
        new = chat.messages[shown:]
        assert len(new) == wanted, f"{len(new)} messages came, not {wanted}: {texts(new)}"
        self.check_sent(sent, [*clicked, *new])
        if "asked" in step:
            self.check_asked(step["asked"], requests)
        written = [thing for key, thing in self.things() if key not in things]
        self.check_written(step.get("written", []), written)
        puts = len(self.soc.writes()) - puts
        expected = step.get("write_requests", len(written))
        assert puts == expected, f"Sentinel got {puts} write requests, not {expected}"

    # what a step does; each gives what a click shows

    async def do_say(self, chat: Chat, step: dict[str, Any]) -> list[Sent]:
        activity = chat.activity(text=step["say"])
        if self.kind != "personal":
            activity["text"] = f"<at>Casemate</at> {step['say']}"
            activity["entities"] = [
                {"type": "mention", "text": "<at>Casemate</at>", "mentioned": {"id": BOT}}
            ]
        self.last = (chat, activity)
        return await self.deliver(step.get("times", 1))

    async def do_repeat(self, chat: Chat, step: dict[str, Any]) -> list[Sent]:
        return await self.deliver(step["repeat"])

    async def deliver(self, times: int) -> list[Sent]:
        assert self.last, "nothing was said yet"
        chat, activity = self.last
        statuses = await asyncio.gather(*(chat.post(activity) for _ in range(times)))
        assert {status for status, _ in statuses} == {202}, f"the bot answered {statuses}"
        return []

    async def do_click(self, chat: Chat, step: dict[str, Any]) -> list[Sent]:
        title = step["click"]
        offered = [each for each in chat.messages if find_button(each.card, title)]
        assert offered, f"no message has a button {title!r}"
        message = offered[-1]
        clicks = [chat.click(message, title) for _ in range(step.get("times", 1))]
        *_, answer = await asyncio.gather(*clicks)
        if not isinstance(answer["value"], dict):
            return [Sent("", "", [{"type": "message", "text": answer["value"]}])]
        # The clicker's client shows the new card in the old one's place.
        message.history.append({**message.now, "attachments": [{"content": answer["value"]}]})
        return [message]

    async def do_wait(self, chat: Chat, step: dict[str, Any]) -> list[Sent]:
        await self.soc.clock.advance(step["wait"])
        return []

    async def do_teams(self, chat: Chat, step: dict[str, Any]) -> list[Sent]:
        self.soc.teams.refusals.append(Refusal(**checked(step["teams"], "teams")))
        return []

    async def do_sentinel(self, chat: Chat, step: dict[str, Any]) -> list[Sent]:
        self.soc.world.faults.append(Fault(**checked(step["sentinel"], "sentinel")))
        return []

    async def settle(self, happened: Any) -> None:
        """Let (fake) time pass until what must come is there, then 5 s more for what must not."""
        end = self.soc.clock.monotonic() + 120
        quiet_for = 0
        while quiet_for < 20 and self.soc.clock.monotonic() < end:
            await asyncio.sleep(0.002)
            await self.soc.clock.advance(0.25)
            quiet_for = quiet_for + 1 if happened() and self.soc.quiet else 0

    # what must have come of it

    def check_sent(self, wanted: dict[str, Any], messages: list[Sent]) -> None:
        text = "\n".join(message.text for message in messages)
        cards = [message.card for message in messages if message.card]
        card = "\n".join(words(cards)).replace("\\", "")
        contains("the text", text, wanted.get("text"), wanted.get("not_text"))
        contains("the card", card, wanted.get("card"), wanted.get("not_card"))
        if "buttons" in wanted:
            buttons = [title for title, action in titles(cards[-1:]) if action]
            assert buttons == wanted["buttons"], f"the buttons are {buttons}"
        if "by_model" in wanted:
            labelled = "AIGeneratedContent" in str([message.now for message in messages])
            assert labelled == wanted["by_model"], f"the label made by AI: {labelled}"

    def check_asked(self, wanted: list[dict[str, Any]], since: int) -> None:
        asked = self.model.asked(since)
        assert len(asked) == len(wanted), f"the model got {len(asked)} requests, not {len(wanted)}"
        for want, request in zip(wanted, asked, strict=True):
            checked(want, "asked")
            history = "\n".join(request.history)
            contains("the history", history, want.get("history"), want.get("not_history"))
            contains("evidence", request.evidence, want.get("evidence"), want.get("not_evidence"))
            contains("the request", request.text, [], want.get("nowhere"))
            for name in ("roles", "question", "schema"):
                is_ = getattr(request, name)
                assert want.get(name, is_) == is_, f"{name}: {is_!r}, not {want[name]!r}"
            for name, value in want.get("members", {}).items():
                assert request.body.get(name) == value, f"{name}: {request.body.get(name)!r}"

    def check_written(self, wanted: list[dict[str, Any]], written: list[tuple[str, str]]) -> None:
        assert len(written) == len(wanted), f"written: {written}"
        for want, (kind, text) in zip(wanted, written, strict=True):
            assert kind in checked(want, "written"), f"a {kind} was written"
            contains(f"the {kind}", text, want[kind], want.get("not"))

    def check_all(self) -> None:
        """What holds for every conversation."""
        assert not self.model.unplayed, f"never asked for: model/{self.model.unplayed}"
        markers = {
            r.text: r.marker for r in self.model.asked() if r.answered
        }  # a retry is no other
        assert len(set(markers.values())) == len(markers), "two answered requests share a marker"
        assert not self.soc.teams.violations, f"Teams objects: {self.soc.teams.violations}"
        for message in self.soc.teams.sent.values():
            for version in message.history:
                for attachment in version.get("attachments", ()):
                    contains("a card", "\n".join(words(attachment["content"])), [], LIVE)
                contains("a message", version.get("text", ""), [], (*LIVE, "Traceback"))
        for key, (kind, text) in self.things():
            if "with Casemate" in text:
                contains(f"{kind} {key}", text, [], LIVE)

    def things(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Every task and comment of the workspace, with the text that is in it."""
        for case in self.soc.world.cases.values():
            yield from things_of(case)


def things_of(case: Case) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, task in case.tasks.items():
        fields = task["properties"]
        yield name, ("task", f"{fields['title']}\n{fields['description']}")
    for name, comment in case.comments.items():
        yield name, ("comment", comment["properties"]["message"])


def contains(what: str, text: str, wanted: Any, unwanted: Any) -> None:
    """Hold a text against pieces that must and must not be in it; one piece may stand alone."""
    for piece in [wanted] if isinstance(wanted, str) else wanted or ():
        assert piece in text, f"{what} does not contain {piece!r}:\n{text[:2000]}"
    for piece in [unwanted] if isinstance(unwanted, str) else unwanted or ():
        at = text.find(piece)
        assert at < 0, f"{what} contains {piece!r}:\n… {text[max(0, at - 200) : at + 200]} …"


def texts(messages: list[Sent]) -> list[str]:
    return [message.text for message in messages]


def titles(card: Any) -> Iterator[tuple[str, bool]]:
    """What is to be read on a card, in order; and whether it is a button's title."""
    if isinstance(card, list):
        for each in card:
            yield from titles(each)
    elif isinstance(card, dict):
        action = str(card.get("type")).startswith("Action.")
        for key, value in card.items():
            if key in ("text", "title", "value") and isinstance(value, str):
                yield value, action
            elif key not in ("fallback", "data"):
                yield from titles(value)


def words(card: Any) -> Iterator[str]:
    yield from (text for text, _ in titles(card))
