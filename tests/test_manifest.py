"""The Teams app package: its words are the bot's, its values checked, its form Microsoft's."""

import json
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

import dialogs
from bot.settings import Settings
from dialogs import act, ask, unfurl
from manifest import build

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "manifest"
APP_ID = "0b0c2a3e-1d2f-4a5b-8c6d-7e8f90a1b2c3"
MANIFEST = json.loads((HERE / "manifest.json").read_text("utf-8"))
[BOT] = MANIFEST["bots"]
GERMAN = json.loads((HERE / "de.json").read_text("utf-8"))

needs_validator = pytest.mark.skipif(
    not shutil.which("node") or not (HERE / "node_modules").is_dir(),
    reason="Microsoft's validator is not installed: npm ci --ignore-scripts in manifest/",
)


def packed(**changed: str) -> dict[str, bytes]:
    return build.files(build.values({"APP_ID": APP_ID, **changed}))


def manifest(**changed: str) -> dict[str, Any]:
    return json.loads(packed(**changed)["manifest.json"])


def refused(**given: str) -> list[str]:
    with pytest.raises(build.BuildError) as error:
        build.values(given)
    return str(error.value).split("\n")


# --- the words -----------------------------------------------------------------------------------

COMMANDS = [each["title"] for listed in BOT["commandLists"] for each in listed["commands"]]


@pytest.mark.parametrize("title", sorted(set(COMMANDS)))
def test_every_command_is_a_word_of_the_bot(title: str) -> None:
    handler, mention = dialogs.route(title)
    assert handler is not ask.reply and mention is None


HANDLERS = list(dict.fromkeys([*(each.handler for each in dialogs.ROUTES), act.status]))


@pytest.mark.parametrize("handler", HANDLERS)
def test_every_word_of_the_bot_is_a_command(handler: dialogs.Handler) -> None:
    assert handler in [dialogs.route(title)[0] for title in COMMANDS]


def test_each_scope_has_one_list_of_twelve_at_most() -> None:
    scopes = [each["scopes"] for each in BOT["commandLists"]]
    assert scopes == [["personal"], ["team"], ["groupChat"]]
    for listed in BOT["commandLists"]:
        titles = [each["title"] for each in listed["commands"]]
        assert len(set(titles)) == len(titles) <= 12


def test_the_bot_is_spoken_to_where_its_commands_are() -> None:
    assert BOT["scopes"] == ["personal", "team", "groupChat"]
    assert BOT["supportsFiles"] is False
    # It hears what mentions it; reading whole channels needs a permission it does not ask for.
    assert "authorization" not in MANIFEST


def test_the_links_that_teams_hands_over_are_those_the_bot_unfolds() -> None:
    [extension] = MANIFEST["composeExtensions"]
    [handler] = extension["messageHandlers"]
    assert sorted(handler["value"]["domains"]) == sorted(unfurl._PORTALS)


# --- languages -----------------------------------------------------------------------------------


def test_every_description_is_translated() -> None:
    keys = {
        f"bots[0].commandLists[{at}].commands[{n}].description": each["description"]
        for at, listed in enumerate(BOT["commandLists"])
        for n, each in enumerate(listed["commands"])
    }
    assert {key for key in GERMAN if key.startswith("bots")} == set(keys)
    assert [key for key, english in keys.items() if GERMAN[key] == english] == []


def test_a_word_is_the_same_in_every_language() -> None:
    assert [key for key in GERMAN if key.endswith(".title")] == []


# Teams' own limits: the strings' schema does not repeat them.
@pytest.mark.parametrize(("key", "most"), [("name.short", 30), ("description.short", 80)])
def test_a_translation_fits_where_the_original_does(key: str, most: int) -> None:
    assert len(GERMAN[key]) <= most


# --- pictures ------------------------------------------------------------------------------------


