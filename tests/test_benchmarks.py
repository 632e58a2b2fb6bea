"""The arithmetic of `make bench`: what it prints follows from what it measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from benchmarks import asking, bots, table
from benchmarks.load import Analysts, Run
from benchmarks.services import CHUNKS, LAST_WORDS, PACE_SECONDS, Answer, Services
from sandbox.world import load
from tests.clock import FakeClock

HUNDRED = [float(n) for n in range(100, 0, -1)]


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        (HUNDRED, 0.5, 50),
        (HUNDRED, 0.95, 95),
        (HUNDRED, 0.99, 99),
        (HUNDRED, 1.0, 100),
        ([7.0], 0.5, 7),
        ([1.0, 9.0], 0.5, 1),
        (HUNDRED[:10], 0.99, 100),
    ],
    ids=["p50", "p95", "p99", "all", "of one", "of two", "of fewer than a hundred: the slowest"],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, found: float
) -> None:
    assert table.percentile(values, share) == found


def test_a_row_says_rate_cpu_and_percentiles() -> None:
    asked = Analysts(32, 100, "personal", 0.3, 0.01)
    run = Run(asked, 4.0, 0.5, [each / 1000 for each in HUNDRED], [], [], 0.2)

    row = table.turns_row("Bot", run)

    asked_and_rate = ["Bot", "personal", "300 + 10 ms", "32", "100", "25.0"]
    assert row == [*asked_and_rate, "5.00", "50", "95", "99", "2.00"]
    assert len(row) == len(table.TURNS_HEAD)


@pytest.mark.parametrize(
    ("arrived", "token", "due", "beyond"),
    [(5.02, 5.0, 0.0, 0.02), (5.02, 5.0, 4.0, 0.02), (6.05, 5.0, 6.0, 0.05), (5.5, 5.0, 6.0, -0.5)],
    ids=["no update before", "pace over", "pace ruled", "pace broken"],
)
def test_a_wait_beyond_the_pace(arrived: float, token: float, due: float, beyond: float) -> None:
    assert table.beyond(arrived, token, due) == pytest.approx(beyond)


def test_waits_are_of_answers_that_came() -> None:
    whole = Answer(10.0, 10.4, first_text=10.02, first_due=0.0, final=11.05, final_due=11.02)
    run = Run(Analysts(1, 2), 1.0, 1.0, [1.0], [], [whole, Answer(10.0, 10.4)])

    assert table.waits_row("Bot", run) == ["Bot", "1", "20, 20", "20, 20", "650, 650", "30, 30"]


def test_growth_compares_the_first_turns_with_the_last() -> None:
    spent = [1.0, 2.0, 3.0, 5.0, 7.0]

    assert table.ends(spent, 2) == (2.0, 4.0)


def test_tables_are_markdown_and_name_what_is_missing() -> None:
    figures = asking.Figures(missing=["other 1.0: not measured, it is not installed."])
    figures.processes.append(["Bot", "1.00", "99", "88"])

    shown = str(figures)

    assert "| bot | start to ready, s | RSS MiB | PSS MiB |\n| --- | --: | --: | --: |\n" in shown
    assert "| Bot | 1.00 | 99 | 88 |" in shown
    assert shown.endswith("other 1.0: not measured, it is not installed.")


def test_a_package_has_a_version_only_where_it_is_installed(tmp_path: Path) -> None:
    assert bots.version("aiohttp", Path(sys.executable)) == aiohttp.__version__
    assert bots.version("no-such-package", Path(sys.executable)) == ""
    assert bots.version("aiohttp", tmp_path / "python") == ""


async def test_the_services_say_when_tokens_left_and_texts_came() -> None:
    services = await asyncio.to_thread(lambda: Services(load(FakeClock().now())))
    async with TestServer(services.app) as server, aiohttp.ClientSession() as http:
        url = server.make_url("/v3/conversations/19:a-1/activities")
        async with http.post(server.make_url("/openai/v1/chat/completions"), json={}) as answer:
            stream = await answer.text()
        working = {"type": "typing", "text": "Working", "entities": [{"type": "streaminfo"}]}
        text = {**working, "text": "**What happened (1).** Finding"}
        for body in (working, text, {"type": "message", "text": f"{text['text']} {LAST_WORDS}"}):
            async with http.post(url, json=body) as sent:
                assert sent.status == 201

    times = services.answers[1]
    assert stream.count('"finish_reason":null') == CHUNKS + 1  # the role's event has no text
    assert "NUMBER" not in stream
    assert 0 < times.first_token < times.last_token < times.first_text < times.final
    assert times.first_text < times.first_due < times.first_text + PACE_SECONDS
    assert times.final_due == pytest.approx(times.first_text + PACE_SECONDS)
