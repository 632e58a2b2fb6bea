"""A slip in a conversation's folder fails with words that say what to mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversations.test_conversations import play

ASK = "title: t\nwhy: w\nsteps:\n  - say: what happened in incident 3177?\n"
GOOD = {
    "conversation.yaml": ASK,
    "incident.yaml": "number: 3177\n",
    "model/1.md": "Her session was stolen [3].\n",
}


async def slip(folder: Path, files: dict[str, str | None]) -> str:
    """What is said about a good folder with these files changed; '' when it passes."""
    for name, text in {**GOOD, **files}.items():
        if text is not None:
            path = folder / "talk" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    try:
        await play(folder / "talk", folder)
    except AssertionError as error:
        return str(error)
    return ""


async def test_a_good_folder_passes(tmp_path: Path) -> None:
    assert await slip(tmp_path, {}) == ""


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"conversation.yaml": None}, "conversation.yaml is missing"),
        ({"conversation.yaml": "steps: ["}, "conversation.yaml is no YAML"),
        ({"conversation.yaml": "titel: t\n"}, "there is no 'titel'; what there is: title, why"),
        ({"conversation.yaml": f"{ASK}    expect: x\n"}, "step: there is no 'expect'"),
        ({"conversation.yaml": f"{ASK}    click: x\n"}, "a step has one of say, click"),
        ({"conversation.yaml": f"{ASK}    by: ben\n"}, "there is no analyst 'ben'"),
        ({"conversation.yaml": f"{ASK}    sent: {{txet: x}}\n"}, "sent: there is no 'txet'"),
        ({"conversation.yaml": f"{ASK}    asked: [{{role: x}}]\n"}, "asked: there is no 'role'"),
        ({"conversation.yaml": f"{ASK}    sent: {{messages: 2}}\n"}, "1 messages came, not 2"),
        ({"conversation.yaml": f"{ASK}    sent: {{text: benign}}\n"}, "does not contain 'benign'"),
        ({"conversation.yaml": f"{ASK}    sent: {{not_text: stolen}}\n"}, "contains 'stolen'"),
        ({"conversation.yaml": f"{ASK}    sent: {{buttons: []}}\n"}, "the buttons are ['Add as"),
        ({"conversation.yaml": f"{ASK}    sent: {{by_model: false}}\n"}, "made by AI: True"),
        ({"conversation.yaml": f"{ASK}    asked: []\n"}, "got 1 requests, not 0"),
        ({"conversation.yaml": f"{ASK}    asked: [{{roles: [user]}}]\n"}, "roles: ['system',"),
        ({"conversation.yaml": f"{ASK}    asked: [{{evidence: x}}]\n    written: [{{task: x}}]\n"},
         "written: []"),
        ({"conversation.yaml": f"{ASK}  - click: Add as task\n"}, "written: [('task',"),
        ({"conversation.yaml": f"{ASK}  - click: Add\n"}, "no message has a button 'Add'"),
        ({"conversation.yaml": f"{ASK}  - say: and then?\n"}, "model/ holds 1 answers"),
        ({"incident.yaml": "number: 1\n"}, "the sandbox has no incident 1"),
        ({"incident.yaml": "number: 9\ntitel: x\n"}, "incident: there is no 'titel'"),
        ({"incident.yaml": "number: 9\ntitle: x\nalerts: []\n"}, "'created' is missing"),
        ({"model/2.md": "More."}, "never asked for: model/['2.md']"),
        ({"model/3.md": "More."}, "a number is missing"),
        ({"model/1.sse": ""}, "there are two answers to request 1"),
        ({"model/1.txt": ""}, "the name must be like 1.sse"),
        ({"model/1.md": None, "model/1.http": "429 Busy\n\n"}, "model/1.http: no status line"),
    ],
)  # fmt: skip
async def test_a_slip_is_named(tmp_path: Path, files: dict[str, str | None], says: str) -> None:
    assert says in await slip(tmp_path, files)