def pixels(name: str) -> tuple[int, int, list[bytes]]:
    """Decode a PNG of 8 bits a channel: width, height, and each pixel's bytes."""
    data = (HERE / name).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert depth == 8
    size, at, packed_rows = {2: 3, 6: 4}[kind], 8, b""
    while at < len(data):
        length, tag = struct.unpack(">I4s", data[at : at + 8])
        packed_rows += data[at + 8 : at + 8 + length] if tag == b"IDAT" else b""
        at += length + 12
    rows, stride = zlib.decompress(packed_rows), width * size
    above, found = bytearray(stride), []
    for start in range(0, len(rows), stride + 1):
        row = bytearray(rows[start + 1 : start + 1 + stride])
        for n in range(stride):
            left, corner = (row[n - size], above[n - size]) if n >= size else (0, 0)
            up = above[n]
            nearest = min((left, up, corner), key=lambda each: abs(left + up - corner - each))
            row[n] = (row[n] + (0, left, up, (left + up) // 2, nearest)[rows[start]]) & 255
        above = row
        found += [bytes(row[n : n + size]) for n in range(0, stride, size)]
    return width, height, found


def test_the_colour_icon_fills_192_by_192() -> None:
    width, height, found = pixels("color.png")
    assert (width, height) == (192, 192)
    assert len(set(found)) > 2
    assert found[0].hex() == MANIFEST["accentColor"][1:].lower()


def test_the_outline_icon_is_white_on_nothing_32_by_32() -> None:
    width, height, found = pixels("outline.png")
    assert (width, height) == (32, 32)
    assert {each[:3] for each in found if each[3]} == {b"\xff\xff\xff"}
    assert found[0][3] == 0 and any(each[3] == 255 for each in found)


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "APP_ID is missing: the application (client) id of the bot, its BOT_APP_ID"),
        ({"APP_ID": "  "}, "APP_ID is missing: the application (client) id of the bot"),
        ({"APP_ID": "casemate"}, "APP_ID is not a GUID"),
        ({"APP_ID": APP_ID + "\n0"}, "APP_ID is not a GUID"),
        ({"APP_ID": APP_ID, "APP_VERSION": "1.0"}, "APP_VERSION must be three numbers"),
        ({"APP_ID": APP_ID, "APP_VERSION": "1.02.0"}, "APP_VERSION must be three numbers"),
        ({"APP_ID": APP_ID, "APP_PUBLISHER": "x" * 33}, "APP_PUBLISHER must have 32"),
        ({"APP_ID": APP_ID, "APP_PUBLISHER": "a\tb"}, "APP_PUBLISHER must have 32"),
        ({"APP_ID": APP_ID, "APP_SITE": "http://soc.example"}, "APP_SITE must be an address"),
        ({"APP_ID": APP_ID, "APP_SITE": "https://[oops"}, "APP_SITE must be an address"),
        ({"APP_ID": APP_ID, "APP_PRIVACY": "https:///p"}, "APP_PRIVACY must be an address"),
        ({"APP_ID": APP_ID, "APP_TERMS": "https://a b/"}, "APP_TERMS must be an address"),
        ({"APP_ID": APP_ID, "APP_SSO": "maybe"}, "APP_SSO must be yes, or no"),
        ({"APP_ID": APP_ID, "APP_NAME": "x"}, "APP_NAME is no value of the manifest"),
    ],
)
def test_a_wrong_value_is_named(given: dict[str, str], said: str) -> None:
    [problem] = refused(**given)
    assert problem.startswith(said)


def test_everything_wrong_is_named_at_once() -> None:
    problems = refused(APP_ID="x", APP_VERSION="one", APP_SITE="ftp://x", APP_TERMS="x")
    assert [each.split()[0] for each in problems] == [
        "APP_ID",
        "APP_VERSION",
        "APP_SITE",
        "APP_TERMS",
    ]


def test_the_app_id_stands_wherever_it_is_needed() -> None:
    made = manifest(APP_ID=APP_ID.upper())
    assert made["id"] == made["bots"][0]["botId"] == made["composeExtensions"][0]["botId"] == APP_ID
    assert made["webApplicationInfo"] == {"id": APP_ID, "resource": f"api://botid-{APP_ID}"}


def test_single_sign_on_may_be_left_out() -> None:
    made, without = manifest(), manifest(APP_SSO="no")
    assert made.pop("webApplicationInfo") and made.pop("validDomains")
    assert without == made
    if not (HERE / "node_modules").is_dir() or not shutil.which("node"):
        pytest.skip("Microsoft's validator is not here: npm ci in manifest/")
    build.validate(packed(APP_SSO="no"))


def test_the_links_follow_from_the_site_unless_they_are_given() -> None:
    made = manifest(APP_SITE="https://soc.example/casemate/", APP_TERMS="https://legal.example/")
    assert made["developer"] == {
        "name": "Casemate",
        "websiteUrl": "https://soc.example/casemate/",
        "privacyUrl": "https://soc.example/casemate/privacy",
        "termsOfUseUrl": "https://legal.example/",
    }


