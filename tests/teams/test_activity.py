"""What an activity says: the words, the place, the person, and the name it is claimed under."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.people import Analyst, Place
from bot.teams.activity import analyst_of, claim_of, parse, place_of, tenant_of, text_of
from tests.teams.conftest import ANALYST, BOT, activity
from tests.teams.identity_provider import TENANT

URL = "https://smba.trafficmanager.net/emea/"


def mention(text: str, id: str = BOT, name: str = "Casemate") -> dict[str, Any]:
    return {"type": "mention", "text": text, "mentioned": {"id": id, "name": name}}


CASEMATE = mention("<at>Casemate</at>")
BOB = mention("<at>Bob Builder</at>", "29:bob", "Bob Builder")

TEXTS: list[tuple[str, str, list[Any]]] = [
    ("help", "help", []),
    ("  help \n", "help", []),
    ("<at>Casemate</at> help", "help", [CASEMATE]),
    ("<at>Casemate</at>help", "help", [CASEMATE]),
    ("<at>Casemate</at>, help", "help", [CASEMATE]),
    ("<at>Casemate</at>: incident 42", "incident 42", [CASEMATE]),
    ("<at>Casemate</at>&nbsp;help", "help", [CASEMATE]),
    ("<at>Casemate</at>\u00a0help&nbsp;\n", "help", [CASEMATE]),
    ("<at>Casemate</at> <at>Casemate</at> help", "help", [CASEMATE, CASEMATE]),
    ("please <at>Casemate</at> help", "please help", [CASEMATE]),
    ('<at id="0">Casemate</at> help', "help", [CASEMATE]),
    ("<at>Casemate</at> help", "help", []),  # no entity: the recipient's own name
    ("<at>Case Mate (SOC)</at> help", "help", [mention("<at>Case Mate (SOC)</at>")]),
    ("<at>Casemate</at> ask <at>Bob Builder</at>", "ask Bob Builder", [CASEMATE, BOB]),
    ("<at>Bob Builder</at> did it", "Bob Builder did it", [BOB]),
    ("<at><at>Casemate</at></at> help", "help", [CASEMATE]),
    ("<at>Bob <at>Casemate</at></at> help", "Bob help", [CASEMATE]),
    ("<at>Casemate help", "Casemate help", [CASEMATE]),
    ("a < b and c > d", "a < b and c > d", []),
    ("<attack> and <at>Bob Builder</at>", "<attack> and Bob Builder", [BOB]),
    ("what did bob@contoso.com do?", "what did bob@contoso.com do?", [BOB]),
    ("two\nlines", "two\nlines", []),
    ("", "", []),
    ("<at>Casemate</at>", "", [CASEMATE]),
    # Entities are the client's to write: they can neither cut nor grow the text.
    ("a banana", "a banana", [mention("a"), mention("an", "29:x", "x" * 1000)]),
    ("help", "help", [None, 7, [], {"type": "mention"}, {"type": "mention", "mentioned": 3}]),
]


@pytest.mark.parametrize(("text", "said", "entities"), TEXTS)
def test_what_was_said(text: str, said: str, entities: list[Any]) -> None:
    assert text_of(activity(URL, text=text, entities=entities)) == said


def test_a_text_of_nothing_but_markup_takes_no_time() -> None:
    text = "<at " * 30_000 + "<at>" * 30_000 + "</at>" * 5_000
    assert len(text_of(activity(URL, text=text))) <= len(text)


@pytest.mark.parametrize(
    ("conversation", "kind"),
    [
        ({"conversationType": "personal"}, "personal"),
        ({"conversationType": "groupChat", "isGroup": True}, "groupChat"),
        ({"conversationType": "channel", "isGroup": True}, "channel"),
        ({"conversationType": "meeting"}, "groupChat"),
        ({"conversationType": 7}, "personal"),
        ({"isGroup": True}, "groupChat"),
        ({}, "personal"),
    ],
    ids=str,
)
def test_the_place(conversation: dict[str, Any], kind: str) -> None:
    id = "19:abc@thread.tacv2;messageid=1700000000000"
    said = activity(URL, conversation={"id": id, "tenantId": TENANT, **conversation})
    assert place_of(said) == Place(TENANT, id, kind, URL, BOT)
    assert place_of(said).streams == (kind == "personal")


@pytest.mark.parametrize(
    ("sender", "analyst"),
    [
        (
            {"id": "29:x", "aadObjectId": ANALYST, "name": " Ana "},
            Analyst(TENANT, ANALYST, "Ana"),
        ),
        ({"id": "29:x", "name": "Ana"}, Analyst(TENANT, "29:x", "Ana")),
        ({"id": "29:x", "aadObjectId": 7, "name": 7}, Analyst(TENANT, "29:x", "an analyst")),
        ({"id": "29:x", "name": "n" * 500}, Analyst(TENANT, "29:x", "n" * 100)),
    ],
    ids=str,
)
def test_the_analyst(sender: dict[str, Any], analyst: Analyst) -> None:
    assert analyst_of(activity(URL, **{"from": sender})) == analyst


def test_the_tenant_is_compared_in_lower_case() -> None:
    tenant = "ABCDEF00-0000-4000-8000-000000000000"
    said = activity(URL, channelData={"tenant": {"id": tenant}}, conversation={"id": "a:chat"})
    assert tenant_of(said) == tenant.lower()


def key(conversation: str, id: str) -> str:
    said = activity(URL, conversation={"id": conversation}, id=id)
    return claim_of(said, datetime(2026, 11, 24, tzinfo=UTC)).key


def test_a_claims_key_is_the_same_for_a_repeat_and_for_nothing_else() -> None:
    assert key("a:chat", "1700000000000") == key("a:chat", "1700000000000")
    assert key("a:chat", "f:1") != key("a:chat", "f:2")
    assert key("a:chat", "1") != key("a:other", "1")
    assert key("a", "b/c") != key("a/b", "c")


def test_a_claim_holds_the_activity_as_it_came() -> None:
    said = activity(URL)
    claim = claim_of(said, datetime(2026, 11, 24, tzinfo=UTC))
    assert (claim.conversation, claim.body) == ("a:chat", said)
    assert (claim.attempts, claim.progress) == (0, {})


def test_what_is_read_is_what_was_sent() -> None:
    assert parse(
        b'{"type":"typing","channelId":"msteams","serviceUrl":"x","conversation":{"id":"a:chat"}}'
    )["conversation"] == {"id": "a:chat"}
