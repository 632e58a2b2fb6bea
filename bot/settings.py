"""Reads the environment, once, into one value; the only place that does.

Every wrong or missing name is reported at once, each with what to do about it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from .domain import endpoint
from .domain.audience import accepted
from .domain.incident import Workspace
from .domain.price import Prices
from .domain.store_address import StoreAddress
from .errors import SettingsError

PUBLIC_OPENID_METADATA = "https://login.botframework.com/v1/.well-known/openidconfiguration"
PUBLIC_LOGS = "https://api.loganalytics.azure.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for; secrets stay out of `repr`."""

    host: str
    port: int
    bot_app_id: str
    bot_app_type: str
    bot_tenant_id: str
    bot_app_password: str = field(repr=False)
    bot_openid_metadata: str
    entra_authority: str
    allowed_tenants: frozenset[str]
    soc_team_id: str
    incident_webhook_audience: str
    incident_webhook_callers: frozenset[str]
    model_base_url: str
    model: str
    model_api_key: str = field(repr=False)
    model_prices: Prices | None
    workspace: Workspace
    arm_endpoint: str
    log_analytics_endpoint: str
    kql_checkers: int
    store: StoreAddress
    history_days: int
    poll_seconds: int
    enrich: str
    enrich_per_hour: int
    tasks_also_as_comment: bool
    prompts_dir: Path | None

    @property
    def local_mode(self) -> bool:
        """Loopback only, no bot identity: what runs where `BOT_APP_ID` is unset."""
        return not self.bot_app_id

    @property
    def loopback_services(self) -> bool:
        """Say whether a service URL on loopback is expected: local mode, or a test's own issuer."""
        return self.local_mode or endpoint.is_loopback(self.bot_openid_metadata)

    @staticmethod
    def from_env(environment: Mapping[str, str]) -> Settings:
        """Read and check all settings. Raises SettingsError with every problem in it."""
        return _Reader(environment).read()


def from_process() -> Settings:
    """Read this process's environment. Raises SettingsError."""
    return Settings.from_env(os.environ)


def overlaid(values: Mapping[str, str]) -> Settings:
    """Read `values`, and this process's environment where they name nothing."""
    return Settings.from_env({**os.environ, **values})