def test_a_value_is_text_and_never_json() -> None:
    made = manifest(APP_PUBLISHER='A", "id": "b')
    assert made["developer"]["name"] == 'A", "id": "b' and made["id"] == APP_ID


def test_no_value_is_left_open() -> None:
    assert b"${{" not in b"".join(packed().values())


def test_the_bot_accepts_the_id_that_the_manifest_accepts() -> None:
    given = build.values({"APP_ID": APP_ID.upper()})["APP_ID"]
    settings = Settings.from_env(
        {
            "BOT_APP_ID": given,
            "BOT_TENANT_ID": APP_ID,
            "BOT_APP_PASSWORD": "secret",
            "AZURE_OPENAI_BASE_URL": "https://name.openai.azure.com/openai/v1/",
            "SENTINEL_SUBSCRIPTION_ID": APP_ID,
            "SENTINEL_RESOURCE_GROUP": "soc",
            "SENTINEL_WORKSPACE": "soc",
            "SENTINEL_WORKSPACE_ID": APP_ID,
        }
    )
    assert settings.bot_app_id == given


# --- the package ---------------------------------------------------------------------------------


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        build.pack(packed(), tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    build.pack(packed(APP_VERSION="1.0.1"), tmp_path / "three.zip")
    assert (tmp_path / "one.zip").read_bytes() != (tmp_path / "three.zip").read_bytes()


def test_the_package_holds_every_file_that_the_manifest_names(tmp_path: Path) -> None:
    build.pack(packed(), tmp_path / "casemate.zip")
    with zipfile.ZipFile(tmp_path / "casemate.zip") as package:
        assert package.testzip() is None
        names = package.namelist()
        made = json.loads(package.read("manifest.json"))
    languages = [each["file"] for each in made["localizationInfo"]["additionalLanguages"]]
    assert sorted(names) == sorted(["manifest.json", *made["icons"].values(), *languages])


def copied(to: Path) -> Path:
    """A folder like ours to build in, without the npm files."""
    folder = to / "manifest"
    folder.mkdir()
    for each in HERE.iterdir():
        if each.is_file() and each.name != "casemate.zip":
            shutil.copy(each, folder)
    shutil.copy(ROOT / "pyproject.toml", to)
    return folder


def command_line(folder: Path, *arguments: str) -> tuple[int, str, str]:
    run = [sys.executable, str(folder / "build.py"), *arguments]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@needs_validator
def test_the_command_builds_and_says_what_it_built(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    code, out, err = command_line(folder, f"APP_ID={APP_ID}", "APP_SITE=")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == f"manifest/casemate.zip: Casemate 0.1.0 for bot {APP_ID}"
    assert "set APP_SITE" in second
    assert (folder / "casemate.zip").stat().st_size > 5_000
    # A package of other values must not be taken for the one that failed.
    assert command_line(folder, "APP_ID=x") == (2, "", "APP_ID is not a GUID\n")
    assert not (folder / "casemate.zip").exists()


def test_without_the_npm_files_the_command_says_what_to_do(tmp_path: Path) -> None:
    code, out, err = command_line(copied(tmp_path), f"APP_ID={APP_ID}")
    assert (code, out) == (2, "") and "npm ci --ignore-scripts" in err


@needs_validator
@pytest.mark.parametrize(
    ("file", "key", "value", "said"),
    [
        ("manifest.json", "accentColor", "blue", "manifest.json: /accentColor must match pattern"),
        ("manifest.json", "unknown", "x", "manifest.json:  must NOT have additional properties"),
        ("de.json", "bots[0].title", "x", "de.json:  must NOT have additional properties"),
    ],
)
def test_microsofts_validator_is_heard(file: str, key: str, value: str, said: str) -> None:
    files = packed()
    broken = json.loads(files[file]) | {key: value}
    with pytest.raises(build.BuildError) as error:
        build.validate({**files, file: json.dumps(broken).encode()})
    assert f"Microsoft's validator says:\n{said}" in str(error.value)


def test_no_registry_is_named_and_each_package_is_pinned() -> None:
    package = json.loads((HERE / "package.json").read_text())
    lock = json.loads((HERE / "package-lock.json").read_text())["packages"]
    for name, version in package["dependencies"].items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert [each for each in lock.values() if "resolved" in each] == []
    assert all(each["integrity"] for name, each in lock.items() if name)
