"""How a sentence names an incident."""

import pytest

from bot.domain.incident import Mention, Workspace, called, mentioned, parted, placed

GUID = "73e01a99-5cd7-4139-a149-9f2736ff2ab5"
ARM = (
    "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/soc/providers"
    "/Microsoft.OperationalInsights/workspaces/sentinel/providers/Microsoft.SecurityInsights"
    f"/Incidents/{GUID}"
)
ASSET = "https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident"
BLADE = "https://portal.azure.com/#blade/Microsoft_Azure_Security_Insights/IncidentPage/incidentId/"
ENCODED = ARM.replace("/", "%2F")
WRAPPED = (ASSET + ENCODED).replace("%", "%25").replace(":", "%3A").replace("#", "%23")


@pytest.mark.parametrize(
    ("text", "mention"),
    [
        # a number
        ("what happened in incident 42?", Mention(number=42)),
        ("Incident #42", Mention(number=42)),
        ("INCIDENT 42.", Mention(number=42)),
        ("incident no. 42", Mention(number=42)),
        ("incident nr 42", Mention(number=42)),
        ("incident number 42, please", Mention(number=42)),
        ("incident id: 42", Mention(number=42)),
        ("incident42", Mention(number=42)),
        ("#42", Mention(number=42)),
        ("and (#42)?", Mention(number=42)),
        ("compare #42 and #43", Mention(number=42)),
        ("incident 9999999999", Mention(number=9_999_999_999)),
        # no number
        ("", None),
        ("what happened?", None),
        ("42", None),
        ("the incidents of today", None),
        ("incident 12345678901", None),
        ("#12345678901", None),
        (f"incident {'9' * 5_000}", None),
        ("C#7 and F#8", None),
        ("the colour #42ff00", None),
        ("&#42;", None),
        ("##42", None),
        ("incident 42abc", None),
        ("the incident 2026-11-24 10:00", None),
        ("incident response 3.2 or incident 3.2", None),
        ("see https://wiki.example/page#42", None),
        ("see https://wiki.example/?q=#42", None),
        ("see https://wiki.example/incident42", None),
        ("see https://wiki.example/a b/#42", None),
        ("coincident 42", None),
        # Sentinel's links
        (f"look at {ASSET}{ARM} please", Mention(id=GUID)),
        (f"<{ASSET}{ARM}>", Mention(id=GUID)),
        (f"{ASSET}{ARM.upper()}", Mention(id=GUID)),
        (f"{ASSET}{ARM.lower()}/overview", Mention(id=GUID)),
        (BLADE + ENCODED, Mention(id=GUID)),
        (BLADE + ENCODED.lower(), Mention(id=GUID)),
        (f"https://eu.safelinks.example/?url={WRAPPED}&data=05", Mention(id=GUID)),
        (f"https://management.azure.com{ARM}?api-version=2025-09-01", Mention(id=GUID)),
        (f"incident 42 is {ASSET}{ARM}", Mention(id=GUID)),
        (f"http://portal.azure.com{ARM}", None),
        (f"https://portal.azure.com{ARM.replace('Incidents', 'Entities')}", None),
        # Defender's links
        ("https://security.microsoft.com/incidents/917", Mention(provider_id="917")),
        ("https://security.microsoft.com/incident2/917/overview", Mention(provider_id="917")),
        (
            f"https://security.microsoft.com/incident/917?tid={GUID}",
            Mention(provider_id="917"),
        ),
        ("https://SECURITY.microsoft.us/Incidents/917.", Mention(provider_id="917")),
        ("https://security.microsoft.com/incidents/1234567890123", None),
        ("https://security.microsoft.com.evil.example/incidents/917", None),
        ("https://security.microsoft.com/alerts/917", None),
    ],
)
def test_what_a_sentence_names(text: str, mention: Mention | None) -> None:
    assert mentioned(text) == mention


@pytest.mark.parametrize("text", ["https://", "incident ", "#", "%2F", "incident no. #"])
def test_a_long_text_takes_no_time_to_speak_of(text: str) -> None:
    assert mentioned(text * (100_000 // len(text))) is None


# --- several workspaces --------------------------------------------------------------------------

SOC = Workspace("soc", GUID, "rg", "soc", GUID, several=True)
EU = Workspace("Soc EU", GUID, "rg", "soc-eu", GUID, several=True)
TWO = (SOC, EU)


@pytest.mark.parametrize(
    ("text", "workspace"),
    [
        ("incident 42 in soc", "soc"),
        ("what of #42 in SOC?", "soc"),
        ("incident 42 in soc eu, and the host?", "Soc EU"),
        ("incident 42 in society", ""),
        ("incident 42 in soc-eu", ""),
        ("incident 42 in soc.example", ""),
        ("incident 42 in soc. And then?", "soc"),
        ("in soc, what of incident 42?", ""),
        ("incident 42 of soc", ""),
    ],
)
def test_a_workspace_is_named_right_behind_the_number(text: str, workspace: str) -> None:
    assert mentioned(text, TWO) == Mention(number=42, workspace=workspace)
    assert mentioned(text) == Mention(number=42), "with one workspace nobody names it"


def test_a_link_is_of_the_workspace_that_its_path_names() -> None:
    link = (
        f"https://portal.azure.com/#asset/subscriptions/{GUID}/resourcegroups/RG/providers"
        "/Microsoft.OperationalInsights/workspaces/{}/providers/Microsoft.SecurityInsights"
        f"/Incidents/{GUID}"
    )
    assert mentioned(link.format("SOC-EU"), TWO) == Mention(id=GUID, workspace="Soc EU")
    assert mentioned(link.format("adatum"), TWO) == Mention(id=GUID)
    forged = link.format("soc-eu/providers/x/subscriptions/a/workspaces/soc")
    assert mentioned(forged, TWO) == Mention(id=GUID), "the whole path counts"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("incidents high in soc", ("incidents high", "soc")),
        ("incidents in soc EU", ("incidents", "Soc EU")),
        ("incidents high", ("incidents high", "")),
        ("incidents insoc", ("incidents insoc", "")),
        ("soc", ("soc", "")),
        ("", ("", "")),
    ],
)
def test_words_may_end_with_a_workspace(words: str, parts: tuple[str, str]) -> None:
    assert parted(words, TWO) == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("what of #42?", "what of #42 in soc?"),
        (
            "see https://x.example/#1 and incident 42.",
            "see https://x.example/#1 and incident 42 in soc.",
        ),
        ("summary 42", "summary 42 in soc"),
        ("tasks 42?", "tasks 42 in soc?"),
    ],
)
def test_the_same_is_said_with_the_workspace(text: str, said: str) -> None:
    assert placed(text, "soc") == said


def test_an_incident_is_called_as_it_can_be_named() -> None:
    assert called(42, "") == "42"
    assert mentioned(f"incident {called(42, EU.name)}", TWO) == Mention(
        number=42, workspace=EU.name
    )
