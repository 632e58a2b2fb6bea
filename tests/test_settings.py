"""What the environment may say, and what is said when it says something else."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import endpoint
from bot.domain.incident import Workspace
from bot.domain.limits import Limits
from bot.domain.price import Prices
from bot.domain.store_address import StoreAddress
from bot.errors import SettingsError
from bot.settings import Settings, from_process, overlaid

APP, TENANT, OTHER, SUBSCRIPTION, WORKSPACE = (
    f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "12345"
)
LOCAL = {
    "AZURE_OPENAI_BASE_URL": "http://127.0.0.1:8080/openai/v1/",
    "SENTINEL_SUBSCRIPTION_ID": SUBSCRIPTION,
    "SENTINEL_RESOURCE_GROUP": "soc",
    "SENTINEL_WORKSPACE": "sentinel",
    "SENTINEL_WORKSPACE_ID": WORKSPACE,
}
PUBLIC = {
    **LOCAL,
    "AZURE_OPENAI_BASE_URL": "https://name.openai.azure.com/openai/v1/",
    "BOT_APP_ID": APP,
    "BOT_TENANT_ID": TENANT,
    "BOT_APP_PASSWORD": "s3cret-of-the-bot",
    "AZURE_OPENAI_API_KEY": "s3cret-of-the-model",
}
ENTRY = {
    "name": "soc-emea",
    "subscription_id": SUBSCRIPTION,
    "resource_group": "soc",
    "workspace": "sentinel",
    "workspace_id": WORKSPACE,
}
SECOND = {**ENTRY, "name": "contoso", "resource_group": "other"}


def problems(environment: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environment)
    return caught.value.problems


def listed(*entries: object) -> dict[str, str]:
    return {**PUBLIC, "SENTINEL_WORKSPACES": json.dumps(entries)}


# --- what is meant -------------------------------------------------------------------------------


def test_the_bots_own_rights_decide_unless_analysts_are_to_sign_in() -> None:
    chosen = Settings.from_env(PUBLIC)
    assert (chosen.write_as, chosen.token_service) == ("bot", "https://api.botframework.com")
    chosen = Settings.from_env({**PUBLIC, "WRITE_AS": "analyst", "OAUTH_CONNECTION": "azure"})
    assert (chosen.write_as, chosen.oauth_connection) == ("analyst", "azure")


def test_analysts_sign_in_with_a_connection() -> None:
    [told] = problems({**PUBLIC, "WRITE_AS": "analyst"})
    assert told.startswith("OAUTH_CONNECTION is missing")


def test_local_mode_signs_analysts_in_at_a_service_on_this_machine_only() -> None:
    local = {**LOCAL, "WRITE_AS": "analyst", "OAUTH_CONNECTION": "azure"}
    chosen = Settings.from_env({**local, "TOKEN_SERVICE": "http://127.0.0.1:8081"})
    assert chosen.token_service == "http://127.0.0.1:8081"
    [told] = problems(local)
    assert told.startswith("WRITE_AS analyst needs a registered bot")


def test_local_mode_needs_little_and_the_rest_has_defaults() -> None:
    chosen = Settings.from_env(LOCAL)
    assert chosen.local_mode and chosen.loopback_services
    assert (chosen.host, chosen.port) == ("127.0.0.1", 3978)
    assert chosen.model == "gpt-5.4-mini"
    assert chosen.model_prices is None
    assert chosen.arm_endpoint == "https://management.azure.com"
    assert chosen.log_analytics_endpoint == "https://api.loganalytics.azure.com"
    assert chosen.entra_authority == "https://login.microsoftonline.com"
    assert chosen.bot_openid_metadata.startswith("https://login.botframework.com/")
    assert chosen.store == StoreAddress(path="casemate.db")
    assert chosen.history_days == 30
    assert chosen.prompts_dir is None
    assert chosen.allowed_tenants == frozenset()
    assert (chosen.incident_webhook_audience, chosen.incident_webhook_callers) == ("", frozenset())
    names = ("sentinel", SUBSCRIPTION, "soc", "sentinel", WORKSPACE)
    assert chosen.workspaces == (Workspace(*names),)


def test_with_an_identity_the_bot_serves_everybody_and_lets_in_its_own_tenant() -> None:
    chosen = Settings.from_env(PUBLIC)
    assert not chosen.local_mode and not chosen.loopback_services
    assert chosen.host == "0.0.0.0"
    assert chosen.bot_app_type == "SingleTenant"
    assert chosen.allowed_tenants == {TENANT}


@pytest.mark.parametrize(
    ("setting", "value", "name", "meant"),
    [
        ("PORT", "0", "port", 0),
        (
            "MODEL_PRICES",
            '{"input": 0.75, "cached": 0.075, "output": 4.5}',
            "model_prices",
            Prices(0.75, 0.075, 4.5),
        ),
        ("PORT", " 8080 ", "port", 8080),
        ("HOST", "localhost", "host", "localhost"),
        ("HOST", "[::1]", "host", "::1"),
        (
            "STORE_URL",
            "sqlite:////var/lib/casemate.db",
            "store",
            StoreAddress("/var/lib/casemate.db"),
        ),
        ("STORE_URL", "sqlite:///:memory:", "store", StoreAddress(":memory:")),
        (
            "STORE_URL",
            "https://soc.documents.azure.com:443",
            "store",
            StoreAddress(url="https://soc.documents.azure.com:443/", database="casemate"),
        ),
        ("COSMOS_KEY", "not for a file", "store", StoreAddress("casemate.db")),
        ("HISTORY_DAYS", "7", "history_days", 7),
        ("AUDIT_DAYS", "0", "audit_days", 0),
        ("ALLOWED_TENANT_IDS", f"{OTHER.upper()}, {TENANT},", "allowed_tenants", {OTHER, TENANT}),
        ("BOT_APP_TYPE", "userassignedmsi", "bot_app_type", "UserAssignedMSI"),
        ("BOT_TENANT_ID", TENANT.upper(), "bot_tenant_id", TENANT),
        (
            "AZURE_OPENAI_BASE_URL",
            "https://x.example/v1",
            "model_base_url",
            "https://x.example/v1/",
        ),
        ("AZURE_OPENAI_BASE_URL", "https://x.example//", "model_base_url", "https://x.example/"),
        ("ARM_ENDPOINT", "http://127.0.0.1:1/", "arm_endpoint", "http://127.0.0.1:1"),
        (
            "LOG_ANALYTICS_ENDPOINT",
            "https://api.loganalytics.us/",
            "log_analytics_endpoint",
            "https://api.loganalytics.us",
        ),
        ("PROMPTS_DIR", "prompts", "prompts_dir", Path("prompts")),
        ("ENRICH", "POST", "enrich", "post"),
        ("ENRICH", "", "enrich", "suggest"),
        ("ENRICH_PER_HOUR", "0", "enrich_per_hour", 0),
        ("TASKS_ALSO_AS_COMMENT", "True", "tasks_also_as_comment", True),
        ("TASKS_ALSO_AS_COMMENT", "", "tasks_also_as_comment", False),
        ("POLL_SECONDS", "0", "local_mode", True),
        ("WRITE_AS", "bot", "local_mode", True),
        ("SENTINEL_WORKSPACES", json.dumps([ENTRY]), "workspaces", (Workspace(**ENTRY),)),
        (
            "SENTINEL_WORKSPACES",
            json.dumps([{**ENTRY, "name": ""}]),
            "workspaces",
            (Workspace(**{**ENTRY, "name": "sentinel"}),),
        ),
    ],
)
def test_what_a_value_means(setting: str, value: str, name: str, meant: object) -> None:
    assert getattr(Settings.from_env({**LOCAL, setting: value}), name) == meant


def test_several_workspaces_are_told_apart_by_their_names() -> None:
    chosen = Settings.from_env(listed(ENTRY, SECOND))
    assert [(each.name, each.several) for each in chosen.workspaces] == [
        ("soc-emea", True),
        ("contoso", True),
    ]


def test_a_managed_identity_needs_no_secret() -> None:
    managed = {**PUBLIC, "BOT_APP_TYPE": "UserAssignedMSI", "BOT_APP_PASSWORD": ""}
    assert Settings.from_env(managed).bot_app_password == ""


@pytest.mark.parametrize(
    "audience", [APP, f"api://{APP}", "api://casemate", "https://soc.example/"]
)
def test_who_may_post_incidents(audience: str) -> None:
    callers = f" {OTHER.upper()}, {SUBSCRIPTION},"
    names = {"INCIDENT_WEBHOOK_AUDIENCE": f" {audience} ", "INCIDENT_WEBHOOK_CALLERS": callers}
    chosen = Settings.from_env({**PUBLIC, **names})
    assert chosen.incident_webhook_audience == audience
    assert chosen.incident_webhook_callers == {OTHER, SUBSCRIPTION}


def test_an_issuer_on_loopback_lets_loopback_services_in() -> None:
    issuer = "http://127.0.0.1:9/v1/openid"
    assert Settings.from_env({**PUBLIC, "BOT_OPENID_METADATA": issuer}).loopback_services


def test_values_go_before_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**LOCAL, "PORT": "4000"}.items():
        monkeypatch.setenv(name, value)
    assert from_process().port == 4000
    assert overlaid({"PORT": "5000"}).port == 5000
    assert overlaid({}, {"PORT": "6000", "POLL_SECONDS": "7"}).port == 4000
    assert overlaid({}, {"PORT": "6000", "POLL_SECONDS": "7"}).poll_seconds == 7


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("MODEL_PRICES", "4.5", 'must look like {"input":0.75,"cached":0.075,"output":4.5}'),
        ("HOST", "0.0.0.0", "must be loopback while BOT_APP_ID is unset"),
        ("HOST", "192.0.2.1", "must be loopback"),
        ("HOST", "casemate.example", "must be loopback"),
        ("PORT", "65536", "must be a whole number from 0 to 65535"),
        ("PORT", "-1", "must be a whole number"),
        ("PORT", "x", "must be a whole number"),
        ("PORT", "٣", "must be a whole number"),
        ("PORT", "9" * 5_000, "must be a whole number"),
        ("HISTORY_DAYS", "0", "must be a whole number from 1 to 3650"),
        ("POLL_SECONDS", "86401", "must be a whole number from 0 to 86400"),
        ("POLL_SECONDS", "1.5", "must be a whole number"),
        ("ENRICH", "always", "must be one of: suggest, off, post"),
        ("LOG_ANALYTICS_ENDPOINT", "api.loganalytics.azure.com", "is not an http(s) URL"),
        ("BOT_APP_ID", "casemate", "is not a GUID"),
        ("BOT_APP_ID", f"{{{APP}}}", "is not a GUID"),
        ("BOT_APP_TYPE", "MultiTenant", "must be one of: SingleTenant, UserAssignedMSI"),
        ("BOT_TENANT_ID", "contoso.com", "is not a GUID"),
        ("ALLOWED_TENANT_IDS", f"{OTHER},contoso.com", "holds 'contoso.com', which is not a GUID"),
        ("AZURE_OPENAI_BASE_URL", "", "is missing"),
        ("AZURE_OPENAI_BASE_URL", "http://model.example/v1", "must be https"),
        ("AZURE_OPENAI_BASE_URL", "https://x.example/?api-version=1", "without ? or #"),
        ("AZURE_OPENAI_BASE_URL", "https://[", "is not a URL"),
        ("ARM_ENDPOINT", "https://me:pw@arm.example", "must not carry a user name or password"),
        ("ENTRA_AUTHORITY", "ftp://login.example", "is not an http(s) URL"),
        ("BOT_OPENID_METADATA", "https://x y.example", "must not hold spaces"),
        ("SENTINEL_SUBSCRIPTION_ID", "", "is missing"),
        ("SENTINEL_SUBSCRIPTION_ID", "prod", "is not a GUID"),
        ("SENTINEL_RESOURCE_GROUP", "", "is missing"),
        ("SENTINEL_WORKSPACE", "a/b", "is not a name that Azure gives"),
        ("SENTINEL_WORKSPACE", "", "is missing"),
        ("SENTINEL_WORKSPACE_ID", "sentinel", "is not a GUID"),
        ("STORE_URL", "postgres://x", "must look like sqlite:///casemate.db"),
        ("STORE_URL", "sqlite:///", "must look like sqlite:///casemate.db"),
        ("STORE_URL", "http://a.documents.azure.com/", "must be https"),
        ("STORE_URL", "https://a.documents.azure.com/x", "must look like https://ACCOUNT."),
        ("STORE_URL", "https://a.documents.azure.com/?x", "must look like https://ACCOUNT."),
        ("STORE_URL", "https://[", "is not a URL"),
        ("PROMPTS_DIR", "no/such/folder", "is not a folder"),
        ("PROMPTS_DIR", "app.py", "is not a folder"),
        ("PROMPTS_DIR", "x" * 5_000, "is not a folder"),
        ("PROMPTS_DIR", "a\0b", "is not a folder"),
        ("SOC_TEAM_ID", "the team", "must not hold spaces"),
        ("ANALYST_REQUESTS_PER_MINUTE", "-1", "must be a whole number from 0"),
        ("TENANT_TOKENS_PER_DAY", "1e6", "must be a whole number from 0"),
        ("TOKEN_SERVICE", "http://sign-in.example", "must be https"),
        ("WRITE_AS", "root", "must be one of: bot, analyst"),
        ("SENTINEL_WORKSPACES", "{}", "is not a JSON list of workspaces"),
        ("SENTINEL_WORKSPACES", "[]", "is not a JSON list of workspaces"),
        ("SENTINEL_WORKSPACES", "[" * 100_000, "is not a JSON list of workspaces"),
        ("SENTINEL_WORKSPACES", "[5]", "must hold objects"),
        (
            "SENTINEL_WORKSPACES",
            json.dumps([ENTRY, {**SECOND, "name": "SOC-EMEA"}]),
            "same name twice: soc-emea",
        ),
        ("SENTINEL_WORKSPACES", json.dumps([ENTRY, {**ENTRY, "name": "b"}]), "one workspace twice"),
        ("SENTINEL_WORKSPACES", json.dumps([ENTRY, {**SECOND, "name": "a\n#1"}]), "name must be"),
        ("SENTINEL_WORKSPACES", json.dumps([ENTRY, 5]), "must hold objects"),
        (
            "SENTINEL_WORKSPACES",
            json.dumps([{**ENTRY, "workspace": None}]),
            "workspace is missing",
        ),
        (
            "SENTINEL_WORKSPACES",
            json.dumps([{**ENTRY, "workspace_id": "5"}]),
            "workspace_id is not a GUID",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(setting: str, value: str, said: str) -> None:
    told = problems({**LOCAL, setting: value})
    about = [line for line in told if line.startswith(setting)]
    assert len(about) == 1 and said in about[0]
    if setting != "BOT_APP_ID":  # with one, other settings are needed as well
        assert len(told) == 1


RESOURCE_MANAGER = [
    "https://management.azure.com",
    "https://management.azure.com/",
    "https://Management.Azure.com//",
    "https://management.core.windows.net",
    "https://management.core.windows.net/",
    "https://management.usgovcloudapi.net/",
    "797F4846-ba00-4fd7-ba43-dac1f8f63013",
]


@pytest.mark.parametrize(
    ("audience", "callers", "said"),
    [
        (APP, "", "CALLERS is missing: the object ids"),
        (APP, " , ", "CALLERS is missing: the object ids"),
        ("", OTHER, "AUDIENCE is missing: INCIDENT_WEBHOOK_CALLERS"),
        (APP, f"{OTHER},playbook", "CALLERS holds 'playbook', which is not a GUID"),
        ("api://x y", OTHER, "AUDIENCE must not hold spaces"),
        ("api://x\0y", OTHER, "AUDIENCE must not hold spaces or control characters"),
        *((each, OTHER, "AUDIENCE is Azure Resource Manager's") for each in RESOURCE_MANAGER),
    ],
)
def test_a_webhook_that_would_let_in_nobody_or_anybody(
    audience: str, callers: str, said: str
) -> None:
    names = {"INCIDENT_WEBHOOK_AUDIENCE": audience, "INCIDENT_WEBHOOK_CALLERS": callers}
    for base in (LOCAL, PUBLIC):
        (told,) = problems({**base, **names})
        assert told.startswith(f"INCIDENT_WEBHOOK_{said}")


def test_all_that_is_wrong_is_said_in_one_message() -> None:
    told = problems({"BOT_APP_ID": APP, "PORT": "x", "ENRICH": "?", "HISTORY_DAYS": "-"})
    assert [line.split()[0] for line in told] == [
        "BOT_TENANT_ID",
        "BOT_APP_PASSWORD",
        "PORT",
        "AZURE_OPENAI_BASE_URL",
        "SENTINEL_SUBSCRIPTION_ID",
        "SENTINEL_RESOURCE_GROUP",
        "SENTINEL_WORKSPACE",
        "SENTINEL_WORKSPACE_ID",
        "HISTORY_DAYS",
        "ENRICH",
    ]
    sentence = SettingsError(told).sentence
    assert sentence.startswith("Casemate cannot start") and all(line in sentence for line in told)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://management.azure.com", ""),
        ("http://localhost:8080/x", ""),
        ("http://[::1]:8080", ""),
        ("http://127.8.9.10", ""),
        ("http://127.0.0.1.evil.example", "must be https"),
        ("http://localhost.evil.example", "must be https"),
        ("http://0.0.0.0", "must be https"),
        ("https://x:99999", "is not a URL"),
        ("https://", "is not an http(s) URL"),
        ("", "is not an http(s) URL"),
        ("https://x\n.example", "must not hold spaces or control characters"),
    ],
)
def test_plain_http_is_for_loopback_only(url: str, wrong: str) -> None:
    said = endpoint.problem(url) or ""
    assert wrong in said and bool(wrong) is bool(said)


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("COSMOS_KEY", "s3cret", "is not an account key"),
        ("COSMOS_KEY", "ß", "is not an account key"),
        ("COSMOS_DATABASE", "case/mate", "is not a name that Azure gives"),
        ("COSMOS_DATABASE", "x" * 256, "is not a name that Azure gives"),
        ("STORE_URL", "http://127.0.0.1:8081/", "no token goes over plain http"),
    ],
)
def test_what_is_wrong_with_a_cosmos_account_is_named(
    setting: str, value: str, problem: str
) -> None:
    account = {**PUBLIC, "STORE_URL": "https://soc.documents.azure.com/", setting: value}
    (said,) = problems(account)
    name = "COSMOS_KEY" if setting == "STORE_URL" else setting
    assert said.startswith(name) and problem in said and "s3cret" not in said


def test_a_cosmos_account_is_read_with_its_key_unseen() -> None:
    where = {
        "STORE_URL": "http://127.0.0.1:8081",
        "COSMOS_DATABASE": "soc",
        "COSMOS_KEY": "czNjcmV0",
    }
    chosen = Settings.from_env({**LOCAL, **where})
    assert chosen.store == StoreAddress("", "http://127.0.0.1:8081/", "soc", "czNjcmV0")
    assert "czNjcmV0" not in repr(chosen)


def test_limits_are_each_their_own_and_none_where_nobody_is_authenticated() -> None:
    assert Settings.from_env(LOCAL).limits == Limits()
    assert Settings.from_env(PUBLIC).limits == Limits(1_200, 12_000, 30_000_000, 300_000_000)
    per = "REQUESTS_PER_MINUTE", "TOKENS_PER_DAY"
    names = [f"{who}_{each}" for each in per for who in ("ANALYST", "TENANT")]
    for base in (LOCAL, PUBLIC):
        given = {name: str(number) for number, name in enumerate(names)}
        assert Settings.from_env({**base, **given}).limits == Limits(0, 1, 2, 3)


# --- secrets -------------------------------------------------------------------------------------


def test_no_secret_is_in_what_is_printed() -> None:
    shown = f"{Settings.from_env(PUBLIC)!r} {Settings.from_env(PUBLIC)}"
    assert "s3cret" not in shown and TENANT in shown


@pytest.mark.parametrize("setting", [*PUBLIC, "STORE_URL", "ARM_ENDPOINT", "HOST", "PROMPTS_DIR"])
def test_no_secret_is_in_an_error(setting: str) -> None:
    """A key pasted into the wrong place is not repeated in the log."""
    wrong = {**PUBLIC, "BOT_TENANT_ID": "x", setting: "https://me:s3cret@x.example/"}
    assert "s3cret" not in str(problems(wrong))


# --- anything ------------------------------------------------------------------------------------

NAMES = [
    "APPLICATIONINSIGHTS_CONNECTION_STRING OTEL_SDK_DISABLED OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER OTEL_EXPORTER_OTLP_ENDPOINT",
    "HOST PORT BOT_APP_ID BOT_APP_TYPE BOT_TENANT_ID BOT_APP_PASSWORD BOT_OPENID_METADATA",
    "ENTRA_AUTHORITY ALLOWED_TENANT_IDS SOC_TEAM_ID AZURE_OPENAI_BASE_URL AZURE_OPENAI_MODEL",
    "AZURE_OPENAI_API_KEY ARM_ENDPOINT LOG_ANALYTICS_ENDPOINT STORE_URL POLL_SECONDS ENRICH",
    "WRITE_AS ENRICH_PER_HOUR TASKS_ALSO_AS_COMMENT HISTORY_DAYS SENTINEL_WORKSPACES PROMPTS_DIR",
    "INCIDENT_WEBHOOK_AUDIENCE INCIDENT_WEBHOOK_CALLERS AUDIT_DAYS ANALYST_REQUESTS_PER_MINUTE",
    "TENANT_REQUESTS_PER_MINUTE ANALYST_TOKENS_PER_DAY TENANT_TOKENS_PER_DAY COSMOS_DATABASE",
    "COSMOS_KEY",
]
ODD = [
    "https://[",
    "http://[::1",
    "//",
    "https://x:y",
    "[[",
    "{}",
    '[{"name": 1}]',
    "1e5",
    "\0",
    "²",
]
anything = st.dictionaries(
    st.sampled_from([*LOCAL, *" ".join(NAMES).split()]),
    st.text(max_size=50) | st.sampled_from(ODD) | st.from_type(int).map(str),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(anything, st.sampled_from([{}, LOCAL, PUBLIC]))
def test_any_environment_gives_settings_or_says_what_is_wrong(
    odd: dict[str, str], base: dict[str, str]
) -> None:
    try:
        chosen = Settings.from_env({**base, **odd})
    except SettingsError as error:
        assert error.problems
        known = {*base, *odd, *LOCAL, *PUBLIC, *" ".join(NAMES).split()}
        assert all(line.split()[0].rstrip(":") in known for line in error.problems)
    else:
        assert chosen.workspaces[0].workspace and chosen.model_base_url.endswith("/")
