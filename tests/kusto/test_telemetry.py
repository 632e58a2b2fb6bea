"""The queries of the alerts and of the workbook in infra/, as the workspace would bind them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bot.kusto.checker import Checker
from tests.kusto import corpus

INFRA = Path(__file__).parents[2] / "infra"
ALERTS = re.findall(r"query: '([^']+)'", (INFRA / "alerts.bicep").read_text("utf-8"))
CHARTS = [
    # Azure Monitor writes a length of time here.
    each["content"]["query"].replace("{Time:grain}", "1m")
    for each in json.loads((INFRA / "workbook.json").read_text("utf-8"))["items"]
    if each["type"] == 3
]


@pytest.mark.parametrize("query", [*ALERTS, *CHARTS])
async def test_a_query_binds_in_a_workspace_of_application_insights(
    checker: Checker, query: str
) -> None:
    tables = corpus.large()
    if tables is None:
        pytest.skip("the tables of Azure Monitor are not at hand")
    checked = await checker.check(query, tables)
    assert checked is not None
    assert [each.message for each in checked.diagnostics] == []


def test_there_are_some() -> None:
    assert (len(ALERTS), len(CHARTS)) == (3, 6)
