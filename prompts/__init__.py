"""Prompts as data: Markdown files with a short header, so that a security desk can reword them.

A file starts with a header between two `---` lines (`name`, `purpose`, `variables`); the rest is
the text, in which `$name` stands for a declared variable and `$$` for a dollar sign.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from bot.errors import SettingsError
from prompts.reading import read_yaml

_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text for the model or the analyst.

    `hash` names the exact file that was used, for the provenance of an answer: the first 12 hex
    digits of the SHA-256 of the file's text.
    """

    name: str
    text: str
    hash: str
    variables: tuple[str, ...] = ()
    purpose: str = ""

    def render(self, **values: str) -> str:
        """Fill in the variables; raises ValueError naming each that is missing or unknown."""
        declared, given = set(self.variables), set(values)
        wrong = [f"missing {name}" for name in sorted(declared - given)]
        wrong += [f"unknown {name}" for name in sorted(given - declared)]
        if wrong:
            raise ValueError(f"prompt {self.name}: {', '.join(wrong)}")
        return string.Template(self.text).substitute(values)


@dataclass(frozen=True, slots=True)
class Prompts:
    """All prompts by name; `prompts["system"]` raises KeyError for a name there is none of.

    Which were taken is noted, for the provenance of an answer; `noting` begins a new note.
    """

    by_name: Mapping[str, Prompt] = field(default_factory=dict[str, Prompt])
    _taken: set[str] = field(default_factory=set[str], compare=False, repr=False)

    def __getitem__(self, name: str) -> Prompt:
        prompt = self.by_name[name]
        self._taken.add(name)
        return prompt

    def noting(self) -> Prompts:
        """The same prompts, of which none was taken yet."""
        return Prompts(self.by_name)

    @property
    def taken(self) -> str:
        """The hashes of what was taken: the system prompt's, then the others' by their names."""
        names = sorted(self._taken, key=lambda name: (name != "system", name))
        return "+".join(self.by_name[name].hash for name in names)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.by_name.values())


def load(override: Path | None = None) -> Prompts:
    """Read all prompts, once, at start (blocking).

    A file in the folder `override` replaces the prompt of the same name and must declare the same
    variables. Raises SettingsError with every problem of every file.
    """
    problems: list[str] = []
    prompts = _read(_PACKAGE, problems)
    if override is not None and not override.is_dir():
        problems.append(f"PROMPTS_DIR: {override} is not a folder")
    elif override is not None:
        for name, prompt in _read(override, problems).items():
            ours = prompts.get(name)
            if ours is None:
                known = ", ".join(sorted(prompts))
                problems.append(f"{name}.md: there is no prompt of this name (there are: {known})")
            elif set(ours.variables) != set(prompt.variables):
                names = ", ".join(ours.variables) or "none"
                problems.append(f"{name}.md: the variables must be: {names}")
            else:
                prompts[name] = prompt
    if problems:
        raise SettingsError(problems)
    return Prompts(prompts)


def _read(folder: Path, problems: list[str]) -> dict[str, Prompt]:
    prompts: dict[str, Prompt] = {}
    for path in sorted(folder.glob("*.md")):
        try:
            prompts[path.stem] = _parse(path.stem, path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            problems.append(f"{path.name}: {error}")
    return prompts


def _parse(name: str, source: str) -> Prompt:
    opening, _, rest = source.partition("---\n")
    head, ending, body = rest.partition("\n---\n")
    if opening or not ending:
        raise ValueError("starts with no header between two lines of ---")
    try:
        header = cast(dict[str, Any], read_yaml(head))
        declared: object = header.get("variables") or []
        purpose = str(header["purpose"])
        named = header["name"]
    except (yaml.YAMLError, AttributeError, KeyError) as error:
        raise ValueError("the header needs name, purpose and variables") from error
    if named != name:
        raise ValueError(f"the header says name: {named}")
    if not isinstance(declared, list):
        raise ValueError("variables is a list, as in [reason, tactics]")
    variables = tuple(str(each) for each in cast(list[object], declared))
    template = string.Template(body)
    if not template.is_valid():
        raise ValueError("a dollar sign stands before a name; write $$ for a dollar sign")
    undeclared = sorted(set(template.get_identifiers()) - set(variables))
    if undeclared:
        raise ValueError(f"undeclared variable: {', '.join(undeclared)}")
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    return Prompt(name, body.strip(), digest, variables, purpose)
