"""What the services' own records say in the end: what was lost, repeated or out of order.

One thing is excused, and counted: Teams has no key by which it would know a message again, so one
that it took before its sender could note it may come twice. That is proved each time: the store,
looked at when the sender was dead, held no note of a message that Teams already held; or Teams'
answer to it was cut.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.azure.cosmos_items import unpacked
from bot.records import decoded
from tests.soak.analysts import Room, Soak, named
from tests.teams_double import Sent

_UNEXPECTED = re.compile(r'"exception":(\[\{.{0,400})')


@dataclass
class Witness:
    """Looks at the store when a replica has just died, and remembers what was sent unnoted."""

    soak: Soak
    unnoted: set[str] = field(default_factory=set[str])

    def look(self) -> None:
        """Remember the messages that Teams holds and the store has no note of."""
        open_questions, unsent = self._open()
        teams = self.soak.around.teams
        for room in self.soak.rooms:
            conversation = room.chat.conversation
            owed = open_questions.get(conversation)
            if not owed or not room.chat.messages:
                continue
            known = [each.activity for each in room.accepted]
            questions: list[str | None] = [each.question for each in room.accepted]
            if owed not in known:  # a redelivery, of which the front does not know yet
                known, questions = [*known, owed], [*questions, None]
            answered = matches(questions, room.chat.messages, self.excused())
            if max(answered[-1], default=0) > known.index(owed):
                self.unnoted.add(room.chat.messages[-1].id)
        for place, numbers in unsent.items():
            for sent in teams.messages(place):
                if numbers & numbers_of(sent):
                    self.unnoted.add(sent.id)

    def excused(self) -> set[str]:
        """Messages that may come a second time."""
        cut = {_id(body) for _, _, body in self.soak.around.faults["teams"].doubtful}
        return self.unnoted | cut

    def owed(self) -> int:
        """How much is accepted and not done, by the store's own word."""
        claims, outbox = (self._cosmos if self.soak.around.cosmos else self._sqlite)()
        return len(claims) + len(outbox)

    def _open(self) -> tuple[dict[str, str], dict[str, set[int]]]:
        """The oldest question owed in each conversation, and what each place is still owed."""
        claims, outbox = (self._cosmos if self.soak.around.cosmos else self._sqlite)()
        asked: dict[str, str] = {}
        for conversation, body in claims:
            asked.setdefault(conversation, body["id"])
        numbers = {
            case.incident["name"]: case.incident["properties"]["incidentNumber"]
            for case in self.soak.around.world.cases.values()
        }
        owed: dict[str, set[int]] = {}
        for place, incident in outbox:
            owed.setdefault(place, set()).add(numbers[incident])
        return asked, owed

    def _sqlite(self) -> tuple[list[tuple[str, Any]], list[tuple[str, str]]]:
        with closing(sqlite3.connect(self.soak.around.database)) as db:
            claims = db.execute(
                "SELECT conversation, body FROM claims WHERE finished IS NULL ORDER BY seq"
            ).fetchall()
            outbox = db.execute("SELECT place, incident FROM announcements WHERE sent = ''")
            return [(each, decoded(body)) for each, body in claims], outbox.fetchall()

    def _cosmos(self) -> tuple[list[tuple[str, Any]], list[tuple[str, str]]]:
        cosmos = self.soak.around.cosmos
        assert cosmos is not None
        items = [each for each in cosmos.collections["conversations"].items.values()]
        claims = sorted((each for each in items if each.get("open")), key=lambda it: it["seq"])
        outbox = cosmos.collections["outbox"].items.values()
        return (
            [(each["named"], unpacked(each["body"])) for each in claims],
            [(each["conversation"], each["incident"]) for each in outbox if not each["sent"]],
        )


def _id(body: bytes) -> str:
    try:
        return str(json.loads(body).get("id", ""))
    except ValueError:
        return ""


def numbers_of(sent: Sent) -> set[int]:
    """The incidents that a message in a place is about, each time anew."""
    return {int(each) for each in re.findall(r"\b5\d{4}\b", json.dumps(sent.now))}


