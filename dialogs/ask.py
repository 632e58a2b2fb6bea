"""A question in the analyst's own words, and the word `summary`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.cards import answer_card
from bot.desk.ask import Asked, ask
from bot.desk.desk import Desk
from bot.desk.record import recorded, standing
from bot.domain.budget import QUESTION_CHARS
from bot.domain.evidence import Exhibit
from bot.domain.incident import Mention
from bot.domain.proposal import Proposal, Write
from bot.domain.rendering import for_teams
from bot.ports import Answered, Citation, Courier, JsonObject, Reply, Said

from .focus import focused
from .incident import warned


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Answer a question about the incident that it names, or that is in focus."""
    desk, ref = await focused(desk, said, mention)
    return answered(await ask(desk, said, ref, said.text, courier))


def too_long(said: Said) -> Answered | None:
    """Say so where a question is longer than one may be."""
    if len(said.text) <= QUESTION_CHARS:
        return None
    return Answered(
        Reply(
            f"Your question has {len(said.text):,} characters; I take up to "
            f"{QUESTION_CHARS:,}. Please shorten it."
        )
    )


async def summary(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Summarise the incident, and say what was asked and done on it so far."""
    desk, ref = await focused(desk, said, mention)
    question = desk.prompts["summary"].text
    asked = await ask(desk, said, ref, question, courier, shown="Summarise the incident.")
    done = await recorded(desk, said.analyst.tenant, ref)
    return answered(asked, record=(*standing(asked.briefing.case), *done))


def answered(asked: Asked, record: Sequence[str] = (), *, shareable: bool = True) -> Answered:
    """An answer with its sources and its buttons; `record` stands below it."""
    briefing = asked.briefing
    url = briefing.case.incident.url
    message: JsonObject = {
        "text": for_teams(asked.text),
        "citations": [_source(each, url) for each in briefing.evidence.cited(asked.text)],
        "by_model": asked.by_model,
        "warnings": warned(briefing.warnings),
        "note": asked.note,
        "record": list(record),
        "shareable": shareable,
    }
    if asked.proposal is None:
        return Answered(said_again(message), audit=(asked.audit,))
    proposal = replace(asked.proposal, message=message)
    return Answered(
        said_again(message, card(proposal)),
        thread=briefing.thread,
        turn=asked.turn,
        proposal=proposal,
        audit=(asked.audit,),
    )


def card(proposal: Proposal, writes: tuple[Write, ...] = (), *, shared: bool = False) -> JsonObject:
    """The buttons under an answer, in the state that `writes` and `shared` make."""
    message = proposal.message
    return answer_card(
        proposal,
        writes,
        message["warnings"],
        message["note"],
        record=message.get("record", ()),
        shared=shared if message.get("shareable", True) else None,
    )


def said_again(message: JsonObject, *cards: JsonObject) -> Reply:
    """What was said above a card, as it was said."""
    citations = tuple(Citation(**each) for each in message["citations"])
    return Reply(message["text"], cards, citations, message["by_model"])


def _source(exhibit: Exhibit, url: str) -> JsonObject:
    """A `Citation`, as it is kept with the answer."""
    facts = exhibit.fields
    words = facts.get("description") or facts.get("text") or facts.get("title") or exhibit.label
    number, name, abstract = exhibit.number, exhibit.label, str(words)
    return {"position": number, "name": name, "abstract": abstract, "url": url}
