"""The Bicep in infra/: read by a parser, held against Microsoft's types, the bot and its store.

No compiler and no subscription are at hand: what only they can tell is not told here.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pycep import BicepParser

from bot import health
from bot.errors import SettingsError
from bot.settings import Settings
from prompts.reading import read_yaml

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
FILES = sorted(INFRA.glob("*.bicep"))
TYPES = read_yaml((ROOT / "tests" / "infra_types.yaml").read_text("utf-8"))
PARSER = BicepParser()  # making it takes longer than parsing
PARSED = {path.name: PARSER.parse(text=path.read_text("utf-8")) for path in FILES}
MAIN = PARSED["main.bicep"]
GUID = "0b0c2a3e-1d2f-4a5b-8c6d-7e8f90a1b2c3"


def made(file: str) -> dict[str, Any]:
    """A file's own resources by their names in it."""
    every = PARSED[file].get("resources", {})
    return {name: each for name, each in every.items() if not each["existing"]}


def body(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A resource's properties, without its loop and its condition."""
    config = resource["config"]
    while "config" in config:
        config = config["config"]
    return config


def values(value: Any) -> Iterator[Any]:
    """What an expression may become: both sides of a condition, the rest as it stands."""
    operator = value.get("operator") if isinstance(value, dict) else None
    if isinstance(operator, dict) and operator["type"] == "conditional":
        yield from values(operator["operands"]["true_value"])
        yield from values(operator["operands"]["false_value"])
    else:
        yield value


def wrong(given: Any, known: Any, at: str, beyond: list[str]) -> Iterator[str]:
    """What the types do not know, and what they require and is not there."""
    if known in (None, "*"):
        return
    for value in values(given):
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict) or {"function", "operator"} & set(each):
                continue
            names = {name.removesuffix("!"): tree for name, tree in known.items()}
            yield from (f"{at}.{name} is unknown" for name in {*each} - {*names, *beyond})
            needed = {name[:-1] for name in known if name.endswith("!")}
            yield from (f"{at}.{name} is missing" for name in needed - {*each})
            for name in {*each} & {*names}:
                yield from wrong(each[name], names[name], f"{at}.{name}", beyond)


RESOURCES = [(file, name) for file in PARSED for name in made(file)]


@pytest.mark.parametrize(("file", "name"), RESOURCES)
def test_a_resource_keeps_to_its_published_type(file: str, name: str) -> None:
    resource = made(file)[name]
    type_ = f"{resource['type']}@{resource['api_version']}"
    known = dict(TYPES[type_])
    beyond = ["scope", "parent", "dependsOn", *known.pop("beyond", [])]
    assert list(wrong(body(resource), known, name, beyond)) == []


def test_the_comparison_sees_what_is_wrong() -> None:
    known = {"name!": None, "properties!": {"a!": None, "b": {"c!": None}}}
    given = {"name": "x", "properties": {"b": [{"d": 1}], "e": 1}}
    assert sorted(wrong(given, known, "r", [])) == [
        "r.properties.a is missing",
        "r.properties.b.c is missing",
        "r.properties.b.d is unknown",
        "r.properties.e is unknown",
    ]


def test_no_type_is_listed_that_is_not_used() -> None:
    used = [made(file)[name] for file, name in RESOURCES]
    assert {f"{each['type']}@{each['api_version']}" for each in used} == set(TYPES)


# --- the parts fit together ----------------------------------------------------------------------


@pytest.mark.parametrize("name", MAIN["modules"])
def test_a_module_gets_exactly_its_parameters(name: str) -> None:
    module = MAIN["modules"][name]
    declared = PARSED[module["detail"]["path"]]["parameters"]
    assert set(body(module)["params"]) == set(declared)
    assert [each for each, parameter in declared.items() if parameter["default"]] == []


def test_every_file_is_a_module_and_every_output_that_is_used_exists() -> None:
    paths = {name: module["detail"]["path"] for name, module in MAIN["modules"].items()}
    assert {*paths.values(), "main.bicep"} == set(PARSED)
    text = (INFRA / "main.bicep").read_text("utf-8")
    used = re.findall(r"\b(\w+)\.outputs\.(\w+)", text)
    assert used
    assert [each for each in used if each[1] not in PARSED[paths[each[0]]]["outputs"]] == []


