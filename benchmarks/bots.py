"""The bots that are measured, and how each is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .load import APP_ID, TENANT
from .services import Services

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "benchmarks" / "peers"
PEERS_PYTHON = ROOT / ".venv" / "peers" / "bin" / "python"


@dataclass(frozen=True)
class Bot:
    """`streams`: in a personal chat its answer is shown as it is written."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str]
    ready: str = "/healthz"
    streams: bool = True


def casemate(
    services: Services, store: Path, command: tuple[str | Path, ...] = (ROOT / "app.py",)
) -> Bot:
    """The bot as an operator runs it, without a limit on how much a few analysts ask."""
    environment = services.environment(store) | {
        "BOT_APP_ID": APP_ID,
        "BOT_TENANT_ID": TENANT,
        "BOT_APP_PASSWORD": "bench",
        "BOT_OPENID_METADATA": f"{services.base}/openidconfiguration",
        "ANALYST_REQUESTS_PER_MINUTE": "0",
        "TENANT_REQUESTS_PER_MINUTE": "0",
        "ANALYST_TOKENS_PER_DAY": "0",
        "TENANT_TOKENS_PER_DAY": "0",
    }
    return Bot("Casemate", (sys.executable, *command), environment, "/readyz")


def peers(services: Services) -> list[Bot]:
    """A minimal chat bot on each of Microsoft's SDKs: benchmarks/peers says what each does."""
    environment = {
        "AZURE_OPENAI_BASE_URL": f"{services.base}/openai/v1/",
        "BOT_APP_ID": APP_ID,
        "BOT_TENANT_ID": TENANT,
        "BOT_OPENID_METADATA": f"{services.base}/openidconfiguration",
        "BOT_OPENID_KEYS": f"{services.base}/keys",
        # What the bot of an SDK that must have one sends; the connector does not look at it.
        "BENCH_TOKEN": services.token(APP_ID),
    }
    return [
        Bot(package, (PEERS_PYTHON, PEERS / file), environment, streams=streams)
        for package, file, streams in (
            ("botbuilder-integration-aiohttp", "botbuilder_bot.py", False),
            ("microsoft-agents-hosting-aiohttp", "agents_bot.py", True),
            ("microsoft-teams-apps", "teams_bot.py", True),
        )
    ]


def version(package: str, python: Path = PEERS_PYTHON) -> str:
    """The version in the peers' environment, or nothing where it could not be installed."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        found = subprocess.run(  # a package's own name, from the list above
            [python, "-c", code], capture_output=True, text=True, timeout=20
        )
    except FileNotFoundError:
        return ""
    return found.stdout.strip()
