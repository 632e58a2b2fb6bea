"""The container's files: what the image would hold is enough to serve. No image is built here."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import distributions
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import unused_port
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bot.kusto.checker import FOLDER
from bot.kusto.isolate import SERVICE

ROOT = Path(__file__).resolve().parents[1]
GUID = "0b0c2a3e-1d2f-4a5b-8c6d-7e8f90a1b2c3"
# The instructions, continued lines joined, of the stage that becomes the image.
STEPS = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
LAST = STEPS[max(n for n, step in enumerate(STEPS) if step.startswith("FROM")) :]


def instructions(name: str) -> list[str]:
    return [step.removeprefix(name).strip() for step in LAST if step.startswith(f"{name} ")]


def environment() -> dict[str, str]:
    [line] = instructions("ENV")
    return dict(each.split("=", 1) for each in shlex.split(line))


def health_check() -> list[str]:
    [line] = instructions("HEALTHCHECK")
    return json.loads(line.partition("CMD ")[2])


def copied() -> list[tuple[Path, str]]:
    """Each file or folder of ours that the image gets, and where it lies below /app."""
    found = []
    for line in instructions("COPY"):
        stage, *rest = line.split() if line.startswith("--from=") else ("", *line.split())
        *sources, to = rest
        if stage == "--from=packages":
            continue
        for source in sources:
            name = source.replace("/kusto/", "bot/kusto/") if stage else source
            into = to + Path(source).name if to.endswith("/") else to
            found.append((ROOT / name, into.removeprefix("./")))
    return found


def lay_out(app: Path) -> None:
    ours = shutil.ignore_patterns("node_modules", "__pycache__")
    for source, to in copied():
        if not source.exists():
            pytest.skip("the KQL checker's files are not installed: npm ci in bot/kusto/")
        (app / to).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, app / to, ignore=ours, dirs_exist_ok=True)
        else:
            shutil.copy(source, app / to)


@asynccontextmanager
async def running(app: Path, data: Path, port: int) -> AsyncIterator[None]:
    settings = {
        **environment(),
        "PORT": str(port),
        "KQL_CHECKERS": "0",
        "STORE_URL": f"sqlite:///{data}/casemate.db",
        "AZURE_OPENAI_BASE_URL": f"http://127.0.0.1:{unused_port()}/openai/v1/",
        "AZURE_OPENAI_API_KEY": "none",
        "ARM_ENDPOINT": f"http://127.0.0.1:{unused_port()}",
        "LOG_ANALYTICS_ENDPOINT": f"http://127.0.0.1:{unused_port()}",
        "SENTINEL_SUBSCRIPTION_ID": GUID,
        "SENTINEL_RESOURCE_GROUP": "soc",
        "SENTINEL_WORKSPACE": "soc",
        "SENTINEL_WORKSPACE_ID": GUID,
    }
    [entry] = instructions("ENTRYPOINT")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *json.loads(entry)[1:]), cwd=app, env=settings
    )
    try:
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def readiness(port: int) -> dict[str, str]:
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/readyz") as response:
                    return await response.json()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def healthy(port: int) -> bool:
    """Run the image's own health check."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *health_check()[1:]),
        env={"PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(20):
        return await process.wait() == 0


async def test_the_files_of_the_image_serve_and_nothing_is_written_beside_them(
    tmp_path: Path,
) -> None:
    app, data, port = tmp_path / "app", tmp_path / "data", unused_port()
    lay_out(app)
    data.mkdir()
    assert [each for each in SERVICE if not (app / FOLDER.relative_to(ROOT) / each).exists()] == []
    before = {path: path.stat().st_mtime_ns for path in app.rglob("*")}
    async with running(app, data, port):
        state = await readiness(port)
        assert (state["ready"], state["store"]) == (True, "ok")
        assert await healthy(port)
    assert not await healthy(port)
    assert {path: path.stat().st_mtime_ns for path in app.rglob("*")} == before
    assert (data / "casemate.db").exists()


def test_nothing_of_ours_is_kept_from_the_image_and_nothing_else_goes_in() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = [step.split()[1:-1] for step in STEPS if step.startswith("COPY ") and "--" not in step]
    assert let_in == {source.split("/")[0] for sources in copied for source in sources}


@pytest.mark.timeout(150)
def test_what_is_listed_of_the_image_is_what_it_gets(tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("there is no npm here")
    for name in ("Makefile", "pyproject.toml", *INSTALLED, "bot/kusto/package.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "bot/kusto/package-lock.json", tmp_path / "bot/kusto")
    made = ["make", "-o", ".venv/development", f"BIN={Path(sys.executable).parent}", "sbom"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    listed = json.loads((tmp_path / "sbom/python.cdx.json").read_text("utf-8"))["components"]
    names = [canonicalize_name(each["name"]) for each in listed]
    assert len(names) == len(set(names)) and set(names) == {*locked(*INSTALLED)}
    node = json.loads((tmp_path / "sbom/node.cdx.json").read_text("utf-8"))["components"]
    assert "@kusto/language-service-next" in str(node)


def test_the_image_runs_without_rights() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("VOLUME") == ["/data"]
    assert environment()["STORE_URL"] == "sqlite:////data/casemate.db"


def test_no_secret_stands_in_the_image() -> None:
    assert not re.search(r"(KEY|PASSWORD|SECRET|TOKEN)=", "\n".join(STEPS))


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_every_package_is_locked_by_hash_and_no_registry_is_named(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    packages = [each for each in re.split(r"\n(?=\S)", text) if not each.startswith("#")]
    assert [each for each in packages if not re.search(r"==\S+.*--hash=sha256:", each, re.S)] == []
    assert "://" not in text and "--index-url" not in text


# The files of requirements that the image is built from.
INSTALLED = re.findall(r"-r (\S+)", "\n".join(STEPS))


def locked(*files: str) -> dict[str, set[str]]:
    """The packages that files pin, with their extras."""
    return {
        canonicalize_name(name): set(filter(None, extras.split(",")))
        for file in files
        for name, extras in re.findall(
            r"^([\w.-]+)(?:\[(.*)\])?==", (ROOT / file).read_text("utf-8"), re.MULTILINE
        )
    }


LOCKED = locked("requirements.txt", "requirements-dev.txt")


def test_two_files_of_the_image_do_not_pin_one_package_differently() -> None:
    text = "".join((ROOT / file).read_text("utf-8") for file in INSTALLED)
    pins = set(re.findall(r"^([\w.-]+)(?:\[.*\])?(==\S+)", text, re.MULTILINE))
    assert len(pins) == len({name for name, _ in pins})


def test_every_locked_file_is_looked_up_for_known_weaknesses() -> None:
    said = subprocess.run(["make", "-n", "audit"], cwd=ROOT, capture_output=True, text=True).stdout
    files = [*ROOT.glob("requirements*.txt"), *ROOT.glob("benchmarks/*/requirements*.txt")]
    assert len(files) > 5
    assert {ROOT / each for each in re.findall(r"-r (\S+)", said)} == set(files)


def test_what_is_needed_with_extras_is_locked_with_them() -> None:
    """Or pip, asked for `coverage[toml]`, takes the newest coverage, which has no hash here."""
    without = []
    for package in distributions():
        needs = map(Requirement, package.requires or [])
        on = ["", *LOCKED.get(canonicalize_name(package.name), set())]
        for need in needs if canonicalize_name(package.name) in LOCKED else ():
            asked = not need.marker or any(need.marker.evaluate({"extra": each}) for each in on)
            if asked and need.extras - LOCKED.get(canonicalize_name(need.name), need.extras):
                without.append(f"{package.name} needs {need}")
    assert without == []


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: pip install -r requirements-dev.txt")
    said = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (said.returncode, said.stdout) == (0, "")