_ARM_AUDIENCE = "is Azure Resource Manager's: name an application registered for the webhook"


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._problems: list[str] = []

    def read(self) -> Settings:
        app_id = self._guid("BOT_APP_ID")
        local = not app_id
        app_type = self._one_of("BOT_APP_TYPE", ("SingleTenant", "UserAssignedMSI"))
        tenant = self._guid("BOT_TENANT_ID", "the tenant of BOT_APP_ID" if not local else "")
        password = self._text("BOT_APP_PASSWORD")
        if not local and app_type == "SingleTenant" and not password:
            self._wrong(
                "BOT_APP_PASSWORD", "is missing: a SingleTenant bot needs its client secret"
            )
        tenants = self._guids("ALLOWED_TENANT_IDS")
        audience, callers = self._webhook()
        settings = Settings(
            host=self._host(local),
            port=self._number("PORT", 3978, 0, 65535),
            bot_app_id=app_id,
            bot_app_type=app_type,
            bot_tenant_id=tenant,
            bot_app_password=password,
            bot_openid_metadata=self._url("BOT_OPENID_METADATA", PUBLIC_OPENID_METADATA),
            entra_authority=self._url("ENTRA_AUTHORITY", "https://login.microsoftonline.com"),
            allowed_tenants=tenants or frozenset(filter(None, [tenant])),
            soc_team_id=self._text("SOC_TEAM_ID"),
            incident_webhook_audience=audience,
            incident_webhook_callers=callers,
            model_base_url=self._url("AZURE_OPENAI_BASE_URL", None) + "/",
            model=self._text("AZURE_OPENAI_MODEL") or "gpt-5.4-mini",
            model_api_key=self._text("AZURE_OPENAI_API_KEY"),
            model_prices=self._prices(),
            workspace=self._workspace(),
            arm_endpoint=self._url("ARM_ENDPOINT", "https://management.azure.com"),
            log_analytics_endpoint=self._url("LOG_ANALYTICS_ENDPOINT", PUBLIC_LOGS),
            kql_checkers=self._number("KQL_CHECKERS", 1, 0, 8),
            store=self._store(),
            history_days=self._number("HISTORY_DAYS", 30, 1, 3650),
            poll_seconds=self._number("POLL_SECONDS", 60, 0, 86_400),
            enrich=self._one_of("ENRICH", ("suggest", "off", "post")),
            enrich_per_hour=self._number("ENRICH_PER_HOUR", 30, 0, 10_000),
            tasks_also_as_comment=self._yes("TASKS_ALSO_AS_COMMENT"),
            prompts_dir=self._folder("PROMPTS_DIR"),
        )
        if settings.soc_team_id:
            self._wrong("SOC_TEAM_ID", "is not available in this version: leave it unset")
        if self._one_of("WRITE_AS", ("bot", "analyst")) == "analyst":
            self._wrong("WRITE_AS", "analyst is not available in this version: set it to bot")
        if self._problems:
            raise SettingsError(self._problems)
        return settings

    def _wrong(self, name: str, what: str) -> None:
        self._problems.append(f"{name} {what}")

    def _text(self, name: str) -> str:
        return self._environment.get(name, "").strip()

    def _guid(self, name: str, needed_as: str = "") -> str:
        value = self._text(name).lower()
        if not value and needed_as:
            self._wrong(name, f"is missing: {needed_as}")
        elif value and not _is_guid(value):
            self._wrong(name, "is not a GUID")
        return value

    def _guids(self, name: str) -> frozenset[str]:
        listed = [each.strip().lower() for each in self._text(name).split(",")]
        for each in filter(None, listed):
            if not _is_guid(each):
                self._wrong(name, f"holds {each[:60]!r}, which is not a GUID")
        return frozenset(filter(None, listed))

    def _webhook(self) -> tuple[str, frozenset[str]]:
        """Who may post incidents: both settings or neither, or the route would let nobody in."""
        audience, callers = (f"INCIDENT_WEBHOOK_{each}" for each in ("AUDIENCE", "CALLERS"))
        value, listed = self._text(audience), self._guids(callers)
        if listed and not value:
            self._wrong(audience, f"is missing: {callers} need the application they ask for")
        if value and not listed:
            self._wrong(callers, "is missing: the object ids of the identities that may post")
        if value and (not value.isprintable() or " " in value):
            self._wrong(audience, "must not hold spaces or control characters")
        elif value and not accepted(value):
            self._wrong(audience, _ARM_AUDIENCE)
        return value, listed

    def _one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._text(name)
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        if value:
            self._wrong(name, f"must be one of: {', '.join(choices)}")
        return choices[0]

    def _yes(self, name: str) -> bool:
        return self._one_of(name, ("false", "true")) == "true"

    def _number(self, name: str, default: int, low: int, high: int) -> int:
        value = self._text(name)
        if not value:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            self._wrong(name, f"must be a whole number from {low} to {high}")
            return default
        return int(value)

    def _host(self, local: bool) -> str:
        host = self._text("HOST") or ("127.0.0.1" if local else "0.0.0.0")  # noqa: S104 - a container's port is published by its platform
        host = host.strip("[]")
        if local and not endpoint.is_loopback_host(host):
            self._wrong(
                "HOST", "must be loopback while BOT_APP_ID is unset: nobody is authenticated"
            )
        return host

    def _url(self, name: str, default: str | None) -> str:
        value = self._text(name) or default
        if value is None:
            self._wrong(name, "is missing")
            return ""
        if problem := endpoint.problem(value):
            self._wrong(name, problem)
        elif "?" in value or "#" in value:
            self._wrong(name, "must end with its path, without ? or #")
        return value.rstrip("/")

    def _store(self) -> StoreAddress:
        names = ("STORE_URL", "COSMOS_DATABASE", "COSMOS_KEY")
        store = StoreAddress.of(*map(self._text, names))
        for name, problem in store.problems():
            self._wrong(name, problem)
        return store

    def _prices(self) -> Prices | None:
        if not (value := self._text("MODEL_PRICES")):
            return None
        try:
            return Prices.parse(value)
        except ValueError:
            self._wrong("MODEL_PRICES", 'must look like {"input":0.75,"cached":0.075,"output":4.5}')
            return None

    def _folder(self, name: str) -> Path | None:
        value = self._text(name)
        if not value:
            return None
        folder = Path(value)
        try:
            found = folder.is_dir()
        except OSError:  # a name too long, a parent that is closed to us
            found = False
        if not found:
            self._wrong(name, "is not a folder")
        return folder

    def _workspace(self) -> Workspace:
        if listed := self._text("SENTINEL_WORKSPACES"):
            return self._listed_workspace(listed)
        names = ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE", "WORKSPACE_ID")
        values = {name.lower(): self._text(f"SENTINEL_{name}") for name in names}
        return self._checked_workspace(
            values, values["workspace"], lambda name: f"SENTINEL_{name.upper()}"
        )

    def _listed_workspace(self, listed: str) -> Workspace:
        nothing = Workspace("", "", "", "", "")
        try:
            entries = json.loads(listed)
        except (ValueError, RecursionError):
            entries = None
        if not isinstance(entries, list) or not entries:
            self._wrong("SENTINEL_WORKSPACES", "is not a JSON list of workspaces")
            return nothing
        first = cast(list[Any], entries)[0]
        if len(cast(list[Any], entries)) > 1:
            self._wrong("SENTINEL_WORKSPACES", "lists several: this version serves one workspace")
        if not isinstance(first, dict):
            self._wrong("SENTINEL_WORKSPACES", "must hold objects")
            return nothing
        fields = cast(dict[str, Any], first).items()
        values = {name: value.strip() for name, value in fields if isinstance(value, str)}
        name = values.get("name", "") or values.get("workspace", "")
        return self._checked_workspace(values, name, lambda field: f"SENTINEL_WORKSPACES: {field}")

    def _checked_workspace(
        self, values: Mapping[str, str], name: str, called: Callable[[str], str]
    ) -> Workspace:
        fields = ("subscription_id", "resource_group", "workspace", "workspace_id")
        for each in fields:
            value = values.get(each, "")
            if not value:
                self._wrong(called(each), "is missing")
            elif each.endswith("_id") and not _is_guid(value):
                self._wrong(called(each), "is not a GUID")
            elif "/" in value or "?" in value or "#" in value:
                self._wrong(called(each), "is not a name that Azure gives")
        return Workspace(name, *(values.get(each, "") for each in fields))


def _is_guid(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False
