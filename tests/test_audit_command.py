"""`python app.py audit`: what an operator reads, and that tampering is found and named."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import auditing, commands
from bot.auditing import Wanted
from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from bot.domain.incident import IncidentRef
from bot.local.sqlite import SqliteStore
from bot.opening import trail
from bot.ports import AuditItem
from tests.cosmos_double import KEY, CosmosDouble

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
REF = IncidentRef("soc", "0F3C9F11-52b5-4d0a-9c3c-b0a7a6c50d6f")
OTHER = IncidentRef("soc", "11111111-52b5-4d0a-9c3c-b0a7a6c50d6f")
ASKED = AuditItem(
    at=NOW,
    tenant="contoso",
    action="question",
    analyst_id="u-ana",
    analyst_name="Ana Analyst",
    incident=REF,
    detail={
        "question_sha256": "ab" * 32,
        "outcome": "answered",
        "prompt": "0123456789ab",
        "model": "gpt-5.4-mini",
        "prompt_tokens": 200,
        "cached_tokens": 64,
        "evidence": ["alert/a", "alert/b"],
        "nothing": "",
    },
    incident_number=3177,
)
WROTE = replace(
    ASKED,
    at=NOW + timedelta(hours=1),
    action="write",
    detail={"result": "done", "kind": "task", "guid": "1b758040", "proposal": "p", "item": 0},
)
ELSEWHERE = replace(ASKED, at=NOW + timedelta(hours=2), incident=OTHER, incident_number=3178)
FORGOT = AuditItem(NOW + timedelta(hours=3), "contoso", "forget me", "u-ana", "Ana Analyst")
ITEMS = (ASKED, WROTE, ELSEWHERE, FORGOT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "casemate.db"
    asyncio.run(record(path, *ITEMS))
    return path


async def record(path: Path, *items: AuditItem) -> None:
    store = SqliteStore(str(path))
    await store.open()
    for item in items:
        await store.record(item)
    await store.close()


async def sweep(path: Path, before: datetime) -> None:
    store = SqliteStore(str(path))
    await store.open()
    await store.sweep_audit(before)
    await store.close()


def tamper(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(sql)


def run(*arguments: str) -> int:
    """Run the command; nothing of the bot and of the sandbox is started for it."""
    return commands.run(nothing, nothing, trail, ["audit", *arguments])


def nothing(*_: Any) -> Any:
    raise AssertionError("this command needs no services")


def head_of(printed: str) -> str:
    return printed.partition("The head is ")[2].split()[0]


# --- what is printed -----------------------------------------------------------------------------


def test_an_incidents_record_reads_like_one(file: Path, capsys) -> None:
    assert run("--file", str(file), "--incident", "3177") == 0
    printed = capsys.readouterr().out
    head = head_of(printed)
    assert printed == (
        "     1  2026-11-24 09:00:00 UTC · Ana Analyst (u-ana) · question · incident 3177 · "
        "soc/0F3C9F11-52b5-4d0a-9c3c-b0a7a6c50d6f · tenant contoso\n"
        f"        question_sha256 {'ab' * 32} · outcome answered · prompt 0123456789ab · "
        "model gpt-5.4-mini · prompt_tokens 200 · cached_tokens 64 · evidence (2)\n"
        "     2  2026-11-24 10:00:00 UTC · Ana Analyst (u-ana) · write · incident 3177 · "
        "soc/0F3C9F11-52b5-4d0a-9c3c-b0a7a6c50d6f · tenant contoso\n"
        "        result done · kind task · guid 1b758040 · proposal p · item 0\n"
        "\n"
        f"The chain holds: items 1 to 4. The head is {head}\n"
        "Note it elsewhere, and give it to --head another day: it shows whether all up to there "
        "is still what it is now.\n"
    )
    assert head.startswith("4:") and len(head) == 66


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], [1, 2, 3, 4]),
        (["--incident", "3178"], [3]),
        (["--incident", "0f3c9f11-52B5-4d0a-9c3c-b0a7a6c50d6f"], [1, 2]),
        (["--incident", "9999"], []),
        (["--incident", "0"], []),
        (["--since", "2026-11-24T10:00"], [2, 3, 4]),
        (["--since", "2026-11-24T12:00+02:00"], [2, 3, 4]),
        (["--since", "2026-11-25"], []),
        (["--since", "2026-11-24T10:00", "--incident", "3177"], [2]),
        (["--verify"], []),
    ],
)
def test_what_is_shown(file: Path, capsys, arguments: list[str], shown: list[int]) -> None:
    assert run("--file", str(file), *arguments, "--json") == 0
    printed = capsys.readouterr()
    assert [json.loads(line)["seq"] for line in printed.out.splitlines()] == shown
    assert printed.err.startswith("The chain holds: items 1 to 4.")


def test_json_holds_all_that_a_hash_is_made_of(file: Path, capsys) -> None:
    run("--file", str(file), "--json")
    previous = ""
    for line in capsys.readouterr().out.splitlines():
        link = json.loads(line)
        hash = link.pop("hash")
        text = json.dumps(link, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == hash
        assert link["previous"] == previous
        previous = hash
    assert previous


def test_no_name_steers_the_terminal(file: Path, capsys) -> None:
    asyncio.run(record(file, replace(ASKED, analyst_name="A\x1b[2J\nb\u202e", detail={"q": "\r"})))
    assert run("--file", str(file)) == 0
    printed = capsys.readouterr().out
    assert "A\\x1b[2J\\nb\\u202e (u-ana)" in printed
    assert not {"\x1b", "\r", "\u202e"} & set(printed)


def test_the_settings_name_the_store_as_well(file: Path, capsys, monkeypatch) -> None:
    for name, value in {
        "AZURE_OPENAI_BASE_URL": "https://nowhere.openai.azure.com/openai/v1/",
        "SENTINEL_SUBSCRIPTION_ID": "11111111-1111-4111-8111-111111111111",
        "SENTINEL_RESOURCE_GROUP": "soc",
        "SENTINEL_WORKSPACE": "sentinel",
        "SENTINEL_WORKSPACE_ID": "22222222-2222-4222-8222-222222222222",
        "STORE_URL": f"sqlite:///{file}",
    }.items():
        monkeypatch.setenv(name, value)
    assert run("--verify") == 0
    assert capsys.readouterr().out.startswith("The chain holds: items 1 to 4.")


def test_an_empty_store_has_a_chain_that_holds(tmp_path: Path, capsys) -> None:
    path = tmp_path / "empty.db"
    asyncio.run(record(path))
    assert run("--file", str(path)) == 0
    assert capsys.readouterr().out == "The chain holds: no item.\n"


# --- what is wrong -------------------------------------------------------------------------------

MOVE = "UPDATE audit SET seq = 9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;"


@pytest.mark.parametrize(
    ("tampering", "sentence"),
    [
        (
            "UPDATE audit SET item = CAST(replace(item, 'Ana', 'Ben') AS BLOB) WHERE seq = 2",
            "at item 2. Item 2 was changed: its hash is that of another text.",
        ),
        ("DELETE FROM audit WHERE seq = 2", "at item 2. Item 2 is missing."),
        ("DELETE FROM audit WHERE seq IN (2, 3)", "at item 2. Items 2 to 3 are missing."),
        ("DELETE FROM audit WHERE seq = 1", "at item 1. Item 1 is missing."),
        (
            "DELETE FROM audit WHERE seq > 2",
            "at item 3. Items after 2 are missing: 4 were recorded.",
        ),
        ("DELETE FROM audit", "at item 1. Items after 0 are missing: 4 were recorded."),
        (f"{MOVE} UPDATE audit SET seq = 3 WHERE seq = 9", "at item 2. Item 2 was changed"),
        ("UPDATE audit SET item = X'7B' WHERE seq = 3", "at item 3. Item 3 was changed"),
        ("UPDATE audit SET item = X'5B5D' WHERE seq = 3", "at item 3. Item 3 was changed"),
        ("UPDATE audit SET item = '{}' WHERE seq = 3", "at item 3. Item 3 was changed"),
        (
            "UPDATE audit SET item = CAST(replace(item, '\"contoso\"', '7') AS BLOB)",
            "at item 1. Item 1 was changed",
        ),
        ("UPDATE audit SET previous = 'x' WHERE seq = 4", "at item 4. Item 4 was changed"),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["--verify"], ["--incident", "3177"], ["--json"]])
def test_the_first_broken_item_is_named(
    file: Path, capsys, tampering: str, sentence: str, arguments: list[str]
) -> None:
    tamper(file, tampering)
    assert run("--file", str(file), *arguments) == 1
    printed = capsys.readouterr()
    assert f"The chain is broken {sentence}" in (
        printed.err if "--json" in arguments else printed.out
    )


def test_an_item_that_cannot_be_read_is_shown_as_that(file: Path, capsys) -> None:
    tamper(file, "UPDATE audit SET item = X'7B' WHERE seq = 3")
    run("--file", str(file), "--incident", "3177")
    assert "     3  This item cannot be read.\n" in capsys.readouterr().out


# --- a head that was noted -----------------------------------------------------------------------


def forge(path: Path) -> None:
    """Cut the end off and write another one, head and all, as somebody does who can."""
    tamper(path, "DELETE FROM audit WHERE seq > 2")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (hash,) = db.execute("SELECT hash FROM audit WHERE seq = 2").fetchone()
        body = json.dumps({"seq": 2, "hash": hash}).encode()
        db.execute("UPDATE kept SET body = ? WHERE key = 'audit/head'", (body,))


def test_a_head_noted_elsewhere_shows_what_the_chain_alone_cannot(file: Path, capsys) -> None:
    run("--file", str(file), "--verify")
    head = head_of(capsys.readouterr().out)
    assert run("--file", str(file), "--verify", "--head", head) == 0
    assert "Item 4 is the one that you noted." in capsys.readouterr().out
    forge(file)
    assert run("--file", str(file), "--verify") == 0, "all there is fits together"
    assert run("--file", str(file), "--verify", "--head", head) == 1
    assert "at item 3. Items after 2 are missing: 4 were recorded." in capsys.readouterr().out
    asyncio.run(record(file, FORGOT, FORGOT, FORGOT))
    assert run("--file", str(file), "--verify", "--head", head) == 1
    said = "at item 4. Item 4 is another one than its hash was noted for."
    assert said in capsys.readouterr().out


def test_a_head_that_was_swept_says_nothing(file: Path, capsys) -> None:
    asyncio.run(sweep(file, NOW + timedelta(hours=2)))
    assert run("--file", str(file), "--head", f"1:{'a' * 64}") == 0
    printed = capsys.readouterr().out
    assert "The chain holds: items 3 to 4." in printed
    assert "Up to item 2, they were older than AUDIT_DAYS and deleted." in printed
    assert "Item 1, which you noted, is one of them." in printed


def test_more_than_was_swept_is_missed(file: Path, capsys) -> None:
    asyncio.run(sweep(file, NOW + timedelta(hours=1)))
    tamper(file, "DELETE FROM audit WHERE seq = 2")
    assert run("--file", str(file), "--verify") == 1
    assert "at item 2. Item 2 is missing." in capsys.readouterr().out


async def test_a_sweep_while_it_reads_is_no_break(file: Path) -> None:
    class Swept(SqliteStore):
        """A store that is swept before each page is read."""

        async def links(self, after: int, limit: int) -> Any:
            await self.sweep_audit(NOW + timedelta(hours=2))
            return await super().links(after, limit)

    store = Swept(str(file))
    await store.open()
    assert await auditing.run(store, Wanted()) == 0
    await store.close()


async def test_the_settings_store_may_be_a_cosmos_account(
    monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    async with CosmosDouble([each.resource for each in CONTAINERS]).running() as double:
        store = CosmosStore(double.url, double.database, KEY, timedelta(days=30))
        await store.open()
        for item in ITEMS:
            await store.record(item)
        await store.close()
        environment = {
            "AZURE_OPENAI_BASE_URL": "http://127.0.0.1:9/openai/v1/",
            "SENTINEL_SUBSCRIPTION_ID": REF.id,
            "SENTINEL_RESOURCE_GROUP": "soc",
            "SENTINEL_WORKSPACE": "soc",
            "SENTINEL_WORKSPACE_ID": REF.id,
            "STORE_URL": double.url,
            "COSMOS_KEY": KEY,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert await asyncio.to_thread(run, "--incident", "3177") == 0
        printed = capsys.readouterr().out
        assert "The chain holds: items 1 to 4." in printed and printed.count("Ana Analyst") == 2
        double.item("audit", "audit", "3")["line"] = "{}"
        assert await asyncio.to_thread(run, "--verify") == 1
        assert "The chain is broken at item 3." in capsys.readouterr().out


# --- what it does not take -----------------------------------------------------------------------


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, capsys) -> None:
    path = tmp_path / "casemate.db"
    assert run("--file", str(path)) == 2
    assert f"There is no database {path}." in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "yesterday"], "write it like 2026-11-24"),
        (["--head", "4"], "write it as it was printed"),
        (["--head", f"4:{'A' * 64}"], "write it as it was printed"),
        (["--head", f"0:{'a' * 64}"], "write it as it was printed"),
    ],
)
def test_arguments_that_say_nothing(file: Path, capsys, arguments: list[str], says: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("--file", str(file), *arguments)
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err
