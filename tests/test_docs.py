"""The documentation: its commands work, pages and pictures are there, the drawing is the code's.

Really run: every `python app.py ...` and `curl` against a sandbox; and in a copy of the clone
`make docs`, `make manifest`, and what docs/evals.md compares two prompts with (of one case, once:
tests/evals runs the whole set). `make sbom` is run by tests/test_container.py.

Not run: `make test`, `coverage` and `python -m pytest ...`, which are this very session; `check`,
`bench`, `soak`, `fuzz` and `run`, which take minutes or serve until stopped; `contract`,
`emulator`, `llama` and `types`, which install what a test run must not need. Of these make is
asked whether it could (`make -n`). Commands of Azure and of Docker: see `NOT_RUN`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiohttp.test_utils import unused_port

from docs import architecture
from prompts.reading import read_yaml
from sandbox.run import model_address, workspace

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]

# Only looked at, each with its reason; what they name is compared with infra/ below.
NOT_RUN = {
    "az": "needs an Azure subscription",
    "azd": "needs an Azure subscription",
    "docker": "needs a container engine",
    "export": "sets what the command after it reads",
}


def commands(page: Path) -> Iterator[str]:
    """Each command of a page's shell blocks, without its comment and the settings before it."""
    for command in written(page):
        yield re.sub(r"^([A-Z_]+=\S+ )+(?=make )", "", command)


def written(page: Path) -> Iterator[str]:
    """Each command as it stands there, without its comment."""
    fences = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", page.read_text("utf-8"), re.M | re.S)
    for indent, language, block in fences:
        for line in block.replace("\\\n", " ").splitlines():
            command = line.removeprefix(indent).split(" # ")[0].strip()
            if command and language in ("", "sh", "bash", "console"):
                yield command


# The block's language is not said where it is a shell; a block of another kind says which it is.
COMMANDS = sorted({each for page in PAGES for each in commands(page)})


def of(*starts: str) -> list[str]:
    return [each for each in COMMANDS if each.startswith(starts)]


MADE = of("make docs", "make manifest ", 'make eval ARGS="--times', "mkdir ours ")
RUN = of("python app.py", "curl http://127.0.0.1", "curl -X POST http://127.0.0.1")


@dataclass(frozen=True)
class Sandbox:
    folder: Path
    port: int

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        base = f"http://127.0.0.1:{self.port}"
        return subprocess.run(
            command.replace("python app.py", f"'{sys.executable}' '{ROOT / 'app.py'}'")
            .replace("/path/to/your/prompts", str(self.folder / "prompts"))
            .replace("http://127.0.0.1:3978", base)
            .replace("curl ", "curl --silent --show-error --fail "),
            shell=True,
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                **workspace(base),
                **model_address(base),
                "AZURE_OPENAI_MODEL": "casemate-sandbox",
            },
            capture_output=True,
            text=True,
            timeout=50,
        )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """`python app.py sandbox`, in a folder where its store is casemate.db."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "prompts").mkdir()
    shutil.copy(ROOT / "prompts/summary.md", folder / "prompts")
    port = unused_port()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "sandbox", "--port", str(port)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "KQL_CHECKERS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port)
        yield Sandbox(folder, port)
    finally:
        process.terminate()
        process.wait(20)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 40
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)  # another process starts: no clock of ours tells when
    raise AssertionError("the sandbox does not start")


# --- commands ------------------------------------------------------------------------------------


def test_every_command_is_run_or_has_its_reason() -> None:
    known = (*RUN, *MADE, *of("make ", "python -m pytest "), *of(*(f"{each} " for each in NOT_RUN)))
    left = [each for each in COMMANDS if each not in known and not _is_azure(each)]
    assert not left, "run these below, or say in NOT_RUN why not"


def _is_azure(command: str) -> bool:
    """Whether it uses what Azure's tools print."""
    return bool(re.search(r"\$\((az|azd) ", command))