def test_azd_gives_what_the_template_asks_for() -> None:
    assert read_yaml((ROOT / "azure.yaml").read_text("utf-8"))["infra"] == {
        "provider": "bicep",
        "path": "infra",
        "module": "main",
    }
    given = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    declared = MAIN["parameters"]
    assert set(given) <= set(declared)
    assert {name for name, each in declared.items() if each["default"] is None} <= set(given)


# --- the settings --------------------------------------------------------------------------------

APP = PARSED["app.bicep"]
PLAIN = {each["name"]: each["value"] for each in APP["variables"]["settings"]["value"]}
SECRET = [
    each["name"]
    for value in values(APP["variables"]["secretSettings"]["value"])
    for each in value
    if each["secretRef"] == "bot-app-password"
]
LEFT_OUT = {
    "HOST": "a container listens on all its interfaces by default",
    "AZURE_OPENAI_API_KEY": "the bot's identity is asked for, no key",
    "COSMOS_KEY": "the bot's identity is asked for, no key",
    **dict.fromkeys(
        (
            "OTEL_SDK_DISABLED",
            "OTEL_TRACES_EXPORTER",
            "OTEL_METRICS_EXPORTER",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        ),
        "both go to Application Insights, or both to one collector",
    ),
    "PROMPTS_DIR": "an image that holds a SOC's own prompts says itself where they are",
}
# Settings of the contract that a version of the bot need not read.
CONTRACT = {"OAUTH_CONNECTION", "COSMOS_DATABASE"}