def matches(
    questions: Sequence[str | None], messages: Sequence[Sent], excused: set[str]
) -> list[set[int]]:
    """How many questions may be answered, in order, after each of the messages; none where one fits
    nowhere.

    A message fits a question that it names, and any where it names none: then something was down.
    One may be the same as that before it, for no other question, if the first of them is excused.
    """
    after: list[set[int]] = []
    possible = {0}
    for number, sent in enumerate(messages):
        about, before = named(sent)[:1], messages[number - 1] if number else sent
        again = before.id in excused and before is not sent and _said(before) == _said(sent)
        fitting = {
            n + 1
            for n in possible
            if n < len(questions) and (not about or questions[n] in (None, about[0]))
        }
        possible = fitting | (possible if again else set())
        after.append(possible)
    return after


def _said(sent: Sent) -> tuple[str, list[str]]:
    return sent.text, named(sent)


class Verdict:
    """The counts, and everything that broke a promise."""

    def __init__(self, witness: Witness) -> None:
        self._soak, self._excused = witness.soak, witness.excused()
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        self.strikes: dict[str, dict[str, int]] = {}
        for room in self._soak.rooms:
            self._answers(room)
        self._writes()
        self._announcements()

    def add_strikes(self, strikes: dict[str, dict[str, int]]) -> None:
        """Add how often each plan struck what; one that never did has shown nothing."""
        self.strikes = strikes
        for what, struck in strikes.items():
            self.broken += [f"{kind} never struck {what}" for kind, n in struck.items() if not n]

    def add_logs(self, logs: Iterable[Path]) -> None:
        """Add what the replicas did not expect: every failure has to be one of `bot.errors`."""
        for log in logs:
            for line in log.read_text(errors="replace").splitlines():
                if found := _UNEXPECTED.search(line):
                    self.broken.append(f"{log.name}: {found[1]}")

    def _answers(self, room: Room) -> None:
        messages, questions = room.chat.messages, [each.question for each in room.accepted]
        after = matches(questions, messages, self._excused)
        self.counts["questions accepted"] += len(questions)
        self.counts["answers"] += len(messages)
        self.counts["answers sent twice, excused"] += max(0, len(messages) - len(questions))
        down = sum(not named(sent) for sent in messages)
        self.counts["answers that name no question: something was down"] += down
        if len(questions) not in (after[-1] if after else {0}):
            failed = next((n for n, possible in enumerate(after) if not possible), len(after))
            asked = f"{len(questions)} questions, {len(messages)} answers"
            where = f"{room.chat.kind} {room.chat.conversation}"
            self.broken.append(f"{where}: {asked}, which do not fit from answer {failed} on")

    def _writes(self) -> None:
        for click in self._soak.clicks:
            self.counts["buttons clicked"] += 1
            there = click.case.tasks if click.kind == "task" else click.case.comments
            text = f"“{click.question} "
            found = [guid for guid, item in there.items() if text in _text(item)]
            self.counts["clicks confirmed"] += click.done
            self.counts["clicks written"] += len(found)
            if len(found) > 1 or (click.done and not found):
                self.broken.append(f"{click.question} as {click.kind}: written {len(found)} times")
        azure = self._soak.around.azure
        wrote = [who for who, method, _ in azure.asked if method == "PUT"]
        self.counts["writes asked of Sentinel, all with an analyst's own token"] = len(wrote)
        if {"", "somebody unknown"} & set(wrote):
            self.broken.append("something was written in nobody's name")

    def _announcements(self) -> None:
        self.counts["incidents"] = len(self._soak.arrived)
        for chat in self._soak.places:
            shown: dict[int, list[str]] = {}
            for sent in chat.messages:
                for number in numbers_of(sent):
                    shown.setdefault(number, []).append(sent.id)
            for number in self._soak.arrived:
                ids = shown.get(number, [])
                again = len(ids) - 1
                self.counts["announcements"] += bool(ids)
                if again > 0 and all(each in self._excused for each in ids[:-1]):
                    self.counts["announced twice, excused"] += 1
                elif again:
                    self.broken.append(
                        f"{chat.conversation}: incident {number} announced {len(ids)} times"
                    )


def _text(item: Any) -> str:
    properties = item["properties"]
    return str(properties.get("message") or properties.get("description"))
