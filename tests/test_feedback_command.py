"""`python app.py feedback`: what whoever keeps the prompts reads."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import commands
from bot.domain.incident import IncidentRef
from bot.opening import trail
from bot.ports import AuditItem
from tests.test_audit_command import nothing, record

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REF = IncidentRef("soc", "0f3c9f11-52b5-4d0a-9c3c-b0a7a6c50d6f")


def thumb(
    message: str, reaction: str, comment: str = "", hours: int = 0, **known: str
) -> AuditItem:
    origin = {"prompt": "aaaaaaaaaaaa", "model": "gpt-5.4-mini"} | known
    detail = {
        "reaction": reaction,
        "feedback": json.dumps({"feedbackText": comment}),
        "message": message,
        "asked": "question",
        "question_sha256": "ab" * 32,
        "proposal": "p",
        **origin,
    }
    at = NOW + timedelta(hours=hours)
    return AuditItem(at, "contoso", "feedback", "u-ana", "Ana Analyst", REF, detail, 3177)


OLD = AuditItem(
    at=NOW,
    tenant="contoso",
    action="feedback",
    analyst_id="u-ben",
    analyst_name="Ben",
    detail={"reaction": "dislike", "feedback": "not JSON", "message": "m9"},
)
ITEMS = (
    thumb("m1", "like", "Good.", 0),
    thumb("m2", "dislike", "", 1),
    thumb("m3", "dislike", "Wrong account.", 2),
    thumb("m4", "like", "", 3, prompt="bbbbbbbbbbbb"),
    replace(thumb("m5", "dislike"), action="question"),
    thumb("m6", ""),
    OLD,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "casemate.db"
    asyncio.run(record(path, *ITEMS))
    return path


def run(*arguments: str) -> int:
    """Run the command; nothing of the bot and of the sandbox is started for it."""
    return commands.run(nothing, nothing, trail, ["feedback", *arguments])


def test_the_worst_comes_first_by_prompt_and_model(file: Path, capsys) -> None:
    assert run("--file", str(file)) == 0
    about = f"Ana Analyst (u-ana) · incident 3177 · question {'ab' * 32}\n"
    assert capsys.readouterr().out == (
        "prompt aaaaaaaaaaaa · model gpt-5.4-mini: 2 down, 1 up\n"
        f"  2026-11-24 11:00:00 UTC · down · {about}"
        "      Wrong account.\n"
        f"  2026-11-24 10:00:00 UTC · down · {about}"
        "\n"
        "prompt unknown · model unknown: 1 down, 0 up\n"
        "  2026-11-24 09:00:00 UTC · down · Ben (u-ben) · incident unknown · unknown unknown\n"
        "      not JSON\n"
        "\n"
        "prompt bbbbbbbbbbbb · model gpt-5.4-mini: 0 down, 1 up\n"
        "\n"
    )


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([], ["m3", "m2", "m9"]),
        (["--all"], ["m3", "m2", "m1", "m9", "m4"]),
        (["--since", "2026-11-24T11:00"], ["m3"]),
        (["--since", "2026-11-24T12:00+02:00", "--all"], ["m3", "m2", "m4"]),
        (["--since", "2026-11-25"], []),
    ],
)
def test_what_is_listed(file: Path, capsys, arguments: list[str], messages: list[str]) -> None:
    assert run("--file", str(file), "--json", *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["message"] for line in lines] == messages


def test_json_holds_what_an_evaluation_case_needs(file: Path, capsys) -> None:
    run("--file", str(file), "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {
        "at": "2026-11-24T11:00:00+00:00",
        "tenant": "contoso",
        "good": False,
        "comment": "Wrong account.",
        "analyst": "Ana Analyst",
        "analyst_id": "u-ana",
        "workspace": "soc",
        "incident": REF.id,
        "incident_number": 3177,
        "asked": "question",
        "question_sha256": "ab" * 32,
        "prompt": "aaaaaaaaaaaa",
        "model": "gpt-5.4-mini",
        "proposal": "p",
        "message": "m3",
    }


@pytest.mark.parametrize(
    ("feedback", "comment"),
    [
        ('{"feedbackText":"x"}', "x"),
        ('{"feedbackText":7}', "7"),
        ("{}", ""),
        ("[7]", "[7]"),
        ('{"feedbackText":"cut', '{"feedbackText":"cut'),
        ("[" * 2000, "[" * 2000),
    ],
)
def test_a_comment_of_any_shape(tmp_path: Path, capsys, feedback: str, comment: str) -> None:
    path = tmp_path / "casemate.db"
    asyncio.run(record(path, replace(OLD, detail={**OLD.detail, "feedback": feedback})))
    assert run("--file", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["comment"] == comment


def test_thumbs_without_a_message_are_each_one(tmp_path: Path, capsys) -> None:
    path = tmp_path / "casemate.db"
    asyncio.run(record(path, thumb("", "dislike"), thumb("", "dislike")))
    run("--file", str(path))
    assert ": 2 down, 0 up\n" in capsys.readouterr().out


def test_no_comment_steers_the_terminal(tmp_path: Path, capsys) -> None:
    path = tmp_path / "casemate.db"
    hostile = thumb("m", "dislike", "a\x1b[2J\nb\u202e", model="m\r", prompt="p\x9b")
    asyncio.run(record(path, replace(hostile, analyst_name="A\x07")))
    assert run("--file", str(path)) == 0
    printed = capsys.readouterr().out
    assert "      a\\x1b[2J\\nb\\u202e\n" in printed
    assert not set("\x1b\r\u202e\x9b\x07") & set(printed)


def test_nobody_rated_anything(tmp_path: Path, capsys) -> None:
    path = tmp_path / "casemate.db"
    asyncio.run(record(path))
    assert run("--file", str(path)) == 0
    assert capsys.readouterr().out == "Nobody rated an answer.\n"


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_broken_chain_is_said_and_the_rest_listed(
    file: Path, capsys, arguments: list[str]
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("UPDATE audit SET item = X'7B' WHERE seq = 2")
    assert run("--file", str(file), *arguments) == 1
    printed = capsys.readouterr()
    assert "The chain is broken at item 2." in printed.err
    assert "Wrong account." in printed.out


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, capsys) -> None:
    path = tmp_path / "casemate.db"
    assert run("--file", str(path)) == 2
    assert f"There is no database {path}." in capsys.readouterr().err
    assert not path.exists()
