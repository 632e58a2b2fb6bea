"""Reading YAML: prompts' headers, the playbook, and the sandbox's data."""

from typing import Any, cast

import yaml


def read_yaml(text: str) -> Any:
    """What the text says, as plain values. Raises yaml.YAMLError where it is no YAML."""
    # The loader in C is ten times as fast; not every build of PyYAML has it.
    loader = cast(Any, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return yaml.load(text, loader)  # noqa: S506 - both are safe loaders
