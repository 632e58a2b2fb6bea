"""Every card in every state, as JSON files to read in a diff.

`UPDATE_SNAPSHOTS=1 pytest tests/cards` writes them anew.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bot.cards import (
    MAX_BYTES,
    answer_card,
    close_card,
    digest_card,
    help_card,
    history_card,
    incident_card,
    incidents_card,
    link_card,
    query_card,
    rows_card,
    size,
    tasks_card,
    unfurled_card,
)
from tests.cards.samples import (
    ANSWER,
    BARE,
    BY_PLAYBOOK,
    CAPPED,
    CASE,
    CHECKED,
    COUNTS,
    FLAGGED,
    INCIDENT,
    LINK,
    LIST,
    NO_ROWS,
    NOW,
    ONE_ROW,
    PARTIAL,
    PLAYBOOK,
    PROPOSED,
    RECORD,
    REFUSED,
    ROWS,
    TURNS,
    UNCHECKED,
    WARNING,
    asked,
    playbook_card,
    prepared,
    turn,
    write,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"
SCHEMA = Path(__file__).parents[3] / "shared/fixtures/adaptivecards/adaptive-card-1.5.0.json"

ALL_TASKS = [write("task", index) for index in range(4)]
CARDS = {
    "incident": incident_card(CASE, NOW),
    "incident_announced": incident_card(INCIDENT, NOW, [WARNING]),
    "incident_bare": incident_card(BARE, NOW),
    "incident_assigned": incident_card(
        replace(INCIDENT, owner="Sam"), NOW, done="✓ Assigned to Sam, 10:02 UTC"
    ),
    "incident_closed": incident_card(
        replace(CASE, incident=replace(INCIDENT, status="Closed", classification="FalsePositive")),
        NOW,
        done="✓ Closed as False positive (inaccurate data) by Sam, 10:02 UTC",
    ),
    "close": close_card(INCIDENT),
    "answer": answer_card(ANSWER, []),
    "answer_as_task": answer_card(ANSWER, [write("task", 0)]),
    "answer_as_both": answer_card(ANSWER, [write("task", 0), write("comment", 0, by="Sam")]),
    "answer_playbook": answer_card(BY_PLAYBOOK, [], [WARNING], PLAYBOOK),
    "answer_private": answer_card(ANSWER, [], shared=False),
    "answer_shared": answer_card(ANSWER, [write("task", 0)], shared=True),
    "summary": answer_card(ANSWER, [], record=RECORD, shared=False),
    "tasks": tasks_card(PROPOSED, []),
    "tasks_one_added": tasks_card(PROPOSED, [write("task", 1)], [WARNING]),
    "tasks_all_added": tasks_card(PROPOSED, [*ALL_TASKS, write("comment", 0)]),
    "unfurled": unfurled_card(INCIDENT, NOW),
    "way_there": link_card("Open our chat", "https://teams.microsoft.com/l/chat/0/0?users=28:a"),
    "incidents": incidents_card(LIST, NOW, more="incidents page 2"),
    "incidents_last": incidents_card(LIST[:1], NOW),
    "incidents_none": incidents_card([], NOW),
    "digest": digest_card(LIST, NOW),
    "help": help_card(),
    "history": history_card(TURNS, INCIDENT, NOW),
    "history_long": history_card([turn(number) for number in range(1, 13)], INCIDENT, NOW),
    "history_none": history_card([], INCIDENT, NOW),
    "query": query_card(asked(CHECKED), link=LINK),
    "query_added": query_card(asked(CHECKED), [write("task", 0)]),
    "query_added_as_both": query_card(asked(CHECKED), [write("task", 0), write("comment", 0)]),
    "query_unchecked": query_card(asked(UNCHECKED), [], [WARNING], link=LINK),
    "query_flagged": query_card(asked(FLAGGED), link=LINK),
    "query_refused": query_card(asked(REFUSED)),
    "query_playbook": query_card(asked(CHECKED), note=PLAYBOOK),
    "playbook": playbook_card(prepared()),
    "playbook_added": playbook_card(prepared(), [write("comment", 0), write("task", 2)]),
    "rows": rows_card(ROWS, CHECKED, NOW),
    "rows_unchecked": rows_card(COUNTS, FLAGGED, NOW),
    "rows_capped": rows_card(CAPPED, CHECKED, NOW),
    "rows_none": rows_card(NO_ROWS, CHECKED, NOW),
    "rows_one": rows_card(ONE_ROW, CHECKED, NOW),
    "rows_partial": rows_card(PARTIAL, CHECKED, NOW),
}


def without_teams(value: Any) -> Any:
    """Leave out `msteams`, which Teams adds to the schema."""
    if isinstance(value, dict):
        return {name: without_teams(inner) for name, inner in value.items() if name != "msteams"}
    return [without_teams(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def schema() -> jsonschema.Draft6Validator:
    if not SCHEMA.exists():
        pytest.skip("Microsoft's Adaptive Cards schema is not beside this project")
    return jsonschema.Draft6Validator(json.loads(SCHEMA.read_text("utf-8-sig")))


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_as_reviewed(name: str) -> None:
    file = SNAPSHOTS / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(json.dumps(CARDS[name], indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert CARDS[name] == json.loads(file.read_text("utf-8"))


def test_no_snapshot_is_left_over() -> None:
    assert {file.stem for file in SNAPSHOTS.glob("*.json")} == set(CARDS)


@pytest.mark.parametrize("name", CARDS)
def test_a_card_keeps_to_the_schema_and_its_size(
    name: str, schema: jsonschema.Draft6Validator
) -> None:
    assert [error.message for error in schema.iter_errors(without_teams(CARDS[name]))] == []
    assert size(CARDS[name]) <= MAX_BYTES


def test_the_schema_rejects_a_card_that_is_wrong(schema: jsonschema.Draft6Validator) -> None:
    assert list(schema.iter_errors({**CARDS["help"], "body": [{"type": "TextBlok"}]}))
