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

from .domain import endpoint
from .domain.audience import accepted
from .domain.incident import Workspace
from .domain.limits import Limits
from .domain.price import Prices
from .domain.store_address import StoreAddress
from .environment import Values, is_guid, is_sayable
from .errors import SettingsError

PUBLIC_OPENID_METADATA = "https://login.botframework.com/v1/.well-known/openidconfiguration"
PUBLIC_SIGN_INS = "https://api.botframework.com"
PUBLIC_LOGS = "https://api.loganalytics.azure.com"
_SIGNALS = ("_TRACES", "_METRICS")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told of `signals`: nobody, `otlp`, or a connection string of Application Insights."""

    to: str = field(repr=False)
    signals: frozenset[str]


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
    workspaces: tuple[Workspace, ...]
    arm_endpoint: str
    log_analytics_endpoint: str
    write_as: str
    oauth_connection: str
    token_service: str
    kql_checkers: int
    store: StoreAddress
    history_days: int
    audit_days: int
    poll_seconds: int
    enrich: str
    enrich_per_hour: int
    limits: Limits
    tasks_also_as_comment: bool
    prompts_dir: Path | None
    telemetry: Receiver

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


def prompts_dir() -> Path | None:
    """Read the one setting that `prompts check` needs."""
    return Path(value) if (value := os.environ.get("PROMPTS_DIR", "").strip()) else None


def overlaid(values: Mapping[str, str], usual: Mapping[str, str] | None = None) -> Settings:
    """Read `values`, this process's environment where they name nothing, then what is usual."""
    return Settings.from_env({**(usual or {}), **os.environ, **values})


