"""Builds casemate.zip, the Teams app package, from this folder: `make manifest APP_ID=...`.

The package is judged by Microsoft's own validator before it is written, and is the same, byte for
byte, whenever its values are. Every wrong or missing value is named in one message.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "casemate.zip"
# Links that lead nowhere, for a package that stays in one's own tenant.
SITE = "https://casemate.example"

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VERSION = re.compile(r"(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}")
_MAX_PUBLISHER, _MAX_URL = 32, 2_048


class BuildError(Exception):
    """The package cannot be built; the message says why, and what to do."""


def values(given: Mapping[str, str]) -> dict[str, str]:
    """Check what is given and add what is not. Raises BuildError that names all that is wrong."""
    asked = {name: value.strip() for name, value in given.items() if value.strip()}
    site = asked.get("APP_SITE", SITE).rstrip("/")
    found = {
        "APP_ID": "",
        "APP_VERSION": _project_version(),
        "APP_PUBLISHER": "Casemate",
        "APP_SITE": site,
        "APP_PRIVACY": f"{site}/privacy",
        "APP_TERMS": f"{site}/terms",
        "APP_SSO": "yes",
    }
    wrong = [f"{name} is no value of the manifest" for name in asked if name not in found]
    found |= asked
    found["APP_ID"] = found["APP_ID"].lower()
    if not found["APP_ID"]:
        wrong.append("APP_ID is missing: the application (client) id of the bot, its BOT_APP_ID")
    elif not _GUID.fullmatch(found["APP_ID"]):
        wrong.append("APP_ID is not a GUID")
    if not _VERSION.fullmatch(found["APP_VERSION"]):
        wrong.append("APP_VERSION must be three numbers, such as 1.0.2")
    if len(found["APP_PUBLISHER"]) > _MAX_PUBLISHER or not found["APP_PUBLISHER"].isprintable():
        wrong.append(f"APP_PUBLISHER must have {_MAX_PUBLISHER} printable characters at most")
    if found["APP_SSO"] not in ("yes", "no"):
        wrong.append("APP_SSO must be yes, or no where the bot has WRITE_AS=bot")
    for name in ("APP_SITE", "APP_PRIVACY", "APP_TERMS"):
        # What follows from a wrong site would be named three times.
        if (name == "APP_SITE" or name in asked) and not _is_https(found[name]):
            wrong.append(f"{name} must be an address that begins with https://")
    if wrong:
        raise BuildError("\n".join(wrong))
    return found


def files(given: Mapping[str, str]) -> dict[str, bytes]:
    """Make the package's files from values that were checked, in the order they are packed.

    Without single sign-on the manifest names no resource that Teams could ask a token for.
    """
    text = (HERE / "manifest.json").read_text("utf-8")
    for name, value in given.items():
        text = text.replace(f"${{{{{name}}}}}", json.dumps(value)[1:-1])
    if given["APP_SSO"] == "no":
        made = json.loads(text)
        del made["webApplicationInfo"], made["validDomains"]
        text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    others = ("color.png", "outline.png", "de.json")
    return {"manifest.json": text.encode(), **{each: (HERE / each).read_bytes() for each in others}}


def validate(packed: Mapping[str, bytes]) -> None:
    """Ask Microsoft's validator. Raises BuildError with what it says."""
    if not (node := shutil.which("node")) or not (HERE / "node_modules").is_dir():
        raise BuildError(
            "Microsoft's validator is not here: install Node.js 20 or later, then run "
            "`npm ci --ignore-scripts` in manifest/"
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, content in packed.items():
            (Path(folder) / name).write_bytes(content)
        ran = subprocess.run(  # noqa: S603 - our own script, and a folder we made
            [node, str(HERE / "validate.cjs"), folder], capture_output=True, text=True, timeout=60
        )
    if ran.returncode or ran.stdout.strip():
        raise BuildError(f"Microsoft's validator says:\n{ran.stdout or ran.stderr}".strip())


def pack(packed: Mapping[str, bytes], to: Path) -> None:
    """Write the zip without time, owner or compression: equal values give equal bytes."""
    unfinished = to.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as package:
        for name, content in packed.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            package.writestr(entry, content)
    unfinished.replace(to)


def main(arguments: Sequence[str]) -> int:
    """Build from NAME=VALUE arguments; an empty value counts as not given."""
    PACKAGE.unlink(missing_ok=True)  # what is left after a failure must not be uploaded
    try:
        given = {name: value for name, _, value in (each.partition("=") for each in arguments)}
        checked = values(given)
        packed = files(checked)
        validate(packed)
        pack(packed, PACKAGE)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"manifest/{PACKAGE.name}: Casemate {checked['APP_VERSION']} for bot {checked['APP_ID']}")
    if checked["APP_SITE"] == SITE:
        print(f"Its links lead to {SITE}, which is nowhere: set APP_SITE to your own page.")
    return 0


def _project_version() -> str:
    return tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    whole = url.isprintable() and " " not in url and len(url) <= _MAX_URL
    return whole and parts.scheme == "https" and bool(host)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
