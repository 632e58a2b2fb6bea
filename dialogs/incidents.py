"""`incidents`: a list to choose from; also what is said where it is not clear which one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.cards import choice_card, incidents_card
from bot.desk.desk import Desk
from bot.desk.listing import MAX_PAGE, Filters, list_incidents
from bot.domain.incident import Mention, Workspace, parted, placed
from bot.errors import NothingInFocus, WhichIncident
from bot.ports import Answered, Courier, Reply, Said

_STATUSES = ("new", "active", "closed")
_SEVERITIES = ("high", "medium", "low", "informational")
# A button says again what was said, unless that is long.
_MOST_SAID_AGAIN = 400
_PAGE = re.compile(r"page (\d{1,4})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What stood behind the word: filters as they are shown, a page, the one workspace."""

    words: tuple[str, ...] = ()
    page: int = 1
    workspace: str = ""

    @property
    def filters(self) -> Filters:
        """The same as Sentinel spells it."""
        return Filters(
            mine="mine" in self.words,
            statuses=tuple(each.title() for each in _STATUSES if each in self.words),
            severities=tuple(each.title() for each in _SEVERITIES if each in self.words),
        )

    @property
    def next(self) -> str:
        """What one says for the next page."""
        placed = f" in {self.workspace}" if self.workspace else ""
        return " ".join(["incidents", *self.words, f"page {self.page + 1}"]) + placed


def asked_for(text: str, workspaces: Sequence[Workspace] = ()) -> Wanted | None:
    """Read `incidents mine high page 2 in NAME`; None where any other word stands there."""
    text, workspace = parted(text.strip().rstrip(".!? "), workspaces)
    plain = " ".join(re.findall(r"[^\s,]+", text.casefold())).removeprefix("/")
    word, _, rest = plain.partition(" ")
    page = _PAGE.search(rest)
    given = _PAGE.sub("", rest, count=1).split()
    known = ("mine", *_STATUSES, *_SEVERITIES)
    if word != "incidents" or not set(given) <= set(known):
        return None
    number = min(max(int(page[1]), 1), MAX_PAGE) if page else 1
    return Wanted(tuple(each for each in known if each in given), number, workspace)


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """List the incidents that are asked for, else the open ones, each with a button."""
    wanted = asked_for(said.text, desk.choices) or Wanted()
    named = f"These are the incidents **{', '.join(wanted.words)}**"
    words = named if wanted.words else "Here are the open incidents"
    words += f" in {wanted.workspace}" if wanted.workspace else ""
    page = f" (page {wanted.page})." if wanted.page > 1 else "."
    return await listed(desk, words + page, wanted, said.analyst.id)


async def which(desk: Desk, nothing: NothingInFocus) -> Answered:
    """Ask which incident is meant, with the open ones to choose from."""
    return await listed(desk, nothing.sentence, Wanted())


def which_workspace(said: Said, which: WhichIncident) -> Answered:
    """Ask in which workspace: each button says the same again, with the workspace named."""
    again = len(said.text) <= _MOST_SAID_AGAIN and "://" not in said.text
    choices = [
        (
            f"{number} in {where}",
            placed(said.text, where) if again else f"incident {number} in {where}",
        )
        for number, where in which.choices
    ]
    return Answered(Reply(which.sentence, (choice_card(choices),)))


async def listed(desk: Desk, words: str, wanted: Wanted, owner: str = "") -> Answered:
    """Say something above a list of incidents; `owner` is who `mine` means."""
    found = await list_incidents(desk, wanted.filters, wanted.page, owner, wanted.workspace)
    unread = "".join(f"\n\n⚠ {each}" for each in found.unread)
    if not found.incidents:
        return Answered(Reply(_none(desk, wanted) + unread))
    more = wanted.next if found.more and wanted.page < MAX_PAGE else ""
    card = incidents_card(found.incidents, desk.clock.now(), more)
    return Answered(Reply(words + unread, (card,)))


def _none(desk: Desk, wanted: Wanted) -> str:
    names = [wanted.workspace] if wanted.workspace else [each.name for each in desk.choices]
    named = ", ".join(names or [desk.workspace.name])
    where = f"the workspace{'s' if len(names) > 1 else ''} {named}"
    if wanted.page > 1:
        return f"There are no incidents on page {wanted.page} of this list."
    if wanted.words:
        return (
            f"There are no incidents **{', '.join(wanted.words)}** in {where}. "
            "Say **incidents** for all that are open."
        )
    return (
        f"There are no open incidents in {where}. "
        "To look at a closed one, say **incident** and its number."
    )
