"""Says as JSON what Microsoft's management packages know of the resource types in infra/.

A program of its own: `make types` runs it by a Python that has those packages, at releases which
speak the api-versions used. It reads trees like those of infra_types.yaml, and answers with the
same trees as the packages have them: what is known of what is asked, and all that is required (!).
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

MODELS = {
    "Microsoft.App/managedEnvironments@2025-07-01": "appcontainers.models:ManagedEnvironment",
    "Microsoft.App/containerApps@2025-07-01": "appcontainers.models:ContainerApp",
    "Microsoft.Authorization/roleAssignments@2022-04-01": (
        "authorization.v2022_04_01.models:RoleAssignmentCreateParameters"
    ),
    "Microsoft.BotService/botServices@2022-09-15": "botservice.models:Bot",
    "Microsoft.BotService/botServices/channels@2022-09-15": "botservice.models:BotChannel",
    "Microsoft.BotService/botServices/connections@2022-09-15": (
        "botservice.models:ConnectionSetting"
    ),
    "Microsoft.CognitiveServices/accounts@2025-06-01": "cognitiveservices.models:Account",
    "Microsoft.CognitiveServices/accounts/deployments@2025-06-01": (
        "cognitiveservices.models:Deployment"
    ),
    "Microsoft.CognitiveServices/accounts/raiPolicies@2025-06-01": (
        "cognitiveservices.models:RaiPolicy"
    ),
    "Microsoft.ContainerRegistry/registries@2023-07-01": (
        "containerregistry.v2023_07_01.models:Registry"
    ),
    "Microsoft.DocumentDB/databaseAccounts@2024-11-15": (
        "cosmosdb.models:DatabaseAccountCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-11-15": (
        "cosmosdb.models:SqlDatabaseCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-11-15": (
        "cosmosdb.models:SqlContainerCreateUpdateParameters"
    ),
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15": (
        "cosmosdb.models:SqlRoleAssignmentCreateUpdateParameters"
    ),
    "Microsoft.Insights/components@2020-02-02": (
        "applicationinsights.v2020_02_02.models:ApplicationInsightsComponent"
    ),
    "Microsoft.Insights/scheduledQueryRules@2023-12-01": (
        "monitor.models:ScheduledQueryRuleResource"
    ),
    "Microsoft.Insights/workbooks@2023-06-01": "applicationinsights.v2023_06_01.models:Workbook",
    "Microsoft.KeyVault/vaults@2024-11-01": "keyvault.models:VaultCreateOrUpdateParameters",
    "Microsoft.KeyVault/vaults/secrets@2024-11-01": (
        "keyvault.models:SecretCreateOrUpdateParameters"
    ),
    "Microsoft.Logic/workflows@2019-05-01": "logic.models:Workflow",
    "Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30": (
        "msi.v2024_11_30.models:Identity"
    ),
    "Microsoft.OperationalInsights/workspaces@2025-07-01": "loganalytics.models:Workspace",
    "Microsoft.Resources/resourceGroups@2024-11-01": (
        "resource.resources.v2024_11_01.models:ResourceGroup"
    ),
    "Microsoft.SecurityInsights/automationRules@2024-03-01": (
        "securityinsight.models:AutomationRule"
    ),
}
# No package speaks the version used: an older one is asked.
OLDER = {"Microsoft.SecurityInsights/automationRules@2024-03-01": "2021-10-01"}
# Which kind is meant where a type has several.
KINDS = {
    "AutomationRuleAction": "AutomationRuleRunPlaybookAction",
    "BackupPolicy": "ContinuousModeBackupPolicy",
    "Channel": "MsTeamsChannel",
}
# A property: whether it is required, and its type's name or the properties that SDKs flatten away.
Shape = dict[str, tuple[bool, "str | Shape"]]


def known(type_: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The tree of a type, whose api-version must be one that its package speaks."""
    where, name = MODELS[type_].split(":")
    module = import_module(f"azure.mgmt.{where}")
    version = OLDER.get(type_, type_.partition("@")[2])
    package = Path(str(module.__file__)).parents[1]
    files = [*package.glob("_configuration.py"), *package.glob("operations/*.py")]
    if not any(f'"{version}"' in file.read_text("utf-8") for file in files):
        raise LookupError(f"azure.mgmt.{where} does not speak {version}.")
    return tree(shape(getattr(module, name)), module, asked)


def tree(shape_: Shape, module: Any, asked: dict[str, Any]) -> dict[str, Any]:
    asked = {name.removesuffix("!"): below for name, below in asked.items()}
    found: dict[str, Any] = {}
    for name, (required, type_) in shape_.items():
        below = asked.get(name)
        if isinstance(below, dict):
            inner = type_ if isinstance(type_, dict) else shape(model(type_, module))
            below = tree(inner, module, below)
        if required or name in asked:
            found[name + "!" * required] = below
    return found


def shape(model_: Any) -> Shape:
    """A model's properties by their names in REST, of both generations of packages."""
    if not hasattr(model_, "_attribute_map"):
        fields = model_.__new__(model_)._attr_to_rest_field
        notes = {
            name: str(note)
            for each in reversed(model_.__mro__)
            for name, note in vars(each).get("__annotations__", {}).items()
        }
        return {
            each._rest_name: (
                not {"Optional", "NoneType"} & {*re.findall(r"\w+", notes[name])},
                notes[name],
            )
            for name, each in fields.items()
        }
    found: Shape = {}
    for name, each in model_._attribute_map.items():
        required = bool(model_._validation.get(name, {}).get("required"))
        *outer, last = re.split(r"(?<!\\)\.", each["key"])
        at = found
        for flattened in outer:
            must, inner = at.get(flattened, (False, {}))
            at[flattened] = (must or required, inner)
            at = inner
        at[last.replace("\\.", ".")] = (required, each["type"])
    return found


def model(type_: str, module: Any) -> Any:
    """The model in a type's name, as in `[Probe]` or `Optional["_models.Sku"]`."""
    names = [KINDS.get(name, name) for name in re.findall(r"\w+", type_)]
    return next(
        found
        for name in names
        if hasattr(found := getattr(module, name, None), "deserialize")
        or hasattr(found, "_deserialize")
    )


if __name__ == "__main__":
    print(json.dumps({type_: known(type_, asked) for type_, asked in json.load(sys.stdin).items()}))
