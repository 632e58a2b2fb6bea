"""The playbook has a text and steps for every tactic that Sentinel names."""

from pathlib import Path

import pytest

from bot.errors import SettingsError
from prompts.playbook import MAX_DESCRIPTION_CHARS, MAX_TITLE_CHARS, Playbook, Tactic, playbook

# Sentinel's AttackTactic enumeration with MITRE's numbers.
IDS = {
    "Reconnaissance": "TA0043",
    "ResourceDevelopment": "TA0042",
    "InitialAccess": "TA0001",
    "Execution": "TA0002",
    "Persistence": "TA0003",
    "PrivilegeEscalation": "TA0004",
    "DefenseEvasion": "TA0005",
    "CredentialAccess": "TA0006",
    "Discovery": "TA0007",
    "LateralMovement": "TA0008",
    "Collection": "TA0009",
    "CommandAndControl": "TA0011",
    "Exfiltration": "TA0010",
    "Impact": "TA0040",
    "PreAttack": "",
    "ImpairProcessControl": "TA0106",
    "InhibitResponseFunction": "TA0107",
}


@pytest.fixture(scope="module")
def book() -> Playbook:
    return playbook()


def test_every_tactic_of_sentinel_is_there(book: Playbook):
    assert {tactic.name: tactic.id for tactic in book} == IDS


def every_tactic() -> list[Tactic]:
    return [*playbook().tactics, playbook().general]


@pytest.mark.parametrize("tactic", every_tactic(), ids=lambda tactic: tactic.name)
def test_a_tactic_is_explained_asked_about_and_worked_on(tactic: Tactic):
    assert 2 <= tactic.description.count(". ") + 1 <= 4
    assert len(tactic.first_questions) == 3
    assert all(question.endswith("?") for question in tactic.first_questions)
    assert 3 <= len(tactic.tasks) <= 5
    for task in tactic.tasks:
        assert len(task.title) <= MAX_TITLE_CHARS
        assert len(task.description) <= MAX_DESCRIPTION_CHARS
        assert "$" not in task.title


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("LateralMovement", "LateralMovement"),
        ("lateral movement", "LateralMovement"),
        ("LATERAL-MOVEMENT", "LateralMovement"),
        ("ta0008", "LateralMovement"),
        ("Command and Control", "CommandAndControl"),
        ("Stealth", None),
        ("General", None),
        ("", None),
    ],
)
def test_a_tactic_is_found_however_it_is_written(book: Playbook, name: str, found: str | None):
    tactic = book.find(name)
    assert (tactic.name if tactic else None) == found


def test_an_incidents_known_tactics_come_once_each_in_its_order(book: Playbook):
    known = book.known(["Persistence", "Stealth", "initial access", "persistence"])
    assert [tactic.name for tactic in known] == ["Persistence", "InitialAccess"]


def test_the_steps_take_turns_and_the_most_urgent_tactic_begins(book: Playbook):
    titles = [task.title for task in book.tasks(["Discovery", "Impact"])]
    impact, discovery = book.find("Impact"), book.find("Discovery")
    assert impact and discovery
    assert titles[:4] == [
        impact.tasks[0].title,
        discovery.tasks[0].title,
        impact.tasks[1].title,
        discovery.tasks[1].title,
    ]
    assert len(titles) == len(impact.tasks) + len(discovery.tasks)


@pytest.mark.parametrize("tactics", [[], ["Stealth"]])
def test_without_a_known_tactic_there_are_general_steps(book: Playbook, tactics: list[str]):
    assert book.tasks(tactics) == book.general.tasks


@pytest.mark.parametrize(
    ("entities", "text"),
    [
        ([], "the accounts involved"),
        ([("Account", "lena")], "of lena over"),
        ([("account", "lena"), ("Account", "lena"), ("Mailbox", "jo")], "of lena and jo over"),
        ([("Account", name) for name in "abcd"], "of a, b and 2 more over"),
        ([("Account", "$addresses")], "of $addresses over"),
        ([("Account", "x" * 500)], f"of {'x' * 60} over"),
        ([("Ip", "192.0.2.1"), ("Host", "pc")], "signed in from 192.0.2.1 at"),
    ],
)
def test_a_step_names_the_incidents_entities(
    book: Playbook, entities: list[tuple[str, str]], text: str
):
    task = book.tasks(["InitialAccess"])[0].filled(iter(entities))
    assert text in task.description


GOOD = """
name: {name}
title: Stealth
description: Hides.
first_questions: ["Who?"]
tasks: [{{title: Look, description: Look at $hosts.}}]
"""


def put(folder: Path, text: str) -> Path:
    (folder / "playbook").mkdir(exist_ok=True)
    (folder / "playbook" / "own.yaml").write_text(text)
    return folder


def test_an_own_file_replaces_the_tactic_it_names(tmp_path: Path):
    tactic = playbook(put(tmp_path, GOOD.format(name="Impact"))).find("Impact")
    assert tactic
    assert tactic.title == "Stealth"


def test_an_own_file_adds_a_tactic(tmp_path: Path):
    book = playbook(put(tmp_path, GOOD.format(name="Stealth")))
    assert book.find("stealth")
    assert len(book.tactics) == len(IDS) + 1


def test_a_folder_without_a_playbook_changes_nothing(tmp_path: Path, book: Playbook):
    assert playbook(tmp_path) == book


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a list", "is not a tactic"),
        ("name: [", "own.yaml"),
        ("name: X", "tasks is missing"),
        ("name: X\ntasks: 5", "tasks is a list of title"),
        ("name: X\ntitle: X\ndescription: x\ntasks: []\nfirst_questions: Who", "are lists"),
        ("name: X\ntasks: [{title: a, description: $hosts}]", "title is missing"),
        (GOOD.format(name="X") + "urgency: high", "urgency is a number from 1 to 5"),
        (GOOD.replace("$hosts", "$host").format(name="X"), "a description may name $accounts"),
        (GOOD.replace("$hosts", "$5").format(name="X"), "a description may name $accounts"),
        (GOOD.replace("title: Look", "title: ''").format(name="X"), "title has 1 to 100"),
        (GOOD.replace("Look at", "Look" * 80).format(name="X"), "description has 1 to 300"),
    ],
)
def test_what_is_wrong_with_an_own_file_is_said_at_start(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(SettingsError) as raised:
        playbook(put(tmp_path, text))
    assert complaint in raised.value.problems[0]
