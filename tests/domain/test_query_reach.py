"""How far back a query looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.query_reach import FARTHEST, USUAL, reach

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("T | where TimeGenerated > ago(7d)", 7),
        ("T | where TimeGenerated > ago(90min)", 1),
        ("T | where TimeGenerated > ago(36h)", 2),
        ("T | where TimeGenerated between (ago(30d) .. ago(1d))", 30),
        ("let w = 14d; T | where TimeGenerated > ago(w) | summarize count() by bin(T, 1h)", 14),
        ("T | where TimeGenerated > datetime(2026-11-20)", 5),
        ("T | where TimeGenerated > datetime('2026-11-20T09:00:00Z')", 4),
        ("T | where TimeGenerated > datetime(2030-01-01)", 1),
        ("T | where TimeGenerated > datetime(never)", 7),
        ("T | where X == 5 // ago(60d)", 7),
        ("T | where X == 'ago(60d)'", 7),
        ("T | where TimeGenerated > ago(9999999999d)", 90),
        ("T | where TimeGenerated > ago(5000ms)", 7),
    ],
)
def test_reach(query: str, days: int) -> None:
    assert reach(query, NOW) == timedelta(days=days)


def test_its_bounds() -> None:
    assert timedelta(days=7) == USUAL
    assert timedelta(days=90) == FARTHEST