class Asked(dict[str, str]):
    """An environment that keeps which names were asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def asked() -> set[str]:
    environment = Asked()
    with pytest.raises(SettingsError):
        Settings.from_env(environment)
    return environment.names


def test_every_setting_of_the_bot_is_wired_or_left_out_for_a_reason() -> None:
    assert "BOT_APP_ID" in asked() and len(asked()) > 25
    assert sorted(asked() - set(PLAIN) - set(SECRET) - set(LEFT_OUT)) == []


def test_no_setting_is_wired_that_the_bot_does_not_know() -> None:
    assert sorted({*PLAIN, *SECRET} - asked() - CONTRACT) == []
    assert {*PLAIN, *SECRET} & set(LEFT_OUT) == set()


def test_the_bot_takes_what_azure_gives() -> None:
    environment = {
        "PORT": "3978",
        "BOT_APP_ID": GUID,
        "BOT_APP_TYPE": "UserAssignedMSI",
        "BOT_TENANT_ID": GUID,
        "ENTRA_AUTHORITY": "https://login.microsoftonline.com/",
        "AZURE_OPENAI_BASE_URL": "https://oai-casemate-x.openai.azure.com/openai/v1/",
        "AZURE_OPENAI_MODEL": "gpt-5.4-mini",
        "SENTINEL_SUBSCRIPTION_ID": GUID,
        "SENTINEL_RESOURCE_GROUP": "soc",
        "SENTINEL_WORKSPACE": "soc",
        "SENTINEL_WORKSPACE_ID": GUID,
        "ARM_ENDPOINT": "https://management.azure.com/",
        "STORE_URL": "https://cosmos-casemate-x.documents.azure.com:443/",
        "COSMOS_DATABASE": "casemate",
        "INCIDENT_WEBHOOK_AUDIENCE": f"api://{GUID}",
        "INCIDENT_WEBHOOK_CALLERS": GUID,
        "ENRICH": "suggest",
        "TASKS_ALSO_AS_COMMENT": "False",  # what Bicep's string(false) is
        "WRITE_AS": "bot",
    }
    assert set(environment) <= set(PLAIN)
    if importlib.util.find_spec("bot.azure.cosmos_containers") is None:
        del environment["STORE_URL"]
    settings = Settings.from_env(environment)
    assert settings.arm_endpoint == "https://management.azure.com"
    assert settings.tasks_also_as_comment is False


def test_a_workspace_of_the_list_is_one_that_the_bot_can_read() -> None:
    text = (INFRA / "main.bicep").read_text("utf-8")
    fields = {"name", *re.findall(r"\beach\.(\w+)", text)}
    listed = [{each: GUID if each.endswith("_id") else "soc" for each in fields}]
    url = "http://127.0.0.1:1/openai/v1/"
    environment = {"AZURE_OPENAI_BASE_URL": url, "SENTINEL_WORKSPACES": json.dumps(listed)}
    [workspace] = Settings.from_env(environment).workspaces
    assert (workspace.name, workspace.workspace_id) == ("soc", GUID)


@pytest.mark.parametrize(
    ("parameter", "setting"),
    [
        ("modelName", "model"),
        ("enrich", "enrich"),
        ("enrichPerHour", "enrich_per_hour"),
        ("tasksAlsoAsComment", "tasks_also_as_comment"),
        ("pollSeconds", "poll_seconds"),
        ("historyDays", "history_days"),
        ("kqlCheckers", "kql_checkers"),
    ],
)
def test_a_default_here_is_the_bots_own(parameter: str, setting: str) -> None:
    environment = {
        "AZURE_OPENAI_BASE_URL": "http://127.0.0.1:1/openai/v1/",
        "SENTINEL_SUBSCRIPTION_ID": GUID,
        "SENTINEL_RESOURCE_GROUP": "soc",
        "SENTINEL_WORKSPACE": "soc",
        "SENTINEL_WORKSPACE_ID": GUID,
    }
    settings = Settings.from_env(environment)
    assert MAIN["parameters"][parameter]["default"] == getattr(settings, setting)


def test_a_secret_is_never_a_plain_setting_and_never_shown() -> None:
    assert SECRET == ["BOT_APP_PASSWORD"]
    assert [name for name in PLAIN if re.search("PASSWORD|SECRET|KEY$|TOKEN$", name)] == []
    for parsed in PARSED.values():
        for name, each in parsed["parameters"].items():
            hidden = {"type": "secure"} in each["decorators"]
            assert hidden == bool(re.search("password|secret$", name, re.I)), name


# --- the container -------------------------------------------------------------------------------

TEMPLATE = body(APP["resources"]["app"])["properties"]["template"]
[CONTAINER] = TEMPLATE["containers"]
PROBES = {each["type"]: each for each in CONTAINER["probes"]}


def test_the_probes_ask_what_the_bot_answers_and_wait_long_enough() -> None:
    paths = {name: each["httpGet"]["path"] for name, each in PROBES.items()}
    assert paths == {"Startup": "/healthz", "Liveness": "/healthz", "Readiness": "/readyz"}
    assert PROBES["Readiness"]["timeoutSeconds"] > health.CHECK_SECONDS
    text = (ROOT / "app.py").read_text("utf-8")
    assert [path for path in paths.values() if f'"{path}"' not in text] == []


def test_the_container_listens_where_it_is_asked() -> None:
    assert APP["variables"]["port"]["value"] == 3978
    assert "EXPOSE 3978" in (ROOT / "Dockerfile").read_text("utf-8")


def test_one_replica_always_runs_and_has_time_to_hand_back() -> None:
    assert TEMPLATE["scale"]["minReplicas"] >= 1
    assert TEMPLATE["terminationGracePeriodSeconds"] > 12


# --- the store -----------------------------------------------------------------------------------


def test_the_containers_are_those_of_the_store() -> None:
    store = pytest.importorskip(
        "bot.azure.cosmos_containers", reason="this version has no store on Cosmos DB"
    )
    written = json.loads((INFRA / "cosmos-containers.json").read_text("utf-8"))
    assert written == [each.resource for each in store.CONTAINERS]


def test_the_containers_keep_to_their_published_type() -> None:
    name = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-11-15"
    known = TYPES[name]["properties!"]["resource!"]
    written = json.loads((INFRA / "cosmos-containers.json").read_text("utf-8"))
    assert list(wrong(written, known, "container", [])) == []


# --- rights --------------------------------------------------------------------------------------

ROLES = {
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "Cognitive Services OpenAI User": "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
    "Microsoft Sentinel Responder": "3e150937-b8fe-4cfb-8069-0eaf05ecd056",
    "Microsoft Sentinel Reader": "8d289c81-5878-46d4-8554-54e1e3d8b5cb",
    "Microsoft Sentinel Automation Contributor": "f4c81013-99ee-4d62-a7ee-b3f1f648599a",
    "Cosmos DB Built-in Data Contributor": "00000000-0000-0000-0000-000000000002",
}


RIGHT = re.compile(
    r"^// ([^:,\n]+)[:,].*\n(?:// .*\n)*resource \w+ '\S*[rR]oleAssignments@.*\n(?:.*\n)+?"
    r".*[/'](\w{8}-\w{4}-\w{4}-\w{4}-\w{12})'",
    re.MULTILINE,
)


def test_each_right_is_one_of_these_and_its_reason_stands_above_it() -> None:
    given = [found for path in FILES for found in RIGHT.findall(path.read_text("utf-8"))]
    assert dict(given) == ROLES
    resources = [made(file)[name]["type"] for file, name in RESOURCES]
    assert sum(each.lower().endswith("roleassignments") for each in resources) == len(given)


# --- forwarding ----------------------------------------------------------------------------------


def test_the_playbook_signs_its_request_for_the_webhook_alone() -> None:
    definition = json.loads((INFRA / "forward.json").read_text("utf-8"))
    [action] = definition["actions"].values()
    assert action["inputs"]["method"] == "POST"
    assert action["inputs"]["uri"] == "@parameters('webhookUrl')"
    assert action["inputs"]["authentication"] == {
        "type": "ManagedServiceIdentity",
        "audience": "@parameters('webhookAudience')",
    }
    given = body(made("forward.bicep")["playbook"])["properties"]["parameters"]
    assert {name.strip("'") for name in given} == set(definition["parameters"])


def test_the_playbook_posts_to_the_bots_route() -> None:
    text = (INFRA / "main.bicep").read_text("utf-8")
    routes = (ROOT / "app.py").read_text("utf-8")
    for path in ("/api/incidents", "/api/messages"):
        assert f"botUrl}}{path}'" in text and f'"{path}"' in routes


# --- the content filter --------------------------------------------------------------------------


def test_only_the_gravest_blocks_and_attacks_on_the_model_are_marked() -> None:
    filters = body(made("model.bicep")["policy"])["properties"]["contentFilters"]
    for each in filters:
        assert each["enabled"] is True
        assert each["blocking"] == (each.get("severityThreshold") == "High")
    harms = {(each["name"], each["source"]) for each in filters if each["blocking"]}
    kinds = ("Hate", "Sexual", "Violence", "Selfharm")
    assert harms == {(kind, source) for kind in kinds for source in ("Prompt", "Completion")}


# --- what is told ------------------------------------------------------------------------------


def told_names() -> set[str]:
    """The metrics and attributes that a query names."""
    texts = [(INFRA / name).read_text("utf-8") for name in ("alerts.bicep", "workbook.json")]
    return {each for text in texts for each in re.findall(r"(?:casemate|gen_ai)\.[a-z_.]+", text)}


def test_alerts_and_charts_ask_for_what_the_bot_tells() -> None:
    code = "".join((ROOT / f"bot/{each}.py").read_text("utf-8") for each in ("traced", "measured"))
    assert len(told_names()) > 6
    assert sorted(each for each in told_names() if f'"{each}"' not in code) == []


def test_six_charts_and_three_alerts_that_reach_somebody() -> None:
    charts = json.loads((INFRA / "workbook.json").read_text("utf-8"))["items"]
    assert len([each for each in charts if each["type"] == 3]) == 6
    rules = [body(each) for each in made("alerts.bicep").values() if "criteria" in str(each)]
    assert len(rules) == 3
    assert all(each["properties"]["actions"] for each in rules)
