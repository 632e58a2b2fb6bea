"""The link that opens a query in the portal holds that query."""

import base64
import gzip
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.incident import Workspace
from bot.domain.portal_link import MAX_LINK_CHARS, logs_link

WORKSPACE = Workspace(
    name="main",
    subscription_id="5d1f6b0e-3a52-4a4e-9a37-6f5f2a0c9d11",
    resource_group="rg soc",
    workspace="law-soc",
    workspace_id="0f0e9a53-7c3b-4d4e-8a29-1b7f7f4a1c22",
)
TENANT = "9b0e6c6a-4a0f-4d1e-8c55-0c1f3f2b7d33"


def parts_of(link: str) -> dict[str, str]:
    names = urlsplit(link).fragment.split("/")
    return {name: unquote(value) for name, value in zip(names[4::2], names[5::2], strict=True)}


def query_in(link: str) -> str:
    return gzip.decompress(base64.b64decode(parts_of(link)["q"])).decode()


def test_the_form_that_the_portal_reads():
    link = logs_link(WORKSPACE, TENANT, "SigninLogs | take 10")

    assert link
    assert link.startswith(
        f"https://portal.azure.com/#@{TENANT}/blade/"
        "Microsoft_OperationsManagementSuite_Workspace/Logs.ReactView/resourceId/%2Fsubscriptions"
    )
    assert parts_of(link) | {"q": ""} == {
        "resourceId": "/subscriptions/5d1f6b0e-3a52-4a4e-9a37-6f5f2a0c9d11/resourceGroups/rg soc"
        "/providers/Microsoft.OperationalInsights/workspaces/law-soc",
        "source": "LogsBlade.AnalyticsShareLinkToQuery",
        "q": "",
        "timespan": "P1D",
    }


@given(st.text(max_size=300))
def test_decoding_gives_the_query_back(query):
    link = logs_link(WORKSPACE, TENANT, query)

    assert link is None or query_in(link) == query


@pytest.mark.parametrize(
    ("timespan", "written"),
    [(timedelta(days=7), "P7D"), (timedelta(hours=4), "PT240M"), (timedelta(hours=48), "P2D")],
)
def test_the_time_range(timespan, written):
    link = logs_link(WORKSPACE, TENANT, "T", timespan=timespan)

    assert link
    assert parts_of(link)["timespan"] == written


def test_another_cloud():
    link = logs_link(WORKSPACE, TENANT, "T", "https://portal.azure.us/")

    assert link
    assert link.startswith(f"https://portal.azure.us/#@{TENANT}/blade/")


def test_the_same_query_is_the_same_link():
    assert logs_link(WORKSPACE, TENANT, "T") == logs_link(WORKSPACE, TENANT, "T")


def test_half_a_character_does_not_break_the_link():
    link = logs_link(WORKSPACE, TENANT, "print '\ud83d'")

    assert link
    assert query_in(link) == "print '?'"


def test_a_link_that_clients_would_cut_is_none():
    incompressible = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(900))

    assert logs_link(WORKSPACE, TENANT, incompressible) is None
    link = logs_link(WORKSPACE, TENANT, "SigninLogs | where IPAddress == '192.0.2.1' " * 80)
    assert link
    assert len(link) <= MAX_LINK_CHARS