class _Reader(Values):
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
        write_as, connection, token_service = self._sign_ins(local)
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
            soc_team_id=self._id("SOC_TEAM_ID"),
            incident_webhook_audience=audience,
            incident_webhook_callers=callers,
            model_base_url=self._url("AZURE_OPENAI_BASE_URL", None) + "/",
            model=self._text("AZURE_OPENAI_MODEL") or "gpt-5.4-mini",
            model_api_key=self._text("AZURE_OPENAI_API_KEY"),
            model_prices=self._prices(),
            workspaces=self._workspaces(),
            arm_endpoint=self._url("ARM_ENDPOINT", "https://management.azure.com"),
            log_analytics_endpoint=self._url("LOG_ANALYTICS_ENDPOINT", PUBLIC_LOGS),
            write_as=write_as,
            oauth_connection=connection,
            token_service=token_service,
            kql_checkers=self._number("KQL_CHECKERS", 1, 0, 8),
            store=self._store(),
            history_days=self._number("HISTORY_DAYS", 30, 1, 3650),
            audit_days=self._number("AUDIT_DAYS", 400, 0, 36_500),
            poll_seconds=self._number("POLL_SECONDS", 60, 0, 86_400),
            enrich=self._one_of("ENRICH", ("suggest", "off", "post")),
            limits=self._limits(local),
            enrich_per_hour=self._number("ENRICH_PER_HOUR", 30, 0, 10_000),
            tasks_also_as_comment=self._yes("TASKS_ALSO_AS_COMMENT"),
            prompts_dir=self._folder("PROMPTS_DIR"),
            telemetry=Receiver(self._receiver(), self._signals()),
        )
        if self._problems:
            raise SettingsError(self._problems)
        return settings

    def _receiver(self) -> str:
        """Whether anybody is told; how and where by OTLP, OpenTelemetry's SDK reads for itself."""
        azure = self._text("APPLICATIONINSIGHTS_CONNECTION_STRING")
        if azure and not re.match(r"(?i)(.*;)?InstrumentationKey=[0-9a-f-]{36}(;|$)", azure):
            self._wrong("APPLICATIONINSIGHTS_CONNECTION_STRING", "names no InstrumentationKey")
        if self._yes("OTEL_SDK_DISABLED"):
            return ""
        endpoints = [f"OTEL_EXPORTER_OTLP{each}_ENDPOINT" for each in ("", *_SIGNALS)]
        asked = [self._text(f"OTEL{each}_EXPORTER").lower() for each in _SIGNALS]
        return "otlp" if any([*map(self._text, endpoints)]) or "otlp" in asked else azure

    def _signals(self) -> frozenset[str]:
        """What is told of `traces` and `metrics`: all that is not `none`."""
        names = {each.strip("_").lower(): f"OTEL{each}_EXPORTER" for each in _SIGNALS}
        choices = ("", "otlp", "none")
        return frozenset(
            each for each, name in names.items() if self._one_of(name, choices) != "none"
        )

    def _sign_ins(self, local: bool) -> tuple[str, str, str]:
        """Whose rights decide in Azure, and where analysts sign in where it is theirs."""
        write_as = self._one_of("WRITE_AS", ("bot", "analyst"))
        connection = self._text("OAUTH_CONNECTION")
        service = self._url("TOKEN_SERVICE", PUBLIC_SIGN_INS)
        if write_as == "analyst" and not connection:
            self._wrong("OAUTH_CONNECTION", "is missing: analysts sign in with WRITE_AS=analyst")
        if write_as == "analyst" and local and not endpoint.is_loopback(service):
            self._wrong(
                "WRITE_AS", "analyst needs a registered bot to sign in to: set BOT_APP_ID, or bot"
            )
        return write_as, connection, service

    def _webhook(self) -> tuple[str, frozenset[str]]:
        """Who may post incidents: both settings or neither, or the route would let nobody in."""
        audience, callers = (f"INCIDENT_WEBHOOK_{each}" for each in ("AUDIENCE", "CALLERS"))
        value, listed = self._id(audience), self._guids(callers)
        if listed and not value:
            self._wrong(audience, f"is missing: {callers} need the application they ask for")
        if value and not listed:
            self._wrong(callers, "is missing: the object ids of the identities that may post")
        if value and not accepted(value):
            self._wrong(audience, "is Azure Resource Manager's: name the webhook's own application")
        return value, listed

    def _host(self, local: bool) -> str:
        host = self._text("HOST") or ("127.0.0.1" if local else "0.0.0.0")  # noqa: S104 - a container's port is published by its platform
        host = host.strip("[]")
        if local and not endpoint.is_loopback_host(host):
            self._wrong(
                "HOST", "must be loopback while BOT_APP_ID is unset: nobody is authenticated"
            )
        return host

    def _store(self) -> StoreAddress:
        names = ("STORE_URL", "COSMOS_DATABASE", "COSMOS_KEY")
        store = StoreAddress.of(*map(self._text, names))
        for name, problem in store.problems():
            self._wrong(name, problem)
        return store

    def _limits(self, local: bool) -> Limits:
        """In local mode nobody is authenticated, so that nobody can be held to a share."""
        defaults = (0, 0, 0, 0) if local else (1_200, 12_000, 30_000_000, 300_000_000)
        per = "REQUESTS_PER_MINUTE", "TOKENS_PER_DAY"
        names = [f"{who}_{each}" for each in per for who in ("ANALYST", "TENANT")]
        return Limits(
            *(self._number(n, d, 0, 999_999_999) for n, d in zip(names, defaults, strict=True))
        )

    def _prices(self) -> Prices | None:
        if not (value := self._text("MODEL_PRICES")):
            return None
        try:
            return Prices.parse(value)
        except ValueError:
            self._wrong("MODEL_PRICES", 'must look like {"input":0.75,"cached":0.075,"output":4.5}')
            return None

    def _workspaces(self) -> tuple[Workspace, ...]:
        if listed := self._text("SENTINEL_WORKSPACES"):
            return self._listed_workspaces(listed)
        names = ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE", "WORKSPACE_ID")
        values = {name.lower(): self._text(f"SENTINEL_{name}") for name in names}
        called = "SENTINEL_{}".format
        return (
            self._checked_workspace(
                values, values["workspace"], lambda name: called(name.upper()), several=False
            ),
        )

    def _listed_workspaces(self, listed: str) -> tuple[Workspace, ...]:
        setting = "SENTINEL_WORKSPACES"
        try:
            entries = json.loads(listed)
        except (ValueError, RecursionError):
            entries = None
        if not isinstance(entries, list) or not entries:
            self._wrong(setting, "is not a JSON list of workspaces")
            return ()
        found = [
            self._listed_workspace(entry, several=len(cast(list[Any], entries)) > 1)
            for entry in cast(list[Any], entries)
        ]
        names = [each.name.casefold() for each in found]
        if twice := {each for each in names if each and names.count(each) > 1}:
            self._wrong(setting, f"has the same name twice: {', '.join(sorted(twice))}")
        places = [each.arm_path.lower() for each in found if each.workspace]
        if len(set(places)) < len(places):
            self._wrong(setting, "lists one workspace twice")
        return tuple(found)

    def _listed_workspace(self, entry: Any, *, several: bool) -> Workspace:
        if not isinstance(entry, dict):
            self._wrong("SENTINEL_WORKSPACES", "must hold objects")
            return Workspace("", "", "", "", "")
        fields = cast(dict[str, Any], entry).items()
        values = {name: value.strip() for name, value in fields if isinstance(value, str)}
        name = values.get("name", "") or values.get("workspace", "")
        if several and name and not is_sayable(name):
            self._wrong(
                "SENTINEL_WORKSPACES",
                "name must be up to 60 letters, digits, spaces, '.', '_' or '-': analysts say it",
            )
        return self._checked_workspace(
            values, name, lambda field: f"SENTINEL_WORKSPACES: {field}", several=several
        )

    def _checked_workspace(
        self, values: Mapping[str, str], name: str, called: Callable[[str], str], *, several: bool
    ) -> Workspace:
        fields = ("subscription_id", "resource_group", "workspace", "workspace_id")
        for each in fields:
            value = values.get(each, "")
            if not value:
                self._wrong(called(each), "is missing")
            elif each.endswith("_id") and not is_guid(value):
                self._wrong(called(each), "is not a GUID")
            elif "/" in value or "?" in value or "#" in value:
                self._wrong(called(each), "is not a name that Azure gives")
        return Workspace(name, *(values.get(each, "") for each in fields), several=several)
