"""The Teams-like client's configuration and launcher; nothing here needs Node or the client."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from client import start
from prompts.reading import read_yaml

HERE = Path(__file__).resolve().parents[1] / "client"
CLIENT = "@microsoft/m365agentsplayground"
CONFIGURATION = read_yaml(start.CONFIGURATION.read_text())
PEOPLE = [CONFIGURATION["currentUser"], *CONFIGURATION["users"]]


def guids() -> list[str]:
    return [
        CONFIGURATION["tenantId"],
        CONFIGURATION["bot"]["id"],
        CONFIGURATION["team"]["aadGroupId"],
        *(person["aadObjectId"] for person in PEOPLE),
    ]


def test_every_guid_is_a_random_guid_in_its_usual_form() -> None:
    for guid in guids():
        assert str(UUID(guid)) == guid
        assert UUID(guid).version == 4


def test_no_id_is_used_twice() -> None:
    places = [CONFIGURATION[chat]["id"] for chat in ("personalChat", "groupChat", "team")]
    channels = [channel["id"] for channel in CONFIGURATION["team"]["channels"]]
    ids = [*guids(), *places, *channels]
    assert len(set(ids)) == len(ids)


def test_there_are_five_users_beside_the_analyst_who_types() -> None:
    assert len(CONFIGURATION["users"]) == 5


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person["name"])
def test_a_persons_names_addresses_and_ids_agree(person: dict[str, str]) -> None:
    assert person["id"] == f"29:{person['aadObjectId']}"
    assert person["name"] == f"{person['givenName']} {person['surname']}"
    # The client's own spelling.
    assert person["userPrincipleName"] == person["email"]
    assert person["email"] == person["name"].lower().replace(" ", ".") + "@soc.example"


def test_the_team_has_an_incidents_channel_and_ids_look_as_in_teams() -> None:
    team = CONFIGURATION["team"]
    assert team["name"] == "SOC"
    assert [channel["name"] for channel in team["channels"]] == ["incidents"]
    for id in (team["id"], team["channels"][0]["id"]):
        assert re.fullmatch(r"19:[0-9a-f-]{36}@thread\.tacv2", id)
    assert re.fullmatch(r"19:[0-9a-f-]{36}@thread\.v2", CONFIGURATION["groupChat"]["id"])
    assert re.fullmatch(r"a:[0-9a-f-]{36}", CONFIGURATION["personalChat"]["id"])


def test_the_client_is_pinned_and_no_registry_is_named() -> None:
    package = json.loads((HERE / "package.json").read_text())
    lock = json.loads((HERE / "package-lock.json").read_text())
    version = package["dependencies"][CLIENT]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    locked = lock["packages"][f"node_modules/{CLIENT}"]
    assert locked["version"] == version
    assert locked["integrity"].startswith("sha512-")
    assert "://" not in json.dumps(lock)


def a_node(folder: Path, version: str) -> str:
    node = folder / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o700)
    return str(node)


def test_without_node_it_says_so_and_is_no_failure() -> None:
    done = subprocess.run(
        [sys.executable, HERE / "start.py"], env={"PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout == (
        "The Teams-like client does not start: Node.js 20 or later is not installed. "
        "The bot runs without it.\n"
    )


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("v18.19.0", "it needs Node.js 20 or later, and this is v18.19.0"),
        ("", "it needs Node.js 20 or later, and this is broken"),
        ("v22.1.0", "it is not installed: run `npm ci --ignore-scripts` in client/"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, version: str, said: str) -> None:
    assert start.what_is_missing(a_node(tmp_path, version), tmp_path / "cli.js", 1) == said


def test_a_port_in_use_is_said_because_the_client_would_silently_take_another(
    tmp_path: Path,
) -> None:
    program = tmp_path / "cli.js"
    program.touch()
    node = a_node(tmp_path, "v22.1.0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert start.what_is_missing(node, program, port) == (
            f"port {port} is taken: choose another with --port"
        )
    assert start.what_is_missing(node, program, port) == ""


def test_the_client_reports_nothing_and_opens_no_browser(tmp_path: Path) -> None:
    environ = start.environment(tmp_path, {"PATH": "/usr/bin", "HOME": "/home/maya"})
    assert environ["APPLICATION_INSIGHTS_NO_STATSBEAT"] == "1"
    assert environ["HOME"] == "/home/maya"
    assert environ["PATH"] == f"{tmp_path}:/usr/bin"
    assert subprocess.run(["xdg-open", "http://127.0.0.1"], env=environ).returncode == 0
    command = start.arguments("node", Path("cli.js"), "http://127.0.0.1:3978/api/messages", 56150)
    assert "--disable-telemetry" in command
    assert command[command.index("--channel-id") + 1] == "msteams"
    assert command[command.index("--service-url") + 1] == "http://127.0.0.1:56150/_connector"


def test_a_client_that_fails_is_quoted(tmp_path: Path) -> None:
    assert start.run(["sh", "-c", "exit 3"], dict(os.environ), tmp_path) == 3
    assert start.complaint(tmp_path) == "It gave no reason."
    (tmp_path / "devTools").mkdir()
    (tmp_path / "devTools/m365agentsplayground.log").write_text(
        "log Listening on 56150\nerror Failed to start.\nerror Reason: no such tenant.\n"
    )
    assert start.complaint(tmp_path) == "Failed to start. Reason: no such tenant."


def test_the_client_stops_when_the_bot_is_gone(tmp_path: Path) -> None:
    running = tmp_path / "running"
    os.mkfifo(running)
    launcher = (
        "from pathlib import Path; from client import start; "
        f"start.run(['sh', '-c', 'echo up > {running}; exec sleep 600'], {{}}, Path('/'))"
    )
    bot = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-c', {launcher!r}]); open({str(running)!r}).read()"
    )
    # The client holds our end of stderr: this returns when it is gone, not when the bot is.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", bot], cwd=HERE.parent, stderr=-1, timeout=30
    )
    assert done.returncode == 0