@pytest.mark.parametrize("command", [each for each in RUN if each != "python app.py sandbox"])
def test_it_runs(sandbox: Sandbox, command: str) -> None:
    if command.startswith("curl") and not shutil.which("curl"):
        pytest.skip("there is no curl here")
    done = sandbox.run(command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_fails_would_be_seen(sandbox: Sandbox) -> None:
    assert sandbox.run("python app.py audti").returncode
    assert sandbox.run("curl http://127.0.0.1:3978/readz").returncode


@pytest.mark.parametrize("command", of("make "))
def test_make_knows_it(command: str) -> None:
    told = re.sub(r"\$\([^)]*\)|\"[^\"]*\"", "X", command).split()[1:]
    done = subprocess.run(["make", "-n", *told], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, beside the environments and packages that are there already."""
    copy = tmp_path_factory.mktemp("clone") / "casemate"
    left = shutil.ignore_patterns(
        ".venv", "node_modules", ".git", "__pycache__", "site", ".*_cache"
    )
    shutil.copytree(ROOT, copy, ignore=left)
    for installed in (".venv", "manifest/node_modules", "bot/kusto/node_modules"):
        if (ROOT / installed).exists():
            (copy / installed).symlink_to(ROOT / installed)
    return copy


def make(clone: Path, command: str) -> str:
    """Run a command of make's in a copy that needs nothing set up any more."""
    there = ("runtime", "development", "documentation")
    old = [f".venv/{each}" for each in there] + ["manifest/node_modules", "bot/kusto/node_modules"]
    flags = " ".join(
        ["make", *(f"-o {each}" for each in old), f"BIN={Path(sys.executable).parent}"]
    )
    done = subprocess.run(
        re.sub(r"\bmake\b", flags, command, count=1),
        shell=True,
        cwd=clone,
        env={"PATH": os.environ["PATH"], "KQL_CHECKERS": "0"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.timeout(150)
def test_make_docs(clone: Path) -> None:
    if not (ROOT / ".venv/mkdocs/bin/mkdocs").exists():
        pytest.skip("MkDocs is not installed: make docs")
    said = make(clone, "make docs")
    assert (clone / "site/index.html").is_file()
    assert "excluded from the built site" not in said


@pytest.mark.timeout(150)
def test_make_manifest(clone: Path) -> None:
    if not (ROOT / "manifest/node_modules").exists() or not shutil.which("node"):
        pytest.skip("Microsoft's validator is not installed: npm ci in manifest/")
    [command] = of("make manifest ")
    make(clone, command.replace("$(azd env get-value BOT_APP_ID)", str(uuid.UUID(int=7))))
    assert (clone / "manifest/casemate.zip").is_file()


@pytest.mark.timeout(150)
def test_two_prompts_are_compared(clone: Path) -> None:
    told = dict.fromkeys(written(DOCS / "evals.md"))
    compared = [each for each in told if "--times" in each or "mkdir" in each]
    assert len(compared) == 3
    for command in compared:
        said = make(clone, command.replace("--times 5", "--times 1 --only 3177-summary"))
    assert "nothing changed" in said and (clone / "after.json").is_file()


@pytest.mark.parametrize("command", of("python -m pytest ", ".venv/bin/python -m pytest "))
def test_the_tests_it_names_are_there(command: str) -> None:
    """They run in this very session; so they are only looked up."""
    told = command.split(" pytest ")[1].split()
    assert (ROOT / told[0]).is_file() or [*(ROOT / told[0]).glob("test_*.py")]


def test_what_azures_commands_name_is_in_the_infrastructure() -> None:
    azure = "\n".join(each for each in COMMANDS if each.startswith("az") or _is_azure(each))
    given = (ROOT / "infra/main.parameters.json").read_text("utf-8")
    outputs = set(
        re.findall(r"^output (\w+)", (ROOT / "infra/main.bicep").read_text("utf-8"), re.M)
    )
    names = set(re.findall(r"azd env set (\w+)", azure))
    assert names and [each for each in names if f"${{{each}" not in given] == []
    printed = set(re.findall(r"azd env get-value (\w+)", azure))
    assert printed and printed <= outputs


# --- pages ---------------------------------------------------------------------------------------


def named(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict | list):
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from named(each)


def test_every_page_is_in_the_navigation() -> None:
    configuration = read_yaml((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert sorted(named(configuration["nav"])) == sorted(page.name for page in DOCS.glob("*.md"))
    assert configuration["strict"] and configuration["theme"]["font"] is False


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as both GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = page.parent / path if path else page
        assert target.is_file(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_every_picture_is_shown_and_all_are_small() -> None:
    shown = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"!\[[^]]*\]\(([^)\s]+)\)", page.read_text("utf-8"))
    }
    pictures = {path.resolve() for path in (DOCS / "images").iterdir()}
    assert pictures == shown
    assert sum(path.stat().st_size for path in pictures) < 3_000_000


def test_the_drawing_is_the_codes() -> None:
    assert architecture.OUT.read_text("utf-8") == architecture.draw(), (
        "run python -m docs.architecture, and look at the picture"
    )


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    arrows = {"app": {"desk", "ports"}, "desk": {"ports"}, "ports": set[str]()}
    assert architecture.reduced(arrows) == {"app": {"desk"}, "desk": {"ports"}, "ports": set()}
    assert architecture.level("app", arrows) == 2
