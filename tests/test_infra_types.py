"""infra_types.yaml against what Microsoft publishes; `make types` installs those packages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prompts.reading import read_yaml

HERE = Path(__file__).parent
PYTHON = os.environ.get("AZURE_TYPES_PYTHON", "")
LISTED: dict[str, dict[str, Any]] = read_yaml((HERE / "infra_types.yaml").read_text("utf-8"))
# No package and no description of these is at hand: written after Microsoft's documentation.
UNPROVEN = {"Microsoft.Web/connections@2016-06-01"}


def differences(listed: Any, said: Any, at: str) -> Iterator[str]:
    """What is listed and not published, and what has to be given and is not listed so.

    That something must be given may be listed where the packages do not say it.
    """
    if not isinstance(listed, dict) or not isinstance(said, dict):
        return
    published = {name.removesuffix("!"): below for name, below in said.items()}
    names = {name.removesuffix("!"): below for name, below in listed.items()}
    yield from (f"{at}.{name} is not published" for name in names.keys() - published.keys())
    yield from (
        f"{at}.{name} is required" for name in said.keys() - listed.keys() if name[-1] == "!"
    )
    for name in names.keys() & published.keys():
        yield from differences(names[name], published[name], f"{at}.{name}")


def test_differences_are_seen() -> None:
    listed = {"a": {"b": None, "x": None}, "c!": None}
    said = {"a": {"b": None, "d!": None}, "c": None}
    assert sorted(differences(listed, said, "r")) == [
        "r.a.d! is required",
        "r.a.x is not published",
    ]


@pytest.mark.azure_types
@pytest.mark.skipif(not PYTHON, reason="AZURE_TYPES_PYTHON names no Python with the azure-mgmt-*")
def test_the_types_are_those_of_microsofts_packages() -> None:
    # In Bicep a resource's name is a property; in REST it is part of the address.
    asked = {
        type_: {name: below for name, below in tree.items() if name not in ("name!", "beyond")}
        for type_, tree in LISTED.items()
        if type_ not in UNPROVEN
    }
    answer = subprocess.run(
        [PYTHON, str(HERE / "azure_types.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout)
    assert [each for type_ in asked for each in differences(asked[type_], said[type_], type_)] == []
